"""Objects IAMIdentityMapping (iamauthenticator.k8s.aws/v1alpha1) as mappings: one object, one entry.

The key is the ARN of the spec. The reference takes the status' canonicalARN, so that whoever may write a status may map anyone. Of two
objects for one ARN the older one counts, so that nobody takes a mapping over by making another object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kube_iam.core.arns import canonical_arn, comparable_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import UserMapping
from kube_iam.core.templates import parse_template, unusable_template
from kube_iam.errors import Problem


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """What one object says. `created_at` is when it was made, in ISO 8601; `unusable` is why its spec could not even be read."""

    name: str
    created_at: str
    arn: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    unusable: str = ""


class Refused(NamedTuple):
    """Why an object does not serve: a word for machines, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class IdentityMappings:
    """The table of all objects, how many serve, the canonical ARN of each, those that do not serve, by name, and what else is odd."""

    table: MappingTable
    entries: int
    canonical: dict[str, str]
    refused: dict[str, Refused]
    odd: list[Problem]


def read_identity_mappings(specs: Iterable[MappingSpec]) -> IdentityMappings:
    """Return the mappings of the objects, whatever order they come in.

    One that is clear about whom it means, and about nothing else, lets nobody in: left out, it would leave them to a later backend.
    """
    entries: list[UserMapping] = []
    canonical: dict[str, str] = {}
    refused: dict[str, Refused] = {}
    first: dict[str, str] = {}
    for spec in sorted(specs, key=lambda spec: (spec.created_at, spec.name)):
        try:
            entry = _entry(spec)
        except ValueError as problem:
            refused[spec.name] = Refused("Invalid", str(problem))
            entry = UserMapping(spec.arn, unusable_template(spec.username), (), spec.name)
        else:
            canonical[spec.name] = canonical_arn(ascii_lower(spec.arn))
        key = _key(spec)
        if not key:
            continue
        if key in first:
            message = f"{spec.arn} is mapped by {first[key]}, which is older; this object is ignored"
            refused.setdefault(spec.name, Refused("Conflict", message))
            continue
        first[key] = spec.name
        entries.append(entry)
    # An object maps a role and a user alike: the ARN says which it is.
    table, odd = MappingTable.build((), entries, ())
    serving = sum(entry.username.usable for entry in entries)
    return IdentityMappings(table, serving, canonical, refused, odd)


def _key(spec: MappingSpec) -> str:
    """What the object is found by; empty where its ARN is none."""
    try:
        return comparable_arn(spec.arn)
    except ValueError:
        return ""


def _entry(spec: MappingSpec) -> UserMapping:
    """Return the object as an entry. Raises ValueError."""
    if spec.unusable:
        raise ValueError(spec.unusable)
    if not spec.username:
        raise ValueError("spec.username is empty")
    try:
        canonical_arn(ascii_lower(spec.arn))
    except ValueError as problem:
        raise ValueError(f"spec.arn: {str(problem).replace(ascii_lower(spec.arn), spec.arn)}") from problem
    try:
        username = parse_template(spec.username)
        groups = tuple(parse_template(group) for group in spec.groups)
    except ValueError as problem:
        raise ValueError(f"spec.username or spec.groups: {problem}") from problem
    return UserMapping(spec.arn, username, groups, spec.name)
