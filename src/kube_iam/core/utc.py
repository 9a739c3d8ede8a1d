"""Conversion between Unix seconds and UTC text, by arithmetic. On the `token` path, where `datetime` takes too long to import."""


def basic_timestamp(seconds: float) -> str:
    """Return the time as `YYYYMMDDTHHMMSSZ` (ISO 8601 basic, for SigV4), rounded down to the second."""
    year, month, day, hour, minute, second = _civil(seconds)
    return f"{year:04d}{month:02d}{day:02d}T{hour:02d}{minute:02d}{second:02d}Z"


def rfc3339(seconds: float) -> str:
    """Return the time as `YYYY-MM-DDTHH:MM:SSZ`, rounded down to the second."""
    year, month, day, hour, minute, second = _civil(seconds)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}Z"


def _civil(seconds: float) -> tuple[int, int, int, int, int, int]:
    """Return year to second in the proleptic Gregorian calendar. Years start in March here, so that leap days come last."""
    days, rest = divmod(int(seconds // 1), 86400)
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    return year, month, day, rest // 3600, rest // 60 % 60, rest % 60


def parse_rfc3339(text: str) -> float | None:
    """Return the Unix seconds of `YYYY-MM-DDTHH:MM:SS` with `Z` or `+00:00`; None for any other form or an impossible date."""
    stem = text.removesuffix("Z") if text.endswith("Z") else text.removesuffix("+00:00")
    if len(stem) != 19 or stem == text or not stem.isascii():
        return None
    if stem[4] + stem[7] + stem[10] + stem[13] + stem[16] != "--T::":
        return None
    fields = (stem[:4], stem[5:7], stem[8:10], stem[11:13], stem[14:16], stem[17:])
    if not all(field.isdigit() for field in fields):
        return None
    year, month, day, hour, minute, second = map(int, fields)
    if not (1 <= month <= 12 and day >= 1):
        return None
    years = year - 1 if month <= 2 else year
    shifted_month = month - 3 if month > 2 else month + 9
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * shifted_month + 2) // 5 + day - 1 - 719468
    seconds = float(days * 86400 + hour * 3600 + minute * 60 + second)
    return seconds if rfc3339(seconds)[:19] == stem else None
