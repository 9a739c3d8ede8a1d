"""The cluster's mapping as access reads and edits it: its entries, and the port that `kube_iam.kube` implements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from kube_iam.core.arns import Sso, comparable_arn, parse_sso_role, strip_role_path
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping, TemporaryGrant, UserMapping


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """One entry of mapRoles (`role_arn` or `sso`) or else of mapGroups. `role_arn` has no path, as STS shows it.

    In an access entry of EKS it has the role's path, as IAM shows it, and `created` is the time of its creation in Unix seconds. Such
    an entry has `tags`, of which the wanted ones are written, and `policies`: names of access policies that others associated.

    With `iam_group`, a session of the role is admitted only for a member of that group or for a user in `temporary`. `key` is the
    role's ARN as the server compares it, the permission set, else the name of the IAM group in lower case. Entries with equal keys are
    one entry.

    `cluster` is the name of the cluster that the labels of the entry's object name, empty for an object without our labels. It is None
    where entries have no labels: then the owner of the role or group is the entry's owner.
    """

    role_arn: str
    username: str
    groups: tuple[str, ...]
    iam_group: str = ""
    level: str = ""
    temporary: tuple[TemporaryGrant, ...] = ()
    principal: str = (
        ""  # of an entry that is neither in mapRoles nor in mapGroups, or is an odd one of mapRoles: an ARN, an account
    )
    where: str = field(default="", compare=False)  # such as mapRoles[3]; empty for an entry that is not in a mapping
    problems: tuple[str, ...] = field(
        default=(), compare=False
    )  # what the server reports of it and an edit by `put` would mend
    cluster: str | None = field(default=None, compare=False)

    sso: Sso | None = None
    created: float | None = field(default=None, compare=False)
    tags: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    policies: tuple[str, ...] = field(default=(), compare=False)

    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        own = pathless(self.role_arn) or self.iam_group.strip().casefold()
        own = "permission set " + "/".join(self.sso.key) if self.sso is not None else own
        object.__setattr__(self, "key", f"principal {pathless(self.principal)}" if self.principal else own)

    @property
    def name(self) -> str:
        """Return the entry as a person would name it."""
        if self.sso is not None:
            return self.sso.describe()
        return self.role_arn or self.principal or f"group {self.iam_group}"

    def matches_role(self, role_arn: str) -> bool:
        """Return whether the server applies the entry to sessions of the role, by its ARN or its permission set."""
        if self.sso is None:
            return bool(self.role_arn) and self.key == pathless(role_arn)
        found = parse_sso_role(pathless(role_arn))
        return found is not None and _matches(self.sso, found)

    def matches_permission_set(self, sso: Sso) -> bool:
        """Return whether the server applies the entry to some session of the permission set."""
        if self.sso is None:
            return parse_sso_role(self.key) == sso.key
        return _matches(self.sso, sso.key)


def _matches(sso: Sso, key: tuple[str, str, str]) -> bool:
    """Return whether a permission set, whose name may be a pattern, is that of the key."""
    pattern = sso.pattern()
    if pattern is None:
        return sso.key == key
    return sso.key[:2] == key[:2] and pattern.fullmatch(key[2]) is not None


@lru_cache(maxsize=4096)  # the same few roles are compared again and again
def pathless(role_arn: str) -> str:
    """Return a role's ARN as the server compares it (`comparable_arn`). Text that is no ARN is only put into lower case."""
    text = role_arn.strip()
    try:
        return comparable_arn(text)
    except ValueError:
        return strip_role_path(ascii_lower(text))


def entries_of_roles(
    role_arns: Iterable[str], entries: Iterable[tuple[str, MappingEntry]]
) -> Mapping[str, tuple[MappingEntry, ...]]:
    """Return the entries of these roles, by the ARNs as given. Each entry comes with the `pathless` ARN of its role."""
    wanted = {pathless(arn): arn for arn in role_arns}
    found: dict[str, list[MappingEntry]] = {}
    for key, entry in entries:
        if key in wanted:
            found.setdefault(wanted[key], []).append(entry)
    return {arn: tuple(each) for arn, each in found.items()}


def role_key(role_arn: str) -> str:
    """Return a role's name in lower case, of any spelling of its ARN: IAM does not tell names apart by letter case."""
    return pathless(role_arn).rsplit("/", 1)[-1]


def kept_grants(present: Iterable[MappingEntry], wanted: MappingEntry) -> tuple[TemporaryGrant, ...]:
    """Return the temporary grants that stay when the present entries of one key become `wanted`: the first of each user.

    None stay where `wanted` has no group. Those of an entry of another level do not stay.
    """
    kept: dict[str, TemporaryGrant] = {}
    for entry in present if wanted.iam_group else ():
        for grant in entry.temporary if entry.level in ("", wanted.level) else ():
            kept.setdefault(grant.user_name.casefold(), grant)
    return tuple(kept.values())


def without_grant(
    grants: Iterable[TemporaryGrant], user_name: str, only: TemporaryGrant | None = None
) -> tuple[TemporaryGrant, ...]:
    """Return the grants without those of the user or, with `only`, without exactly that one."""
    if only is not None:
        return tuple(grant for grant in grants if grant != only)
    return tuple(grant for grant in grants if grant.user_name.casefold() != user_name.casefold())


def given(entry: MappingEntry) -> str:
    """Return the user name and groups of an entry, in one line."""
    return f"user name {entry.username or 'none'}, groups {', '.join(entry.groups) or 'none'}"


def is_removable(rival: MappingEntry) -> bool:
    """Return whether an entry beside a level's can be removed: one of mapUsers, which applies to that role alone."""
    return rival.where.startswith("mapUsers[")


@dataclass(frozen=True, slots=True)
class UnusedEntry:
    """An entry that the server cannot use for any principal. `principal` is the text of its `key` (`rolearn`), both maybe empty."""

    where: str
    principal: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class ServerMapping:
    """A mapping as the server's own reader returns it, in the server's order. `kube_iam.access.entry_match` searches it.

    `source` is the file, the ConfigMap or the kind of objects. `lines` has the line of an entry by its `where`, as far as texts have
    lines; `problems` has the server's reports by `where`.
    """

    source: str
    roles: tuple[RoleMapping, ...] = ()
    users: tuple[UserMapping, ...] = ()
    groups: tuple[GroupMapping, ...] = ()
    accounts: tuple[str, ...] = ()
    unused: tuple[UnusedEntry, ...] = ()
    reserved_prefixes: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def entries(self) -> tuple[RoleMapping | UserMapping | GroupMapping, ...]:
        """Return all entries that the server can use, in the order in which it tries them."""
        return (*self.roles, *self.users, *self.groups)

    def place(self, where: str) -> str:
        """Return where an entry stands, as messages name it: `ConfigMap kube-system/aws-auth, line 3, mapRoles[0]`."""
        line = self.lines.get(where)
        return ", ".join(filter(None, (self.source, f"line {line}" if line else "", where)))


class MappingStore(Protocol):
    """Port: mapRoles and mapGroups as the authenticator reads them. An edit keeps everything but the named entry: comments, order.

    `entries` reads the mapping. `faults`, `reserved_prefixes`, `rivals`, `others` and `server_mapping` are about what it read last, so
    that all of them describe one version of the mapping. They read it if nothing was read before.
    """

    def describe(self) -> str:
        """Return where the entries are, as a person would name it."""

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return all entries, ours and others', mapRoles first; none if the file or ConfigMap does not exist yet."""

    def faults(self) -> tuple[str, ...]:
        """Return why a server cannot load the mapping and keeps the last one that it could load; none if it can."""

    def reserved_prefixes(self) -> tuple[str, ...]:
        """Return prefixes of user names that the server refuses for entries of this mapping, as far as the mapping's text tells."""

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        """Return further entries that the server could apply to sessions of these roles, by role ARN as given; no key without one.

        Those are entries of mapUsers, of permission sets, and of mapRoles where the server takes another ARN than `entries` does.
        """

    def others(self) -> tuple[MappingEntry, ...]:
        """Return what the server reads beside `entries`: users, permission sets, other spellings of roles, and whole accounts.

        Each has a `principal`; that of an account is its 12 digits. Raises as `entries` does.
        """

    def server_mapping(self) -> ServerMapping:
        """Return all entries as the server's own reader returns them. Raises as `entries` does."""

    def put(self, entry: MappingEntry) -> None:
        """Add the entry, or change the one with the same key in place. Retries if somebody else wrote in between.

        `temporary` of a present entry stays, whatever the entry says, unless the entry has no group or becomes another level's.
        """

    def adopt(self, entry: MappingEntry) -> None:
        """Take over an entry of others with the same key, and make it equal. Retries if somebody else wrote in between."""

    def remove(self, entry: MappingEntry) -> None:
        """Remove the entries with that key. Retries if somebody else wrote in between."""

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:
        """Write the grant into `temporary` of the entry with that key, in place of one of the same user.

        Raises NotFound if there is no such entry, or none with a group.
        """

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        """Remove the user's grant from `temporary` of the entry with that key; with `only`, no other grant."""


class UnreadMapping(MappingStore):
    """Mapping without entries, for plans about IAM alone. Its writes raise ValueError, since such plans have none."""

    def __init__(self, name: str) -> None:
        """`name` is where the mapping lives, as a person would name it."""
        self._name = name

    def describe(self) -> str:
        """Return the name, and that it is not read."""
        return f"{self._name} (not read: --iam-only)"

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return none."""
        return ()

    def faults(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def reserved_prefixes(self) -> tuple[str, ...]:
        """Return none."""
        return ()

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:  # noqa: ARG002
        """Return none."""
        return {}

    def others(self) -> tuple[MappingEntry, ...]:
        """Return none."""
        return ()

    def server_mapping(self) -> ServerMapping:
        """Return a mapping without entries."""
        return ServerMapping(self.describe())

    def put(self, entry: MappingEntry) -> None:
        """Raise ValueError."""
        raise ValueError(entry.name)

    def adopt(self, entry: MappingEntry) -> None:
        """Raise ValueError."""
        raise ValueError(entry.name)

    def remove(self, entry: MappingEntry) -> None:
        """Raise ValueError."""
        raise ValueError(entry.name)

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:  # noqa: ARG002
        """Raise ValueError."""
        raise ValueError(entry.name)

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:  # noqa: ARG002
        """Raise ValueError."""
        raise ValueError(entry.name)


@dataclass(frozen=True, slots=True)
class MappingSource:
    """State of the text that holds the mapping. `missing` says what does not exist, empty if the text exists.

    `cluster_id` is its `clusterID`, empty if it has none. `doubt` is why the cluster's authenticator may not read it, with the remedy.
    """

    cluster_id: str = ""
    missing: str = ""
    doubt: str = ""
