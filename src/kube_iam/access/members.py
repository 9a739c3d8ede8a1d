"""Members of levels: grant, revoke and list them. Day to day nothing else changes than the members of IAM groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kube_iam.access.desired import desired_entry, policy_arn
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import SHORTEST_SESSION_NAME, ClusterAccess, Level, MemberList, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.member_lists import GROUPS_PER_USER, full_user
from kube_iam.access.ports import Directory, User
from kube_iam.access.temporary import TemporaryAccess
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import NoSuchUsers, NotFound, UsageError, WouldFail

Suggest = Callable[[str, Iterable[str]], str]
"""A remedy such as "did you mean 'alice'?" for a word and the words that exist."""


@dataclass(frozen=True, slots=True)
class MemberChange:
    """Result of granting or revoking for one user. `is_needed` is False if there is nothing to do.

    `exists` is False if IAM has no user of that name. With `is_needed`, such a user still has temporary access.
    """

    user: str
    is_needed: bool
    unique_id: str = field(default="", compare=False)
    exists: bool = True


@dataclass(frozen=True, slots=True)
class LevelMembers:
    """Users in a level's group, sorted; None if the level has not been applied.

    `temporary` are users with temporary access who are no members, sorted. `void` is temporary access that admits nobody, with
    the reason. `ids` are the unique ids of `users`, by name.
    """

    level: str
    group: str
    users: tuple[str, ...] | None
    temporary: tuple[TemporaryGrant, ...] = ()
    void: tuple[tuple[TemporaryGrant, str], ...] = ()
    ids: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    listed: MemberList | None = None  # by the file
    permission_set: str = ""  # whose users IAM Identity Center manages; `users` and `group` are empty
    mapped_role: str = ""  # ARN of a role whose users others manage; `users` and `group` are empty
    is_mapped: bool | None = None  # whether the mapping has the entry of such a level; None if it was not read

    @property
    def unlisted(self) -> tuple[str, ...]:
        """Return the users in the group who are not listed in the file, none if it lists no members."""
        listed = self.listed
        return () if listed is None else tuple(user for user in self.users or () if user not in listed)

    @property
    def absent(self) -> tuple[str, ...]:
        """Return the listed users who are not in the group."""
        present = {user.casefold() for user in self.users or ()}
        return tuple(user for user in self.listed.users if user.casefold() not in present) if self.listed else ()


def find_level(access: ClusterAccess, name: str, suggest: Suggest, users: Iterable[str] = ()) -> Level:
    """Return the level of that name. Raises UsageError with a suggestion, or with the right order of the arguments."""
    level = access.level(name)
    if level is not None:
        return level
    names = [level.name for level in access.levels]
    swapped = next((user for user in users if user in names), "")
    hint = (
        f"the level comes last: … {name} {swapped}"
        if swapped
        else suggest(name, names) or f"levels: {', '.join(names)}"
    )
    raise UsageError(f"{access.source} has no level {name!r}", hint)


def refuse_managed_elsewhere(access: ClusterAccess, level: Level, *, into: bool) -> None:
    """Raise UsageError for a level of a permission set or of a mapped role: others manage its users."""
    if level.method is Method.MAPPED_ROLE:
        what = "allow them" if into else "stop allowing them"
        raise UsageError(
            f"level {level.name} is the role {level.mapped_role}, which kube-iam maps as it is: who may assume it is managed in IAM",
            f"{what} to assume the role there{'' if into else '; `kube-iam deny USER` refuses their sessions at once'};"
            " nothing was changed",
        )
    if level.method is not Method.PERMISSION_SET:
        return
    verb, other = ("create", "") if into else ("delete", "; `kube-iam deny USER` refuses their sessions at once")
    raise UsageError(
        f"level {level.name} is permission set {level.permission_set} in account {access.account}: IAM Identity Center manages its"
        " users",
        f"{'assign the permission set' if into else 'remove the assignment'} there"
        f" (aws sso-admin {verb}-account-assignment){other}; nothing was changed",
    )


def refuse_listed(access: ClusterAccess, level: Level, users: Iterable[str], *, into: bool) -> None:
    """Raise UsageError for a change of members that the next `apply` would undo: the file lists the level's members.

    A revocation of users who are not listed is none: it makes IAM what the file says, or ends temporary access.
    """
    if level.members is None:
        return
    asked = tuple(dict.fromkeys(users))
    listed = [user for user in asked if user in level.members]
    if not (into or listed):
        return
    missing = [user for user in asked if user not in listed]
    if not into:
        edit, other = f"remove {', '.join(listed)} there, and", "refuse them at once with --now"
    else:
        edit = f"add {', '.join(missing)} there, and" if missing else f"already there: {', '.join(listed)};"
        other = "give access for a time with --for"
    raise UsageError(
        f"{access.place_of(level.members)}, lists the members of level {level.name}",
        f"{edit} run `kube-iam apply`; or {other}; nothing was changed",
    )


def plan_members(
    reader: LevelReader,
    level: Level,
    users: Iterable[str],
    suggest: Suggest,
    *,
    into: bool,
    temporary: TemporaryAccess | None = None,
) -> tuple[MemberChange, ...]:
    """Return what granting (`into`) or revoking the level would change, by user. Changes nothing. Temporary access is no membership.

    Raises NotFound for users that do not exist (all of them, with suggestions), and for a level that was not applied. A
    revocation removes temporary access of users that do not exist. If only some users do not exist it continues with the others;
    `no_such_users` is for the end. Raises UsageError for a user whose name cannot be a session name. Raises NotOwned if the
    level's resources are another cluster's, and for a grant if the group does not give this level alone, unless it is an existing one.
    """
    wanted = tuple(dict.fromkeys(users))
    if into:
        _check_session_names(level, wanted)
    directory = reader.directory
    present = {user.name.casefold() for user in reader.members(level, granting=into)}
    found = dict(zip(wanted, directory.each(directory.user, wanted), strict=True))
    missing = [name for name, user in found.items() if user is None]
    left = {name for name in missing if not into and temporary is not None and temporary.item(name) is not None}
    if any(name not in left for name in missing) and (into or (len(missing) == len(wanted) and not left)):
        raise no_such_users(directory, missing, suggest)

    def change(name: str, user: User | None) -> MemberChange:
        if user is None:
            return MemberChange(name, name in left, exists=False)
        is_left = not into and temporary is not None and temporary.may_be_in(user.name)
        return MemberChange(user.name, is_left or (user.name.casefold() in present) is not into, user.unique_id)

    return tuple(dict.fromkeys(change(name, user) for name, user in found.items()))


def other_policies(reader: LevelReader, level: Level) -> tuple[str, ...]:
    """Return the policies of the level's existing group beside the level's own, attached (ARNs) and inline, as a person names them.

    A user who joins or leaves the group gets or loses those too. Raises what `LevelReader.group` raises.
    """
    access, group = reader.access, reader.group(level)
    own = {policy_arn(access, each): f" (level {each.name})" for each in access.levels}
    mine = policy_arn(access, level)
    attached = [f"policy {arn}{own.get(arn, '')}" for arn in group.attached if arn != mine]
    return (*attached, *(f"inline policy {name}" for name in reader.directory.inline_policies(group.name)))


def apply_members(
    reader: LevelReader,
    level: Level,
    planned: Iterable[MemberChange],
    *,
    into: bool,
    temporary: TemporaryAccess | None = None,
    now: float = 0.0,
) -> Iterator[MemberChange]:
    """Add the users to the level's group or remove them. Yields each change when it is made. May be repeated.

    In both cases temporary access ends `now` (Unix seconds): members do not need it.
    """
    group, directory = reader.group(level).name, reader.directory
    for change in planned:
        if change.is_needed and into:
            directory.add_member(group, change.user)
        elif change.is_needed and change.exists:
            directory.remove_member(group, change.user)
        if change.is_needed and temporary is not None:
            temporary.revoke(change.user, now)
        yield change


def who(
    reader: LevelReader,
    levels: Iterable[Level],
    temporary: Mapping[str, tuple[TemporaryGrant, ...]] | None = None,
    entries: Iterable[MappingEntry] | None = None,
) -> tuple[LevelMembers, ...]:
    """Return the members of the levels, in the order given, and users of `temporary` (by level name) who are no members.

    `entries` are those of the mapping, None if it was not read. A level of a permission set or of a mapped role has no members
    in IAM that kube-iam knows.
    The IAM user of each temporary access is read: the server admits the user with the unique id of that time alone. Raises
    NotOwned for a level whose group is not this cluster's.
    """
    levels = tuple(levels)
    reader.owners([level for level in levels if level.method.is_in_iam])
    mapped = None if entries is None else {entry.key for entry in entries}
    reasons = _void(reader.directory, [each for items in (temporary or {}).values() for each in items])

    def read(level: Level) -> LevelMembers:
        if not level.method.is_in_iam:
            is_mapped = None if mapped is None else desired_entry(reader.access, level).key in mapped
            found = LevelMembers(level.name, "", (), permission_set=level.permission_set, is_mapped=is_mapped)
            return replace(found, mapped_role=level.mapped_role)
        try:
            ids = {user.name: user.unique_id for user in reader.members(level)}
            users: tuple[str, ...] | None = tuple(sorted(ids, key=str.casefold))
        except NotFound:
            users, ids = None, {}
        members = {user.casefold() for user in users or ()}
        others = (each for each in (temporary or {}).get(level.name, ()) if each.user_name.casefold() not in members)
        beside = sorted(others, key=lambda each: each.user_name.casefold())
        void = tuple((each, reasons[each]) for each in beside if each in reasons)
        admitted = tuple(each for each in beside if each not in reasons)
        return LevelMembers(level.name, level.group_name, users, admitted, void, ids, level.members)

    return tuple(reader.directory.each(read, levels))


def by_user(levels: Iterable[LevelMembers]) -> dict[str, list[str]]:
    """Return the levels of each user, users sorted."""
    found: dict[str, list[str]] = {}
    for level in levels:
        for user in (*(level.users or ()), *(each.user_name for each in level.temporary)):
            found.setdefault(user, []).append(level.level)
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def _void(directory: Directory, items: Iterable[TemporaryGrant]) -> dict[TemporaryGrant, str]:
    """Return why temporary access admits nobody: its user was deleted in IAM, or is another user by now."""
    asked = list(dict.fromkeys(items))
    users = directory.each(directory.user, (each.user_name for each in asked))
    return {
        each: "deleted in IAM" if user is None else "another IAM user of this name was created since"
        for each, user in zip(asked, users, strict=True)
        if user is None or user.unique_id != each.user_id
    }


def check_quota(directory: Directory, planned: Iterable[MemberChange]) -> None:
    """Raise WouldFail for users who would join a group and can be in no more."""
    joining = [change.user for change in planned if change.is_needed]
    groups = directory.each(directory.groups_of, joining)
    full = [user for user, member_of in zip(joining, groups, strict=True) if len(member_of) >= GROUPS_PER_USER]
    if full:
        raise WouldFail.listing("IAM would refuse this:", map(full_user, full), "nothing was changed")


def _check_session_names(level: Level, users: Iterable[str]) -> None:
    short = [user for user in users if len(user) < SHORTEST_SESSION_NAME]
    if short and level.method is Method.ROLE:
        raise UsageError(
            f"{', '.join(map(repr, short))} cannot sign in by level {level.name}: its sessions are named after their IAM user, and AWS"
            f" takes session names of {SHORTEST_SESSION_NAME} to 64 characters",
            "give the IAM user a longer name (aws iam update-user), or use a level with method: group; nothing was changed",
        )


def no_such_users(
    directory: Directory, missing: Sequence[str], suggest: Suggest, *, changed: bool = False
) -> NoSuchUsers:
    """Return the error for users that IAM does not have, with suggestions. `changed`: others were revoked."""
    everyone = [user.name for user in directory.users()]
    said = "; ".join(f"{name}: {suggest(name, everyone) or 'nothing like it'}" for name in missing)
    done = "the others are out of the level" if changed else "nothing was changed"
    return NoSuchUsers(tuple(missing), done, said, is_partial=changed)
