"""A FAKE of an AWS account with many users: moto, made to page, slowed down like IAM, and counting. Run as a module; loopback only.

It prints its port. GET /bench/counts answers the calls by action and the most that were under way at once; GET /bench/populate fills
the account: `users`, `groups` beside those that exist, and members spread over all groups.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from moto import mock_aws
from moto.core.request import Request
from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.iam.responses import IamResponse

ACCOUNT = "123456789012"
PAGE = 100  # the most in a page, whatever is asked for: IAM may give fewer than asked
CALLER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::123456789012:user/admin</Arn><UserId>AIDAEXAMPLEEXAMPLE000</UserId><Account>123456789012</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""
DELAY_SECONDS = 0.03  # about what a call to IAM takes from nearby


def _paged(response: Any, items: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    start = int(response._get_param("Marker") or 0)
    size = min(int(response._get_param("MaxItems") or PAGE), PAGE)
    more = start + size < len(items)
    return items[start : start + size], {"IsTruncated": more, **({"Marker": str(start + size)} if more else {})}


def _get_group(self: Any) -> ActionResult:
    group = self.backend.get_group(self._get_param("GroupName"))
    users, page = _paged(self, group.users)
    return ActionResult({"Group": group, "Users": users, **page})


def _list_groups(self: Any) -> ActionResult:
    prefix = self._get_param("PathPrefix") or "/"
    groups, page = _paged(self, [group for group in self.backend.list_groups() if group.path.startswith(prefix)])
    return ActionResult({"Groups": groups, **page})


class Account:
    """The account and what it was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._under_way = 0
        self._most = 0

    def answer(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Status and text of one call."""
        action = parse_qs(body.decode()).get("Action", ["?"])[0]
        with self._lock:
            self._calls[action] += 1
            self._under_way += 1
            self._most = max(self._most, self._under_way)
        try:
            time.sleep(DELAY_SECONDS)
            if action == "GetCallerIdentity":
                return 200, CALLER
            request = Request.from_primitives("POST", url, headers, body)
            status, _, text = IamResponse.dispatch(request, request.url, request.headers)
            return status, text if isinstance(text, str) else text.decode()
        finally:
            with self._lock:
                self._under_way -= 1

    def control(self, path: str) -> str:
        """Fill the account where that is asked for; what was counted so far, from here on from zero."""
        parts = urlsplit(path)
        values = {name: int(value[0]) for name, value in parse_qs(parts.query).items()}
        if parts.path.endswith("/populate"):
            populate(values["users"], values["groups"])
        with self._lock:
            counted = {"calls": dict(self._calls), "total": self._calls.total(), "most_at_once": self._most}
            self._calls.clear()
            self._most = 0
        return json.dumps(counted)


def _handler(account: Account) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = "https://iam.amazonaws.com/"
            self._send(*account.answer(url, dict(self.headers), body), "text/xml")

        def do_GET(self) -> None:
            self._send(200, account.control(self.path), "application/json")

        def _send(self, status: int, text: str, content_type: str) -> None:
            body = text.encode()
            self.send_response_only(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    return Handler


def populate(users: int, groups: int) -> None:
    """Make what is missing. Each user is in one group that was there before, and each group of ours has its share of members."""
    backend = iam_backends[ACCOUNT]["aws"]
    levels = [group.name for group in backend.list_groups() if not group.name.startswith("team-")]
    have = len(backend.users)
    for number in range(len(list(backend.list_groups())) - len(levels), groups - len(levels)):
        backend.create_group(f"team-{number}")
    for number in range(have, users):
        name = f"user-{number:05}"
        backend.create_user("us-east-1", name)
        backend.add_user_to_group(f"team-{number % max(1, groups - len(levels))}", name)
        if levels:
            backend.add_user_to_group(levels[number % len(levels)], name)


def main() -> None:
    """Serve until killed."""
    IamResponse.get_group = _get_group  # type: ignore[method-assign]
    IamResponse.list_groups = _list_groups  # type: ignore[method-assign]
    with mock_aws():
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(Account()))
        server.daemon_threads = True
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
