"""A fake of AWS's sign-in endpoint on loopback: it renews sessions of `aws login`, and checks the proof of possession (RFC 9449)."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

CLIENT = "arn:aws:signin:::devtools/same-device"
ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    429: "TooManyRequestsError",
    500: "InternalServerException",
}


class FakeSignIn:
    """`asked` holds the bodies of requests with a valid proof. `refusal` is the status and the error code of every answer."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.refusal: tuple[int, str] | None = None
        self.refresh_token = "refresh-1"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def pem(self) -> str:
        """The private key as `aws login` writes it."""
        form, none = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, none).decode()

    @contextmanager
    def serving(self) -> Iterator[FakeSignIn]:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str, proof: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path != "/v1/token" or not self._is_valid(proof):
            return 400, {"error": "INVALID_REQUEST", "message": "no valid proof"}
        self.asked.append(body)
        if self.refusal is not None:
            return self.refusal[0], {"error": self.refusal[1], "message": "refused"}
        if (body["clientId"], body["grantType"]) != (CLIENT, "refresh_token"):
            return 400, {"error": "INVALID_REQUEST", "message": "another client"}
        if body["refreshToken"] != self.refresh_token:
            return 403, {"error": "TOKEN_EXPIRED", "message": "used up"}
        self.refresh_token = f"refresh-{len(self.asked) + 1}"
        keys = {"accessKeyId": f"ASIARENEWED{len(self.asked)}", "secretAccessKey": "s", "sessionToken": "t"}
        return 200, {
            "accessToken": keys,
            "tokenType": "aws_sigv4",
            "expiresIn": 900,
            "refreshToken": self.refresh_token,
        }

    def _is_valid(self, proof: str) -> bool:
        """Return whether the proof is signed with our key, for this URL and method."""
        header, payload, signature = proof.split(".")
        stated, claims = json.loads(_bytes(header)), json.loads(_bytes(payload))
        point = self.key.public_key().public_numbers()
        raw = _bytes(signature)
        der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        self.key.public_key().verify(der, f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
        coordinates = [int.from_bytes(_bytes(stated["jwk"][name]), "big") for name in ("x", "y")]
        return coordinates == [point.x, point.y] and (claims["htm"], claims["htu"]) == ("POST", f"{self.url}/v1/token")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = fake.answer(self.path, str(self.headers["DPoP"]), body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if "error" in answer:
                    self.send_header("x-amzn-ErrorType", ERRORS[status])
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
