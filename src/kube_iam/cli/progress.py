"""Progress of the running command on stderr: a terminal shows a bar, and anything else gets a line per change.

Both show what IAM is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kube_iam.cli.changes import ChangesMade
from kube_iam.cli.terminal import note, unguarded
from kube_iam.core.printable import escaped


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
