"""Resource ARNs of calls to the emulated IAM, with the paths of groups and roles, as AWS compares them with policies."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

PARAMETERS = ("service", "method", "path", "headers", "body", "query_params", "region", "account_id")


def with_paths(original: Callable[..., str]) -> Callable[..., str]:
    """Return the emulator's `extract_resource_arn` with paths, and with the group as the resource of AddUserToGroup.

    The original leaves paths out and returns the user for AddUserToGroup.
    """

    def extract(
        service: str, method: str, path: str, headers: Any, body: bytes, query_params: dict[str, Any], *rest: str
    ) -> str:
        if service == "iam":
            for parameter, table in (("GroupName", "_groups"), ("RoleName", "_roles")):
                name = query_params.get(parameter, "")
                name = name[0] if isinstance(name, list) and name else name
                found = getattr(import_module("ministack.services.iam"), table).get(name) if name else None
                if found is not None:
                    return str(found["Arn"])
        return original(service, method, path, headers, body, query_params, *rest)

    return extract
