"""A plan that was saved to be carried out later, and what has changed since.

`apply` computes the plan anew and compares the two. It takes nothing from the saved plan, which others may have changed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from kube_iam.access.changes import Plan
from kube_iam.access.levels import ClusterAccess

FORMAT = "kube-iam saved plan"
VERSION = 1
OPTIONS = ("--adopt", "--force")
_TEXTS = {"warnings": "warning", "needsForce": "reason for --force", "wouldFail": "change that would fail"}


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as data, and what it was made of. `access` is the digest of the access file, `server` the API server's URL or empty.

    `options` are those of OPTIONS that it was made with.
    """

    program: str
    access: str
    server: str
    options: tuple[str, ...]
    plan: Mapping[str, Any]

    def as_data(self) -> dict[str, object]:
        """Return the saved plan as JSON data."""
        head = {"format": FORMAT, "version": VERSION, "program": self.program, "access": self.access}
        return {**head, "server": self.server, "options": list(self.options), "plan": dict(self.plan)}


def saved_plan(plan: Plan, access: ClusterAccess, program: str, server: str, options: Iterable[str]) -> SavedPlan:
    """Return the plan of the access file. `program` is the version of kube-iam, `options` are the flags of the command."""
    # Tuples become lists, as they do in a file.
    return SavedPlan(program, digest(access), server, tuple(options), json.loads(json.dumps(plan.as_data())))


def digest(access: ClusterAccess) -> str:
    """Return a digest of all that an access file says, whatever its name and layout."""
    return hashlib.sha256(canonical(_compared(replace(access, source=""))).encode()).hexdigest()


def _compared(value: object) -> object:
    """Return a value as JSON data, without fields that do not count in comparisons: lines and files."""
    if is_dataclass(value):
        return {each.name: _compared(getattr(value, each.name)) for each in fields(value) if each.compare}
    if isinstance(value, tuple):
        return [_compared(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def parse_saved_plan(data: object) -> SavedPlan:
    """Return the saved plan in JSON data. Raises ValueError, which says what is wrong with it, for any other data."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("it is no saved plan")
    version = data.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(
            f"it has version {json.dumps(version)} of the format, and this kube-iam reads version {VERSION}"
        )
    texts, options, plan = (
        [data.get(name) for name in ("program", "access", "server")],
        data.get("options"),
        data.get("plan"),
    )
    if not (
        all(isinstance(text, str) for text in texts)
        and isinstance(options, list)
        and all(option in OPTIONS for option in options)
        and isinstance(plan, dict)
        and _are_changes(plan.get("changes"))
        and all(_are_texts(plan.get(name)) for name in _TEXTS)
    ):
        raise ValueError("it is damaged")
    program, access, server = map(str, texts)
    return SavedPlan(program, access, server, tuple(options), plan)


def differences(saved: SavedPlan, now: SavedPlan) -> Iterator[str]:
    """Yield a sentence for each thing that differs. There is at least one unless the plans are equal."""
    found = [*_origins(saved, now), *_changes(saved.plan["changes"], now.plan["changes"])]
    for name, what in _TEXTS.items():
        old, new = Counter(saved.plan[name]), Counter(now.plan[name])
        found += [f"no longer a {what}: {text}" for text in old - new]
        found += [f"a new {what}: {text}" for text in new - old]
    if not found and canonical(saved.plan) != canonical(now.plan):
        found.append("the saved plan is not as it was written")
    yield from found


def canonical(data: object) -> str:
    """Return JSON text that is equal for equal data."""
    return json.dumps(data, sort_keys=True)


def _origins(saved: SavedPlan, now: SavedPlan) -> Iterator[str]:
    pairs: list[tuple[str, Any, Any]] = [("kube-iam", saved.program, now.program)]
    names = {"cluster": "the cluster", "account": "the AWS account", "mapping": "the mapping"}
    pairs += [(said, saved.plan.get(key), now.plan.get(key)) for key, said in names.items()]
    pairs.append(("the API server", saved.server, now.server))
    for what, before, after in pairs:
        if before != after:
            yield f"{what} was {before or 'none'}, and is {after or 'none'} now"
    if saved.access != now.access:
        yield "the access file has changed"


def _changes(saved: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[str]:
    old, new = _by_name(saved), _by_name(now)
    for name, changes in old.items():
        if name not in new:
            yield f"no longer planned: {name}"
        elif canonical(changes) != canonical(new[name]):
            yield f"planned in another way: {name}"
    yield from (f"planned now: {name}" for name in new if name not in old)
    if old == new and saved != now:
        yield "the order of the changes has changed"


def _by_name(changes: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the changes by what they do to what, in order: a policy can be changed twice."""
    found: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        found.setdefault(_named(change), []).append(change)
    return found


def _named(change: Mapping[str, Any]) -> str:
    level = f" ({change['level']})" if change["level"] else ""
    return f"{change['verb']} {change['kind']} {change['name']}{level}"


def _are_changes(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(change, dict)
        and all(isinstance(change.get(key), str) for key in ("verb", "kind", "name", "level"))
        and isinstance(change.get("fields"), dict)
        for change in value
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
