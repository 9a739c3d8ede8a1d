"""Files of the sandbox, which no other user may have written."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_own(path: Path) -> str:
    """Return the text of a file that this user owns and nobody else can write. Raises PermissionError for any other, and OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, encoding="utf-8") as file:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
            raise PermissionError(f"{path} is not this user's own")
        return file.read()
