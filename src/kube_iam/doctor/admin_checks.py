"""The checks of an administrator for one user and level, in the order in which the right cause comes first: docs/doctor.md."""

from __future__ import annotations

from kube_iam.doctor.binding_checks import check_bindings, check_permissions
from kube_iam.doctor.iam_checks import check_assume, check_drift, check_membership, check_policy, check_role, check_user
from kube_iam.doctor.inspection import Inspection
from kube_iam.doctor.level_checks import check_deny_list, check_mapping
from kube_iam.doctor.outcomes import Check
from kube_iam.doctor.server_checks import (
    check_administrator,
    check_api_server,
    check_aws_account,
    check_cluster_id,
    check_context,
    check_server_iam,
    check_server_pods,
    check_token_review,
)

_CLUSTER = ("context", "api-server", "administrator")
ADMIN_CHECKS: tuple[Check[Inspection], ...] = (
    Check("context", 7, "your kubeconfig context", check_context),
    Check("api-server", 7, "API server", check_api_server, ("context",)),
    Check("administrator", 7, "your sign-in", check_administrator, ("api-server",)),
    Check("aws-account", 7, "your AWS identity", check_aws_account),
    Check("cluster-id", 7, "cluster id", check_cluster_id, _CLUSTER),
    Check("token-review", 8, "TokenReview", check_token_review, _CLUSTER),
    Check("server-pods", 9, "the server's pods", check_server_pods, _CLUSTER),
    Check("server-iam", 9, "the server and IAM", check_server_iam, ("token-review",)),
    Check("deny-list", 10, "deny list", check_deny_list, _CLUSTER),
    Check("mapping", 11, "mapping entry", check_mapping, _CLUSTER),
    Check("user", 12, "IAM user", check_user),
    Check("membership", 12, "IAM group", check_membership, ("user",)),
    Check("policy", 12, "policy", check_policy),
    Check("role", 12, "role", check_role),
    Check("assume-role", 12, "sts:AssumeRole", check_assume, ("user", "membership", "policy", "role")),
    Check("drift", 12, "drift of the level", check_drift, _CLUSTER),
    Check("bindings", 13, "bindings", check_bindings, _CLUSTER),
    Check("permissions", 13, "permissions", check_permissions, _CLUSTER),
)
