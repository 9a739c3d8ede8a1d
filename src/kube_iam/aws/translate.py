"""botocore's errors in terms of our tree: what happened, and what the person at the keyboard can do about it.

No sentence made here holds a secret. In particular the text of SignatureDoesNotMatch is never repeated: AWS puts the canonical
request into it, session token included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kube_iam.errors import (
    AccessDenied,
    AwsError,
    Conflict,
    CredentialsError,
    KubeIamError,
    NotFound,
    Throttled,
    Unreachable,
)

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "SlowDown",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_BAD_KEYS = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "IncompleteSignature", "InvalidAccessKeyId"}
)
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_MISSING = frozenset(
    {
        "NoSuchEntity",
        "NoSuchEntityException",
        "ResourceNotFoundException",
        "InvalidInstanceID.NotFound",
        "InvalidInstanceID.Malformed",
    }
)
_CONFLICTS = frozenset(
    {
        "EntityAlreadyExists",
        "ConcurrentModification",
        "DeleteConflict",
        "EntityTemporarilyUnmodifiable",
        "ResourceInUseException",
    }
)
_FULL = frozenset({"LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"})

CLOCK_HINT = "AWS takes requests that are at most 15 minutes off; set this machine's clock (time synchronisation, NTP)"
_SIGN_IN_AGAIN = "the session has ended: sign in again (`aws sso login`, or new temporary keys) and repeat the command"


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn whatever botocore raises inside into our tree. `doing` completes "cannot …": `aws_errors("create role X")`."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise translate(error, doing) from error
    except BotoCoreError as error:
        raise translate(error, doing) from error
    except ResponseParserError:
        # Its message holds the answer, and that can hold keys: not even the cause is kept.
        raise Unreachable(
            f"cannot {doing}: the answer is cut off, or is not one of AWS", "is there a proxy in between? Try again"
        ) from None


def translate(error: Exception, doing: str) -> KubeIamError:
    """The error of our tree that stands for an exception of botocore's."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return _answered(error, doing)
    if isinstance(error, BotoCoreError):
        return _failed_before_an_answer(error, doing)
    return AwsError(f"cannot {doing}: {type(error).__name__}")


def error_code(error: Exception) -> str:
    """AWS's code of a ClientError (`NoSuchEntity`), empty for anything else."""
    response = getattr(error, "response", None)
    details = response.get("Error") if isinstance(response, Mapping) else None
    return str(details.get("Code", "")) if isinstance(details, Mapping) else ""


def is_clock_skew(error: Exception) -> bool:
    """Whether AWS refused the request since its time and this machine's differ too much."""
    code, message = error_code(error), str(error)
    if code in _SKEWED:
        return True
    return code in {"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"} and (
        "Signature expired" in message or "not yet current" in message
    )


def is_wrong_mfa_code(error: Exception) -> bool:
    """Whether AWS refused the MFA code itself, or knows no such device of this person. It calls that AccessDenied, too."""
    return error_code(error) == "AccessDenied" and "MultiFactorAuthentication failed" in str(error)


def _answered(error: ClientError, doing: str) -> KubeIamError:
    code = error_code(error)
    message = " ".join(str(error.response["Error"].get("Message", "")).split())
    what = f"cannot {doing}"
    if is_clock_skew(error):
        return CredentialsError(f"{what}: this machine's clock and that of AWS differ too much", CLOCK_HINT)
    if error.operation_name == "GetRoleCredentials" and code == "UnauthorizedException":
        return CredentialsError(
            f"{what}: the IAM Identity Center sign-in has ended", "run `aws sso login` for this profile"
        )
    if error.operation_name == "GetRoleCredentials" and code == "ForbiddenException":
        return AccessDenied(
            f"{what}: IAM Identity Center does not give this person that account and permission set",
            "check sso_account_id and sso_role_name of the profile, and your assignments",
        )
    if is_wrong_mfa_code(error):
        return CredentialsError(
            f"{what}: AWS does not take the MFA code",
            "a code works once: wait for the next one; is the device this person's, and is its clock right?",
        )
    if code in _DENIED:
        return AccessDenied(f"{what}: AWS denies it: {message}", _permission_hint(message, error.operation_name))
    if code in _THROTTLED:
        return Throttled(f"{what}: AWS keeps throttling this account's calls", "wait a minute and repeat the command")
    if code in _EXPIRED:
        return CredentialsError(f"{what}: the AWS credentials have expired", _SIGN_IN_AGAIN)
    if code in {"SignatureDoesNotMatch", "InvalidSignatureException"}:
        return CredentialsError(
            f"{what}: AWS refuses the signature", "the secret access key does not belong to the access key id"
        )
    if code in _BAD_KEYS:
        return CredentialsError(
            f"{what}: AWS does not know these credentials ({code})",
            "the access key is deleted, inactive, of another partition, or its session token is missing",
        )
    if code in _MISSING:
        return NotFound(f"{what}: {message or code}")
    if code in _CONFLICTS:
        return Conflict(f"{what}: {message or code}", "repeat the command; it goes on where it stopped")
    if code in _FULL:
        return AwsError(
            f"{what}: {message or code}", "a quota of the account is used up: remove something or ask AWS for more"
        )
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500:
        return Unreachable(f"{what}: AWS fails with {code or status}", "repeat the command in a moment")
    return AwsError(f"{what}: AWS answers {code}: {message}" if message else f"{what}: AWS answers {code or status}")


def _permission_hint(message: str, operation: str) -> str:
    """Name the action whose permission is missing: AWS says it in most messages, else it is the operation's name."""
    found = re.search(r"\bperform: ([a-z0-9-]+:[A-Za-z]+)", message)
    action = found.group(1) if found else operation
    if "explicit deny" in message:
        return f"a policy explicitly denies {action} to this caller"
    return f"the caller needs the permission {action}"


def _failed_before_an_answer(error: BotoCoreError, doing: str) -> KubeIamError:
    import botocore.exceptions as known

    what = f"cannot {doing}"
    text = " ".join(str(error).split())
    match error:
        case known.NoCredentialsError():
            return CredentialsError(
                f"{what}: no AWS credentials found", "set AWS_PROFILE, or run `aws configure` or `aws sso login`"
            )
        case known.PartialCredentialsError():
            return CredentialsError(
                f"{what}: the AWS credentials are incomplete: {text}", "give both halves of the access key"
            )
        case known.ProfileNotFound():
            return CredentialsError(f"{what}: {text}", "see `aws configure list-profiles`, and AWS_PROFILE")
        case known.SSOError() | known.TokenRetrievalError():
            return CredentialsError(
                f"{what}: the IAM Identity Center sign-in has ended", "run `aws sso login` for this profile"
            )
        case known.LoginError():
            return CredentialsError(f"{what}: the AWS sign-in has ended", "run `aws login` for this profile")
        case known.CredentialRetrievalError():
            return CredentialsError(
                f"{what}: {text}", "the profile's credential_process, or the service behind it, failed"
            )
        case known.RefreshWithMFAUnsupportedError():
            return CredentialsError(f"{what}: the session has ended and needs a new MFA code", "repeat the command")
        case known.MetadataRetrievalError():
            return CredentialsError(f"{what}: the credentials' metadata service fails: {text}")
        case known.NoRegionError():
            return CredentialsError(f"{what}: no AWS region is set", "give --region or set AWS_REGION")
        case known.SSLError():
            return Unreachable(f"{what}: {text}", "a proxy that opens TLS? Name its CA file in AWS_CA_BUNDLE")
        case known.HTTPClientError() | known.ConnectionError():
            return Unreachable(f"{what}: {text}", "check the network, HTTPS_PROXY and the region's name")
        case (
            known.ConfigParseError()
            | known.InvalidConfigError()
            | known.UnknownCredentialError()
            | known.InvalidRegionError()
            | known.InvalidRetryConfigurationError()
        ):
            return CredentialsError(f"{what}: {text}", "correct the AWS configuration (~/.aws/config, AWS_* variables)")
    return AwsError(f"{what}: {text}")
