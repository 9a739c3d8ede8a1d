"""A plan adds before it takes away, so that an error half way leaves every level with the access that it had."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_account import FakeAccount, FakeCluster
from levels_for_tests import ADMIN, EDITOR, VIEWER, access, level, run

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Change, Kind, Verb
from kube_iam.access.levels import Bind, ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import BindingState, Ports, Subject
from kube_iam.errors import KubeError

ARN = "arn:aws:iam::123456789012:role/prod-admin"
ALICE = Subject("awsiam:alice", ("kube-iam:admin", "system:authenticated"), ARN)


class RbacCluster(FakeCluster):
    """A fake cluster that refuses writes while no binding gives the caller cluster-admin, as RBAC does."""

    def __init__(self, account: FakeAccount) -> None:
        super().__init__(account.world)
        self.binding_states = account.cluster.binding_states
        self.subject = account.cluster.subject

    def _check(self) -> None:
        held = {each.role_name for each in self.binding_states.values() if set(each.groups) & set(self.subject.groups)}
        if "cluster-admin" not in held:
            raise KubeError(
                "cannot write: https://api.prod.example.com forbids it: attempting to grant RBAC permissions"
            )

    def apply_binding(self, binding: BindingState) -> None:
        self._check()
        super().apply_binding(binding)

    def delete_binding(self, namespace: str, name: str) -> None:
        self._check()
        super().delete_binding(namespace, name)


def account_of_alice(*levels: Level) -> FakeAccount:
    """Return an account with these levels applied, in which alice is signed in through level admin alone."""
    account = FakeAccount()
    run(account, plan_apply(access(*levels), account.ports))
    account.cluster.subject = ALICE
    account.cluster = RbacCluster(account)
    account.ports = Ports(account.directory, account.cluster, account.store)
    return account


def steps(changes: tuple[Change, ...]) -> list[str]:
    return [f"{change.verb.value} {change.kind.value} {change.name}" for change in changes]


OTHER_BINDINGS = {
    "another cluster role": (Bind("edit"),),
    "a role added": (Bind("cluster-admin"), Bind("view")),
    "another scope": (Bind("cluster-admin", "", ("shop",)),),
    "a role of a namespace": (Bind("", "owner", ("shop", "blog")),),
    "no bindings": (),
}


@pytest.mark.parametrize("bind", OTHER_BINDINGS.values(), ids=OTHER_BINDINGS)
def test_changed_bindings_of_the_callers_own_level_are_completed(bind: tuple[Bind, ...]) -> None:
    account = account_of_alice(ADMIN, EDITOR)
    wanted = access(replace(ADMIN, bind=bind), replace(EDITOR, bind=(Bind("view"),)))
    run(account, plan_apply(wanted, account.ports))
    assert plan_apply(wanted, account.ports).changes == ()


@pytest.mark.parametrize("bind", OTHER_BINDINGS.values(), ids=OTHER_BINDINGS)
def test_bindings_that_take_rights_from_the_caller_need_force(bind: tuple[Bind, ...]) -> None:
    account = account_of_alice(ADMIN, EDITOR)
    guards = plan_apply(access(replace(ADMIN, bind=bind), EDITOR), account.ports).guards
    sentence = "you have ClusterRole cluster-admin in the whole cluster by binding kube-iam:admin:cluster-admin"
    assert [guard.startswith(sentence) for guard in guards] == ([] if Bind("cluster-admin") in bind else [True])


def test_the_same_grant_under_another_level_name_needs_no_force_for_it() -> None:
    admin = replace(ADMIN, groups=("admins",))
    account = account_of_alice(admin, EDITOR, VIEWER)
    account.cluster.subject = replace(ALICE, groups=("admins",))
    renamed = access(replace(admin, name="boss"), EDITOR, VIEWER)
    assert plan_apply(renamed, account.ports).guards == ()
    run(account, plan_apply(renamed, account.ports))
    assert plan_apply(renamed, account.ports).changes == ()


def test_a_member_of_system_masters_needs_no_force_for_bindings() -> None:
    account = account_of_alice(ADMIN)
    account.cluster.subject = Subject("kubernetes-admin", ("system:masters", "kube-iam:admin"))
    assert plan_apply(access(replace(ADMIN, bind=())), account.ports).guards == ()


def test_other_groups_of_a_level_are_bound_before_the_mapping_names_them() -> None:
    account = account_of_alice(ADMIN, VIEWER)
    plan = plan_apply(access(replace(ADMIN, groups=("admins",)), VIEWER), account.ports)
    assert steps(plan.changes) == [
        "update binding kube-iam:admin:cluster-admin",
        f"update mapping {ARN}",
        "update binding kube-iam:admin:cluster-admin",
    ]
    groups = [part.after for change in plan.changes for part in change.fields if part.name == "groups"]
    assert groups == [["admins", "kube-iam:admin"], ["admins"], ["admins"]]
    run(account, plan)


def test_a_group_that_others_added_to_a_binding_is_not_kept_for_a_moment() -> None:
    account = account_of_alice(ADMIN)
    (ident,) = account.cluster.binding_states
    drifted = replace(account.cluster.binding_states[ident], groups=("kube-iam:admin", "mallory", "User:mallory"))
    account.cluster.binding_states[ident] = drifted
    (first, *_) = plan_apply(access(replace(ADMIN, groups=("kube-iam:admin", "more"))), account.ports).changes
    assert first.item == replace(drifted, groups=("kube-iam:admin", "more"))


def stopped_at(account: FakeAccount, wanted: ClusterAccess, stop: Callable[[Change], bool]) -> None:
    """Apply the plan up to the first change for which `stop` holds, as if that one had failed."""
    plan = plan_apply(wanted, account.ports)
    at = next(index for index, change in enumerate(plan.changes) if stop(change))
    applied = apply_plan(replace(plan, changes=plan.changes[:at]), account.ports, lambda position: None)
    assert applied.error is None


def grants(account: FakeAccount, group: str) -> set[tuple[str, str]]:
    return {
        (each.namespace, each.role_name) for each in account.cluster.binding_states.values() if group in each.groups
    }


BEFORE = (ADMIN, EDITOR, VIEWER)
AFTER = {
    "bindings of another level": (replace(VIEWER, bind=(Bind("edit"),)), EDITOR),
    "level removed": (EDITOR,),
    "level renamed": (EDITOR, level("looker", Bind("view"))),
    "role renamed": (replace(VIEWER, role_name="lookers"), EDITOR),
    "method changed": (replace(VIEWER, method=Method.GROUP, username="awsiam:{{UserName}}"), EDITOR),
    "groups changed": (replace(VIEWER, groups=("lookers",)), EDITOR),
}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_a_failed_addition_leaves_all_levels_their_access(after: tuple[Level, ...]) -> None:
    account = FakeAccount()
    run(account, plan_apply(access(*BEFORE), account.ports))
    entries, held = list(account.store.all_entries), grants(account, "kube-iam:viewer")
    wanted = access(ADMIN, *after, level("ops", Bind("view", "", ("no-such-namespace",))))
    stopped_at(account, wanted, lambda change: change.kind is Kind.BINDING and "no-such-namespace" in change.name)
    assert grants(account, "kube-iam:viewer") >= held
    assert {entry.key for entry in account.store.all_entries} >= {entry.key for entry in entries}
    assert set(account.directory.role_states) >= {"prod-admin", "prod-editor", "prod-viewer"}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_nothing_is_taken_away_before_the_last_addition(after: tuple[Level, ...]) -> None:
    account = FakeAccount()
    run(account, plan_apply(access(*BEFORE), account.ports))
    verbs = [change.verb for change in plan_apply(access(ADMIN, *after), account.ports).changes]
    assert Verb.CREATE not in verbs[verbs.index(Verb.DELETE) :] if Verb.DELETE in verbs else True


def test_a_role_that_moves_is_replaced_after_all_other_additions() -> None:
    account = FakeAccount()
    run(account, plan_apply(access(ADMIN, VIEWER), account.ports))
    plan = plan_apply(access(replace(ADMIN, role_path="/people/"), VIEWER, level("ops", Bind("view"))), account.ports)
    assert steps(plan.changes)[5:] == [
        "create mapping arn:aws:iam::123456789012:role/prod-ops",
        f"delete mapping {ARN}",
        "delete role prod-admin",
        "update policy prod-admin",
        "create role prod-admin",
        f"create mapping {ARN}",
    ]


def test_the_policy_names_both_roles_until_the_former_one_is_deleted() -> None:
    account = FakeAccount()
    run(account, plan_apply(access(VIEWER), account.ports))
    plan = plan_apply(access(replace(VIEWER, role_name="lookers")), account.ports)
    old, new = (f"arn:aws:iam::123456789012:role/{name}" for name in ("prod-viewer", "lookers"))
    assert steps(plan.changes) == [
        "update policy prod-viewer",
        "create role lookers",
        f"create mapping {new}",
        f"delete mapping {old}",
        "delete role prod-viewer",
        "update policy prod-viewer",
    ]
    documents = [part.after for change in plan.changes for part in change.fields if part.name == "document"]
    assert [document["Statement"][0]["Resource"] for document in documents] == [[new, old], new]  # type: ignore[index]


def test_the_caller_loses_the_right_to_delete_bindings_last() -> None:
    bind = (Bind("cluster-admin"), Bind("cluster-admin", "", ("shop",)), Bind("view"))
    account = account_of_alice(replace(ADMIN, bind=bind), EDITOR, VIEWER)
    wanted = access(VIEWER)
    plan = plan_apply(wanted, account.ports)
    kubernetes = [step for step, change in zip(steps(plan.changes), plan.changes, strict=True) if _in_cluster(change)]
    assert kubernetes[-4:] == [
        f"delete mapping {ARN}",
        "delete binding shop/kube-iam:admin:cluster-admin",
        "delete binding kube-iam:admin:view",
        "delete binding kube-iam:admin:cluster-admin",
    ]
    run(account, plan)
    account.cluster.subject = Subject("kubernetes-admin", ("system:masters",))
    assert plan_apply(wanted, account.ports).changes == ()


def test_a_level_that_leaves_keeps_its_mapping_until_a_moved_role_is_there_again() -> None:
    account = FakeAccount()
    run(account, plan_apply(access(), account.ports))
    plan = plan_apply(access(replace(ADMIN, role_path="/people/"), EDITOR), account.ports)
    made = steps(plan.changes).index(f"create mapping {ARN}")
    assert steps(plan.changes).index("delete mapping arn:aws:iam::123456789012:role/prod-viewer") > made


def test_each_moved_role_is_deleted_just_before_it_is_created() -> None:
    account = FakeAccount()
    run(account, plan_apply(access(ADMIN, VIEWER), account.ports))
    moved = access(*(replace(each, role_path="/people/") for each in (ADMIN, VIEWER)))
    roles = [step for step in steps(plan_apply(moved, account.ports).changes) if " role prod-" in step]
    assert [step for step in roles if "mapping" not in step] == [
        "delete role prod-admin",
        "create role prod-admin",
        "delete role prod-viewer",
        "create role prod-viewer",
    ]


def test_a_subject_that_others_added_to_a_binding_goes_after_all_additions() -> None:
    account = account_of_alice(ADMIN)
    (ident,) = account.cluster.binding_states
    drifted = replace(account.cluster.binding_states[ident], groups=("kube-iam:admin", "mallory"))
    account.cluster.binding_states[ident] = drifted
    plan = plan_apply(access(ADMIN, VIEWER), account.ports)
    assert steps(plan.changes)[-1] == "update binding kube-iam:admin:cluster-admin"
    run(account, plan)
    assert account.cluster.binding_states[ident].groups == ("kube-iam:admin",)


def _in_cluster(change: Change) -> bool:
    return isinstance(change.item, MappingEntry | BindingState)
