"""IAMIdentityMapping objects with errors: their principals are mapped by no later backend."""

from __future__ import annotations

import pytest

from identities import principal
from kube_iam.config.identity_mapping import MappingSpec, read_identity_mappings
from kube_iam.core.mapping import MappingMatch

ROLE = "arn:aws:iam::123456789012:role/Admin"
ADMIN = principal(ROLE)


def found(*specs: MappingSpec) -> MappingMatch | None:
    return read_identity_mappings(specs).table.find(ADMIN)


@pytest.mark.parametrize(
    "spec",
    [
        MappingSpec("a", "1", ROLE, ""),
        MappingSpec("a", "1", ROLE, "{{Nope}}"),
        MappingSpec("a", "1", ROLE, "a", ("",)),
        MappingSpec("a", "1", ROLE, unusable="spec: Expected `array`"),
    ],
)
def test_an_object_of_which_only_the_arn_is_valid_admits_nobody(spec: MappingSpec) -> None:
    read = read_identity_mappings([spec])
    mapped = read.table.find(ADMIN)
    assert mapped is not None
    assert not mapped.username.usable
    assert (read.entries, read.canonical, read.refused["a"].reason) == (0, {}, "Invalid")


def test_older_of_two_objects_counts_even_with_errors() -> None:
    mapped = found(MappingSpec("b", "2", ROLE, "younger"), MappingSpec("a", "1", ROLE, ""))
    assert mapped is not None
    assert not mapped.username.usable


def test_an_object_without_a_good_arn_is_about_nobody() -> None:
    assert found(MappingSpec("a", "1", "no-arn", "a")) is None
