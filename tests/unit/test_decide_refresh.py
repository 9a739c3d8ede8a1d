"""Stage 3 of a decision: groups and roles that are read once more from IAM, and the mappings found anew after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import pytest
from decisions import (
    ACCOUNT,
    ALICE,
    BOB,
    Backend,
    Backends,
    KnownTokens,
    Memberships,
    of_group,
    reason,
    requiring,
    table,
)

from kube_iam.authn.decide import Allowed, Authenticator, Decision
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import UserMapping
from kube_iam.core.reasons import Reason
from kube_iam.core.templates import parse_template
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupSnapshot, RoleSnapshot


@dataclass
class JoinedGroups:
    """Reads into the cache what IAM says only now. `change` happens while it is asked; `answers`: it can be asked now."""

    cache: MembershipCache
    members: dict[str, str]
    change: Callable[[], None] = lambda: None
    answers: bool = True
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def refresh(self, groups: Collection[str], roles: Collection[str] = ()) -> bool:
        self.asked.append((*groups, *roles))
        self.change()
        if not self.answers:
            return False
        for name in groups:
            self.cache.update_group(name, GroupSnapshot(0.0, ACCOUNT, self.members))
        return True


@pytest.mark.parametrize("backend", [requiring(), of_group("admins")])
@pytest.mark.parametrize("who", [ALICE, BOB])
def test_group_is_read_once_more_before_a_new_member_is_refused(backend: Backend, who: Identity) -> None:
    assert backend.table is not None
    cache = MembershipCache(300, lambda: 0.0, lambda: 0.0)
    cache.set_tracked(("admins",), backend.table.requirements)
    cache.update_group("admins", GroupSnapshot(0.0, ACCOUNT, {"carol": "AIDACAROL"}))
    for requirement in backend.table.requirements:
        cache.update_role(requirement.role, RoleSnapshot(0.0, ALICE.user_id))
    iam = JoinedGroups(cache, {"alice": "AIDAALICE", "bob": "AIDABOB"})
    authenticator = Authenticator(KnownTokens(who), Backends(backend), memberships=Memberships(cache, iam.refresh))
    comes_by_it = bool(backend.table.requirements) is (who is ALICE)
    assert isinstance(asyncio.run(authenticator.authenticate("k8s-aws-v1.x")), Allowed) is comes_by_it
    assert iam.asked == ([("admins",)] if comes_by_it else [])
    assert isinstance(asyncio.run(authenticator.authenticate("k8s-aws-v1.x")), Allowed) is comes_by_it
    assert len(iam.asked) <= 1


@dataclass
class RoleCreatedAgain:
    """IAM, which shows a role with another id than the server has read so far. `answers`: it can be asked now."""

    cache: MembershipCache
    clock: list[float]
    answers: bool = True
    asked: int = 0

    async def refresh(self, groups: Collection[str], roles: Collection[str] = ()) -> bool:
        self.asked += 1
        if not self.answers:
            return False
        self.clock[0] += 1
        for role in roles:
            self.cache.update_role(role, RoleSnapshot(self.clock[0], "AROACURRENT", created=self.clock[0]))
        return True


@pytest.mark.parametrize(
    ("session_of", "answers", "outcomes"),
    [
        ("AROACURRENT", True, [None, None]),
        ("AROACURRENT", False, [Reason.ROLE_RECREATED] * 2),
        ("AROAFORMER", True, [Reason.SESSION_PREDATES_ROLE] * 2),
        ("AROAFORMER", False, [Reason.ROLE_RECREATED] * 2),
    ],
)
def test_role_is_read_once_more_before_a_session_of_another_role_id_is_refused(
    session_of: str, answers: bool, outcomes: list[Reason | None]
) -> None:
    backend, clock = requiring(), [0.0]
    assert backend.table is not None
    cache = MembershipCache(300, lambda: clock[0], lambda: clock[0])
    cache.set_tracked((), backend.table.requirements)
    cache.update_group("admins", GroupSnapshot(0.0, ACCOUNT, {"alice": "AIDAALICE"}))
    for requirement in backend.table.requirements:
        cache.update_role(requirement.role, RoleSnapshot(0.0, "AROAREADBEFORE"))
    iam = RoleCreatedAgain(cache, clock, answers)
    who = replace(ALICE, user_id=session_of)
    authenticator = Authenticator(KnownTokens(who), Backends(backend), memberships=Memberships(cache, iam.refresh))
    decisions = [asyncio.run(authenticator.authenticate("k8s-aws-v1.x")) for _ in outcomes]
    assert [None if isinstance(each, Allowed) else reason(each) for each in decisions] == outcomes
    assert iam.asked == (1 if answers else 2)


def joined_just_now(
    backend: Backend, *, change: Callable[[], None] = lambda: None, answers: bool = True
) -> JoinedGroups:
    """IAM, where alice and bob are in the group of the backend since a moment. `change` happens while it is asked."""
    assert backend.table is not None
    cache = MembershipCache(300, lambda: 0.0, lambda: 0.0)
    requirements = backend.table.requirements
    groups = (*backend.table.group_mappings.iam_groups, *(each.iam_group for each in requirements))
    cache.set_tracked(groups, requirements)
    for name in groups:
        cache.update_group(name, GroupSnapshot(0.0, ACCOUNT, {}))
    for each in requirements:
        cache.update_role(each.role, RoleSnapshot(0.0, ALICE.user_id))
    return JoinedGroups(cache, {"alice": "AIDAALICE", "bob": "AIDABOB"}, change, answers)


def decide_after_refresh(iam: JoinedGroups, who: Identity, *backends: Backend) -> Decision:
    authenticator = Authenticator(
        KnownTokens(who), Backends(*backends), memberships=Memberships(iam.cache, iam.refresh)
    )
    decision = asyncio.run(authenticator.decide(who))
    assert len(iam.asked) == 1
    return decision


@pytest.mark.parametrize("answers", [True, False], ids=["read", "not read"])
@pytest.mark.parametrize(
    ("who", "old", "new", "why"),
    [
        (ALICE, requiring(), table(), Reason.NOT_MAPPED),
        (ALICE, requiring(), requiring("owners").table, Reason.MEMBERSHIP_STALE),
        (ALICE, requiring(), None, Reason.MAPPINGS_NOT_LOADED),
        (BOB, of_group(), table(), Reason.NOT_MAPPED),
        (BOB, of_group(), of_group("owners").table, Reason.MEMBERSHIP_STALE),
        (BOB, of_group(), None, Reason.MAPPINGS_NOT_LOADED),
    ],
)
def test_mapping_that_goes_while_iam_is_asked_admits_nobody_any_more(
    who: Identity, old: Backend, new: MappingTable | None, why: Reason, answers: bool
) -> None:
    backend = replace(old)
    iam = joined_just_now(backend, change=lambda: setattr(backend, "table", new), answers=answers)
    assert reason(decide_after_refresh(iam, who, backend)) is why


@pytest.mark.parametrize("answers", [True, False], ids=["read", "not read"])
def test_mapping_that_replaces_another_while_iam_is_asked_decides(answers: bool) -> None:
    backend = requiring()
    iam = joined_just_now(backend, change=lambda: setattr(backend, "table", table("new")), answers=answers)
    decision = decide_after_refresh(iam, ALICE, backend)
    assert isinstance(decision, Allowed)
    assert decision.user.username == "new"


@pytest.mark.parametrize(("answers", "username"), [(True, "awsiam:bob"), (False, "by-arn")], ids=["read", "not read"])
def test_group_joined_just_now_is_read_before_a_later_backend_answers(answers: bool, username: str) -> None:
    group = of_group()
    user = Backend(MappingTable.build([], [UserMapping(BOB.arn, parse_template("by-arn"))], ())[0])
    decision = decide_after_refresh(joined_just_now(group, answers=answers), BOB, group, user)
    assert isinstance(decision, Allowed)
    assert decision.user.username == username
