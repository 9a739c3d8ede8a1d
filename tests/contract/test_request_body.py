"""Bodies over 1 MiB: every client is told so, over HTTP/1.1 and HTTP/2, with the length announced or not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running_server import RunningServer

from required import missing

LIMIT = 1024 * 1024
UNANNOUNCED = {"--http1.1": "transfer-encoding: chunked", "--http2": "content-length:"}

pytestmark = pytest.mark.xdist_group("request-body")


def post(server: RunningServer, directory: Path, size: int, protocol: str, *headers: str) -> str:
    """Post a body of that size with curl. Return the status and the version of HTTP, else the message of curl."""
    (directory / "body").write_bytes(b" " * size)
    command = ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code} HTTP/%{http_version}", protocol]
    command += [part for header in headers for part in ("-H", header)]
    command += ["--cacert", str(server.directory / "state" / "cert.pem"), "--data-binary", f"@{directory / 'body'}"]
    try:
        done = subprocess.run(
            [*command, f"https://127.0.0.1:{server.port}/authenticate"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        missing("curl", "install curl")
    # The server may reset a stream after its answer, while curl still sends (RFC 9113, section 8.1): the answer counts.
    return done.stderr if done.stdout.startswith("000") else done.stdout


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 400), (LIMIT + 1, 413), (3 * LIMIT, 413), (6 * LIMIT, 413)])
def test_a_body_over_the_limit_is_answered_with_413(
    shared: RunningServer, tmp_path: Path, size: int, status: int, protocol: str, announced: bool
) -> None:
    headers = ["expect:"] if announced else ["expect:", UNANNOUNCED[protocol]]
    version = "2" if protocol == "--http2" else "1.1"
    assert post(shared, tmp_path, size, protocol, *headers) == f"{status} HTTP/{version}"


def test_a_client_that_asks_before_it_sends_is_answered_at_once(shared: RunningServer) -> None:
    """It sends no body: the answer comes without one."""
    reply = shared.request(
        "POST", "/authenticate", headers={"expect": "100-continue", "content-length": str(100 * LIMIT)}
    )
    assert reply.status == 413


def test_the_server_answers_after_a_body_that_is_longer_than_it_discards(shared: RunningServer, tmp_path: Path) -> None:
    post(shared, tmp_path, 40 * LIMIT, "--http2")
    assert shared.request("GET", "/healthz").status == 200
