"""Quotas of IAM that a plan or a grant would exceed, and that cannot be raised. `member_lists` checks those of listed users.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kube_iam.access.changes import Attachment, Change, Detachment, Membership, Verb
from kube_iam.access.observed import Observed
from kube_iam.access.ports import Directory

POLICIES_PER_GROUP = 10
GROUPS_PER_USER = 10


def exceeded_quotas(changes: Iterable[Change], observed: Observed, directory: Directory) -> Iterator[str]:
    """Yield a sentence for each change that IAM would refuse, counting the changes in their order."""
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


def full_group(group: str) -> str:
    """Return the sentence for a group that takes no more policies, with the remedy."""
    return (
        f"IAM group {group} has {POLICIES_PER_GROUP} managed policies, the most that IAM takes; detach one, or put several into one"
        " policy, or choose another group"
    )


def full_user(user: str) -> str:
    """Return the sentence for a user who can be in no more groups, with the remedy."""
    return f"IAM user {user} is in {GROUPS_PER_USER} groups, the most that IAM takes; remove the user from one"
