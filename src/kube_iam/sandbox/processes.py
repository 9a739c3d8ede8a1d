"""Background processes of the sandbox: started with a log file, found again by a later command, stopped for certain.

A process is remembered as its id together with its start time, so that another process that was given the same id since is never
taken for it, least of all killed.
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
from kube_iam.sandbox.files import write_private

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Process:
    """One background process. `record` is the file that remembers it, `log` takes its output."""

    name: str
    record: Path
    log: Path

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
        write_private(self.record, json.dumps({"pid": child.pid, "started": _started(child.pid)}))

    def pid(self) -> int | None:
        """Its process id while it runs, else None."""
        try:
            record = json.loads(self.record.read_text())
            pid, started = int(record["pid"]), str(record["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return pid if started and _started(pid) == started else None

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


def _started(pid: int) -> str:
    """When that process started, in whatever unit the system counts; empty where there is none or it has ended."""
    try:
        # proc(5): the command's name is in parentheses and may hold anything; state is field 3, starttime field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return ""
    listing = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    found = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    return "" if found.startswith("Z") else found.partition(" ")[2].strip()
