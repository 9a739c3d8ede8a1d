"""Suggestions: known words that are close to an unknown one."""

from __future__ import annotations

from collections.abc import Iterable

_LISTED = 3
# Names are shorter, and the time grows with the square of the length.
_LONGEST = 256


def suggestion(word: str, choices: Iterable[str]) -> str:
    """Return a remedy such as `did you mean 'level'?`, or an empty string where no choice is close.

    Equally close choices are all named, three at most. Without a close one, choices that contain the word are. Letter case is ignored.
    """
    every = list(dict.fromkeys(choices))
    part = word.casefold()
    found = closest(word, every) or [choice for choice in every if len(part) >= 3 and part in choice.casefold()]
    if not found:
        return ""
    named = [repr(choice) for choice in found]
    if len(named) > _LISTED:
        return f"did you mean one of {', '.join(named[:_LISTED])} and {len(named) - _LISTED} more?"
    *others, last = named
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"


def closest(word: str, choices: Iterable[str], *, share: float = 1 / 3) -> list[str]:
    """Return the choices with the fewest edits from the word, in their order; none where all need too many edits.

    An edit inserts, deletes or replaces a letter, or swaps two adjacent ones. At most `share` of the longer word may be edited.
    """
    word = word.casefold()
    if len(word) > _LONGEST:
        return []
    best, found = _LONGEST, list[str]()
    for choice in choices:
        limit = min(best, int(max(len(word), len(choice)) * share))
        if abs(len(word) - len(choice)) > limit or (edits := distance(word, choice.casefold())) > limit:
            continue
        if edits < best:
            best, found = edits, []
        found.append(choice)
    return found


def distance(one: str, other: str) -> int:
    """Return the number of edits between two words: the optimal string alignment distance."""
    before, above = list[int](), list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        here = [row]
        for column, compared in enumerate(other, 1):
            edits = min(above[column] + 1, here[-1] + 1, above[column - 1] + (letter != compared))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == compared:
                edits = min(edits, before[column - 2] + 1)
            here.append(edits)
        before, above = above, here
    return above[-1]
