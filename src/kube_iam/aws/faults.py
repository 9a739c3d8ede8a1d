"""Kinds of failures of AWS credentials and calls, for programs: the errors of our tree are sentences for people."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from enum import Enum, auto

from kube_iam.aws.errors import (
    BAD_KEYS,
    EXPIRED,
    WRONG_SIGNATURE,
    RefusedCall,
    error_code,
    is_clock_skew,
    is_wrong_mfa_code,
)
from kube_iam.core.redaction import causes
from kube_iam.errors import AccessDenied, KubeIamError, NobodyToAsk, Throttled, Unreachable


class AwsFault(Enum):
    """A kind of failure."""

    NO_CREDENTIALS = auto()
    NO_PROFILE = auto()
    SIGN_IN_ENDED = auto()
    EXPIRED = auto()
    UNKNOWN_KEY = auto()
    WRONG_SECRET = auto()
    CLOCK = auto()
    DENIED = auto()
    MFA_WANTED = auto()
    MFA_WRONG = auto()
    UNREACHABLE = auto()
    OTHER = auto()


_BY_CODES = (
    (EXPIRED, AwsFault.EXPIRED),
    (BAD_KEYS, AwsFault.UNKNOWN_KEY),
    (WRONG_SIGNATURE, AwsFault.WRONG_SECRET),
    (("UnauthorizedException",), AwsFault.SIGN_IN_ENDED),
)


def fault_of(error: KubeIamError) -> AwsFault:
    """Return the kind of an error that a call of AWS, or the search for credentials, raised."""
    import botocore.exceptions as known

    if isinstance(error, NobodyToAsk):
        return AwsFault.MFA_WANTED
    for cause in causes(error):
        if isinstance(cause, (known.ClientError, RefusedCall)):
            return _answered(cause)
        if isinstance(cause, known.ProfileNotFound):
            return AwsFault.NO_PROFILE
        if isinstance(cause, known.NoCredentialsError):
            return AwsFault.NO_CREDENTIALS
        if isinstance(cause, (known.SSOError, known.TokenRetrievalError, known.LoginError)):
            return AwsFault.SIGN_IN_ENDED
    match error:
        case Unreachable() | Throttled():
            return AwsFault.UNREACHABLE
        case AccessDenied():
            return AwsFault.DENIED
    return AwsFault.OTHER


def aws_time(error: KubeIamError) -> float | None:
    """Return AWS's clock (Unix seconds) by the Date of the answer that led to this error; None without one."""
    for cause in causes(error):
        time = time_of_answer(getattr(cause, "response", None))
        if time is not None:
            return time
    return None


def time_of_answer(response: object) -> float | None:
    """Return the Date header of an answer that botocore parsed, as Unix seconds; None without a valid one."""
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    headers = metadata.get("HTTPHeaders") if isinstance(metadata, dict) else None
    text = headers.get("date") if isinstance(headers, dict) else None
    try:
        return parsedate_to_datetime(str(text)).timestamp() if text else None
    except ValueError:
        return None


def _answered(error: Exception) -> AwsFault:
    if is_clock_skew(error):
        return AwsFault.CLOCK
    if is_wrong_mfa_code(error):
        return AwsFault.MFA_WRONG
    code = error_code(error)
    for codes, fault in _BY_CODES:
        if code in codes:
            return fault
    return AwsFault.DENIED if code == "AccessDenied" else AwsFault.OTHER
