"""The server's log on stderr: one line per event, as the reference's logrus writes it (logfmt) or as JSON.

Values from outside are escaped, so that nobody can forge a line. Nothing that is logged holds a token or a signature: callers pass
none, and of an error that nothing has caught only the kind and the places are written.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import traceback
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol, TextIO

from kube_iam.core.redaction import without_secrets

LEVELS = ("panic", "fatal", "error", "warning", "info", "debug", "trace")
_ALIASES = {"warn": "warning"}
_RANKS = {level: rank for rank, level in enumerate(LEVELS)}
_is_plain = re.compile(r"[A-Za-z0-9._/@^+-]+", re.ASCII).fullmatch
MASK = "…"
_PLACES = 5

Value = str | int | float | bool | tuple[str, ...]


class Form(Protocol):
    """Writes one line again and again."""

    def __call__(self, **values: Value) -> None:
        """Write it with these values, one for each field that was left open."""


class Stream(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Take one line, its end included."""


class Batched:
    """A stream that hands on what one turn of the event loop wrote in one piece: under load, a system call per line costs most."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def write(self, text: str, /) -> None:
        """Take a line; it is written when the event loop next turns, at once where none runs."""
        self._lines.append(text)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        lines, self._lines = self._lines, []
        self._stream.write("".join(lines))
        self._stream.flush()


class Log:
    """Writes the lines whose level is at or above the one that was set."""

    def __init__(
        self, stream: Stream, level: str = "info", style: str = "text", clock: Callable[[], float] = time.time
    ) -> None:
        """`style` is `text` or `json`. Raises ValueError for a level that is none."""
        self._stream = stream
        self._limit = LEVELS.index(_ALIASES.get(level, level))
        self._show, self._line = (_json, _json_line) if style == "json" else (_text, _text_line)
        self._clock = clock
        self._second, self._shown = -1, ""
        self.scrub: Callable[[str], str] | None = None
        """Applied to every text of a field, once it is known what must not be logged."""

    def error(self, message: str, **fields: Value) -> None:
        """Something is wrong that an operator must see."""
        self.write("error", message, fields)

    def warning(self, message: str, **fields: Value) -> None:
        """Something was refused, or is odd."""
        self.write("warning", message, fields)

    def info(self, message: str, **fields: Value) -> None:
        """Something went as it should."""
        self.write("info", message, fields)

    def debug(self, message: str, **fields: Value) -> None:
        """Something only of interest when searching for a fault."""
        self.write("debug", message, fields)

    def write(self, level: str, message: str, fields: dict[str, Value]) -> None:
        """Write one line of that level."""
        if _RANKS[level] <= self._limit:
            shown = {name: self._scrubbed(value) for name, value in fields.items()}
            self._stream.write(self._line(self._time(), level, message, shown) + "\n")

    def form(self, level: str, message: str, fields: dict[str, Value], later: tuple[str, ...]) -> Form:
        """A line of that level for many times, whose fields named by `later` are other ones every time."""
        if _RANKS[level] > self._limit:
            return _unwritten
        shown = {name: self._scrubbed(value).replace("%", "%%") for name, value in fields.items()}
        shown |= {name: f"%({name})s" for name in later}
        line = self._line("%(time)s", level, message, shown) + "\n"

        def write(**values: Value) -> None:
            filled = {name: self._scrubbed(value) for name, value in values.items()}
            filled["time"] = self._time()
            self._stream.write(line % filled)

        return write

    def _scrubbed(self, value: Value) -> str:
        """The value as it is shown in a line."""
        if self.scrub is not None and isinstance(value, str | tuple):
            value = self.scrub(value) if isinstance(value, str) else tuple(map(self.scrub, value))
        return self._show(value)

    def _time(self) -> str:
        """Now as text, made once a second: this runs for every sign-in."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._shown


def _unwritten(**_: Value) -> None:
    """The form of a line that the level keeps out."""


# A line from its fields' shown values. Names, levels and messages are ours and need no escaping.
def _text_line(now: str, level: str, message: str, shown: dict[str, str]) -> str:
    fields = "".join([f" {name}={shown[name]}" for name in sorted(shown)])
    return f'time="{now}" level={level} msg={_text(message)}{fields}'


def _json_line(now: str, level: str, message: str, shown: dict[str, str]) -> str:
    fields = {**shown, "time": f'"{now}"', "level": f'"{level}"', "msg": _json(message)}
    return "{" + ",".join([f'"{name}":{fields[name]}' for name in sorted(fields)]) + "}"


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"[{' '.join(value)}]" if isinstance(value, tuple) else str(value)
    return text if not text or _is_plain(text) else encode_basestring_ascii(text)


def _json(value: Value) -> str:
    return json.dumps(value, separators=(",", ":"))


class Scrubber:
    """Replaces the ids of scrubbed accounts in texts, such as the ARN of a role whose trust policy could not be read."""

    def __init__(self, accounts: Collection[str] = ()) -> None:
        self.accounts = frozenset(accounts)

    def __call__(self, text: str) -> str:
        """Return the text with each id of a scrubbed account replaced by an ellipsis."""
        for account in self.accounts:
            text = text.replace(account, MASK)
        return text


def log_unexpected(log: Log) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler for the event loop. It writes one line an error and raises nothing."""

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__)[-_PLACES:] if isinstance(error, BaseException) else []
        places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
        # asyncio's own words; after these come the callback's arguments.
        about = without_secrets(str(context.get("message", "")).partition(" in callback")[0])
        log.error("an unexpected error: this is a bug", about=about, error=type(error).__name__, where=places)

    return handle
