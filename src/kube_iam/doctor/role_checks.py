"""Step 3: the role of the exec entry, assumed anew, and a cached session of a former role."""

from __future__ import annotations

from kube_iam.aws.assume_refusal import PolicyKind, refusing_policy, text_of_aws
from kube_iam.aws.assume_role import own_session_name
from kube_iam.aws.credential_provider import check_role as check_role_arn
from kube_iam.aws.credential_provider import provider_of
from kube_iam.aws.faults import AwsFault, fault_of
from kube_iam.aws.token_cache import TokenRequest
from kube_iam.core.utc import rfc3339
from kube_iam.doctor.aws_checks import CAUSES, OTHER_PROGRAM
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.doctor.sign_in import SignIn
from kube_iam.errors import KubeIamError, UsageError

_REFUSALS = {
    PolicyKind.IDENTITY: Cause.IDENTITY_POLICY,
    PolicyKind.TRUST: Cause.TRUST_POLICY,
    PolicyKind.BOUNDARY: Cause.PERMISSIONS_BOUNDARY,
    PolicyKind.ORGANIZATION: Cause.ORGANIZATION_POLICY,
    PolicyKind.SESSION: Cause.SESSION_POLICY,
    PolicyKind.UNKNOWN: Cause.ROLE_REFUSED,
}


def check_role(state: SignIn) -> Outcome:
    """Check that AWS gives a new session of the role, and name the policy that refuses one as far as AWS does."""
    request, provider = state.request, state.provider
    if request is None or provider is None:
        return Skipped(OTHER_PROGRAM)
    if not request.role:
        return Passed("no role (-r): the identity itself signs")
    try:
        check_role_arn(request.role, provider.endpoint.region)
        state.session = provider.new_role_session()
    except UsageError as error:
        return Failed(Cause.ROLE_INVALID, error.message, error.hint)
    except KubeIamError as error:
        fault = fault_of(error)
        if fault is AwsFault.DENIED:
            return _refused(state, request, text_of_aws(error) or error.message)
        cause = CAUSES.get(fault, Cause.ROLE_FAILED)
        return Failed(cause, error.message, error.hint if cause is Cause.ROLE_FAILED else "")
    return Passed(f"{request.role}, until {rfc3339(state.session.expires)}")


def check_session(state: SignIn) -> Outcome:
    """Check that the cached session, which kubectl would use, is of the role as it is now."""
    if state.session is None or state.provider is None:
        return Passed("no role, so no session is cached")
    if not state.program.startswith("kube-iam "):
        return Skipped("the plugin is not kube-iam, and has a cache of its own")
    cached = state.provider.cached_role_session()
    if cached is None:
        return Passed("none is cached")
    if cached.role_id and state.session.role_id and cached.role_id != state.session.role_id:
        found = f"the cached session is of {cached.role_id}, and {cached.role} is {state.session.role_id} now"
        return Failed(Cause.SESSION_PREDATES_ROLE, found, f"`kube-iam logout {cached.role}`, then sign in again")
    return Passed(f"cached until {rfc3339(cached.expires)}, of this role")


def _refused(state: SignIn, request: TokenRequest, text: str) -> Failed:
    """Return the failure for AWS's refusal. The same call with the caller's own session name tells whether the name is refused."""
    kind = refusing_policy(text)
    if kind in (PolicyKind.UNKNOWN, PolicyKind.TRUST):
        if _own_name_is_taken(state, request):
            found = f"AWS gives the role under your own session name, and not under {request.session_name!r}"
            return Failed(Cause.SESSION_NAME, found)
        if _wants_mfa(state) and not request.mfa_serial:
            return Failed(Cause.MFA_MISSING, f"level {state.machine.level} has `mfa: true`, and AWS says: {text}")
        if ":assumed-role/" in state.caller:
            remedy = (
                "Roles of kube-iam are for IAM users: sign in with the keys of one, or use a level of a permission set"
            )
            return Failed(_REFUSALS[kind], text, remedy)
    return Failed(_REFUSALS[kind], text)


def _own_name_is_taken(state: SignIn, request: TokenRequest) -> bool:
    """Return whether AWS gives the role under the name that kube-iam chooses without -s. The session is discarded."""
    try:
        if request.session_name in ("", own_session_name(state.caller)):
            return False
        named = TokenRequest(
            request.cluster_id,
            role=request.role,
            external_id=request.external_id,
            region=request.region,
            interactive=False,
        )
        provider_of(named, state.environ, state.machine.clock).new_role_session()
    except KubeIamError:
        return False
    return True


def _wants_mfa(state: SignIn) -> bool:
    access = state.machine.access
    return access is not None and any(level.mfa for level in access.levels if level.name == state.machine.level)
