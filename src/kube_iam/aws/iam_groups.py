"""Groups, their attached policies and their members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from kube_iam.access.ports import GroupState, User
from kube_iam.aws.iam_calls import ALREADY_EXISTS, boundary_of, code_of, is_missing
from kube_iam.aws.iam_part import IamPart, occupied
from kube_iam.aws.parallel import in_parallel
from kube_iam.errors import KubeIamError, NotFound


class IamGroups(IamPart):
    """The groups and users of the `Directory` port."""

    def groups(self, path_prefix: str) -> tuple[GroupState, ...]:
        """Return all groups below the path. It takes one call for each, besides the pages."""
        listed = self._aws.pages("list_groups", "Groups", "list groups", PathPrefix=path_prefix)
        # Compared here as well: what lies below the path is ours, and an emulator may ignore the prefix.
        return tuple(
            in_parallel(self._group_state, (group for group in listed if group["Path"].startswith(path_prefix)))
        )

    def group(self, name: str) -> GroupState | None:
        """Return the group, or None where there is none."""
        found = self._raw_group(name)
        return None if found is None else self._group_state(found)

    def inline_policies(self, group: str) -> tuple[str, ...]:
        """Return the names of the group's inline policies; none where there is no such group."""
        doing = f"list the inline policies of group {group}"
        try:
            return tuple(map(str, self._aws.pages("list_group_policies", "PolicyNames", doing, GroupName=group)))
        except NotFound:
            return ()

    def create_group(self, name: str, path: str) -> str:
        """Create the group and return its ARN. Raises Conflict where a group of that name has another path."""
        try:
            created = self._aws.call("create_group", f"create group {name}", GroupName=name, Path=path)
        except KubeIamError as error:
            if code_of(error) != ALREADY_EXISTS:
                raise
            self._until(f"group {name}, which exists", lambda: self._raw_group(name) is not None)
            present = self._raw_group(name)
            if present is None or present["Path"] != path:
                raise occupied(f"group {name}", "under another path") from error
            return str(present["Arn"])
        self._until(f"group {name}", lambda: self._raw_group(name) is not None)
        return str(created["Group"]["Arn"])

    def move_group(self, name: str, path: str) -> None:
        """Give the group another path; members and policies stay. Raises NotFound where there is no such group."""
        self._aws.call("update_group", f"move group {name} to {path}", GroupName=name, NewPath=path)

        def shown() -> bool:
            group = self._raw_group(name)
            return group is not None and group["Path"] == path

        self._until(f"group {name} under {path}", shown)

    def delete_group(self, name: str) -> None:
        """Delete the group. Raises Conflict while it has members or policies."""
        self._aws.deleted("delete_group", f"delete group {name}", GroupName=name)
        self._until(f"group {name} as gone", lambda: self._raw_group(name) is None)

    def attach(self, group: str, policy_arn: str) -> None:
        """Attach the policy to the group. Waits until IAM knows a new policy."""
        self._retry(
            f"policy {policy_arn} and group {group}",
            is_missing,
            "attach_group_policy",
            f"attach a policy to group {group}",
            GroupName=group,
            PolicyArn=policy_arn,
        )
        self._until(f"the policy of group {group}", lambda: policy_arn in self._attached(group))

    def detach(self, group: str, policy_arn: str) -> None:
        """Detach the policy from the group."""
        doing = f"detach a policy from group {group}"
        self._aws.deleted("detach_group_policy", doing, GroupName=group, PolicyArn=policy_arn)
        self._until(f"group {group} without the policy", lambda: policy_arn not in self._attached(group))

    def members(self, group: str) -> tuple[User, ...]:
        """Return the group's members, all pages. Raises NotFound where there is no such group."""
        return tuple(
            _user(user)
            for user in self._aws.pages("get_group", "Users", f"list the members of group {group}", GroupName=group)
        )

    def users(self) -> Iterator[User]:
        """Return every IAM user of the account."""
        return (_user(user) for user in self._aws.pages("list_users", "Users", "list users"))

    def user(self, name: str) -> User | None:
        """Return the user, or None where there is none."""
        found = self._aws.found("get_user", f"read user {name}", UserName=name)
        return None if found is None else replace(_user(found["User"]), boundary=boundary_of(found["User"]))

    def key_owner(self, access_key_id: str) -> str:
        """Return the name of the user who has the access key; empty where no user of this account has it."""
        doing = f"read whose access key {access_key_id} is"
        found = self._aws.found("get_access_key_last_used", doing, AccessKeyId=access_key_id)
        return "" if found is None else str(found.get("UserName", ""))

    def groups_of(self, user: str) -> frozenset[str]:
        """Return the groups of one user. A user has at most ten; a group may have thousands of members."""
        doing = f"list the groups of user {user}"
        try:
            found = list(self._aws.pages("list_groups_for_user", "Groups", doing, UserName=user))
        except NotFound:
            return frozenset()
        return frozenset(str(group["GroupName"]) for group in found)

    def add_member(self, group: str, user: str) -> None:
        """Add the user to the group. Raises NotFound where either does not exist."""
        self._aws.call("add_user_to_group", f"add user {user} to group {group}", GroupName=group, UserName=user)
        self._until(f"user {user} in group {group}", lambda: group in self.groups_of(user))

    def remove_member(self, group: str, user: str) -> None:
        """Remove the user from the group. A user or group that is gone is no error."""
        doing = f"remove user {user} from group {group}"
        self._aws.deleted("remove_user_from_group", doing, GroupName=group, UserName=user)
        self._until(f"user {user} outside group {group}", lambda: group not in self.groups_of(user))

    def _raw_group(self, name: str) -> dict[str, Any] | None:
        found = self._aws.found("get_group", f"read group {name}", GroupName=name, MaxItems=1)
        return None if found is None else dict(found["Group"])

    def _group_state(self, group: Mapping[str, Any]) -> GroupState:
        name = str(group["GroupName"])
        return GroupState(group["Arn"], name, group["Path"], self._attached(name))

    def _attached(self, group: str) -> tuple[str, ...]:
        """Return the ARNs of the attached policies; none where there is no such group (any more, or yet)."""
        doing = f"list the policies of group {group}"
        try:
            found = list(self._aws.pages("list_attached_group_policies", "AttachedPolicies", doing, GroupName=group))
        except NotFound:
            return ()
        return tuple(str(policy["PolicyArn"]) for policy in found)


def _user(answer: Mapping[str, Any]) -> User:
    return User(answer["UserName"], answer["Arn"], answer["UserId"])
