"""What STS said about tokens lately, in bounded memory. Keys are hashes: no token is kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class VerifiedCache(Generic[V]):
    """At most `capacity` values, each until its own end; the one that was used longest ago gives way."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def get(self, key: bytes, now: float) -> V | None:
        """The value, None where there is none or its time is over. Times are in unix seconds."""
        found = self._values.get(key)
        if found is None:
            return None
        if found[0] <= now:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: bytes, value: V, until: float) -> None:
        """Keep the value until that time."""
        self._values[key] = (until, value)
        self._values.move_to_end(key)
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)
