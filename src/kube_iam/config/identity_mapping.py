"""Objects IAMIdentityMapping (iamauthenticator.k8s.aws/v1alpha1) as mappings: one object, one entry.

The key is the ARN of the spec. The reference uses canonicalARN of the status, so that a user who may write a status may map any
principal. Of two objects for one ARN the older one counts: a mapping cannot be replaced by creating another object.

The keys of membership are annotations, since the reference's CustomResourceDefinition prunes every other field of the spec. An object
with an annotation or field that looks like one of them and is not understood admits nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from kube_iam.config.memberships import KEYS, MembershipKeys, read_membership_keys
from kube_iam.config.section import Findings, Section
from kube_iam.config.yaml_file import YamlFile
from kube_iam.core.arns import canonical_arn, comparable_arn
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import RoleMapping, UserMapping
from kube_iam.core.templates import parse_template, unusable_template
from kube_iam.errors import Problem

PREFIX = "kube-iam.dev/"
IAM_GROUP = f"{PREFIX}iam-group"
"""The annotation with the name of the IAM group whose members are admitted: `iamGroup` of config.yaml."""
TEMPORARY = f"{PREFIX}temporary"
"""The annotation with the temporary grants, a JSON list of the items that `temporary` of config.yaml has."""
_NAMES = {"iamGroup": IAM_GROUP, "temporary": TEMPORARY}


class Spec(msgspec.Struct):
    """The spec of an IAMIdentityMapping."""

    arn: str = ""
    username: str = ""
    groups: list[str] | None = None


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """Content of one object. `created_at` is its time of creation in ISO 8601. `unusable` says why its spec could not be read.

    `annotations` are those for which `is_membership_key` is true, `other_keys` further keys of its spec. `key` is the ARN as it is
    compared (`comparable_arn`), empty where `arn` is none.
    """

    name: str
    created_at: str
    arn: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    unusable: str = ""
    level: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    other_keys: tuple[str, ...] = ()
    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        try:
            key = comparable_arn(self.arn)
        except ValueError:
            key = ""
        object.__setattr__(self, "key", key)

    @property
    def is_for_role(self) -> bool:
        """Return whether the object is for a role."""
        return ":role/" in self.key


def is_membership_key(name: str) -> bool:
    """Return whether an annotation, or a field of a spec, is about membership or looks like that."""
    plain = re.sub(r"[^a-z]", "", ascii_lower(name.rpartition("/")[2]))
    return name.startswith(PREFIX) or plain.startswith("iamgroup")


def mapping_spec(
    name: str, created_at: str, spec: object, level: str = "", annotations: Mapping[str, str] | None = None
) -> MappingSpec:
    """Return the content of an object. `spec` is its JSON data, which may have any form, `level` that of its label."""
    kept = {name: text for name, text in (annotations or {}).items() if is_membership_key(name)}
    try:
        read = msgspec.convert(spec, Spec)
    except msgspec.ValidationError as error:
        arn = spec.get("arn") if isinstance(spec, dict) else None
        return MappingSpec(name, created_at, arn if isinstance(arn, str) else "", unusable=f"spec: {error}")
    other_keys = tuple(key for key in spec if key not in Spec.__struct_fields__) if isinstance(spec, dict) else ()
    groups = tuple(read.groups or ())
    return MappingSpec(name, created_at, read.arn, read.username, groups, "", level, kept, other_keys)


class Refused(NamedTuple):
    """Cause why an object is not used: the reason of its Event, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class IdentityMappings:
    """Mappings of all objects.

    `entries` is the number of usable objects. `canonical` has the canonical ARN by object name, `refused` the unused objects by name,
    `odd` further warnings. `roles` and `users` are the entries of `table`.
    """

    table: MappingTable
    entries: int
    canonical: dict[str, str]
    refused: dict[str, Refused]
    odd: list[Problem]
    roles: tuple[RoleMapping, ...] = ()
    users: tuple[UserMapping, ...] = ()


def read_identity_mappings(specs: Iterable[MappingSpec]) -> IdentityMappings:
    """Return the mappings of the objects. The order of `specs` has no effect.

    An object with a valid ARN and any other error admits nobody. Without it, a later backend could admit the principal.
    """
    roles: list[RoleMapping] = []
    users: list[UserMapping] = []
    notes: list[Problem] = []
    canonical: dict[str, str] = {}
    refused: dict[str, Refused] = {}
    first: dict[str, str] = {}
    for spec in sorted(specs, key=lambda spec: (spec.created_at, spec.name)):
        try:
            entry = _entry(spec, notes)
        except ValueError as problem:
            refused[spec.name] = Refused("Invalid", str(problem))
            entry = UserMapping(spec.arn, unusable_template(spec.username), (), spec.name)
        else:
            canonical[spec.name] = canonical_arn(ascii_lower(spec.arn))
        if not spec.key:
            continue
        if spec.key in first:
            message = f"{spec.arn} is mapped by {first[spec.key]}, which is older; this object is ignored"
            refused.setdefault(spec.name, Refused("Conflict", message))
            continue
        first[spec.key] = spec.name
        if isinstance(entry, RoleMapping):
            roles.append(entry)
        else:
            users.append(entry)
    table, odd = MappingTable.build(roles, users, ())
    serving = sum(entry.username.usable for entry in roles) + sum(entry.username.usable for entry in users)
    return IdentityMappings(table, serving, canonical, refused, [*notes, *odd], tuple(roles), tuple(users))


def read_membership(annotations: Mapping[str, str]) -> tuple[MembershipKeys, list[Problem]]:
    """Return the keys of membership in an object's annotations, and their problems, whose keys are annotations.

    A problem of `temporary` leaves the keys valid: it admits one user less.
    """
    found = Findings()
    values: dict[str, object] = {key: annotations[name] for key, name in _NAMES.items() if name in annotations}
    if TEMPORARY in annotations:
        values["temporary"] = _decoded(annotations[TEMPORARY])
    keys = read_membership_keys(Section(YamlFile(values, [], None, []), values, (), KEYS, found))
    return keys, [
        Problem(_annotation(each.key), each.message.replace("iamGroup", IAM_GROUP), each.hint)
        for each in found.nonfatal
    ]


def _decoded(text: str) -> object:
    """Return the value of JSON text; the text itself, which is no list, where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _annotation(key: str) -> str:
    """Return a key path of config.yaml with the annotation in place of the key: `kube-iam.dev/temporary[0].until`."""
    name = next((name for name in _NAMES if key.startswith(name)), "")
    return f"{_NAMES[name]}{key.removeprefix(name)}" if name else key


def _entry(spec: MappingSpec, notes: list[Problem]) -> RoleMapping | UserMapping:
    """Return the object as an entry. Raises ValueError with the cause where it cannot be used.

    Problems of its temporary grants are added to `notes`.
    """
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
    keys = _membership(spec, notes)
    if spec.is_for_role:
        return RoleMapping(spec.arn, username, groups, spec.name, keys.iam_group, spec.level, keys.temporary)
    if IAM_GROUP in spec.annotations:
        raise ValueError(f"{IAM_GROUP} has no meaning with {spec.arn}: a role's sessions are named after members")
    return UserMapping(spec.arn, username, groups, spec.name)


def _membership(spec: MappingSpec, notes: list[Problem]) -> MembershipKeys:
    """Return the keys of membership. Raises ValueError for one that is not understood: ignored, it would admit too many."""
    for name in spec.other_keys:
        if is_membership_key(name):
            raise ValueError(f"spec.{name} has no meaning: the IAM group is the annotation {IAM_GROUP}")
    for name in spec.annotations:
        if name not in (IAM_GROUP, TEMPORARY):
            raise ValueError(f"the annotation {name} is not known: the IAM group is the annotation {IAM_GROUP}")
    keys, problems = read_membership(spec.annotations)
    if not keys.valid:
        raise ValueError("; ".join(f"{problem.key} {problem.message}" for problem in problems))
    notes += [Problem(spec.name, f"{problem.key} {problem.message}", problem.hint) for problem in problems]
    return keys
