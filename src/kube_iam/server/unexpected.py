"""Errors that nothing in the server has caught, as log lines: the kind and the places, without messages and values.

asyncio by itself prints a traceback with the messages of all exceptions, which can quote requests and tokens, and with the arguments
of callbacks, which can be what a client sent.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

from kube_iam.core.redaction import without_secrets
from kube_iam.server.log import Log

_PLACES = 5


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
