"""Unix seconds to UTC text, by arithmetic: `datetime` is too dear for the `token` path, and `core` has no business with `time`."""

from __future__ import annotations


def basic_timestamp(seconds: float) -> str:
    """`YYYYMMDDTHHMMSSZ` (ISO 8601 basic, as SigV4 has it), rounded down to the second."""
    year, month, day, hour, minute, second = _civil(seconds)
    return f"{year:04d}{month:02d}{day:02d}T{hour:02d}{minute:02d}{second:02d}Z"


def rfc3339(seconds: float) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`, rounded down to the second."""
    year, month, day, hour, minute, second = _civil(seconds)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z"


def _civil(seconds: float) -> tuple[int, int, int, int, int, int]:
    """Year to second in the proleptic Gregorian calendar. Years start in March here, so that leap days come last."""
    days, rest = divmod(int(seconds // 1), 86400)
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    return year, month, day, rest // 3600, rest // 60 % 60, rest % 60
