"""The port that is bound before the configuration is read."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_sockets import listening

from kube_iam.config.server import ServerConfig
from kube_iam.sandbox.processes import free_port
from kube_iam.server import early_port
from kube_iam.server.early_port import EarlyPort, open_early


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield a free port, which is the default too."""
    chosen = free_port()
    monkeypatch.setattr(early_port, "DEFAULT_PORT", chosen)
    yield chosen
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", chosen))


def where(*arguments: str) -> tuple[str, int] | None:
    """Return where the server of these arguments listens early."""
    early = open_early(["server", *arguments])
    if early is None:
        return None
    opened = early.claim(*early.where)
    assert opened is not None
    with opened:
        host, number = opened.getsockname()[:2]
        socket.create_connection((host, number)).close()
        return host, number


@pytest.mark.parametrize(
    "text",
    [
        "clusterID: x\nserver:\n  port: {}\n",
        "server: # port and more\n  Port:   '{}' # of loopback\r\n  healthPort: 1\n  healthAddress: 0.0.0.0\n",
        '{{\n  "server": {{\n    "address": "127.0.0.1",\n    "port": {},\n    "mapRoles": []\n  }}\n}}\n',
        "server:\n  address: localhost\n  port: {}\n  mapUsers: []\n",
    ],
)
def test_port_of_the_configuration_is_listened_on(tmp_path: Path, text: str) -> None:
    port = free_port()
    file = tmp_path / "config.yaml"
    file.write_text(text.format(port))
    assert where("-c", str(file)) == where(f"--config={file}") == ("127.0.0.1", port)


def test_defaults_are_those_of_the_configuration() -> None:
    config = ServerConfig("c")
    assert (config.address, config.port) == (early_port.DEFAULT_ADDRESS, early_port.DEFAULT_PORT)


def test_flags_and_defaults_are_known(tmp_path: Path, port: int) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\nserver: {}\n")
    assert where() == where("-c", str(file)) == ("127.0.0.1", port)
    file.write_text("server:\n  port: 1\n  address: 192.0.2.1\n")
    assert where("--port", str(port), "--config", str(file), "--address=127.0.0.1") == ("127.0.0.1", port)
    assert where("--port=1", f"--port={port}") == ("127.0.0.1", port)


@pytest.mark.parametrize(
    "text",
    [
        "server: {port: 1}\n",
        "server:\n  port: 1\n  #port: 2\n",
        "server:\n  port: 1\nport: 2\n",
        "server:\n  port: *other\n",
        "server:\n  port: 0x5000\n",
        "server:\n  address: example.com\n",
        "server:\n  address: 127.0.0.1 other\n",
    ],
)
def test_port_that_is_not_certain_waits_for_the_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert open_early(["server", "-c", str(file)]) is None


def test_nothing_listens_early_where_no_server_starts(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for arguments in (
        ["plan"],
        ["help", "server"],
        ["server", "--check-config"],
        ["server", "--help"],
        ["server", "-c", str(tmp_path / "absent")],
        ["server", "-c", str(pipe)],
        ["server", "--port=port"],
    ):
        assert open_early(arguments) is None


def test_address_that_cannot_be_used_is_left_to_the_configuration(port: int) -> None:
    assert EarlyPort("192.0.2.1", port).claim("192.0.2.1", port) is None
    assert EarlyPort("127.0.0.1", 99999).claim("127.0.0.1", 99999) is None


def test_port_that_is_not_the_configurations_is_closed(port: int) -> None:
    assert EarlyPort("127.0.0.1", port).claim("127.0.0.1", free_port()) is None


def test_port_in_use_is_listened_on_as_soon_as_it_is_free(port: int) -> None:
    with listening(port, shared=False):
        early = EarlyPort("127.0.0.1", port)
    while True:
        try:
            waiting = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            continue
        break
    opened = early.claim("127.0.0.1", port)
    assert opened is not None
    waiting.close()
    opened.close()


def test_port_that_stays_in_use_is_not_tried_any_more_once_claimed(port: int) -> None:
    with listening(port, shared=False):
        assert EarlyPort("127.0.0.1", port).claim("127.0.0.1", port) is None
