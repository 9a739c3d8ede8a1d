"""Single calls to IAM: pages, error codes, documents.

PERMISSIONS lists every permission that kube-iam needs in AWS, by method of the directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any
from urllib.parse import unquote

from kube_iam.aws.errors import aws_errors, error_code
from kube_iam.errors import AccessDenied, KubeIamError

PAGE_SIZE = 1000  # the most that IAM gives at once; it may give fewer

PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "each": (),
    "caller": ("sts:GetCallerIdentity",),
    "policies": ("iam:ListPolicies", "iam:GetPolicyVersion", "iam:ListPolicyTags"),
    "policy": ("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags"),
    "create_policy": ("iam:CreatePolicy", "iam:TagPolicy", "iam:GetPolicy", "iam:ListPolicies"),
    "update_policy": (
        "iam:ListPolicyVersions",
        "iam:CreatePolicyVersion",
        "iam:DeletePolicyVersion",
        "iam:GetPolicyVersion",
    ),
    "tag_policy": ("iam:TagPolicy", "iam:ListPolicyTags"),
    "untag_policy": ("iam:UntagPolicy", "iam:ListPolicyTags"),
    "delete_policy": ("iam:ListPolicyVersions", "iam:DeletePolicyVersion", "iam:DeletePolicy", "iam:GetPolicy"),
    "holders": ("iam:ListEntitiesForPolicy",),
    "detach_from": (
        "iam:DetachGroupPolicy",
        "iam:DetachUserPolicy",
        "iam:DetachRolePolicy",
        "iam:ListEntitiesForPolicy",
    ),
    "role": ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:ListRoleTags"),
    "role_id": ("iam:GetRole",),
    "create_role": ("iam:CreateRole", "iam:TagRole", "iam:GetRole"),
    "update_role": ("iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:GetRole"),
    "tag_role": ("iam:TagRole", "iam:ListRoleTags"),
    "set_boundary": ("iam:PutRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary", "iam:GetRole"),
    "delete_role": ("iam:DeleteRole", "iam:GetRole"),
    "groups": ("iam:ListGroups", "iam:ListAttachedGroupPolicies"),
    "group": ("iam:GetGroup", "iam:ListAttachedGroupPolicies"),
    "inline_policies": ("iam:ListGroupPolicies",),
    "create_group": ("iam:CreateGroup", "iam:GetGroup"),
    "move_group": ("iam:UpdateGroup", "iam:GetGroup"),
    "delete_group": ("iam:DeleteGroup", "iam:GetGroup"),
    "attach": ("iam:AttachGroupPolicy", "iam:ListAttachedGroupPolicies"),
    "detach": ("iam:DetachGroupPolicy", "iam:ListAttachedGroupPolicies"),
    "members": ("iam:GetGroup",),
    "users": ("iam:ListUsers",),
    "user": ("iam:GetUser",),
    "key_owner": ("iam:GetAccessKeyLastUsed",),
    "groups_of": ("iam:ListGroupsForUser",),
    "add_member": ("iam:AddUserToGroup", "iam:ListGroupsForUser"),
    "remove_member": ("iam:RemoveUserFromGroup", "iam:ListGroupsForUser"),
    "user_policy": ("iam:GetUserPolicy",),
    "put_user_policy": ("iam:PutUserPolicy", "iam:GetUserPolicy"),
    "delete_user_policy": ("iam:DeleteUserPolicy", "iam:GetUserPolicy"),
    "held_policies": (
        *("iam:ListAttachedUserPolicies", "iam:ListUserPolicies", "iam:GetUserPolicy"),
        *("iam:ListAttachedGroupPolicies", "iam:ListGroupPolicies", "iam:GetGroupPolicy"),
        *("iam:GetPolicy", "iam:GetPolicyVersion"),
    ),
    "policy_document": ("iam:GetPolicy", "iam:GetPolicyVersion"),
    "simulate": ("iam:SimulatePrincipalPolicy",),
}

NO_SUCH_ENTITY = "NoSuchEntity"
ALREADY_EXISTS = "EntityAlreadyExists"


class IamCalls:
    """Calls on clients with botocore's interface, which are made when first needed.

    Every method raises our tree; `doing` completes "cannot …".
    """

    def __init__(self, make: Callable[[str], Any], page_size: int = PAGE_SIZE) -> None:
        self._make = make
        self._page_size = page_size
        self._clients: dict[str, Any] = {}
        self._making = Lock()  # clients may be used by several threads at once, but not made

    def call(self, operation: str, doing: str, *, service: str = "iam", **arguments: Any) -> dict[str, Any]:
        """Return the answer of one call, by botocore's name for the operation (`create_role`)."""
        with _named(operation, service), aws_errors(doing):
            return dict(getattr(self._client(service), operation)(**arguments))

    def pages(self, operation: str, result: str, doing: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """Yield the items under `result` of all pages, as they come."""
        with _named(operation, "iam"), aws_errors(doing):
            paginator = self._client("iam").get_paginator(operation)
            for page in paginator.paginate(**arguments, PaginationConfig={"PageSize": self._page_size}):
                yield from page.get(result, ())

    def found(self, operation: str, doing: str, **arguments: Any) -> dict[str, Any] | None:
        """Return the answer of a call that reads; None where IAM knows no such entity."""
        try:
            return self.call(operation, doing, **arguments)
        except KubeIamError as error:
            if code_of(error) == NO_SUCH_ENTITY:
                return None
            raise

    def deleted(self, operation: str, doing: str, **arguments: Any) -> None:
        """Make a call that deletes or detaches. An entity that is gone already is no error."""
        self.found(operation, doing, **arguments)

    def _client(self, service: str) -> Any:
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]


class _named:  # noqa: N801  (reads as a clause of a with statement)
    """Context in which AccessDenied names the action in full (`iam:CreateRole`), also where AWS's message does not."""

    def __init__(self, operation: str, service: str) -> None:
        self._action = f"{service}:" + "".join(word.capitalize() for word in operation.split("_"))

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: object, _traceback: object) -> None:
        if isinstance(error, AccessDenied) and ":" not in error.hint:
            raise AccessDenied(error.message, f"the caller needs the permission {self._action}") from error.__cause__


def code_of(error: Exception) -> str:
    """Return AWS's code behind an error of our tree (`NoSuchEntity`); empty where AWS did not answer."""
    return error_code(error.__cause__) if isinstance(error.__cause__, Exception) else ""


def is_missing(error: Exception) -> bool:
    """Return whether IAM knows no such entity. A new one may be missing only on the machine that answered."""
    return code_of(error) == NO_SUCH_ENTITY


def is_unknown_principal(error: Exception) -> bool:
    """Return whether a trust policy names a principal that IAM does not know, or does not know yet."""
    return code_of(error) == "MalformedPolicyDocument" and "principal" in str(error).casefold()


def document_of(answer: object) -> object:
    """Return a policy document as plain data. IAM sends URL-encoded JSON, which botocore has parsed in most answers."""
    return json.loads(unquote(answer)) if isinstance(answer, str) else answer


def document_text(document: object) -> str:
    """Return a policy document as text for IAM: compact, since its size is limited."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def tags_of(answer: Any) -> dict[str, str]:
    """Return IAM's list of tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in answer or ()}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a mapping of tags as IAM's list, in a fixed order."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def boundary_of(answer: Mapping[str, Any]) -> str:
    """Return the ARN of the permissions boundary of a role or user as IAM sends it, empty without one."""
    return str(answer.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))
