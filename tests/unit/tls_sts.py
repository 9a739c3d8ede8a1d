"""A small STS of our own on loopback, over TLS, that answers AssumeRole and GetCallerIdentity and remembers who asked what."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class TlsSts:
    """The service's answers, and what it was asked: `caller`, `refusal` as (status, code, message), the sessions' `length`, `role_id`.

    `signers` are the access key ids of signed calls, `ends` is when the sessions that it gave end. With `mfa`, roles are assumed
    only with that serial number and code.
    """

    def __init__(self, directory: Path) -> None:
        self.caller = "arn:aws:iam::123456789012:user/people/alice"
        self.refusal: tuple[int, str, str] | None = None
        self.length = 3600
        self.role_id = "AROAEXAMPLE"
        self.mfa: tuple[str, str] | None = None
        self.asked: list[dict[str, str]] = []
        self.ends: list[str] = []
        self.signers: list[str] = []
        self.ca = directory / "ca.pem"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = _tls(directory, self.ca).wrap_socket(self._server.socket, server_side=True)
        self.authority = f"127.0.0.1:{self._server.server_address[1]}"

    def environment(self) -> dict[str, str]:
        """Return the variables that point an SDK at this STS."""
        return {
            "AWS_ENDPOINT_URL_STS": f"https://{self.authority}",
            "AWS_CA_BUNDLE": str(self.ca),
            "NO_PROXY": "127.0.0.1",
        }

    def actions(self) -> list[str]:
        return [call["Action"] for call in self.asked]

    @contextmanager
    def serving(self) -> Iterator[TlsSts]:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, call: dict[str, str]) -> tuple[int, str]:
        self.asked.append(call)
        if call["Action"] == "GetCallerIdentity":
            return 200, _result(
                call["Action"], f"<Arn>{self.caller}</Arn><Account>123456789012</Account><UserId>A</UserId>"
            )
        if self.refusal is not None:
            status, code, message = self.refusal
            return status, _error(code, message)
        if self.mfa is not None and self.mfa != (call.get("SerialNumber"), call.get("TokenCode")):
            wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
            message = wrong if "TokenCode" in call else "User is not authorized to perform: sts:AssumeRole"
            return 403, _error("AccessDenied", message)
        end = (datetime.now(UTC) + timedelta(seconds=self.length)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.ends.append(end)
        keys = f"<AccessKeyId>ASIA{len(self.asked):012}</AccessKeyId><SecretAccessKey>very-secret</SecretAccessKey>"
        keys += f"<SessionToken>session-token-of-{call['RoleSessionName']}</SessionToken><Expiration>{end}</Expiration>"
        user = f"<AssumedRoleId>{self.role_id}:{call['RoleSessionName']}</AssumedRoleId><Arn>{call['RoleArn']}</Arn>"
        answer = f"<Credentials>{keys}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>"
        return 200, _result(call["Action"], answer)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sts = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                scope = str(self.headers["Authorization"]).partition("Credential=")[2]
                sts.signers += [scope.partition("/")[0]] if scope else []
                status, text = sts.answer({name: values[0] for name, values in parse_qs(body).items()})
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def _error(code: str, message: str) -> str:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<ErrorResponse xmlns="{NAMESPACE}">{error}<RequestId>r</RequestId></ErrorResponse>'


def _result(action: str, body: str) -> str:
    return f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{body}</{action}Result></{action}Response>'


def _tls(directory: Path, ca: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sts in a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = directory / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, secret)
    return context
