"""Steps 5 and 6: the API server, the sign-in, and what the user may do."""

from __future__ import annotations

from kube_iam.core.redaction import shown_url
from kube_iam.core.utc import rfc3339
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.kubeconfig_checks import other_cluster_id
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.doctor.sign_in import SignIn
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi, credentials_of
from kube_iam.kube.errors import status_of
from kube_iam.kube.faults import KubeFault, fault_of
from kube_iam.kube.own_rules import OwnRules, may_get_pods, own_rules

_CAUSES = {
    KubeFault.UNRESOLVED: Cause.SERVER_UNRESOLVED,
    KubeFault.REFUSED: Cause.SERVER_REFUSES_CONNECTIONS,
    KubeFault.UNREACHABLE: Cause.SERVER_UNREACHABLE,
    KubeFault.UNKNOWN_AUTHORITY: Cause.CA_UNKNOWN,
    KubeFault.WRONG_NAME: Cause.CERTIFICATE_NAME,
    KubeFault.WRONG_TIME: Cause.CERTIFICATE_TIME,
    KubeFault.UNREADABLE_AUTHORITY: Cause.CA_UNREADABLE,
    KubeFault.OTHER: Cause.NOT_AN_API_SERVER,
}
# Answers of an API server to an anonymous user.
_ANONYMOUS = (401, 403, 404)


def check_api_server(state: SignIn) -> Outcome:
    """Check that the API server answers, and that its certificate is trusted. No credentials are sent."""
    assert state.api is not None
    return answers(state.api)


def answers(api: KubeApi) -> Outcome:
    """Return whether the API server of the kubeconfig answers to an anonymous user, by a trusted connection."""
    try:
        api.as_user({}).whoami()
    except KubeIamError as error:
        if status_of(error) not in _ANONYMOUS:
            return no_answer(error)
    context = api.context
    server = shown_url(context.server)
    if server.startswith("http://"):
        return Passed(f"{server} answers, without TLS")
    if str(context.cluster.get("insecure-skip-tls-verify") or "").casefold() == "true":
        return Passed(f"{server} answers, and its certificate is not verified (insecure-skip-tls-verify)")
    return Passed(f"{server} answers, and its certificate is trusted")


def check_sign_in(state: SignIn) -> Outcome:
    """Check that kube-apiserver accepts the plugin's credentials."""
    assert state.api is not None
    state.user_api = state.api.as_user(credentials_of(state.status))
    try:
        state.subject = subject = state.user_api.whoami()
    except KubeIamError as error:
        match status_of(error):
            case 401:
                return _unauthorized(state)
            case 403:
                return Skipped("accepted; the right to create selfsubjectreviews.authentication.k8s.io is missing")
            case 404:
                return Skipped("accepted; this API server cannot say as which user (Kubernetes 1.28 can)")
        return no_answer(error)
    return Passed(f"{subject.username}, groups: {', '.join(subject.groups)}")


def check_permissions(state: SignIn) -> Outcome:
    """Check that RBAC allows the user anything in the context's namespace."""
    assert state.context is not None
    assert state.user_api is not None
    namespace = state.context.namespace
    try:
        found = own_rules(state.user_api, namespace)
        # A webhook lists no rules, kube-iam's authorizer among them, which allows nothing.
        is_known = found.is_complete or not (found.rules or may_get_pods(state.user_api, namespace))
    except KubeIamError as error:
        if status_of(error) == 403:
            return Skipped("the right to create selfsubjectrulesreviews.authorization.k8s.io is missing")
        return no_answer(error)
    if not found.rules and is_known:
        user = f"the groups {', '.join(state.subject.groups)}" if state.subject is not None else "this user"
        return Failed(
            Cause.NO_PERMISSIONS,
            f"{nothing_allowed(found, namespace)} (other namespaces were not checked) to {user}",
        )
    if not found.rules:
        return Skipped(f"an authorizer of the cluster does not list its rules for namespace {namespace}")
    return Passed(f"in namespace {namespace}: {found.summary}")


def nothing_allowed(found: OwnRules, namespace: str) -> str:
    """Return what is known where no rule is listed, to be followed by the user."""
    known = "nothing is allowed" if found.is_complete else "RBAC allows nothing, and `get pods` is refused,"
    return f"{known} in namespace {namespace}"


def _unauthorized(state: SignIn) -> Failed:
    """Return the failure for 401. A second context for the same API server tells whether the cluster id may be wrong."""
    request = state.request
    other = other_cluster_id(state)
    if other and request is not None:
        return Failed(
            Cause.CLUSTER_ID_DIFFERS, f"kube-apiserver answers 401 to the cluster id {request.cluster_id}, and {other}"
        )
    identity = (request.role if request is not None else "") or state.caller or "the token"
    where = f", cluster id {request.cluster_id}" if request is not None else ""
    at = rfc3339(state.machine.clock() - (state.clock_ahead or 0))
    return Failed(Cause.UNAUTHORIZED, f"kube-apiserver answers 401 to {identity}{where}, at {at}")


def no_answer(error: KubeIamError) -> Failed:
    """Return the failure of a call that the API server did not answer as one does."""
    cause = Cause.NOT_AN_API_SERVER if status_of(error) else _CAUSES[fault_of(error)]
    return Failed(cause, error.message)
