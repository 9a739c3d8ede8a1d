"""Settings of access.yaml about an organization's IAM: existing roles and groups, tags, permissions boundaries, names by a template.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html has the rules of tags.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kube_iam.access.levels import DEFAULT_NAMING, MOST_TAGS
from kube_iam.config.yaml_file import KeyPath, YamlFile
from kube_iam.core.partitions import partition_of_region
from kube_iam.errors import Problem

OWN_TAGS = "kube-iam.dev/"
NO_BOUNDARY = "none"
LONGEST_TAG_KEY = 128
_OWN_TAGS_OF_A_LEVEL = 2  # the cluster's and the level's; one more for an existing role, one for an existing group
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class IamSettings:
    """Settings of one level in IAM, as `access.levels.Level` holds them."""

    existing_role: bool
    existing_group: bool
    tags: tuple[tuple[str, str], ...]
    permissions_boundary: str | None


def iam_settings(of_file: dict[str, Any], of_level: dict[str, Any]) -> IamSettings:
    """Return the settings of a level, by the key `iam` of the file and of the level."""
    existing, tags = existing_kinds(of_level), merged_tags(of_file, of_level)
    return IamSettings("role" in existing, "group" in existing, tuple(tags.items()), boundary_of(of_file, of_level))


def existing_kinds(iam: dict[str, Any]) -> frozenset[str]:
    """Return which of `role` and `group` exist already, by the key `iam` of a level."""
    written = iam.get("existing", False)
    if written is True:
        return frozenset(kind for kind in ("role", "group") if kind in iam)
    return frozenset({written} if written in ("role", "group") else ())


def merged_tags(of_file: dict[str, Any], of_level: dict[str, Any]) -> dict[str, str]:
    """Return the tags of a level: the file's, and the level's in place of equal keys. IAM does not tell keys apart by letter case."""
    own = _tags(of_level)
    folded = {key.casefold() for key in own}
    return {**{key: value for key, value in _tags(of_file).items() if key.casefold() not in folded}, **own}


def _tags(iam: dict[str, Any]) -> dict[str, str]:
    tags = iam.get("tags")
    return tags if isinstance(tags, dict) else {}


def boundary_of(of_file: dict[str, Any], of_level: dict[str, Any]) -> str | None:
    """Return the boundary of a level's role: the level's, else the file's. Empty for `none`, None if neither says anything."""
    written = of_level.get("permissionsBoundary", of_file.get("permissionsBoundary"))
    return "" if written == NO_BOUNDARY else written


def naming_of(document: dict[str, Any]) -> str:
    """Return the file's template of names. One that is no text counts as the default."""
    written = _mapping(document.get("iam")).get("naming", DEFAULT_NAMING)
    return written if isinstance(written, str) else DEFAULT_NAMING


def check_file(file: YamlFile, document: dict[str, Any]) -> Iterator[Problem]:
    """Yield problems of the file's own key `iam`."""
    iam = _mapping(document.get("iam"))
    naming = iam.get("naming")
    if isinstance(naming, str) and naming:
        yield from _check_naming(file, naming)
    yield from _check_tags(file, ("iam",), iam)
    yield from _check_boundary(file, ("iam",), iam, document)


def check_level(file: YamlFile, path: KeyPath, level: dict[str, Any], document: dict[str, Any]) -> Iterator[Problem]:
    """Yield problems of a level's keys about existing roles and groups, tags and the boundary."""
    iam, where = _mapping(level.get("iam")), (*path, "iam")
    yield from _check_existing(file, path, level, iam)
    yield from _check_tags(file, where, iam)
    yield from _check_boundary(file, where, iam, document)
    own = _OWN_TAGS_OF_A_LEVEL + len(existing_kinds(iam))
    count = len(merged_tags(_mapping(document.get("iam")), iam))
    if count + own > MOST_TAGS:
        message = f"{count} tags and {own} of kube-iam's are more than {MOST_TAGS}, which is the most that IAM takes"
        yield file.problem(
            where if iam else path, message, f"keep at most {MOST_TAGS - own} in iam.tags of file and level"
        )


def _check_existing(file: YamlFile, path: KeyPath, level: dict[str, Any], iam: dict[str, Any]) -> Iterator[Problem]:
    written, where = iam.get("existing", False), (*path, "iam", "existing")
    if written is True and not {"role", "group"} & iam.keys():
        yield file.problem(
            where, "names nothing", "name beside it the role or the group that exists: iam.role, iam.group"
        )
    if written in ("role", "group") and written not in iam:
        yield file.problem(where, f"names no {written}", f"name beside it the {written} that exists: iam.{written}")
    if level.get("method") == "group" and "permissionsBoundary" in iam:
        message = "means nothing with method group: there is no role"
        yield file.problem((*path, "iam", "permissionsBoundary"), message, "leave it out")
    if "role" not in existing_kinds(iam) or level.get("method") == "group":
        return
    for key, where in (
        ("mfa", (*path, "mfa")),
        ("sessionDuration", (*path, "sessionDuration")),
        ("permissionsBoundary", (*path, "iam", "permissionsBoundary")),
    ):
        if key in level or key in iam:
            yield file.problem(where, "means nothing with an existing role, which stays as it is", "leave it out")


def _check_naming(file: YamlFile, naming: str) -> Iterator[Problem]:
    where = ("iam", "naming")
    placeholders = _PLACEHOLDER.findall(naming)
    unknown = sorted(set(placeholders) - {"{cluster}", "{level}"})
    if unknown:
        yield file.problem(
            where, f"{', '.join(unknown)} is not a placeholder", "the placeholders are {cluster} and {level}"
        )
    elif "{level}" not in placeholders:
        yield file.problem(
            where, "does not contain {level}: levels would have the same names", f"such as {DEFAULT_NAMING}"
        )
    elif not _NAME.fullmatch(_PLACEHOLDER.sub("", naming)):
        message = f"{naming!r} has characters that names in IAM cannot have"
        yield file.problem(
            where, message, "beside {cluster} and {level}, each in one pair of braces: letters, digits and _+=,.@-"
        )


def _check_tags(file: YamlFile, path: KeyPath, iam: dict[str, Any]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for key, value in _tags(iam).items():
        where = (*path, "tags", key)
        if key.casefold().startswith("aws:"):
            yield file.problem(where, "keys that begin with aws: belong to AWS", "another key")
        elif key.casefold().startswith(OWN_TAGS):
            yield file.problem(where, f"keys that begin with {OWN_TAGS} are kube-iam's own", "another key")
        elif not 1 <= len(key) <= LONGEST_TAG_KEY:
            yield file.problem(where, f"the key has {len(key)} characters", f"IAM takes 1 to {LONGEST_TAG_KEY}")
        elif key.casefold() in seen:
            message = f"differs from {seen[key.casefold()]} in letter case only, and IAM does not tell such keys apart"
            yield file.problem(where, message, "keep one of the two")
        for what, text in (("key", key), ("value", value)):
            if isinstance(text, str) and (bad := [each for each in text if not _is_allowed(each)]):
                message = f"the {what} contains {bad[0]!r}"
                yield file.problem(where, message, "IAM takes letters, digits, spaces and _.:/=+-@ in tags")
        seen.setdefault(key.casefold(), key)


def _is_allowed(character: str) -> bool:
    return character in "_.:/=+-@" or unicodedata.category(character)[0] in "LNZ"


def _check_boundary(file: YamlFile, path: KeyPath, iam: dict[str, Any], document: dict[str, Any]) -> Iterator[Problem]:
    boundary, where = iam.get("permissionsBoundary"), (*path, "permissionsBoundary")
    account, region = document.get("account"), document.get("region")
    if not isinstance(boundary, str) or boundary.count(":") < 5:
        return
    _, partition, _, _, owner, _ = boundary.split(":", 5)
    if isinstance(account, str) and owner not in ("aws", account):
        message = f"is a policy of account {owner}, and the roles are in account {account}"
        yield file.problem(where, message, "a policy of the same account, or one of AWS")
    home = document.get("partition") or (partition_of_region(region) if isinstance(region, str) else partition)
    if partition != home:
        yield file.problem(where, f"is a policy in partition {partition}", f"one that begins with arn:{home}:iam:")


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
