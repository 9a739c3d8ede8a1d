"""Output of commands. Values that others wrote can neither control the terminal nor forge a line.

`guarded` wraps both streams while a command runs, and escapes what is not visible (`core.printable`). One piece of output of a
command's body is one line: line breaks in it come from values, and are escaped too. Several lines of our own layout go through `page`;
their values are escaped where the layout is made. `painted` marks colours by characters that `guarded` alone turns into colours: a
value with such a character can colour text, and do nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

import click

from kube_iam.core.printable import escaped
from kube_iam.errors import OutputNotWritten

_END = "\uf8f0"
_COLOURS = {"green": ("\uf8f1", 32), "yellow": ("\uf8f2", 33), "cyan": ("\uf8f3", 36), "red": ("\uf8f4", 31)}
_LAYOUT = "\n\t"


class SafeStream:
    """A text stream that escapes. All but writing is that of the wrapped stream, whose bytes cannot be reached through it."""

    one_line = False
    """True while a command's body runs: line breaks within one piece are escaped."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        """`colour` says whether `painted` texts are coloured."""
        self.unguarded = stream
        shown = {mark: f"\x1b[{code}m" for mark, code in _COLOURS.values()} | {_END: "\x1b[0m"}
        self._marks = str.maketrans(shown if colour else dict.fromkeys(shown, ""))
        self._kept = _LAYOUT + "".join(shown)

    def write(self, text: str | bytes) -> int:
        """Write the text with everything escaped that is neither visible nor our layout. Returns the length of `text`.

        Bytes are UTF-8: click writes a shell's completions so.
        """
        if isinstance(text, bytes):
            text = text.decode(errors="surrogateescape")
        if SafeStream.one_line:
            end = "\n" if text.endswith("\n") else ""
            shown = escaped(text.removesuffix("\n"), self._kept.replace("\n", "")) + end
        else:
            shown = escaped(text, self._kept)
        with _output_errors():
            self.unguarded.write(shown.translate(self._marks))
        return len(text)

    def flush(self) -> None:
        """Write what is left. Raises OutputNotWritten, as `write` does."""
        with _output_errors():
            self.unguarded.flush()

    def writelines(self, lines: Iterator[str]) -> None:
        """Write each of the texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        # click writes into the binary stream behind a text stream where it finds one with another encoding.
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.unguarded, name)


@contextmanager
def _output_errors() -> Iterator[None]:
    """Raise OutputNotWritten for an error of the stream. BrokenPipeError passes unchanged: it needs no message."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputNotWritten(f"the output cannot be written: {error.strerror}") from error


@contextmanager
def guarded(environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Guard `sys.stdout` and `sys.stderr` while this runs. With NO_COLOR set, and beyond terminals, nothing is coloured."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_guard(stream, environ) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unguarded(stream: TextIO) -> TextIO:
    """Return the wrapped stream, for output that moves the cursor (a progress bar) or escapes by itself (the server's log)."""
    return cast("TextIO", getattr(stream, "unguarded", stream))


def page(text: str, *, err: bool = False) -> None:
    """Print lines of our own layout, with a line break at the end. The caller has escaped the values in them."""
    with one_line_messages(False):
        click.echo(text.removesuffix("\n"), err=err)


def print_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print each text as a line of its own. Line breaks within one are escaped, as in every message of a command."""
    for line in lines:
        click.echo(line, err=err)


def note(text: str) -> None:
    """Print one line on stderr."""
    print_lines([text], err=True)


COLOUR_MARKS = {name: (mark, _END) for name, (mark, _) in _COLOURS.items()}
"""Text before and after a coloured text, by the name of the colour."""


def painted(text: str, colour: str) -> str:
    """Return the text between the marks of a colour. `guarded` shows the colour if it prints on a terminal."""
    before, after = COLOUR_MARKS[colour]
    return f"{before}{text}{after}"


@contextmanager
def one_line_messages(wanted: bool = True) -> Iterator[None]:
    """Escape line breaks within one piece of output while this runs, or do not if they are not `wanted`."""
    before, SafeStream.one_line = SafeStream.one_line, wanted
    try:
        yield
    finally:
        SafeStream.one_line = before


def _guard(stream: TextIO | None, environ: Mapping[str, str]) -> TextIO:
    if stream is None or isinstance(stream, SafeStream):
        return cast("TextIO", stream)
    return cast("TextIO", SafeStream(stream, colour=stream.isatty() and not environ.get("NO_COLOR")))
