"""Changes of the running command: those done, those under way and those not begun, for the line with which an interrupted one ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_LISTED = 10


class ChangesMade:
    """Changes by their names, each in one of three states. `advice` says what else is not known, or how to go on.

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
        """A change is under way from now on. One that was not expected is added."""
        self._begun = (*self._begun, name)
        self._pending = _without(self._pending, name)

    def finish(self, name: str) -> None:
        """A change that was under way is done."""
        self._done = (*self._done, name)
        self._begun = _without(self._begun, name)

    def advance(self) -> None:
        """Finish the change that is under way, and begin the next expected one. For changes that are made in order."""
        self._done = (*self._done, *self._begun)
        self._begun, self._pending = self._pending[:1], self._pending[1:]

    @contextmanager
    def making(self, name: str) -> Iterator[None]:
        """Make one change inside. Where that fails it stays under way: nobody knows what came of it."""
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
    """Return the changes of the command that is running, in whichever thread; new ones where none is."""
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
