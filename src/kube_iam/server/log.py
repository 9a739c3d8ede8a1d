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
    """A prepared log line that can be written many times."""

    def __call__(self, **values: Value) -> None:
        """Write the line with these values, one for each field that was left open."""


class Stream(Protocol):
    """The destination of lines."""

    def write(self, text: str, /) -> object:
        """Write one line that includes its end."""


class Batched:
    """A stream that writes the lines of one turn of the event loop together: under load, a system call per line costs most."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def write(self, text: str, /) -> None:
        """Keep a line until the next turn of the event loop. Without an event loop it is written at once."""
        self._lines.append(text)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write the lines that are kept."""
        lines, self._lines = self._lines, []
        self._stream.write("".join(lines))
        self._stream.flush()


class Log:
    """Log lines of a configured level and above."""

    def __init__(
        self, stream: Stream, level: str = "info", style: str = "text", clock: Callable[[], float] = time.time
    ) -> None:
        """Create a log. `style` is `text` or `json`. Raises ValueError for an unknown level."""
        self._stream = stream
        self._limit = LEVELS.index(_ALIASES.get(level, level))
        self._show, self._line = (_json, _json_line) if style == "json" else (_text, _text_line)
        self._clock = clock
        self._second, self._shown = -1, ""
        self.scrub: Callable[[str], str] | None = None
        """Function applied to every text of a field. Set once it is known what must not be logged."""

    def error(self, message: str, **fields: Value) -> None:
        """Write a problem that an operator must see."""
        self.write("error", message, fields)

    def warning(self, message: str, **fields: Value) -> None:
        """Write a refusal, or an oddity."""
        self.write("warning", message, fields)

    def info(self, message: str, **fields: Value) -> None:
        """Write a normal event."""
        self.write("info", message, fields)

    def debug(self, message: str, **fields: Value) -> None:
        """Write a detail for troubleshooting."""
        self.write("debug", message, fields)

    def write(self, level: str, message: str, fields: dict[str, Value]) -> None:
        """Write one line of that level."""
        if _RANKS[level] <= self._limit:
            shown = {name: self._scrubbed(value) for name, value in fields.items()}
            self._stream.write(self._line(self._time(), level, message, shown) + "\n")

    def form(self, level: str, message: str, fields: dict[str, Value], later: tuple[str, ...]) -> Form:
        """Return a prepared line of that level. The fields named by `later` are given at each write."""
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
        """Return the value, scrubbed, as the line shows it."""
        if self.scrub is not None and isinstance(value, str | tuple):
            value = self.scrub(value) if isinstance(value, str) else tuple(map(self.scrub, value))
        return self._show(value)

    def _time(self) -> str:
        """Return the time as text, formatted once a second because this runs for every sign-in."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._shown


def _unwritten(**_: Value) -> None:
    """Write nothing: the form of a line whose level is not logged."""


# Names, levels and messages are ours and need no escaping.
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
    """Replaces the ids of scrubbed accounts (`server.scrubbedAccounts`), in log lines, metrics and answers of the health port."""

    def __init__(self, accounts: Collection[str] = ()) -> None:
        self.accounts = frozenset(accounts)

    def __call__(self, text: str) -> str:
        """Return the text with each id of a scrubbed account replaced by an ellipsis."""
        for account in self.accounts:
            text = text.replace(account, MASK)
        return text


def log_unexpected(log: Log) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler for the event loop. It writes one line an error and raises nothing.

    asyncio's own handler prints a traceback with the messages of all exceptions, which can quote requests and tokens, and with the
    arguments of callbacks, which can be what a client sent.
    """

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__)[-_PLACES:] if isinstance(error, BaseException) else []
        places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
        # asyncio's message, without the callback's arguments, which follow it.
        about = without_secrets(str(context.get("message", "")).partition(" in callback")[0])
        log.error("an unexpected error: this is a bug", about=about, error=type(error).__name__, where=places)

    return handle
