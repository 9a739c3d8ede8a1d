"""Cache of bounded size whose values expire."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """At most `capacity` values, each until its own expiry; the least recently used value is dropped first.

    Times are seconds of a clock that never goes back: with the wall clock a value would outlive its expiry when that is set back.
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
        """Keep the value until that time."""
        self._values[key] = (until, value)
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def discard(self, key: K) -> None:
        """Forget the value, if there is one."""
        self._values.pop(key, None)

    def __len__(self) -> int:
        return len(self._values)
