"""Names that differ, for things that are named after others: a number is added to a name that is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count


def distinct(names: Iterable[str], form: str, key: Callable[[str], str] = str) -> Iterator[str]:
    """Yield each name, with a number from 2 on in the `form` `{name}-{number}` if an earlier one has the same `key`."""
    taken: set[str] = set()
    for name in names:
        found, numbers = name, count(2)
        while key(found) in taken:
            found = form.format(name=name, number=next(numbers))
        taken.add(key(found))
        yield found
