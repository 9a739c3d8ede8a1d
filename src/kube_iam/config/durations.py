"""Durations as people write them: Go's `1h30m`, ISO 8601's `PT1H30M`."""

from __future__ import annotations

import re

SHORTEST_SESSION, LONGEST_SESSION = 3600, 43200  # what IAM allows for MaxSessionDuration
_GO = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
# Other spellings that people use: `4 h`, `4.5h`, `2 hours`, `4h30`.
_WORDS = re.compile(r"(\d{1,5}(?:\.\d{1,3})?) *([hms])(?:(?:ou)?rs?|in(?:ute)?s?|ec(?:ond)?s?)? *(\d{1,2})?", re.ASCII)
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_ISO = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", re.ASCII)


def parse_duration(text: str) -> int:
    """Return whole seconds. Raises ValueError for anything else than hours, minutes and seconds with their units."""
    found = _GO.fullmatch(text) or _ISO.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError(f"{text!r} is not a length of time")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def show_duration(seconds: int) -> str:
    """Return the shortest Go spelling of a number of seconds: `1h`, `1h30m`, `45s`."""
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def session_hint(written: str) -> str:
    """Return a remedy for an invalid session duration: the duration that was probably meant, if IAM allows it."""
    if written.isascii() and written.isdigit() and len(written) < 6:
        return with_unit(int(written))
    words = _WORDS.fullmatch(written.strip().lower())
    if words is not None:
        amount, unit, minutes = words.groups()
        seconds = round(float(amount) * _SECONDS[unit]) + int(minutes or 0) * 60
        if SHORTEST_SESSION <= seconds <= LONGEST_SESSION:
            return f"write {show_duration(seconds)}"
    return "hours and minutes, such as 1h or 90m; IAM allows 1h to 12h"


def with_unit(number: int) -> str:
    """Return a remedy for a session duration without a unit: the first unit for which IAM allows the duration."""
    for unit, seconds in (("h", 3600), ("m", 60), ("s", 1)):
        if SHORTEST_SESSION <= number * seconds <= LONGEST_SESSION:
            return f"give the unit: {number}{unit}"
    return "give the unit, such as 1h or 90m; IAM allows 1h to 12h"
