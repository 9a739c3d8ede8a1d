"""Facts that identify a running process, from /proc on Linux and from ps elsewhere."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Running:
    """A process that has not ended. `started` is in the system's own unit, `uid` is the effective user.

    `executable` and `directory` are empty on systems with ps only, and `command` is empty on the others.
    """

    started: str
    uid: int
    executable: str
    directory: str
    command: str

    def runs_in(self, root: Path) -> bool:
        """Return whether its working directory is that one; where it is unknown, whether its command line names the directory."""
        return self.directory == os.path.realpath(root) if self.directory else str(root) in self.command


def look_at(pid: int) -> Running | None:
    """Return the process with that id, or None where there is none or the system hides it from this user."""
    return _from_proc(_PROC / str(pid)) if (_PROC / "self" / "stat").exists() else _from_ps(pid)


def _from_proc(entry: Path) -> Running | None:
    try:
        # proc(5): the command's name is in parentheses and may hold anything; state is field 3, starttime field 22.
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
        uids = next(line for line in (entry / "status").read_text().splitlines() if line.startswith("Uid:")).split()
        if fields[0] in "ZX":
            return None
        # Linux adds this ending to a program that was replaced. The links of another user's process cannot be read.
        executable = _link(entry / "exe").removesuffix(" (deleted)")
        return Running(fields[19], int(uids[2]), executable, _link(entry / "cwd") or "(hidden)", "")
    except (OSError, IndexError, StopIteration, ValueError):
        return None


def _link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115  (the text as it is)
    except OSError:
        return ""


def _from_ps(pid: int) -> Running | None:
    def ask(field: str) -> str:
        listing = ["ps", "-ww", "-o", f"{field}=", "-p", str(pid)]
        return subprocess.run(listing, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603

    started, uid, state = ask("lstart"), ask("uid"), ask("stat")
    if not started or not uid.isdigit() or state.startswith("Z"):
        return None
    return Running(started, int(uid), "", "", ask("command"))
