"""Errors of our tree for those of botocore: the cause, and the remedy.

No message made here holds a secret. AWS's own text is repeated only for the codes in `_QUOTED`: the text of SignatureDoesNotMatch
holds the canonical request with the session token, that of IncompleteSignature the Authorization header. `local_errors` has the
exceptions that are raised before AWS has answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from kube_iam.aws.local_errors import before_an_answer, is_expected
from kube_iam.core.redaction import without_secrets
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
    from botocore.exceptions import ClientError


class RefusedCall(Exception):
    """AWS answered a call of `query_api` or `sts_calls` with an error.

    The fields are those of botocore's ClientError, for the same tables.
    """

    def __init__(self, operation_name: str, status: int, code: str, message: str, date: str = "") -> None:
        super().__init__(message)
        self.operation_name = operation_name
        self.response: Mapping[str, Any] = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"date": date}},
        }


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
        "TooManyRequestsError",
        "SlowDown",
    }
)
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
BAD_KEYS = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "IncompleteSignature", "InvalidAccessKeyId"}
)
WRONG_SIGNATURE = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException"})
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

# The codes whose messages describe an object, a permission or a policy, and cannot hold a header.
_QUOTED = (
    _DENIED
    | _MISSING
    | _CONFLICTS
    | _FULL
    | {"InvalidInput", "InvalidParameterValue", "MalformedPolicyDocument", "MalformedPolicyDocumentException"}
    | {
        "PackedPolicyTooLarge",
        "PolicyNotAttachable",
        "RegionDisabledException",
        "UnmodifiableEntity",
        "ValidationError",
    }
)
# EKS says with these codes which parameter it refuses and why. Other services quote what was sent.
_QUOTED_OF_EKS = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceLimitExceededException"})
_CODE = re.compile(r"[\w.:#-]{1,80}", re.ASCII)
# STS and IAM quote the parameter itself, an MFA code or a web identity token among them: `Value 'X' at 'tokenCode' failed …`.
_QUOTED_VALUE = re.compile(r"\b[Vv]alue '.*' at '", re.DOTALL)

CLOCK_HINT = "AWS takes requests that are at most 15 minutes off; set this machine's clock (time synchronisation, NTP)"
_AGAIN = "repeat the command; it goes on where it stopped"


class _Answer(NamedTuple):
    """The error of our tree for an answer of AWS. `problem` may hold {code}, {message}, and {text}: the message, else the code."""

    kind: type[KubeIamError]
    problem: str
    hint: str = ""


_SKEWED_CLOCK = _Answer(CredentialsError, "this machine's clock and that of AWS differ too much", CLOCK_HINT)
_WRONG_MFA_CODE = _Answer(
    CredentialsError,
    "AWS does not take the MFA code",
    "a code works once: wait for the next one; is the device this person's, and is its clock right?",
)
_BY_CODES: tuple[tuple[Iterable[str], _Answer], ...] = (
    (_DENIED, _Answer(AccessDenied, "AWS denies it: {message}")),  # the hint names the permission
    (
        _THROTTLED,
        _Answer(Throttled, "AWS keeps throttling this account's calls", "wait a minute and repeat the command"),
    ),
    (
        EXPIRED,
        _Answer(
            CredentialsError,
            "the AWS credentials have expired",
            "the session has ended: sign in again (`aws sso login`, or new temporary keys) and repeat the command",
        ),
    ),
    (
        WRONG_SIGNATURE,
        _Answer(
            CredentialsError,
            "AWS refuses the signature",
            "the secret access key does not belong to the access key id",
        ),
    ),
    (
        BAD_KEYS,
        _Answer(
            CredentialsError,
            "AWS does not know these credentials ({code})",
            "the access key is deleted, inactive, of another partition, or its session token is missing",
        ),
    ),
    (_MISSING, _Answer(NotFound, "{text}")),
    (_CONFLICTS, _Answer(Conflict, "{text}", _AGAIN)),
    (
        ("DeleteConflict",),
        _Answer(Conflict, "{text}", f"remove what is attached to it, then {_AGAIN}"),
    ),
    (_FULL, _Answer(AwsError, "{text}", "a quota of the account is used up: remove something or ask AWS for more")),
)
_ANSWERS = {code: answer for codes, answer in _BY_CODES for code in codes}
# Operations in which a code means something of its own.
_ANSWERS_OF = {
    ("GetRoleCredentials", "UnauthorizedException"): _Answer(
        CredentialsError, "the IAM Identity Center sign-in has ended", "run `aws sso login` for this profile"
    ),
    ("GetRoleCredentials", "ForbiddenException"): _Answer(
        AccessDenied,
        "IAM Identity Center does not give this person that account and permission set",
        "check sso_account_id and sso_role_name of the profile, and your assignments",
    ),
    ("DeleteRole", "DeleteConflict"): _Answer(
        Conflict,
        "{text}",
        "somebody gave this role policies or an instance profile: `aws iam list-role-policies --role-name ROLE` shows inline"
        " policies, `aws iam delete-role-policy` deletes one, `aws iam detach-role-policy` detaches; then repeat the command",
    ),
    ("DeleteGroup", "DeleteConflict"): _Answer(
        Conflict,
        "{text}",
        "somebody gave this group policies or members: `aws iam list-group-policies --group-name GROUP` shows inline"
        " policies, `aws iam delete-group-policy` deletes one; then repeat the command",
    ),
    ("DeletePolicy", "DeleteConflict"): _Answer(
        Conflict,
        "{text}",
        "somebody attached this policy: `aws iam list-entities-for-policy --policy-arn ARN` shows to what; detach it, then"
        " repeat the command",
    ),
}


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Raise the errors of our tree for those that botocore and `query_client` raise inside.

    `doing` completes "cannot …": `aws_errors("create role X")`.

    Raises the errors of our tree unchanged. No text of an exception is repeated, beyond the fields that `local_errors` names.
    """
    cut_off = False
    try:
        yield
    except KubeIamError:
        raise
    except RefusedCall as error:
        raise refusal_of(error, doing) from error
    except Exception as error:
        # botocore is loaded here, and not by calls without an error: most of them are made without it.
        from botocore.exceptions import ClientError
        from botocore.parsers import ResponseParserError

        cut_off = isinstance(error, ResponseParserError)
        if not cut_off and not (isinstance(error, ClientError) or is_expected(error)):
            raise
        if not cut_off:
            raise translate(error, doing) from error
    if cut_off:
        # The message of that error holds the answer, and that can hold keys: not even the cause is kept.
        raise Unreachable(
            f"cannot {doing}: the answer is cut off, or is not one of AWS", "is there a proxy in between? Try again"
        )


def translate(error: Exception, doing: str) -> KubeIamError:
    """Return the error of our tree that stands for an exception of botocore's or of what it uses."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return refusal_of(error, doing)
    return before_an_answer(error, doing)


def quotable(error: ClientError | RefusedCall) -> str:
    """Return AWS's message in one line, without the values of parameters; empty for a code whose message can hold a header."""
    if error_code(error) not in (_QUOTED | _QUOTED_OF_EKS if "AccessEntr" in error.operation_name else _QUOTED):
        return ""
    message = " ".join(str(error.response["Error"].get("Message", "")).split())
    return without_secrets(_QUOTED_VALUE.sub("the value at '", message))


def error_code(error: Exception) -> str:
    """Return AWS's code of a ClientError (`NoSuchEntity`), empty for anything else."""
    response = getattr(error, "response", None)
    details = response.get("Error") if isinstance(response, Mapping) else None
    code = str(details.get("Code", "")) if isinstance(details, Mapping) else ""
    return code if _CODE.fullmatch(code) else ""


def is_clock_skew(error: Exception) -> bool:
    """Return whether AWS refused the request since its time and this machine's differ too much."""
    code, message = error_code(error), str(error)
    if code in _SKEWED:
        return True
    return code in {*WRONG_SIGNATURE, "IncompleteSignature"} and (
        "Signature expired" in message or "not yet current" in message
    )


def is_wrong_mfa_code(error: Exception) -> bool:
    """Return whether AWS refused the MFA code itself, or knows no such device of this user. Its code is AccessDenied, too."""
    return error_code(error) == "AccessDenied" and "MultiFactorAuthentication failed" in str(error)


def refusal_of(error: ClientError | RefusedCall, doing: str) -> KubeIamError:
    """Return the error of our tree for an answer of AWS that is an error."""
    code, message = error_code(error), quotable(error)
    answer = _meaning(error, code) or _unknown(error, code, message)
    problem = answer.problem.format(code=code, message=message, text=message or code)
    hint = _permission_hint(message, error.operation_name) if code in _DENIED and not answer.hint else answer.hint
    return answer.kind(f"cannot {doing}: {problem}", hint)


def _meaning(error: ClientError | RefusedCall, code: str) -> _Answer | None:
    """Return the row of the tables for an answer; None for a code that they do not hold."""
    if is_clock_skew(error):
        return _SKEWED_CLOCK
    if is_wrong_mfa_code(error):
        return _WRONG_MFA_CODE
    return _ANSWERS_OF.get((error.operation_name, code)) or _ANSWERS.get(code)


def _unknown(error: ClientError | RefusedCall, code: str, message: str) -> _Answer:
    """Return the row for an answer without a code that is known here."""
    if not code or code.isdigit():  # botocore puts the HTTP status where the answer has no code: it is not one of AWS
        return _Answer(
            Unreachable,
            "something other than AWS answers {code}" if code else "something other than AWS answers",
            "is there a proxy in between?",
        )
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500:
        return _Answer(Unreachable, "AWS fails with {code}", "repeat the command in a moment")
    return _Answer(AwsError, "AWS answers {code}: {message}" if message else "AWS answers {code}")


def _permission_hint(message: str, operation: str) -> str:
    """Return a hint with the missing permission: the action in AWS's message, else the name of the operation."""
    found = re.search(r"\bperform: ([a-z0-9-]+:[A-Za-z]+)", message)
    action = found.group(1) if found else operation
    if "explicit deny" in message:
        return f"a policy explicitly denies {action} to this caller"
    return f"the caller needs the permission {action}"
