"""The checks of a user without special rights, in the order of the sign-in: steps 1 to 6 of docs/doctor.md."""

from __future__ import annotations

from kube_iam.doctor.aws_checks import check_clock, check_credentials
from kube_iam.doctor.cluster_checks import check_api_server, check_permissions, check_sign_in
from kube_iam.doctor.kubeconfig_checks import check_kubeconfig, check_plugin
from kube_iam.doctor.outcomes import Check
from kube_iam.doctor.role_checks import check_role, check_session
from kube_iam.doctor.sign_in import SignIn
from kube_iam.doctor.token_checks import check_plugin_token

USER_CHECKS: tuple[Check[SignIn], ...] = (
    Check("kubeconfig", 1, "kubeconfig and context", check_kubeconfig),
    Check("plugin", 1, "exec plugin", check_plugin, ("kubeconfig",)),
    Check("credentials", 2, "AWS identity", check_credentials, ("plugin",)),
    Check("clock", 2, "clock", check_clock, ("credentials",)),
    Check("role", 3, "role", check_role, ("credentials",)),
    Check("session", 3, "cached session", check_session, ("role",)),
    Check("token", 4, "token", check_plugin_token, ("plugin", "credentials", "role")),
    Check("api-server", 5, "API server", check_api_server, ("kubeconfig",)),
    Check("sign-in", 6, "sign-in", check_sign_in, ("token", "api-server")),
    Check("permissions", 6, "permissions", check_permissions, ("sign-in",)),
)
