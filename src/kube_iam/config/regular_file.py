"""Reads of files that people name, where something other than a regular file may stand."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Pipes that a shell creates and names itself, as for `-c <(command)`. They have a writer, which ends.
_PIPES_OF_SHELLS = ("/dev/", "/proc/")


def read_regular_file(path: Path, most: int) -> bytes:
    """Return at most `most` bytes of the file. Raises OSError, also for a named pipe or a socket, whose read may never end."""
    # Non-blocking, because opening a named pipe waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            if not str(path).startswith(_PIPES_OF_SHELLS):
                raise OSError(errno.EINVAL, "it is a named pipe; put a regular file there")
            os.set_blocking(descriptor, True)
        return file.read(most)
