"""Parts of IAM policy documents that several readers share: statements, lists of texts, and action patterns. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

Statement = dict[str, object]


def listed_statements(document: object) -> tuple[Statement, ...]:
    """Return the statements of a policy (parsed JSON), one or several. Raises ValueError unless each allows or denies."""
    statements = document.get("Statement") if isinstance(document, dict) else None
    given = statements if isinstance(statements, list) else [statements]
    listed = tuple(each for each in given if isinstance(each, dict) and each.get("Effect") in ("Allow", "Deny"))
    if len(listed) != len(given):
        raise ValueError("the policy is not understood")
    return listed


def texts(value: object) -> list[str]:
    """Return one text, or a list of texts, as a list. Raises ValueError for anything else."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise ValueError("the policy is not understood")
    return [str(each) for each in values]


def matches_pattern(text: str, pattern: str) -> bool:
    """Return whether the text matches a pattern of IAM, in which `*` is any number of characters and `?` is one."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def names_action(patterns: Iterable[str], *actions: str) -> bool:
    """Return whether a pattern covers one of the actions, which are in lower case. Actions have no letter case."""
    lowered = [pattern.lower() for pattern in patterns]
    return any(matches_pattern(action, pattern) for action in actions for pattern in lowered)
