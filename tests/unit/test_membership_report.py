"""Memberships in the log and the metrics."""

from __future__ import annotations

import io

from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.errors import AccessDenied, CredentialsError, Throttled, Unreachable
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import GroupFound
from kube_iam.membership.snapshots import GroupChange, GroupSnapshot, RoleSnapshot
from kube_iam.server.log import Log, Scrubber
from kube_iam.server.metrics import Metrics
from kube_iam.server.observers import MembershipObserver, show_ages

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"


class Site:
    def __init__(self, *scrubbed: str) -> None:
        self.written = io.StringIO()
        self.metrics = Metrics()
        self.report = MembershipObserver(Log(self.written, clock=lambda: 0.0), self.metrics, scrubbed)

    def group(self, joined: tuple[str, ...] = (), left: tuple[str, ...] = (), *, first: bool = False) -> None:
        self.report.group_read(
            "admins", GroupFound(ACCOUNT, {"alice": "AIDAALICE"}), GroupChange(joined, left, first=first)
        )

    def gone(self, left: tuple[str, ...] = (), *, first: bool = False) -> None:
        self.report.group_read("admins", None, GroupChange((), left, first=first))

    def said(self) -> list[str]:
        """Return the lines that were logged since the last time."""
        lines = self.written.getvalue().splitlines()
        self.written.seek(0)
        self.written.truncate()
        return lines

    def sample(self, name: str) -> str:
        return next((line.split(" ")[1] for line in self.metrics.render().splitlines() if line.startswith(name)), "")


def test_added_and_removed_members_are_logged_but_not_the_first_ones() -> None:
    site = Site()
    site.group(joined=("alice", "bob"), first=True)
    (line,) = site.said()
    assert "members=1" in line
    assert "alice" not in line
    site.group(joined=("carol",), left=("bob",))
    (line,) = site.said()
    assert 'msg="group members changed"' in line
    assert "joined=[carol]" in line or 'joined="[carol]"' in line
    assert "left=[bob]" in line or 'left="[bob]"' in line
    site.group()
    assert site.said() == []


def test_only_some_of_many_members_are_named() -> None:
    site = Site()
    site.group(joined=tuple(f"user{number}" for number in range(5000)))
    (line,) = site.said()
    assert len(line) < 1000


def test_a_group_that_is_not_there_is_said_once() -> None:
    site = Site()
    site.gone(first=True)
    assert "IAM knows no such group" in site.said()[0]
    site.gone()
    assert site.said() == []
    site.group(joined=("alice",))
    site.said()
    site.gone(left=("alice",))
    assert "the group is gone" in site.said()[0]
    assert site.sample('kube_iam_membership_members{group="admins"}') == "0"


def test_first_failure_first_refusal_and_recovery_are_logged() -> None:
    site = Site()
    for kept in (True, True, False, False):
        site.report.failed("group", "admins", Throttled("cannot read"), kept=kept)
    first, closing = site.said()
    assert "what was read last counts until it is too old" in first
    assert "its entries admit nobody until it can" in closing
    site.group()
    assert "IAM can be read again" in site.said()[0]
    site.group()
    assert site.said() == []
    assert site.sample('kube_iam_membership_failures_total{kind="group",cause="throttled"}') == "4"


def test_each_failure_is_counted_by_its_cause_and_rights_come_with_a_remedy() -> None:
    site = Site()
    for error in (Throttled("t"), Unreachable("u"), AccessDenied("d"), CredentialsError("c")):
        site.report.failed("role", ROLE, error, kept=True)
    for cause in ("throttled", "unreachable", "denied", "other"):
        assert site.sample(f'kube_iam_membership_failures_total{{kind="role",cause="{cause}"}}') == "1"
    site = Site()
    site.report.failed("group", "admins", AccessDenied("d"), kept=False)
    assert "kube-iam policy server" in site.said()[0]


def test_role_that_admits_nobody_is_an_error_and_a_metric_until_it_is_repaired() -> None:
    site = Site()
    site.report.role_read(ROLE, 'statement "Loose" is open', changed=True)
    (line,) = site.said()
    assert "level=error" in line
    assert "Loose" in line
    assert site.sample(f'kube_iam_role_trust_invalid{{role="{ROLE}"}}') == "1"
    site.report.role_read(ROLE, 'statement "Loose" is open', changed=False)
    assert site.said() == []
    site.report.role_read(ROLE, "", changed=True)
    assert "level=info" in site.said()[0]
    assert site.sample(f'kube_iam_role_trust_invalid{{role="{ROLE}"}}') == "0"


def test_what_is_no_longer_followed_leaves_the_metrics_and_may_fail_anew() -> None:
    site = Site()
    site.group(first=True)
    site.report.failed("group", "admins", Throttled("t"), kept=True)
    site.report.role_read(ROLE, "", changed=True)
    site.report.set_tracked((), ())
    assert site.sample("kube_iam_membership_members{") == ""
    assert site.sample("kube_iam_role_trust_invalid{") == ""
    site.said()
    site.report.failed("group", "admins", Throttled("t"), kept=True)
    assert len(site.said()) == 1


def test_accounts_that_must_not_be_logged_are_not() -> None:
    site = Site(ACCOUNT)
    site.group(joined=("alice",), left=("bob",))
    site.report.role_read(ROLE, f"allows {ACCOUNT}", changed=True)
    site.report.failed("role", ROLE, AccessDenied(f"{ROLE} may not be read"), kept=False)
    text = "\n".join(site.said())
    assert ACCOUNT not in text
    assert "alice" not in text
    assert "bob" not in text
    assert "1 people" in text


def test_metrics_show_no_scrubbed_account() -> None:
    site, other = Site(ACCOUNT, "444455556666"), ROLE.replace(ACCOUNT, "444455556666")
    cache = MembershipCache(300, lambda: 100.0, lambda: 0.0)
    show_ages(cache, site.metrics, Scrubber((ACCOUNT, "444455556666")))
    cache.set_tracked((), [MembershipRequirement("admins", role, "admin") for role in (ROLE, other)])
    for role, read_at in ((ROLE, 90.0), (other, 70.0)):
        cache.update_role(role, RoleSnapshot(read_at, "AROA", 3600))
        site.report.role_read(role, "is open", changed=True)
    hidden = f'{{role="{ROLE.replace(ACCOUNT, "…")}"}}'
    text = site.metrics.render()
    assert ACCOUNT not in text
    assert "444455556666" not in text
    assert text.count(hidden) == 2  # of equal names one, since a sample must not repeat
    assert site.sample(f"kube_iam_role_trust_age_seconds{hidden}") == "30"
    assert site.sample(f"kube_iam_role_trust_invalid{hidden}") == "1"
    site.report.set_tracked({"admins"}, {ROLE})
    assert site.sample(f"kube_iam_role_trust_invalid{hidden}") == "1"
    site.report.set_tracked({"admins"}, set())
    assert site.sample("kube_iam_role_trust_invalid{") == ""


def test_ages_are_those_of_what_was_read_and_are_left_out_where_nothing_was() -> None:
    site, now = Site(), [100.0]
    cache = MembershipCache(300, lambda: now[0], lambda: 0.0)
    show_ages(cache, site.metrics, str)
    cache.set_tracked(("viewers",), [MembershipRequirement("admins", ROLE, "admin")])
    cache.update_group("admins", GroupSnapshot(100.0, ACCOUNT, {}))
    now[0] = 107.5
    assert site.sample('kube_iam_membership_age_seconds{group="admins"}') == "7.5"
    assert site.sample('kube_iam_membership_age_seconds{group="viewers"}') == ""
    assert site.sample("kube_iam_role_trust_age_seconds{") == ""
