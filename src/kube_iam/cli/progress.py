"""Progress of the running command: on the screen, and for the line with which an interrupted command ends.

On stderr a terminal shows a bar, and anything else gets a line per change. Both show what IAM is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from kube_iam.cli.terminal import note, unguarded
from kube_iam.core.printable import escaped

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


class Display:
    """Shows the progress of one command. `waiting` may be called from any thread at any time."""

    def __init__(self) -> None:
        self._say: Callable[[str], None] = note
        self._last = ""

    def waiting(self, awaited: str) -> None:
        """Print what the command waits for, unless that is what was printed last."""
        if awaited != self._last:
            self._last = awaited
            self._say(escaped(awaited))

    @contextmanager
    def changes(self, names: Sequence[str], made: ChangesMade) -> Iterator[Callable[[int], None]]:
        """Yield a function that records in `made` and shows that the change at a position, from 0, is under way.

        The changes are made in order. `names` are escaped.
        """
        total = len(names)
        if not sys.stderr.isatty():

            def print_line(position: int) -> None:
                made.advance()
                note(f"[{position + 1}/{total}] {names[position]}")

            yield print_line
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (SpinnerColumn(), BarColumn(bar_width=20), MofNCompleteColumn())
        with Bar(
            *columns,
            TextColumn("{task.description}", markup=False),
            console=Console(file=unguarded(sys.stderr)),
            transient=True,
        ) as bar:
            task = bar.add_task("", total=total)
            say = self._say
            self._say = lambda text: bar.update(task, description=text)

            def show(position: int) -> None:
                made.advance()
                bar.update(task, completed=position, description=names[position])

            try:
                yield show
            finally:
                self._say = say
