"""Entries that ask for membership in an IAM group: what a role's entry holds its sessions to, and the entries of whole groups.

They say what is asked. Who is a member now is known to `kube_iam.authn.door`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.core.templates import Template


@dataclass(frozen=True, slots=True)
class Temporary:
    """Somebody who is let in although no member, until then (Unix seconds). `user_id` is the IAM user's unique id (AIDA…)."""

    user_name: str
    user_id: str
    until: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupMapping:
    """One mapGroups entry. `where` is its key path in the file."""

    iam_group: str
    username: Template
    groups: tuple[Template, ...] = ()
    level: str = ""
    temporary: tuple[Temporary, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a role's entry asks besides the role: its sessions are named after members of the group, or after who is in it for a time.

    `role` is the role's ARN as mappings are compared, without path and in lower case; `role_name` is spelled as in the file.
    """

    iam_group: str
    role: str
    role_name: str
    temporary: tuple[Temporary, ...] = ()
