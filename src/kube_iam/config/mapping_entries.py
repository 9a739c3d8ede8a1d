"""One entry of the mappings: its principal, and the user name and groups that it gives.

Problems are added to the findings. An entry with a valid principal and any other error admits nobody. Without it, `mapAccounts` or a
later backend could admit the principal.
"""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.config.memberships import (
    KEYS,
    MembershipKeys,
    read_membership_keys,
    refuse_membership_keys,
    refuse_misspelt,
)
from kube_iam.config.principals import read_arn, read_sso
from kube_iam.config.section import Section
from kube_iam.config.yaml_file import KeyPath, key_path
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping, UserIdMapping, UserMapping
from kube_iam.core.templates import GROUP_VARIABLES, VARIABLES, Template, parse_template, unusable_template

ROLE_KEYS = ("rolearn", "sso", "username", "groups", "userid", *KEYS)
USER_KEYS = ("userarn", "username", "groups", "userid")
GROUP_KEYS = ("username", "groups", *KEYS)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Spellings that a source accepts beside the plain one, as the reference does. The default is the dialect of config.yaml.

    `text_groups`: one text for a list of groups, split at its commas. `sessions`: the ARN of a role session for that of the role.
    `account_zeros`: an account id with a leading zero and without quotes, read as it is written.
    """

    text_groups: bool = True
    sessions: bool = True
    account_zeros: bool = False


CONFIG_YAML = Dialect()
AWS_AUTH = Dialect(text_groups=False, sessions=False, account_zeros=True)


def role_entry(entry: Section, dialect: Dialect) -> RoleMapping | None:
    """Return an entry of mapRoles, or None if it names no principal."""
    username, groups = _names(entry, dialect)
    if entry.has("rolearn") == entry.has("sso"):
        given = "both" if entry.has("sso") else "neither"
        entry.error(entry.path, f"needs one of rolearn and sso, and has {given}")
        return None
    keys = read_membership_keys(entry)
    # Users of IAM Identity Center are no IAM users, so no membership can be checked.
    misplaced = (
        refuse_membership_keys(entry, "with sso", ROLE_KEYS) if entry.has("sso") else refuse_misspelt(entry, ROLE_KEYS)
    )
    if misplaced or not keys.valid:
        username, keys = unusable_template(""), MembershipKeys()
    who = (
        read_sso(entry)
        if entry.has("sso")
        else read_arn(entry, "rolearn", ("role", "assumed-role"), sessions=dialect.sessions)
    )
    where = key_path(*entry.path)
    return RoleMapping(who, username, groups, where, keys.iam_group, keys.level, keys.temporary) if who else None


def user_entry(entry: Section, dialect: Dialect) -> UserMapping | None:
    """Return an entry of mapUsers, or None if it names no principal."""
    username, groups = _names(entry, dialect)
    if refuse_membership_keys(entry, "in mapUsers", USER_KEYS):
        username = unusable_template("")
    arn = read_arn(entry, "userarn", (), sessions=dialect.sessions)
    return UserMapping(arn, username, groups, key_path(*entry.path)) if arn else None


def group_entry(entry: Section) -> GroupMapping | None:
    """Return an entry of mapGroups, or None if it names no group."""
    before = len(entry.found.errors)
    username, groups = _names(entry, Dialect(text_groups=False), GROUP_VARIABLES)
    broken = len(entry.found.errors) > before
    keys = read_membership_keys(entry, required=True, user_key="userId")
    misspelt = refuse_misspelt(entry, GROUP_KEYS)
    if not keys.iam_group:
        return None
    if broken or misspelt or not keys.valid:
        username, groups = unusable_template(""), (unusable_template(""),)
    return GroupMapping(keys.iam_group, username, groups, keys.level, keys.temporary, key_path(*entry.path))


def user_id_entry(entry: Section, arn: str) -> UserIdMapping | None:
    """Return an entry by its `userid`, or None if it has none. `arn` is the key of its ARN, which is not checked."""
    username, groups = _names(entry, Dialect(text_groups=False))
    if refuse_membership_keys(entry, "with dynamicfileUserIDStrict", (*ROLE_KEYS, *USER_KEYS)):
        username = unusable_template("")
    user_id = entry.text("userid")
    if not user_id:
        entry.error(entry.at("userid"), "is required")
        return None
    return UserIdMapping(user_id, entry.text(arn), username, groups, key_path(*entry.path))


def _names(
    entry: Section, dialect: Dialect, variables: tuple[str, ...] = VARIABLES
) -> tuple[Template, tuple[Template, ...]]:
    """Return the user name and the groups. An invalid one becomes a template that admits nobody."""
    if entry.value("username") in (None, ""):
        hint = (
            f"a name, or a template such as {{{{{'UserName' if variables is GROUP_VARIABLES else 'SessionNameRaw'}}}}}"
        )
        entry.error(entry.at("username"), "is required", hint, local=True)
        username = unusable_template("")
    else:
        username = _template(entry, entry.at("username"), entry.name("username"), variables)
    if not dialect.text_groups and isinstance(entry.value("groups"), str) and entry.value("groups"):
        entry.error(entry.at("groups"), "must be a list, not text", local=True)
        username = unusable_template("")
    return username, tuple(_template(entry, path, word, variables) for path, word in entry.names("groups"))


def _template(entry: Section, path: KeyPath, text: str | None, variables: tuple[str, ...]) -> Template:
    if text is None:
        return unusable_template("")
    try:
        return parse_template(text, variables)
    except ValueError as problem:
        entry.error(path, str(problem), local=True)
        return unusable_template(text)
