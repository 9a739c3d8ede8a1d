"""Members that the access file lists: who joins a level's IAM group and who leaves it, and what prevents that.

A listed user is added before anybody is removed, and is never removed. Members who are not listed leave after all additions of all
levels, so that a user who moves between levels is always in one of them. They leave earlier where the group does not give the level
yet: else the level would be theirs until the end of the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kube_iam.access.changes import TAG, Attachment, Change, Detachment, Kind, Membership, Verb, added, member_change
from kube_iam.access.desired import DesiredLevel, DesiredPolicy, DesiredRole
from kube_iam.access.guards import callers_in_aws, callers_in_cluster
from kube_iam.access.levels import MOST_TAGS, ClusterAccess
from kube_iam.access.observed import Observed
from kube_iam.access.ports import Directory, PolicyState, RoleState
from kube_iam.access.reassignments import gives_level, moved_members

POLICIES_PER_GROUP = 10
GROUPS_PER_USER = 10
LONGEST_TAG = 256  # in characters, of a value
"""IAM's quotas, which cannot be raised: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""


def joining(observed: Observed, level: DesiredLevel, staying: frozenset[str]) -> Iterator[Change]:
    """Yield additions of the listed users who are not in the level's group. `staying` are the groups of all levels, in lower case."""
    former = {move.user.casefold(): move.group for move in moved_members(observed, level, staying)}
    present = {name.casefold() for name in observed.member_names(level.group.name)}
    for name in level.members.users if level.members else ():
        if name.casefold() in present or observed.spelling(name) not in ("", name):
            continue
        moved = added([("fromGroup", former[name.casefold()])]) if name.casefold() in former else ()
        yield member_change(Verb.CREATE, Membership(level.group.name, name), level.name, moved)


def leaving(observed: Observed, level: DesiredLevel) -> Iterator[Change]:
    """Yield removals of the members of the level's group who are not listed."""
    for name in observed.member_names(level.group.name) if level.members is not None else ():
        if name not in (level.members or ()):
            yield member_change(Verb.DELETE, Membership(level.group.name, name), level.name)


def leave_early(observed: Observed, level: DesiredLevel) -> bool:
    """Return whether members who are not listed leave before the level is built: the level is not theirs yet."""
    return not gives_level(observed, level)


def member_failures(
    access: ClusterAccess, observed: Observed, desired: tuple[DesiredLevel, ...], changes: tuple[Change, ...]
) -> Iterator[str]:
    """Yield a sentence, with the line in the file, for each listed user who cannot be added."""
    joins = [change.item for change in changes if change.verb is Verb.CREATE and isinstance(change.item, Membership)]
    groups = Counter(item.user for item in joins)
    for user in groups:
        groups[user] += len(observed.user_groups.get(user, ()))
    joins_in_file = {(item.group, item.user) for item in joins}
    for level in desired:
        for name, place in _with_places(access, level):
            spelled = observed.spelling(name)
            where = f"{place}: members of level {level.name}"
            if spelled and spelled != name:
                yield f"{where}: the IAM user is written {spelled}, not {name}; write {spelled}"
            elif not spelled:
                yield (
                    f"{where}: there is no IAM user {name} in account {access.account}; create it"
                    f" (aws iam create-user --user-name {name}), or correct the name"
                )
            elif (level.group.name, name) in joins_in_file and groups[name] > GROUPS_PER_USER:
                yield (
                    f"{where}: {name} would be in {groups[name]} IAM groups, and IAM takes {GROUPS_PER_USER} for a user;"
                    f" aws iam list-groups-for-user --user-name {name} shows them"
                )


def _with_places(access: ClusterAccess, level: DesiredLevel) -> Iterator[tuple[str, str]]:
    if level.members is not None:
        for name, line in zip(level.members.users, level.members.lines, strict=True):
            yield name, access.place_of(level.members, line)


def guarded_removals(access: ClusterAccess, observed: Observed, desired: tuple[DesiredLevel, ...]) -> Iterator[str]:
    """Yield a sentence for each level that loses more than a third of its members by its list, and for the caller's own removal."""
    staying = frozenset(level.group.name.casefold() for level in desired)
    for level in desired:
        if level.members is None:
            continue
        moved = [move.user for move in moved_members(observed, level, staying)]
        held = [*observed.member_names(level.group.name), *moved]
        going = [name for name in held if name not in level.members]
        if 3 * len(going) > len(held):
            yield (
                f"{len(going)} of {len(held)} members of level {level.name} would be removed ({', '.join(going)}): more than a"
                f" third; {access.place_of(level.members)}, lists its members"
            )
        own = {*callers_in_aws(access, going, observed.caller_arn)}
        own |= {*(callers_in_cluster(access, going, observed.subject) or ())}
        for user in sorted(own):
            yield f"you are {user}, and this plan removes you from level {level.name}"


def exceeded_quotas(changes: Iterable[Change], observed: Observed, directory: Directory) -> Iterator[str]:
    """Yield a sentence for each change that exceeds a quota, in the order of the changes. `member_failures` checks listed users."""
    changes = tuple(changes)
    attached = {key: set(group.attached) for key, group in observed.groups.items()}
    joined = {each.item.user for each in changes if isinstance(each.item, Membership) and each.verb is Verb.CREATE}
    joining = sorted(joined - observed.user_groups.keys())
    member_of = {
        user: {group.casefold() for group in groups}
        for user, groups in zip(joining, directory.each(directory.groups_of, joining), strict=True)
    }
    for change in changes:
        item, adds = change.item, change.verb is Verb.CREATE
        if isinstance(item, Attachment):
            held = attached.setdefault(item.group.casefold(), set())
            held.add(item.policy_arn) if adds else held.discard(item.policy_arn)
            if adds and len(held) > POLICIES_PER_GROUP:
                yield f"attach policy {change.name}: {full_group(item.group)}"
        elif isinstance(item, Detachment) and item.holder.kind == "group":
            attached.setdefault(item.holder.name.casefold(), set()).discard(item.policy_arn)
        elif isinstance(item, Membership) and item.user in member_of:
            groups = member_of[item.user]
            groups.add(item.group.casefold()) if adds else groups.discard(item.group.casefold())
            if adds and len(groups) > GROUPS_PER_USER:
                yield f"add member {change.name}: {full_user(item.user)}"


def exceeded_tags(changes: Iterable[Change], observed: Observed) -> Iterator[str]:
    """Yield a sentence for each policy and role that would have more tags, or a longer one, than IAM takes.

    Tags of others stay, so that they count. Those of AWS do not count.
    """
    states: tuple[PolicyState | RoleState, ...] = (*observed.policies, *observed.roles.values())
    tags = {state.arn: {key: value for key, value in state.tags.items() if not _is_aws(key)} for state in states}
    said: set[str] = set()
    for change in changes:
        item = change.item
        if not isinstance(item, DesiredPolicy | DesiredRole) or item.arn in said:
            continue
        present = {} if change.verb is Verb.CREATE else tags.get(item.arn, {})
        others = sorted(present.keys() - item.tags.keys() - {field.name.removeprefix(TAG) for field in change.fields})
        after = {**present, **item.tags}
        problem = _tag_problem(change, after, others, item.arn)
        if problem:
            said.add(item.arn)
            yield f"tag {change.kind.value} {change.name}: {problem}"


def _tag_problem(change: Change, tags: Mapping[str, str], others: Sequence[str], arn: str) -> str:
    if len(tags) > MOST_TAGS:
        where = (
            f"untag-role --role-name {change.name}" if change.kind is Kind.ROLE else f"untag-policy --policy-arn {arn}"
        )
        remove = f"remove tags of others (aws iam {where} --tag-keys {others[0]}), or " if others else ""
        return f"it would have {len(tags)} tags, and IAM takes {MOST_TAGS}; {remove}keep fewer in iam.tags"
    long = next((key for key in tags if len(tags[key]) > LONGEST_TAG), "")
    if not long:
        return ""
    return (
        f"the value of {long} would have {len(tags[long])} characters, and IAM takes {LONGEST_TAG}; run apply without level"
        f" {change.level} first"
    )


def _is_aws(tag: str) -> bool:
    return tag.casefold().startswith("aws:")


def full_group(group: str) -> str:
    """Return the sentence for a group that takes no more policies, with the remedy."""
    return (
        f"IAM group {group} has {POLICIES_PER_GROUP} managed policies, the most that IAM takes; detach one, or put several into one"
        " policy, or choose another group"
    )


def full_user(user: str) -> str:
    """Return the sentence for a user who can be in no more groups, with the remedy."""
    return f"IAM user {user} is in {GROUPS_PER_USER} groups, the most that IAM takes; remove the user from one"
