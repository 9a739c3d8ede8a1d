"""A plan as data: changes in the order in which they will be made, warnings, guards, failures and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from kube_iam.access.desired import DesiredGroup, DesiredPolicy, DesiredRole
from kube_iam.access.inventory import Inventory
from kube_iam.access.mapping import MappingEntry, given
from kube_iam.access.ports import BindingState, GroupState, Holder, PolicyState, RoleState
from kube_iam.core.mapping_entries import TemporaryGrant

TAG = "tags."
"""Prefix of the name of a field that is a tag."""


class Verb(Enum):
    """Action of a change. ADOPT makes an existing thing this cluster's."""

    CREATE = "create"
    UPDATE = "update"
    ADOPT = "adopt"
    DELETE = "delete"


class Kind(Enum):
    """Kind of thing that a change is about, as a person calls it."""

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
    """A policy of this cluster that is detached from a user, role or group that is not this cluster's."""

    holder: Holder
    policy_arn: str


@dataclass(frozen=True, slots=True)
class Membership:
    """A user in a group."""

    group: str
    user: str


@dataclass(frozen=True, slots=True)
class TemporaryRemoval:
    """Removal of a user's temporary access by an entry.

    `policy` is the name of the user's own policy, empty if there is none. With `only`, a later grant to the same user stays.
    """

    entry: MappingEntry
    user: str
    policy: str
    only: TemporaryGrant | None = None


@dataclass(frozen=True, slots=True)
class FormerEntry:
    """An entry of ours in a former mapping. `is_replaced`: an entry of the present mapping admits the same role."""

    entry: MappingEntry
    is_replaced: bool


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
    | TemporaryRemoval
    | BindingState
    | MappingEntry
    | FormerEntry
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field before and after the change, None if there is none. Values are JSON values."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `item` is what `apply` needs; everything else is for readers."""

    verb: Verb
    kind: Kind
    name: str
    level: str
    fields: tuple[Field, ...] = ()
    item: Item | None = field(default=None, compare=False, repr=False)

    def changes(self, name: str) -> bool:
        """Return whether the field of that name changes."""
        return any(part.name == name for part in self.fields)

    def as_data(self) -> dict[str, object]:
        """Return the change as JSON data."""
        return {
            "verb": self.verb.value,
            "kind": self.kind.value,
            "name": self.name,
            "level": self.level,
            "fields": {part.name: {"before": part.before, "after": part.after} for part in self.fields},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes, in order. `guards` are reasons for which it needs --force, `failures` are changes that would be refused.

    `left_alone` are things that `destroy` found and leaves, since they are not known to be this cluster's. `entries` are those of the
    mapping when the plan was made, and `inventory` is everything else that was read for it.
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
    inventory: Inventory = field(default=Inventory(), compare=False, repr=False)

    def count(self, verb: Verb) -> int:
        """Return how many changes have this verb."""
        return sum(change.verb is verb for change in self.changes)

    def as_data(self) -> dict[str, object]:
        """Return the plan as JSON data. `digest` covers everything else: equal plans have equal digests."""
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


def changed(pairs: Iterable[tuple[str, object, object]]) -> tuple[Field, ...]:
    """Return the fields whose values differ."""
    return tuple(Field(name, before, after) for name, before, after in pairs if before != after)


def differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Field, ...]:
    """Return the fields that have other values after than before. A missing field is None."""
    names = dict.fromkeys([*after, *before])
    return changed((name, before.get(name), after.get(name)) for name in names)


def added(pairs: Iterable[tuple[str, object]]) -> tuple[Field, ...]:
    """Return the fields of something that is created."""
    return tuple(Field(name, None, after) for name, after in pairs)


def removed(fields: Mapping[str, object]) -> tuple[Field, ...]:
    """Return the fields of something that is deleted."""
    return tuple(Field(name, before, None) for name, before in fields.items())


def tag_fields(have: PolicyState | RoleState, want: dict[str, str]) -> tuple[Field, ...]:
    """Return the tags that the plan adds or overwrites."""
    return tag_changes(have.tags, want)


def tag_changes(have: Mapping[str, str], want: Mapping[str, str]) -> tuple[Field, ...]:
    """Return the tags of a thing with the tags `have` that the plan adds or overwrites."""
    return changed((f"{TAG}{key}", have.get(key), value) for key, value in want.items())


def spelled_as(have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
    """Return the wanted tags with their keys in the letter case of the present ones: IAM does not tell keys apart by it."""
    present = {key.casefold(): key for key in have}
    return {present.get(key.casefold(), key): value for key, value in want.items()}


def member_change(verb: Verb, item: Membership, level: str, more: tuple[Field, ...] = ()) -> Change:
    """Return the change that adds a user to a group (CREATE) or removes the user (DELETE)."""
    pairs = {"userName": item.user, "iamGroup": item.group}
    fields = added(pairs.items()) if verb is Verb.CREATE else removed(pairs)
    return Change(verb, Kind.MEMBER, f"{item.user} in {item.group}", level, (*fields, *more), item)


def binding_name(binding: BindingState) -> str:
    """Return the binding as a person would name it."""
    return f"{binding.namespace}/{binding.name}" if binding.namespace else binding.name


def binding_fields(binding: BindingState) -> dict[str, object]:
    """Return the role that a binding grants, its namespace and its subjects."""
    source = binding.source
    synced: dict[str, object] = {}
    if source is not None:
        synced = {"users": sorted(binding.users), "iamGroup": source.iam_group, "role": source.role_arn}
        synced["username"] = source.username
    return {
        "grants": f"{binding.role_kind} {binding.role_name}",
        "where": f"namespace {binding.namespace}" if binding.namespace else "the whole cluster",
        "groups": sorted(binding.groups),
        "level": binding.level,
        **synced,
    }


def entry_fields(entry: MappingEntry) -> dict[str, object]:
    """Return the user name, the groups, the IAM group and the level of a mapping entry."""
    return {
        "username": entry.username,
        "groups": list(entry.groups),
        "iamGroup": entry.iam_group,
        "level": entry.level,
    }


def drift_fields(present: Sequence[MappingEntry], want: MappingEntry) -> Iterator[Field]:
    """Yield fields for what an edit of the first entry repairs besides its values: its notation, and further entries of its key.

    Of several entries the server applies the first and the reference the last. A role's name in another letter case is not covered by
    the server's rights in IAM, so that it cannot check membership.
    """
    for entry in present[:1]:
        yield from changed([("roleArn", entry.role_arn, want.role_arn)])
        if entry.problems:
            yield Field("notation", "; ".join(entry.problems), "as apply writes it")
    for entry in present[1:]:
        yield Field(f"duplicate.{entry.where or 'elsewhere'}", given(entry), None)
