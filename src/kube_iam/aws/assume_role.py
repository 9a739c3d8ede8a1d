"""Assume the role of `-r`, under the caller's session name, and with an MFA code where one is needed."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.aws.botocore_chain import AssumedRole, BotocoreChain, own_session_name
from kube_iam.aws.mfa import check_device
from kube_iam.aws.token_cache import TokenRequest
from kube_iam.core.credentials import Credentials
from kube_iam.errors import AccessDenied


def assume(
    chain: BotocoreChain, own: Credentials, request: TokenRequest, region: str, environ: Mapping[str, str]
) -> AssumedRole:
    """Return a session of the role that `request` names, assumed with the credentials `own`.

    The user is asked at once for a code of a device that the request names. AWS_MFA_SERIAL and the profile's `mfa_serial` serve
    other roles as well: the user is asked for their code only if AWS denies the role without one. Raises AccessDenied,
    CredentialsError and the AWS errors.
    """
    caller, session_name = "", request.session_name
    if not session_name:
        caller = chain.caller_arn(own, region)
        session_name = own_session_name(caller)

    def attempt(device: str = "") -> AssumedRole:
        return chain.assume_role(
            own,
            role=request.role,
            session_name=session_name,
            external_id=request.external_id,
            region=region,
            caller=caller,
            mfa=(device, chain.prompt.code_of(device)) if device else None,
        )

    if request.mfa_serial:
        return attempt(request.mfa_serial)
    try:
        return attempt()
    except AccessDenied:
        device = _own_device(chain, own, environ)
        if not device:
            raise
    return attempt(device)


def _own_device(chain: BotocoreChain, own: Credentials, environ: Mapping[str, str]) -> str:
    """Return the MFA device of the user of these long-lived keys, or an empty string.

    Temporary credentials either carry MFA already or cannot add it, and keys from the environment are not the profile's.
    """
    if own.session_token:
        return ""
    device = environ.get("AWS_MFA_SERIAL", "")
    if not device and not environ.get("AWS_ACCESS_KEY_ID"):
        device = chain.profile_setting("mfa_serial")
    if device:
        check_device(device)
    return device
