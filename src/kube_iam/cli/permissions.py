"""All permissions that a command needs in IAM. An error names them with the first that is missing, not one at a time."""

from __future__ import annotations

from kube_iam.errors import AccessDenied

# Of a whole cluster: plans need it, and commands about members where a level's own resources do not tell its owner.
_INVENTORY = ("caller", "policies", "policy", "role", "groups", "group", "members")
_PLAN = (*_INVENTORY, "holders")
_EXISTING_GROUPS = ("inline_policies",)
_MEMBERS = ("user", "users", "groups_of")  # that the file or the command names
_DENIED = ("key_owner", "role_id")  # of members, to find those that the deny list denies
_DELETE = (
    *("delete_policy", "detach_from", "detach", "delete_role", "delete_group", "remove_member"),
    *("user_policy", "delete_user_policy"),
)
_BUILD = (
    *("create_policy", "update_policy", "tag_policy", "untag_policy"),
    *("create_role", "update_role", "tag_role", "set_boundary"),
    *("create_group", "move_group", "attach", "add_member"),
)
_TEMPORARY = ("user_policy", "delete_user_policy")
DIRECTORY_METHODS = {
    "plan": (*_PLAN, *_EXISTING_GROUPS, *_MEMBERS, *_DENIED),
    "drift": (*_PLAN, *_EXISTING_GROUPS, *_MEMBERS),
    "apply": (*_PLAN, *_EXISTING_GROUPS, *_MEMBERS, *_BUILD, *_DELETE),
    "destroy": (*_PLAN, *_DELETE),
    "who": (*_INVENTORY, "user", *_DENIED),
    "who-can": ("caller", "members", "user", "role"),
    "explain": (
        "caller",
        "user",
        "groups_of",
        "members",
        "role",
        "role_id",
        "held_policies",
        "policy_document",
        "simulate",
    ),
    "report": (*_PLAN, *_EXISTING_GROUPS, *_MEMBERS),
    "grant": (*_INVENTORY, *_EXISTING_GROUPS, *_MEMBERS, "add_member", *_TEMPORARY, "put_user_policy"),
    "revoke": (*_INVENTORY, *_EXISTING_GROUPS, "user", "users", "remove_member", "role_id", *_TEMPORARY),
    "doctor": (
        *(*_PLAN, *_EXISTING_GROUPS, *_MEMBERS, *_DENIED),
        *("user_policy", "held_policies", "policy_document", "simulate"),
    ),
    "deny": ("members", "user"),
    "kubeconfig": ("role",),
    "new": ("caller",),
    "import": _PLAN,
    "export": ("role",),
}
"""Methods of the directory (`access.ports`) that each command calls. Tests of the commands fail for a method that is not listed."""


def name_permissions(error: AccessDenied, command: str) -> None:
    """Add to the error's hint all permissions that the command needs, if the hint names one of them."""
    needed = permissions_of(command) if command in DIRECTORY_METHODS else []
    if any(error.hint == f"the caller needs the permission {each}" for each in needed):
        error.hint += f"; `{command}` needs in all: {', '.join(needed)}"


def permissions_of(command: str) -> list[str]:
    """Return the actions that the command needs, sorted."""
    from kube_iam.aws.iam_calls import PERMISSIONS

    return sorted({action for method in DIRECTORY_METHODS[command] for action in PERMISSIONS[method]})
