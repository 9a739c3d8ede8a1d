"""Faults of IAM and of the network: a failed read admits no user, and refuses no member.

The rights and the sessions are those of the account's real evaluation. One group has members on two pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from faulty_iam import Call, error
from membership_site import ACCOUNT, MembershipSite, entry, group_entry, running, wait_until

from kube_iam.core.credentials import Credentials

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("membership-faults")]

ROLE, GROUP = "fault-admin", "fault-viewer"
NOTHING: dict[str, object] = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "iam:GetUser", "Resource": f"{ACCOUNT}:user/nobody"},
}


@dataclass(frozen=True)
class People:
    """A member with a session of the role, one of the group with keys, and for each way in somebody who is out."""

    member: Credentials
    viewer: Credentials
    left: Credentials
    stranger: Credentials


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MembershipSite]:
    mappings = "  mapRoles:\n" + entry(ROLE) + "  mapGroups:\n" + group_entry(GROUP)
    with running(tmp_path_factory.mktemp("faults"), (ROLE, GROUP), mappings) as made:
        made.iam.crowd[ROLE] = 150
        yield made


@pytest.fixture(scope="module")
def people(site: MembershipSite) -> People:
    viewer = site.add("vera", GROUP)
    found = People(site.join("alice", ROLE), viewer, site.join("lea", ROLE), site.account.user("stefan"))
    site.leave("lea", ROLE)
    read_anew(site)
    as_it_was(site, found)
    return found


@pytest.fixture(autouse=True)
def healed(site: MembershipSite) -> Iterator[None]:
    yield
    site.iam.heal()


def as_it_was(site: MembershipSite, people: People) -> None:
    assert site.is_admitted(people.member)
    assert site.is_admitted(people.viewer)
    assert not site.is_admitted(people.left)
    assert not site.is_admitted(people.stranger)
    assert site.ready() == "ok"


def read_anew(site: MembershipSite, *groups: str) -> None:
    """Wait until the groups have been read whole from now on."""
    began = time.monotonic()

    def age(group: str) -> float:
        return site.metric(f'kube_iam_membership_age_seconds{{group="{group}"}}')

    wait_until(lambda: all(age(group) < time.monotonic() - began for group in groups or (ROLE, GROUP)), "IAM is read")


def in_the_middle(site: MembershipSite) -> Callable[[Call], tuple[int, str]]:
    def cut(call: Call) -> tuple[int, str]:
        status, text = site.iam.paged(call)
        return status, text[: len(text) // 2]

    return cut


def page_two(answer: tuple[int, str]) -> Callable[[Call], tuple[int, str] | None]:
    return lambda call: answer if "Marker" in call else None


def without_marker(site: MembershipSite) -> Callable[[Call], tuple[int, str]]:
    def truncated(call: Call) -> tuple[int, str]:
        status, text = site.iam.paged(call)
        return status, text.replace("<Marker>100</Marker>", "")

    return truncated


FAULTS: dict[str, tuple[str, Callable[[MembershipSite], Callable[[Call], tuple[int, str] | None]]]] = {
    "throttled": ("throttled", lambda _: lambda _: error("Throttling")),
    "unreachable": ("unreachable", lambda _: lambda _: (0, "")),
    "out of order": ("unreachable", lambda _: lambda _: error("ServiceFailure", 500)),
    "a proxy's page instead": ("unreachable", lambda _: lambda _: (200, "<html><body>sign in</body></html>")),
    "cut off": ("unreachable", in_the_middle),
    "no second page": ("throttled", lambda _: page_two(error("Throttling"))),
    "the group gone at the second page": ("unreachable", lambda _: page_two(error("NoSuchEntity", 404))),
    "no way to the second page": ("unreachable", without_marker),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_read_neither_admits_nor_refuses_anybody(site: MembershipSite, people: People, fault: str) -> None:
    cause, made = FAULTS[fault]
    counter = f'kube_iam_membership_failures_total{{kind="group",cause="{cause}"}}'
    before = site.metric(counter)
    site.iam.fault = made(site)
    wait_until(lambda: site.metric(counter) > max(before, 0), "a read has failed")
    as_it_was(site, people)
    site.iam.heal()
    read_anew(site)
    as_it_was(site, people)


def test_rights_that_are_taken_away_and_given_back(site: MembershipSite, people: People) -> None:
    counter = 'kube_iam_membership_failures_total{kind="group",cause="denied"}'
    site.allow(NOTHING)
    wait_until(lambda: site.metric(counter) > 0, "a read was denied")
    as_it_was(site, people)
    assert "`kube-iam policy server` prints the policy" in site.log
    site.allow(site.policy)
    read_anew(site)
    as_it_was(site, people)


def test_decisions_do_not_wait_for_an_iam_that_is_slow(site: MembershipSite, people: People) -> None:
    site.iam.may_answer.clear()
    asked = len(site.iam.calls)
    wait_until(lambda: len(site.iam.calls) > asked, "a read is under way")
    as_it_was(site, people)
    assert not site.iam.may_answer.is_set()
    site.iam.heal()
    read_anew(site)
    as_it_was(site, people)


def test_member_removed_during_an_iam_outage_is_refused_after_the_first_read(
    site: MembershipSite, people: People
) -> None:
    leaver = site.join("lars", ROLE)
    wait_until(lambda: site.is_admitted(leaver), "the new member is admitted")
    site.iam.fault = lambda _: (0, "")
    site.leave("lars", ROLE)
    joiner = site.join("jo", ROLE)
    as_it_was(site, people)
    site.iam.heal()
    wait_until(lambda: site.is_admitted(joiner), "the user who joined in the meantime is admitted")
    assert not site.is_admitted(leaver)
    as_it_was(site, people)


def delete_group(iam: Any, name: str) -> None:
    """Delete a group with its members and policies, which IAM wants gone first."""
    for page in iam.get_paginator("get_group").paginate(GroupName=name):
        for user in page["Users"]:
            iam.remove_user_from_group(GroupName=name, UserName=user["UserName"])
    for policy in iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]:
        iam.detach_group_policy(GroupName=name, PolicyArn=policy["PolicyArn"])
    iam.delete_group(GroupName=name)


def test_a_group_made_anew_has_its_own_members_only(site: MembershipSite, people: People) -> None:
    iam = site.account.administrator
    viewer = site.add("gerda", GROUP)
    wait_until(lambda: site.is_admitted(viewer), "the new member is admitted")
    delete_group(iam, GROUP)
    wait_until(
        lambda: not site.is_admitted(viewer) and not site.is_admitted(people.viewer),
        "nobody is a member of what is gone",
    )
    # Gone and there again between two reads, with others in it.
    site.iam.may_answer.clear()
    iam.create_group(GroupName=GROUP)
    iam.add_user_to_group(GroupName=GROUP, UserName="vera")
    site.iam.may_answer.set()
    wait_until(lambda: site.is_admitted(people.viewer), "the members of the new group enter")
    assert not site.is_admitted(viewer)
    as_it_was(site, people)


def test_user_created_again_does_not_share_sessions_with_the_former_user(site: MembershipSite, people: People) -> None:
    old = site.join("nora", ROLE)
    wait_until(lambda: site.is_admitted(old), "the new member is admitted")
    keys = site.made_anew("nora", ROLE)
    site.account.administrator.add_user_to_group(GroupName=ROLE, UserName="nora")
    read_anew(site)
    new = site.account.assume(keys, f"{ACCOUNT}:role/{ROLE}", "nora")
    for session in (old, new):
        expected = "nora is another IAM user than before, whose sessions may still live (request "
        assert expected in site.sign_in(session)["error"]
    as_it_was(site, people)


def test_user_created_again_is_another_user_in_a_group_at_once(site: MembershipSite, people: People) -> None:
    old = site.add("nils", GROUP)
    wait_until(lambda: site.is_admitted(old), "the new member is admitted")
    site.iam.may_answer.clear()
    new = site.made_anew("nils", GROUP)
    # The server still knows the old one as a member.
    assert not site.is_admitted(new)
    site.iam.may_answer.set()
    read_anew(site)
    assert not site.is_admitted(new)
    assert not site.is_admitted(old)
    site.account.administrator.add_user_to_group(GroupName=GROUP, UserName="nils")
    wait_until(lambda: site.is_admitted(new), "the new user is admitted as a member")
    as_it_was(site, people)
