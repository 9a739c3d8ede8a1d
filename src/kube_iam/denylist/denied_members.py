"""Members that the deny list refuses: by name, by ARN, and, where IAM tells whose they are, by unique id and access key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kube_iam.access.desired import iam_arn, mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.members import LevelMembers
from kube_iam.access.ports import Directory
from kube_iam.core.identity import Identity
from kube_iam.denylist.denial import Denial, DenialTable
from kube_iam.errors import AccessDenied, KubeIamError

Denied = Mapping[tuple[str, str], Denial]
"""Denials in force by level name and user name."""

_USER_KEY = re.compile(r"AKIA[A-Z2-7]{12,124}", re.ASCII | re.IGNORECASE)
_ROLE_ID = re.compile(r"AROA", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DeniedMembers:
    """The members that a denial refuses in their level, and what could not be checked, as sentences."""

    members: Denied = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()


def denied_members(
    access: ClusterAccess, directory: Directory, levels: Sequence[LevelMembers], denials: Iterable[Denial], now: float
) -> DeniedMembers:
    """Return the members that a denial refuses in their level at `now` (unix seconds).

    A sign-in by a level's role shows the role's unique id and a key of the session; by a level's IAM group, the user's own id and key.
    IAM is asked only for what a denial names: the owner of an access key, the unique id of a role. An error of that is in `unchecked`.
    """
    in_force = [denial for denial in denials if denial.until > now]
    asked = _Ids(directory)
    by_group = {each.level for each in levels if _is_by_group(access, each.level)}
    keys = sorted({denial.value.upper() for denial in in_force if is_of_key(denial)}) if by_group else []
    owners = [(key, owner.casefold()) for key in keys if (owner := asked.owner(key))]
    roles = any(_is_of(denial, "userId", _ROLE_ID) for denial in in_force)
    table = DenialTable(in_force)
    found: dict[tuple[str, str], Denial] = {}
    for members in levels:
        level = access.level(members.level)
        if level is None:
            continue
        role_id = asked.role(level.role_name) if roles and level.method is Method.ROLE and members.users else ""
        for user, user_id in _users(members):
            held = [key for key, owner in owners if owner == user.casefold()]
            hits = (
                table.find(identity, now, (level.group_name,))
                for identity in _identities(access, level, user, user_id, role_id, held)
            )
            # A denial of the whole sign-in says more than one of a single key.
            ranked = ((not is_of_key(hit), hit.until, hit) for hit in hits if hit is not None)
            denial = max(ranked, key=lambda each: each[:2], default=(False, 0.0, None))[2]
            if denial is not None:
                found[members.level, user] = denial
    return DeniedMembers(found, tuple(asked.errors))


def is_of_key(denial: Denial) -> bool:
    """Return whether the denial refuses one access key of a user, who may have another."""
    return _is_of(denial, "accessKeyId", _USER_KEY)


class _Ids:
    """Ids that IAM is asked for, each once. `errors` says what could not be asked."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.errors: list[str] = []

    def owner(self, key: str) -> str:
        """Return the name of the user with that access key; empty where it is not known."""
        return self._ask(
            f"whose access key {key} is", "iam:GetAccessKeyLastUsed", lambda: self._directory.key_owner(key)
        )

    def role(self, name: str) -> str:
        """Return the role's unique id; empty where it is not known."""
        return self._ask(f"the unique id of role {name}", "iam:GetRole", lambda: self._directory.role_id(name))

    def _ask(self, what: str, permission: str, ask: Callable[[], str]) -> str:
        try:
            return ask()
        except AccessDenied:
            self.errors.append(f"{what} could not be read, so a denial of it is not shown; that takes {permission}")
        except KubeIamError as error:
            self.errors.append(f"{what} could not be read, so a denial of it is not shown: {error.message}")
        return ""


def _is_of(denial: Denial, kind: str, pattern: re.Pattern[str]) -> bool:
    return denial.kind in ("", kind) and pattern.match(denial.value) is not None


def _is_by_group(access: ClusterAccess, name: str) -> bool:
    level = access.level(name)
    return level is not None and level.method is Method.GROUP


def _users(members: LevelMembers) -> Iterator[tuple[str, str]]:
    """Yield the name and the unique id of each user who may sign in by the level, now or after the next `apply`."""
    for user in members.users or ():
        yield user, members.ids.get(user, "")
    for user in members.absent:
        yield user, ""
    for who in members.temporary:
        yield who.user_name, who.user_id


def _identities(
    access: ClusterAccess, level: Level, user: str, user_id: str, role_id: str, keys: Iterable[str]
) -> Iterator[Identity]:
    """Yield the identities with which the user can sign in by the level, one for each of the access keys that a denial names."""
    if level.method is Method.GROUP:
        arn = iam_arn(access, f"user/{user}")
        for key in ("", *keys):
            yield Identity(arn, arn, access.account, user_id, "", key, "")
        return
    role = mapped_arn(access, level)
    name = role.rpartition("/")[2]
    arn = f"arn:{access.partition}:sts::{access.account}:assumed-role/{name}/{user}"
    yield Identity(arn, role, access.account, role_id, user, "", "")
