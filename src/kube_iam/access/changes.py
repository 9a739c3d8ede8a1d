"""A plan is data: changes in the order in which they will happen, warnings, counts, and a digest of it all.

What a plan shows of bindings, mapping entries and tags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from kube_iam.access.desired import DesiredGroup, DesiredPolicy, DesiredRole
from kube_iam.access.mapping import MappingEntry, TemporaryGrant
from kube_iam.access.ports import BindingState, GroupState, Holder, PolicyState, RoleState


class Verb(Enum):
    """What happens to a thing. ADOPT makes a thing that exists ours."""

    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"
    DELETE = "delete"


class Kind(Enum):
    """What a change is about, as a person calls it."""

    POLICY = "policy"
    ROLE = "role"
    GROUP = "group"
    ATTACHMENT = "attachment"
    MEMBER = "member"
    TEMPORARY = "temporary access"
    BINDING = "binding"
    MAPPING = "mapping"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A policy on a group."""

    group: str
    policy_arn: str


@dataclass(frozen=True, slots=True)
class Detachment:
    """A policy of ours that comes off a user, a role or a group that is not ours."""

    holder: Holder
    policy_arn: str


@dataclass(frozen=True, slots=True)
class Membership:
    """A user in a group."""

    group: str
    user: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Someone who is let in for a time no longer: by which entry, and by which policy of the user's (empty where there is none).

    `over` is what was seen to have ended: what somebody has granted since stays.
    """

    entry: MappingEntry
    user: str
    policy: str
    over: TemporaryGrant | None = None


Item = (
    DesiredPolicy
    | DesiredRole
    | DesiredGroup
    | PolicyState
    | RoleState
    | GroupState
    | Attachment
    | Detachment
    | Membership
    | Ended
    | BindingState
    | MappingEntry
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field before and after; None where there is nothing. Values are what JSON can hold."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `item` is what `apply` needs to carry it out; everything else is for reading."""

    verb: Verb
    kind: Kind
    name: str
    level: str
    fields: tuple[Field, ...] = ()
    item: Item | None = field(default=None, compare=False, repr=False)

    def changes(self, name: str) -> bool:
        """Whether the field of that name changes."""
        return any(part.name == name for part in self.fields)

    def as_data(self) -> dict[str, object]:
        """The change as JSON can hold it."""
        return {
            "verb": self.verb.value,
            "kind": self.kind.value,
            "name": self.name,
            "level": self.level,
            "fields": {part.name: {"before": part.before, "after": part.after} for part in self.fields},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes, in order. `guards` are the reasons for which it needs --force, `failures` what would be refused.

    `left_alone` are the things that a `destroy` found and leaves, since they are not this cluster's or may not be.
    `entries` are those of the mapping when the plan was made.
    """

    cluster: str
    account: str
    target: str  # where the mappings live, as a person would name it
    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    entries: tuple[MappingEntry, ...] = field(default=(), compare=False, repr=False)

    def count(self, verb: Verb) -> int:
        """How many changes have this verb."""
        return sum(change.verb is verb for change in self.changes)

    def as_data(self) -> dict[str, object]:
        """The plan as JSON can hold it; `digest` is over everything else, so that equal plans have equal digests."""
        data: dict[str, object] = {
            "cluster": self.cluster,
            "account": self.account,
            "mapping": self.target,
            "counts": {verb.value: self.count(verb) for verb in Verb},
            "changes": [change.as_data() for change in self.changes],
            "warnings": list(self.warnings),
            "needsForce": list(self.guards),
            "wouldFail": list(self.failures),
        }
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return {**data, "digest": hashlib.sha256(text.encode()).hexdigest()}


def differing(pairs: Iterable[tuple[str, object, object]]) -> tuple[Field, ...]:
    """The fields whose values differ."""
    return tuple(Field(name, before, after) for name, before, after in pairs if before != after)


def appearing(pairs: Iterable[tuple[str, object]]) -> tuple[Field, ...]:
    """The fields of something that is not there yet."""
    return tuple(Field(name, None, after) for name, after in pairs)


def tag_fields(have: PolicyState | RoleState, want: dict[str, str]) -> tuple[Field, ...]:
    """The tags that the plan would add or overwrite."""
    return differing((f"tag {key}", have.tags.get(key), value) for key, value in want.items())


def binding_name(binding: BindingState) -> str:
    """The binding as a person would name it."""
    return f"{binding.namespace}/{binding.name}" if binding.namespace else binding.name


def binding_fields(binding: BindingState) -> dict[str, object]:
    """What a binding grants, and to whom."""
    return {
        "grants": f"{binding.role_kind} {binding.role_name}",
        "where": f"namespace {binding.namespace}" if binding.namespace else "the whole cluster",
        "groups": sorted(binding.groups),
        "level": binding.level,
    }


def entry_fields(entry: MappingEntry) -> dict[str, object]:
    """Whom a mapping entry lets in, and what it makes of them."""
    return {
        "username": entry.username,
        "groups": list(entry.groups),
        "iamGroup": entry.iam_group,
        "level": entry.level,
    }


def given(entry: MappingEntry) -> str:
    """Return the user name and groups of an entry, in one line."""
    return f"user name {entry.username or 'none'}, groups {', '.join(entry.groups) or 'none'}"


def drift_fields(present: Sequence[MappingEntry]) -> Iterator[Field]:
    """Return fields for all that an edit of the first entry mends besides its values: its spelling, and entries of the same key.

    Of several entries the server takes the first and the reference the last.
    """
    for entry in present[:1]:
        if entry.problems:
            yield Field("written", "; ".join(entry.problems), "as apply writes it")
    for entry in present[1:]:
        yield Field(f"also at {entry.where or 'another place'}", given(entry), None)


def is_removable(rival: MappingEntry) -> bool:
    """Return whether an entry beside a level's can be removed: one of mapUsers, which applies to that role alone."""
    return rival.where.startswith("mapUsers[")
