"""Whatever two files say, and wherever a run is killed between them: the end is what the second file alone would have made."""

from contextlib import suppress

import pytest
from fake_account import ACCOUNT, FakeAccount, Killed
from foreign_objects import add_group, add_role, foreign
from hypothesis import given, settings
from hypothesis import strategies as st
from levels_for_tests import NODES, access, level, run

from examples import examples
from kube_iam.access.desired import assumed_roles
from kube_iam.access.levels import Bind, ClusterAccess, Method
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import User
from kube_iam.errors import NotOwned

THEIR_ROLES, THEIR_GROUPS = ("their-role", "their-second"), ("their-team", "their-staff")
BINDS = (Bind("view"), Bind("edit", "", ("shop",)), Bind("", "deployer", ("shop", "blog")))


@st.composite
def files(draw: st.DrawFn) -> ClusterAccess:
    """One to three levels, each with a few IAM names of its own or a shared one, so that files take each other's names.

    Some use roles and groups of others. One file has an existing role at one level only, as the check of access files demands.
    """
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    roles, policies, groups = (_names(draw, names) for _ in range(3))
    their_roles = draw(st.permutations([*THEIR_ROLES, None, None, None]))
    their_groups = draw(st.lists(st.sampled_from([*THEIR_GROUPS, None, None, None]), min_size=3, max_size=3))
    methods = draw(st.lists(st.sampled_from([Method.ROLE, Method.GROUP]), min_size=3, max_size=3))
    for index, group in enumerate(their_groups[1:], 1):
        if group in their_groups[:index]:
            methods[index] = Method.ROLE
    role_path = draw(st.sampled_from(["/", "/people/"]))
    return access(
        *(
            level(
                name,
                *draw(st.lists(st.sampled_from(BINDS), unique=True, max_size=2)),
                role_name=their_roles[index] or roles[index],
                policy_name=policies[index],
                group_name=their_groups[index] or groups[index],
                role_path=role_path,
                mfa=draw(st.booleans()) and not their_roles[index],
                method=methods[index],
                existing_role=bool(their_roles[index]) and methods[index] is Method.ROLE,
                existing_group=bool(their_groups[index]),
                checks_sign_in=draw(st.sampled_from([None, None, True, False])),
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


def account_with_foreign_objects() -> FakeAccount:
    account = FakeAccount((NODES,))
    account.directory.all_users["dave"] = User("dave", f"arn:aws:iam::{ACCOUNT}:user/dave", "AIDAdave")
    for name in THEIR_GROUPS:
        add_group(account, "dave", name=name)
    for name in THEIR_ROLES:
        add_role(account, name)
    return account


def applied(file: ClusterAccess) -> FakeAccount:
    account = account_with_foreign_objects()
    run(account, plan_apply(file, account.ports))
    return account


@given(before=files(), after=files(), adopt=st.booleans(), kill=st.integers(0, 40))
@settings(max_examples=examples(300), deadline=None)
@pytest.mark.slow
def test_the_way_does_not_matter(before: ClusterAccess, after: ClusterAccess, adopt: bool, kill: int) -> None:
    account = applied(before)
    theirs = foreign(account)
    try:
        plan = plan_apply(after, account.ports, adopt=adopt)
    except NotOwned:
        assert account.state() == applied(before).state()
        return
    account.world.fail_after = account.world.writes + kill
    try:
        run(account, plan)
    except Killed:
        account.world.fail_after = None
        assert foreign(account) == theirs
        run(account, plan_apply(after, account.ports))
    assert plan_apply(after, account.ports).changes == ()
    assert foreign(account) == theirs
    assert account.state() == applied(after).state()


@given(before=files(), after=files(), last=files(), kills=st.tuples(st.integers(0, 40), st.integers(0, 40)))
@settings(max_examples=examples(150), deadline=None)
def test_destroy_finds_everything_whatever_the_file_says_by_now(
    before: ClusterAccess, after: ClusterAccess, last: ClusterAccess, kills: tuple[int, int]
) -> None:
    account = applied(before)
    theirs = foreign(account)
    with suppress(NotOwned, Killed):
        account.world.fail_after = account.world.writes + kills[0]
        run(account, plan_apply(after, account.ports))
    account.world.fail_after = account.world.writes + kills[1]
    try:
        run(account, plan_destroy(last, account.ports))
    except Killed:
        account.world.fail_after = None
        assert foreign(account) == theirs
        run(account, plan_destroy(last, account.ports))
    assert account.state() == account_with_foreign_objects().state()


@given(before=files(), after=files(), kill=st.integers(0, 40))
@settings(max_examples=examples(150), deadline=None)
def test_people_keep_their_levels_at_every_moment(before: ClusterAccess, after: ClusterAccess, kill: int) -> None:
    """Nobody gets into another level that both files have, not even half way; in the end all have what they had.

    Nobody joins or leaves an existing group, so that its members get and lose levels with the file.
    """
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
    everybody = (*people.values(), "dave")
    had = {user: levels_of(account, user) for user in everybody}
    half_way = had
    account.world.fail_after = account.world.writes + kill
    try:
        run(account, plan)
    except Killed:
        account.world.fail_after = None
        half_way = {user: levels_of(account, user) for user in everybody}
        again = plan_apply(after, account.ports)
        assert not any("would get level" in guard for guard in again.guards)
        run(account, again)
    has = {user: levels_of(account, user) for user in everybody}
    stayed = {each.name for each in before.levels} & {each.name for each in after.levels}
    for user in everybody:
        assert half_way[user] & stayed <= had[user] | has[user]
    for each in after.levels:
        former = next((level for level in before.levels if level.name == each.name), None)
        if former is not None and not (former.existing_group or each.existing_group):
            assert has[people[each.name]] == {each.name} | levels_by_existing_groups(account, after, people[each.name])
        if each.existing_group:
            assert all(each.name in has[user] for user in account.directory.group_members[each.group_name])


def levels_by_existing_groups(account: FakeAccount, file: ClusterAccess, user: str) -> set[str]:
    groups = {name for name, members in account.directory.group_members.items() if user in members}
    return {level.name for level in file.levels if level.existing_group and level.group_name in groups}


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
        is_allowed = not entry.role_arn or (role is not None and role.arn in arns)
        if is_allowed and (entry.iam_group in groups or not entry.iam_group):
            found.add(entry.level)
    return found


def test_a_kill_is_really_a_kill() -> None:
    account = FakeAccount()
    account.world.fail_after = 1
    with pytest.raises(Killed):
        run(account, plan_apply(access(), account.ports))
    assert account.world.writes == 1
