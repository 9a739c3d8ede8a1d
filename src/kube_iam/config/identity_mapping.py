"""Objects IAMIdentityMapping (iamauthenticator.k8s.aws/v1alpha1) as mappings: one object, one entry.

The key is the ARN of the spec. The reference uses canonicalARN of the status, so that a user who may write a status may map any
principal. Of two objects for one ARN the older one counts: a mapping cannot be replaced by creating another object.
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
    """Content of one object. `created_at` is its time of creation in ISO 8601. `unusable` says why its spec could not be read."""

    name: str
    created_at: str
    arn: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    unusable: str = ""


class Refused(NamedTuple):
    """Cause why an object is not used: the reason of its Event, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class IdentityMappings:
    """Mappings of all objects.

    `entries` is the number of usable objects. `canonical` has the canonical ARN by object name, `refused` the unused objects by name,
    `odd` further warnings.
    """

    table: MappingTable
    entries: int
    canonical: dict[str, str]
    refused: dict[str, Refused]
    odd: list[Problem]


def read_identity_mappings(specs: Iterable[MappingSpec]) -> IdentityMappings:
    """Return the mappings of the objects. The order of `specs` has no effect.

    An object with a valid ARN and any other error admits nobody. Without it, a later backend could admit the principal.
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
    # An object can map a role or a user: the ARN shows which.
    table, odd = MappingTable.build((), entries, ())
    serving = sum(entry.username.usable for entry in entries)
    return IdentityMappings(table, serving, canonical, refused, odd)


def _key(spec: MappingSpec) -> str:
    """Return the comparable ARN of the object, empty where it is no ARN."""
    try:
        return comparable_arn(spec.arn)
    except ValueError:
        return ""


def _entry(spec: MappingSpec) -> UserMapping:
    """Return the object as an entry. Raises ValueError with the cause where it cannot be used."""
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
