"""The task in which a backend follows its source, and the moment when it first knows something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

FIRST_WORD_SECONDS = 5.0
"""How long a start waits for a source that neither answers nor fails."""


class Follower:
    """Runs `follow` from `start` to `stop`. Once per instance."""

    def __init__(self, follow: Callable[[], Coroutine[None, None, None]]) -> None:
        self._follow = follow
        self._first_word = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def heard(self) -> None:
        """Something is known of the source: it has loaded, or cannot be."""
        self._first_word.set()

    async def start(self) -> None:
        """Begin, and wait for the first word, but not for long: the server must come up whatever the source does."""
        self._task = asyncio.create_task(self._follow())
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WORD_SECONDS):
                await self._first_word.wait()

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
