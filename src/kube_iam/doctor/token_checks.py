"""Step 4: the token that the exec plugin prints, checked as a server does."""

from __future__ import annotations

import asyncio

from kube_iam.aws.regions import regions_of
from kube_iam.core.arns import is_iam_name
from kube_iam.core.checks import CheckedToken, check_token
from kube_iam.core.partitions import partition_of_region
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.core.sts_response import error_code, is_throttling
from kube_iam.core.tokens import PREFIX
from kube_iam.core.utc import rfc3339
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.outcomes import Failed, Outcome, Passed
from kube_iam.doctor.sign_in import SignIn
from kube_iam.errors import KubeError, KubeIamError
from kube_iam.kube.exec_plugin import run_plugin

_CAUSES = {Reason.TOKEN_EXPIRED: Cause.TOKEN_EXPIRED, Reason.DATE_IN_FUTURE: Cause.CLOCK_SKEW}


def check_plugin_token(state: SignIn) -> Outcome:
    """Run the plugin as kubectl does, check its token by AWS's clock, and have AWS verify it."""
    assert state.context is not None
    try:
        state.status = status = run_plugin(state.context, state.machine.environ, terminal=state.machine.interactive)
    except KubeError as error:
        return Failed(Cause.PLUGIN_FAILED, error.message, error.hint)
    now = state.machine.clock() - (state.clock_ahead or 0)
    if status.expires is not None and status.expires <= now:
        return Failed(Cause.TOKEN_EXPIRED, f"the plugin's token ended at {rfc3339(status.expires)}")
    end = f"valid until {rfc3339(status.expires)}" if status.expires is not None else "without an expiration time"
    if not status.token.startswith(PREFIX):
        return Passed(f"credentials of another kind than {PREFIX}…, {end}")
    checked = check_token(status.token, hosts=_hosts(state), now=now)
    if isinstance(checked, Refusal):
        return Failed(_CAUSES.get(checked.reason, Cause.TOKEN_INVALID), f"{checked.reason.value}: {checked.message}")
    fields = f"{checked.host} ({checked.region}), access key {checked.access_key_id}, {end}"
    if state.request is None:
        return Passed(fields)
    return _verified_by_aws(checked, state.request.cluster_id, fields)


def _verified_by_aws(checked: CheckedToken, cluster_id: str, fields: str) -> Outcome:
    """Send the request of the token to STS as a server does, and return what comes of it."""
    from kube_iam.aws.sts import StsAnswer, sts_client

    async def ask() -> StsAnswer | Refusal:
        sts = sts_client()
        try:
            return await sts.get_caller_identity(checked.request_url(), cluster_id)
        finally:
            await sts.close()

    try:
        answer = asyncio.run(ask())
    except KubeIamError as error:  # a proxy, or a file of certificates
        return Passed(f"{fields}, not verified: {error.message}")
    if isinstance(answer, Refusal) or answer.status >= 500 or is_throttling(answer.status, answer.body):
        return Passed(f"{fields}, not verified: STS gives no answer now")
    if answer.status >= 400:
        code = error_code(answer.body)
        found = f"STS answers {answer.status} {code if is_iam_name(code) else ''}".rstrip()
        return Failed(Cause.TOKEN_REFUSED, f"{found} to the request in the token, as it would to a server")
    return Passed(f"{fields}, verified by STS for cluster id {cluster_id}")


def _hosts(state: SignIn) -> StsHosts:
    """Return the hosts of the partition, with the endpoint of the environment."""
    endpoint = state.provider.endpoint if state.provider is not None else None
    partition = partition_of_region(endpoint.region) if endpoint is not None else "aws"
    extra = {endpoint.host: endpoint.region} if endpoint is not None else {}
    return StsHosts(partition, regions_of(partition), extra=extra)
