"""Whatever two files say, and wherever a run is killed between them: the end is what the second file alone would have made."""

import pytest
from fake_account import FakeAccount, Killed
from hypothesis import given, settings
from hypothesis import strategies as st
from levels_for_tests import NODES, access, level, run

from examples import examples
from kube_iam.access.desired import LEVEL_TAG, assumed_roles
from kube_iam.access.levels import Bind, ClusterAccess, Method
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.errors import NotOwned

BINDS = (Bind("view"), Bind("edit", "", ("shop",)), Bind("", "deployer", ("shop", "blog")))


@st.composite
def files(draw: st.DrawFn) -> ClusterAccess:
    """One to three levels, each with a few IAM names of its own or a shared one, so that files take each other's names."""
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    roles, policies, groups = (_names(draw, names) for _ in range(3))
    role_path = draw(st.sampled_from(["/", "/people/"]))
    return access(
        *(
            level(
                name,
                *draw(st.lists(st.sampled_from(BINDS), unique=True, max_size=2)),
                role_name=roles[index],
                policy_name=policies[index],
                group_name=groups[index],
                role_path=role_path,
                mfa=draw(st.booleans()),
                method=draw(st.sampled_from([Method.ROLE, Method.GROUP])),
                groups=draw(st.sampled_from([("x",), ("y", f"z-{name}")])),
            )
            for index, name in enumerate(names)
        ),
        checks_sign_in=draw(st.booleans()),
    )


def _names(draw: st.DrawFn, levels: list[str]) -> list[str]:
    own = st.lists(st.sampled_from([1, 2]), min_size=len(levels), max_size=len(levels))
    found = [f"{name}{number}" for name, number in zip(levels, draw(own), strict=True)]
    shared = draw(st.integers(0, 2 * len(levels)))
    return [("shared" if index == shared else name) for index, name in enumerate(found)]


def applied(file: ClusterAccess) -> FakeAccount:
    account = FakeAccount((NODES,))
    run(account, plan_apply(file, account.ports))
    return account


@given(before=files(), after=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(300), deadline=None)
def test_the_way_does_not_matter(before: ClusterAccess, after: ClusterAccess, kill: int) -> None:
    account = applied(before)
    try:
        plan = plan_apply(after, account.ports)
    except NotOwned:
        assert account.state() == applied(before).state()
        return
    account.world.fail_after = account.world.writes + kill
    try:
        run(account, plan)
    except Killed:
        account.world.fail_after = None
        run(account, plan_apply(after, account.ports))
    assert plan_apply(after, account.ports).changes == ()
    assert account.state() == applied(after).state()


@given(before=files(), after=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(150), deadline=None)
def test_destroy_finds_everything_whatever_the_file_says_by_now(
    before: ClusterAccess, after: ClusterAccess, kill: int
) -> None:
    account = applied(before)
    account.world.fail_after = account.world.writes + kill
    try:
        run(account, plan_destroy(after, account.ports))
    except Killed:
        account.world.fail_after = None
        run(account, plan_destroy(after, account.ports))
    assert account.state() == FakeAccount((NODES,)).state()


@given(before=files(), after=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(150), deadline=None)
def test_people_keep_their_levels_at_every_moment(before: ClusterAccess, after: ClusterAccess, kill: int) -> None:
    """Nobody gets into another level of the two files, not even half way; in the end all have what they had."""
    account = applied(before)
    people = dict(zip((each.name for each in before.levels), ("alice", "bob", "carol"), strict=False))
    for each in before.levels:
        account.directory.add_member(each.group_name, people[each.name])
    try:
        plan = plan_apply(after, account.ports)
    except NotOwned:
        return
    if any("would get level" in guard for guard in plan.guards):
        return
    names = {each.name for each in after.levels}
    stayed = {each.name for each in before.levels} & names
    left = {each.name for each in before.levels} - names
    account.world.fail_after = account.world.writes + kill
    try:
        run(account, plan)
    except Killed:
        account.world.fail_after = None
        for name in stayed:
            assert levels_of(account, people[name]) <= {name}
        for name in left:
            assert not levels_of(account, people[name]) & stayed
        again = plan_apply(after, account.ports)
        assert not any("would get level" in guard for guard in again.guards)
        run(account, again)
    for name in stayed:
        assert levels_of(account, people[name]) == {name}


def levels_of(account: FakeAccount, user: str) -> set[str]:
    """Return the levels that admit the user: of mapped roles that a group lets the user assume, and of mapped groups."""
    directory = account.directory
    groups = {name for name, members in directory.group_members.items() if user in members}
    arns = {
        arn
        for name in groups
        for policy in directory.group_states[name].attached
        for arn in assumed_roles(directory.policy_states[policy].document)
    }
    found = set()
    for entry in account.store.all_entries:
        role = directory.role_states.get(entry.role_arn.rsplit("/", 1)[-1])
        if not entry.role_arn and entry.iam_group in groups:
            found.add(entry.level)
        elif role is not None and role.arn in arns and (not entry.iam_group or entry.iam_group in groups):
            found.add(role.tags[LEVEL_TAG])
    return found


def test_a_kill_is_really_a_kill() -> None:
    account = FakeAccount()
    account.world.fail_after = 1
    with pytest.raises(Killed):
        run(account, plan_apply(access(), account.ports))
    assert account.world.writes == 1
