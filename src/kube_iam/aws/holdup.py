"""How hard IAM is asked while it fails for all: less and less, one call at a time, and as before with the first answer. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

CALLS_AT_ONCE = 4
FIRST_PAUSE, _LONGEST = 1.0, 30.0


class Holdup:
    """Seconds of a clock that only grows. `about` makes a length of time a little shorter, so that servers do not ask in step."""

    def __init__(self, about: Callable[[float], float]) -> None:
        self._about = about
        self._in_a_row = 0
        self._known_since = -math.inf
        self.until = 0.0
        """Before then nothing is asked."""

    @property
    def at_once(self) -> int:
        """How many calls may be under way."""
        return 1 if self._in_a_row else CALLS_AT_ONCE

    def failed(self, began: float, now: float) -> None:
        """A call that began then has failed, and others would as well."""
        if began < self._known_since:
            return  # under way together with one that failed before: the same trouble
        self._in_a_row += 1
        self._known_since = now
        self.until = now + self._about(min(_LONGEST, FIRST_PAUSE * 2 ** min(self._in_a_row - 1, 10)))

    def worked(self) -> None:
        """A call was answered."""
        self._in_a_row = 0
