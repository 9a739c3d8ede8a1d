"""All permissions that a command needs in IAM. An error names them with the first that is missing, not one at a time."""

from __future__ import annotations

from kube_iam.errors import AccessDenied

_LOOK = (
    *("caller", "policies", "policy", "holders", "role", "groups", "group", "members"),
    *("inline_policies", "groups_of"),
)
_DELETE = (
    *("delete_policy", "detach_from", "detach", "delete_role", "delete_group", "remove_member"),
    *("user_policy", "delete_user_policy"),
)
_BUILD = (
    *("create_policy", "update_policy", "tag_policy", "untag_policy"),
    *("create_role", "update_role", "tag_role", "set_boundary"),
    *("create_group", "move_group", "attach", "add_member"),
)
_LISTED = ("user", "users", "groups_of")  # for members that the file lists
_LEVEL = ("caller", "group", "policy", "members", "user", "users")
DIRECTORY_METHODS = {
    "plan": (*_LOOK, *_LISTED),
    "drift": (*_LOOK, *_LISTED),
    "apply": (*_LOOK, *_LISTED, *_BUILD, *_DELETE),
    "destroy": (*_LOOK, *_DELETE),
    "who": ("caller", "group", "policy", "members", "user"),
    "grant": (
        *_LEVEL,
        "role",
        "inline_policies",
        "groups_of",
        "add_member",
        "user_policy",
        "put_user_policy",
        "delete_user_policy",
    ),
    "revoke": (*_LEVEL, "inline_policies", "remove_member", "user_policy", "delete_user_policy"),
}
"""Methods of the directory (`access.ports`) that each command calls."""


def name_permissions(error: AccessDenied, command: str) -> None:
    """Add to the error's hint all permissions that the command needs, if the hint names one of them."""
    needed = permissions_of(command) if command in DIRECTORY_METHODS else []
    if any(error.hint == f"the caller needs the permission {each}" for each in needed):
        error.hint += f"; `{command}` needs in all: {', '.join(needed)}"


def permissions_of(command: str) -> list[str]:
    """Return the actions that the command needs, sorted."""
    from kube_iam.aws.iam_calls import PERMISSIONS

    return sorted({action for method in DIRECTORY_METHODS[command] for action in PERMISSIONS[method]})
