"""Levels by an IAM group that exists already: only the level's policy comes and goes, whatever the file says next."""

from dataclasses import replace

import pytest
from fake_account import FakeAccount, Killed
from foreign_objects import SHARED, TEAM, add_group, add_role, foreign
from levels_for_tests import ADMIN, VIEWER, access, level, run

from kube_iam.access.changes import Kind, Plan, Verb
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import GroupState
from kube_iam.errors import NotOwned

DEV = level("dev", group_name=TEAM, existing_group=True)
OPS = level("ops", group_name=TEAM, existing_group=True)
BY_GROUP = level("look", group_name=TEAM, existing_group=True, method=Method.GROUP, username="iam:{{UserName}}")
DEV_POLICY = "arn:aws:iam::123456789012:policy/kube-iam/prod/prod-dev"
OTHER_CLUSTER = {"cluster_id": "test.example.com", "name": "test"}


def account_with_team(*members: str) -> FakeAccount:
    account = FakeAccount()
    add_group(account, *(members or ("alice", "bob")))
    return account


def steps(plan: Plan) -> list[str]:
    return [f"{change.verb.value} {change.kind.value} {change.name}" for change in plan.changes]


def apply(account: FakeAccount, *levels: Level, **more: object) -> Plan:
    plan = plan_apply(access(*levels, **more), account.ports)
    run(account, plan)
    assert plan_apply(access(*levels, **more), account.ports).changes == ()
    return plan


def destroy(account: FakeAccount, *levels: Level, **more: object) -> Plan:
    plan = plan_destroy(access(*levels, **more), account.ports)
    run(account, plan)
    assert plan_destroy(access(*levels, **more), account.ports).changes == ()
    return plan


def attached(account: FakeAccount) -> list[str]:
    return [arn.rsplit("/", 1)[-1] for arn in account.directory.group_states[TEAM].attached]


def refusal(account: FakeAccount, *levels: Level, adopt: bool = True) -> str:
    writes = account.world.writes
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(*levels), account.ports, adopt=adopt)
    assert account.world.writes == writes
    return str(caught.value)


@pytest.mark.parametrize("dev", [DEV, BY_GROUP], ids=["role", "group"])
def test_apply_attaches_the_policy_and_destroy_detaches_it(dev: Level) -> None:
    account = account_with_team()
    before = account.state()
    apply(account, dev)
    assert attached(account) == ["billing", f"prod-{dev.name}"]
    destroy(account, dev)
    assert account.state() == before


def test_the_plan_names_who_gets_the_level_and_what_else_the_group_gives() -> None:
    plan = plan_apply(access(DEV), account_with_team().ports)
    (attachment,) = [change for change in plan.changes if change.kind is Kind.ATTACHMENT]
    assert [part.after for part in attachment.fields if part.name == "members"] == [["alice", "bob"]]
    assert not any(change.kind in (Kind.GROUP, Kind.MEMBER) for change in plan.changes)
    text = "\n".join(plan.warnings)
    assert "group platform-team also carries arn:aws:iam::123456789012:policy/billing/billing" in text
    assert "group platform-team has the inline policies read-logs; its members have that too" in text
    assert "iam:GetGroup on the existing group platform-team (level dev), which an older policy does not cover" in text


def test_levels_share_a_group_and_one_leaves_the_file() -> None:
    account = account_with_team()
    before = foreign(account)
    apply(account, DEV, OPS, BY_GROUP)
    assert attached(account) == ["billing", "prod-dev", "prod-look", "prod-ops"]
    apply(account, OPS)
    assert attached(account) == ["billing", "prod-ops"]
    assert foreign(account) == before
    assert [entry.level for entry in account.store.all_entries] == ["ops"]
    destroy(account, ADMIN)
    assert attached(account) == ["billing"]
    assert foreign(account) == before


def test_clusters_share_a_group_and_one_is_destroyed() -> None:
    account = account_with_team()
    before = foreign(account)
    apply(account, DEV)
    other = replace(DEV, role_name="test-dev", policy_name="test-dev", path="/kube-iam/test/")
    shared = FakeAccount()
    shared.directory.world, shared.world = account.world, account.world
    other_cluster = replace(account.ports, cluster=shared.cluster, store=shared.store)
    run(account, plan_apply(access(other, **OTHER_CLUSTER), other_cluster), other_cluster)
    assert attached(account) == ["billing", "prod-dev", "test-dev"]
    assert plan_apply(access(DEV), account.ports).changes == ()
    destroy(account, DEV)
    assert attached(account) == ["billing", "test-dev"]
    assert plan_apply(access(other, **OTHER_CLUSTER), other_cluster).changes == ()
    run(account, plan_destroy(access(other, **OTHER_CLUSTER), other_cluster), other_cluster)
    assert attached(account) == ["billing"]
    assert foreign(account) == before


@pytest.mark.parametrize("last", [(DEV, BY_GROUP), (ADMIN,)], ids=["same file", "without the levels"])
def test_destroy_undoes_an_apply_that_was_killed_anywhere(last: tuple[Level, ...]) -> None:
    writes = len(plan_apply(access(DEV, BY_GROUP), account_with_team().ports).changes)
    for position in range(1, writes + 1):
        account = account_with_team()
        before = account.state()
        account.world.fail_after = position
        with pytest.raises(Killed):
            run(account, plan_apply(access(DEV, BY_GROUP), account.ports))
        account.world.fail_after = None
        destroy(account, *last)
        assert account.state() == before, position


CHANGES: dict[str, tuple[tuple[Level, ...], ...]] = {
    "renamed level": ((DEV,), (replace(DEV, name="devs", policy_name="prod-devs", role_name="prod-devs"),)),
    "renamed policy": ((DEV,), (replace(DEV, policy_name="prod-developer"),)),
    "to a group of its own": ((DEV,), (replace(DEV, existing_group=False, group_name="prod-dev"),)),
    "from a group of its own": ((replace(DEV, existing_group=False, group_name="prod-dev"),), (DEV,)),
    "to method group": ((DEV,), (replace(BY_GROUP, name="dev", policy_name="prod-dev"),)),
    "from method group": ((replace(BY_GROUP, name="dev", policy_name="prod-dev"),), (DEV,)),
    "gone": ((DEV, VIEWER), (VIEWER,)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_file_that_is_killed_anywhere_leaves_the_group_as_it_was(change: str) -> None:
    first, second = CHANGES[change]

    def started() -> FakeAccount:
        account = account_with_team()
        run(account, plan_apply(access(*first), account.ports))
        return account

    whole = started()
    before, end = foreign(whole), None
    plan = plan_apply(access(*second), whole.ports)
    run(whole, plan)
    end = whole.state()
    writes = whole.world.writes
    for position in range(1, len(plan.changes) + 3):
        account = started()
        account.world.fail_after = account.world.writes + position
        if account.world.fail_after > writes:
            break
        with pytest.raises(Killed):
            run(account, plan_apply(access(*second), account.ports))
        account.world.fail_after = None
        assert foreign(account) == before, position
        run(account, plan_apply(access(*second), account.ports))
        assert account.state() == end, position
        destroy(account, *(first if position % 2 else second))
        assert foreign(account) == before, position
        assert attached(account) == ["billing"]


def test_members_do_not_follow_a_level_into_or_out_of_an_existing_group() -> None:
    own = replace(DEV, existing_group=False, group_name="prod-dev")
    account = account_with_team("alice")
    apply(account, own)
    account.directory.group_members["prod-dev"] = {"alice", "carol"}
    plan = apply(account, DEV)
    assert account.directory.group_members[TEAM] == {"alice"}
    assert any("carol lose it, as members of its former group prod-dev and not of" in each for each in plan.warnings)
    plan = apply(account, own)
    assert account.directory.group_members["prod-dev"] == set()
    assert any(
        "the members of its former group platform-team, which kube-iam does not" in each for each in plan.warnings
    )


def test_a_group_that_was_existing_is_not_adopted_while_its_level_is_applied() -> None:
    account = account_with_team()
    apply(account, DEV)
    said = refusal(account, replace(DEV, existing_group=False))
    assert "group platform-team was used as an existing group of level dev, and is not kube-iam's" in said
    assert "existing: true beside iam.group of level dev" in said


def test_a_group_that_is_taken_names_both_remedies() -> None:
    said = refusal(account_with_team(), replace(DEV, existing_group=False), adopt=False)
    assert "take it over with --adopt, or leave it as it is, and use it, with existing: true beside iam.group" in said


def test_a_missing_group_is_named_with_the_remedy() -> None:
    said = refusal(FakeAccount(), DEV)
    assert "group platform-team does not exist: create it (aws iam create-group --group-name platform-team)" in said


def test_a_group_in_another_spelling_is_named() -> None:
    account = account_with_team()
    said = refusal(account, replace(DEV, group_name="Platform-Team"))
    assert "group Platform-Team is spelled platform-team in IAM: set iam.group of level dev to platform-team" in said


def test_a_group_of_another_cluster_is_refused() -> None:
    account = FakeAccount()
    add_group(account, "alice", path="/kube-iam/test/")
    assert "group platform-team belongs to cluster test, by its path /kube-iam/test/" in refusal(account, DEV)


def test_a_group_of_this_cluster_has_to_move_before_it_is_existing() -> None:
    account = FakeAccount()
    own = replace(DEV, existing_group=False)
    apply(account, own)
    account.directory.group_members[TEAM] = {"alice"}
    move = "aws iam update-group --group-name platform-team --new-path /"
    assert move in refusal(account, DEV)
    with pytest.raises(NotOwned, match=move):  # without its policy nothing would protect it from the next destroy
        plan_destroy(access(DEV), account.ports)
    account.directory.move_group(TEAM, "/")
    apply(account, DEV)
    destroy(account, ADMIN)
    assert account.directory.group_members[TEAM] == {"alice"}
    assert attached(account) == []


@pytest.mark.parametrize("levels", [(DEV, ADMIN), (ADMIN,)], ids=["same file", "without the level"])
def test_a_group_that_others_move_to_our_path_outlives_its_level(levels: tuple[Level, ...]) -> None:
    account = account_with_team()
    apply(account, DEV, ADMIN)
    account.directory.move_group(TEAM, "/kube-iam/prod/")
    before = account.state()
    assert "group platform-team is kube-iam's, by its path /kube-iam/prod/" in refusal(account, *levels)
    with pytest.raises(NotOwned, match="aws iam update-group --group-name platform-team --new-path /"):
        plan_destroy(access(*levels), account.ports)
    assert account.state() == before
    account.directory.move_group(TEAM, "/teams/")
    destroy(account, *levels)
    assert account.state() == account_with_team().state()


@pytest.mark.parametrize("path", ["/kube-iam/test/", "/elsewhere/"])
@pytest.mark.parametrize("levels", [(DEV,), (ADMIN,)], ids=["same file", "without the level"])
def test_a_group_that_others_move_is_only_detached(path: str, levels: tuple[Level, ...]) -> None:
    account = account_with_team()
    apply(account, DEV)
    account.directory.move_group(TEAM, path)
    run(account, plan_destroy(access(*levels), account.ports))
    assert account.directory.group_members[TEAM] == {"alice", "bob"}
    assert (attached(account), account.directory.group_states[TEAM].path) == (["billing"], path)


def test_a_group_that_others_rename_is_only_detached() -> None:
    account = account_with_team()
    apply(account, DEV)
    directory = account.directory
    group = directory.group_states.pop(TEAM)
    directory.group_states["teams"] = replace(group, name="teams", arn=group.arn.replace(TEAM, "teams"))
    directory.group_members["teams"] = directory.group_members.pop(TEAM)
    assert "group platform-team does not exist" in refusal(account, DEV)
    destroy(account, DEV)
    assert directory.group_states["teams"].attached == ("arn:aws:iam::123456789012:policy/billing/billing",)
    assert directory.group_members["teams"] == {"alice", "bob"}


def test_a_full_group_is_refused_before_anything_changes() -> None:
    account = account_with_team()
    group = account.directory.group_states[TEAM]
    others = tuple(f"arn:aws:iam::aws:policy/P{number}" for number in range(9))
    account.directory.group_states[TEAM] = replace(group, attached=others)
    assert plan_apply(access(DEV), account.ports).failures == ()
    (said,) = plan_apply(access(DEV, OPS), account.ports).failures
    assert "attach policy prod-ops on platform-team: IAM group platform-team has 10 managed policies, the most" in said


def test_entries_of_others_for_the_group_stay() -> None:
    account = account_with_team()
    by_hand = MappingEntry("", "iam:{{UserName}}", ("readers",), TEAM)
    account.store.all_entries.append(by_hand)
    apply(account, DEV)
    destroy(account, DEV)
    assert account.store.all_entries == [by_hand]
    said = refusal(account, BY_GROUP, adopt=False)
    assert "mapping group platform-team is mapped already, by hand or by another tool" in said


def test_an_entry_goes_with_its_level_though_the_policy_was_detached_by_hand() -> None:
    account = account_with_team()
    apply(account, BY_GROUP)
    account.directory.detach(TEAM, "arn:aws:iam::123456789012:policy/kube-iam/prod/prod-look")
    destroy(account, ADMIN)
    assert account.store.all_entries == []


def test_two_clusters_of_one_name_do_not_take_the_group_from_each_other() -> None:
    account = account_with_team()
    add_role(account)
    levels = (DEV, BY_GROUP, level("sre", role_name=SHARED, existing_role=True))
    apply(account, *levels)
    twin: ClusterAccess = access(*levels, cluster_id="twin.example.com")
    before = account.state()
    run(account, plan_destroy(twin, account.ports))
    assert account.state() == before


def test_a_policy_of_ours_is_detached_from_a_third_group_alone() -> None:
    account = account_with_team()
    apply(account, DEV)
    other = "arn:aws:iam::123456789012:group/other"
    account.directory.group_states["other"] = GroupState(other, "other", "/", (DEV_POLICY,))
    account.directory.group_members["other"] = {"carol"}
    plan = plan_apply(access(DEV), account.ports)
    assert steps(plan) == ["delete attachment prod-dev on group other"]
    run(account, plan)
    assert attached(account) == ["billing", "prod-dev"]
    assert plan.count(Verb.DELETE) == 1
