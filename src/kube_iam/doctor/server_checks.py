"""Steps 7 to 9 of an administrator: the connections, the cluster id, a TokenReview, and the server's reads of IAM."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kube_iam.access.desired import role_arn
from kube_iam.access.inventory import check_caller
from kube_iam.access.levels import MappingTarget, Method, TargetKind
from kube_iam.core.checks import CLOCK_SKEW, LIFETIME
from kube_iam.core.membership_status import MembershipQuestion, MembershipState, requirement_name
from kube_iam.core.reasons import Reason
from kube_iam.core.utc import rfc3339
from kube_iam.denylist.prober import Prober, unverified_reason
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.cluster_checks import answers, no_answer
from kube_iam.doctor.inspection import Inspection, skipped
from kube_iam.doctor.kubeconfig_checks import context_failure
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.errors import ConfigError, CredentialsError, KubeError, KubeIamError, UsageError
from kube_iam.kube.client import refuse_unsupported
from kube_iam.kube.eks_hosts import eks_region
from kube_iam.kube.errors import clean, status_of
from kube_iam.kube.kubeconfig_merge import entries_in_use
from kube_iam.kube.kubeconfig_owner import certificates_of, same_server, sign_in
from kube_iam.kube.mapping_source import read_source
from kube_iam.kube.membership_query import ask_memberships, local_review
from kube_iam.kube.pods import LABEL, NAMESPACE, SERVER, server_pods
from kube_iam.kube.webhook_faults import Review, WebhookFault, webhook_fault

NO_CLUSTER = "nothing of the access file is in a cluster"
_CHECKED_FOR = re.compile(r"checked for cluster id (.+?)(?: \(request|[,\]]|$)")
_OWN_WORDS = "invalid bearer token"
_FAULTS = {
    WebhookFault.ERROR_ANSWER: Cause.WEBHOOK_ERROR,
    WebhookFault.CERTIFICATE_TIME: Cause.WEBHOOK_CERTIFICATE_TIME,
    WebhookFault.CERTIFICATE_NAME: Cause.WEBHOOK_CERTIFICATE_NAME,
    WebhookFault.NO_TLS: Cause.WEBHOOK_ADDRESS,
    WebhookFault.UNTRUSTED: Cause.WEBHOOK_UNTRUSTED,
    WebhookFault.OTHER_PROGRAM: Cause.WEBHOOK_ADDRESS,
    WebhookFault.NOTHING: Cause.WEBHOOK_DOWN,
    WebhookFault.TIMEOUT: Cause.WEBHOOK_TIMEOUT,
}
# Refusals of the administrator's own token that are faults of the server, and of nobody's access.
_SERVER_REASONS = {
    Reason.STS_SIGNATURE_MISMATCH: Cause.SERVER_CLUSTER_ID,
    Reason.TOKEN_EXPIRED: Cause.SERVER_CLOCK,
    Reason.DATE_IN_FUTURE: Cause.SERVER_CLOCK,
    Reason.URL_HOST: Cause.SERVER_PARTITION,
    Reason.STS_REGION_DISABLED: Cause.SERVER_STS,
    Reason.STS_ACCESS_DENIED: Cause.SERVER_STS,
    Reason.STS_INVALID_RESPONSE: Cause.SERVER_STS,
    Reason.STS_UNREACHABLE: Cause.SERVER_STS,
    Reason.STS_NO_ANSWER: Cause.SERVER_STS,
    Reason.STS_THROTTLED: Cause.SERVER_STS,
    Reason.MAPPINGS_NOT_LOADED: Cause.SERVER_NOT_READY,
    Reason.DENY_LIST_NOT_LOADED: Cause.SERVER_NOT_READY,
}


def check_context(state: Inspection) -> Outcome:
    """Check that the administrator's kubeconfig leads to the API server of the access file."""
    if not state.has_cluster:
        return Skipped(NO_CLUSTER)
    context = None
    try:
        context = state.session.kube.context
        refuse_unsupported(context)
        state.session.check_server()
    except UsageError as error:
        return Failed(Cause.OTHER_CLUSTER, error.message, error.hint)
    except (ConfigError, KubeError) as error:
        return context_failure(error, is_read=context is not None)
    return Passed(f"context {context.name}")


def check_api_server(state: Inspection) -> Outcome:
    """Check that the API server answers, and that its certificate is trusted. No credentials are sent."""
    return answers(state.session.kube) if state.has_cluster else Skipped(NO_CLUSTER)


def check_administrator(state: Inspection) -> Outcome:
    """Check that the API server takes the administrator's credentials."""
    if not state.has_cluster:
        return Skipped(NO_CLUSTER)
    try:
        subject = state.session.kube.whoami()
    except KubeIamError as error:
        match status_of(error):
            case 401:
                return Failed(Cause.ADMINISTRATOR_UNAUTHORIZED, error.message)
            case 403:
                return skipped(error)
            case 404:
                return Skipped("this API server cannot say who you are (Kubernetes 1.28 can)")
        return no_answer(error)
    return Passed(subject.username)


def check_aws_account(state: Inspection) -> Outcome:
    """Check that the administrator's AWS credentials are of the access file's account, and compare the clocks."""
    from kube_iam.aws.credential_provider import provider_of
    from kube_iam.aws.faults import aws_time
    from kube_iam.aws.token_cache import TokenRequest

    try:
        request = TokenRequest(state.access.cluster_id, region=state.region, interactive=state.interactive)
        provider = provider_of(request, state.environ, state.clock)
        identity = provider.identify(provider.own_credentials())
    except KubeIamError as error:
        at = aws_time(error)
        state.clock_ahead = state.clock() - at if at is not None else None
        return Skipped(error.message)
    state.is_aws_known = True
    state.clock_ahead = state.clock() - identity.aws_time if identity.aws_time is not None else None
    try:
        caller = check_caller(state.access, state.session.iam)
    except CredentialsError as error:
        state.other_account = error
        return Skipped(error.message)
    except KubeIamError as error:
        return Skipped(error.message)
    return Passed(f"{caller.account}, as {identity.arn}")


def check_cluster_id(state: Inspection) -> Outcome:
    """Check that the kubeconfig, the access file and the server's config.yaml have one cluster id."""
    access, place = state.access, state.access.place("cluster.id")
    agree = [place]
    try:
        for context, other in _ids_of_contexts(state):
            if other != access.cluster_id:
                found = f"context {context} signs in with {other}, and {place} says {access.cluster_id}"
                return Failed(Cause.CLUSTER_ID_DIFFERS, found)
            agree.append(f"context {context}")
    except KubeIamError:
        agree.append("no kubeconfig that can be read")
    target = _config_target(state)
    if target is None:
        return Passed(f"{access.cluster_id} in {', '.join(agree)}")
    try:
        source = read_source(target, state.session.kube if state.has_cluster else None)
    except KubeIamError as error:
        return skipped(error)
    if source.cluster_id and source.cluster_id != access.cluster_id:
        found = f"{target.describe()} says {source.cluster_id}, and {place} says {access.cluster_id}"
        remedy = "Correct `clusterID` there and restart the server, or correct cluster.id and write the kubeconfig anew"
        return Failed(Cause.CLUSTER_ID_DIFFERS, found, remedy)
    return Passed(f"{access.cluster_id} in {', '.join([*agree, *([target.describe()] if source.cluster_id else [])])}")


def check_token_review(state: Inspection) -> Outcome:
    """Check by a TokenReview that kube-apiserver asks the server, and that the server decides.

    The token is one of the administrator's own AWS identity, where AWS takes that. So it also shows whether STS verifies tokens for
    this cluster id. It cannot show what becomes of the user's token. Else the token is a status query, which shows only that the
    server answers.
    """
    token, is_own, why = _token(state)
    try:
        review = _review(state)
        found = review(token)
    except ConfigError as error:
        return Skipped("; ".join(error.lines))
    except KubeIamError as error:
        is_local = not state.has_cluster and state.access.mapping.kind is TargetKind.FILE
        return Failed(Cause.WEBHOOK_DOWN, error.message) if is_local else skipped(error)
    failure = _failure(state, found, is_own=is_own)
    if failure is not None:
        return failure
    if state.has_cluster and (failure := _elsewhere(state)):
        return failure
    if found.username:
        return Passed(f"your own AWS identity signs in as {found.username}")
    said = _said(found.error)
    if not is_own:
        return Passed(f"the server answers a status query; no token was tried, since {why}")
    return Passed(f"the server verified a token of your own AWS identity for this cluster id, and says: {said}")


def check_server_pods(state: Inspection) -> Outcome:
    """Check that all pods of the server are ready, where it runs in pods."""
    if not state.has_cluster:
        return Skipped(NO_CLUSTER)
    try:
        pods = server_pods(state.session.kube)
    except KubeIamError as error:
        return skipped(error)
    if not pods:
        return Skipped(f"no pods are labelled {LABEL}={SERVER} in namespace {NAMESPACE}: the server runs elsewhere")
    unready = [f"{pod.name} on node {pod.node or 'none'} is {pod.problem}" for pod in pods if pod.problem]
    if unready:
        return Failed(Cause.SERVER_NOT_READY, f"{len(unready)} of {len(pods)} pods are not ready: {', '.join(unready)}")
    return Passed(f"{len(pods)} of {len(pods)} pods are ready")


def check_server_iam(state: Inspection) -> Outcome:
    """Check that the server reads the level's IAM group and role, and that the role is not suspended."""
    level, wanted = state.level, state.wanted
    if not state.access.asks_membership(level):
        return Skipped(f"the server reads no IAM for level {level.name}")
    name = requirement_name(wanted.iam_group, wanted.key if wanted.role_arn else "")
    try:
        status = ask_memberships(_review(state), (name,)).states.get(name)
    except KubeIamError as error:
        return skipped(error)
    if status is None:
        return Skipped("the server's answer does not say so")
    group, role = f"IAM group {level.group_name}", f"role {level.role_name}"
    until = rfc3339(status.until)
    last = f"what it read before counts until {until}" if status.until else "nobody is admitted"
    match status.state:
        case MembershipState.NOT_MAPPED:
            return _not_mapped(state)
        case MembershipState.NOT_READ:
            return _unless_missing(state, Failed(Cause.SERVER_NOT_READY, f"the server has not read {group} yet"))
        case MembershipState.GROUP_FORBIDDEN:
            return _unless_missing(state, _right("iam:GetGroup", group, last))
        case MembershipState.ROLE_FORBIDDEN:
            return _unless_missing(state, _right("iam:GetRole", role, last))
        case MembershipState.UNREADABLE:
            return Failed(Cause.SERVER_IAM_UNREACHABLE, f"the server cannot read IAM for level {level.name}")
        case MembershipState.GROUP_MISSING:
            found = f"{group} does not exist in the account of the server's AWS credentials"
            return _unless_missing(state, Failed(Cause.SERVER_ACCOUNT, found))
        case MembershipState.ROLE_MISSING:
            found = f"{role} does not exist in the account of the server's AWS credentials"
            return _unless_missing(state, Failed(Cause.SERVER_ACCOUNT, found))
        case MembershipState.SESSION_NAME_UNRESTRICTED:
            return Failed(
                Cause.SESSION_NAME_UNRESTRICTED, f"the trust policy of {role} may let callers choose their session name"
            )
        case MembershipState.SUSPENDED:
            return Failed(Cause.ROLE_SUSPENDED, f"the server refuses sessions of {role} until {until}")
        case MembershipState.RECREATED:
            again = f"{role} was created again: sessions from before, which live until {until} at most, are refused"
            return Passed(f"{again}; a user with one runs `kube-iam logout {level.name}`")
    return Passed(f"the server has read {group}" + (f" and {role}" if level.method is Method.ROLE else ""))


def _token(state: Inspection) -> tuple[str, bool, str]:
    """Return a token, whether it is one of the administrator's own AWS identity, and else why it is not."""
    from kube_iam.aws.credential_provider import issue_token
    from kube_iam.aws.token_cache import TokenRequest

    why = "AWS does not take your credentials"
    if state.is_aws_known and not (why := _distrust(state)):
        try:
            request = TokenRequest(state.access.cluster_id, region=state.region, interactive=state.interactive)
            return issue_token(request, state.environ, state.clock).token, True, ""
        except KubeIamError as error:
            why = error.message
    return _status_query(), False, why


def _distrust(state: Inspection) -> str:
    """Return why the API server is not sent a token for the cluster id: it may be another cluster's, which could use the token."""
    if not state.has_cluster:
        return ""
    context, access = state.session.kube.context, state.access
    if unverified := unverified_reason(context):
        return unverified
    if same_server(context.server, access.endpoint):
        return ""
    data = str(context.cluster.get("certificate-authority-data") or "")
    own = certificates_of(data) if data else frozenset()
    if own and own == _pem(access.certificate_authority):
        return ""
    return f"context {context.name} leads to another address and authority than {access.place('cluster.endpoint')} says"


def _pem(text: str) -> frozenset[str]:
    from base64 import b64encode

    return certificates_of(b64encode(text.encode()).decode())


def _review(state: Inspection) -> Callable[[str], Review]:
    """Return the way to the server: through kube-apiserver, or directly where the mapping is a file and nothing is in a cluster."""
    if state.has_cluster:
        return Prober(state.session.kube).review
    if state.access.mapping.kind is not TargetKind.FILE:
        raise KubeError(NO_CLUSTER)
    return local_review(Path(state.access.mapping.path))


def _failure(state: Inspection, found: Review, *, is_own: bool, where: str = "") -> Failed | None:
    """Return the fault that a TokenReview shows, None where the server answered as one that works."""
    said = _said(found.error)
    if found.username:
        return None
    reason, fault = _reason(found.error), webhook_fault(found.error)
    if reason is None and fault is not None:
        if is_own and fault in (WebhookFault.ERROR_ANSWER, WebhookFault.TIMEOUT) and _answers_status_query(state):
            found_here = "the server answers status queries, and fails to verify a token of your own AWS identity"
            return Failed(Cause.SERVER_STS, f"{found_here}; status.error is: {said}")
        return Failed(_FAULTS[fault], f"{where}status.error is: {said}")
    if reason is None:
        return _no_server(state, said, where)
    cause = _SERVER_REASONS.get(reason)
    if cause is None or not (is_own or cause is Cause.SERVER_NOT_READY):
        return None
    if cause is Cause.SERVER_CLUSTER_ID and (theirs := _CHECKED_FOR.search(found.error)):
        ours = state.access.cluster_id
        if theirs[1] == ours:
            return None
        return Failed(cause, f"the server runs with cluster id {theirs[1]}, and the access file says {ours}: {said}")
    ahead = state.clock_ahead or 0
    if cause is Cause.SERVER_CLOCK and (ahead > CLOCK_SKEW or -ahead >= LIFETIME):
        return None  # the administrator's own clock, by which the token was made
    return Failed(cause, f"{where}status.error is: {said}")


def _said(error: str) -> str:
    """Return a `status.error` without kube-apiserver's own words, which stand before those of the webhook."""
    text = error.removeprefix(f"[{_OWN_WORDS}, ")
    if text == error:
        return error if error == _OWN_WORDS else clean(error) or "empty"
    return clean(text.removesuffix("]"))


def _answers_status_query(state: Inspection) -> bool:
    try:
        return _reason(_review(state)(_status_query()).error) is not None
    except KubeIamError:
        return False


def _status_query() -> str:
    """Return the token of a status query about a level that no server has."""
    return MembershipQuestion(secrets.token_hex(8), (requirement_name(""),)).token


def _no_server(state: Inspection, said: str, where: str) -> Failed | None:
    if eks_region(state.access.endpoint) or state.access.mapping.kind is TargetKind.ACCESS_ENTRIES:
        return None  # EKS's own authenticator, which tells no reasons
    found = f"{where}no kube-iam server has answered the TokenReview; status.error is: {said}"
    return Failed(Cause.WEBHOOK_MISSING, found)


def _elsewhere(state: Inspection) -> Failed | None:
    """Return the fault of one API server of several, asked at its own address. One that cannot be reached from here is left out."""
    prober = Prober(state.session.kube)
    try:
        addresses = prober.addresses()
    except KubeIamError:
        return None

    def ask(address: str) -> Failed | None:
        try:
            return _failure(
                state, prober.review(_status_query(), address), is_own=False, where=f"API server {address}: "
            )
        except KubeIamError:
            return None

    with ThreadPoolExecutor(max_workers=8) as pool:
        return next(filter(None, pool.map(ask, addresses)), None)


def _reason(error: str) -> Reason | None:
    """Return the reason whose sentence stands in a `status.error`, the longest of several."""
    found = (reason for reason in Reason if reason.sentence in error)
    return max(found, key=lambda reason: len(reason.sentence), default=None)


def _ids_of_contexts(state: Inspection) -> Iterator[tuple[str, str]]:
    """Yield each context of the kubeconfig for this API server that signs in with our exec plugin, and its cluster id."""
    entries = entries_in_use(state.environ, state.kubeconfig)
    for (section, name), entry in entries.items():
        user, cluster = entries.get(("users", entry.text("user"))), entries.get(("clusters", entry.text("cluster")))
        if section != "contexts" or user is None or cluster is None:
            continue
        found = sign_in(user)
        if found is not None and found.own.get("id") and same_server(cluster.text("server"), state.access.endpoint):
            yield name, found.own["id"]


def _config_target(state: Inspection) -> MappingTarget | None:
    """Return where the server's config.yaml is: the mapping's own place, else the ConfigMap of that name. None for EKS."""
    target = state.access.mapping
    if target.kind in (TargetKind.CONFIG_FILE, TargetKind.FILE):
        return target
    is_eks = bool(eks_region(state.access.endpoint)) or target.kind is TargetKind.ACCESS_ENTRIES
    return None if is_eks or not state.has_cluster else MappingTarget(TargetKind.CONFIG_FILE)


def _not_mapped(state: Inspection) -> Outcome:
    """Return the outcome for a level that the server does not know: the mapping has its entry, or step 11 says what is wrong."""
    try:
        wanted, faults = state.wanted, state.session.mapping_store.faults()
        has_entry = any(entry.iam_group == wanted.iam_group for entry in state.present)
    except KubeIamError:
        return Skipped("the server does not know the level, and the mapping cannot be read: see below")
    if not has_entry or faults:
        return Skipped(f"the server does not know level {state.level.name}: see the mapping below")
    where = state.access.mapping.describe()
    return Failed(
        Cause.SERVER_MAPPING_OLD, f"{where} has the entry of level {state.level.name}, and the server does not"
    )


def _unless_missing(state: Inspection, failure: Failed) -> Outcome:
    """Return the failure, or leave a group or role that does not exist to the checks of IAM."""
    try:
        by_role = state.level.method is Method.ROLE
        if state.group is None or (by_role and state.role is None):
            return Skipped("the server cannot read what does not exist: see IAM below")
        role, wanted = state.role if by_role else None, role_arn(state.access, state.level)
        if role is not None and not state.level.existing_role and role.arn != wanted:
            return Skipped(f"the server may read {wanted}, and the role has another path: see IAM below")
        if any(entry.role_arn != state.wanted.role_arn for entry in state.present):
            return Skipped("the mapping writes the role in another letter case: see the mapping below")
    except KubeIamError:
        return failure
    return failure


def _right(action: str, what: str, last: str) -> Failed:
    return Failed(Cause.SERVER_RIGHTS, f"IAM does not let the server call {action} for {what}; {last}")
