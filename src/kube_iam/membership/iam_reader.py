"""Reads of IAM groups and roles (iam:GetGroup, iam:GetRole) by the server: whole answers or none. Blocking; thread-safe.

botocore is imported with the first call: only servers whose mappings name an IAM group pay its 34 MB.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from kube_iam.aws.client import aws_errors, iam_text_client
from kube_iam.core.arns import parse_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.errors import CredentialsError, KubeIamError, NotFound, Unreachable

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 3, 10, 2
_PAGE_SIZE = 1000  # the most that IAM gives at once; it may give fewer
_MAX_PAGES = 100  # an account has 5,000 IAM users, unless AWS agreed to more


@dataclass(frozen=True, slots=True)
class GroupFound:
    """A whole group: its account, and the unique ids of its members by name."""

    account: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RoleFound:
    """A role: ARN, unique id, trust policy as the text that IAM holds, how many seconds its sessions can last, and its CreateDate.

    `created` is in Unix seconds, 0 where IAM does not say.
    """

    arn: str
    role_id: str
    trust: str
    longest: int
    created: float = 0.0


class IamReader:
    """Reads with the server's own credentials. None stands for what IAM says does not exist; all other failures raise KubeIamError."""

    def __init__(self, region: str = "") -> None:
        """`region` is one of the partition whose IAM is asked."""
        self._region = region
        self._lock = threading.Lock()
        self._client: Any = None

    def group(self, name: str) -> GroupFound | None:
        """Return the group with all its members, or None if there is none. Raises KubeIamError, also for a part of a group."""
        doing = f"read the members of group {name}"
        members: dict[str, str] = {}
        first: tuple[str, str] | None = None
        marker = ""
        for _ in range(_MAX_PAGES):
            page = self._call("get_group", doing, GroupName=name, MaxItems=_PAGE_SIZE, **_after(marker))
            if page is None:
                if first is not None:
                    raise _cut_off(doing)
                return None
            group = _group_of(page, name, doing)
            # A group that was deleted and created again between two pages is another one.
            if first not in (None, group):
                raise _cut_off(doing)
            first = group
            members |= _members(page, doing)
            truncated, next_marker = page.get("IsTruncated"), page.get("Marker", "")
            if truncated is False:
                return GroupFound(first[0], members)
            if truncated is not True or not next_marker or next_marker == marker:
                raise _cut_off(doing)
            marker = next_marker
        raise _cut_off(doing)

    def role(self, name: str) -> RoleFound | None:
        """Return the role, or None if there is none. Raises KubeIamError."""
        doing = f"read role {name}"
        answer = self._call("get_role", doing, RoleName=name)
        if answer is None:
            return None
        role = answer.get("Role", {})
        arn, role_id, trust, longest = (
            role.get(key) for key in ("Arn", "RoleId", "AssumeRolePolicyDocument", "MaxSessionDuration")
        )
        texts = (arn, role_id, trust)
        if not all(isinstance(text, str) and text for text in texts) or parse_arn(str(arn)) is None:
            raise _cut_off(doing)
        created = role.get("CreateDate")
        return RoleFound(
            str(arn),
            str(role_id),
            unquote(str(trust)),
            longest if isinstance(longest, int) else 3600,  # IAM leaves it out where it never was set
            created.timestamp() if isinstance(created, datetime) else 0.0,
        )

    def _call(self, operation: str, doing: str, **arguments: Any) -> dict[str, Any] | None:
        client = self._ready()
        try:
            with aws_errors(doing):
                return dict(getattr(client, operation)(**arguments))
        except NotFound:
            return None
        except CredentialsError:
            # A client without credentials would stay without: look for them again next time.
            self._client = None
            raise
        except KubeIamError:
            raise
        except Exception:
            # botocore's parser: the answer is XML, but none of IAM's. The parser's message may hold the answer.
            raise _cut_off(doing) from None

    def _ready(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = iam_text_client(
                    self._region, connect_timeout=_CONNECT_SECONDS, read_timeout=_READ_SECONDS, attempts=_ATTEMPTS
                )
            return self._client


def _after(marker: str) -> dict[str, str]:
    return {"Marker": marker} if marker else {}


def _group_of(page: Mapping[str, Any], name: str, doing: str) -> tuple[str, str]:
    """Return the account and the unique id of the group of this page. Raises Unreachable for another answer."""
    group = page.get("Group", {})
    arn = parse_arn(str(group.get("Arn", "")))
    same = ascii_lower(str(group.get("GroupName", ""))) == ascii_lower(name)
    if not same or arn is None or arn.service != "iam" or not group.get("GroupId"):
        raise _cut_off(doing)
    return arn.account, str(group["GroupId"])


def _members(page: Mapping[str, Any], doing: str) -> dict[str, str]:
    users = page.get("Users")
    if not isinstance(users, list):
        raise _cut_off(doing)
    found = {str(user.get("UserName", "")): str(user.get("UserId", "")) for user in users}
    if not all(name and user_id for name, user_id in found.items()):
        raise _cut_off(doing)
    return found


def _cut_off(doing: str) -> Unreachable:
    return Unreachable(f"cannot {doing}: IAM's answer is not whole", "is there a proxy in between?")
