from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.utc import basic_timestamp, parse_rfc3339, rfc3339

MOMENTS = st.floats(min_value=-62135596800, max_value=253402300799)


@given(MOMENTS)
def test_both_spellings_are_those_of_datetime(seconds: float) -> None:
    moment = datetime.fromtimestamp(seconds // 1, UTC)
    assert rfc3339(seconds) == f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}Z"
    assert basic_timestamp(seconds) == f"{moment.year:04d}{moment:%m%dT%H%M%S}Z"


@given(MOMENTS)
def test_what_was_written_can_be_read(seconds: float) -> None:
    assert parse_rfc3339(rfc3339(seconds)) == seconds // 1


def test_an_offset_of_zero_is_utc() -> None:
    assert parse_rfc3339("2026-11-24T08:00:00+00:00") == parse_rfc3339("2026-11-24T08:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "2026-11-24",
        "2026-11-24T08:00:00",
        "2026-11-24T08:00:00+01:00",
        "2026-11-24 08:00:00Z",
        "2026-11-24T08:00:00.5Z",
        "2026-02-30T08:00:00Z",
        "2026-13-01T08:00:00Z",
        "2026-00-01T08:00:00Z",
        "2026-01-00T08:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "+026-01-01T00:00:00Z",
        "２０２６-01-01T00:00:00Z",
    ],
)
def test_any_other_spelling_and_impossible_dates_are_not_read(text: str) -> None:
    assert parse_rfc3339(text) is None
