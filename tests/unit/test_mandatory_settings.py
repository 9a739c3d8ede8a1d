"""Tags, permissions boundaries and names that an organization demands: set on what kube-iam creates, mended, and left to others."""

from dataclasses import replace

import pytest
from fake_account import ACCOUNT, FakeAccount, Killed
from foreign_objects import add_group
from levels_for_tests import ADMIN, VIEWER, access, level, run

from kube_iam.access.changes import Change, Kind, Plan, Verb
from kube_iam.access.levels import Level, Method
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.server_policy import server_document

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/developer-boundary"
OTHER = f"arn:aws:iam::{ACCOUNT}:policy/other-boundary"
TAGGED = replace(ADMIN, tags=(("CostCenter", "platform"), ("Owner", "ops")), permissions_boundary=BOUNDARY)
MARKS = {"kube-iam.dev/cluster": "prod.example.com", "kube-iam.dev/level": "admin"}


def applied(*levels: Level) -> FakeAccount:
    account = FakeAccount()
    run(account, plan_apply(access(*levels), account.ports))
    assert plan_apply(access(*levels), account.ports).changes == ()
    return account


def fields(plan: Plan) -> list[tuple[str, str, object, object]]:
    return [(each.kind.value, part.name, part.before, part.after) for each in plan.changes for part in each.fields]


def test_policies_and_roles_get_the_tags_and_roles_the_boundary() -> None:
    account = applied(TAGGED)
    (policy,) = account.directory.policy_states.values()
    (role,) = account.directory.role_states.values()
    assert policy.tags == role.tags == {"CostCenter": "platform", "Owner": "ops", **MARKS}
    assert role.boundary == BOUNDARY


def test_what_others_change_is_shown_and_mended_and_their_own_tags_stay() -> None:
    account = applied(TAGGED)
    role = account.directory.role_states["prod-admin"]
    tags = {**role.tags, "Owner": "eve", "Audit": "2026"}
    del tags["CostCenter"]
    account.directory.role_states["prod-admin"] = replace(role, tags=tags, boundary=OTHER)
    plan = plan_apply(access(TAGGED), account.ports)
    assert fields(plan) == [
        ("role", "permissionsBoundary", OTHER, BOUNDARY),
        ("role", "tags.CostCenter", None, "platform"),
        ("role", "tags.Owner", "eve", "ops"),
    ]
    run(account, plan)
    assert account.directory.role_states["prod-admin"] == replace(role, tags={**role.tags, "Audit": "2026"})


def test_a_boundary_of_others_stays_unless_the_file_says_that_there_is_none() -> None:
    account = applied(ADMIN)
    role = account.directory.role_states["prod-admin"]
    account.directory.role_states["prod-admin"] = replace(role, boundary=OTHER)
    assert plan_apply(access(ADMIN), account.ports).changes == ()
    longer = plan_apply(access(replace(ADMIN, session_seconds=7200)), account.ports)
    run(account, longer)
    assert account.directory.role_states["prod-admin"].boundary == OTHER
    none = replace(ADMIN, session_seconds=7200, permissions_boundary="")
    plan = plan_apply(access(none), account.ports)
    assert fields(plan) == [("role", "permissionsBoundary", OTHER, "")]
    run(account, plan)
    assert account.directory.role_states["prod-admin"].boundary == ""


def test_a_role_that_moves_keeps_the_boundary_and_the_tags_of_others() -> None:
    account = applied(ADMIN)
    role = account.directory.role_states["prod-admin"]
    theirs = {**role.tags, "Audit": "2026", "aws:cloudformation:stack-name": "x"}
    account.directory.role_states["prod-admin"] = replace(role, boundary=OTHER, tags=theirs)
    run(account, plan_apply(access(replace(ADMIN, role_path="/people/")), account.ports))
    moved = account.directory.role_states["prod-admin"]
    assert (moved.path, moved.boundary, moved.tags) == ("/people/", OTHER, {**role.tags, "Audit": "2026"})


def test_a_tag_that_others_wrote_in_another_letter_case_is_the_same_tag() -> None:
    account = applied(ADMIN)
    role = account.directory.role_states["prod-admin"]
    account.directory.role_states["prod-admin"] = replace(role, tags={**role.tags, "costcenter": "shop"})
    plan = plan_apply(access(TAGGED), account.ports)
    assert ("role", "tags.costcenter", "shop", "platform") in fields(plan)
    run(account, plan)
    assert "CostCenter" not in account.directory.role_states["prod-admin"].tags
    assert plan_apply(access(TAGGED), account.ports).changes == ()


@pytest.mark.parametrize(("others", "fails"), [(46, False), (47, True)])
def test_more_tags_than_iam_takes_are_refused_before_anything_changes(others: int, fails: bool) -> None:
    account = applied(ADMIN)
    theirs = {f"team{number}": "x" for number in range(others)}
    for states in (account.directory.role_states, account.directory.policy_states):
        for key, state in states.items():
            tags = {**state.tags, **theirs, "owner": "eve", "aws:cloudformation:stack-id": "1"}
            states[key] = replace(state, tags=tags)  # type: ignore[assignment]
    said = plan_apply(access(TAGGED), account.ports).failures
    assert [each.split(":")[0] for each in said] == ["tag policy prod-admin", "tag role prod-admin"] * fails
    for each in said:
        assert "it would have 51 tags, and IAM takes 50" in each
        assert "--tag-keys team0" in each


def test_a_tag_that_is_too_long_for_names_of_existing_groups_is_refused() -> None:
    account = FakeAccount()
    long = replace(ADMIN, group_name="a" * 128, existing_group=True)
    for name in ("a" * 128, "b" * 128):
        add_group(account, name=name)
    run(account, plan_apply(access(long), account.ports))
    (said,) = plan_apply(access(replace(long, group_name="b" * 128)), account.ports).failures
    assert "the value of kube-iam.dev/existing-group would have 257 characters, and IAM takes 256" in said
    assert "run apply without level admin first" in said


def test_a_tag_of_the_file_never_replaces_a_mark_of_kube_iam() -> None:
    account = applied(replace(ADMIN, tags=(("kube-iam.dev/cluster", "other"),)))
    assert account.directory.role_states["prod-admin"].tags == MARKS


def named(name: str, *, by_group: bool = False) -> Level:
    """Return a level that the template `k8s-{cluster}-{level}` names."""
    names = dict.fromkeys(("role_name", "policy_name", "group_name"), f"k8s-prod-{name}")
    return level(name, **names, **({"method": Method.GROUP, "username": "iam:{{UserName}}"} if by_group else {}))


def creations(plan: Plan) -> dict[str, object]:
    def former(change: Change) -> object:
        return next((part.after for part in change.fields if part.name == "replaces"), None)

    kinds = (Kind.POLICY, Kind.ROLE, Kind.GROUP)
    return {each.kind.value: former(each) for each in plan.changes if each.verb is Verb.CREATE and each.kind in kinds}


def test_a_change_of_the_template_shows_what_it_replaces_and_keeps_the_members() -> None:
    account = applied(ADMIN, VIEWER)
    account.directory.group_members["prod-admin"] = {"alice"}
    renamed = access(named("admin"), named("viewer"), naming="k8s-{cluster}-{level}")
    plan = plan_apply(renamed, account.ports)
    assert creations(plan) == {"policy": "prod-viewer", "role": "prod-viewer", "group": "prod-viewer"}
    assert plan.guards == ()
    run(account, plan)
    assert account.directory.group_members == {"k8s-prod-admin": {"alice"}, "k8s-prod-viewer": set()}
    assert set(account.directory.role_states) == {"k8s-prod-admin", "k8s-prod-viewer"}
    assert plan_apply(renamed, account.ports).changes == ()


def test_a_new_level_replaces_nothing() -> None:
    assert creations(plan_apply(access(ADMIN), FakeAccount().ports)) == dict.fromkeys(("policy", "role", "group"))


def test_a_change_of_the_template_that_is_killed_anywhere_is_finished_or_destroyed() -> None:
    def started() -> FakeAccount:
        account = applied(ADMIN, level("look", method=Method.GROUP, username="iam:{{UserName}}"))
        account.directory.group_members["prod-admin"] = {"alice"}
        return account

    renamed = access(named("admin"), named("look", by_group=True), naming="k8s-{cluster}-{level}")
    whole = started()
    run(whole, plan_apply(renamed, whole.ports))
    for limit in range(started().world.writes + 1, whole.world.writes + 1):
        account = started()
        account.world.fail_after = limit
        with pytest.raises(Killed):
            run(account, plan_apply(renamed, account.ports))
        account.world.fail_after = None
        run(account, plan_apply(renamed, account.ports))
        assert account.state() == whole.state(), limit
        run(account, plan_destroy(renamed, account.ports))
        assert account.directory.state() == FakeAccount().directory.state()


def resources(policy: dict[str, object]) -> list[str]:
    statements = policy["Statement"]
    assert isinstance(statements, list)
    return [resource for statement in statements for resource in statement["Resource"]]


def test_the_servers_policy_covers_names_by_template_and_existing_ones_at_any_path() -> None:
    home = f"arn:aws:iam::{ACCOUNT}"
    found = resources(server_document(access(named("admin"), naming="k8s-{cluster}-{level}")))
    assert found == [f"{home}:group/k8s-prod-*", f"{home}:group/kube-iam/prod/*", f"{home}:role/k8s-prod-*"]
    unnamed = level("dev", role_name="dev", policy_name="dev", group_name="dev")
    found = resources(server_document(access(unnamed, naming="{level}")))
    assert found == [f"{home}:group/dev", f"{home}:group/kube-iam/prod/*", f"{home}:role/dev"]
    existing = level("ops", role_name="ops", existing_role=True, group_name="team", existing_group=True)
    found = resources(server_document(access(existing)))
    assert {f"{home}:group/team", f"{home}:group/*/team", f"{home}:role/ops", f"{home}:role/*/ops"} <= set(found)
