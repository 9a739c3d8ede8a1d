"""Step 2: the AWS identity, the source of its credentials, and this machine's clock against AWS's."""

from __future__ import annotations

from kube_iam.aws.faults import AwsFault, aws_time, fault_of
from kube_iam.core.checks import CLOCK_SKEW, LIFETIME
from kube_iam.core.tokens import LIFETIME_SECONDS
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.doctor.sign_in import SignIn
from kube_iam.errors import KubeIamError

_SOURCES = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the credentials file",
    "config-file": "the config file",
    "assume-role": "a role of the profile",
    "assume-role-with-web-identity": "a web identity",
    "sso": "IAM Identity Center",
    "login": "aws login",
    "custom-process": "credential_process",
    "container-role": "the container's agent",
    "iam-role": "instance metadata",
}
OTHER_PROGRAM = "the exec plugin is another program, whose settings are not known here"
CAUSES = {
    AwsFault.NO_CREDENTIALS: Cause.CREDENTIALS_MISSING,
    AwsFault.NO_PROFILE: Cause.PROFILE_MISSING,
    AwsFault.SIGN_IN_ENDED: Cause.SIGN_IN_ENDED,
    AwsFault.EXPIRED: Cause.CREDENTIALS_EXPIRED,
    AwsFault.UNKNOWN_KEY: Cause.ACCESS_KEY_UNKNOWN,
    AwsFault.WRONG_SECRET: Cause.SECRET_KEY_WRONG,
    AwsFault.CLOCK: Cause.CLOCK_SKEW,
    AwsFault.MFA_WANTED: Cause.MFA_MISSING,
    AwsFault.MFA_WRONG: Cause.MFA_CODE_WRONG,
    AwsFault.UNREACHABLE: Cause.AWS_UNREACHABLE,
}
"""Causes of failures that do not depend on the call."""


def check_credentials(state: SignIn) -> Outcome:
    """Check that the credentials are found, and that AWS takes them."""
    from kube_iam.aws.credential_provider import provider_of

    if state.request is None:
        return Skipped(OTHER_PROGRAM)
    try:
        state.provider = provider_of(state.request, state.environ, state.machine.clock)
        identity = state.provider.identify(state.provider.own_credentials())
    except KubeIamError as error:
        _compare_clocks(state, aws_time(error))
        cause = CAUSES.get(fault_of(error), Cause.CREDENTIALS_UNUSABLE)
        if cause is Cause.CLOCK_SKEW:
            return Failed(cause, _skew(state) or error.message)
        return Failed(cause, error.message, error.hint if cause is Cause.CREDENTIALS_UNUSABLE else "")
    state.caller = identity.arn
    _compare_clocks(state, identity.aws_time)
    return Passed(f"{identity.arn}, from {_source(state)}")


def check_clock(state: SignIn) -> Outcome:
    """Check that the clocks differ by less than a server tolerates in a token."""
    ahead = state.clock_ahead
    if state.provider is None:
        return Skipped("AWS was not asked")
    if ahead is None:
        return Skipped("the answer of STS has no Date")
    if ahead > CLOCK_SKEW or -ahead >= LIFETIME:
        return Failed(Cause.CLOCK_SKEW, _skew(state))
    if -ahead > LIFETIME - LIFETIME_SECONDS:
        return Passed(
            f"{_skew(state)}: tokens are valid for {LIFETIME + ahead:.0f} s, and kubectl uses them for {LIFETIME_SECONDS} s"
        )
    return Passed(_skew(state))


def _compare_clocks(state: SignIn, aws_seconds: float | None) -> None:
    if aws_seconds is not None:
        # Dates are rounded down to the second.
        state.clock_ahead = int(state.machine.clock()) - aws_seconds


def _skew(state: SignIn) -> str:
    if state.clock_ahead is None:
        return ""
    side = "ahead of" if state.clock_ahead > 0 else "behind"
    seconds = abs(state.clock_ahead)
    return (
        f"this machine's clock is {seconds:.0f} s {side} that of AWS"
        if seconds
        else "this machine's clock equals that of AWS"
    )


def _source(state: SignIn) -> str:
    from kube_iam.aws.static_credentials import profile_name

    assert state.provider is not None
    environ, source = state.environ, state.provider.source
    if not source and environ.get("AWS_ACCESS_KEY_ID"):
        return _SOURCES["env"]
    named = f"profile {profile_name(environ) or 'default'}"
    if not source:
        return named
    text = _SOURCES.get(source, source)
    return text if source in ("env", "container-role", "iam-role") else f"{text}, {named}"
