"""IAM policies with the least permissions for three jobs: administrators change levels, operators their members, auditors nothing.

An administrator runs `plan`, `apply` and `destroy`, an operator `grant`, `revoke` and `who`, an auditor `who-can`,
`explain` and `report`, which read users, groups, roles and policies of the whole account. `policy_resources` says which resources
are covered. Existing roles can be read, existing groups can be read and given policies of the cluster.

An administrator can write any document into a policy of the cluster, attach it to a group of the cluster and join that group. No
condition key of IAM limits the content of a policy, so this job has the power of an account administrator. An operator cannot do any
of that, unless `temporary` adds iam:PutUserPolicy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kube_iam.access.desired import iam_arn
from kube_iam.access.levels import ClusterAccess, Method, TargetKind
from kube_iam.access.policy_resources import (
    existing_groups,
    existing_roles,
    groups_at_path,
    groups_of_levels,
    roles_of_levels,
    with_default_names,
)
from kube_iam.access.temporary import has_temporary
from kube_iam.core.server_policy import literal

_READ_POLICY = ("iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags")
_READ_ROLE = ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:ListRoleTags")
_READ_GROUP = ("iam:GetGroup", "iam:ListAttachedGroupPolicies")
_READ_USER = ("iam:GetUser", "iam:ListGroupsForUser")
# A denied access key may be that of no user of the account: then there is no user to name as the resource.
_READ_NAMES = ("iam:GetAccessKeyLastUsed", "iam:ListUsers")


def admin_document(access: ClusterAccess) -> dict[str, object]:
    """Return the policy for `plan`, `apply` and `destroy`, for levels that are added later too."""
    own = [iam_arn(access, f"policy{literal(access.path)}*")]
    names = with_default_names(access, (level.policy_name for level in access.iam_levels))
    at_root = [iam_arn(access, f"policy/{name}") for name in names]
    groups, of_cluster = groups_of_levels(access), {"ArnLike": {"iam:PolicyARN": own}}
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
        _allow("AttachPoliciesOfCluster", ("iam:AttachGroupPolicy",), [*groups, *existing_groups(access)], of_cluster),
        _allow(
            "DetachPoliciesOfCluster",
            ("iam:DetachGroupPolicy", "iam:DetachRolePolicy", "iam:DetachUserPolicy"),
            [iam_arn(access, f"{kind}/*") for kind in ("group", "role", "user")],
            of_cluster,
        ),
        _allow("ReadUsers", _READ_USER, [iam_arn(access, "user/*")]),
        _allow(
            "RemoveEndedTemporaryAccess", ("iam:DeleteUserPolicy", "iam:GetUserPolicy"), [iam_arn(access, "user/*")]
        ),
        *_access_entries(access, manage=True),
    )


def operator_document(access: ClusterAccess, *, temporary: bool = False) -> dict[str, object]:
    """Return the policy for `grant`, `revoke` and `who`. It covers levels that are added later, and changes group members alone.

    `temporary` adds `grant --for` for levels with a role, which writes policies of users (`needs_user_policies`).
    """
    statements = [
        # The lists find a level that was not applied, or whose marks were lost.
        _allow("ReadNames", ("iam:ListGroups", "iam:ListPolicies", *_READ_NAMES), ["*"]),
        _allow("ReadUsers", _READ_USER, [iam_arn(access, "user/*")]),
        _allow("ReadPolicies", _READ_POLICY, [iam_arn(access, f"policy{literal(access.path)}*")]),
        _allow("ReadRoles", _READ_ROLE, _roles(access)),
        _allow("ReadGroups", _READ_GROUP, groups_of_levels(access)),
        *_read_existing(access),
        _allow(
            "ChangeGroupMembers",
            ("iam:AddUserToGroup", "iam:RemoveUserFromGroup"),
            [groups_at_path(access), *existing_groups(access)],
        ),
    ]
    statements += _access_entries(access, manage=False)
    if temporary:
        actions = ("iam:DeleteUserPolicy", "iam:GetUserPolicy", "iam:PutUserPolicy")
        statements.append(_allow("ChangeTemporaryAccess", actions, [iam_arn(access, "user/*")]))
    return _document(*statements)


def auditor_document(access: ClusterAccess) -> dict[str, object]:
    """Return the policy for `who-can`, `explain` and `report`. It changes nothing.

    A user may be in any group and have any policy, and a mapping may name any role: so all of the account can be read.
    """

    def every(kind: str) -> str:
        return iam_arn(access, f"{kind}/*")

    return _document(
        _allow(
            "ReadUsers",
            (
                *_READ_USER,
                *("iam:GetUserPolicy", "iam:ListAttachedUserPolicies", "iam:ListUserPolicies"),
                "iam:SimulatePrincipalPolicy",
            ),
            [every("user")],
        ),
        _allow("ReadGroups", (*_READ_GROUP, "iam:GetGroupPolicy", "iam:ListGroupPolicies"), [every("group")]),
        _allow("ReadRoles", _READ_ROLE, [every("role")]),
        _allow(
            "ReadPolicies",
            (*_READ_POLICY, "iam:ListEntitiesForPolicy"),
            [every("policy"), f"arn:{access.partition}:iam::aws:policy/*"],
        ),
        _allow("ReadNames", ("iam:ListGroups", "iam:ListPolicies"), ["*"]),
        *_access_entries(access, manage=False),
    )


def needs_user_policies(access: ClusterAccess) -> bool:
    """Return whether temporary access to a level of this file is a policy of the user."""
    return any(level.method is Method.ROLE and has_temporary(access, level) for level in access.levels)


def _roles(access: ClusterAccess) -> list[str]:
    return roles_of_levels(access, (level.role_name for level in access.iam_levels if not level.existing_role))


def _read_existing(access: ClusterAccess) -> list[dict[str, object]]:
    """Return the statements that allow to read existing roles and groups, none without any."""
    groups, roles = existing_groups(access), existing_roles(access)
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
        roles = [iam_arn(access, f"role{literal(level.role_path)}{level.role_name}") for level in unbounded]
        found.append(_allow("RemovePermissionsBoundaries", ("iam:DeleteRolePermissionsBoundary",), roles))
    return found


def _access_entries(access: ClusterAccess, *, manage: bool) -> list[dict[str, object]]:
    """Return the statements about access entries of the EKS cluster, none for another mapping.

    EKS checks the entry where there is one, and the cluster for calls that create or list entries.
    """
    if access.mapping.kind is not TargetKind.ACCESS_ENTRIES:
        return []
    place = f"arn:{access.partition}:eks:{access.region}:{access.account}"
    cluster, entries = f"{place}:cluster/{access.mapping.name}", f"{place}:access-entry/{access.mapping.name}/*"
    read = ("eks:DescribeAccessEntry", "eks:ListAssociatedAccessPolicies")
    found = [
        _allow("ReadEksCluster", ("eks:DescribeCluster", "eks:ListAccessEntries"), [cluster]),
        _allow("ReadAccessEntries", read, [entries]),
    ]
    if not manage:
        return found
    # The entry that is created has tags, for which EKS wants TagResource.
    change = ("eks:DeleteAccessEntry", "eks:TagResource", "eks:UpdateAccessEntry")
    return [
        *found,
        _allow("CreateAccessEntries", ("eks:CreateAccessEntry",), [cluster]),
        _allow("ChangeAccessEntries", change, [cluster, entries]),
    ]


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
