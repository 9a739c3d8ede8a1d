"""All permissions that a command needs in IAM, named with the first that is missing: else people meet them one at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from kube_iam.errors import AccessDenied

_LOOK = ("caller", "policies", "policy", "holders", "role", "groups", "group", "members")
_DELETE = (
    *("delete_policy", "detach_from", "detach", "delete_role", "delete_group", "remove_member"),
    *("user_policy", "delete_user_policy"),
)
_BUILD = (
    *("create_policy", "update_policy", "tag_policy", "create_role", "update_role", "tag_role"),
    *("create_group", "move_group", "attach", "add_member"),
)
_LEVEL = ("caller", "group", "policy", "members", "user", "users")
DIRECTORY_METHODS = {
    "plan": _LOOK,
    "apply": (*_LOOK, *_BUILD, *_DELETE),
    "destroy": (*_LOOK, *_DELETE),
    "who": ("caller", "group", "policy", "members", "user"),
    "grant": (*_LEVEL, "role", "add_member", "user_policy", "put_user_policy", "delete_user_policy"),
    "revoke": (*_LEVEL, "remove_member", "user_policy", "delete_user_policy"),
}
"""Methods of the directory (`access.ports`) that each command calls."""


def naming_permissions(command: click.Command) -> click.Command:
    """Make the command name all permissions that it needs where AWS denies one of them. Returns the command."""
    if command.name in DIRECTORY_METHODS and not hasattr(command.callback, "naming_permissions"):
        assert command.callback is not None
        command.callback = _naming(command.callback, command.name)
    return command


def _naming(body: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(body)
    def call(*arguments: Any, **values: Any) -> Any:
        try:
            return body(*arguments, **values)
        except AccessDenied as error:
            needed = permissions_of(name)
            if any(error.hint == f"the caller needs the permission {each}" for each in needed):
                error.hint += f"; `{name}` needs in all: {', '.join(needed)}"
            raise

    call.naming_permissions = True  # type: ignore[attr-defined]
    return call


def permissions_of(command: str) -> list[str]:
    """Return the actions that the command needs, sorted."""
    from kube_iam.aws.iam_calls import PERMISSIONS

    return sorted({action for method in DIRECTORY_METHODS[command] for action in PERMISSIONS[method]})
