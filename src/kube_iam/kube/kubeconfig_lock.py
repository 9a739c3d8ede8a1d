"""kubectl's lock of kubeconfig files: FILE.lock, which is created before an edit and removed after it.

client-go locks every file of KUBECONFIG in the order of their names, and fails where one is locked (`ModifyConfig` in
tools/clientcmd/config.go). An edit without that lock can lose an edit of kubectl's, or undo one.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kube_iam.errors import Conflict, KubeIamError

ATTEMPTS = 50
PAUSE = 0.1  # seconds; kubectl holds its locks for milliseconds
_NOT_WRITABLE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


@contextmanager
def kubectl_locks(files: Sequence[Path], sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Hold kubectl's locks of these files, which need not exist. A lock of another program is waited for, `ATTEMPTS` times.

    In a directory that does not exist or is not writable, nothing is locked: kubectl could not edit a file there either.
    Raises Conflict where a lock stays, KubeIamError where one cannot be created. No lock is left behind then.
    """
    by_lock = {Path(os.path.realpath(path.parent)) / f"{path.name}.lock": path for path in files}
    with ExitStack() as held:
        for lock in sorted(by_lock):
            if _take(lock, by_lock[lock], sleep):
                held.callback(lock.unlink, missing_ok=True)
        yield


def _take(lock: Path, path: Path, sleep: Callable[[float], None]) -> bool:
    """Return whether the lock was created; false where no file can be created."""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE)
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno in _NOT_WRITABLE:
                return False
            raise KubeIamError(f"cannot write {lock}: {error.strerror}") from error
        return True
    hint = f"kubectl makes that file while it edits; where no program edits {path}, remove {lock}"
    raise Conflict(f"{path} is locked: {lock} exists; nothing was written", hint)
