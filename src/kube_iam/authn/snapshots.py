"""What was read of IAM, each at one moment: who is in a group, and how a role lets people in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """A whole group. `members` maps user names to unique ids (AIDA…); `read_at` is when reading began, by the door's clock.

    A group that does not exist has no `account`, and no members.
    """

    read_at: float
    account: str = ""
    members: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoleSnapshot:
    """A role. `problem` is why it lets nobody in through an entry with a group: its trust policy leaves the session name open, or
    (`exists` false) there is no such role in the account that the server sees.

    `role_id` is its unique id (AROA…), `created` its CreateDate in Unix seconds, `longest` how many seconds a session can last.
    `suspended_until`, by the clock of `read_at`, is when the last session under a chosen name has ended; 0 where there is none.
    """

    read_at: float
    role_id: str = ""
    longest: int = 43200
    problem: str = ""
    exists: bool = True
    created: float = 0.0
    suspended_until: float = 0.0
