"""Roles and their trust policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_iam.access.desired import same_document
from kube_iam.access.ports import RoleState
from kube_iam.aws.iam_calls import (
    ALREADY_EXISTS,
    boundary_of,
    code_of,
    document_of,
    document_text,
    is_unknown_principal,
    tag_list,
    tags_of,
)
from kube_iam.aws.iam_part import IamPart, occupied
from kube_iam.errors import KubeIamError, NotFound

_PRINCIPALS = "the principals of the trust policy"


class IamRoles(IamPart):
    """The roles of the `Directory` port."""

    def role(self, name: str) -> RoleState | None:
        """Return the role, or None where there is none (also where it is deleted while it is read)."""
        doing = f"read role {name}"
        found = self._aws.found("get_role", doing, RoleName=name)
        if found is None:
            return None
        try:
            attached = [
                str(policy["PolicyArn"])
                for policy in self._aws.pages("list_attached_role_policies", "AttachedPolicies", doing, RoleName=name)
            ]
            inline = [
                str(policy) for policy in self._aws.pages("list_role_policies", "PolicyNames", doing, RoleName=name)
            ]
            tags = self._role_tags(name)
        except NotFound:
            return None
        role = found["Role"]
        return RoleState(
            arn=role["Arn"],
            name=role["RoleName"],
            path=role["Path"],
            trust=document_of(role["AssumeRolePolicyDocument"]),
            tags=tags,
            max_session_seconds=int(role.get("MaxSessionDuration", 3600)),
            description=role.get("Description", ""),
            policies=(*attached, *inline),
            boundary=boundary_of(role),
            created=role["CreateDate"].timestamp(),
        )

    def role_id(self, name: str) -> str:
        """Return the role's unique id; empty where there is no such role."""
        found = self._aws.found("get_role", f"read the unique id of role {name}", RoleName=name)
        return "" if found is None else str(found["Role"]["RoleId"])

    def create_role(
        self,
        name: str,
        path: str,
        trust: object,
        tags: Mapping[str, str],
        max_session_seconds: int,
        description: str,
        boundary: str = "",
    ) -> str:
        """Create the role and return its ARN. Raises Conflict when a different one has the name.

        A principal in the trust policy may be as new as the role: the call is repeated until IAM knows it.
        """
        arguments: dict[str, Any] = {
            "RoleName": name,
            "Path": path,
            "AssumeRolePolicyDocument": document_text(trust),
            "Tags": tag_list(tags),
            "MaxSessionDuration": max_session_seconds,
            "Description": description,
            **({"PermissionsBoundary": boundary} if boundary else {}),
        }
        try:
            created = self._retry(_PRINCIPALS, is_unknown_principal, "create_role", f"create role {name}", **arguments)
        except KubeIamError as error:
            if code_of(error) != ALREADY_EXISTS:
                raise
            return self._same_role(name, path, trust, tags, max_session_seconds, boundary)
        self._until(f"role {name}", lambda: self._raw_role(name) is not None)
        return str(created["Role"]["Arn"])

    def update_role(self, name: str, trust: object, max_session_seconds: int, description: str) -> None:
        """Set trust policy, longest session and description. Raises NotFound where there is no such role."""
        doing = f"update role {name}"
        self._retry(
            _PRINCIPALS,
            is_unknown_principal,
            "update_assume_role_policy",
            doing,
            RoleName=name,
            PolicyDocument=document_text(trust),
        )
        self._aws.call(
            "update_role", doing, RoleName=name, MaxSessionDuration=max_session_seconds, Description=description
        )

        def shown() -> bool:
            role = self._raw_role(name)
            return (
                role is not None
                and same_document(document_of(role["AssumeRolePolicyDocument"]), trust)
                and role.get("MaxSessionDuration", 3600) == max_session_seconds
            )

        self._until(f"the change of role {name}", shown)

    def tag_role(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or overwrite the tags."""
        self._aws.call("tag_role", f"tag role {name}", RoleName=name, Tags=tag_list(tags))
        self._until(f"the tags of role {name}", lambda: tags.items() <= self._role_tags(name).items())

    def set_boundary(self, name: str, boundary: str) -> None:
        """Set or, with an empty text, remove the role's permissions boundary. Raises NotFound where there is no such role."""
        doing = f"change the permissions boundary of role {name}"
        if boundary:
            self._aws.call("put_role_permissions_boundary", doing, RoleName=name, PermissionsBoundary=boundary)
        else:
            self._aws.deleted("delete_role_permissions_boundary", doing, RoleName=name)

        def shown() -> bool:
            role = self._raw_role(name)
            return role is not None and boundary_of(role) == boundary

        self._until(f"the permissions boundary of role {name}", shown)

    def delete_role(self, name: str) -> None:
        """Delete the role. Raises Conflict while it has policies or instance profiles, which are not ours."""
        self._aws.deleted("delete_role", f"delete role {name}", RoleName=name)
        self._until(f"role {name} as gone", lambda: self._raw_role(name) is None)

    def _raw_role(self, name: str) -> dict[str, Any] | None:
        found = self._aws.found("get_role", f"read role {name}", RoleName=name)
        return None if found is None else dict(found["Role"])

    def _role_tags(self, name: str) -> dict[str, str]:
        try:
            return tags_of(self._aws.pages("list_role_tags", "Tags", f"read the tags of role {name}", RoleName=name))
        except NotFound:
            return {}

    def _same_role(
        self, name: str, path: str, trust: object, tags: Mapping[str, str], max_session_seconds: int, boundary: str
    ) -> str:
        """Return the ARN of the role that has the name already. Raises Conflict where its content is another."""
        self._until(f"role {name}, which exists", lambda: self._raw_role(name) is not None)
        state = self.role(name)
        if state is None or state.path != path:
            raise occupied(f"role {name}", "under another path")
        if not same_document(state.trust, trust):
            raise occupied(f"role {name}", "with another trust policy")
        if not tags.items() <= state.tags.items():
            raise occupied(f"role {name}", "without the tags that mark it as this cluster's")
        if state.max_session_seconds != max_session_seconds:
            raise occupied(f"role {name}", "with another session length")
        if boundary and state.boundary != boundary:
            raise occupied(f"role {name}", "with another permissions boundary")
        return state.arn
