"""What is being done, on stderr: a bar on a terminal, a line per change elsewhere, and what IAM is being waited for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from kube_iam.access.apply import Progress
from kube_iam.access.changes import Change, Plan
from kube_iam.cli.terminal import unguarded
from kube_iam.core.printable import escaped
from kube_iam.report.plan_text import headline


class Display:
    """Shows one command's progress. `waiting` may be called at any time, by whoever waits."""

    def __init__(self) -> None:
        self._say: Callable[[str], None] = lambda text: click.echo(text, err=True)
        self._last = ""

    def waiting(self, awaited: str) -> None:
        """Say what is being waited for, once however often it is asked."""
        if awaited != self._last:
            self._last = awaited
            self._say(escaped(awaited))

    @contextmanager
    def changes(self, plan: Plan) -> Iterator[Progress]:
        """Show the plan's changes as they come."""
        total = len(plan.changes)
        if not sys.stderr.isatty():
            yield lambda position, change: click.echo(f"[{position + 1}/{total}] {headline(change)}", err=True)
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

            def show(position: int, change: Change) -> None:
                bar.update(task, completed=position, description=headline(change))

            try:
                yield show
            finally:
                self._say = say
