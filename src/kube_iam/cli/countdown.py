"""A visible wait: seconds that count down on a terminal, one line elsewhere."""

from __future__ import annotations

import os
import sys
from math import ceil

import click

from kube_iam.cli.terminal import unguarded
from kube_iam.denylist.propagation import Clock


def count_down(seconds: float, text: str, clock: Clock) -> None:
    """Wait for `seconds`, and print `text` on stderr, with the seconds that are left, rounded up, for its `{}`.

    On a terminal it is one line that changes every second and is erased at the end, also by Ctrl-C. It has no colours.
    """
    end = clock.now() + seconds
    on_terminal = sys.stderr.isatty()
    if not on_terminal:
        click.echo(text.format(ceil(seconds)), err=True)
    shown = ""
    try:
        while (left := end - clock.now()) > 0:
            if on_terminal:
                shown = _line(text.format(ceil(left)), len(shown))
                click.echo(f"\r{shown}", file=unguarded(sys.stderr), nl=False)
            clock.sleep(min(1.0, left))
    finally:
        if shown:
            click.echo(f"\r{' ' * len(shown)}\r", file=unguarded(sys.stderr), nl=False)


def _line(text: str, length: int) -> str:
    """Return the text, cut to the terminal's width, since a wrapped line cannot be erased, and padded over a longer one before it."""
    width = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
    return text[:width].ljust(min(length, width))
