"""IAM policies with the least permissions for two jobs: administrators change levels, operators change their members.

An administrator runs `plan`, `apply` and `destroy`, an operator `grant`, `revoke` and `who`. Policies and groups are covered by the
IAM path of the cluster, roles by the pattern of their default names. A role or group with a name of its own is named. Existing roles
and groups, which are not kube-iam's, are named below any path: roles can be read, groups read and given policies of the cluster.

An administrator can write any document into a policy of the cluster, attach it to a group of the cluster and join that group. No
condition key of IAM limits the content of a policy, so this job has the power of an account administrator. An operator cannot do any
of that, unless `temporary` adds iam:PutUserPolicy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.server_policy import asks_membership
from kube_iam.core.server_policy import arn_patterns, literal

NameOf = Callable[[Level], str]

_READ_POLICY = ("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags")
_READ_ROLE = ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:ListRoleTags")
_READ_GROUP = ("iam:GetGroup", "iam:ListAttachedGroupPolicies")
_READ_USER = ("iam:GetUser", "iam:ListGroupsForUser")
# A denied access key may be that of no user of the account: then there is no user to name as the resource.
_READ_NAMES = ("iam:GetAccessKeyLastUsed", "iam:ListUsers")


def admin_document(access: ClusterAccess) -> dict[str, object]:
    """Return the policy for `plan`, `apply` and `destroy`, for levels that are added later too."""
    own = [f"{_home(access)}:policy{literal(access.path)}*"]
    at_root = [f"{_home(access)}:policy/{name}" for name in _names(access, lambda level: level.policy_name)]
    groups, of_cluster = _groups(access), {"ArnLike": {"iam:PolicyARN": own}}
    return _document(
        _allow("ReadNames", ("iam:ListGroups", "iam:ListPolicies", *_READ_NAMES), ["*"]),
        _allow("ReadPolicies", _READ_POLICY, [*own, *at_root]),
        _allow(
            "ManagePolicies",
            (
                *("iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion"),
                *("iam:ListEntitiesForPolicy", "iam:ListPolicyVersions", "iam:TagPolicy", "iam:UntagPolicy"),
            ),
            own,
        ),
        _allow(
            "ManageRoles",
            (
                *_READ_ROLE,
                *("iam:CreateRole", "iam:DeleteRole", "iam:TagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole"),
            ),
            _roles(access),
        ),
        *_change_boundaries(access),
        *_read_existing(access),
        _allow(
            "ManageGroups",
            (
                *_READ_GROUP,
                *("iam:AddUserToGroup", "iam:CreateGroup", "iam:DeleteGroup", "iam:RemoveUserFromGroup"),
                "iam:UpdateGroup",
            ),
            groups,
        ),
        _allow("AttachPoliciesOfCluster", ("iam:AttachGroupPolicy",), [*groups, *_existing_groups(access)], of_cluster),
        _allow(
            "DetachPoliciesOfCluster",
            ("iam:DetachGroupPolicy", "iam:DetachRolePolicy", "iam:DetachUserPolicy"),
            [f"{_home(access)}:{kind}/*" for kind in ("group", "role", "user")],
            of_cluster,
        ),
        _allow("ReadUsers", _READ_USER, [f"{_home(access)}:user/*"]),
        _allow(
            "RemoveEndedTemporaryAccess", ("iam:DeleteUserPolicy", "iam:GetUserPolicy"), [f"{_home(access)}:user/*"]
        ),
    )


def operator_document(access: ClusterAccess, *, temporary: bool = False) -> dict[str, object]:
    """Return the policy for `grant`, `revoke` and `who`. It covers levels that are added later, and changes group members alone.

    `temporary` adds `grant --for` for levels with a role, which writes policies of users (`needs_user_policies`).
    """
    home = _home(access)
    statements = [
        # The lists find a level that was not applied, or whose marks were lost.
        _allow("ReadNames", ("iam:ListGroups", "iam:ListPolicies", *_READ_NAMES), ["*"]),
        _allow("ReadUsers", _READ_USER, [f"{home}:user/*"]),
        _allow("ReadPolicies", _READ_POLICY, [f"{home}:policy{literal(access.path)}*"]),
        _allow("ReadRoles", _READ_ROLE, _roles(access)),
        _allow("ReadGroups", _READ_GROUP, _groups(access)),
        *_read_existing(access),
        _allow(
            "ChangeGroupMembers",
            ("iam:AddUserToGroup", "iam:RemoveUserFromGroup"),
            [f"{home}:group{literal(access.path)}*", *_existing_groups(access)],
        ),
    ]
    if temporary:
        actions = ("iam:DeleteUserPolicy", "iam:GetUserPolicy", "iam:PutUserPolicy")
        statements.append(_allow("ChangeTemporaryAccess", actions, [f"{home}:user/*"]))
    return _document(*statements)


def needs_user_policies(access: ClusterAccess) -> bool:
    """Return whether temporary access to a level of this file is a policy of the user."""
    return any(level.method is Method.ROLE and asks_membership(access, level) for level in access.levels)


def _home(access: ClusterAccess) -> str:
    return f"arn:{access.partition}:iam::{access.account}"


def _names(access: ClusterAccess, name_of: NameOf) -> list[str]:
    """Return the pattern of the default names, if there is one, and each name of a level that it does not cover."""
    named = (name_of(level) for level in access.iam_levels)
    others = (name for name in named if name and not access.is_default_name(name))
    return [*((access.name_pattern,) if access.name_pattern else ()), *dict.fromkeys(others)]


def _roles(access: ClusterAccess) -> list[str]:
    """Return the roles, at their path and without one: IAM checks the ARN without path for a role that does not exist."""
    own = [level for level in access.iam_levels if not level.existing_role]
    paths = dict.fromkeys(("/", *(literal(level.role_path) for level in own)))
    names = _names(access, lambda level: "" if level.existing_role else level.role_name)
    return [f"{_home(access)}:role{path}{name}" for path in paths for name in names]


def _groups(access: ClusterAccess) -> list[str]:
    """Return the groups at the cluster's path, and their names without a path: those of missing groups and of groups to adopt."""
    names = _names(access, lambda level: "" if level.existing_group else level.group_name)
    return [f"{_home(access)}:group{literal(access.path)}*", *(f"{_home(access)}:group/{name}" for name in names)]


def _existing_groups(access: ClusterAccess) -> list[str]:
    names = (level.group_name for level in access.iam_levels if level.existing_group)
    return [arn for name in names for arn in arn_patterns("group", name, access.partition, access.account)]


def _existing_roles(access: ClusterAccess) -> list[str]:
    names = (level.role_name for level in access.iam_levels if level.existing_role)
    return [arn for name in names for arn in arn_patterns("role", name, access.partition, access.account)]


def _read_existing(access: ClusterAccess) -> list[dict[str, object]]:
    """Return the statements that allow to read existing roles and groups, none without any."""
    groups, roles = _existing_groups(access), _existing_roles(access)
    found = [_allow("ReadExistingGroups", (*_READ_GROUP, "iam:ListGroupPolicies"), groups)] if groups else []
    return [*found, _allow("ReadExistingRoles", _READ_ROLE, roles)] if roles else found


def _change_boundaries(access: ClusterAccess) -> list[dict[str, object]]:
    """Return the statements that allow to set the permissions boundaries of the file, and no others, and to remove them.

    Of a removed boundary IAM checks the present ARN, which the file does not say. So the roles that shall have none are named.
    """
    by_role = [level for level in access.iam_levels if level.method is Method.ROLE and not level.existing_role]
    boundaries = sorted({level.permissions_boundary for level in by_role if level.permissions_boundary})
    unbounded = [level for level in by_role if level.permissions_boundary == ""]
    found = []
    if boundaries:
        condition = {"StringEquals": {"iam:PermissionsBoundary": boundaries}}
        found.append(_allow("SetPermissionsBoundaries", ("iam:PutRolePermissionsBoundary",), _roles(access), condition))
    if unbounded:
        roles = [f"{_home(access)}:role{literal(level.role_path)}{level.role_name}" for level in unbounded]
        found.append(_allow("RemovePermissionsBoundaries", ("iam:DeleteRolePermissionsBoundary",), roles))
    return found


def _allow(
    sid: str, actions: Iterable[str], resources: Iterable[str], condition: Mapping[str, object] | None = None
) -> dict[str, object]:
    statement: dict[str, object] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(set(resources)),
    }
    return {**statement, "Condition": condition} if condition else statement


def _document(*statements: dict[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
