"""Listening sockets of tests, and settings of a server on a port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kube_iam.config.server import ServerConfig
from kube_iam.sandbox.processes import free_port


def config(state_dir: Path, port: int, health_port: int = 0) -> ServerConfig:
    return ServerConfig("c", port=port, health_port=health_port or free_port(), state_dir=state_dir)


@contextmanager
def listening(port: int, *, shared: bool = True) -> Iterator[socket.socket]:
    with socket.socket() as server:
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server
