"""The process that tests/forks.py starts: it loads the modules of kube-iam, and forks for each request that comes on its socket."""

from __future__ import annotations

import atexit
import fcntl
import gc
import io
import json
import os
import signal
import socket
import sys
import termios
import threading
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import NoReturn

import botocore.credentials
import botocore.session
import botocore.tokens
from lightkube.core.decoders import decode_object
from lightkube.resources.authentication_v1 import SelfSubjectReview
from lightkube.resources.core_v1 import ConfigMap

import kube_iam
from botocore_data import work_out_once

LIBRARIES = (
    "botocore.httpsession",
    "botocore.retries.standard",
    "botocore.retryhandler",
    "encodings.ascii",
    "encodings.idna",
    "encodings.utf_8_sig",
    "granian.server.embed",
    "httpcore2",
    "lightkube.core.generic_client",
    "lightkube.resources.authentication_v1",
    "lightkube.resources.rbac_authorization_v1",
    "multiprocessing.util",
    "ruamel.yaml",
    "socksio",
    "truststore",
    "uvloop",
)
# Of the sandbox, what its own processes load would be loaded for nothing.
NOT_LOADED = ("kube_iam.sandbox.account", "kube_iam.sandbox.aws_fidelity")
_LONGEST = 1 << 17
# Above the descriptors of any request, so that none is overwritten before it has its place.
_ABOVE = 200


def load() -> None:
    root = Path(kube_iam.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = ".".join(("kube_iam", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        if not name.startswith(NOT_LOADED):
            import_module(name)
    for name in LIBRARIES:
        import_module(name)
    work_out_once()
    session = botocore.session.Session({"profile": (None, None, None, None)})
    for service in ("iam", "sts"):
        # Never used: what it parses stays.
        session.create_client(service, "eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    for answer in (ConfigMap, SelfSubjectReview):
        decode_object(b"{}", answer)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Fork until the tests close their end. It returns in the forks only."""
    control = socket.socket(fileno=int(sys.argv[1]))
    load()
    wake, ended = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ended, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ended)
    children: dict[int, socket.socket] = {}
    with DefaultSelector() as selector:
        selector.register(control, EVENT_READ)
        selector.register(wake, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == wake:
                    with suppress(BlockingIOError):
                        os.read(wake, 4096)
                    continue
                request, numbers, _, _ = socket.recv_fds(control, _LONGEST, 8)
                if not request:
                    sys.exit()
                reply = socket.socket(fileno=numbers[0])
                pid = os.fork()
                if pid == 0:
                    own = [fcntl.fcntl(number, fcntl.F_DUPFD, _ABOVE) for number in numbers[1:]]
                    selector.close()
                    for opened in (control, reply, *children.values()):
                        opened.close()
                    for number in (wake, ended, *numbers[1:]):
                        os.close(number)
                    return begin(own, *json.loads(request))
                for number in numbers[1:]:
                    os.close(number)
                reply.send(pid.to_bytes(8))
                children[pid] = reply
            while children and (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                with children.pop(reaped[0]) as reply, suppress(OSError):
                    reply.send(reaped[1].to_bytes(8))


def begin(files: list[int], command: list[str], environ: dict[str, str], directory: str, new_session: bool) -> None:
    """Make this fork what a new process would be."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if new_session:
        os.setsid()
    for place, number in enumerate(files):
        os.dup2(number, place)
        os.close(number)
    if new_session and os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    cache = str(Path.home() / ".aws" / "sso" / "cache")  # computed when botocore is loaded
    for owner in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
        setattr(owner, "_SSO_TOKEN_CACHE_DIR", cache)  # noqa: B010 - its type stubs do not have it
    sys.argv[:] = command
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        old = getattr(sys, name)
        raw = os.fdopen(number, f"{mode}b", closefd=False)
        text = io.TextIOWrapper(raw, old.encoding, old.errors, line_buffering=name == "stderr" or os.isatty(number))
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def run() -> int:
    """Run the command, and return its exit code as the interpreter would make it of what the program ends with."""
    from kube_iam.cli.main import entry_point

    try:
        return entry_point()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1


def end(code: int) -> NoReturn:
    """End as an interpreter does, without taking apart the modules that were there before: that is half of a short command's work."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 120
    os._exit(code)


if __name__ == "__main__":
    main()
    end(run())
