"""A memory cgroup of a test's own: Linux counts and limits the memory of its processes, the files that they read first included."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from required import linux_only, missing

__all__ = ["MemoryCgroup", "linux_only", "memory_cgroup"]

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
_MIB = 1 << 20


class MemoryCgroup:
    """A cgroup of version 1 or 2. Processes join it by writing 0 into `members`."""

    def __init__(self, path: Path, version: int) -> None:
        self.members = path / "cgroup.procs"
        self._path = path
        self._limit, self._peak = (
            ("memory.max", "memory.peak") if version == 2 else ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
        )

    def limit(self, mebibytes: int) -> None:
        (self._path / self._limit).write_text(str(mebibytes * _MIB))
        for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
            if (self._path / swap).exists():
                (self._path / swap).write_text("0" if swap == "memory.swap.max" else str(mebibytes * _MIB))

    def peak(self) -> float:
        """Return the most memory that was in use at once, in MiB."""
        return int((self._path / self._peak).read_text()) / _MIB

    def anonymous(self) -> float:
        """Return the anonymous memory in use now, in MiB: that which cannot be dropped, unlike pages of files."""
        counts = dict(line.split() for line in (self._path / "memory.stat").read_text().splitlines())
        return int(counts.get("anon") or counts["rss"]) / _MIB


@contextmanager
def memory_cgroup() -> Iterator[MemoryCgroup]:
    """Yield a new cgroup, which is removed afterwards. Skips the test where none can be made."""
    version, root = (1, _V1) if (_V1 / "cgroup.procs").exists() else (2, _V2)
    path = root / f"kube-iam-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        missing("a memory cgroup", f"run as root where {root} can be written ({error.strerror})")
    try:
        made = MemoryCgroup(path, version)
        if not (path / "memory.stat").exists() or not os.access(path / made._limit, os.W_OK):
            missing("a memory cgroup", f"turn the memory controller on in {root}/cgroup.subtree_control")
        yield made
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove the cgroup. Its last process may take a moment to leave it."""
    for _ in range(100):
        try:
            path.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.stderr.write(f"{path} is still in use\n")
