"""Background processes of the sandbox: started with a log file, found by later commands through a record, and stopped.

A record alone proves nothing: process ids are reused, and everybody who can write the directory can write a record. A process is the
recorded one only if it started at the recorded time. A process of a sandbox must also run as this user, in the sandbox's directory,
with the recorded executable.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path

from kube_iam.errors import SandboxError
from kube_iam.files import write_file
from kube_iam.sandbox.files import read_own
from kube_iam.sandbox.running import look_at

_POLL_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
# Below the ports that systems give to outgoing connections (Linux from 32768, macOS from 49152): one of these could take a port
# between its choice here and the start of its server. Above those that servers of clusters have by default.
_PORTS = range(22_000, 32_000)
_CHOICES = 300


@dataclass(frozen=True, slots=True)
class Process:
    """One background process. `record` is the file with its id and start time, `log` is the file of its output.

    `root` is the directory in which the process must run to be the recorded one. With None it can run anywhere.
    """

    name: str
    record: Path
    log: Path
    root: Path | None = None

    def start(self, command: list[str], environment: Mapping[str, str], directory: Path) -> None:
        """Start the process, detached from the terminal. Raises SandboxError where the program cannot be run."""
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
        child.returncode = 0  # it outlives this process: prevents a ResourceWarning about a child without a wait
        found = look_at(child.pid)
        known = (
            {"started": found.started, "executable": found.executable} if found else {"started": "", "executable": ""}
        )
        write_file(self.record, json.dumps({"pid": child.pid, **known}).encode())

    def pid(self) -> int | None:
        """Return the process id while the process runs, else None, also where another process has that id now."""
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
        """Return id, start time and executable of the record, or None where others could have written it."""
        try:
            text = read_own(self.record)
            record = json.loads(text)
            pid, started, executable = record["pid"], str(record["started"]), str(record.get("executable", ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        # kill(2) and waitpid(2) read 0 and negative numbers as groups of processes.
        return (pid, started, executable) if type(pid) is int and pid > 1 else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process if it runs."""
        pid = self.pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Send SIGTERM, and SIGKILL to its process group after the timeout. The process has ended when this returns."""
        pid = self.pid()
        if pid is not None:
            self.signal(signal.SIGTERM)
            if not wait_until(lambda: self.pid() is None, timeout_seconds):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # it leads a process group of its own
                wait_until(lambda: self.pid() is None, timeout_seconds)
        self.record.unlink(missing_ok=True)

    def await_ready(self, ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until `ready` returns True. Raises SandboxError with the end of the log otherwise."""
        if wait_until(lambda: self.pid() is None or ready(), timeout_seconds) and self.pid() is not None:
            return
        state = "ended" if self.pid() is None else f"was not ready after {timeout_seconds:.0f} s"
        raise SandboxError(f"{self.name} {state}", f"its log, {self.log}, ends: {self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        try:
            return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-5:]) or "(empty)"
        except OSError:
            return "(missing)"


def wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Return whether the condition became true within that time.

    It is called every 20 ms. After a condition that takes longer the pause is longer too: the others need the processor.
    """
    asked = time.monotonic()
    end = asked + timeout_seconds
    while not condition():
        now = time.monotonic()
        if now > end:
            return False
        time.sleep(min(max(_POLL_SECONDS, 2 * (now - asked)), _LONGEST_PAUSE_SECONDS))
        asked = time.monotonic()
    return True


@cache
def _candidates() -> Iterator[int]:
    """Return all ports in a random order, again and again: one that was chosen and is not taken yet is not chosen a second time."""
    # Not the module's own generator: hypothesis sets that back, and all its processes would choose the same.
    return cycle(random.SystemRandom().sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """Return a loopback port that is free now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different loopback ports that are free now. Raises SandboxError where none is found."""
    found: list[int] = []
    # All are held until the last is known: another choice at the same time then takes others.
    with contextlib.ExitStack() as held:
        for port in islice(_candidates(), _CHOICES):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
                if len(found) == count:
                    return found
    raise SandboxError(f"no free port between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1")
