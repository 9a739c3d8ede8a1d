"""Access entries whatever two files say, and wherever a run is killed between them or on the way from aws-auth."""

from contextlib import suppress
from dataclasses import replace

import pytest
from fake_account import FakeAccount, FakeStore, Killed
from fake_eks import NAME, FakeEks, ports_of
from foreign_objects import add_role
from hypothesis import given, settings
from hypothesis import strategies as st
from levels_for_tests import NODES, access, level, run

from examples import examples
from kube_iam.access.changes import Kind
from kube_iam.access.desired import desired_entry
from kube_iam.access.levels import Bind, ClusterAccess, access_entries
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Ports
from kube_iam.errors import NotOwned

THEIRS = MappingEntry("arn:aws:iam::123456789012:role/ops", "ops", ("ops",))


@st.composite
def files(draw: st.DrawFn) -> ClusterAccess:
    """One to three levels with a role of their own, or one with a role of others."""
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    existing = draw(st.sampled_from([None, None, 0]))
    role_path = draw(st.sampled_from(["/", "/people/"]))
    number = draw(st.sampled_from("12"))
    return access(
        *(
            level(
                name,
                *draw(st.lists(st.sampled_from([Bind("view"), Bind("edit", "", ("shop",))]), unique=True, max_size=2)),
                role_name="their-role" if index == existing else f"{name}{number}",
                role_path="/ops/" if index == existing else role_path,
                existing_role=index == existing,
                groups=draw(st.sampled_from([("x", name), (f"z-{name}", "y")])),
                username=draw(st.sampled_from(["awsiam:{{SessionNameRaw}}", "other:{{SessionNameRaw}}"])),
                tags=draw(st.sampled_from([(), (("team", "x"),)])),
            )
            for index, name in enumerate(names)
        ),
        mapping=access_entries(NAME),
        cluster_id=NAME,
        checks_sign_in=False,
    )


def eks_with_foreign_objects(former: tuple[MappingEntry, ...] = ()) -> tuple[FakeEks, FakeStore]:
    account = FakeAccount()
    add_role(account, "their-role")
    eks = FakeEks(account)
    eks.add(NODES.role_arn, type="EC2_LINUX", kubernetesGroups=["system:nodes"])
    eks.add("arn:aws:iam::123456789012:user/creator")
    return eks, FakeStore(account.world, (NODES, THEIRS, *former))


def ports(eks: FakeEks, file: ClusterAccess, former: FakeStore) -> Ports:
    return ports_of(eks, file, former)


def killed(eks: FakeEks, file: ClusterAccess, former: FakeStore, writes: int) -> None:
    """Apply the file, but kill the run after that many writes."""
    world = eks.account.world
    with suppress(Killed):
        found = plan_apply(file, ports(eks, file, former))
        world.fail_after = world.writes + writes
        run(eks.account, found, ports(eks, file, former))
    world.fail_after = None


def assert_as_file_says(eks: FakeEks, file: ClusterAccess, former: FakeStore) -> None:
    wanted = {(each := desired_entry(file, level)).role_arn: each for level in file.levels}
    ours = {arn: each for arn, each in eks.records.items() if each["tags"]}
    assert ours.keys() == wanted.keys()
    for arn, entry in wanted.items():
        assert eks.admits(arn)
        assert (ours[arn]["username"], tuple(sorted(ours[arn]["kubernetesGroups"]))) == (entry.username, entry.groups)
        assert dict(entry.tags).items() <= ours[arn]["tags"].items()
    assert eks.records.keys() - wanted.keys() == {NODES.role_arn, "arn:aws:iam::123456789012:user/creator"}
    assert former.all_entries == [NODES, THEIRS]
    assert plan_apply(file, ports(eks, file, former)).changes == ()


@given(before=files(), after=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(200), deadline=None)
@pytest.mark.slow
def test_entries_end_as_the_second_file_says(before: ClusterAccess, after: ClusterAccess, kill: int) -> None:
    eks, former = eks_with_foreign_objects()
    run(eks.account, plan_apply(before, ports(eks, before, former)), ports(eks, before, former))
    try:
        killed(eks, after, former, kill)
        run(eks.account, plan_apply(after, ports(eks, after, former)), ports(eks, after, former))
    except NotOwned:
        return
    assert_as_file_says(eks, after, former)


@given(before=files(), after=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(150), deadline=None)
@pytest.mark.slow
def test_migration_never_leaves_a_level_without_entry(before: ClusterAccess, after: ClusterAccess, kill: int) -> None:
    """Each role that both files map is mapped at every moment, in aws-auth or by an access entry."""
    eks, former = eks_with_foreign_objects()
    in_aws_auth = replace(before, mapping=access().mapping)
    from_former = replace(eks.account.ports, store=former)
    run(eks.account, plan_apply(in_aws_auth, from_former), from_former)
    stay = {desired_entry(before, each).role_arn for each in before.levels}
    stay &= {desired_entry(after, each).role_arn for each in after.levels}
    try:
        killed(eks, after, former, kill)
    except NotOwned:
        return
    mapped = {each.key for each in former.all_entries}
    for arn in stay:
        assert arn in eks.records or MappingEntry(arn, "", ()).key in mapped
    run(eks.account, plan_apply(after, ports(eks, after, former)), ports(eks, after, former))
    assert_as_file_says(eks, after, former)


@given(before=files(), last=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(100), deadline=None)
def test_destroy_deletes_our_entries_alone(before: ClusterAccess, last: ClusterAccess, kill: int) -> None:
    eks, former = eks_with_foreign_objects()
    killed(eks, before, former, kill)
    run(eks.account, plan_destroy(last, ports(eks, last, former)), ports(eks, last, former))
    assert eks.records.keys() == {NODES.role_arn, "arn:aws:iam::123456789012:user/creator"}
    assert former.all_entries == [NODES, THEIRS]
    assert not [each for each in plan_destroy(last, ports(eks, last, former)).changes if each.kind is Kind.MAPPING]
