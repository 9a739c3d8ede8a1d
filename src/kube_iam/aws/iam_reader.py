"""iam:GetGroup and iam:GetRole through botocore, for the server: whole answers or none. Blocking; thread-safe.

botocore is imported with the first call: only servers whose mappings name an IAM group pay its 34 MB.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from kube_iam.aws.client import aws_errors, make_client
from kube_iam.core.arns import parse_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.errors import CredentialsError, KubeIamError, NotFound, Unreachable

_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 3, 10, 2
_PAGE_SIZE = 1000  # the most that IAM gives at once; it may give fewer
_MAX_PAGES = 100  # an account has 5,000 IAM users, unless AWS agreed to more


@dataclass(frozen=True, slots=True)
class GroupFound:
    """A whole group: the account that it is in, and its members' unique ids by name."""

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
    """Reads with the server's own credentials. Raises the errors of our tree for everything but what IAM says does not exist."""

    def __init__(self, region: str = "") -> None:
        """`region` tells the partition whose IAM is asked."""
        self._region = region
        self._lock = threading.Lock()
        self._client: Any = None

    def group(self, name: str) -> GroupFound | None:
        """The group with all its members, or None where there is none. A part of it is an error, never an answer."""
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
            # A group that was made anew between two pages is another one.
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
        """The role, or None where there is none."""
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
            # botocore's parser, at a loss: it was XML, but none of IAM's. What it says may hold the answer.
            raise _cut_off(doing) from None

    def _ready(self) -> Any:
        with self._lock:
            if self._client is None:
                from botocore.config import Config
                from botocore.handlers import json_decode_policies

                limits = Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                )
                client = make_client("iam", self._region, config=limits)
                # Policies as text: parsed by botocore, a key that stands twice in one could not be seen.
                client.meta.events.unregister("after-call.iam", json_decode_policies)
                self._client = client
            return self._client


def _after(marker: str) -> dict[str, str]:
    return {"Marker": marker} if marker else {}


def _group_of(page: Mapping[str, Any], name: str, doing: str) -> tuple[str, str]:
    """The account of the group that a page is of, and the group's unique id."""
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
