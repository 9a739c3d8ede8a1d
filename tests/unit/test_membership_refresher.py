"""Reads of IAM and their schedule. A read that fails is only tried again."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from identities import role_session
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.reasons import Reason
from kube_iam.errors import AccessDenied, CredentialsError, KubeIamError, Throttled, Unreachable
from kube_iam.membership.backoff import MAX_CONCURRENCY
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import GroupFound, RoleFound
from kube_iam.membership.refresher import MembershipRefresher
from kube_iam.membership.snapshots import GroupChange

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Admin"
REQUIREMENT = MembershipRequirement("admins", ROLE.lower(), "Admin")
HELD = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": ACCOUNT},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
    },
}
LOOSE = {**HELD, "Statement": {**HELD["Statement"], "Condition": {}}}  # type: ignore[dict-item]


@dataclass
class FakeIam:
    """IAM in threads. `fault` may raise instead."""

    groups: dict[str, dict[str, str]] = field(default_factory=lambda: {"admins": {"alice": "AIDAALICE"}})
    roles: dict[str, RoleFound] = field(
        default_factory=lambda: {"Admin": RoleFound(ROLE, "AROAADMIN", json.dumps(HELD), 3600)}
    )
    fault: Callable[[str], None] = lambda _: None
    calls: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def group(self, name: str) -> GroupFound | None:
        self._call(name)
        return GroupFound(ACCOUNT, dict(self.groups[name])) if name in self.groups else None

    def role(self, name: str) -> RoleFound | None:
        self._call(name)
        return self.roles.get(name)

    def _call(self, name: str) -> None:
        with self.lock:
            self.calls.append(name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.fault(name)
            time.sleep(0.001)
        finally:
            with self.lock:
                self.at_once -= 1


@dataclass
class Observed:
    """The calls that an observer received."""

    changes: list[tuple[str, GroupChange]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failures: list[tuple[str, type[KubeIamError], bool]] = field(default_factory=list)

    def group_read(self, name: str, found: GroupFound | None, change: GroupChange) -> None:
        if change.first or change.joined or change.left:
            self.changes.append((name, change))

    def role_read(self, role: str, problem: str, *, changed: bool) -> None:
        if changed:
            self.problems.append(problem)

    def failed(self, kind: str, name: str, error: KubeIamError, *, kept: bool) -> None:
        self.failures.append((name, type(error), kept))


class Site:
    def __init__(self, iam: FakeIam, refresh: float, max_age: float) -> None:
        self.iam = iam
        self.observed = Observed()
        self.cache = MembershipCache(max_age, time.monotonic, time.time)
        self.membership = MembershipRefresher(iam, self.cache, self.observed, refresh, time.monotonic)


def run(
    story: Callable[[Site], Awaitable[None]], iam: FakeIam | None = None, *, refresh: float = 0.02, max_age: float = 60
) -> Site:
    async def whole() -> Site:
        site = Site(iam or FakeIam(), refresh, max_age)
        site.membership.set_tracked((), [REQUIREMENT])
        try:
            await asyncio.wait_for(story(site), 20)
        finally:
            await site.membership.stop()
        return site

    return asyncio.run(whole())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_what_is_followed_is_known_when_the_start_returns() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        assert site.cache.stale() == []

    site = run(story)
    assert site.observed.changes == [("admins", GroupChange(("alice",), (), first=True))]
    assert site.observed.problems == [""]


def test_it_is_read_again_and_again_and_a_change_is_told_once() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        await until(lambda: site.iam.calls.count("admins") >= 3)
        site.iam.groups["admins"] = {"bob": "AIDABOB"}
        seen = site.iam.calls.count("admins")
        await until(lambda: site.iam.calls.count("admins") >= seen + 3)

    site = run(story)
    assert site.observed.changes[1:] == [("admins", GroupChange(("bob",), ("alice",), first=False))]


def test_new_groups_are_read_at_once() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        site.membership.set_tracked(("viewers",), [REQUIREMENT])
        await until(lambda: "viewers" in site.iam.calls and site.cache.stale() == [])
        assert site.iam.calls.count("admins") == 1

    run(story, refresh=60)


def test_a_trust_policy_that_is_loosened_is_seen() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        site.iam.roles["Admin"] = RoleFound(ROLE, "AROAADMIN", json.dumps(LOOSE), 3600)
        await until(lambda: len(site.observed.problems) == 2)

    assert run(story).observed.problems[1].startswith("statement number 1 of the trust policy")


def test_suspension_after_a_repaired_trust_policy_is_reported() -> None:
    async def story(site: Site) -> None:
        held = site.iam.roles["Admin"]
        site.iam.roles["Admin"] = RoleFound(ROLE, "AROAADMIN", json.dumps(LOOSE), 3600)
        await site.membership.start()
        site.iam.roles["Admin"] = held
        await until(lambda: len(site.observed.problems) == 2)
        site.iam.roles["Admin"] = RoleFound(ROLE, "AROAANEW", json.dumps(HELD), 3600)
        await until(lambda: len(site.observed.problems) == 3)

    _, repaired, anew = run(story).observed.problems
    assert "delete the role and run kube-iam apply" in repaired
    assert anew == ""


def found_role(arn: str) -> RoleFound:
    """Return a role whose trust policy is good by the measure of its own account."""
    return RoleFound(arn, "AROAADMIN", json.dumps(HELD).replace(ACCOUNT, arn.split(":")[4]), 3600)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (None, "IAM knows no such role"),
        (found_role("arn:aws:iam::999900001111:role/Admin"), "the role is of another account"),
        (found_role("arn:aws-cn:iam::111122223333:role/Admin"), "the role is of another account"),
        (found_role("arn:aws:iam::111122223333:role/team/Operator"), "the role is of another account"),
    ],
)
def test_role_that_is_absent_or_of_another_account_admits_nobody(found: RoleFound | None, problem: str) -> None:
    iam = FakeIam(roles={"Admin": found} if found else {})

    async def story(site: Site) -> None:
        await site.membership.start()

    site = run(story, iam)
    (problem_seen,) = site.observed.problems
    assert problem_seen.startswith(problem)
    assert refusal_of(site, "alice") is Reason.MEMBERSHIP_STALE


def test_role_of_the_account_admits_members_whatever_its_path() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()

    iam = FakeIam(roles={"Admin": found_role("arn:aws:iam::111122223333:role/team/a/Admin")})
    site = run(story, iam)
    assert site.observed.problems == [""]
    assert refusal_of(site, "alice") is None
    assert refusal_of(site, "bob") is Reason.NOT_MEMBER


def refusal_of(site: Site, name: str) -> Reason | None:
    who = role_session(name, "Admin", account=ACCOUNT, user_id="AROAADMIN")
    refusal = site.cache.check_role_session(REQUIREMENT, who)
    return refusal.reason if refusal is not None else None


def test_role_created_again_is_read_when_it_is_asked_for() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        site.iam.roles["Admin"] = RoleFound(ROLE, "AROANEW", json.dumps(HELD), 3600, time.time())
        assert await site.membership.refresh((), (REQUIREMENT.role,))
        assert not await site.membership.refresh((), (REQUIREMENT.role,))  # not twice within two seconds

    site = run(story, refresh=60)
    assert site.iam.calls.count("Admin") == 2
    assert refusal_of(site, "alice") is Reason.SESSION_PREDATES_ROLE


@pytest.mark.parametrize(
    "error", [Throttled("t"), Unreachable("u"), AccessDenied("d"), CredentialsError("c"), OSError("o")]
)
def test_one_failed_read_changes_nothing_and_is_tried_again(error: Exception) -> None:
    async def story(site: Site) -> None:
        await site.membership.start()

        def once(name: str) -> None:
            site.iam.fault = lambda _: None
            raise error

        site.iam.fault = once
        await until(lambda: site.observed.failures)
        assert site.cache.stale() == []
        seen = len(site.iam.calls)
        await until(lambda: len(site.iam.calls) >= seen + 2)

    site = run(story)
    assert site.observed.failures[0][2] is True
    assert site.observed.changes == [("admins", GroupChange(("alice",), (), first=True))]


def test_a_start_without_iam_returns_and_what_was_not_read_is_waiting() -> None:
    def down(name: str) -> None:
        raise Unreachable("no network")

    async def story(site: Site) -> None:
        await site.membership.start()
        await until(lambda: {name for name, _, _ in site.observed.failures} == {"admins", REQUIREMENT.role})
        assert site.cache.stale() == ["group admins", f"role {REQUIREMENT.role}"]
        site.iam.fault = lambda _: None
        await until(lambda: site.cache.stale() == [])

    site = run(story, FakeIam(fault=down))
    assert {kept for _, _, kept in site.observed.failures} == {False}


def test_two_hundred_groups_of_a_thousand_are_all_read_a_few_at_once() -> None:
    people = {f"user{number}": f"AIDA{number:016}" for number in range(1000)}
    names = [f"group{number}" for number in range(200)]
    iam = FakeIam(groups=dict.fromkeys(names, people))

    async def story(site: Site) -> None:
        site.membership.set_tracked(names, ())
        await site.membership.start()
        await until(lambda: site.cache.stale() == [])
        await until(lambda: all(site.iam.calls.count(name) >= 2 for name in names))

    site = run(story, iam, refresh=0.5)
    assert site.iam.most_at_once <= MAX_CONCURRENCY


def test_one_group_that_may_not_be_read_keeps_no_other_waiting() -> None:
    names = [f"group{number}" for number in range(50)]

    def denied(name: str) -> None:
        if name == "group7":
            raise AccessDenied("not this one")

    async def story(site: Site) -> None:
        site.membership.set_tracked(names, ())
        await site.membership.start()
        await until(lambda: site.cache.stale() == ["group group7"])

    run(story, FakeIam(groups={name: {} for name in names}, fault=denied), refresh=60)


@pytest.mark.slow
def test_while_iam_throttles_it_is_asked_less_and_less() -> None:
    names = [f"group{number}" for number in range(100)]

    def throttled(name: str) -> None:
        raise Throttled("slow down")

    async def story(site: Site) -> None:
        site.membership.set_tracked(names, ())
        await site.membership.start()

    site = run(story, FakeIam(groups={name: {} for name in names}, fault=throttled), refresh=0.02)
    assert len(site.iam.calls) <= 4 * MAX_CONCURRENCY


def test_without_anything_to_follow_iam_is_left_alone() -> None:
    async def story(site: Site) -> None:
        site.membership.set_tracked((), ())
        await site.membership.start()
        await asyncio.sleep(0)

    assert run(story).iam.calls == []


def test_new_member_is_found_by_a_refresh() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        site.iam.groups["admins"]["bob"] = "AIDABOB"
        before = site.iam.calls.count("admins")
        assert all(await asyncio.gather(*(site.membership.refresh(["admins"]) for _ in range(20))))
        assert site.iam.calls.count("admins") == before + 1
        assert [change.joined for _, change in site.observed.changes] == [("alice",), ("bob",)]

    run(story, refresh=3600)


def test_refused_sign_ins_do_not_call_iam_again_and_again() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()
        assert await site.membership.refresh(["admins"])
        before = len(site.iam.calls)
        assert not any([await site.membership.refresh(["admins"]) for _ in range(50)])
        assert not await site.membership.refresh(["nobody-follows-this"])
        assert len(site.iam.calls) == before

    run(story, refresh=3600)


def test_refresh_that_fails_changes_nothing() -> None:
    async def story(site: Site) -> None:
        await site.membership.start()

        def down(_: str) -> None:
            raise Unreachable("IAM does not answer")

        site.iam.fault = down
        assert not await site.membership.refresh(["admins"])
        assert site.observed.failures == [("admins", Unreachable, True)]
        assert not await site.membership.refresh(["admins"])

    run(story, refresh=3600)


def test_while_iam_fails_for_all_it_is_asked_by_one_call_at_a_time() -> None:
    names = [f"group{number}" for number in range(20)]

    def down(name: str) -> None:
        time.sleep(0.05)  # long enough for calls to be under way together
        raise Unreachable("no network")

    async def story(site: Site) -> None:
        await site.membership.start()
        site.membership.set_tracked(names, [REQUIREMENT])
        await until(lambda: site.iam.at_once == 0 and site.observed.failures)
        site.iam.most_at_once, seen = 0, len(site.iam.calls)
        await until(lambda: len(site.iam.calls) > seen and site.iam.at_once == 0)

    assert run(story, FakeIam(fault=down)).iam.most_at_once == 1


def test_a_role_whose_name_is_spelt_otherwise_now_is_read_by_it() -> None:
    iam = FakeIam(roles={"admin": RoleFound(ROLE, "AROAADMIN", json.dumps(HELD), 3600)})

    async def story(site: Site) -> None:
        await site.membership.start()
        assert site.observed.problems == ["IAM knows no such role"]
        site.membership.set_tracked((), [MembershipRequirement("admins", ROLE.lower(), "admin")])
        await until(lambda: site.observed.problems[-1] == "")

    run(story, iam, refresh=60)


def test_many_groups_are_not_all_read_for_one_person() -> None:
    names = [f"group{number}" for number in range(20)]

    async def story(site: Site) -> None:
        site.membership.set_tracked(names, [REQUIREMENT])
        await site.membership.start()
        before = len(site.iam.calls)
        assert not await site.membership.refresh(names)
        assert len(site.iam.calls) == before

    run(story, refresh=3600)


def test_number_of_refreshed_groups_is_limited_for_all_sign_ins() -> None:
    names = [f"group{number}" for number in range(20)]
    now = time.monotonic()

    async def story(site: Site) -> None:
        site.membership = MembershipRefresher(site.iam, site.cache, site.observed, 3600, lambda: now)
        site.membership.set_tracked(names, [REQUIREMENT])
        await site.membership.start()
        before = len(site.iam.calls)
        done = [await site.membership.refresh([name]) for name in names]
        assert done == [True] * 8 + [False] * 12
        assert len(site.iam.calls) == before + 8

    run(story, FakeIam(groups={name: {} for name in names}), refresh=3600)


def test_in_time_the_others_are_read_too() -> None:
    names = [f"group{number}" for number in range(9)]
    now = time.monotonic()

    async def story(site: Site) -> None:
        nonlocal now
        site.membership = MembershipRefresher(site.iam, site.cache, site.observed, 3600, lambda: now)
        site.membership.set_tracked(names, ())
        await site.membership.start()
        assert await site.membership.refresh(names[:8])
        assert not await site.membership.refresh(names[8:])
        now += 2
        assert await site.membership.refresh(names[8:])

    run(story, FakeIam(groups={name: {} for name in names}), refresh=3600)
