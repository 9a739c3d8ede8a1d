"""Near matches: what a person probably meant by a word that is not one of the known ones."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(word: str, choices: Iterable[str]) -> str:
    """A remedy such as `did you mean 'level'?`, or an empty string where nothing is near. Letter case counts for nothing."""
    found = nearest(word, choices)
    return f"did you mean {found!r}?" if found else ""


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that was probably meant, or an empty string."""
    spelled = {choice.casefold(): choice for choice in choices}
    found = get_close_matches(word.casefold(), spelled, n=1, cutoff=0.6)
    return spelled[found[0]] if found else ""
