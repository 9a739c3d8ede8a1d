"""The identity in a response of STS to GetCallerIdentity, read strictly.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html. STS answers JSON to `accept: application/json`;
some gateways and emulators answer XML all the same. A response to another action is refused, even if it holds an ARN: Vault took one
for an identity (CVE-2020-16250).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from kube_iam.core.arns import Arn, canonical_arn, is_account_id, parse_arn, parse_sso_role, strip_role_path, user_name
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_response import (
    CallerIdentity,
    InvalidResponse,
    SignatureProblem,
    error_code,
    is_throttling,
    read_response,
    signature_problem,
)

_USER_ID = re.compile(r"[\w+=,.@:-]{1,256}", re.ASCII)
# More than any ARN of IAM: 512 characters of path, 64 of a name, 64 of a session.
_MAX_FIELD = 1024
_UNIQUE_ID = re.compile(r"[A-Za-z][\w+=,.@-]*", re.ASCII)
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-prefixes
_PREFIXES = ("AROA", "AIDA", "AGPA", "ANPA", "ANVA", "AIPA", "ASCA", "ASIA", "AKIA", "APKA", "ABIA", "ACCA")


@dataclass(frozen=True, slots=True)
class Identity:
    """An AWS principal that STS verified. `session_name` is empty where there is no role session.

    `user_id` is the unique id of the role or user (AROA…, AIDA…), the account id for root, and `account:name` for a federated user.

    The last three are computed once, since every decision compares them. `comparable_arn` is the canonical ARN in lower case without a
    role's path. `permission_set` is the key of `core.arns.Sso` where IAM Identity Center made the role. `user_name` is the name of an
    IAM user, else empty.
    """

    arn: str
    canonical_arn: str
    account_id: str
    user_id: str
    session_name: str
    access_key_id: str
    sts_host: str
    comparable_arn: str = field(init=False, repr=False, compare=False)
    permission_set: tuple[str, str, str] | None = field(init=False, repr=False, compare=False)
    user_name: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        comparable = strip_role_path(ascii_lower(self.canonical_arn))
        object.__setattr__(self, "comparable_arn", comparable)
        object.__setattr__(self, "permission_set", parse_sso_role(comparable))
        object.__setattr__(self, "user_name", user_name(self.canonical_arn))


def interpret_sts_response(
    status: int, body: bytes, content_type: str, *, access_key_id: str, sts_host: str, cluster_id: str
) -> Identity | Refusal:
    """Return the identity in a response of STS, or why there is none: throttled, unreachable (STS itself fails), refused, invalid.

    `cluster_id` is the one that was sent to STS, which a refused signature may not be of.
    """
    if status == 200:
        return parse_sts_response(body, content_type, access_key_id=access_key_id, sts_host=sts_host)
    if is_throttling(status, body):
        return Refusal(Reason.STS_THROTTLED)
    if status >= 500:
        return Refusal(Reason.STS_UNREACHABLE, f"{sts_host} answered HTTP {status}")
    if not 400 <= status < 500:
        return Refusal(Reason.STS_INVALID_RESPONSE, f"{sts_host} answered HTTP {status}")
    return _refused_by_sts(status, body, access_key_id, sts_host, cluster_id)


def _refused_by_sts(status: int, body: bytes, access_key_id: str, sts_host: str, cluster_id: str) -> Refusal:
    """Return the cause of a refusal of STS, by its code and, where the code has several causes, by how its message begins.

    STS answers SignatureDoesNotMatch for another cluster id and for a wrong secret key alike, and only AWS has the secret key.
    """
    problem, times = signature_problem(body)
    if problem in (SignatureProblem.EXPIRED, SignatureProblem.REQUEST_EXPIRED):
        return Refusal(Reason.STS_TOKEN_EXPIRED, times)
    if problem is SignatureProblem.NOT_YET_CURRENT:
        return Refusal(Reason.STS_DATE_IN_FUTURE, times)
    if problem is SignatureProblem.OTHER_REGION:
        return Refusal(Reason.STS_REFUSED, f"the token was signed for another region than that of {sts_host}")
    code = error_code(body)
    reason = _REASONS.get(code, Reason.STS_REFUSED)
    if reason is Reason.STS_SIGNATURE_MISMATCH:
        return Refusal(reason, f"checked for cluster id {cluster_id}")
    if reason is Reason.STS_UNKNOWN_KEY:
        return Refusal(reason, _UNKNOWN_SESSION if access_key_id.startswith("ASIA") else _UNKNOWN_USER_KEY)
    if reason is not Reason.STS_REFUSED:
        return Refusal(reason)
    if code in _SKEWED:
        return Refusal(
            reason, "the token's date and AWS's clock are too far apart; set the clocks of both machines by NTP"
        )
    return Refusal(reason, f"HTTP {status} {code or 'without an error code of AWS, as a proxy answers'}")


def parse_sts_response(body: bytes, content_type: str, *, access_key_id: str, sts_host: str) -> Identity | Refusal:
    """Return the identity in a successful response (JSON or XML by content type), or the refusal `sts_invalid_response`."""
    try:
        return _identity(read_response(body, content_type), access_key_id, sts_host)
    except (InvalidResponse, ValueError) as problem:
        return Refusal(Reason.STS_INVALID_RESPONSE, str(problem))


def rebuild_identity(arn: str, user_id: str, session_name: str, access_key_id: str) -> Identity:
    """Return the identity with these fields, which a user of Kubernetes has in `extra`. The STS host is not known and left empty.

    Raises ValueError where an identity of STS cannot have these fields together. Whether STS verified them, the caller must know.
    """
    if any(len(text) > _MAX_FIELD for text in (arn, user_id, session_name, access_key_id)):
        raise ValueError(f"a field has more than {_MAX_FIELD} characters")
    parsed = parse_arn(arn)
    full_id = f"{user_id}:{session_name}" if session_name else user_id
    return _identity(CallerIdentity(parsed.account if parsed is not None else "", arn, full_id), access_key_id, "")


def _identity(caller: CallerIdentity, access_key_id: str, sts_host: str) -> Identity:
    canonical = canonical_arn(caller.arn)
    arn = parse_arn(caller.arn)
    if arn is None or not is_account_id(caller.account) or arn.account != caller.account:
        raise ValueError("the ARN is not of the account that the answer names")
    if not _USER_ID.fullmatch(caller.user_id):
        raise ValueError("the user id is malformed")
    user_id, session_name = _split_user_id(arn, caller.user_id)
    return Identity(caller.arn, canonical, caller.account, user_id, session_name, access_key_id, sts_host)


def _split_user_id(arn: Arn, text: str) -> tuple[str, str]:
    """Return the user id and the session name (empty where there is none). Raises ValueError where the user id is not the ARN's.

    `AROA…:session` of a role session is split. A federated user's `account:name` stays whole: its account id alone would look like the
    account root's. https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    """
    kind, _, name = arn.resource.partition("/")
    name = name.rpartition("/")[2]
    unique_id, colon, session = text.partition(":")
    if kind == "assumed-role":
        agrees = session == name and _is_unique_id(unique_id, "AROA")
        return (unique_id, session) if agrees else _disagree("<unique id>:<session name>")
    if kind == "federated-user":
        return (text, "") if text == f"{arn.account}:{name}" else _disagree("<account>:<name>")
    if kind == "root":
        return (text, "") if text == arn.account else _disagree("the account id")
    agrees = not colon and _is_unique_id(unique_id, "AIDA" if kind == "user" else "AROA")
    return (text, "") if agrees else _disagree("the unique id of that principal")


def _disagree(expected: str) -> NoReturn:
    raise ValueError(f"the user id is not that of the ARN: expected {expected}")


def _is_unique_id(text: str, prefix: str) -> bool:
    """Return whether the text can be the unique id of a principal with that prefix. Emulators make up ids without any prefix."""
    return _UNIQUE_ID.fullmatch(text) is not None and (text[:4] == prefix or text[:4] not in _PREFIXES)


# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html, and what STS and gateways send beyond it.
_REASONS = {
    "SignatureDoesNotMatch": Reason.STS_SIGNATURE_MISMATCH,
    "InvalidSignatureException": Reason.STS_SIGNATURE_MISMATCH,
    "InvalidClientTokenId": Reason.STS_UNKNOWN_KEY,
    "UnrecognizedClientException": Reason.STS_UNKNOWN_KEY,
    "ExpiredToken": Reason.STS_SESSION_EXPIRED,
    "ExpiredTokenException": Reason.STS_SESSION_EXPIRED,
    "AccessDenied": Reason.STS_ACCESS_DENIED,
    "AccessDeniedException": Reason.STS_ACCESS_DENIED,
    "RegionDisabledException": Reason.STS_REGION_DISABLED,
}
# Their documentation names both directions: signed too long ago, or in the future.
_SKEWED = ("RequestExpired", "RequestTimeTooSkewed")
# The kinds that one code has, most likely first. Regions that an account has to enable refuse session tokens of the global STS host.
_UNKNOWN_USER_KEY = "it is deleted, deactivated, or of another partition"
_UNKNOWN_SESSION = (
    "it is of temporary credentials, whose session token is missing or wrong, whose user or role was deleted, or which are not valid"
    " in this region"
)
