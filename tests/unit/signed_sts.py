"""An STS on loopback that verifies signatures with botocore's own code, reached by any of its names through a proxy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from https_server import HttpsServer, Request
from kube_iam.core.utc import rfc3339
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.connect_proxy import ConnectProxy

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
KEYS = {"AKIDBASE": "base/secret+=", "AKIDOTHER": "other/secret+="}
"""The access keys of users."""


@dataclass(frozen=True)
class Call:
    """A call whose signature was verified."""

    host: str
    scope: str
    signer: str
    form: dict[str, str]


class SignedSts:
    """The service. `answer` is the status and body of every AssumeRole in place of its own; sessions end at `end`."""

    def __init__(self, directory: Path, names: Iterable[str]) -> None:
        directory.mkdir(parents=True)
        authority = Authority(directory)
        pair = authority.server("sts", [*names, "127.0.0.1"])
        self.ca = authority.path
        self._server = HttpsServer(directory, self._serve, (pair.certificate, pair.key))
        self.authority = self._server.authority
        self._proxy = ConnectProxy(names, self._server.port)
        self.proxy_url = self._proxy.url
        self.begin(0)

    def begin(self, end: float) -> None:
        """Forget all sessions and calls. Sessions end at `end` (Unix seconds)."""
        self.end = rfc3339(end)
        self.answer: tuple[int, str] | None = None
        self.calls: list[Call] = []
        self._secrets = {**KEYS}
        self._tokens: dict[str, str] = {}

    @contextmanager
    def serving(self) -> Iterator[SignedSts]:
        try:
            yield self
        finally:
            self._proxy.close()
            self._server.stop()

    def _serve(self, request: Request) -> tuple[int, str, bytes]:
        status, text = self._answer(request)
        return status, "text/xml", text.encode()

    def _answer(self, request: Request) -> tuple[int, str]:
        form = {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        fields = dict(part.split("=", 1) for part in request.headers["authorization"].split()[1:])
        key_id, _, scope = fields["Credential"].rstrip(",").partition("/")
        if not self._is_signed(request, key_id, scope, fields):
            return 403, error("SignatureDoesNotMatch", "The request signature we calculated does not match")
        self.calls.append(Call(request.headers["host"], scope.partition("/")[2], key_id, form))
        if form["Action"] == "GetCallerIdentity":
            return 200, result("GetCallerIdentity", "<Arn>arn:aws:iam::123456789012:user/people/alice</Arn>")
        if self.answer is not None:
            return self.answer
        name = f"ASIA{len(self.calls):04}"
        self._secrets[name], self._tokens[name] = f"secret/{name}", f"token/{name}=="
        keys = f"<AccessKeyId>{name}</AccessKeyId><SecretAccessKey>{self._secrets[name]}</SecretAccessKey>"
        keys += f"<SessionToken>{self._tokens[name]}</SessionToken><Expiration>{self.end}</Expiration>"
        user = f"<AssumedRoleId>AROAEXAMPLE:{form['RoleSessionName']}</AssumedRoleId>"
        return 200, result("AssumeRole", f"<Credentials>{keys}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>")

    def _is_signed(self, request: Request, key_id: str, scope: str, fields: dict[str, str]) -> bool:
        if request.headers.get("x-amz-security-token", "") != self._tokens.get(key_id, ""):
            return False
        _, region, service, _ = scope.split("/")
        names = fields["SignedHeaders"].rstrip(",").split(";")
        signer: Any = SigV4Auth(Credentials(key_id, self._secrets.get(key_id, "unknown")), service, region)
        signed: Any = AWSRequest(
            "POST",
            f"https://{request.headers['host']}/",
            headers={name: request.headers[name] for name in names},
            data=request.body,
        )
        signed.context["timestamp"] = request.headers["x-amz-date"]
        text = signer.string_to_sign(signed, signer.canonical_request(signed))
        return bool(signer.signature(text, signed) == fields["Signature"])


def error(code: str, message: str) -> str:
    """Return the document of an error."""
    said = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<ErrorResponse xmlns="{NAMESPACE}">{said}<RequestId>r</RequestId></ErrorResponse>'


def result(action: str, body: str) -> str:
    """Return the document of a result."""
    return (
        f'<{action}Response xmlns="{NAMESPACE}">\n  <{action}Result>{body}</{action}Result>\n'
        f"  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\n</{action}Response>\n"
    )
