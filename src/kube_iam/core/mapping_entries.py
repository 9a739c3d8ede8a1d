"""Entries of the mappings as they are written: mapRoles, mapUsers, mapGroups, and what a mapRoles entry requires of its sessions.

Key paths (`where`) name an entry in messages: `mapRoles[0]`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kube_iam.core.arns import Sso
from kube_iam.core.templates import Template
from kube_iam.core.utc import parse_rfc3339


@dataclass(frozen=True, slots=True)
class TemporaryGrant:
    """Access of a user who is no member of the IAM group. `user_id` is the user's unique id (AIDA…).

    `until` is RFC 3339 in UTC, as written. `ends` is the same in Unix seconds; 0, which is in the past, if `until` cannot be read.
    """

    user_name: str
    user_id: str
    until: str
    reason: str = ""
    ends: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", parse_rfc3339(self.until) or 0.0)

    @property
    def item(self) -> dict[str, str]:
        """Return the item of `temporary` as it is written, without empty fields."""
        fields = {"userName": self.user_name, "userId": self.user_id, "until": self.until, "reason": self.reason}
        return {key: text for key, text in fields.items() if text}


@dataclass(frozen=True, slots=True)
class MembershipRequirement:
    """Condition of a mapRoles entry: the session is named after a member of the IAM group, or after a user with a temporary grant.

    `role` is the role's comparable ARN (`comparable_arn`); `role_name` is spelled as in the file.
    """

    iam_group: str
    role: str
    role_name: str
    temporary: tuple[TemporaryGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """One mapRoles entry: a role's ARN, or the role of an IAM Identity Center permission set.

    `iam_group`, which goes with an ARN only, makes the entry require membership in that IAM group or a grant in `temporary`.
    """

    who: str | Sso
    username: Template
    groups: tuple[Template, ...] = ()
    where: str = ""
    iam_group: str = ""
    level: str = ""
    temporary: tuple[TemporaryGrant, ...] = ()


@dataclass(frozen=True, slots=True)
class UserMapping:
    """One mapUsers entry."""

    arn: str
    username: Template
    groups: tuple[Template, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class GroupMapping:
    """One mapGroups entry: members of the IAM group sign in with their own keys."""

    iam_group: str
    username: Template
    groups: tuple[Template, ...] = ()
    level: str = ""
    temporary: tuple[TemporaryGrant, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class UserIdMapping:
    """One entry by the unique id of a role or user (AROA…, AIDA…). Where it has an ARN too, that must agree.

    A role that is deleted and created again keeps its ARN and gets another id, so that the old entry does not match it.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """

    user_id: str
    arn: str
    username: Template
    groups: tuple[Template, ...] = ()
    where: str = ""
