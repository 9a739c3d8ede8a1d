"""Access entries of EKS as the mapping: what a plan shows and changes, and what it leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from fake_account import FakeAccount, FakeStore, Killed
from fake_eks import NAME, FakeEks, entries_of, ports_of
from levels_for_tests import access, level, run

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Kind, Plan, Verb
from kube_iam.access.desired import CLUSTER_TAG, LEVEL_TAG
from kube_iam.access.levels import Bind, ClusterAccess, Method, access_entries
from kube_iam.access.mapping import MappingEntry, MappingSource
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Subject
from kube_iam.errors import Conflict, KubeIamError, NotOwned, Throttled, UsageError
from kube_iam.report.plan_text import plan_text

VIEWER_ARN = "arn:aws:iam::123456789012:role/prod-viewer"
ADMIN_ARN = "arn:aws:iam::123456789012:role/prod-admin"
OURS = {CLUSTER_TAG: NAME, LEVEL_TAG: "viewer"}
NODES = "arn:aws:iam::123456789012:role/nodes"


def file(*levels: object, **more: object) -> ClusterAccess:
    found = levels or (level("admin", Bind("cluster-admin")), level("viewer", Bind("view")))
    return access(*found, mapping=access_entries(NAME), cluster_id=NAME, checks_sign_in=False, **more)  # type: ignore[arg-type]


@pytest.fixture
def account() -> FakeAccount:
    return FakeAccount()


@pytest.fixture
def eks(account: FakeAccount) -> FakeEks:
    found = FakeEks(account)
    found.add(NODES, type="EC2_LINUX", username="system:node:{{EC2PrivateDNSName}}", kubernetesGroups=["system:nodes"])
    found.add("arn:aws:iam::123456789012:user/creator")
    return found


@pytest.fixture
def applied(eks: FakeEks) -> FakeEks:
    run(eks.account, plan(eks), ports_of(eks, file()))
    return eks


def plan(
    eks: FakeEks, levels: ClusterAccess | None = None, *, adopt: bool = False, former: FakeStore | None = None
) -> Plan:
    found = levels or file()
    return plan_apply(found, ports_of(eks, found, former), adopt=adopt)


def mappings(found: Plan) -> list[str]:
    return [f"{each.verb.value} {each.name.rpartition('/')[2]}" for each in found.changes if each.kind is Kind.MAPPING]


def test_levels_become_tagged_entries_of_type_standard_and_second_plan_is_empty(eks: FakeEks) -> None:
    levels = file(level("viewer", Bind("view"), groups=("b", "a"), tags=(("team", "x"),), role_path="/people/"))
    run(eks.account, plan(eks, levels), ports_of(eks, levels))
    made = eks.records["arn:aws:iam::123456789012:role/people/prod-viewer"]
    assert (made["type"], made["username"], made["kubernetesGroups"]) == (
        "STANDARD",
        "awsiam:{{SessionNameRaw}}",
        ["a", "b"],
    )
    assert made["tags"] == {**OURS, "team": "x"}
    assert plan(eks, levels).changes == ()
    made["kubernetesGroups"] = ["b", "a"]  # EKS promises no order
    assert plan(eks, levels).changes == ()


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"username": "mine:{{SessionName}}"}, {"username"}),
        ({"kubernetesGroups": ["other"]}, {"groups"}),
        ({"tags": {**OURS, "team": "y"}}, set()),
        ({"tags": {CLUSTER_TAG: NAME}}, {"level"}),
    ],
)
def test_changed_entry_is_updated_in_place(applied: FakeEks, changed: dict[str, object], fields: set[str]) -> None:
    before = applied.records[VIEWER_ARN]["createdAt"]
    applied.records[VIEWER_ARN].update(changed)
    found = plan(applied)
    assert {part.name for change in found.changes for part in change.fields} == fields
    run(applied.account, found, ports_of(applied, file()))
    assert applied.records[VIEWER_ARN]["createdAt"] == before
    assert plan(applied).changes == ()


def test_entry_of_a_synced_level_names_no_group(applied: FakeEks) -> None:
    """Its bindings name the members: with a group everybody with the role would have the level."""
    synced = level("viewer", Bind("view"), groups=(), syncs_members=True)
    levels = file(level("admin", Bind("cluster-admin")), synced)
    run(applied.account, plan(applied, levels), ports_of(applied, levels))
    assert applied.records[VIEWER_ARN]["kubernetesGroups"] == []
    assert applied.records[VIEWER_ARN]["username"] == "awsiam:{{SessionNameRaw}}"
    assert plan(applied, levels).changes == ()


def test_tag_of_file_is_added_to_an_entry(applied: FakeEks) -> None:
    levels = file(level("admin", Bind("cluster-admin")), level("viewer", Bind("view"), tags=(("team", "x"),)))
    run(applied.account, plan(applied, levels), ports_of(applied, levels))
    assert applied.records[VIEWER_ARN]["tags"]["team"] == "x"
    assert plan(applied, levels).changes == ()


def test_entry_with_too_many_tags_fails_in_advance(applied: FakeEks) -> None:
    applied.records[VIEWER_ARN].update(tags={**OURS, **{f"t{n}": "" for n in range(48)}}, username="x:{{SessionName}}")
    levels = file(level("admin", Bind("cluster-admin")), level("viewer", Bind("view"), tags=(("team", "x"),)))
    assert "more than 50 tags" in plan(applied, levels).failures[0]


def test_level_that_leaves_loses_its_entry_and_others_stay(applied: FakeEks) -> None:
    others = {arn: each for arn, each in applied.records.items() if arn not in (ADMIN_ARN, VIEWER_ARN)}
    levels = file(level("admin", Bind("cluster-admin")))
    run(applied.account, plan(applied, levels), ports_of(applied, levels))
    assert applied.records.keys() == {*others, ADMIN_ARN}
    run(applied.account, plan_destroy(levels, ports_of(applied, levels)), ports_of(applied, levels))
    assert applied.records == others


def test_entry_of_others_needs_adopt_and_is_changed_in_place(eks: FakeEks) -> None:
    run(eks.account, plan(eks, file(level("admin"))), ports_of(eks, file(level("admin"))))
    eks.records[ADMIN_ARN].update(tags={"by": "terraform"}, username="terraform:{{SessionName}}")
    with pytest.raises(NotOwned, match="is mapped already, by hand or by another tool") as error:
        plan(eks)
    assert "--adopt" in str(error.value)
    before = eks.records[ADMIN_ARN]["createdAt"]
    run(eks.account, plan(eks, adopt=True), ports_of(eks, file()))
    assert eks.records[ADMIN_ARN]["tags"] == {"by": "terraform", **OURS, LEVEL_TAG: "admin"}
    assert eks.records[ADMIN_ARN]["username"] == "awsiam:{{SessionNameRaw}}"
    assert eks.records[ADMIN_ARN]["createdAt"] == before
    assert plan(eks).changes == ()


def test_entry_of_another_cluster_is_not_adopted(applied: FakeEks) -> None:
    applied.records[VIEWER_ARN]["tags"] = {CLUSTER_TAG: "prod", LEVEL_TAG: "viewer"}
    with pytest.raises(NotOwned, match="belongs to cluster with the id prod"):
        plan(applied, adopt=True)


@pytest.mark.parametrize(
    "kind", ["EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "EC2", "HYBRID_LINUX", "HYPERPOD_LINUX", "ANYTHING_NEW"]
)
def test_entries_of_nodes_are_never_changed(applied: FakeEks, kind: str) -> None:
    """They keep out of plans even with our tags: adopting one, or deleting it, would take nodes out of the cluster."""
    applied.records[VIEWER_ARN]["type"] = kind
    before = dict(applied.records[VIEWER_ARN])
    with pytest.raises(NotOwned, match=f"is mapped at access entry of type {kind}"):
        plan(applied, adopt=True)
    levels = file(level("admin", Bind("cluster-admin")))
    run(applied.account, plan(applied, levels), ports_of(applied, levels))
    run(applied.account, plan_destroy(levels, ports_of(applied, levels)), ports_of(applied, levels))
    assert applied.records[VIEWER_ARN] == before


def test_entry_of_nodes_for_a_mapped_role_fails_in_advance(eks: FakeEks) -> None:
    levels = file(level("ops", Bind("view"), method=Method.MAPPED_ROLE, mapped_role=NODES))
    assert "is for nodes, and is never changed" in plan(eks, levels).failures[0]


def test_entry_of_a_recreated_role_is_recreated_with_the_reason(applied: FakeEks) -> None:
    directory = applied.account.directory
    directory.role_states["prod-viewer"] = replace(directory.role_states["prod-viewer"], created=1_000.0)
    assert not applied.admits(VIEWER_ARN)
    applied.account.world.writes = 2_000
    found = plan(applied)
    assert mappings(found) == ["delete prod-viewer", "create prod-viewer"]
    said = next(text for text in found.warnings if "unique id" in text)
    assert re.search(r"this entry is for a former role \(entry of 1970-01-01T00:00:\d\dZ\)", said)
    assert "the role of 1970-01-01T00:16:40Z" in plan_text(found)
    run(applied.account, found, ports_of(applied, file()))
    assert applied.admits(VIEWER_ARN)
    assert plan(applied).changes == ()


def test_entry_of_a_deleted_role_is_recreated_after_the_role(applied: FakeEks) -> None:
    del applied.account.directory.role_states["prod-viewer"]
    found = plan(applied)
    kinds = [(each.verb, each.kind) for each in found.changes]
    assert kinds.index((Verb.CREATE, Kind.ROLE)) < kinds.index((Verb.DELETE, Kind.MAPPING))
    assert kinds[-2:] == [(Verb.DELETE, Kind.MAPPING), (Verb.CREATE, Kind.MAPPING)]
    run(applied.account, found, ports_of(applied, file()))
    assert applied.admits(VIEWER_ARN)
    assert plan(applied).changes == ()


def test_role_at_another_path_gets_a_new_entry(applied: FakeEks) -> None:
    levels = file(level("admin"), level("viewer", Bind("view"), role_path="/people/"))
    run(applied.account, plan(applied, levels), ports_of(applied, levels))
    assert VIEWER_ARN not in applied.records
    assert applied.admits("arn:aws:iam::123456789012:role/people/prod-viewer")
    assert plan(applied, levels).changes == ()


def test_tombstone_of_others_is_adopted_and_recreated(applied: FakeEks) -> None:
    directory = applied.account.directory
    directory.role_states["prod-viewer"] = replace(directory.role_states["prod-viewer"], created=1_000.0)
    applied.account.world.writes = 2_000
    applied.records[VIEWER_ARN]["tags"] = {}
    found = plan(applied, adopt=True)
    assert mappings(found) == ["adopt prod-viewer", "delete prod-viewer", "create prod-viewer"]
    assert found.failures == ()
    run(applied.account, found, ports_of(applied, file()))
    assert applied.admits(VIEWER_ARN)
    assert plan(applied).changes == ()


def test_stale_entry_of_others_at_another_path_names_the_command(eks: FakeEks) -> None:
    stale = "arn:aws:iam::123456789012:role/old/prod-viewer"
    eks.add(stale)
    with pytest.raises(NotOwned, match=f"aws eks delete-access-entry --cluster-name eks-prod --principal-arn {stale}"):
        plan(eks, adopt=True)


def test_access_policies_of_others_are_shown_and_kept(applied: FakeEks) -> None:
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    scope = {"type": "namespace", "namespaces": ["shop", "blog"]}
    applied.policies[VIEWER_ARN] = [{"policyArn": policy, "accessScope": scope}]
    applied.records[VIEWER_ARN]["username"] = "other:{{SessionName}}"
    found = plan(applied)
    assert any("AmazonEKSViewPolicy in shop, blog" in text for text in found.warnings)
    assert found.guards == ()
    run(applied.account, found, ports_of(applied, file()))
    assert applied.policies[VIEWER_ARN]


def test_deletion_of_entry_with_access_policies_needs_force(applied: FakeEks) -> None:
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSAdminPolicy"
    applied.policies[VIEWER_ARN] = [{"policyArn": policy, "accessScope": {"type": "cluster"}}]
    levels = file(level("admin", Bind("cluster-admin")))
    assert any("AmazonEKSAdminPolicy" in text for text in plan(applied, levels).guards)
    assert any("AmazonEKSAdminPolicy" in text for text in plan_destroy(file(), ports_of(applied, file())).guards)


def test_own_entry_needs_force(applied: FakeEks) -> None:
    applied.account.cluster.subject = Subject("awsiam:me", ("kube-iam:admin",), ADMIN_ARN)
    levels = file(level("viewer", Bind("view")), level("editor", Bind("edit")))
    assert any("you are signed in through" in text for text in plan(applied, levels).guards)
    found = plan(applied, levels)
    kinds = [change.name for change in found.changes if change.verb is Verb.DELETE and change.kind is Kind.MAPPING]
    assert kinds == [ADMIN_ARN]


def test_authentication_mode_config_map_is_explained(account: FakeAccount) -> None:
    with pytest.raises(UsageError, match="has authentication mode CONFIG_MAP") as error:
        plan(FakeEks(account, "CONFIG_MAP"))
    assert "aws eks update-cluster-config --name eks-prod --region eu-central-1" in error.value.hint
    assert "no way back" in error.value.hint


def test_entries_of_all_pages_are_read_once_each(applied: FakeEks) -> None:
    applied.calls.clear()
    store = entries_of(applied, file())
    assert {each.role_arn for each in store.entries()} == {ADMIN_ARN, VIEWER_ARN}
    assert {each.principal for each in store.others()} == {NODES, "arn:aws:iam::123456789012:user/creator"}
    assert applied.calls.count("list_access_entries") == 2
    assert applied.calls.count("describe_access_entry") == 4


def test_entries_are_shown_as_the_server_reads_them(applied: FakeEks) -> None:
    found = entries_of(applied, file()).server_mapping()
    assert found.source == "EKS cluster eks-prod (access entries)"
    by_place = {each.where: each for each in found.entries}
    assert by_place[f"access entry {VIEWER_ARN}"].username.text == "awsiam:{{SessionNameRaw}}"
    assert f"access entry of type EC2_LINUX {NODES}" in by_place
    assert "access entry arn:aws:iam::123456789012:user/creator" in {*by_place, *found.problems}


# Other programs at work between the plan and its changes.


def once(action: str, effect: object, eks: FakeEks) -> None:
    """Call `effect` before the first call of that name."""

    def meanwhile(name: str) -> None:
        if name == action:
            eks.meanwhile = lambda _: None
            effect()  # type: ignore[operator]

    eks.meanwhile = meanwhile


def outcome(eks: FakeEks, found: Plan) -> KubeIamError | None:
    return apply_plan(found, ports_of(eks, file()), lambda _: None).error


def test_entry_that_appears_meanwhile_is_not_taken_over(eks: FakeEks) -> None:
    found = plan(eks)
    once("create_access_entry", lambda: eks.add(ADMIN_ARN, username="terraform:x"), eks)
    error = outcome(eks, found)
    assert isinstance(error, NotOwned)
    assert "is not this cluster's by its tags (user name terraform:x" in error.message
    assert eks.records[ADMIN_ARN]["tags"] == {}


def test_own_entry_that_appears_meanwhile_is_completed(eks: FakeEks) -> None:
    """As when two administrators apply the same file at once."""
    found = plan(eks)
    once("create_access_entry", lambda: eks.add(ADMIN_ARN, username="x", tags={**OURS, LEVEL_TAG: "admin"}), eks)
    assert outcome(eks, found) is None
    assert plan(eks).changes == ()


def test_entry_that_is_deleted_meanwhile_is_created(applied: FakeEks) -> None:
    applied.records[VIEWER_ARN]["username"] = "x:{{SessionName}}"
    found = plan(applied)
    once("update_access_entry", lambda: applied.records.pop(VIEWER_ARN), applied)
    assert outcome(applied, found) is None
    assert plan(applied).changes == ()


def test_entry_that_is_deleted_before_our_deletion_is_no_error(applied: FakeEks) -> None:
    levels = file(level("admin", Bind("cluster-admin")))
    found = plan(applied, levels)
    once("delete_access_entry", lambda: applied.records.pop(VIEWER_ARN), applied)
    assert outcome(applied, found) is None


def test_entry_that_is_recreated_without_end_ends_in_a_conflict(eks: FakeEks) -> None:
    found = plan(eks)

    def fight(name: str) -> None:
        if name == "create_access_entry":
            eks.add(ADMIN_ARN)
        elif name == "describe_access_entry":
            eks.records.pop(ADMIN_ARN, None)

    eks.meanwhile = fight
    assert isinstance(outcome(eks, found), Conflict)


def test_new_role_that_eks_does_not_know_yet_is_waited_for(eks: FakeEks) -> None:
    found = plan(eks)
    eks.failures["create_access_entry"] = ["InvalidParameterException"]
    eks.meanwhile = lambda _: None
    error = outcome(eks, found)
    assert "refused by the test" in str(error)  # another parameter than the principal: no retry
    directory = eks.account.directory
    hidden = directory.role_states["prod-admin"]
    seen = iter(range(3))

    def appear(name: str) -> None:
        if name == "create_access_entry":
            directory.role_states.pop("prod-admin", None)
            if next(seen) == 2:
                directory.role_states["prod-admin"] = hidden
                eks.meanwhile = lambda _: None

    found = plan(eks)
    eks.meanwhile = appear
    assert outcome(eks, found) is None
    assert eks.admits(ADMIN_ARN)


@pytest.mark.parametrize("call", ["list_access_entries", "describe_access_entry", "describe_cluster"])
def test_throttled_reads_end_the_plan_with_the_remedy(applied: FakeEks, call: str) -> None:
    applied.failures[call] = ["ThrottlingException"]
    with pytest.raises(Throttled, match="keeps throttling"):
        plan(applied)


def test_throttled_write_stops_and_the_next_run_completes(eks: FakeEks) -> None:
    found = plan(eks)
    eks.failures["create_access_entry"] = ["ThrottlingException"]
    assert isinstance(outcome(eks, found), Throttled)
    assert outcome(eks, plan(eks)) is None
    assert plan(eks).changes == ()


def test_missing_permission_is_named(eks: FakeEks) -> None:
    found = plan(eks)
    eks.failures["create_access_entry"] = ["AccessDeniedException"]
    assert "eks:CreateAccessEntry" in str(outcome(eks, found))


# From aws-auth to access entries.


def aws_auth(eks: FakeEks, *more: MappingEntry) -> FakeStore:
    """Return aws-auth with our entries for both levels, as `apply` writes them, and those of nodes and others."""
    store = FakeStore(eks.account.world)
    before = access(*file().levels, checks_sign_in=False, cluster_id=NAME)
    run(
        eks.account,
        plan_apply(before, replace(eks.account.ports, store=store)),
        replace(eks.account.ports, store=store),
    )
    nodes = MappingEntry(NODES, "system:node:{{EC2PrivateDNSName}}", ("system:nodes",))
    store.all_entries += [nodes, *more]
    return store


def migrated(eks: FakeEks, former: FakeStore, levels: ClusterAccess | None = None) -> Iterator[Plan]:
    ports = replace(ports_of(eks, levels or file(), former))
    found = plan_apply(levels or file(), ports)
    yield found
    run(eks.account, found, ports)
    yield plan_apply(levels or file(), ports)


def test_former_entries_are_removed_after_the_access_entries_exist(eks: FakeEks) -> None:
    former = aws_auth(eks)
    first, second = migrated(eks, former)
    assert [(each.verb, each.name) for each in first.changes] == [
        (Verb.CREATE, ADMIN_ARN),
        (Verb.CREATE, VIEWER_ARN),
        (Verb.DELETE, f"{ADMIN_ARN} in a fake mapping"),
        (Verb.DELETE, f"{VIEWER_ARN} in a fake mapping"),
    ]
    assert second.changes == ()
    assert [each.role_arn for each in former.all_entries] == [NODES]
    assert eks.admits(ADMIN_ARN)
    assert eks.admits(VIEWER_ARN)


@pytest.mark.parametrize("writes", range(7))
def test_migration_that_is_killed_after_any_write_is_completed_by_the_next_run(eks: FakeEks, writes: int) -> None:
    former, world = aws_auth(eks), eks.account.world
    former.all_entries[0] = replace(former.all_entries[0], groups=("changed-by-hand",))
    ports = ports_of(eks, file(), former)
    world.fail_after = world.writes + writes
    with suppress(Killed):
        run(eks.account, plan_apply(file(), ports), ports)
    world.fail_after = None
    keys = {each.key for each in former.all_entries}
    assert all(arn in eks.records or arn in keys for arn in (ADMIN_ARN, VIEWER_ARN))
    run(eks.account, plan_apply(file(), ports), ports)
    assert [each.role_arn for each in former.all_entries] == [NODES]
    assert eks.admits(ADMIN_ARN)
    assert plan_apply(file(), ports).changes == ()


def test_former_entry_stays_if_its_access_entry_is_deleted_meanwhile(eks: FakeEks) -> None:
    former = aws_auth(eks)
    ports = ports_of(eks, file(), former)
    found = plan_apply(file(), ports)

    def lose(position: int) -> None:
        if position == 2:
            eks.records.pop(ADMIN_ARN)

    result = apply_plan(found, ports, lose)
    assert isinstance(result.error, Conflict)
    assert ADMIN_ARN in {each.role_arn for each in former.all_entries}


def test_former_entry_of_a_role_that_moves_goes_after_its_access_entry(eks: FakeEks) -> None:
    former = aws_auth(eks)
    levels = file(level("admin", Bind("cluster-admin")), level("viewer", Bind("view"), role_path="/people/"))
    eks.account.cluster.subject = Subject("awsiam:me", ("kube-iam:viewer",), VIEWER_ARN)
    first, second = migrated(eks, former, levels)
    names = [each.name.rpartition("/")[2] for each in first.changes if each.kind is Kind.MAPPING]
    assert names[-1] == "prod-viewer in a fake mapping"
    assert not any("removes that mapping" in text for text in first.guards)
    assert second.changes == ()
    assert [each.role_arn for each in former.all_entries] == [NODES]


def test_former_entry_of_a_level_that_left_the_file_is_removed(eks: FakeEks) -> None:
    former = aws_auth(eks)
    levels = file(level("admin", Bind("cluster-admin")))
    *_, second = migrated(eks, former, levels)
    assert second.changes == ()
    assert [each.role_arn for each in former.all_entries] == [NODES]
    assert VIEWER_ARN not in eks.records


def test_former_entries_are_removed_by_destroy(eks: FakeEks) -> None:
    former = aws_auth(eks)
    ports = ports_of(eks, file(), former)
    run(eks.account, plan_destroy(file(), ports), ports)
    assert [each.role_arn for each in former.all_entries] == [NODES]


def test_former_entry_of_others_stays_and_is_shown(eks: FakeEks) -> None:
    levels = file(
        level("ops", Bind("view"), method=Method.MAPPED_ROLE, mapped_role="arn:aws:iam::123456789012:role/theirs")
    )
    former = FakeStore(eks.account.world)
    former.all_entries = [MappingEntry("arn:aws:iam::123456789012:role/theirs", "theirs", ("system:masters",))]
    found = plan(eks, levels, former=former)
    assert [each.verb for each in found.changes if each.kind is Kind.MAPPING] == [Verb.CREATE]
    assert any("a fake mapping has an entry of others" in text for text in found.warnings)


def test_access_entry_that_takes_groups_of_the_callers_entry_in_aws_auth_needs_force(eks: FakeEks) -> None:
    """EKS applies the access entry, and the caller would lose system:masters."""
    theirs = "arn:aws:iam::123456789012:role/theirs"
    levels = file(level("ops", Bind("view"), method=Method.MAPPED_ROLE, mapped_role=theirs))
    former = FakeStore(eks.account.world)
    former.all_entries = [MappingEntry(theirs, "awsiam:{{SessionNameRaw}}", ("system:masters",))]
    eks.account.cluster.subject = Subject("awsiam:me", ("system:masters",), theirs)
    assert any("takes groups from it" in text for text in plan(eks, levels, former=former).guards)


def test_unreadable_former_mapping_is_a_warning(eks: FakeEks) -> None:
    class Unreadable(FakeStore):
        def entries(self) -> tuple[MappingEntry, ...]:
            raise KubeIamError("forbidden")

    ports = replace(ports_of(eks, file()), former=Unreadable(eks.account.world))
    found = plan_apply(file(), ports)
    assert any("was not read" in text and "forbidden" in text for text in found.warnings)


def test_entry_of_others_that_gives_what_a_mapped_role_says_stays(eks: FakeEks) -> None:
    """An import describes such entries, and only --adopt makes them ours."""
    theirs = "arn:aws:iam::123456789012:role/theirs"
    levels = file(level("ops", Bind("view"), method=Method.MAPPED_ROLE, mapped_role=theirs, groups=("ops",)))
    eks.add(theirs, username="awsiam:{{SessionNameRaw}}", kubernetesGroups=["ops"], tags={"by": "terraform"})
    assert mappings(plan(eks, levels)) == []
    assert mappings(plan(eks, levels, adopt=True)) == ["adopt theirs"]
    eks.records[theirs]["username"] = "other:{{SessionName}}"
    with pytest.raises(NotOwned, match="is mapped already"):
        plan(eks, levels)


def test_doubtful_mapping_needs_force_where_entries_are_written(eks: FakeEks) -> None:
    ports = ports_of(eks, file())
    assert ports.preflight is not None
    doubtful = replace(ports.preflight, source=lambda: MappingSource(doubt="it is another cluster's"))
    assert "it is another cluster's" in plan_apply(file(), replace(ports, preflight=doubtful)).guards
    run(eks.account, plan(eks), ports)
    assert "it is another cluster's" in plan_apply(file(), replace(ports, preflight=doubtful)).warnings
