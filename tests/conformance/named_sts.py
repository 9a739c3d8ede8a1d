"""A stand-in for STS under its real names: HTTPS on loopback, to which a proxy leads the names. botocore's code verifies SigV4.

It knows access keys, each with the identity that it answers, or a scripted answer. A wrong signature, another cluster's id, an unknown
key or another session token is refused as STS refuses it. Beyond that it is laxer than AWS: it takes any date, scope and version that
is signed, and hosts that are not STS at all. What it takes, and a server does not, is what the server itself refuses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from https_server import HttpsServer, Request
from kube_iam.aws.regions import regions_of
from kube_iam.core.partitions import DNS_SUFFIX, DUAL_STACK_SUFFIX
from kube_iam.sandbox.certificates import Authority

SECRET = "conformanceSecretAccessKey0123456789abcd"
NEW_REGION = "eu-newland-7"
EVIL_HOSTS = (
    "sts.us-east-1.amazonaws.com.example.com",
    "iam.us-east-1.amazonaws.com",
    "evil.us-east-1.amazonaws.com",
    "sts.us-east-1.example.com",
    "sts.us-east-1.evil.amazonaws.com",
    "sts.amazonaws.com.cn",
    "sts.us-east-1.amazonaws.org",
)


def hosts_of(partition: str) -> list[str]:
    """Every form of every region's host."""
    suffixes = (DNS_SUFFIX[partition], DUAL_STACK_SUFFIX[partition])
    regions = (*regions_of(partition), *((NEW_REGION,) if partition == "aws" else ()))
    return [f"{name}.{region}.{suffix}" for region in regions for name in ("sts", "sts-fips") for suffix in suffixes]


HOSTS = ("sts.amazonaws.com", *(host for partition in DNS_SUFFIX for host in hosts_of(partition)), *EVIL_HOSTS)


@dataclass(frozen=True)
class Scripted:
    """An answer for a key, whatever it signed. A status of 0 closes the connection without a word."""

    status: int
    body: str
    content_type: str = "application/json"


@dataclass(frozen=True)
class Principal:
    """The principal that a key belongs to."""

    key: str
    arn: str = ""
    user_id: str = ""
    account: str = "123456789012"
    session_token: str = ""
    answer: Scripted | None = None

    @property
    def canonical(self) -> str:
        """The ARN that mappings are about, in small letters: an assumed role's is its role's."""
        parts = self.arn.lower().split(":")
        if len(parts) < 6 or not parts[5].startswith("assumed-role/"):
            return self.arn.lower()
        return f"arn:{parts[1]}:iam::{parts[4]}:role/{parts[5].split('/')[1]}"


class NamedSts:
    """Answers who the `principals` are, by their keys."""

    def __init__(self, directory: Path, principals: dict[str, Principal]) -> None:
        self.principals = principals
        directory.mkdir(parents=True, exist_ok=True)
        authority = Authority(directory)
        self.ca = directory / "ca.pem"
        pair = authority.server("sts", HOSTS)
        self._server = HttpsServer(directory, self._answer, (pair.certificate, pair.key))
        self.port = self._server.port

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        answer = self.answer(request.target, request.headers)
        return answer.status, answer.content_type, answer.body.encode()

    def answer(self, target: str, headers: dict[str, str]) -> Scripted:
        query = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        scope = query.get("X-Amz-Credential", "").split("/")
        principal = self.principals.get(scope[0])
        if principal is None or len(scope) != 5:
            return _refusal("InvalidClientTokenId")
        if query.get("X-Amz-Security-Token", "") != principal.session_token:
            return _refusal("InvalidClientTokenId")
        if query.pop("X-Amz-Signature", "") != _signature(query, scope, headers):
            return _refusal("SignatureDoesNotMatch")
        if principal.answer is not None:
            return principal.answer
        return Scripted(200, identity_json(principal))


def identity_json(principal: Principal) -> str:
    """STS's answer in JSON."""
    result = {"Account": principal.account, "Arn": principal.arn, "UserId": principal.user_id}
    return json.dumps({"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {}}})


def _signature(query: dict[str, str], scope: list[str], headers: dict[str, str]) -> str:
    auth = SigV4QueryAuth(Credentials(scope[0], SECRET), scope[3], scope[2])
    signed = {name: headers.get(name, "") for name in query.get("X-Amz-SignedHeaders", "").split(";")}
    request = AWSRequest("GET", f"https://{headers['host']}/?{urlencode(query)}", headers=signed)
    request.context["timestamp"] = query.get("X-Amz-Date", "")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(text, request))


def _refusal(code: str) -> Scripted:
    return Scripted(403, json.dumps({"Error": {"Code": code, "Message": "refused", "Type": "Sender"}}))
