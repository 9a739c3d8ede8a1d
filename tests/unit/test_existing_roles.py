"""Levels by an IAM role that exists already: it is named in the policy and in the mapping, and never changed."""

from dataclasses import replace
from typing import Any

import pytest
from fake_account import ACCOUNT, FakeAccount, Killed
from foreign_objects import OPEN, PINNED, SHARED, TEAM, add_group, add_role, foreign
from levels_for_tests import ADMIN, access, level, run

from kube_iam.access.changes import Kind, Plan
from kube_iam.access.desired import desired_state, trust_document
from kube_iam.access.existing import located
from kube_iam.access.levels import Level
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import access_warnings, plan_apply, plan_destroy
from kube_iam.errors import NotOwned

OPS = level("ops", role_name=SHARED, existing_role=True)
OPS_IN_TEAM = replace(OPS, group_name=TEAM, existing_group=True)
ARN = f"arn:aws:iam::{ACCOUNT}:role/ops/{SHARED}"
ENTRY = f"arn:aws:iam::{ACCOUNT}:role/{SHARED}"
ASSUMES = replace(OPS, checks_sign_in=False)


def account_with_role(**more: Any) -> FakeAccount:
    account = FakeAccount()
    add_role(account, **more)
    return account


def apply(account: FakeAccount, *levels: Level) -> Plan:
    plan = plan_apply(access(*levels), account.ports)
    run(account, plan)
    assert plan_apply(access(*levels), account.ports).changes == ()
    return plan


def destroy(account: FakeAccount, *levels: Level) -> None:
    run(account, plan_destroy(access(*levels), account.ports))
    assert plan_destroy(access(*levels), account.ports).changes == ()


def refusal(account: FakeAccount, *levels: Level) -> str:
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(*levels), account.ports, adopt=True)
    return str(caught.value)


def test_the_policy_names_the_role_with_its_path_and_the_mapping_without() -> None:
    account = account_with_role()
    apply(account, OPS)
    (policy,) = account.directory.policy_states.values()
    assert policy.document["Statement"][0]["Resource"] == ARN  # type: ignore[index]
    assert [entry.role_arn for entry in account.store.all_entries] == [ENTRY]


@pytest.mark.parametrize("ops", [OPS, OPS_IN_TEAM], ids=["own group", "existing group"])
@pytest.mark.parametrize("trust", [PINNED, "as kube-iam makes it"], ids=["pinned", "like ours"])
def test_destroy_undoes_an_apply_that_was_killed_anywhere(ops: Level, trust: object) -> None:
    document = PINNED if isinstance(trust, dict) else trust_document(access(ADMIN), ADMIN)

    def account() -> FakeAccount:
        found = account_with_role(trust=document)
        add_group(found, "alice")
        return found

    writes = len(plan_apply(access(ops, ADMIN), account().ports).changes)
    for position in range(1, writes + 1):
        for last in ((ops, ADMIN), (ADMIN,)):
            stopped = account()
            before = stopped.state()
            stopped.world.fail_after = position
            with pytest.raises(Killed):
                run(stopped, plan_apply(access(ops, ADMIN), stopped.ports))
            stopped.world.fail_after = None
            destroy(stopped, *last)
            assert stopped.state() == before, position


CHANGES: dict[str, tuple[tuple[Level, ...], ...]] = {
    "to a role of its own": ((OPS,), (level("ops"),)),
    "from a role of its own": ((level("ops"),), (OPS,)),
    "renamed level with its policy": ((OPS_IN_TEAM,), (replace(OPS_IN_TEAM, name="sre"),)),
    "renamed level": ((OPS,), (replace(OPS, name="sre", policy_name="prod-sre", group_name="prod-sre"),)),
    "to another existing role": ((OPS,), (replace(OPS, role_name="second"),)),
    "gone": ((OPS, ADMIN), (ADMIN,)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_file_that_is_killed_anywhere_leaves_the_role_as_it_was(change: str) -> None:
    first, second = CHANGES[change]

    def started() -> FakeAccount:
        # The trust policy is as kube-iam makes it: that is a mark of roles of ours, which must not count here.
        account = account_with_role(trust=trust_document(access(ADMIN), ADMIN))
        add_role(account, "second")
        add_group(account, "alice")
        run(account, plan_apply(access(*first), account.ports))
        return account

    whole = started()
    before = foreign(whole)
    run(whole, plan_apply(access(*second), whole.ports))
    writes, end = whole.world.writes, whole.state()
    for limit in range(started().world.writes + 1, writes + 1):
        account = started()
        account.world.fail_after = limit
        with pytest.raises(Killed):
            run(account, plan_apply(access(*second), account.ports))
        account.world.fail_after = None
        assert foreign(account) == before, limit
        run(account, plan_apply(access(*second), account.ports))
        assert account.state() == end, limit
        destroy(account, *(first if limit % 2 else second))
        assert foreign(account) == before, limit
        assert account.store.all_entries == []


def test_a_role_of_one_level_goes_to_another_in_two_steps() -> None:
    account = account_with_role()
    add_role(account, "second")
    first, second = replace(ASSUMES, name="dev", policy_name="dev", group_name="dev"), level("sre")
    apply(account, first)
    said = refusal(account, replace(first, role_name="second"), replace(second, role_name=SHARED, existing_role=True))
    assert "role shared-operator is level dev's, whose people would get level sre: name another role for level" in said
    apply(account, replace(first, role_name="second"))
    apply(account, replace(first, role_name="second"), replace(second, role_name=SHARED, existing_role=True))


def test_a_level_that_takes_the_role_of_a_level_that_leaves_needs_force() -> None:
    account = account_with_role()
    dev = replace(ASSUMES, name="dev", policy_name="dev", group_name="dev")
    sre = level("sre")
    apply(account, dev, sre)
    plan = plan_apply(access(replace(sre, role_name=SHARED, existing_role=True)), account.ports)
    assert "role shared-operator was level dev's, whose people would get level sre" in plan.guards


def test_an_open_trust_policy_needs_a_check_when_the_role_is_assumed() -> None:
    account = account_with_role(trust=OPEN)
    said = refusal(account, OPS)
    assert (
        "role shared-operator lets callers choose their session name, so that nobody would be admitted to level ops"
        in said
    )
    assert "set membershipCheck: assumeRole for level ops" in said
    plan = apply(account, ASSUMES)
    assert account.store.all_entries[0].iam_group == ""
    text = "\n".join(plan.warnings)
    assert "everybody who can assume it signs in, in IAM group prod-ops or not" in text
    assert "under a name of their choice" in text


def test_the_plan_and_validate_state_the_consequences() -> None:
    plan = plan_apply(access(OPS), account_with_role().ports)
    text = "\n".join(plan.warnings)
    assert (
        "everybody at this level also has what role shared-operator gives in AWS: arn:aws:iam::aws:policy/Read" in text
    )
    assert "should have no permissions" not in text
    (said,) = access_warnings(access(OPS))
    assert "has to hold session names to ${aws:username}, or the server admits nobody" in said
    assert said in text


def test_a_missing_role_is_named_with_the_remedy() -> None:
    assert "role shared-operator does not exist: create it, correct iam.role of level ops" in refusal(
        FakeAccount(), OPS
    )


def test_roles_of_kube_iam_are_no_existing_ones() -> None:
    account = account_with_role(tags={"kube-iam.dev/cluster": "test.example.com"})
    assert "belongs to cluster test.example.com: name a role that is not kube-iam's" in refusal(account, OPS)
    own = FakeAccount()
    apply(own, level("ops"))
    said = refusal(own, level("ops", existing_role=True))
    assert "aws iam untag-role --role-name prod-ops --tag-keys kube-iam.dev/cluster kube-iam.dev/level" in said
    plan = plan_destroy(access(level("ops", existing_role=True)), own.ports)
    assert not any(change.kind is Kind.ROLE for change in plan.changes)


def test_a_role_that_was_existing_is_not_adopted_while_its_level_is_applied() -> None:
    account = account_with_role(path="/")
    apply(account, OPS)
    said = refusal(account, replace(OPS, existing_role=False))
    assert "role shared-operator was used as an existing role of level ops, and is not kube-iam's" in said


def test_entries_of_others_for_the_role_stay() -> None:
    account = account_with_role()
    by_hand = MappingEntry(ENTRY, "operator", ("operators",))
    account.store.all_entries.append(by_hand)
    with pytest.raises(NotOwned, match="is mapped already, by hand or by another tool"):
        plan_apply(access(OPS), account.ports)
    account.store.all_entries.clear()
    apply(account, OPS)
    account.store.all_entries[:] = [by_hand]
    plan = plan_destroy(access(OPS), account.ports)
    run(account, plan)
    assert account.store.all_entries == [by_hand]
    assert any(ENTRY in left for left in plan.left_alone)


def test_the_path_and_the_longest_session_are_those_of_iam() -> None:
    (found,) = located(access(OPS), account_with_role().directory).levels
    assert (found.role_path, found.session_seconds) == ("/ops/", 7200)
    account = FakeAccount()
    assert located(access(ADMIN), account.directory) == access(ADMIN)
    assert account.world.reads == 0


def test_names_with_commas_are_kept_in_tags() -> None:
    (wanted,) = desired_state(access(replace(OPS, role_name="a,b", group_name="c,d", existing_group=True)))
    tags = wanted.policy.tags
    assert (tags["kube-iam.dev/existing-role"], tags["kube-iam.dev/existing-group"]) == ("a:b", "c:d")
    account = FakeAccount()
    add_role(account, "a,b")
    apply(account, replace(OPS, role_name="a,b"))
    destroy(account, ADMIN)
    assert list(account.directory.role_states) == ["a,b"]
