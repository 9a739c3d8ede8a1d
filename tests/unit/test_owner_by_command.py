"""The owner of awkward objects: `plan`, `grant`, `revoke`, `who` and `destroy` give one answer, whatever each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from fake_account import ACCOUNT, FakeAccount
from foreign_objects import add_group, add_role
from levels_for_tests import ADMIN, NODES, VIEWER, access, run

from kube_iam.access.changes import Kind, Plan, Verb
from kube_iam.access.desired import desired_state, policy_arn, trust_document
from kube_iam.access.inventory import Inventory, read_inventory
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level, Method, Owner, Standing
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.members import apply_members, plan_members, who
from kube_iam.access.own_access import lost_access
from kube_iam.access.ownership import OwnershipIndex
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import GroupState, PolicyState, RoleState
from kube_iam.access.temporary import leftovers
from kube_iam.config.suggestions import suggestion
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.utc import rfc3339
from kube_iam.errors import AccessDenied, NotOwned

CLUSTER, LEVEL = "kube-iam.dev/cluster", "kube-iam.dev/level"
PATH = "/kube-iam/prod/"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod-viewer"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy{PATH}prod-viewer"
OTHER = "other.example.com"
AT_TEAMS = "group prod-viewer is at path /teams/, not /kube-iam/prod/: it is not this cluster's"
NOW = 1_800_000_000.0


def reader(account: FakeAccount, file: ClusterAccess, *, mapping: bool = True) -> LevelReader:
    entries = account.store.entries() if mapping else None
    return LevelReader(file, account.directory, Inventory(entries=entries))


def grant(account: FakeAccount, file: ClusterAccess, level: Level) -> None:
    found = reader(account, file)
    list(apply_members(found, level, plan_members(found, level, ["alice"], suggestion, into=True), into=True))


def revoke(account: FakeAccount, file: ClusterAccess, level: Level) -> None:
    found = reader(account, file)
    list(apply_members(found, level, plan_members(found, level, ["bob"], suggestion, into=False), into=False))


def members(account: FakeAccount, file: ClusterAccess, level: Level) -> tuple[str, ...] | None:
    (found,) = who(reader(account, file), [level])
    return found.users


def applied(*levels: Level, **more: Any) -> FakeAccount:
    account = FakeAccount((NODES,))
    run(account, plan_apply(access(*levels, **more), account.ports))
    for level in levels:
        account.directory.add_member(level.group_name, "bob")
    return account


def change_role(account: FakeAccount, **fields: Any) -> None:
    states = account.directory.role_states
    states["prod-viewer"] = replace(states["prod-viewer"], **fields)


def change_policy(account: FakeAccount, **fields: Any) -> None:
    states = account.directory.policy_states
    states[POLICY] = replace(states[POLICY], **fields)


@dataclass(frozen=True)
class Case:
    """An account, the file that the commands are run with, and what they answer: `None` where they do as they are told."""

    account: FakeAccount
    file: ClusterAccess
    refuses_plan: str | None = None
    refuses_grant: str | None = None
    refuses_members: str | None = None  # of `revoke` and `who`
    refuses_destroy: str | None = None
    destroys_group: bool = True


def other_cluster() -> Case:
    """Return a level that another cluster with the same cluster.name has applied."""
    other = f"belongs to cluster {OTHER}"
    return Case(applied(VIEWER, cluster_id=OTHER), access(VIEWER), other, other, other, destroys_group=False)


def other_cluster_without_policy() -> Case:
    """Return the same with a group that has lost its policy: only a policy beside it, of another name, says whose it is."""
    account = applied(replace(VIEWER, policy_name="theirs"), cluster_id=OTHER)
    account.directory.detach("prod-viewer", POLICY.replace("prod-viewer", "theirs"))
    other = f"belongs to cluster {OTHER}"
    return Case(account, access(VIEWER), other, other, other, destroys_group=False)


def other_path() -> Case:
    """Return a group at the path of a cluster with another name."""
    account = applied(VIEWER)
    states = account.directory.group_states
    states["prod-viewer"] = replace(states["prod-viewer"], path="/kube-iam/stage/")
    other = "belongs to cluster stage"
    return Case(account, access(VIEWER), other, other, other, destroys_group=False)


def renamed_level() -> Case:
    """Return a file that was not applied, with another name for a level that keeps its policy, role and group."""
    file = access(replace(VIEWER, name="looker"))
    return Case(applied(VIEWER), file, refuses_grant="policy prod-viewer of level looker is level viewer's")


def adopted_role() -> Case:
    """Return a level with a role that others have made and that was adopted."""
    account = FakeAccount((NODES,))
    account.directory.role_states["prod-viewer"] = RoleState(ROLE, "prod-viewer", "/", {}, {"team": "x"})
    run(account, plan_apply(access(VIEWER), account.ports, adopt=True))
    account.directory.add_member("prod-viewer", "bob")
    return Case(account, access(VIEWER))


def policy_of_other_cluster() -> Case:
    account = applied(VIEWER)
    change_policy(account, tags={CLUSTER: OTHER, LEVEL: "viewer"})
    other = f"belongs to cluster {OTHER}"
    return Case(account, access(VIEWER), other, other, other, destroys_group=False)


def policy_without_tags() -> Case:
    account = applied(VIEWER)
    change_policy(account, tags={})
    return Case(account, access(VIEWER), "tag kube-iam.dev/cluster is missing", "without this cluster's tag")


def policy_for_another_role() -> Case:
    """Return a policy that lost its cluster tag, and whose document names a role of ours under another name."""
    account = applied(VIEWER)
    arn = f"arn:aws:iam::{ACCOUNT}:role/lookers"
    account.directory.role_states["lookers"] = RoleState(
        arn, "lookers", "/", {}, {CLUSTER: "prod.example.com", LEVEL: "viewer"}
    )
    document = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn}]}
    change_policy(account, tags={LEVEL: "viewer"}, document=document)
    return Case(account, access(VIEWER), "tag kube-iam.dev/cluster is missing", "without this cluster's tag")


def role_without_tags() -> Case:
    account = applied(VIEWER)
    change_role(account, tags={})
    missing = "role prod-viewer is level viewer's, and its tag kube-iam.dev/cluster is missing"
    return Case(account, access(VIEWER), missing, missing)


def role_known_by_its_policy() -> Case:
    """Return a role whose only second mark is the policy that names it, which a read of the role alone does not show."""
    account = applied(VIEWER)
    change_role(account, tags={}, trust={}, description="")
    missing = "role prod-viewer is level viewer's, and its tag kube-iam.dev/cluster is missing"
    return Case(account, access(VIEWER), missing, missing)


def role_of_somebody() -> Case:
    """Return a role at our path that nothing marks as ours."""
    account = applied(VIEWER)
    change_role(account, tags={"team": "x"}, trust={}, description="")
    change_policy(account, document={})
    account.store.all_entries[:] = [NODES]
    refused = "role prod-viewer exists and is not kube-iam's"
    return Case(account, access(VIEWER), refused, refused)


def role_of_other_cluster() -> Case:
    account = applied(VIEWER)
    change_role(account, tags={CLUSTER: OTHER, LEVEL: "viewer"})
    other = f"role prod-viewer belongs to cluster {OTHER}"
    return Case(account, access(VIEWER), other, other)


def role_of_another_level() -> Case:
    account = applied(ADMIN, VIEWER)
    change_role(account, tags={CLUSTER: "prod.example.com", LEVEL: "admin"})
    return Case(account, access(ADMIN, VIEWER), refuses_grant="role prod-viewer of level viewer is level admin's")


def other_letter_case() -> Case:
    """Return a file that spells the names of the level otherwise than IAM."""
    names = dict.fromkeys(("role_name", "policy_name", "group_name"), "Prod-Viewer")
    file = access(replace(VIEWER, **names))  # type: ignore[arg-type]
    differs = "group prod-viewer differs from Prod-Viewer in letter case only"
    return Case(applied(VIEWER), file, differs, differs)


def by_group() -> Case:
    level = replace(VIEWER, method=Method.GROUP)
    return Case(applied(level), access(level))


def existing_group(path: str = "/teams/", cluster_id: str = "prod.example.com", **fields: Any) -> Case:
    """Return a level by a group of others with the name that a group of ours would have."""
    account = FakeAccount((NODES,))
    add_group(account, "bob", name="prod-viewer", path="/teams/")
    level = replace(VIEWER, existing_group=True, **fields)
    run(account, plan_apply(access(level, cluster_id=cluster_id), account.ports))
    account.directory.move_group("prod-viewer", path)
    return Case(account, access(level, cluster_id=cluster_id), destroys_group=False)


def existing_group_by_group() -> Case:
    return existing_group(method=Method.GROUP)


def existing_group_at_our_path() -> Case:
    """Return an existing group that others moved to our path: as a member of it nobody gets more than the level."""
    refused = "group prod-viewer is kube-iam's, by its path"
    return replace(existing_group(PATH), refuses_plan=refused, refuses_destroy=refused)


def existing_group_at_the_path_of_another_cluster() -> Case:
    other = "group prod-viewer belongs to cluster stage"
    case = existing_group("/kube-iam/stage/")
    return replace(case, refuses_plan=other, refuses_grant=other, refuses_members=other)


def formerly_existing_group() -> Case:
    """Return a file that no longer says that the group is not kube-iam's."""
    case, refused = existing_group(), "was used as an existing group of level viewer"
    file = access(VIEWER)
    return replace(case, file=file, refuses_plan=refused, refuses_grant=AT_TEAMS, refuses_members=AT_TEAMS)


def existing_group_of_two_clusters() -> Case:
    """Return an existing group with the policy of another cluster beside this one's."""
    case = existing_group()
    theirs = replace(VIEWER, existing_group=True, path="/kube-iam/test/", policy_name="test", role_name="test")
    elsewhere = FakeAccount()
    other = replace(case.account.ports, cluster=elsewhere.cluster, store=elsewhere.store)
    plan = plan_apply(access(theirs, cluster_id=OTHER, name="test"), other)
    run(case.account, plan, other)
    return case


def existing_group_of_a_cluster_with_our_name(**fields: Any) -> Case:
    """Return an existing group of a level that another cluster with the same cluster.name has applied."""
    case = existing_group(cluster_id=OTHER, **fields)
    other = f"belongs to cluster {OTHER}"
    file = replace(case.file, cluster_id="prod.example.com")
    return replace(case, file=file, refuses_plan=other, refuses_grant=other, refuses_members=other)


def existing_group_by_group_of_a_cluster_with_our_name() -> Case:
    return existing_group_of_a_cluster_with_our_name(method=Method.GROUP)


def existing_role(path: str = "/", **fields: Any) -> Case:
    """Return a level by a role of others with the name that a role of ours would have."""
    account = FakeAccount((NODES,))
    add_role(account, "prod-viewer", path)
    level = replace(VIEWER, existing_role=True)
    run(account, plan_apply(access(level), account.ports))
    account.directory.add_member("prod-viewer", "bob")
    change_role(account, **fields)
    return Case(account, access(level))


def existing_role_at_a_path() -> Case:
    return existing_role("/ops/")


def existing_role_that_looks_like_ours() -> Case:
    return existing_role(trust=trust_document(access(VIEWER), VIEWER), tags={LEVEL: "viewer"})


def existing_role_with_our_tags() -> Case:
    """Return a role of others that somebody gave our tags: everybody in the level has it already."""
    case = existing_role(tags={CLUSTER: "prod.example.com", LEVEL: "viewer"})
    return replace(case, refuses_plan="role prod-viewer is kube-iam's, by its tags")


def existing_role_of_another_cluster() -> Case:
    other = f"role prod-viewer belongs to cluster {OTHER}"
    return replace(existing_role(tags={CLUSTER: OTHER}), refuses_plan=other, refuses_grant=other)


def formerly_existing_role() -> Case:
    case, refused = existing_role(), "was used as an existing role of level viewer"
    return replace(case, file=access(VIEWER), refuses_plan=refused, refuses_grant=refused)


def existing_role_and_a_policy_without_tags() -> Case:
    case = existing_role("/ops/")
    change_policy(case.account, tags={})
    missing = "tag kube-iam.dev/cluster is missing"
    return replace(case, refuses_plan=missing, refuses_grant="without this cluster's tag")


CASES: dict[str, Callable[[], Case]] = {
    case.__name__: case
    for case in (
        other_cluster,
        other_cluster_without_policy,
        other_path,
        renamed_level,
        adopted_role,
        policy_of_other_cluster,
        policy_without_tags,
        policy_for_another_role,
        role_without_tags,
        role_known_by_its_policy,
        role_of_somebody,
        role_of_other_cluster,
        role_of_another_level,
        other_letter_case,
        by_group,
        existing_group,
        existing_group_by_group,
        existing_group_at_our_path,
        existing_group_at_the_path_of_another_cluster,
        formerly_existing_group,
        existing_group_of_two_clusters,
        existing_group_of_a_cluster_with_our_name,
        existing_group_by_group_of_a_cluster_with_our_name,
        existing_role,
        existing_role_at_a_path,
        existing_role_that_looks_like_ours,
        existing_role_with_our_tags,
        existing_role_of_another_cluster,
        formerly_existing_role,
        existing_role_and_a_policy_without_tags,
    )
}


def level_of(file: ClusterAccess) -> Level:
    return file.levels[-1]


def check(refusal: str | None, act: Callable[[], object]) -> None:
    if refusal is None:
        act()
        return
    with pytest.raises(NotOwned) as caught:
        act()
    assert refusal in str(caught.value)


def deletes_group(plan: Plan) -> bool:
    return any(
        (change.verb, change.kind, change.name) == (Verb.DELETE, Kind.GROUP, "prod-viewer") for change in plan.changes
    )


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_plan_grant_revoke_who_and_destroy_agree_on_the_owner(make: Callable[[], Case]) -> None:
    case = make()
    level = level_of(case.file)
    before = case.account.state()
    check(case.refuses_plan, lambda: plan_apply(case.file, case.account.ports))
    found: list[bool] = []
    check(case.refuses_destroy, lambda: found.append(deletes_group(plan_destroy(case.file, case.account.ports))))
    assert found == ([case.destroys_group] if case.refuses_destroy is None else [])
    assert case.account.state() == before
    check(case.refuses_members, lambda: members(case.account, case.file, level))
    check(case.refuses_grant, lambda: grant(case.account, case.file, level))
    check(case.refuses_members, lambda: revoke(case.account, case.file, level))
    after = {"alice"} if case.refuses_grant is None else set()
    after |= {"bob"} if case.refuses_members is not None else set()
    assert case.account.directory.group_members["prod-viewer"] == after


def owners_of_everything(index: OwnershipIndex, inventory: Inventory) -> Iterator[tuple[str, Owner]]:
    yield from ((f"policy {arn}", index.policy(arn)) for arn in inventory.policies)
    yield from ((f"role {name}", index.role(name)) for name in inventory.roles)
    yield from ((f"group {name}", index.group(name)) for name in inventory.groups)
    yield from ((f"entry {entry.key}", index.entry(entry.key)) for entry in inventory.entries or ())


def full_index(case: Case) -> OwnershipIndex:
    desired, entries = desired_state(case.file), case.account.store.entries()
    return OwnershipIndex(case.file, read_inventory(case.file, case.account.directory, desired, entries))


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_answers_from_a_part_are_those_from_the_whole_or_none(make: Callable[[], Case]) -> None:
    case = make()
    full = full_index(case)
    whole = full.inventory
    expected = dict(owners_of_everything(full, whole))
    keys = [("policies", key) for key in whole.policies] + [("roles", key) for key in whole.roles]
    keys += [("groups", key) for key in whole.groups]
    answers = 0
    for count in range(len(keys)):
        for left_out in combinations(keys, count + 1):
            policies = {key: each for key, each in whole.policies.items() if ("policies", key) not in left_out}
            roles = {key: each for key, each in whole.roles.items() if ("roles", key) not in left_out}
            groups = {key: each for key, each in whole.groups.items() if ("groups", key) not in left_out}
            for entries in (whole.entries, None):
                index = OwnershipIndex(case.file, Inventory(policies, roles, groups, entries))
                for name, owner in owners_of_everything(index, whole):
                    if owner.is_read:
                        answers += 1
                        assert (name, owner.standing, owner.cluster) == (
                            name,
                            expected[name].standing,
                            expected[name].cluster,
                        )
    assert answers


@pytest.mark.parametrize("mapping", [True, False])
@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_what_a_command_reads_is_enough_for_its_answer(make: Callable[[], Case], mapping: bool) -> None:
    case = make()
    full, level = full_index(case), level_of(case.file)
    part = reader(case.account, case.file, mapping=mapping).owners([level], roles=True)
    arn = policy_arn(case.file, level)
    assert part.group(level.group_name).standing is full.group(level.group_name).standing
    assert part.policy(arn).standing is full.policy(arn).standing
    if level.method is Method.ROLE:
        assert part.role(level.role_name).standing is full.role(level.role_name).standing
    assert part.group(level.group_name).is_read


def test_owner_of_something_that_was_not_read_has_no_answer() -> None:
    index = OwnershipIndex(access(VIEWER), Inventory())
    for owner in (index.policy(POLICY), index.role("prod-viewer"), index.group("prod-viewer"), index.entry(ROLE)):
        assert owner.standing is Standing.NOT_READ
        for ask in ("is_ours", "is_marked", "is_other"):
            with pytest.raises(ValueError, match="not read"):
                getattr(owner, ask)
    assert index.policy(f"arn:aws:iam::{ACCOUNT}:policy/ReadOnly").standing is Standing.UNKNOWN


def test_grant_reads_its_level_and_not_the_account() -> None:
    levels = tuple(
        replace(VIEWER, name=f"l{n}", group_name=f"g{n}", policy_name=f"p{n}", role_name=f"r{n}") for n in range(9)
    )
    account = applied(*levels)
    account.world.log.clear()
    found = LevelReader(access(*levels), account.directory)
    plan_members(found, levels[3], ["alice"], suggestion, into=True)
    assert sorted(account.world.log) == ["group", "members", "policy", "role", "user"]
    account.world.log.clear()
    list(apply_members(found, levels[3], [], into=True))
    assert account.world.log == []


def test_revoke_and_who_need_no_right_to_read_roles() -> None:
    account = applied(ADMIN, VIEWER)
    account.world.errors["role"] = AccessDenied("read role")
    file = access(ADMIN, VIEWER)
    assert members(account, file, VIEWER) == ("bob",)
    revoke(account, file, VIEWER)
    assert members(account, file, VIEWER) == ()


def test_a_read_that_fails_is_no_answer() -> None:
    case = other_cluster_without_policy()
    case.account.world.errors["policies"] = AccessDenied("list policies")
    with pytest.raises(AccessDenied):
        revoke(case.account, case.file, VIEWER)


def test_membership_in_the_group_of_another_cluster_covers_no_loss() -> None:
    account = applied(ADMIN, VIEWER)
    file = access(ADMIN, VIEWER)
    for level in file.levels:
        account.directory.add_member(level.group_name, "alice")
    assert not lost_access(LevelReader(file, account.directory), VIEWER, "alice")
    states = account.directory.group_states
    states["prod-admin"] = replace(states["prod-admin"], path="/kube-iam/stage/")
    assert lost_access(LevelReader(file, account.directory), VIEWER, "alice")


def over(entry: MappingEntry) -> MappingEntry:
    return replace(entry, temporary=(TemporaryGrant("carol", "AIDAcarol", rfc3339(NOW - 60), "on call"),))


def test_ended_access_is_cleaned_up_by_this_clusters_entries_alone() -> None:
    account = applied(ADMIN, VIEWER)
    file = access(ADMIN, VIEWER)
    account.store.all_entries[:] = [over(entry) for entry in account.store.all_entries]
    assert [removal.entry.level for removal, _ in leftovers(reader(account, file), NOW)] == ["admin", "viewer"]
    change_role(account, tags={CLUSTER: OTHER})
    change_policy(account, document={})
    theirs = account.store.all_entries[-1]
    account.store.all_entries[-1] = replace(theirs, level="", iam_group="others")
    assert [removal.entry.level for removal, _ in leftovers(reader(account, file), NOW)] == ["admin"]
    kept = [change.name for change in plan_destroy(file, account.ports).changes if change.kind is Kind.TEMPORARY]
    assert kept == ["carol in admin"]


def test_cleaning_up_reads_nothing_where_nothing_is_over() -> None:
    account = applied(VIEWER)
    found = reader(account, access(VIEWER))
    account.world.log.clear()
    assert list(leftovers(found, NOW)) == []
    assert account.world.log == []


def test_a_role_that_iam_cannot_have_is_not_asked_for() -> None:
    account = applied(VIEWER)
    arn = f"arn:aws:iam::{ACCOUNT}:role/has space \N{KELVIN SIGN}" + "x" * 65
    document = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn}]}
    planted = f"arn:aws:iam::{ACCOUNT}:policy{PATH}planted"
    tags = {LEVEL: "viewer"}
    account.directory.policy_states[planted] = PolicyState(planted, "planted", PATH, document, tags)
    account.store.all_entries.append(MappingEntry(arn, "x", ("x",), "prod-viewer", "viewer"))
    asked: list[str] = []
    read = account.directory.role
    account.directory.role = lambda name: asked.append(name) or read(name)  # type: ignore[method-assign,func-returns-value]
    assert plan_apply(access(VIEWER), account.ports).changes == ()
    assert plan_destroy(access(VIEWER), account.ports).left_alone == (
        f"policy planted at {PATH} is not marked as this cluster's",
    )
    assert set(asked) == {"prod-viewer"}


def test_who_reads_a_group_under_its_name_in_iam() -> None:
    account = applied(VIEWER)
    file = access(replace(VIEWER, group_name="Prod-Viewer"))
    assert members(account, file, level_of(file)) == ("bob",)


def test_a_group_of_others_beside_ours_changes_no_answer() -> None:
    account = applied(VIEWER)
    states = account.directory.group_states
    states["theirs"] = GroupState(f"arn:aws:iam::{ACCOUNT}:group/theirs", "theirs", "/", (POLICY,))
    grant(account, access(VIEWER), VIEWER)
    assert account.directory.group_members["prod-viewer"] == {"alice", "bob"}
