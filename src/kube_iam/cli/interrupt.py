"""Ctrl-C: a command ends within a second and says in one line what it has changed and what it has not.

Python raises KeyboardInterrupt in the main thread, and only between two of its instructions: not while the resolver looks a name up,
for example, which can take half a minute. A watchdog thread receives the signal at once and ends the process after `GRACE_SECONDS`.
Until then the main thread may finish the change that it has begun, such as an audit event in the cluster.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

import click

from kube_iam.cli.progress import ChangesMade, recording
from kube_iam.core.printable import escaped
from kube_iam.errors import Interrupted

INTERRUPTED = 130
GRACE_SECONDS = 0.7
_FLUSH_SECONDS = 0.1


def interruptible(command: click.Command) -> click.Command:
    """Make the command and its subcommands end within a second of Ctrl-C. Returns the command."""
    for inner in getattr(command, "commands", {}).values():
        interruptible(inner)
    if command.callback is not None and not hasattr(command.callback, "interruptible"):
        command.callback = _ending_at_once(command.callback)
    return command


def _ending_at_once(body: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(body)
    def call(*arguments: Any, **values: Any) -> Any:
        program = click.get_current_context().find_root().info_name or "kube-iam"
        with recording() as made, _Watchdog(made, program):
            try:
                return body(*arguments, **values)
            except (KeyboardInterrupt, click.Abort) as error:
                if not is_interrupt(error):
                    raise
                raise Interrupted(stop_line(program, made)) from error

    call.interruptible = True  # type: ignore[attr-defined]
    return call


def is_interrupt(error: BaseException) -> bool:
    """Return whether Ctrl-C is behind the error: click raises Abort at a question for Ctrl-C and for the end of the input alike."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)


def stop_line(program: str, made: ChangesMade) -> str:
    """Return the line with which an interrupted command ends."""
    return escaped(f"{program}: stopped: {made.summary()}")


class _Watchdog:
    """Ends the process `GRACE_SECONDS` after SIGINT, unless the context has ended by then.

    Commands with a handler of their own for SIGINT (`server`, `sandbox`) are left to it. Does nothing beyond the main thread.
    """

    def __init__(self, made: ChangesMade, program: str) -> None:
        self._made = made
        self._program = program
        self._ended = threading.Event()
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._before = -1

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        reading, writing = self._sockets = socket.socketpair()
        writing.setblocking(False)
        self._before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), daemon=True, name="kube-iam-interrupt").start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._sockets is None:
            return
        _, writing = self._sockets
        signal.set_wakeup_fd(self._before)
        writing.close()

    def _watch(self, reading: socket.socket) -> None:
        with reading:
            while number := reading.recv(1):
                if number[0] != signal.SIGINT or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
                    continue
                if not self._ended.wait(GRACE_SECONDS):
                    self._end()

    def _end(self) -> None:
        # A full pipe can block a flush, as it may block the main thread now.
        flushing = threading.Thread(target=sys.stdout.flush, daemon=True)
        flushing.start()
        flushing.join(_FLUSH_SECONDS)
        os.write(2, f"{stop_line(self._program, self._made)}\n".encode(errors="backslashreplace"))
        os._exit(INTERRUPTED)
