"""Files that are followed or given by people, and what may stand in their place."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kube_iam.config.dynamic import load_backend_mode
from kube_iam.config.mounted import load_mounted_mappings
from kube_iam.config.regular_file import read_regular_file
from kube_iam.config.server import check_server_config
from kube_iam.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories")


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_regular_file(path, 4) == b"0123"


def test_named_pipe_without_a_writer_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="named pipe; put a regular file there"):
        read_regular_file(path, 10)


def test_link_to_a_named_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="named pipe"):
        read_regular_file(tmp_path / "link", 10)


def test_socket_and_directory_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "socket", tmp_path):
            with pytest.raises(OSError):
                read_regular_file(path, 10)


def test_pipe_of_a_shell_is_read() -> None:
    program = "import sys; from pathlib import Path; from kube_iam.config.regular_file import read_regular_file as read"
    program += "; sys.stdout.buffer.write(read(Path('/dev/stdin'), 100))"
    done = subprocess.run([sys.executable, "-c", program], input=b"piped", stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"piped"


@pytest.mark.parametrize("read", [load_mounted_mappings, lambda path: check_server_config(path, {}), load_backend_mode])
def test_every_reader_of_the_server_names_the_pipe(tmp_path: Path, read: object) -> None:
    path = tmp_path / "config.yaml"
    os.mkfifo(path)
    assert callable(read)
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: it is a named pipe"):
        read(path)
