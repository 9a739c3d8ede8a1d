"""Processes that may listen on a port that is in use."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from server_sockets import config, listening

from kube_iam.config.server import ServerConfig
from kube_iam.errors import KubeIamError
from kube_iam.sandbox.processes import free_port, free_ports
from kube_iam.server.certificates import ensure_pair
from kube_iam.server.listening import PortInUse, open_port
from kube_iam.server.ports import Ports
from kube_iam.server.ports import open_ports as open_ports_of
from required import linux_only, not_applicable

pytestmark = pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no ports can be shared here")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("own")
    ensure_pair(directory, "localhost", "127.0.0.1", datetime.now(UTC))
    return directory


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("foreign")
    ensure_pair(directory, "localhost", "127.0.0.1", datetime.now(UTC))
    return directory


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_iam.server.ports._PATIENCE_SECONDS", 0)


@contextmanager
def serving_tls(port: int, state: Path, *, shared: bool = True) -> Iterator[None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state / "cert.pem", state / "key.pem")

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with listening(port, shared=shared) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        yield
        thread.join()


def open_ports(config: ServerConfig) -> Ports:
    return open_ports_of(config, {})


def close(*sockets: socket.socket) -> None:
    for one in sockets:
        one.close()


def test_free_ports_are_listened_on(own: Path) -> None:
    port = free_port()
    ports = open_ports(config(own, port))
    with socket.create_connection(("127.0.0.1", port)):
        assert not ports.taken_over
    close(ports.webhook, ports.health)


def test_port_of_a_server_that_has_our_key_is_shared(own: Path) -> None:
    port = free_port()
    with serving_tls(port, own):
        ports = open_ports(config(own, port))
        assert ports.taken_over
        close(ports.webhook, ports.health)


def test_health_port_is_shared_along_with_the_webhooks(own: Path) -> None:
    port, health = free_ports(2)
    with serving_tls(port, own), listening(health):
        ports = open_ports(config(own, port, health))
        close(ports.webhook, ports.health)


def test_port_of_a_server_with_another_key_is_refused(own: Path, foreign: Path) -> None:
    port = free_port()
    with serving_tls(port, foreign), pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{port} cannot be listened on"):
        open_ports(config(own, port))


def test_port_that_its_owner_does_not_share_is_refused(own: Path) -> None:
    port = free_port()
    with serving_tls(port, own, shared=False), pytest.raises(PortInUse):
        open_ports(config(own, port))


def test_port_of_a_program_without_tls_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_iam.server.ports._PROOF_SECONDS", 0.05)
    port = free_port()
    with listening(port), pytest.raises(PortInUse):
        open_ports(config(own, port))


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_without_an_own_certificate_no_port_is_shared(foreign: Path, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cert.pem").write_text(content)
    port = free_port()
    with listening(port), pytest.raises(PortInUse):
        open_ports(config(tmp_path, port))


def test_health_port_of_another_program_is_refused_and_nothing_stays_open(own: Path) -> None:
    port, health = free_ports(2)
    with listening(health), pytest.raises(PortInUse):
        open_ports(config(own, port, health))
    open_port("127.0.0.1", port).close()


@pytest.mark.parametrize("which", ["port", "health_port"])
def test_port_that_an_ending_program_leaves_is_waited_for(
    own: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr("kube_iam.server.ports._PATIENCE_SECONDS", 30)
    wanted = config(own, free_port())
    ending = socket.socket()
    ending.bind(("127.0.0.1", getattr(wanted, which)))
    ending.listen()
    monkeypatch.setattr("kube_iam.server.ports._is_predecessor", lambda *_: False)
    monkeypatch.setattr("kube_iam.server.ports.time.sleep", lambda _: ending.close())
    ports = open_ports(wanted)
    assert not ports.taken_over
    close(ports.webhook, ports.health)


def test_address_of_another_machine_is_an_error_that_names_it(own: Path) -> None:
    with pytest.raises(KubeIamError, match=r"192\.0\.2\.1:\d+ cannot be listened on") as raised:
        open_port("192.0.2.1", free_port())
    assert not isinstance(raised.value, PortInUse)


@linux_only
def test_free_ports_are_given_to_no_outgoing_connection() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first < 32000:
        not_applicable("this system gives nearly all ports to outgoing connections")
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < first
