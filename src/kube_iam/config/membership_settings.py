"""Settings of the membership cache: the age at which a snapshot is read again, and the age at which it admits nobody."""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.config.durations import parse_duration, show_duration
from kube_iam.config.settings import Settings

KEYS = ("membershipRefresh", "membershipMaxAge")
LONGEST_SECONDS = 3600
"""Limit of both. With a longer `membershipMaxAge` a removed member could sign in for hours while IAM cannot be read."""


@dataclass(frozen=True, slots=True)
class MembershipSettings:
    """Both in whole seconds."""

    refresh: int = 15
    max_age: int = 300


def read_membership(reader: Settings) -> MembershipSettings:
    """Return the settings, the default for each that cannot be used. Errors go to the reader."""
    default = MembershipSettings()
    refresh, max_age = (
        _seconds(reader, key, length) for key, length in zip(KEYS, (default.refresh, default.max_age), strict=True)
    )
    if refresh > max_age:
        reader.error(KEYS[1], f"must not be shorter than {KEYS[0]}, which is {show_duration(refresh)}")
    return MembershipSettings(refresh, max_age)


def _seconds(reader: Settings, name: str, default: int) -> int:
    text = reader.text(name, "")
    if not text:
        return default
    try:
        seconds = parse_duration(text)
    except ValueError as problem:
        reader.error(name, str(problem), "such as 15s or 5m")
        return default
    if not 1 <= seconds <= LONGEST_SECONDS:
        reader.error(name, f"must be from 1s to {show_duration(LONGEST_SECONDS)}")
        return default
    return seconds
