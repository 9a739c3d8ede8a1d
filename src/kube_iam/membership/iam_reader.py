"""Reads of IAM groups and roles (iam:GetGroup, iam:GetRole) by the server: whole answers or none. Blocking; thread-safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from kube_iam.aws.query_api import not_whole, text_at
from kube_iam.aws.server_api import ServerApi
from kube_iam.core.arns import parse_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.utc import parse_rfc3339
from kube_iam.errors import NotFound

_CONNECT_SECONDS, _READ_SECONDS = 3, 10
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
        self._api = ServerApi("iam", region, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS)

    def group(self, name: str) -> GroupFound | None:
        """Return the group with all its members, or None if there is none. Raises KubeIamError, also for a part of a group."""
        doing = f"read the members of group {name}"
        members: dict[str, str] = {}
        first: tuple[str, str] | None = None
        marker = ""
        for _ in range(_MAX_PAGES):
            after = {"Marker": marker} if marker else {}
            page = self._call("GetGroup", {"GroupName": name, "MaxItems": str(_PAGE_SIZE), **after}, doing)
            if page is None:
                if first is not None:
                    raise not_whole(doing)
                return None
            group = _group_of(page, name, doing)
            # A group that was deleted and created again between two pages is another one.
            if first not in (None, group):
                raise not_whole(doing)
            first = group
            members |= _members(page, doing)
            truncated, next_marker = text_at(page, "IsTruncated"), text_at(page, "Marker")
            if truncated == "false":
                return GroupFound(first[0], members)
            if truncated != "true" or not next_marker or next_marker == marker:
                raise not_whole(doing)
            marker = next_marker
        raise not_whole(doing)

    def role(self, name: str) -> RoleFound | None:
        """Return the role, or None if there is none. Raises KubeIamError."""
        doing = f"read role {name}"
        answer = self._call("GetRole", {"RoleName": name}, doing)
        if answer is None:
            return None
        arn, role_id, trust, longest, created = (
            text_at(answer, "Role", key)
            for key in ("Arn", "RoleId", "AssumeRolePolicyDocument", "MaxSessionDuration", "CreateDate")
        )
        if not (arn and role_id and trust) or parse_arn(arn) is None:
            raise not_whole(doing)
        return RoleFound(
            arn,
            role_id,
            unquote(trust),
            int(longest) if longest.isascii() and longest.isdigit() else 3600,  # left out where it never was set
            parse_rfc3339(created) or 0.0,
        )

    def _call(self, action: str, parameters: Mapping[str, str], doing: str) -> Element | None:
        try:
            return self._api.call(action, parameters, doing)
        except NotFound:
            return None


def _group_of(page: Element, name: str, doing: str) -> tuple[str, str]:
    """Return the account and the unique id of the group of this page. Raises Unreachable for another answer."""
    arn, group_id = parse_arn(text_at(page, "Group", "Arn")), text_at(page, "Group", "GroupId")
    same = ascii_lower(text_at(page, "Group", "GroupName")) == ascii_lower(name)
    if not same or arn is None or arn.service != "iam" or not group_id:
        raise not_whole(doing)
    return arn.account, group_id


def _members(page: Element, doing: str) -> dict[str, str]:
    users = page.find("Users")
    if users is None:
        raise not_whole(doing)
    found = {text_at(user, "UserName"): text_at(user, "UserId") for user in users}
    if not all(name and user_id for name, user_id in found.items()):
        raise not_whole(doing)
    return found
