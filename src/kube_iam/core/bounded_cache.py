"""Cache of bounded size whose values expire."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A cache of at most `capacity` values, each with its own expiry. Drops the least recently used value first.

    Times are seconds of a clock that never goes back. If the wall clock is set back, a value would outlive its expiry.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K, now: float) -> V | None:
        """Return the value, or None if there is none or it has expired."""
        found = self._values.get(key)
        if found is None:
            return None
        if found[0] <= now:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: K, value: V, until: float) -> None:
        """Store the value. `until` is the time of its expiry."""
        self._values[key] = (until, value)
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def discard(self, key: K) -> None:
        """Remove the value, if there is one."""
        self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
