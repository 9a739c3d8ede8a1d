"""Names and paths in the emulated IAM: unique without regard to letter case, and changed by UpdateUser and UpdateGroup.

The emulator compares names with regard to case, accepts any name and path, and has neither UpdateUser nor UpdateGroup.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html ("Names are not distinguished by case"),
https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html, API_UpdateGroup.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from kube_iam.sandbox.account_answers import Answer, error

Parameters = Mapping[str, Any]
_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH = re.compile(r"/|/[!-~]{1,510}/")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of named entity: the emulator's table, the request's parameter, the longest name and AWS's message."""

    table: str
    parameter: str
    longest: int
    exists: str


_USER = _Kind("_users", "UserName", 64, "User with name {} already exists.")
_GROUP = _Kind("_groups", "GroupName", 128, "Group with name {} already exists.")
_ROLE = _Kind("_roles", "RoleName", 64, "Role with name {} already exists.")
_POLICY = _Kind("_policies", "PolicyName", 128, "A policy called {} already exists. Duplicate names are not allowed.")


def text_of(parameters: Parameters, name: str) -> str:
    """Return one parameter of a request as the emulator passes it, or an empty text."""
    value = parameters.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def _create_problem(kind: _Kind) -> Callable[[Parameters], Answer | None]:
    return lambda parameters: _problem(
        kind, text_of(parameters, kind.parameter), text_of(parameters, "Path") or "/", present=""
    )


def _problem(kind: _Kind, name: str, path: str, *, present: str) -> Answer | None:
    """Return AWS's error for a new name and path of an entity with the present name `present`, or None."""
    if not _NAME.fullmatch(name) or len(name) > kind.longest:
        key = kind.parameter[0].lower() + kind.parameter[1:]
        allowed = f"1 to {kind.longest} alphanumeric characters and/or the following: +=,.@_-"
        return error(400, "ValidationError", f"The specified value for {key} is invalid. It must contain {allowed}")
    if not _PATH.fullmatch(path):
        return error(400, "ValidationError", "The specified value for path is invalid. It must begin and end with /")
    # Names of all kinds, policies too, are unique in the account regardless of their paths.
    names = [record[kind.parameter] for record in getattr(_iam(), kind.table).values()]
    if any(taken != present and taken.lower() == name.lower() for taken in names):
        return error(409, "EntityAlreadyExists", kind.exists.format(name))
    return None


def _update_group(parameters: Parameters) -> Answer:
    """Answer UpdateGroup. Members, policies and the unique id stay."""
    iam = _iam()
    renamed = _apply_new_name(_GROUP, parameters)
    if isinstance(renamed, tuple):
        return renamed
    _rename(iam._group_inline_policies, renamed.old, renamed.new)
    answer: Answer = iam._xml(200, "UpdateGroupResponse", "", ns="iam")
    return answer


def _update_user(parameters: Parameters) -> Answer:
    """Answer UpdateUser. Groups, policies, access keys, MFA devices and the unique id stay."""
    iam = _iam()
    renamed = _apply_new_name(_USER, parameters)
    if isinstance(renamed, tuple):
        return renamed
    for table in (iam._user_inline_policies, iam._login_profiles):
        _rename(table, renamed.old, renamed.new)
    for records, field in (
        (iam._access_keys, "UserName"),
        (iam._login_profiles, "UserName"),
        (iam._mfa_devices, "User"),
    ):
        for record in records.values():
            if record.get(field) == renamed.old:
                record[field] = renamed.new
    for group in iam._groups.values():
        group["Users"] = [renamed.new if member == renamed.old else member for member in group["Users"]]
    answer: Answer = iam._xml(200, "UpdateUserResponse", "", ns="iam")
    return answer


@dataclass(frozen=True, slots=True)
class _Renamed:
    old: str
    new: str


def _apply_new_name(kind: _Kind, parameters: Parameters) -> _Renamed | Answer:
    """Give the entity its new name, path and ARN. Return both names, or AWS's error."""
    table, old = getattr(_iam(), kind.table), text_of(parameters, kind.parameter)
    record = table.get(old)
    noun = kind.parameter.removesuffix("Name").lower()
    if record is None:
        return error(404, "NoSuchEntity", f"The {noun} with name {old} cannot be found.")
    new = text_of(parameters, f"New{kind.parameter}") or old
    path = text_of(parameters, "NewPath") or record["Path"]
    problem = _problem(kind, new, path, present=old)
    if problem is not None:
        return problem
    account = record["Arn"].rpartition(":")[0]
    record.update({kind.parameter: new, "Path": path, "Arn": f"{account}:{noun}{path}{new}"})
    _rename(table, old, new)
    return _Renamed(old, new)


def _rename(table: Any, old: str, new: str) -> None:
    record = table.pop(old, None)
    if record is not None:
        table[new] = record


def _iam() -> Any:
    return import_module("ministack.services.iam")


CREATE_PROBLEMS: Mapping[str, Callable[[Parameters], Answer | None]] = {
    "CreateUser": _create_problem(_USER),
    "CreateGroup": _create_problem(_GROUP),
    "CreateRole": _create_problem(_ROLE),
    "CreatePolicy": _create_problem(_POLICY),
}
"""Functions that return AWS's error for the name and path of an action, or None, by action."""

UPDATES: Mapping[str, Callable[[Parameters], Answer]] = {"UpdateUser": _update_user, "UpdateGroup": _update_group}
"""The actions that the emulator lacks."""
