"""Listening sockets that a service manager passes to the server (LISTEN_FDS)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_sockets import config

from kube_iam.errors import KubeIamError
from kube_iam.server import ports as server_ports
from kube_iam.server.ports import Ports, open_ports
from required import linux_only


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Yield a listening socket of loopback, as the only descriptor that was passed."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        copy = os.dup(listening.fileno())
        monkeypatch.setattr(server_ports, "_FIRST_DESCRIPTOR", copy)
        yield listening


def environment(count: str = "1") -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "webhook", "HOME": "/"}


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def close(ports: Ports) -> None:
    ports.webhook.close()
    ports.health.close()


def test_passed_socket_is_used_and_the_variables_go_to_no_other_program(passed: socket.socket, tmp_path: Path) -> None:
    environ = environment()
    ports = open_ports(config(tmp_path, port_of(passed)), environ)
    assert (port_of(ports.webhook), ports.taken_over) == (port_of(passed), False)
    assert ports.inherited == (ports.webhook,)
    assert not ports.webhook.get_inheritable()
    assert environ == {"HOME": "/"}
    close(ports)


def test_health_port_may_be_passed_too(passed: socket.socket, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        webhook = port_of(free)
    ports = open_ports(config(tmp_path, webhook, port_of(passed)), environment())
    assert (port_of(ports.health), ports.inherited) == (port_of(passed), (ports.health,))
    close(ports)


def test_sockets_for_another_process_are_left_alone(passed: socket.socket, tmp_path: Path) -> None:
    environ = environment() | {"LISTEN_PID": "1"}
    port = port_of(passed)
    passed.close()
    os.close(server_ports._FIRST_DESCRIPTOR)
    ports = open_ports(config(tmp_path, port), environ)
    assert not ports.inherited
    close(ports)


def test_socket_that_listens_elsewhere_is_refused_with_its_address(passed: socket.socket, tmp_path: Path) -> None:
    with pytest.raises(KubeIamError, match=rf"127\.0\.0\.1:{port_of(passed)}") as raised:
        open_ports(config(tmp_path, 1), environment())
    assert "ListenStream=" in raised.value.hint


def test_socket_of_all_addresses_is_not_taken_for_one_of_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        monkeypatch.setattr(server_ports, "_FIRST_DESCRIPTOR", os.dup(everywhere.fileno()))
        with pytest.raises(KubeIamError, match=r"0\.0\.0\.0:\d+"):
            open_ports(config(tmp_path, port_of(everywhere)), environment())


@pytest.mark.parametrize("kind", ["file", "udp", "unix", "bound", "closed"])
def test_descriptor_that_is_no_listening_tcp_socket_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    if kind == "udp":
        descriptor = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
    elif kind == "unix":
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        descriptor = unix.detach()
    elif kind == "bound":
        descriptor = socket.socket().detach()
    else:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    if kind == "closed":
        os.close(descriptor)
    monkeypatch.setattr(server_ports, "_FIRST_DESCRIPTOR", descriptor)
    with pytest.raises(KubeIamError, match=f"descriptor {descriptor} of LISTEN_FDS is no listening TCP socket"):
        open_ports(config(tmp_path, 1), environment())
    if kind != "closed":
        os.close(descriptor)


@linux_only
def test_socket_that_a_killed_server_left_without_connections_takes_them_again(
    passed: socket.socket, tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", "from kube_iam.server.sockets import discard_new_connections as d; d()"],
        pass_fds=(passed.fileno(),),
        check=True,
    )
    with socket.socket() as waiting:
        waiting.settimeout(0.1)
        with pytest.raises(TimeoutError):
            waiting.connect(passed.getsockname())
    ports = open_ports(config(tmp_path, port_of(passed)), environment())
    socket.create_connection(passed.getsockname(), timeout=30).close()
    close(ports)
