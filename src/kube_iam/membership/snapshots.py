"""Results of reads of IAM, each of one moment: the members of a group, and a role with its trust policy.

`read_at` and the other times are seconds of the cache's clock, which never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """A whole group. `members` maps user names to unique ids (AIDA…); `read_at` is when the read began.

    A group that does not exist has no `account` and no members.
    """

    read_at: float
    account: str = ""
    members: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoleSnapshot:
    """A role. `problem` is why its entries admit nobody: its trust policy leaves the session name open, or the role does not exist.

    `exists` is false where the account that the server reads has no such role. `role_id` is the unique id (AROA…), `created` the
    CreateDate in Unix seconds, `longest` the longest session in seconds. `suspended_until` is when the last session under a chosen
    name has ended; 0 where there is none.
    """

    read_at: float
    role_id: str = ""
    longest: int = 43200
    problem: str = ""
    exists: bool = True
    created: float = 0.0
    suspended_until: float = 0.0


@dataclass(frozen=True, slots=True)
class GroupChange:
    """Names of users who joined and left a group between two reads; `first` where it had not been read before."""

    joined: tuple[str, ...]
    left: tuple[str, ...]
    first: bool
