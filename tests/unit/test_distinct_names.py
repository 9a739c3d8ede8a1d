"""Names of levels and of resources that are made of other names, and differ."""

from __future__ import annotations

import pytest

from kube_iam.report.distinct_names import distinct


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a-2", "a", "a"], ["a-2", "a", "a-3"]),
        (["a", "a", "a-2"], ["a", "a-2", "a-2-2"]),
        (["a", "A"], ["a", "A"]),
    ],
)
def test_name_that_is_taken_gets_the_next_free_number(names: list[str], expected: list[str]) -> None:
    assert list(distinct(names, "{name}-{number}")) == expected


def test_names_of_equal_keys_do_not_both_stay_as_they_are() -> None:
    assert list(distinct(["ops", "Ops", "OPS-2"], "{name}-{number}", str.casefold)) == ["ops", "Ops-2", "OPS-2-2"]
