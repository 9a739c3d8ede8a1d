"""Several reads at once: bounded, in order, and over with the first error."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_iam.aws.client import iam_client
from kube_iam.aws.iam import IamDirectory
from kube_iam.aws.parallel import in_parallel


@settings(deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(1, 9))
def test_answers_come_in_the_order_of_the_questions(items: list[int], at_once: int) -> None:
    assert in_parallel(lambda item: -item, items, at_once) == [-item for item in items]


def test_so_many_are_asked_at_once_and_never_more() -> None:
    everybody = threading.Barrier(4, timeout=30)
    lock = threading.Lock()
    now = most = 0

    def read(_item: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        everybody.wait()
        with lock:
            now -= 1

    in_parallel(read, range(8), at_once=4)
    assert most == 4


def test_the_first_error_is_the_one_that_is_told_and_what_has_not_begun_is_not_begun() -> None:
    failed = threading.Event()
    begun: list[int] = []

    def read(item: int) -> None:
        begun.append(item)
        if item == 0:
            assert failed.wait(30)
            raise ValueError("a later error")
        failed.set()
        raise KeyError("the first error")

    with pytest.raises(KeyError):
        in_parallel(read, range(100), at_once=2)
    assert len(begun) < 100


class BusyIam(BaseHTTPRequestHandler):
    """A FAKE of IAM that throttles the first six calls."""

    lock = threading.Lock()
    calls = 0

    def do_POST(self) -> None:
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        with BusyIam.lock:
            BusyIam.calls += 1
            throttled = BusyIam.calls <= 6
        name = body["UserName"][0]
        text = (
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
            if throttled
            else f"<GetUserResponse><GetUserResult><User><UserName>{name}</UserName><UserId>AIDA{name}</UserId>"
            f"<Arn>arn:aws:iam::123456789012:user/{name}</Arn></User></GetUserResult></GetUserResponse>"
        )
        self.send_response(400 if throttled else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.mark.slow
def test_a_throttling_iam_slows_all_readers_down_and_fails_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.session import Session

    server = ThreadingHTTPServer(("127.0.0.1", 0), BusyIam)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_PROFILE", "AWS_MAX_ATTEMPTS", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    directory = IamDirectory(lambda _service: iam_client("us-east-1", Session()))
    try:
        names = [f"user{number}" for number in range(6)]
        found = directory.each(directory.user, names)
    finally:
        server.shutdown()
        server.server_close()
    assert [user and user.name for user in found] == names
    assert BusyIam.calls == 6 + len(names)
