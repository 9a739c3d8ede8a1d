"""AWS's error DeleteConflict for groups, which the emulator deletes with all that they hold.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteGroup.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from kube_iam.sandbox.account_answers import Answer, error
from kube_iam.sandbox.account_names import Parameters, text_of


def _delete_group(parameters: Parameters) -> Answer | None:
    iam, name = import_module("ministack.services.iam"), text_of(parameters, "GroupName")
    group = iam._groups.get(name) or {}
    for held, remedy in (
        (group.get("Users"), "remove users from group"),
        (group.get("AttachedPolicies"), "detach all policies"),
        (iam._group_inline_policies.get(name), "delete policies"),
    ):
        if held:
            return error(409, "DeleteConflict", f"Cannot delete entity, must {remedy} first.")
    return None


DELETE_PROBLEMS: Mapping[str, Callable[[Parameters], Answer | None]] = {"DeleteGroup": _delete_group}
"""Functions that return AWS's error where an object cannot be deleted, or None, by action."""
