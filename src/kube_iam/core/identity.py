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
from kube_iam.core.sts_response import CallerIdentity, InvalidResponse, error_code, is_throttling, read_response

_USER_ID = re.compile(r"[\w+=,.@:-]{1,256}", re.ASCII)
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
    status: int, body: bytes, content_type: str, *, access_key_id: str, sts_host: str
) -> Identity | Refusal:
    """Return the identity in a response of STS, or why there is none: throttled, unreachable (STS itself fails), refused, invalid."""
    if status == 200:
        return parse_sts_response(body, content_type, access_key_id=access_key_id, sts_host=sts_host)
    code = error_code(body)
    if is_throttling(status, body):
        return Refusal(Reason.STS_THROTTLED)
    if status >= 500:
        return Refusal(Reason.STS_UNREACHABLE, f"{sts_host} answered HTTP {status}")
    if not 400 <= status < 500:
        return Refusal(Reason.STS_INVALID_RESPONSE, f"{sts_host} answered HTTP {status}")
    return Refusal(Reason.STS_REFUSED, _ADVICE.get(code, "") or f"HTTP {status} {code}".rstrip())


def parse_sts_response(body: bytes, content_type: str, *, access_key_id: str, sts_host: str) -> Identity | Refusal:
    """Return the identity in a successful response (JSON or XML by content type), or the refusal `sts_invalid_response`."""
    try:
        return _identity(read_response(body, content_type), access_key_id, sts_host)
    except (InvalidResponse, ValueError) as problem:
        return Refusal(Reason.STS_INVALID_RESPONSE, str(problem))


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


# STS's own messages can quote the canonical request, so known codes are explained in our words and nothing is quoted.
_ADVICE = {
    "SignatureDoesNotMatch": "the token was signed for another cluster id or with a wrong secret key, or is too old by AWS's clock",
    "InvalidClientTokenId": "the access key does not exist or is inactive, or belongs to another partition",
    "ExpiredToken": "the session that signed the token has ended; sign in to AWS again",
    "ExpiredTokenException": "the session that signed the token has ended; sign in to AWS again",
    "AccessDenied": "STS denies the request of this identity",
}
