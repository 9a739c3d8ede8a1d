"""A fake STS under the real names: HTTPS on loopback, to which a proxy leads the names. It verifies SigV4 with botocore's own code.

It knows access keys, each with the identity that it answers. Only the answers are made up; a wrong signature, another cluster's
`x-k8s-aws-id` or an unknown key is refused as STS refuses it.
"""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kube_iam.sandbox.certificates import Authority

SECRET = "conformanceSecretAccessKey0123456789abcd"
HOSTS = (
    *("sts.us-east-1.amazonaws.com", "sts.eu-central-1.amazonaws.com", "sts.amazonaws.com"),
    *("sts-fips.us-east-1.amazonaws.com", "sts.us-east-1.api.aws", "sts.cn-north-1.amazonaws.com.cn"),
)


class NamedSts:
    """`identities` maps access key ids to (ARN, user id, account)."""

    def __init__(self, directory: Path, identities: dict[str, tuple[str, str, str]]) -> None:
        self.identities = identities
        directory.mkdir(parents=True, exist_ok=True)
        authority = Authority(directory)
        self.ca = directory / "ca.pem"
        pair = authority.server("sts", HOSTS)
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str, headers: dict[str, str]) -> tuple[int, object]:
        query = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        scope = query.get("X-Amz-Credential", "").split("/")
        identity = self.identities.get(scope[0])
        if identity is None or len(scope) != 5:
            return _refusal("InvalidClientTokenId")
        if query.pop("X-Amz-Signature", "") != _signature(query, scope, headers):
            return _refusal("SignatureDoesNotMatch")
        arn, user_id, account = identity
        result = {"Account": account, "Arn": arn, "UserId": user_id}
        return 200, {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {}}}


def _signature(query: dict[str, str], scope: list[str], headers: dict[str, str]) -> str:
    auth = SigV4QueryAuth(Credentials(scope[0], SECRET), scope[3], scope[2])
    signed = {name: headers.get(name, "") for name in query.get("X-Amz-SignedHeaders", "").split(";")}
    request = AWSRequest("GET", f"https://{headers['host']}/?{urlencode(query)}", headers=signed)
    request.context["timestamp"] = query.get("X-Amz-Date", "")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(text, request))


def _refusal(code: str) -> tuple[int, object]:
    return 403, {"Error": {"Code": code, "Message": "refused", "Type": "Sender"}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler_for(fake: NamedSts) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # headers and body in one packet

        def do_GET(self) -> None:
            status, answer = fake.answer(self.path, {name.lower(): value for name, value in self.headers.items()})
            body = json.dumps(answer).encode()
            self.send_response_only(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    return Handler
