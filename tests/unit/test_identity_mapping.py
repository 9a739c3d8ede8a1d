"""IAMIdentityMapping objects with errors: their principals are mapped by no later backend."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from identities import principal
from kube_iam.config.identity_mapping import (
    IAM_GROUP,
    TEMPORARY,
    IdentityMappings,
    MappingSpec,
    read_identity_mappings,
)
from kube_iam.core.mapping import MappingMatch
from kube_iam.core.mapping_entries import MembershipRequirement, TemporaryGrant
from kube_iam.mappings.crd import IdentityMapping, _spec

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


CAROL = TemporaryGrant("carol", "AIDACAROLCAROL", "2099-01-01T00:00:00Z", "on call")
ITEM = {"userName": "carol", "userId": "AIDACAROLCAROL", "until": "2099-01-01T00:00:00Z", "reason": "on call"}


def read(
    annotations: dict[str, str] | None = None,
    arn: str = ROLE,
    labels: dict[str, str] | None = None,
    **more: Any,
) -> IdentityMappings:
    """Return the mappings of one object of the API server."""
    metadata = {"name": "a", "annotations": annotations, "labels": labels}
    text = json.dumps({"metadata": metadata, "spec": {"arn": arn, "username": "admin", **more}})
    return read_identity_mappings([_spec(msgspec.json.decode(text, type=IdentityMapping))])


def test_annotations_require_membership_and_hold_temporary_grants() -> None:
    found = read({IAM_GROUP: "admins", TEMPORARY: json.dumps([ITEM]), "other": "x"}, labels={"kube-iam.dev/level": "l"})
    requirement = MembershipRequirement("admins", ROLE.lower(), "Admin", (CAROL,))
    match = found.table.find(ADMIN)
    assert match is not None
    assert (match.requirement, match.levels, match.source) == (requirement, ("l",), "a")
    assert (found.table.requirements, found.refused, found.odd) == ((requirement,), {}, [])


@pytest.mark.parametrize(
    "annotations",
    [
        {IAM_GROUP: ""},
        {IAM_GROUP: "no name"},
        {IAM_GROUP: "arn:aws:iam::123456789012:group/admins"},
        {"kube-iam.dev/iamGroup": "admins"},
        {"kube-iam.dev/group": "admins"},
        {"iamGroup": "admins"},
        {"example.com/iam-group": "admins"},
        {TEMPORARY: json.dumps([ITEM])},
    ],
    ids=str,
)
def test_an_annotation_that_is_not_understood_admits_nobody(annotations: dict[str, str]) -> None:
    found = read(annotations)
    match = found.table.find(ADMIN)
    assert match is not None
    assert not match.username.usable
    assert found.refused["a"].reason == "Invalid"


def test_a_group_in_the_spec_admits_nobody_where_the_api_server_keeps_it() -> None:
    assert read(iamGroup="admins").refused["a"].message.startswith("spec.iamGroup has no meaning")


def test_a_group_with_the_arn_of_a_user_admits_nobody() -> None:
    assert "no meaning with arn:aws:iam::123456789012:user/bob" in (
        read({IAM_GROUP: "admins"}, "arn:aws:iam::123456789012:user/bob").refused["a"].message
    )


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[{"userName": "carol"}]', "[" * 100_000])
def test_grants_that_cannot_be_read_admit_nobody_more(text: str) -> None:
    found = read({IAM_GROUP: "admins", TEMPORARY: text})
    assert found.table.requirements == (MembershipRequirement("admins", ROLE.lower(), "Admin"),)
    assert all(problem.key == "a" and TEMPORARY in problem.message for problem in found.odd)
    assert found.odd


def test_annotations_of_other_programs_have_no_effect() -> None:
    found = read({"kubectl.kubernetes.io/last-applied-configuration": "{}", "example.com/temporary": "yes"})
    assert (found.entries, found.refused, found.odd, found.table.requirements) == (1, {}, [], ())
