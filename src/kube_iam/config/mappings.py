"""mapRoles, mapUsers, mapGroups and mapAccounts as every backend's source spells them: keys in any letter case, problems all together.

An entry that cannot be used is an error, a `local` one where it lets nobody in and the others can serve all the same; one that is odd
but has one clear meaning is a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from kube_iam.config.memberships import KEYS, Asked, read_asked, refuse_asked, refuse_misspelt
from kube_iam.config.section import QUOTE, Section, Steps, account_ids, kind_of
from kube_iam.config.yaml_file import key_path
from kube_iam.core.arns import NoPrincipal, canonical_arn, is_account_id
from kube_iam.core.mapping import GroupMapping, MappingTable, RoleMapping, Sso, UserMapping
from kube_iam.core.templates import GROUP_VARIABLES, VARIABLES, Template, parse_template, unusable_template
from kube_iam.core.user_ids import UserIdMapping

MAPPING_KEYS = ("mapRoles", "mapUsers", "mapGroups", "mapAccounts")
_ROLE_KEYS = ("rolearn", "sso", "username", "groups", "userid", *KEYS)
_USER_KEYS = ("userarn", "username", "groups", "userid")
_GROUP_KEYS = ("username", "groups", *KEYS)
_SSO_KEYS = ("permissionSetName", "accountID", "partition")

Entry = TypeVar("Entry", RoleMapping, UserMapping, GroupMapping, UserIdMapping)


@dataclass(frozen=True, slots=True)
class Mappings:
    """The entries of one source, in its order."""

    roles: tuple[RoleMapping, ...] = ()
    users: tuple[UserMapping, ...] = ()
    accounts: tuple[str, ...] = ()
    groups: tuple[GroupMapping, ...] = ()

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self.roles) + len(self.users) + len(self.accounts) + len(self.groups)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source takes beside the plain spelling, where the reference does; the default is that of config.yaml.

    `text_groups`: one text for a list of groups, split at its commas. `sessions`: the ARN of a role's session for the role's.
    """

    text_groups: bool = True
    sessions: bool = True


CONFIG_YAML = Reading()


def parse_mappings(section: Section, reading: Reading = CONFIG_YAML) -> Mappings:
    """The entries of a section that knows MAPPING_KEYS, by their ARN; what is wrong goes to its findings.

    An entry that is clear about whom it means, and about nothing else, stays as one that lets nobody in.
    """
    return Mappings(
        roles=_entries(section, "mapRoles", _ROLE_KEYS, partial(_role, reading=reading)),
        users=_entries(section, "mapUsers", _USER_KEYS, partial(_user, reading=reading)),
        accounts=_accounts(section),
        groups=parse_groups(section),
    )


def parse_groups(section: Section) -> tuple[GroupMapping, ...]:
    """The entries of whole IAM groups, whose members are known by their unique ids anyway."""
    return _entries(section, "mapGroups", _GROUP_KEYS, _group)


def parse_user_ids(section: Section) -> tuple[tuple[UserIdMapping, ...], tuple[str, ...]]:
    """The same entries by their `userid`, roles before users, and the accounts. An ARN is taken as it stands: the table judges it."""
    roles = _entries(section, "mapRoles", _ROLE_KEYS, lambda entry: _by_user_id(entry, "rolearn"))
    users = _entries(section, "mapUsers", _USER_KEYS, lambda entry: _by_user_id(entry, "userarn"))
    return (*roles, *users), _accounts(section)


def warn_of_user_ids(section: Section) -> None:
    """Warn of entries that have a `userid`, where the ARN is all that counts."""
    for name in ("mapRoles", "mapUsers"):
        value = section.value(name)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            for key in item if isinstance(item, dict) else ():
                if key.lower() == "userid":
                    section.warn((*section.at(name), index, key), "counts only in the backend DynamicFile")


def build_table(mappings: Mappings, section: Section) -> MappingTable:
    """The indexed table of the entries. What the index finds odd (repeated entries, role paths) are warnings."""
    table, problems = MappingTable.build(mappings.roles, mappings.users, mappings.accounts, mappings.groups)
    for problem in problems:
        problem.line = _line_of(section, problem.key)
    section.found.warnings += problems
    return table


def _account(section: Section) -> str:
    written = section.document.text(*section.at("accountID"))
    if isinstance(section.value("accountID"), int) and is_account_id(written) and not written.startswith("0"):
        section.warn(section.at("accountID"), "is an account id without quotes", QUOTE.format(written))
        return written
    return section.text("accountID")


def _line_of(section: Section, key: str) -> int | None:
    """The line of an entry that is known by its shown key path only, such as `server.mapRoles[3]`."""
    for name in ("mapRoles", "mapUsers"):
        stem = key_path(*section.at(name))
        if key.startswith(f"{stem}["):
            return section.document.line(*section.at(name), int(key[len(stem) + 1 : -1]))
    return section.document.line(*section.steps)


def _entries(
    section: Section, name: str, keys: tuple[str, ...], parse: Callable[[Section], Entry | None]
) -> tuple[Entry, ...]:
    value = section.value(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        section.error(section.at(name), f"must be a list of entries, not {kind_of(value)}")
        return ()
    entries = []
    for index, item in enumerate(value):
        steps = (*section.at(name), index)
        if not isinstance(item, dict):
            section.error(steps, f"must be a mapping of keys, not {kind_of(item)}")
            continue
        before = len(section.found.fatal)
        entry = parse(Section(section.document, item, steps, keys, section.found))
        if entry is not None and (len(section.found.fatal) > before or section.document.troubled(*steps)):
            # The groups as well: another entry may give the same person a name.
            entry = replace(entry, username=unusable_template(""), groups=(unusable_template(""),))
        if entry is not None:
            entries.append(entry)
    return tuple(entries)


def _accounts(section: Section) -> tuple[str, ...]:
    return tuple(account for _, account in account_ids(section, "mapAccounts"))


def _by_user_id(entry: Section, arn: str) -> UserIdMapping | None:
    username, groups = _names(entry, Reading(text_groups=False))
    if refuse_asked(entry, "with dynamicfileUserIDStrict"):
        username = unusable_template("")
    user_id = entry.text("userid")
    if not user_id:
        entry.error(entry.at("userid"), "is required")
        return None
    return UserIdMapping(user_id, entry.text(arn), username, groups, key_path(*entry.steps))


def _role(entry: Section, reading: Reading) -> RoleMapping | None:
    username, groups = _names(entry, reading)
    if entry.has("rolearn") == entry.has("sso"):
        given = "both" if entry.has("sso") else "neither"
        entry.error(entry.steps, f"needs one of rolearn and sso, and has {given}")
        return None
    asked = read_asked(entry)
    # Nobody who comes through IAM Identity Center is an IAM user.
    misplaced = entry.has("sso") and refuse_asked(entry, "with sso")
    if refuse_misspelt(entry) or misplaced or not asked.sound:
        username, asked = unusable_template(""), Asked()
    who = _sso(entry) if entry.has("sso") else _arn(entry, "rolearn", ("role", "assumed-role"), reading)
    where = key_path(*entry.steps)
    return RoleMapping(who, username, groups, where, asked.iam_group, asked.level, asked.temporary) if who else None


def _user(entry: Section, reading: Reading) -> UserMapping | None:
    username, groups = _names(entry, reading)
    if refuse_asked(entry, "in mapUsers"):
        username = unusable_template("")
    arn = _arn(entry, "userarn", (), reading)
    return UserMapping(arn, username, groups, key_path(*entry.steps)) if arn else None


def _group(entry: Section) -> GroupMapping | None:
    before = len(entry.found.errors)
    username, groups = _names(entry, Reading(text_groups=False), GROUP_VARIABLES)
    broken = len(entry.found.errors) > before
    asked = read_asked(entry, required=True, people="userId")
    if refuse_misspelt(entry) or not asked.sound:
        return None
    if broken:
        username, groups = unusable_template(""), (unusable_template(""),)
    return GroupMapping(asked.iam_group, username, groups, asked.level, asked.temporary, key_path(*entry.steps))


def _names(
    entry: Section, reading: Reading, variables: tuple[str, ...] = VARIABLES
) -> tuple[Template, tuple[Template, ...]]:
    """The name and the groups. What cannot be one is a template that lets nobody in: left out, the entry would leave whom it
    matches to `mapAccounts` or to a later backend.
    """
    if entry.value("username") in (None, ""):
        hint = (
            f"a name, or a template such as {{{{{'UserName' if variables is GROUP_VARIABLES else 'SessionNameRaw'}}}}}"
        )
        entry.error(entry.at("username"), "is required", hint, local=True)
        username = unusable_template("")
    else:
        username = _template(entry, entry.at("username"), entry.name("username"), variables)
    if not reading.text_groups and isinstance(entry.value("groups"), str) and entry.value("groups"):
        entry.error(entry.at("groups"), "must be a list, not text", local=True)
        username = unusable_template("")
    return username, tuple(_template(entry, steps, word, variables) for steps, word in entry.names("groups"))


def _template(entry: Section, steps: Steps, text: str | None, variables: tuple[str, ...]) -> Template:
    if text is None:
        return unusable_template("")
    try:
        return parse_template(text, variables)
    except ValueError as problem:
        entry.error(steps, str(problem), local=True)
        return unusable_template(text)


def _arn(entry: Section, name: str, kinds: tuple[str, ...], reading: Reading) -> str:
    text = entry.text(name)
    if not text:
        if not entry.has(name) or entry.value(name) == "":
            entry.error(entry.at(name), "is required")
        return ""
    try:
        # Any letter case: the reference compares ARNs without it.
        canonical = canonical_arn(text.lower())
    except ValueError as problem:
        # An ARN that is none is a typing error; one that no principal can have lets nobody in, as with the reference.
        matchless = isinstance(problem, NoPrincipal)
        entry.error(entry.at(name), str(problem).replace(text.lower(), text), local=matchless)
        return ""
    if canonical != text.lower() and not reading.sessions:
        entry.error(
            entry.at(name), "names one session of a role, and matches nobody here", f"write {canonical}", local=True
        )
        return ""
    if kinds and canonical.split(":")[5].partition("/")[0] not in kinds:
        entry.warn(entry.at(name), "is not the ARN of a role", "users belong in mapUsers")
    return text


def _sso(entry: Section) -> Sso | None:
    section = Section(entry.document, entry.value("sso"), entry.at("sso"), _SSO_KEYS, entry.found)
    before = len(entry.found.errors)
    name, account, partition = section.text("permissionSetName"), _account(section), section.text("partition")
    for key, value in (("permissionSetName", name), ("accountID", account)):
        if not value and not section.has(key):
            section.error(section.at(key), "is required")
    if len(entry.found.errors) > before:
        return None
    try:
        return Sso(name, account, partition or "aws")
    except ValueError as problem:
        section.error(section.steps, str(problem))
        return None
