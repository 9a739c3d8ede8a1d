"""Commands of kube-iam as forks of one process that has loaded their modules.

An interpreter that loads them works for 0.2 to 0.5 s before a command begins; a fork takes 0.02 s. Everything else is as in a process
of its own: arguments, environment, directory, descriptors, signals and exit. With all examples (as in .ci/run) each command is a new
interpreter. So is a command whose environment changes the interpreter: variables of Python and of the locale.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

from examples import FEW
from kube_iam.files import write_file
from kube_iam.sandbox.processes import Process
from kube_iam.sandbox.running import look_at

PROGRAM = Path(sysconfig.get_path("scripts")) / "kube-iam"
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "TZ", "OPENSSL_", "BOTO_DISABLE_CRT")
_INTERPRETER = """
import os, sys
if os.isatty(0) and os.getsid(0) == os.getpid():
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv = sys.argv[1:]
from kube_iam.cli.main import entry_point
sys.exit(entry_point())
"""
_LONGEST = 1 << 17
_STARTING = Lock()


class Fork:
    """A running fork, used as a `subprocess.Popen`."""

    def __init__(self, replies: socket.socket) -> None:
        self._replies = replies
        self.pid = int.from_bytes(replies.recv(8))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._receive(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._receive(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("kube-iam", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _receive(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._replies.settimeout(timeout)
            try:
                status = self._replies.recv(8)
            except (BlockingIOError, TimeoutError):
                return None
            self._replies.close()
            assert status, "the process that forks has ended"
            self.returncode = os.waitstatus_to_exitcode(int.from_bytes(status))
        return self.returncode


Running = Fork | subprocess.Popen[bytes]


def start(
    arguments: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    program: str | Path = PROGRAM,
    directory: Path | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    new_session: bool = False,
) -> Running:
    """Start kube-iam under the name `program`, with the given files or descriptors as its standard input and outputs.

    A terminal as standard input is the one of a new session.
    """
    command = [str(program), *map(str, arguments)]
    if not FEW or any(environ.get(name, "") != os.environ.get(name, "") for name in _settings(environ)):
        return subprocess.Popen(
            [sys.executable, "-c", _INTERPRETER, *command],
            env=environ,
            cwd=directory,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=new_session,
        )
    request = json.dumps([command, dict(environ), str(directory or Path.cwd()), new_session]).encode()
    assert len(request) < _LONGEST
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Path(os.devnull).open("rb") as nothing, theirs:
        files = [nothing if file == subprocess.DEVNULL else file for file in (stdin, stdout, stderr)]
        numbers = [file if isinstance(file, int) else file.fileno() for file in files]
        with _STARTING:
            parent = _parent(environ.get("BOTO_DISABLE_CRT", ""), _network())
        socket.send_fds(parent, [request], [theirs.fileno(), *numbers])
    return Fork(ours)


def run(
    arguments: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    program: str | Path = PROGRAM,
    directory: Path | None = None,
    text: str = "",
    new_session: bool = False,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command of kube-iam to its end. `text` is its standard input."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        given.write(text.encode())
        given.seek(0)
        running = start(
            arguments,
            environ,
            program=program,
            directory=directory,
            stdin=given,
            stdout=out,
            stderr=err,
            new_session=new_session,
        )
        try:
            code = running.wait(timeout)
        except BaseException:
            running.kill()
            running.wait()
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess([program, *arguments], code, out.read().decode(), err.read().decode())


class ForkedProcess(Process):
    """A process as the sandbox has them, which runs kube-iam as a fork."""

    def start(self, command: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """Start kube-iam with these arguments."""
        with self.log.open("ab") as log:
            running = start(command, environment, directory=directory, stdout=log, stderr=log, new_session=True)
        if isinstance(running, subprocess.Popen):
            running.returncode = 0  # nothing waits for it here
        found = look_at(running.pid)
        record = {"pid": running.pid, "started": found.started if found else "", "executable": ""}
        write_file(self.record, json.dumps(record).encode())


def _settings(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of the interpreter, except the one for which there is a parent of its own."""
    names = {name for name in (*environ, *os.environ) if name.startswith(_OF_THE_INTERPRETER)}
    return [name for name in names - {"BOTO_DISABLE_CRT"} if name in environ]


def _network() -> str:
    """Return the network namespace of this thread, which tests of installed clusters have of their own. It is empty without /proc."""
    try:
        return str(Path("/proc/thread-self/ns/net").readlink())
    except OSError:
        return ""


@cache
def _parent(without_crt: str, _network: str) -> socket.socket:
    """Start the process that forks, one for each network and value of the only variable that botocore reads when it is loaded.

    Forks are on the network of their parent, which keeps it: no other gets its name meanwhile.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environ = {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "PATH", "LANG", "LC_"))}
    with theirs:
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("forking.py"), str(theirs.fileno())],
            env={**environ, "BOTO_DISABLE_CRT": without_crt},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C ends it with its worker, not before
        ).returncode = 0  # it ends when this process does
    return ours
