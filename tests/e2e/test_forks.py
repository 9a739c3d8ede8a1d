"""Commands that tests run as forks are on the network of the test, as processes of their own would be."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from container import own_network

import forks


def test_commands_reach_what_listens_on_the_network_of_the_test(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }
    assert forks.run(["--version"], environ).returncode == 0  # on the network of this process
    with own_network(), socket.create_server(("127.0.0.1", 0)) as server:
        environ["AWS_ENDPOINT_URL_STS"] = f"https://127.0.0.1:{server.getsockname()[1]}"
        asked = forks.run(["token", "-i", "shop", "-r", "arn:aws:iam::123456789012:role/viewer"], environ)
        server.settimeout(0)
        connection, _ = server.accept()
        connection.close()
    assert "does not answer in time" in asked.stderr
