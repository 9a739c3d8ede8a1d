"""Keys of mapping entries about membership: the IAM group (`iamGroup`), the level and the temporary grants.

A key that is not understood must not become an entry that requires less: then the whole entry admits nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kube_iam.config.section import Section, kind_of
from kube_iam.core.arns import is_iam_name
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.utc import parse_rfc3339

KEYS = ("iamGroup", "level", "temporary")
_ITEM_KEYS = ("userName", "userId", "until", "reason")
_MOST_MISSPELT = 1000
_USER_ID = re.compile(r"AIDA[A-Z0-9]{8,124}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MembershipKeys:
    """The membership keys of an entry. `valid`: all were understood; else the entry must admit nobody."""

    iam_group: str = ""
    level: str = ""
    temporary: tuple[TemporaryGrant, ...] = ()
    valid: bool = True


def read_membership_keys(entry: Section, *, required: bool = False, user_key: str = "userName") -> MembershipKeys:
    """Return the membership keys of the entry. `required`: it must name a group. `user_key` identifies users in `temporary`."""
    before = len(entry.found.errors)
    group, level = _group(entry, required=required), ""
    if entry.named("level"):
        level = entry.name("level") or ""
        if not level:
            entry.error(entry.at("level"), "must be a name", local=True)
    if entry.named("temporary") and not entry.named("iamGroup") and not required:
        hint = "without a group the role admits all its sessions for ever"
        entry.error(entry.at("temporary"), "goes with iamGroup only", hint, local=True)
    valid = len(entry.found.errors) == before
    # A grant that cannot be used does not invalidate the entry: it only admits one user less.
    return MembershipKeys(group, level, _temporary(entry, user_key), valid)


def refuse_membership_keys(entry: Section, where: str, known: tuple[str, ...]) -> bool:
    """Report membership keys in an entry that cannot have them. Return whether there are any; ignored, they would admit too many.

    `known` are the keys that an entry may have there.
    """
    refused = False
    for key in entry.keys:
        if _meant(entry, key, known) in ("iamGroup", "temporary"):
            entry.error((*entry.path, key), f"has no meaning {where}", local=True)
            refused = True
    return refused


def refuse_misspelt(entry: Section, known: tuple[str, ...]) -> bool:
    """Report a misspelt `iamGroup`. Return whether there is one.

    A misspelt `temporary` counts too, except beside a group: there it would only admit more, so it refuses nobody.
    """
    refused = False
    for key in entry.keys:
        meant = _meant(entry, key, known)
        if ascii_lower(key) == ascii_lower(meant):
            continue
        if meant == "iamGroup" or (meant == "temporary" and not entry.named("iamGroup")):
            entry.error((*entry.path, key), "is not a known key", f"did you mean {meant}?", local=True)
            refused = True
    return refused


def _meant(entry: Section, key: str, known: tuple[str, ...]) -> str:
    """Return the known or membership key that a key is or resembles; empty if it resembles none."""
    lowered, choices = ascii_lower(key), (*known, *KEYS)
    for choice in choices:  # nearly every key is one, and to look for the closest takes long for thousands of entries
        if lowered == ascii_lower(choice):
            return choice
    found = entry.found.meant
    if (lowered, known) not in found:
        # Each takes a fraction of a millisecond to find. Nobody writes so many keys that do not exist: they fail closed.
        closest = closest_key(key, choices) if len(found) < _MOST_MISSPELT else "iamGroup"
        found[lowered, known] = "iamGroup" if re.sub(r"[^a-z]", "", lowered).startswith("iamgroup") else closest
    return found[lowered, known]


def closest_key(key: str, choices: Iterable[str]) -> str:
    """Return the choice that a key resembles, or an empty string.

    Wider than `config.suggestions`: an entry is refused for such a key, and to take `grpIam` for an unknown key would admit
    everybody in the role.
    """
    from difflib import get_close_matches  # loaded for unknown keys only

    spelled = {choice.casefold(): choice for choice in choices}
    found = get_close_matches(key.casefold(), spelled, n=1, cutoff=0.6)
    return spelled[found[0]] if found else ""


def _group(entry: Section, *, required: bool) -> str:
    if not entry.named("iamGroup"):
        if required:
            entry.error(entry.at("iamGroup"), "is required", "the name of an IAM group", local=True)
        return ""
    if entry.value("iamGroup") is None:
        entry.error(entry.at("iamGroup"), "is empty", "the name of an IAM group, without path", local=True)
        return ""
    text = entry.name("iamGroup")
    if text is not None and not is_iam_name(text):
        hint = "letters, digits and _+=,.@- only, 128 at most; no path and no ARN"
        entry.error(entry.at("iamGroup"), f"{text!r} is not the name of an IAM group", hint, local=True)
        return ""
    return text or ""


def _temporary(entry: Section, user_key: str) -> tuple[TemporaryGrant, ...]:
    value = entry.value("temporary")
    if value is None:
        return ()
    if not isinstance(value, list):
        entry.error(entry.at("temporary"), f"must be a list, not {kind_of(value)}; it admits nobody", local=True)
        return ()
    items = []
    for index, item in enumerate(value):
        path = (*entry.at("temporary"), index)
        if not isinstance(item, dict):
            entry.error(path, f"must be a mapping of keys, not {kind_of(item)}", local=True)
            continue
        found = _item(Section(entry.document, item, path, _ITEM_KEYS, entry.found), user_key)
        if found is not None and not entry.document.troubled(*path):
            items.append(found)
    return tuple(items)


def _item(item: Section, user_key: str) -> TemporaryGrant | None:
    before = len(item.found.errors)
    name, user_id, until = (item.name(key) or "" if item.has(key) else "" for key in ("userName", "userId", "until"))
    if (name or user_key == "userName") and not is_iam_name(name, 64):
        item.error(item.at("userName"), "must be the name of an IAM user", local=True)
    if not _USER_ID.fullmatch(user_id):
        hint = "its UserId in `aws iam get-user`"
        item.error(item.at("userId"), "must be the unique id of an IAM user (AIDA…)", hint, local=True)
    is_time = parse_rfc3339(until) is not None
    if not is_time:
        item.error(item.at("until"), "must be a time such as 2026-01-31T14:00:00Z", local=True)
    if len(item.found.errors) > before or not is_time:
        return None
    return TemporaryGrant(name, user_id, until, str(item.value("reason") or ""))
