"""Background processes of the sandbox: started with a log file, found again by a later command, stopped for certain.

A record proves nothing by itself: an id is given to other processes later, and a record can be written by anybody who may write the
directory. A process is the recorded one only where it started at the recorded time, and, for those of a sandbox, where it also runs as
this user, in the sandbox's directory, with the recorded executable.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kube_iam.errors import SandboxError
from kube_iam.sandbox.files import read_own, write_private
from kube_iam.sandbox.running import look_at

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One background process. `record` is the file that remembers it, `log` takes its output.

    `root` is the directory that it must run in, as `start` started it, to be taken for the recorded one; None leaves that open.
    """

    name: str
    record: Path
    log: Path
    root: Path | None = None

    def start(self, command: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """Start it, detached from the terminal. Raises SandboxError where the program cannot be run."""
        try:
            with self.log.open("ab") as log:
                child = subprocess.Popen(  # noqa: S603  (our own command line)
                    command,
                    env=dict(environment),
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise SandboxError(f"cannot start {self.name}: {error}") from error
        child.returncode = 0  # it outlives us on purpose: no ResourceWarning about a child that nobody waited for
        found = look_at(child.pid)
        known = (
            {"started": found.started, "executable": found.executable} if found else {"started": "", "executable": ""}
        )
        write_private(self.record, json.dumps({"pid": child.pid, **known}))

    def pid(self) -> int | None:
        """Return its process id while it runs, None where it does not, or where what runs under that id is not it."""
        record = self._recorded()
        if record is None:
            return None
        pid, started, executable = record
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        found = look_at(pid)
        if found is None or not started or found.started != started:
            return None
        own = self.root is None or (
            found.uid == os.geteuid() and found.executable == executable and found.runs_in(self.root)
        )
        return pid if own else None

    def _recorded(self) -> tuple[int, str, str] | None:
        """The record, where it is a file of this user's that nobody else may write."""
        try:
            text = read_own(self.record)
            record = json.loads(text)
            pid, started, executable = record["pid"], str(record["started"]), str(record.get("executable", ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        # 0 and negative numbers mean groups of processes to kill(2) and waitpid(2).
        return (pid, started, executable) if type(pid) is int and pid > 1 else None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it does not run."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Ask it to end, then, when patience is over, end it. It is gone, with all that it started, when this returns."""
        pid = self.pid()
        if pid is not None:
            self.signal(signal.SIGTERM)
            if not wait_until(lambda: self.pid() is None, patience_seconds):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # it leads a process group of its own
                wait_until(lambda: self.pid() is None, patience_seconds)
        self.record.unlink(missing_ok=True)

    def await_ready(self, ready: Callable[[], bool], patience_seconds: float) -> None:
        """Wait until `ready` answers True. Raises SandboxError with the end of the log where it does not, or where it ended."""
        if wait_until(lambda: self.pid() is None or ready(), patience_seconds) and self.pid() is not None:
            return
        state = "ended" if self.pid() is None else f"was not ready after {patience_seconds:.0f} s"
        raise SandboxError(f"{self.name} {state}", f"its log, {self.log}, ends: {self.last_words()}")

    def last_words(self) -> str:
        """The last lines of its log."""
        try:
            return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-5:]) or "(empty)"
        except OSError:
            return "(missing)"


def wait_until(condition: Callable[[], bool], patience_seconds: float) -> bool:
    """Whether the condition came true within that time; it is asked every 20 ms."""
    end = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
