"""Ownership of roles, groups, policies and mapping entries: one answer for plan, apply, destroy, grant, revoke and who."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from fake_account import ACCOUNT, FakeAccount
from levels_for_tests import ADMIN, EDITOR, NODES, VIEWER, access, level, run

from kube_iam.access.changes import Kind, Plan, Verb
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import MappingEntry, UnreadMapping
from kube_iam.access.members import apply_members, plan_members, who
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import BindingState, GroupState, Holder, PolicyState, Ports, RoleState
from kube_iam.config.suggestions import suggestion
from kube_iam.errors import NotFound, NotOwned

CLUSTER, LEVEL = "kube-iam.dev/cluster", "kube-iam.dev/level"
OURS = {CLUSTER: "prod.example.com", LEVEL: "viewer"}
LEVELS = (ADMIN, EDITOR, VIEWER, level("auditor"), level("operator"))
THEIRS = {CLUSTER: "other.example.com", LEVEL: "viewer"}
PATH = "/kube-iam/prod/"
VIEWER_ARN = f"arn:aws:iam::{ACCOUNT}:role/prod-viewer"
VIEWER_POLICY = f"arn:aws:iam::{ACCOUNT}:policy{PATH}prod-viewer"
OPEN_TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}


def applied(*levels: Level, **more: Any) -> FakeAccount:
    account = FakeAccount((NODES,))
    run(account, plan_apply(access(*levels, **more), account.ports))
    return account


def change_role(account: FakeAccount, name: str = "prod-viewer", **fields: Any) -> None:
    account.directory.role_states[name] = replace(account.directory.role_states[name], **fields)


def change_policy(account: FakeAccount, arn: str = VIEWER_POLICY, **fields: Any) -> None:
    account.directory.policy_states[arn] = replace(account.directory.policy_states[arn], **fields)


def assumes(*arns: str) -> dict[str, object]:
    return {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": list(arns)}]}


def add_policy(account: FakeAccount, name: str, document: object, tags: Mapping[str, str]) -> str:
    arn = f"arn:aws:iam::{ACCOUNT}:policy{PATH}{name}"
    account.directory.policy_states[arn] = PolicyState(arn, name, PATH, document, tags)
    return arn


def add_group(account: FakeAccount, name: str, *attached: str, members: tuple[str, ...] = (), path: str = PATH) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:group{path}{name}"
    account.directory.group_states[name] = GroupState(arn, name, path, attached)
    account.directory.group_members[name] = set(members)


def deleted(plan: Plan, kind: Kind) -> list[str]:
    return [change.name for change in plan.changes if (change.verb, change.kind) == (Verb.DELETE, kind)]


ROLE_WITHOUT_TAG: dict[str, dict[str, Any]] = {
    "no tag": {"tags": {}},
    "tags of others only": {"tags": {"team": "x"}},
    "the level's tag only": {"tags": {LEVEL: "viewer"}},
    "the level's tag only, and another trust policy": {"tags": {LEVEL: "viewer"}, "trust": OPEN_TRUST},
    "no tag, and another description": {"tags": {}, "description": "somebody wrote this"},
    "no tag, and another trust policy": {"tags": {}, "trust": OPEN_TRUST},
    "the cluster's tag only": {"tags": {CLUSTER: "prod.example.com"}},
    "the cluster's tag only, and another trust policy": {"tags": {CLUSTER: "prod.example.com"}, "trust": OPEN_TRUST},
}


@pytest.mark.parametrize("changed", ROLE_WITHOUT_TAG.values(), ids=ROLE_WITHOUT_TAG.keys())
@pytest.mark.parametrize("command", ["destroy", "apply without the level"])
def test_a_role_without_its_tags_goes_with_its_entry(changed: dict[str, Any], command: str) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    change_role(account, **changed)
    if command == "destroy":
        plan = plan_destroy(access(ADMIN, EDITOR, VIEWER), account.ports)
    else:
        plan = plan_apply(access(ADMIN, EDITOR), account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert "prod-viewer" not in account.directory.role_states
    assert VIEWER_ARN not in [entry.key for entry in account.store.all_entries]


def test_an_entry_goes_even_where_its_role_can_no_longer_be_told_to_be_ours() -> None:
    custom = replace(VIEWER, role_name="lookers")
    account = applied(ADMIN, EDITOR, custom)
    change_role(account, "lookers", tags={}, trust=OPEN_TRUST, description="")
    plan = plan_apply(access(ADMIN, EDITOR), account.ports)
    assert plan.guards == ()
    assert deleted(plan, Kind.MAPPING) == [f"arn:aws:iam::{ACCOUNT}:role/lookers"]
    assert deleted(plan, Kind.ROLE) == []


def test_a_policy_without_its_tags_goes_too() -> None:
    account = applied(VIEWER)
    change_policy(account, tags={})
    run(account, plan_destroy(access(VIEWER), account.ports))
    assert account.state() == FakeAccount((NODES,)).state()


def test_an_entry_goes_whose_role_policy_and_group_were_deleted_by_hand() -> None:
    for wanted in (VIEWER, replace(VIEWER, method=Method.GROUP)):
        account = applied(wanted)
        directory = account.directory
        for state in (directory.role_states, directory.policy_states, directory.group_states, directory.group_members):
            state.clear()
        run(account, plan_destroy(access(wanted), account.ports))
        assert account.store.all_entries == [NODES]


@pytest.mark.parametrize("tags", [OURS, {CLUSTER: "prod.example.com", LEVEL: "ghost"}, {CLUSTER: "prod.example.com"}])
@pytest.mark.parametrize("command", ["apply", "destroy"])
def test_a_planted_policy_deletes_nothing_of_others(tags: Mapping[str, str], command: str) -> None:
    account = applied(VIEWER)
    elsewhere = "arn:aws:iam::999999999999:role/prod-ghost"
    china = f"arn:aws-cn:iam::{ACCOUNT}:role/prod-ghost"
    ours = f"arn:aws:iam::{ACCOUNT}:role/prod-ghost"
    missing = f"arn:aws:iam::{ACCOUNT}:role/gone"
    theirs = [MappingEntry(arn, "ci", ("system:masters",)) for arn in (elsewhere, china, ours, missing)]
    theirs.append(MappingEntry(elsewhere + "2", "ci", ("x",), "ghosts", "ghost"))
    account.store.all_entries += theirs
    account.directory.role_states["prod-ghost"] = RoleState(ours, "prod-ghost", "/", OPEN_TRUST, {"team": "x"})
    add_policy(account, "evil", assumes(elsewhere, china, ours, missing, elsewhere + "2", NODES.role_arn), tags)
    file = access(VIEWER)
    plan = plan_apply(file, account.ports) if command == "apply" else plan_destroy(file, account.ports)
    run(account, plan)
    assert [entry for entry in account.store.all_entries if entry in theirs] == theirs
    assert NODES in account.store.all_entries
    assert "prod-ghost" in account.directory.role_states


def test_a_role_with_our_tag_that_is_no_levels_is_deleted_with_force_only() -> None:
    account = applied(VIEWER)
    arn = f"arn:aws:iam::{ACCOUNT}:role/server"
    tags = {CLUSTER: "prod.example.com", LEVEL: "ghost"}
    account.directory.role_states["server"] = RoleState(arn, "server", "/", OPEN_TRUST, tags)
    add_policy(account, "evil", assumes(arn), tags)
    for plan in (plan_apply(access(VIEWER), account.ports), plan_destroy(access(VIEWER), account.ports)):
        assert "role server carries this cluster's tag, but" in "".join(plan.guards)


def test_a_planted_group_adds_its_members_with_force_only() -> None:
    account = applied(VIEWER)
    add_group(account, "planted", VIEWER_POLICY, members=("bob", "carol"))
    (guard,) = plan_apply(access(VIEWER), account.ports).guards
    assert guard.startswith("bob, carol would be added to level viewer, as members of group planted")


def test_without_membership_check_a_planted_group_adds_its_members_with_force_only() -> None:
    account = applied(VIEWER, checks_sign_in=False)
    add_group(account, "planted", VIEWER_POLICY, members=("bob",))
    (guard,) = plan_apply(access(VIEWER, checks_sign_in=False), account.ports).guards
    assert guard.startswith("bob would be added to level viewer, as members of group planted")


@pytest.mark.parametrize("method", [Method.ROLE, Method.GROUP])
def test_a_group_made_before_the_level_gives_it_to_its_members_with_force_only(method: Method) -> None:
    wanted = replace(VIEWER, method=method)
    account = FakeAccount((NODES,))
    add_group(account, "prod-viewer", members=("bob", "carol"))
    (guard,) = plan_apply(access(wanted), account.ports).guards
    assert guard.startswith("bob, carol would get level viewer, as members of group prod-viewer, which exists without")
    account.directory.group_members["prod-viewer"].clear()
    assert plan_apply(access(wanted), account.ports).guards == ()


def test_a_group_whose_policy_was_detached_gets_it_back_without_force() -> None:
    account = applied(VIEWER)
    account.directory.add_member("prod-viewer", "bob")
    account.directory.detach("prod-viewer", VIEWER_POLICY)
    plan = plan_apply(access(VIEWER), account.ports)
    assert ([change.kind for change in plan.changes], plan.guards) == ([Kind.ATTACHMENT], ())


@pytest.mark.parametrize("method", [Method.ROLE, Method.GROUP])
def test_adopting_an_existing_group_adds_its_members_with_force_only(method: Method) -> None:
    before = replace(VIEWER, method=method)
    account = applied(before)
    account.directory.add_member("prod-viewer", "alice")
    add_group(account, "lookers", VIEWER_POLICY, members=("alice", "bob"))
    (guard,) = plan_apply(access(replace(before, group_name="lookers")), account.ports).guards
    assert guard.startswith(
        "bob would get level viewer, as members of group lookers, which has the level's policy and which"
    )


@pytest.mark.parametrize("method", [Method.ROLE, Method.GROUP])
def test_people_of_a_renamed_group_move_without_force(method: Method) -> None:
    before = replace(VIEWER, method=method)
    account = applied(before)
    account.directory.add_member("prod-viewer", "bob")
    plan = plan_apply(access(replace(before, group_name="lookers")), account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert account.directory.group_members == {"lookers": {"bob"}}


@pytest.mark.parametrize(("members", "attached"), [(("bob",), ()), ((), ("arn:aws:iam::aws:policy/ReadOnlyAccess",))])
def test_a_group_at_our_path_that_was_no_levels_goes_with_force_only(
    members: tuple[str, ...], attached: tuple[str, ...]
) -> None:
    account = applied(VIEWER)
    add_group(account, "theirs", *attached, members=members)
    for plan in (plan_apply(access(VIEWER), account.ports), plan_destroy(access(VIEWER), account.ports)):
        assert plan.guards == (
            "group theirs at /kube-iam/prod/ has no policy of a level: it would be deleted, with its memberships",
        )


def test_an_empty_group_at_our_path_is_what_a_stopped_run_left() -> None:
    account = applied(VIEWER)
    add_group(account, "begun")
    plan = plan_apply(access(VIEWER), account.ports)
    assert (deleted(plan, Kind.GROUP), plan.guards) == (["begun"], ())


SAME_NAME = {"sand/box": "sand:box", "prod.example.com": "other.example.com", "PROD": "prod"}


@pytest.mark.parametrize(("first", "second"), SAME_NAME.items())
@pytest.mark.parametrize("into", [True, False])
def test_a_file_of_another_cluster_of_the_same_name_changes_nothing(first: str, second: str, into: bool) -> None:
    account = applied(VIEWER, cluster_id=first)
    account.directory.add_member("prod-viewer", "bob")
    before = account.state()
    file = access(VIEWER, cluster_id=second)
    users = ["alice"] if into else ["bob"]
    with pytest.raises(NotOwned, match=f"group prod-viewer belongs to cluster {first}"):
        plan_members(LevelReader(file, account.directory), VIEWER, users, suggestion, into=into)
    with pytest.raises(NotOwned, match=f"belongs to cluster {first}"):
        who(LevelReader(file, account.directory), [VIEWER])
    for adopt in (False, True):
        with pytest.raises(NotOwned, match=f"belongs to cluster {first}"):
            plan_apply(file, account.ports, adopt=adopt)
    plan = plan_destroy(file, account.ports)
    assert plan.changes == ()
    assert any(f"belongs to cluster {first}" in line for line in plan.left_alone)
    assert account.state() == before


def test_a_group_that_has_lost_its_policy_can_be_revoked_and_not_granted() -> None:
    account = applied(VIEWER)
    account.directory.add_member("prod-viewer", "bob")
    account.directory.detach("prod-viewer", VIEWER_POLICY)
    file = access(VIEWER)
    with pytest.raises(NotOwned, match="does not have policy prod-viewer of level viewer"):
        plan_members(LevelReader(file, account.directory), VIEWER, ["alice"], suggestion, into=True)
    planned = plan_members(LevelReader(file, account.directory), VIEWER, ["bob"], suggestion, into=False)
    assert [
        change.user for change in apply_members(LevelReader(file, account.directory), VIEWER, planned, into=False)
    ] == ["bob"]
    assert account.directory.group_members["prod-viewer"] == set()


def test_granting_a_level_gives_no_other_level_on_the_way() -> None:
    account = applied(ADMIN, VIEWER)
    account.directory.attach("prod-viewer", f"arn:aws:iam::{ACCOUNT}:policy{PATH}prod-admin")
    with pytest.raises(NotOwned, match="also has the policy of level admin"):
        plan_members(LevelReader(access(ADMIN, VIEWER), account.directory), VIEWER, ["alice"], suggestion, into=True)
    account.directory.attach("prod-admin", "arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert plan_members(LevelReader(access(ADMIN, VIEWER), account.directory), ADMIN, ["alice"], suggestion, into=True)


def test_granting_stops_at_the_role_of_another_cluster() -> None:
    account = applied(VIEWER)
    change_role(account, tags=THEIRS)
    with pytest.raises(NotOwned, match=r"role prod-viewer belongs to cluster other\.example\.com"):
        plan_members(LevelReader(access(VIEWER), account.directory), VIEWER, ["alice"], suggestion, into=True)


NAMES_OTHER = "Level viewer of the Kubernetes cluster other"
OTHERS: dict[str, tuple[str, Callable[[FakeAccount], None]]] = {
    "role": ("iam.role", lambda account: change_role(account, tags=THEIRS)),
    "role prod-viewer": ("iam.role", lambda account: change_role(account, tags={}, description=NAMES_OTHER)),
    "policy": ("cluster.id", lambda account: change_policy(account, tags=THEIRS)),
    "group": ("iam.group", lambda account: add_group(account, "prod-viewer", path="/kube-iam/other/")),
    "binding": ("another name", lambda account: label_bindings(account, "other")),
}


def label_bindings(account: FakeAccount, cluster: str) -> None:
    states: dict[tuple[str, str], BindingState] = account.cluster.binding_states
    for ident, binding in states.items():
        states[ident] = replace(binding, cluster=cluster)


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_of_another_cluster_is_adopted(what: str) -> None:
    account = applied(VIEWER)
    remedy, change = OTHERS[what]
    change(account)
    before = account.state()
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(VIEWER), account.ports, adopt=True)
    assert f"{what} " in caught.value.message
    assert "belongs to cluster other" in caught.value.message
    assert remedy in caught.value.message
    assert "--adopt" not in caught.value.message
    assert account.state() == before


def test_a_role_of_the_level_that_has_lost_its_tag_is_named_so_and_can_be_adopted() -> None:
    account = applied(VIEWER)
    change_role(account, tags={"team": "x"})
    with pytest.raises(
        NotOwned, match=r"role prod-viewer is level viewer's, and its tag kube-iam\.dev/cluster is missing"
    ):
        plan_apply(access(VIEWER), account.ports)
    run(account, plan_apply(access(VIEWER), account.ports, adopt=True))
    assert plan_apply(access(VIEWER), account.ports).changes == ()


@pytest.mark.parametrize("command", ["destroy", "apply without the level"])
def test_an_entry_of_a_level_goes_though_its_role_is_another_clusters_by_now(command: str) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    change_role(account, tags=THEIRS)
    plan = (
        plan_destroy(access(), account.ports)
        if command == "destroy"
        else plan_apply(access(ADMIN, EDITOR), account.ports)
    )
    assert plan.guards == ()
    run(account, plan)
    assert VIEWER_ARN not in [entry.key for entry in account.store.all_entries]
    assert account.directory.role_states["prod-viewer"].tags == THEIRS


def test_an_entry_by_hand_for_another_role_of_the_level_is_left_alone() -> None:
    theirs = MappingEntry(f"arn:aws:iam::{ACCOUNT}:role/ci", "ci", ("kube-iam:viewer",), "prod-viewer", "viewer")
    account = applied(VIEWER)
    account.store.all_entries.append(theirs)
    assert plan_apply(access(VIEWER), account.ports).changes == ()
    run(account, plan_destroy(access(VIEWER), account.ports))
    assert account.store.all_entries == [NODES, theirs]


def test_a_path_that_another_cluster_uses_stops_the_plan_also_for_other_levels() -> None:
    account = applied(VIEWER, cluster_id="sand/box")
    with pytest.raises(NotOwned, match="policy prod-viewer at /kube-iam/prod/ belongs to cluster sand/box"):
        plan_apply(access(ADMIN, cluster_id="sand:box"), account.ports, adopt=True)


def stage(level: Level, **changed: Any) -> ClusterAccess:
    """Return the file of `level` with another cluster.name or path, and the names that follow from that."""
    file = replace(access(level), **changed)
    names: dict[str, Any] = dict.fromkeys(("role_name", "policy_name", "group_name"), "stage-viewer")
    return replace(file, levels=(replace(level, path=file.path, **names),))


UNBOUND = replace(VIEWER, bind=())


def plans(file: ClusterAccess, account: FakeAccount) -> Iterator[Callable[[], Plan]]:
    """Yield the plans of `apply`, with --adopt too, and of `destroy`, with the cluster and with --iam-only."""
    iam_only = Ports(account.directory, None, UnreadMapping("a mapping"))
    yield lambda: plan_apply(file, account.ports)
    yield lambda: plan_apply(file, account.ports, adopt=True)
    yield lambda: plan_destroy(file, account.ports)
    yield lambda: plan_destroy(file, iam_only)


@pytest.mark.parametrize("same_names", [False, True])
def test_a_file_with_another_cluster_name_is_refused_by_every_command(same_names: bool) -> None:
    account = applied(UNBOUND)
    account.directory.add_member("prod-viewer", "bob")
    before = account.state()
    file = stage(UNBOUND, name="stage")
    if same_names:
        file = replace(file, levels=(replace(UNBOUND, path=file.path),))
    said = "role prod-viewer has the tag of cluster prod.example.com, and its description is that of cluster.name prod, not stage"
    # With --iam-only the mapping is not read, and nothing else names a role of another name.
    for plan in list(plans(file, account))[: 4 if same_names else 3]:
        with pytest.raises(NotOwned) as caught:
            plan()
        assert f"{said}: restore cluster.name prod" in str(caught.value)
        assert "nothing was changed" in str(caught.value)
    assert same_names or plan_destroy(file, Ports(account.directory, None, UnreadMapping("x"))).changes == ()
    (level,) = file.levels
    for into, user in ((True, "alice"), (False, "bob")):
        with pytest.raises(NotOwned if same_names else NotFound):
            plan_members(LevelReader(file, account.directory), level, [user], suggestion, into=into)
    if same_names:
        with pytest.raises(NotOwned, match="belongs to cluster prod"):
            who(LevelReader(file, account.directory), [level])
    else:
        assert [each.users for each in who(LevelReader(file, account.directory), [level])] == [None]
    assert account.state() == before


@pytest.mark.parametrize("changed", [{"name": "stage"}, {"path_prefix": "/teams/"}])
def test_a_level_at_a_former_path_is_deleted_with_force_only(changed: dict[str, Any]) -> None:
    described = replace(UNBOUND, description="Looks around")
    account = applied(described)
    file = stage(described, **changed)
    nothing = f"is of a level of this cluster that has no policy and no group under {file.path}"
    for plan in (plan_apply(file, account.ports), plan_destroy(file, account.ports)):
        said = "".join(plan.guards)
        assert f"mapping {VIEWER_ARN} {nothing}" in said
        assert f"role prod-viewer {nothing}" in said
    run(account, plan_destroy(file, account.ports))
    assert account.store.all_entries == [NODES]
    assert "prod-viewer" not in account.directory.role_states


def test_bindings_under_a_former_cluster_name_are_not_adopted() -> None:
    account = applied(VIEWER)
    with pytest.raises(NotOwned, match=r"belongs to cluster prod by its labels: restore cluster\.name"):
        plan_apply(stage(VIEWER, name="stage"), account.ports, adopt=True)


def test_destroy_claims_nothing_while_an_entry_of_a_level_is_left() -> None:
    account = FakeAccount((MappingEntry(VIEWER_ARN, "root", ("system:masters",)),))
    account.directory.role_states["prod-viewer"] = RoleState(VIEWER_ARN, "prod-viewer", "/", OPEN_TRUST)
    add_policy(account, "mystery", {}, {})
    plan = plan_destroy(access(VIEWER), account.ports)
    assert plan.changes == ()
    assert plan.left_alone == (
        "policy mystery at /kube-iam/prod/ is not marked as this cluster's",
        f"mapping {VIEWER_ARN} (user name root, groups system:masters) is not marked as this cluster's",
    )


@pytest.mark.parametrize("command", ["apply", "apply without the level", "destroy"])
def test_our_policy_comes_off_users_roles_and_groups_of_others(command: str) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    add_group(account, "readers", VIEWER_POLICY, members=("bob",), path="/")
    for holder in (Holder("user", "bob"), Holder("role", "ci")):
        account.directory.other_attachments.add((holder, VIEWER_POLICY))
    left = (ADMIN, EDITOR) if command == "apply without the level" else (ADMIN, EDITOR, VIEWER)
    plan = plan_destroy(access(), account.ports) if command == "destroy" else plan_apply(access(*left), account.ports)
    assert plan.guards == ()
    assert {"prod-viewer on group readers", "prod-viewer on role ci", "prod-viewer on user bob"} <= set(
        deleted(plan, Kind.ATTACHMENT)
    )
    run(account, plan)
    assert account.directory.other_attachments == set()
    assert account.directory.group_states["readers"].attached == ()
    assert account.directory.group_members["readers"] == {"bob"}


def test_attachments_are_looked_up_only_where_there_is_an_unknown_one() -> None:
    account = applied()
    account.world.log.clear()
    assert plan_apply(access(), account.ports).changes == ()
    assert "holders" not in account.world.log


@pytest.mark.parametrize("document", [{}, assumes("arn:aws:iam::999999999999:role/x"), {"Statement": "x"}])
def test_a_broken_policy_does_not_keep_its_level_from_being_removed(document: object) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    change_policy(account, document=document)
    plan = plan_apply(access(ADMIN, EDITOR), account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert account.state() == applied(ADMIN, EDITOR).state()


@pytest.mark.parametrize("command", ["destroy", "apply without the levels"])
def test_levels_whose_policies_are_on_each_others_groups_can_be_removed(command: str) -> None:
    account = applied(*LEVELS)
    for group, policy in (("prod-viewer", "prod-editor"), ("prod-editor", "prod-viewer")):
        account.directory.attach(group, f"arn:aws:iam::{ACCOUNT}:policy{PATH}{policy}")
    file = access(*LEVELS) if command == "destroy" else access(ADMIN, *LEVELS[3:])
    run(account, plan_destroy(file, account.ports) if command == "destroy" else plan_apply(file, account.ports))
    assert {"prod-viewer", "prod-editor"}.isdisjoint(account.directory.group_states)
    assert not any("viewer" in arn or "editor" in arn for arn in account.directory.policy_states)


WRONG_LEVEL: dict[str, Callable[[FakeAccount], None]] = {
    "policy": lambda account: change_policy(account, tags={**OURS, LEVEL: "editor"}),
    "role": lambda account: change_role(account, tags={**OURS, LEVEL: "editor"}),
    "group": lambda account: add_group(
        account, "prod-viewer", f"arn:aws:iam::{ACCOUNT}:policy{PATH}prod-editor", members=("carol",)
    ),
}


@pytest.mark.parametrize("entry", ["the level's", "one for the group by hand"])
@pytest.mark.parametrize("changed", [("policy",), ("policy", "role"), ("role", "group"), ("group",)])
def test_members_get_another_level_with_force_only_whatever_iam_says(changed: tuple[str, ...], entry: str) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    account.directory.add_member("prod-viewer", "carol")
    if entry != "the level's":
        account.store.all_entries.append(MappingEntry("", "x", ("x",), "prod-viewer"))
    for each in changed:
        WRONG_LEVEL[each](account)
    guards = plan_apply(access(ADMIN, EDITOR), account.ports).guards
    assert any(guard.startswith("carol would be added to level editor") for guard in guards)


@pytest.mark.parametrize("group", ["none yet", "ours", "adopted"])
def test_an_entry_for_the_group_of_a_level_by_role_goes_in_the_same_run(group: str) -> None:
    account = FakeAccount((NODES, MappingEntry("", "x", ("system:masters",), "prod-viewer")))
    if group != "none yet":
        add_group(account, "prod-viewer", path=PATH if group == "ours" else "/")
    run(account, plan_apply(access(VIEWER), account.ports, adopt=group == "adopted"))
    assert [entry.name for entry in account.store.all_entries] == [
        NODES.role_arn,
        f"arn:aws:iam::{ACCOUNT}:role/prod-viewer",
    ]
    assert plan_apply(access(VIEWER), account.ports).changes == ()


def delete_policy(account: FakeAccount) -> None:
    account.directory.detach("prod-viewer", VIEWER_POLICY)
    account.directory.delete_policy(VIEWER_POLICY)


LOST_POLICY: dict[str, Callable[[FakeAccount], None]] = {
    "no tag": lambda account: change_policy(account, tags={}),
    "tags of others only": lambda account: change_policy(account, tags={"team": "x"}),
    "the cluster's tag only": lambda account: change_policy(account, tags={CLUSTER: "prod.example.com"}),
    "another level's tag": lambda account: change_policy(account, tags={**OURS, LEVEL: "ghost"}),
    "deleted": delete_policy,
    "another level's tag on the role": lambda account: change_role(account, tags={**OURS, LEVEL: "ghost"}),
}


@pytest.mark.parametrize("lost", LOST_POLICY.values(), ids=LOST_POLICY.keys())
def test_a_level_whose_policy_or_tags_were_lost_is_removed_without_force(lost: Callable[[FakeAccount], None]) -> None:
    account = applied(*LEVELS)
    account.directory.add_member("prod-viewer", "carol")
    lost(account)
    left = (ADMIN, EDITOR, *LEVELS[3:])
    plan = plan_apply(access(*left), account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert {"prod-viewer"}.isdisjoint({*account.directory.role_states, *account.directory.group_states})
    assert VIEWER_ARN not in [entry.key for entry in account.store.all_entries]


def test_level_whose_role_lost_trust_policy_and_description_is_removed_without_force() -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    change_role(account, trust=OPEN_TRUST, description="")
    plan = plan_apply(access(ADMIN, EDITOR), account.ports)
    assert plan.guards == ()
    assert deleted(plan, Kind.ROLE) == ["prod-viewer"]


@pytest.mark.parametrize("kept", ["group_name", "policy_name", "role_name"])
def test_a_level_under_another_name_keeps_one_iam_name_without_force(kept: str) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    account.directory.add_member("prod-viewer", "carol")
    names: dict[str, Any] = {"name": "looker", "groups": ("kube-iam:looker",)}
    names |= dict.fromkeys({"group_name", "policy_name", "role_name"} - {kept}, "prod-looker")
    file = access(ADMIN, EDITOR, replace(VIEWER, **names))
    plan = plan_apply(file, account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert plan_apply(file, account.ports).changes == ()


@pytest.mark.parametrize("checks_sign_in", [True, False])
@pytest.mark.parametrize("renamed", ["policy_name", "role_name"])
def test_people_of_a_level_keep_it_without_force_under_another_iam_name(renamed: str, checks_sign_in: bool) -> None:
    account = applied(VIEWER, checks_sign_in=checks_sign_in)
    account.directory.add_member("prod-viewer", "bob")
    fields: dict[str, Any] = {renamed: "lookers"}
    assert plan_apply(access(replace(VIEWER, **fields), checks_sign_in=checks_sign_in), account.ports).guards == ()


def test_a_mapping_without_tag_is_not_said_to_have_lost_one() -> None:
    account = applied(VIEWER)
    change_role(account, tags={})
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(VIEWER), account.ports)
    assert f"mapping {VIEWER_ARN} is level viewer's, and its role is not marked" in caught.value.message


LOST_LABELS: dict[str, dict[str, Any]] = {"level": {"level": ""}, "cluster": {"cluster": ""}}


@pytest.mark.parametrize("lost", LOST_LABELS.values(), ids=LOST_LABELS.keys())
@pytest.mark.parametrize("command", ["apply", "apply without the level", "destroy"])
def test_a_binding_that_lost_a_label_is_mended_or_goes_with_its_level(lost: dict[str, Any], command: str) -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    states = account.cluster.binding_states
    labelled = states["", "kube-iam:viewer:view"]
    states["", "kube-iam:viewer:view"] = replace(labelled, **lost)
    left = (ADMIN, EDITOR) if command == "apply without the level" else (ADMIN, EDITOR, VIEWER)
    plan = plan_destroy(access(), account.ports) if command == "destroy" else plan_apply(access(*left), account.ports)
    assert plan.guards == ()
    run(account, plan)
    assert states.get(("", "kube-iam:viewer:view")) == (labelled if command == "apply" else None)


def test_destroy_lists_a_binding_without_labels_and_claims_nothing() -> None:
    account = applied(VIEWER)
    states = account.cluster.binding_states
    states["", "kube-iam:viewer:view"] = replace(states["", "kube-iam:viewer:view"], level="", cluster="")
    run(account, plan_destroy(access(VIEWER), account.ports))
    assert plan_destroy(access(VIEWER), account.ports).left_alone == (
        "binding kube-iam:viewer:view (ClusterRole view for kube-iam:viewer) is not marked as this cluster's",
    )


def test_a_binding_of_another_cluster_name_and_of_an_unknown_level_stay() -> None:
    account = applied(VIEWER)
    states = account.cluster.binding_states
    for name, cluster in (("stage", "stage"), ("ghost", "")):
        binding = replace(states["", "kube-iam:viewer:view"], name=f"kube-iam:{name}:view", level=name, cluster=cluster)
        states[binding.ident] = binding
    run(account, plan_destroy(access(VIEWER), account.ports))
    assert [name for _, name in states] == ["kube-iam:stage:view", "kube-iam:ghost:view"]
