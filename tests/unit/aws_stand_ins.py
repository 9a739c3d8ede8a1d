"""The services beside STS that issue credentials, on one loopback port.

They are the portal of IAM Identity Center, which wants a bearer token, a container's agent, which wants its authorization, and an
instance's metadata, which speaks version 2 only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BEARER = "sso-access-token"
AGENT_AUTHORIZATION = "Bearer agent-secret"
METADATA_TOKEN = "metadata-token"
PERMISSION_SET, ACCOUNT = "Dev", "123456789012"
_METADATA_ROLE = "/latest/meta-data/iam/security-credentials/"


class StandIns:
    """`asked` holds method and path of each request; the sessions given last `length` seconds."""

    def __init__(self) -> None:
        self.length = 600
        self.asked: list[str] = []
        self.end = ""
        self.agent_body: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[StandIns]:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, method: str, target: str, headers: Any) -> tuple[int, str]:
        self.asked.append(f"{method} {target.partition('?')[0]}")
        parts = urlsplit(target)
        match method, parts.path:
            case "GET", "/federation/credentials":
                return self._portal(parse_qs(parts.query), headers)
            case "GET", "/agent" if headers["Authorization"] == AGENT_AUTHORIZATION:
                return 200, json.dumps(self._session("ASIACONTAINER")) if self.agent_body is None else self.agent_body
            case "PUT", "/latest/api/token":
                return 200, METADATA_TOKEN
            case "GET", path if headers["X-aws-ec2-metadata-token"] == METADATA_TOKEN:
                return self._metadata(path)
        return 401, "{}"

    def _portal(self, query: dict[str, list[str]], headers: Any) -> tuple[int, str]:
        prefix = "com.amazonaws.switchboard.portal#"
        if headers["x-amz-sso_bearer_token"] != BEARER:
            message = "Session token not found or invalid"
            return 401, json.dumps({"message": message, "__type": f"{prefix}UnauthorizedException"})
        if query != {"role_name": [PERMISSION_SET], "account_id": [ACCOUNT]}:
            return 403, json.dumps({"message": "No access", "__type": f"{prefix}ForbiddenException"})
        session = self._session("ASIASSO")
        end = datetime.fromisoformat(session["Expiration"]).timestamp() * 1000
        keys = {"accessKeyId": session["AccessKeyId"], "secretAccessKey": "s", "sessionToken": "t", "expiration": end}
        return 200, json.dumps({"roleCredentials": keys})

    def _metadata(self, path: str) -> tuple[int, str]:
        if path == _METADATA_ROLE:
            return 200, "instance-role"
        if path == _METADATA_ROLE + "instance-role":
            return 200, json.dumps({"Code": "Success", "Type": "AWS-HMAC", **self._session("ASIAINSTANCE")})
        return (200, "eu-north-1") if path == "/latest/meta-data/placement/region" else (404, "")

    def _session(self, key_id: str) -> dict[str, str]:
        self.end = (datetime.now(UTC) + timedelta(seconds=self.length)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"AccessKeyId": key_id, "SecretAccessKey": "s", "Token": "t", "Expiration": self.end}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_ins = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, text = stand_ins.answer(self.command, self.path, self.headers)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_PUT(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
