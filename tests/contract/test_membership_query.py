"""A server answers status queries about memberships, asked directly where its config.yaml is on this machine."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from running_server import RunningServer, wait_until

from kube_iam.core.membership_status import MOST_ASKED, MembershipState, requirement_name
from kube_iam.errors import ConfigError, KubeError
from kube_iam.kube.membership_query import ask_memberships, local_review
from kube_iam.server.certificates import ensure_pair

Make = Callable[..., RunningServer]
ROLE = "arn:aws:iam::123456789012:role/admin"
MAPPINGS = f"""\
  mapRoles:
  - {{rolearn: "{ROLE}", username: "awsiam:{{{{SessionNameRaw}}}}", iamGroup: admins}}
  mapGroups:
  - {{iamGroup: viewers, username: "awsiam:{{{{UserName}}}}"}}
"""
ADMINS, VIEWERS, OTHER = requirement_name("admins", ROLE), requirement_name("viewers"), requirement_name("other")


def states(server: RunningServer, *requirements: str) -> list[MembershipState]:
    found = ask_memberships(local_review(server.config), requirements).states
    return [found[name].state for name in requirements]


def test_running_server_answers_with_the_states_of_its_levels(make_server: Make) -> None:
    """It has no AWS credentials, and so can read nothing."""
    server = make_server(mappings=MAPPINGS)
    server.start("-v", "debug")
    expected = [MembershipState.UNREADABLE, MembershipState.UNREADABLE, MembershipState.NOT_MAPPED]
    wait_until(lambda: states(server, ADMINS, VIEWERS, OTHER) == expected)
    assert len(states(server, *[ADMINS] * (MOST_ASKED + 1))) == MOST_ASKED + 1
    assert "result=success" not in server.log()


def test_server_that_cannot_be_asked_is_an_error(make_server: Make) -> None:
    server = make_server(mappings=MAPPINGS)
    shutil.rmtree(server.directory / "state")  # as before its first start, which makes a pair
    with pytest.raises(KubeError, match=r"certificate \S+/state/cert\.pem of the server cannot be read"):
        states(server, ADMINS)  # it has never run
    server.start()
    other = make_server(mappings=MAPPINGS)
    other.start()
    server.config.write_text(server.text(MAPPINGS).replace(f"port: {server.port}", f"port: {other.port}", 1))
    with pytest.raises(KubeError, match="cannot be asked"):
        states(server, ADMINS)  # another server's certificate
    server.write_config(MAPPINGS)
    server.stop()
    with pytest.raises(KubeError, match=r"cannot be asked \(ConnectionRefusedError\)"):
        states(server, ADMINS)
    server.config.write_text("clusterID: [")
    with pytest.raises(ConfigError):
        states(server, ADMINS)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
        (b"SSH-2.0-nothing\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "JSONDecodeError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead"),
    ],
)
def test_answer_that_is_no_review_is_an_error_with_its_cause(make_server: Make, answer: bytes, why: str) -> None:
    server = make_server(mappings=MAPPINGS)
    now = datetime.now(UTC)
    ensure_pair(server.directory / "state", "localhost", "127.0.0.1", now)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.directory / "state" / "cert.pem", server.directory / "state" / "key.pem")
    with (
        socket.create_server(("localhost", server.port)) as listening,
        context.wrap_socket(listening, server_side=True) as secure,
    ):
        answering = threading.Thread(target=_answer_once, args=(secure, answer), daemon=True)
        answering.start()
        with pytest.raises(KubeError, match=rf"cannot be asked \({why}\)"):
            states(server, ADMINS)
        answering.join(10)


def _answer_once(listening: ssl.SSLSocket, answer: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        request = b""
        while not request.endswith(b"}}"):
            request += connection.recv(65536)
        connection.sendall(answer)
