"""Access that ends by itself: nobody is in longer than meant, wherever a run stops, and what is over goes."""

from dataclasses import replace

import pytest
from fake_account import FakeAccount, Killed
from hypothesis import given, settings
from hypothesis import strategies as st
from levels_for_tests import ADMIN, VIEWER, access, run

from examples import examples
from kube_iam.access.apply import remove_temporary_access
from kube_iam.access.changes import Kind, Verb
from kube_iam.access.desired import desired_entry, end_of
from kube_iam.access.inventory import Inventory
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Method
from kube_iam.access.members import apply_members, plan_members
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.temporary import TemporaryAccess, check_seconds, leftovers, temporary_in_force
from kube_iam.config.suggestions import suggestion
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.utc import rfc3339
from kube_iam.errors import AccessDenied, NotFound, NotOwned, UsageError

NOW = 1_800_000_000.0
POLICY = ("alice", "kube-iam-prod-viewer")
BY_GROUP = replace(VIEWER, method=Method.GROUP)


def applied(file: ClusterAccess | None = None) -> FakeAccount:
    account = FakeAccount()
    run(account, plan_apply(file or access(VIEWER), account.ports))
    return account


def temporary(account: FakeAccount, wanted: object = VIEWER) -> TemporaryAccess:
    file = access(wanted)  # type: ignore[arg-type]
    return TemporaryAccess(file, file.levels[0], account.directory, account.store, account.store.entries())


def reader(account: FakeAccount) -> LevelReader:
    return LevelReader(access(VIEWER), account.directory, Inventory(entries=account.store.entries()))


def item(until: float, user: str = "alice", user_id: str = "AIDAalice") -> TemporaryGrant:
    return TemporaryGrant(user, user_id, rfc3339(until), "on call")


def mapped_until(account: FakeAccount, user: str = "alice") -> float:
    """Return the time until which the mapping grants the user access, or 0."""
    return max(
        (who.ends for entry in account.store.all_entries for who in entry.temporary if who.user_name == user),
        default=0.0,
    )


def aws(account: FakeAccount) -> float:
    """Until when AWS lets alice assume the role."""
    document = account.directory.user_policies.get(POLICY)
    return 0.0 if document is None else end_of(document)


def test_an_item_in_the_entry_and_a_policy_of_the_users_own_end_at_the_same_time() -> None:
    account = applied()
    temporary(account).grant(item(NOW + 7200), NOW)
    (entry,) = account.store.all_entries
    assert entry.temporary == (item(NOW + 7200),)
    assert account.directory.user_policies[POLICY] == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TemporaryAccess",
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": "arn:aws:iam::123456789012:role/prod-viewer",
                "Condition": {"DateLessThan": {"aws:CurrentTime": rfc3339(NOW + 7200)}},
            }
        ],
    }
    assert account.directory.group_members["prod-viewer"] == set()
    assert plan_apply(access(VIEWER), account.ports, now=NOW).changes == ()


def test_without_a_role_the_item_is_all() -> None:
    account = applied(access(BY_GROUP))
    temporary(account, BY_GROUP).grant(item(NOW + 60), NOW)
    assert mapped_until(account) == NOW + 60
    assert account.directory.user_policies == {}
    temporary(account, BY_GROUP).revoke("alice", NOW)
    assert account.state() == applied(access(BY_GROUP)).state()


@settings(max_examples=examples(200), deadline=None)
@given(
    before=st.sampled_from([None, -60, 60, 7200]),
    recreated=st.booleans(),
    seconds=st.sampled_from([30, 3600, 9000]),
    kill=st.integers(0, 4),
)
def test_wherever_a_grant_stops_nobody_is_in_longer_than_meant(
    before: int | None, recreated: bool, seconds: int, kill: int
) -> None:
    def prepared() -> FakeAccount:
        account = applied()
        if before is not None:
            temporary(account).grant(item(NOW + before, user_id="AIDAother" if recreated else "AIDAalice"), NOW - 9000)
        return account

    account = prepared()
    longest = max(NOW + seconds, mapped_until(account) if not recreated else 0)
    account.world.fail_after = account.world.writes + kill
    try:
        temporary(account).grant(item(NOW + seconds), NOW)
    except Killed:
        account.world.fail_after = None
        assert mapped_until(account) <= longest
        assert aws(account) <= max(longest, NOW + (before or 0))
        assert account.directory.user_policies.keys() == {POLICY} or before is None
        recorded = any(entry.temporary for entry in account.store.all_entries)
        assert recorded or not account.directory.user_policies
        temporary(account).grant(item(NOW + seconds), NOW)
    other = prepared()
    temporary(other).grant(item(NOW + seconds), NOW)
    assert account.state() == other.state()
    assert mapped_until(account) == aws(account) == NOW + seconds


@pytest.mark.parametrize("kill", [1, 2])
def test_what_a_stopped_grant_left_is_cleaned_by_the_next_apply(kill: int) -> None:
    account = applied()
    account.world.fail_after = account.world.writes + kill
    with pytest.raises(Killed):
        temporary(account).grant(item(NOW + 7200), NOW)
    account.world.fail_after = None
    run(account, plan_apply(access(VIEWER), account.ports, now=NOW + 1))
    assert account.state() == applied().state()


def test_interrupted_revocation_has_ended_the_mapping_and_the_next_one_finishes() -> None:
    seen = []
    for stop in ("add_temporary", "delete_user_policy", "remove_temporary"):
        account = applied()
        temporary(account).grant(item(NOW + 7200), NOW)
        account.world.errors[stop] = AccessDenied("stopped")
        with pytest.raises(AccessDenied):
            temporary(account).revoke("alice", NOW + 60)
        seen.append((mapped_until(account), aws(account)))
        account.world.errors.clear()
        temporary(account).revoke("alice", NOW + 61)
        assert account.state() == applied().state()
    # A mapping that cannot be written keeps its grant; the access in IAM is removed all the same.
    assert seen == [(NOW + 7200, 0), (NOW + 60, NOW + 7200), (NOW + 60, 0)]


def test_without_a_way_to_the_mapping_what_is_in_iam_is_taken_away() -> None:
    account = applied()
    temporary(account).grant(item(NOW + 7200), NOW)
    blind = TemporaryAccess(access(VIEWER), VIEWER, account.directory, None)
    assert blind.may_be_in("alice")
    blind.revoke("alice", NOW)
    assert account.directory.user_policies == {}


def test_revoking_and_granting_for_good_both_take_away_what_was_for_a_time() -> None:
    for into in (False, True):
        account = applied()
        temporary(account).grant(item(NOW + 7200), NOW)
        found = temporary(account)
        planned = plan_members(reader(account), VIEWER, ["alice"], suggestion, into=into, temporary=found)
        assert [
            change.is_needed
            for change in apply_members(reader(account), VIEWER, planned, into=into, temporary=found, now=NOW)
        ] == [True]
        assert (mapped_until(account), account.directory.user_policies) == (0, {})
        assert account.directory.group_members["prod-viewer"] == ({"alice"} if into else set())


def test_valid_temporary_policy_of_the_same_name_for_another_role_is_left_alone() -> None:
    account = applied()
    account.directory.role_states["other"] = replace(account.directory.role_states["prod-viewer"], name="other")
    theirs = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::1:role/other"}]}
    account.directory.user_policies[POLICY] = theirs
    with pytest.raises(NotOwned, match="not for this level's role"):
        temporary(account).grant(item(NOW + 60), NOW)
    assert mapped_until(account) == 0
    account.store.all_entries[0] = replace(account.store.all_entries[0], temporary=(item(NOW - 1),))
    for ended, _ in leftovers(reader(account), NOW):
        remove_temporary_access(ended, account.directory, account.store)
    assert account.directory.user_policies == {POLICY: theirs}
    assert account.store.all_entries[0].temporary == ()


def test_temporary_grant_of_a_level_that_was_not_applied_is_refused() -> None:
    account = FakeAccount()
    with pytest.raises(NotFound):
        temporary(account).grant(item(NOW + 60), NOW)
    account = applied(access(VIEWER, checks_sign_in=False))
    with pytest.raises(NotFound):
        temporary(account).grant(item(NOW + 60), NOW)
    assert account.directory.user_policies == {}


def test_what_is_over_is_cleaned_by_the_next_apply_and_what_is_not_stays() -> None:
    account = applied()
    temporary(account).grant(item(NOW + 60), NOW)
    temporary(account).grant(item(NOW + 7200, "bob", "AIDAbob"), NOW)
    assert temporary_in_force(access(VIEWER), [VIEWER], account.store.entries(), NOW + 61) == {
        "viewer": (item(NOW + 7200, "bob", "AIDAbob"),)
    }
    plan = plan_apply(access(VIEWER), account.ports, now=NOW + 61)
    (change,) = plan.changes
    assert (change.verb, change.kind, change.name) == (Verb.DELETE, Kind.TEMPORARY, "alice in viewer")
    run(account, plan)
    assert (mapped_until(account), mapped_until(account, "bob")) == (0, NOW + 7200)
    assert account.directory.user_policies.keys() == {("bob", "kube-iam-prod-viewer")}
    assert plan_apply(access(VIEWER), account.ports, now=NOW + 61).changes == ()


def test_what_was_granted_anew_since_it_was_seen_to_be_over_stays() -> None:
    account = applied()
    temporary(account).grant(item(NOW - 60), NOW - 90)
    plan = plan_apply(access(VIEWER), account.ports, now=NOW)
    seen = list(leftovers(reader(account), NOW))
    temporary(account).grant(item(NOW + 7200), NOW)
    run(account, plan)
    for ended, _ in seen:
        remove_temporary_access(ended, account.directory, account.store)
    assert mapped_until(account) == aws(account) == NOW + 7200


@pytest.mark.parametrize(
    "after",
    [
        access(ADMIN),
        access(VIEWER, checks_sign_in=False),
        access(BY_GROUP),
        access(replace(VIEWER, role_name="lookers")),
        access(replace(VIEWER, role_path="/people/")),
        access(replace(VIEWER, name="looker")),
        None,
    ],
)
def test_a_change_that_ends_temporary_access_takes_all_of_it_away(after: ClusterAccess | None) -> None:
    account = applied(access(VIEWER))
    temporary(account).grant(item(NOW + 7200), NOW)
    plan = plan_apply(after, account.ports, now=NOW) if after else plan_destroy(access(VIEWER), account.ports)
    kinds = [change.kind for change in plan.changes]
    assert kinds.count(Kind.TEMPORARY) == 1
    run(account, plan)
    assert (mapped_until(account), account.directory.user_policies) == (0, {})
    expected = applied(after) if after else FakeAccount()
    assert account.state() == expected.state()


def test_changes_of_an_entry_that_keep_its_people_keep_these_too() -> None:
    account = applied()
    temporary(account).grant(item(NOW + 7200), NOW)
    for after in (replace(VIEWER, groups=("x",)), replace(VIEWER, group_name="lookers")):
        run(account, plan_apply(access(after), account.ports, now=NOW))
        assert mapped_until(account) == aws(account) == NOW + 7200


def test_calls_do_not_grow_with_the_people() -> None:
    counts = []
    for people in (1, 40):
        account = applied()
        account.directory.all_users.update(
            {f"u{n}": replace(account.directory.all_users["alice"], name=f"u{n}") for n in range(people)}
        )
        for n in range(people):
            temporary(account).grant(item(NOW + 7200, f"u{n}"), NOW)
        before = account.world.reads
        plan_apply(access(VIEWER), account.ports, now=NOW)
        counts.append(account.world.reads - before)
    assert counts[0] == counts[1]


IMPOSSIBLE = ["", "bad name", "a/b", "..", "alice;", "alice\n", "\u00e4", "\u212alaus", "*", "x" * 65]


@pytest.mark.parametrize("user", IMPOSSIBLE)
@pytest.mark.parametrize("command", ["apply", "destroy"])
def test_an_impossible_user_name_in_temporary_does_not_stop_a_run(user: str, command: str) -> None:
    account = applied()
    (entry,) = account.store.all_entries
    account.store.all_entries = [replace(entry, temporary=(item(NOW - 1, user), item(NOW + 60)))]
    file = access(VIEWER)
    plan = plan_apply(file, account.ports, now=NOW) if command == "apply" else plan_destroy(file, account.ports)
    run(account, plan)
    assert [who for left in account.store.all_entries for who in left.temporary if who.user_name == user] == []
    if command == "apply":
        assert mapped_until(account) == NOW + 60
        assert plan_apply(file, account.ports, now=NOW).changes == ()


def test_an_impossible_level_in_an_entry_does_not_stop_the_clean_up() -> None:
    account = applied()
    (entry,) = account.store.all_entries
    account.store.all_entries = [replace(entry, level="view er", temporary=(item(NOW - 1),))]
    run(account, plan_apply(access(VIEWER), account.ports, now=NOW))
    assert mapped_until(account) == 0


ARN = "arn:aws:iam::123456789012:role/prod-viewer"
SPELLINGS = [
    "ARN:AWS:IAM::123456789012:ROLE/PROD-VIEWER",
    "arn:aws:iam::123456789012:role/people/prod-viewer",
    "arn:aws:iam::123456789012:role/People/Of/PROD-viewer",
    "arn:aws:sts::123456789012:assumed-role/prod-viewer/alice",
    "arn:aws:sts::123456789012:assumed-role/people/Prod-Viewer/alice",
    f"  {ARN}\n",
]


@pytest.mark.parametrize("role_arn", SPELLINGS)
def test_an_entry_is_found_whatever_the_spelling_of_its_role(role_arn: str) -> None:
    entry = desired_entry(access(VIEWER), VIEWER)
    assert replace(entry, role_arn=role_arn).key == entry.key == ARN
    moved = replace(VIEWER, role_path="/people/")
    assert desired_entry(access(moved), moved).key == entry.key


@pytest.mark.parametrize(
    "role_arn",
    [
        "arn:aws:iam::123456789012:role/prod-viewer2",
        "arn:aws:iam::123456789012:role/prod-viewer/x",
        "arn:aws:iam::123456789012:user/prod-viewer",
        "arn:aws:iam::999999999999:role/prod-viewer",
        "arn:aws-cn:iam::123456789012:role/prod-viewer",
        "arn:aws:iam::123456789012:role/*",
        "prod-viewer",
    ],
)
def test_the_entry_of_another_principal_is_another_entry(role_arn: str) -> None:
    entry = desired_entry(access(VIEWER), VIEWER)
    assert replace(entry, role_arn=role_arn).key != entry.key


@pytest.mark.parametrize("seconds", [0, 367 * 86400])
def test_a_time_must_be_one(seconds: int) -> None:
    with pytest.raises(UsageError):
        check_seconds(seconds)
    check_seconds(3600)


@pytest.mark.parametrize(
    "document", [None, {}, {"Statement": []}, {"Statement": "x"}, {"Statement": [{"Condition": {}}]}]
)
def test_a_document_without_an_end_never_ends(document: object) -> None:
    assert end_of(document) == float("inf")
