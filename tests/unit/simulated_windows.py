"""Windows, as far as it can be had elsewhere: our modules with everything that Windows lacks taken away. Run as a program.

The standard library and third-party modules are loaded first, as they are; then what is POSIX-only goes, and our modules are loaded
anew, so that only our own use of it shows. What this is not: other paths, other file semantics, other processes, a console.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import pkgutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty", "uvloop")
OS_NAMES = (
    *("chown", "chroot", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getpgid"),
    *(
        "getpgrp",
        "getuid",
        "initgroups",
        "killpg",
        "lchown",
        "mkfifo",
        "nice",
        "openpty",
        "pipe2",
        "posix_spawn",
        "setegid",
    ),
    *(
        "seteuid",
        "setgid",
        "setpgid",
        "setsid",
        "setuid",
        "sysconf",
        "ttyname",
        "uname",
        "wait",
        "wait3",
        "wait4",
        "WNOHANG",
    ),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC"),
)
SIGNALS = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGCHLD", "SIGALRM", "SIGPIPE", "SIGQUIT")
SOCKET_NAMES = ("SO_REUSEPORT",)


def our_modules() -> list[str]:
    """All of them but the sandbox's, which says that it does not run there."""
    package = importlib.import_module("kube_iam")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "kube_iam.")]
    return [name for name in names if not name.startswith("kube_iam.sandbox")]


def take_away() -> None:
    """Remove what Windows lacks, from now on."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "kube_iam"]:
        del sys.modules[name]
    loaded: dict[str, Any] = sys.modules
    for name in MODULES:
        loaded[name] = None  # an import of it fails
    for holder, names in ((os, OS_NAMES), (signal, SIGNALS), (socket, SOCKET_NAMES)):
        for name in names:
            with contextlib.suppress(AttributeError):
                delattr(holder, name)


def use_files(directory: Path) -> None:
    """Write sessions, kubeconfigs and certificates to disk."""
    from datetime import UTC, datetime

    from kube_iam import files
    from kube_iam.aws.token_cache import CachedSession, SessionCache
    from kube_iam.core.credentials import Credentials
    from kube_iam.kube.files import edit_text
    from kube_iam.server.certificates import ensure_pair, load_pair

    files._POSIX = False
    cache = SessionCache(str(directory / "sessions"))
    session = CachedSession(Credentials("ASIA", "s", "t", 3600.0), 0.0, 3600.0)
    assert cache.store("key", session)
    kept = cache.load("key", 1.0)
    assert kept is not None
    assert kept.credentials == session.credentials
    edit_text(directory / "kube" / "config", lambda text: (text or "") + "a: 1\n")
    edit_text(directory / "kube" / "config", lambda text: (text or "") + "b: 2\n")
    assert (directory / "kube" / "config").read_bytes() == b"a: 1\nb: 2\n"
    # The standard library starts processes with what was taken away here; certificates can be had without one.
    sys.executable = ""
    now = datetime.now(UTC)
    assert ensure_pair(directory / "state", "localhost", "127.0.0.1", now)
    assert load_pair(directory / "state", now).key_pem


class WithoutSignals(asyncio.SelectorEventLoop):
    """A loop that takes no signal handlers, as those of Windows take none."""

    def add_signal_handler(self, *_: object) -> None:
        raise NotImplementedError


def stop_by_signal() -> None:
    """End the server's loop by SIGINT and SIGTERM."""
    from kube_iam.server.process import own_user, stop_signal

    async def wait(number: signal.Signals) -> None:
        stopping = stop_signal()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stopping.wait()

    for number in (signal.SIGINT, signal.SIGTERM):
        with asyncio.Runner(loop_factory=WithoutSignals) as runner:
            runner.run(wait(number))
    assert own_user() == "this user"


def main() -> None:
    """Everything in turn; an exception is a failure."""
    names = our_modules()
    for name in names:
        importlib.import_module(name)
    take_away()
    for name in names:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as directory:
        use_files(Path(directory))
    stop_by_signal()
    sys.stdout.write(f"{len(names)} modules\n")


if __name__ == "__main__":
    main()
