"""The changes that the running command makes: for the line that ends it at Ctrl-C, and for audit events in the cluster.

Events are collected while a command runs, and written when everything else is done. An error of that is a warning.
A command ends within a second of Ctrl-C, and says in one line what it has changed.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click

from kube_iam.cli.terminal import note
from kube_iam.core.printable import escaped
from kube_iam.errors import Interrupted, KubeIamError
from kube_iam.kube.events import Action, AuditRecord

if TYPE_CHECKING:
    from kube_iam.access.members import MemberChange
    from kube_iam.denylist.denial import Denial

INTERRUPTED = 130
GRACE_SECONDS = 0.7
_FLUSH_SECONDS = 0.1
_LISTED = 10


class ChangesMade:
    """Changes by their names, each done, under way or not begun. `advice` says how to continue, or what is not known.

    A watchdog thread may ask for the summary at any time, so that states are replaced and never edited.
    """

    def __init__(self) -> None:
        self.advice = ""
        self._done: tuple[str, ...] = ()
        self._begun: tuple[str, ...] = ()
        self._pending: tuple[str, ...] = ()

    def expect(self, names: Iterable[str], advice: str = "") -> None:
        """Add changes that will be made."""
        self._pending = (*self._pending, *names)
        self.advice = advice or self.advice

    def begin(self, name: str) -> None:
        """Record that a change is under way. A change that was not expected is added."""
        self._begun = (*self._begun, name)
        self._pending = _without(self._pending, name)

    def finish(self, name: str) -> None:
        """Record that a change under way is done."""
        self._done = (*self._done, name)
        self._begun = _without(self._begun, name)

    def advance(self) -> None:
        """Finish the change that is under way, and begin the next expected one. For changes that are made in order."""
        self._done = (*self._done, *self._begun)
        self._begun, self._pending = self._pending[:1], self._pending[1:]

    @contextmanager
    def making(self, name: str) -> Iterator[None]:
        """Record one change, which is made inside. If that fails the change stays under way: its result is not known."""
        self.begin(name)
        yield
        self.finish(name)

    @property
    def count(self) -> str:
        """Return in words how many of the changes are done."""
        total = len(self._done) + len(self._begun) + len(self._pending)
        return f"{len(self._done)} of {total} changes done"

    def summary(self) -> str:
        """Return one line: what is done, of what the result is not known, and what was not begun."""
        if not (self._done or self._begun):
            return "nothing was changed"
        parts = [self.count + (f" ({_list(self._done)})" if self._done else "")]
        if self._begun:
            parts.append(f"may or may not be done: {_list(self._begun)}")
        if self._pending:
            parts.append(f"not begun: {_list(self._pending)}")
        if self.advice:
            parts.append(self.advice)
        return "; ".join(parts)


def changes_made() -> ChangesMade:
    """Return the changes of the running command, in any thread; new ones if no command runs."""
    return _running[-1] if _running else ChangesMade()


@contextmanager
def recording() -> Iterator[ChangesMade]:
    """Make new changes those of the running command inside."""
    made = ChangesMade()
    _running.append(made)
    try:
        yield made
    finally:
        _running.remove(made)


_running: list[ChangesMade] = []


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    if name not in names:
        return names
    at = names.index(name)
    return names[:at] + names[at + 1 :]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


Write = Callable[[Sequence[AuditRecord]], None]
"""Writes actions into the cluster, and raises KubeIamError: `AdminSession.write_events`."""


class AuditLog:
    """Actions of one command. They are written when the context ends, also by an error, and by `write` before a long wait."""

    def __init__(self, write: Write | None) -> None:
        """Without `write` there is no cluster to keep an audit log in."""
        self._write = write
        self._records: list[AuditRecord] = []

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()

    def add(self, *records: AuditRecord) -> None:
        """Add actions that are done."""
        self._records += records

    def write(self) -> None:
        """Write the actions since the last call. If that fails it prints a warning."""
        records, self._records = self._records, []
        if records and self._write is not None:
            _write(self._write, records)

    def recorded(self, done: Iterable[MemberChange], level: str, *, into: bool, reason: str) -> Iterator[MemberChange]:
        """Yield the changes, and add an action for each that changed something."""
        action = Action.GRANTED if into else Action.REVOKED
        for change in done:
            if change.is_needed:
                self.add(AuditRecord(action, change.user, level, reason=reason))
            yield change


def record_denials(write: Write, denials: Iterable[Denial]) -> None:
    """Write an audit event for each denial at once. If that fails it prints a warning."""
    _write(write, [denied_record(denial) for denial in denials])


def denied_record(denial: Denial, level: str = "") -> AuditRecord:
    """Return the record of a denial, in one level or, if that is empty, in all."""
    return AuditRecord(Action.DENIED, denial.value, level, denial.end, denial.reason, denial.name)


def _write(write: Write, records: Sequence[AuditRecord]) -> None:
    try:
        write(records)
    except KubeIamError as error:
        note(f"warning: done, but not written as an event into the cluster: {error.message}")


@contextmanager
def interruptible(program: str) -> Iterator[None]:
    """Make what runs inside end within a second of Ctrl-C. Raises Interrupted with the line to print."""
    with recording() as made, _Watchdog(made, program):
        try:
            yield
        except (KeyboardInterrupt, click.Abort) as error:
            if not is_interrupt(error):
                raise
            raise Interrupted(stop_line(program, made)) from error


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
