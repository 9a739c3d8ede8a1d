"""Start, end and work of a server while IAM is away, and with more groups and members than fit into a page."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from membership_site import ACCOUNT, MembershipSite, entry, group_entry, running, wait_until

from kube_iam.core.server_policy import server_policy

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("membership-starts")]

ROLE = "start-admin"
PLAIN = f"  mapUsers:\n  - userarn: {ACCOUNT}:user/paula\n    username: paula\n"
MAPPINGS = "  mapRoles:\n" + entry(ROLE) + PLAIN


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MembershipSite]:
    with running(tmp_path_factory.mktemp("starts"), (ROLE,), MAPPINGS) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(site: MembershipSite) -> Iterator[None]:
    yield
    site.iam.heal()


def test_a_server_that_waits_for_iam_ends_when_it_is_told_to(site: MembershipSite) -> None:
    site.iam.may_answer.clear()
    asked = len(site.iam.calls)
    wait_until(lambda: len(site.iam.calls) > asked, "a read is under way")
    server = site.home.process("webhook")
    server.signal(signal.SIGTERM)
    # Sooner than the call, which nobody answers, is given up.
    wait_until(lambda: server.pid() is None, "the server ends", 9)


def test_start_without_iam_admits_only_entries_without_membership(site: MembershipSite) -> None:
    member, left = site.join("alice", ROLE), site.join("lea", ROLE)
    site.leave("lea", ROLE)
    plain = site.account.user("paula")
    site.stop()
    site.configure(MAPPINGS, "  membershipMaxAge: 4s\n")
    site.iam.fault = lambda _: (0, "")
    site.start()
    assert "could not be read lately" in site.sign_in(member)["error"]
    assert not site.is_admitted(left)
    assert site.is_admitted(plain)
    assert site.ready().startswith("IAM could not be read")
    assert f"group {ROLE}" in site.ready()
    assert f"role {ACCOUNT}:role/{ROLE}" in site.ready()
    site.iam.heal()
    wait_until(lambda: site.ready() == "ok", "what could not be read is read")
    wait_until(lambda: site.is_admitted(member), "the member is admitted")
    assert not site.is_admitted(left)


def test_members_are_refused_while_iam_is_away_for_too_long(site: MembershipSite) -> None:
    member, plain = site.join("mia", ROLE), site.account.user("paula")
    wait_until(lambda: site.is_admitted(member), "the member is admitted")
    site.iam.fault = lambda _: (0, "")
    wait_until(lambda: not site.is_admitted(member), "what was read last has become too old")
    assert "could not be read lately" in site.sign_in(member)["error"]
    assert site.is_admitted(plain)
    assert site.ready().startswith("IAM could not be read, or not for too long")
    wait_until(lambda: 'admit nobody until it can" group=' in site.log, "the log says so")
    site.iam.heal()
    wait_until(lambda: site.is_admitted(member), "the member is admitted again")


@pytest.mark.thorough
def test_two_hundred_groups_one_of_them_with_a_thousand_members(site: MembershipSite) -> None:
    groups = [f"many-{number:03}" for number in range(200)]
    for name in groups:
        site.account.administrator.create_group(GroupName=name)
    site.iam.crowd["many-007"] = 1000
    wanda = site.add("wanda", "many-007")
    site.add("wanda", "many-142")
    stranger = site.account.user("stefan")
    site.stop()
    site.allow(server_policy([f"{ACCOUNT}:group/many-*"], []))
    site.configure("  mapGroups:\n" + "".join(map(group_entry, groups)), "  membershipMaxAge: 30m\n")
    text = site.home.server_config.read_text().replace("membershipRefresh: 1s", "membershipRefresh: 20m")
    site.home.server_config.write_text(text)
    site.iam.calls.clear()
    site.start()
    wait_until(lambda: site.ready() == "ok", "all groups are read")
    assert site.sign_in(wanda)["user"]["groups"] == ["kube-iam:many-007", "kube-iam:many-142"]
    assert not site.is_admitted(stranger)
    assert site.metric('kube_iam_membership_members{group="many-007"}') == 1001
    # Each page was asked for once, and no sign-in asks for anything.
    assert len(site.iam.calls) == 199 + 11
