"""Resource ARNs and condition keys of calls to the emulated IAM, as AWS compares them with policies.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from kube_iam.sandbox.account_eks import entry_resource

PARAMETERS = ("service", "method", "path", "headers", "body", "query_params", "region", "account_id")
CONTEXT_PARAMETERS = ("service", "iam_action", "body", "params")
_TABLES = {"GroupName": "_groups", "RoleName": "_roles", "UserName": "_users"}
# The resource of a creation is the ARN that the new thing will have, with its path.
_CREATED = {
    "CreateGroup": "GroupName",
    "CreatePolicy": "PolicyName",
    "CreateRole": "RoleName",
    "CreateUser": "UserName",
}


def with_paths(original: Callable[..., str]) -> Callable[..., str]:
    """Return the emulator's `extract_resource_arn` with paths, access entries, and the group as the resource of AddUserToGroup.

    The original leaves paths out, returns the user for AddUserToGroup, and `*` for CreatePolicy.
    """

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: dict[str, Any], *rest: str
    ) -> str:
        found = _resource(query_params, rest[-1]) if service == "iam" else ""
        if service == "eks":
            found = entry_resource(path, *rest)
        return found or original(service, method, path, headers, body, query_params, *rest)

    return extract


def with_condition_keys(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return the emulator's `request_tag_context` with more keys.

    iam:PolicyARN is that of calls that attach or detach a policy. iam:PermissionsBoundary is the boundary of the request or, of calls
    without one, that of the role or user.
    """

    def context(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> dict[str, Any]:
        found = dict(original(service, iam_action, body, params))
        if service == "iam" and iam_action.startswith(("iam:Attach", "iam:Detach")):
            found["iam:policyarn"] = _text(params, "PolicyArn")
        if service == "iam" and (boundary := _text(params, "PermissionsBoundary") or _present_boundary(params)):
            found["iam:permissionsboundary"] = boundary
        return found

    return context


def _present_boundary(parameters: Mapping[str, Any]) -> str:
    """Return the ARN of the permissions boundary of the role or user that a call is about, empty without one."""
    iam = import_module("ministack.services.iam")
    for parameter in ("RoleName", "UserName"):
        found = getattr(iam, _TABLES[parameter]).get(_text(parameters, parameter))
        if found is not None:
            return str(found.get("PermissionsBoundary") or "")
    return ""


def _resource(parameters: Mapping[str, Any], account: str) -> str:
    """Return the ARN with its path, empty where the emulator's own answer is right."""
    action, iam = _text(parameters, "Action"), import_module("ministack.services.iam")
    if action in _CREATED:
        kind = _CREATED[action].removesuffix("Name").lower()
        return f"arn:aws:iam::{account}:{kind}{_text(parameters, 'Path') or '/'}{_text(parameters, _CREATED[action])}"
    for parameter, table in _TABLES.items():
        found = getattr(iam, table).get(_text(parameters, parameter))
        if found is not None:
            return str(found["Arn"])
    return _text(parameters, "PolicySourceArn")


def _text(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name, "")
    return str(value[0] if value else "") if isinstance(value, list) else str(value)
