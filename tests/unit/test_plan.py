"""A plan says what would change, in order, and stops at what is not ours."""

from dataclasses import replace

import pytest
from fake_account import FakeAccount, FakeCluster, FakeStore
from levels_for_tests import ADMIN, EDITOR, NODES, VIEWER, access, level, run

from kube_iam.access.changes import Change, Kind, Plan, Verb
from kube_iam.access.levels import Bind, MappingTarget, Method, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import BindingState, GroupState, PolicyState, Ports, RoleState
from kube_iam.core.trust_policy import unrestricted_session_name
from kube_iam.errors import CredentialsError, NotOwned

ADMIN_ARN = "arn:aws:iam::123456789012:role/prod-admin"
ADMIN_POLICY = "arn:aws:iam::123456789012:policy/kube-iam/prod/prod-admin"
OTHER_TAGS = {"kube-iam.dev/cluster": "other.example.com", "kube-iam.dev/level": "admin"}


def steps(plan: Plan) -> list[str]:
    return [f"{change.verb.value} {change.kind.value} {change.name}" for change in plan.changes]


def find(plan: Plan, kind: Kind, verb: Verb) -> Change:
    (found,) = [change for change in plan.changes if (change.kind, change.verb) == (kind, verb)]
    return found


def applied(*levels: object) -> FakeAccount:
    account = FakeAccount((NODES,))
    run(account, plan_apply(access(*levels), account.ports))  # type: ignore[arg-type]
    return account


def test_a_first_plan_lists_everything_in_order_and_changes_nothing() -> None:
    account = FakeAccount((NODES,))
    plan = plan_apply(access(ADMIN), account.ports)
    assert steps(plan) == [
        "create policy prod-admin",
        "create role prod-admin",
        "create group prod-admin",
        "create attachment prod-admin on prod-admin",
        "create binding kube-iam:admin:cluster-admin",
        f"create mapping {ADMIN_ARN}",
    ]
    assert account.world.writes == 0
    assert plan.warnings == plan.guards == ()


def test_after_an_apply_a_plan_is_empty() -> None:
    account = applied()
    assert plan_apply(access(), account.ports).changes == ()


def test_equal_plans_have_equal_digests_and_others_have_others() -> None:
    one = plan_apply(access(ADMIN), FakeAccount().ports).as_data()
    same = plan_apply(access(ADMIN), FakeAccount().ports).as_data()
    other = plan_apply(access(VIEWER), FakeAccount().ports).as_data()
    assert one == same
    assert one["digest"] != other["digest"]


def test_what_somebody_changed_by_hand_is_changed_back() -> None:
    account = applied(ADMIN)
    directory = account.directory
    open_trust = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    directory.role_states["prod-admin"] = replace(directory.role_states["prod-admin"], trust=open_trust)
    directory.group_states["prod-admin"] = replace(directory.group_states["prod-admin"], attached=())
    account.store.all_entries.append(replace(account.store.all_entries.pop(), username="root"))
    plan = plan_apply(access(ADMIN), account.ports)
    assert steps(plan) == [
        "update role prod-admin",
        "create attachment prod-admin on prod-admin",
        f"update mapping {ADMIN_ARN}",
    ]
    (trust,) = find(plan, Kind.ROLE, Verb.UPDATE).fields
    assert (trust.name, trust.before) == ("trust", open_trust)
    run(account, plan)
    assert plan_apply(access(ADMIN), account.ports).changes == ()


def test_a_policy_of_another_level_on_a_group_is_taken_off() -> None:
    account = applied(ADMIN, VIEWER)
    account.directory.attach("prod-viewer", ADMIN_POLICY)
    plan = plan_apply(access(ADMIN, VIEWER), account.ports)
    assert steps(plan) == ["delete attachment prod-admin on prod-viewer"]


def test_removing_a_level_touches_nothing_of_the_others() -> None:
    account = applied()
    account.directory.add_member("prod-viewer", "bob")
    plan = plan_apply(access(ADMIN, EDITOR), account.ports)
    assert steps(plan) == [
        "delete mapping arn:aws:iam::123456789012:role/prod-viewer",
        "delete binding kube-iam:viewer:view",
        "delete member bob in prod-viewer",
        "delete attachment prod-viewer on prod-viewer",
        "delete group prod-viewer",
        "delete role prod-viewer",
        "delete policy prod-viewer",
    ]
    assert {change.level for change in plan.changes} == {"viewer"}


def test_a_registry_policy_that_names_a_role_of_others_does_not_make_it_ours() -> None:
    account = applied(ADMIN, VIEWER)
    directory = account.directory
    nodes = RoleState(NODES.role_arn, "nodes", "/", {}, {})
    directory.role_states["nodes"] = nodes
    forged = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": NODES.role_arn}]}
    viewer = "arn:aws:iam::123456789012:policy/kube-iam/prod/prod-viewer"
    directory.policy_states[viewer] = replace(directory.policy_states[viewer], document=forged)
    run(account, plan_destroy(access(ADMIN, VIEWER), account.ports))
    assert directory.role_states == {"nodes": nodes}
    assert account.store.all_entries == [NODES]


def test_a_level_by_group_has_everything_but_a_role() -> None:
    account = FakeAccount((NODES,))
    looker = replace(VIEWER, method=Method.GROUP)
    plan = plan_apply(access(looker), account.ports)
    assert steps(plan) == [
        "create policy prod-viewer",
        "create group prod-viewer",
        "create attachment prod-viewer on prod-viewer",
        "create binding kube-iam:viewer:view",
        "create mapping group prod-viewer",
    ]
    run(account, plan)
    assert plan_apply(access(looker), account.ports).changes == ()
    assert steps(plan_destroy(access(looker), account.ports))[0] == "delete mapping group prod-viewer"
    run(account, plan_destroy(access(looker), account.ports))
    assert account.state() == FakeAccount((NODES,)).state()


def test_a_level_that_changes_its_method_admits_by_the_new_one_first() -> None:
    account = applied(VIEWER)
    account.directory.add_member("prod-viewer", "bob")
    looker = replace(VIEWER, method=Method.GROUP)
    plan = plan_apply(access(looker), account.ports)
    assert steps(plan) == [
        "create mapping group prod-viewer",
        "delete mapping arn:aws:iam::123456789012:role/prod-viewer",
        "delete role prod-viewer",
        "update policy prod-viewer",
    ]
    run(account, plan)
    back = plan_apply(access(VIEWER), account.ports)
    assert steps(back) == [
        "update policy prod-viewer",
        "create role prod-viewer",
        "create mapping arn:aws:iam::123456789012:role/prod-viewer",
        "delete mapping group prod-viewer",
    ]
    run(account, back)
    assert account.state() == _with_member(applied(VIEWER), "prod-viewer", "bob").state()


def _with_member(account: FakeAccount, group: str, user: str) -> FakeAccount:
    account.directory.add_member(group, user)
    return account


def test_a_mapping_of_a_group_of_others_is_theirs() -> None:
    theirs = MappingEntry("", "awsiam:{{UserName}}", ("x",), "nurses", "viewer")
    account = FakeAccount((theirs,))
    run(account, plan_apply(access(VIEWER), account.ports))
    run(account, plan_destroy(access(VIEWER), account.ports))
    assert account.store.all_entries == [theirs]


def test_membership_by_session_takes_the_group_out_of_the_entry() -> None:
    account = applied(ADMIN)
    plan = plan_apply(access(ADMIN, checks_sign_in=False), account.ports)
    (change,) = plan.changes
    assert [(part.name, part.before, part.after) for part in change.fields] == [("iamGroup", "prod-admin", "")]
    run(account, plan)
    assert plan_apply(access(ADMIN, checks_sign_in=False), account.ports).changes == ()


def test_what_eks_does_not_know_is_said_before_it_is_relied_on() -> None:
    eks = MappingTarget(TargetKind.AWS_AUTH)
    by_group = replace(VIEWER, method=Method.GROUP)
    (asked,) = plan_apply(access(ADMIN, mapping=eks), FakeAccount().ports).warnings
    assert "does not ask who is in an IAM group" in asked
    assert plan_apply(access(ADMIN, mapping=eks, checks_sign_in=False), FakeAccount().ports).warnings == ()
    (unknown,) = plan_apply(access(by_group, mapping=eks), FakeAccount().ports).warnings
    assert "admits nobody by method group (viewer)" in unknown


def test_another_cluster_in_the_same_account_is_left_alone() -> None:
    account = applied()
    prod = account.directory.state()
    wanted = level(
        "admin", role_name="dev-admin", policy_name="dev-admin", group_name="dev-admin", path="/kube-iam/dev/"
    )
    other = replace(access(wanted), cluster_id="dev.example.com", name="dev")
    ports = Ports(account.directory, FakeCluster(account.world), FakeStore(account.world))
    run(account, plan_apply(other, ports), ports)
    assert plan_apply(access(), account.ports).changes == ()
    run(account, plan_destroy(other, ports), ports)
    assert account.directory.state() == prod


def foreign_account() -> FakeAccount:
    """Return an account with the classic recipe, made by hand, with bob in it."""
    account = FakeAccount((MappingEntry(ADMIN_ARN, "admin", ("system:masters",)),))
    directory = account.directory
    directory.role_states["prod-admin"] = RoleState(ADMIN_ARN, "prod-admin", "/", {}, {"team": "x"}, 7200, "by hand")
    arn = "arn:aws:iam::123456789012:group/prod-admin"
    directory.group_states["prod-admin"] = GroupState(arn, "prod-admin", "/")
    directory.group_members["prod-admin"] = {"bob"}
    directory.policy_states[ADMIN_POLICY] = PolicyState(ADMIN_POLICY, "prod-admin", "/kube-iam/prod/", {}, {})
    binding = BindingState("kube-iam:admin:cluster-admin", "", "ClusterRole", "cluster-admin", ("kube-iam:admin",), "")
    account.cluster.binding_states[binding.ident] = binding
    return account


def test_everything_in_the_way_is_listed_together_with_its_remedy() -> None:
    account = foreign_account()
    before = account.state()
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(ADMIN), account.ports)
    message = caught.value.message
    for kind in (
        "policy prod-admin",
        "role prod-admin",
        "group prod-admin",
        "binding kube-iam:admin",
        f"mapping {ADMIN_ARN}",
    ):
        assert kind in message
    assert message.count("take it over with --adopt") == 5
    assert account.state() == before


def test_adopting_plans_its_own_changes_and_names_the_users_who_gain_access() -> None:
    account = foreign_account()
    plan = plan_apply(access(ADMIN), account.ports, adopt=True)
    assert steps(plan) == [
        "adopt policy prod-admin",
        "update policy prod-admin",
        "adopt role prod-admin",
        "update role prod-admin",
        "adopt group prod-admin",
        "create attachment prod-admin on prod-admin",
        "adopt binding kube-iam:admin:cluster-admin",
        f"adopt mapping {ADMIN_ARN}",
    ]
    members = find(plan, Kind.GROUP, Verb.ADOPT).fields[1]
    assert (members.name, members.after) == ("members", ["bob"])
    run(account, plan)
    assert plan_apply(access(ADMIN), account.ports).changes == ()
    assert account.directory.group_members["prod-admin"] == {"bob"}
    assert account.directory.role_states["prod-admin"].tags["team"] == "x"


@pytest.mark.parametrize("adopt", [False, True])
def test_what_cannot_be_taken_over_stops_the_plan_even_with_adopt(adopt: bool) -> None:
    account = foreign_account()
    directory = account.directory
    directory.role_states["prod-admin"] = replace(directory.role_states["prod-admin"], path="/legacy/")
    del directory.policy_states[ADMIN_POLICY]
    at_root = "arn:aws:iam::123456789012:policy/prod-admin"
    directory.policy_states[at_root] = PolicyState(at_root, "prod-admin", "/", {}, {})
    binding = BindingState("kube-iam:admin:cluster-admin", "", "ClusterRole", "view", ("others",), "")
    account.cluster.binding_states[binding.ident] = binding
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(ADMIN), account.ports, adopt=adopt)
    assert "policy prod-admin exists at path /: set iam.policy of level admin to another name" in caught.value.message
    assert "role prod-admin exists at path /legacy/: set iam.rolePath to /legacy/" in caught.value.message
    assert "delete it by hand, or give the level another name" in caught.value.message


def test_what_another_cluster_owns_is_named_as_its() -> None:
    account = FakeAccount()
    account.directory.role_states["prod-admin"] = RoleState(ADMIN_ARN, "prod-admin", "/", {}, OTHER_TAGS)
    account.directory.policy_states[ADMIN_POLICY] = PolicyState(
        ADMIN_POLICY, "prod-admin", "/kube-iam/prod/", {}, OTHER_TAGS
    )
    arn = "arn:aws:iam::123456789012:group/kube-iam/prod/prod-admin"
    account.directory.group_states["prod-admin"] = GroupState(arn, "prod-admin", "/kube-iam/prod/", (ADMIN_POLICY,))
    account.directory.group_members["prod-admin"] = {"bob"}
    with pytest.raises(NotOwned) as caught:
        plan_apply(access(ADMIN), account.ports)
    assert "role prod-admin belongs to cluster other.example.com" in caught.value.message
    assert "group prod-admin belongs to cluster other.example.com" in caught.value.message
    assert plan_destroy(access(ADMIN), account.ports).changes == ()


def test_another_account_is_an_error_before_anything_is_looked_at() -> None:
    account = FakeAccount()
    account.directory.account = "999999999999"
    with pytest.raises(CredentialsError, match="credentials are for account 999999999999"):
        plan_apply(access(), account.ports)
    with pytest.raises(CredentialsError):
        plan_destroy(access(), account.ports)
    assert set(account.world.log) == {"caller"}


def test_another_partition_is_an_error_too() -> None:
    account = FakeAccount()
    account.directory.caller_arn = "arn:aws-cn:iam::123456789012:user/x"
    with pytest.raises(CredentialsError, match="aws-cn"):
        plan_apply(access(), account.ports)


def test_what_others_added_and_what_is_missing_are_warnings() -> None:
    account = applied(ADMIN)
    directory = account.directory
    power = "arn:aws:iam::aws:policy/PowerUserAccess"
    directory.role_states["prod-admin"] = replace(directory.role_states["prod-admin"], policies=(power,))
    directory.attach("prod-admin", power)
    wanted = access(
        replace(ADMIN, groups=("system:masters",)), level("ops", Bind("runner"), Bind("", "walker", ("shop",)))
    )
    plan = plan_apply(wanted, account.ports)
    warnings = "\n".join(plan.warnings)
    assert f"role prod-admin should have no permissions, and somebody gave it {power}" in warnings
    assert f"group prod-admin also carries {power}" in warnings
    assert "ClusterRole runner does not exist" in warnings
    assert "Role walker does not exist in namespace shop" in warnings
    assert "level admin is in system:masters" in warnings
    assert all(change.name != "PowerUserAccess on prod-admin" for change in plan.changes)


def test_a_role_that_cannot_be_deleted_is_announced() -> None:
    account = applied(ADMIN, EDITOR, VIEWER)
    roles = account.directory.role_states
    roles["prod-viewer"] = replace(roles["prod-viewer"], policies=("inline",))
    (warning,) = plan_apply(access(ADMIN, EDITOR), account.ports).warnings
    assert "it cannot be deleted before they are detached" in warning


def test_levels_without_bindings_and_a_local_mapping_need_no_cluster() -> None:
    account = FakeAccount()
    ports = Ports(account.directory, None, account.store)
    plan = plan_apply(access(level("admin")), ports)
    run(account, plan)
    assert plan_apply(access(level("admin")), ports).changes == ()
    run(account, plan_destroy(access(level("admin")), ports))
    assert account.state() == FakeAccount().state()


def test_calls_grow_with_levels_and_not_with_users() -> None:
    def calls(users: int, levels: int) -> int:
        account = FakeAccount()
        wanted = access(*(level(f"level-{number}", Bind("view")) for number in range(levels)))
        run(account, plan_apply(wanted, account.ports))
        names = [f"user-{number}" for number in range(users)]
        account.directory.all_users = dict.fromkeys(names, account.directory.all_users["alice"])
        account.directory.group_members["level-0"] = set(names)
        account.world.reads = 0
        plan_apply(wanted, account.ports)
        return account.world.reads

    assert calls(1000, 5) == calls(1, 5)
    assert calls(1, 20) <= 4 * calls(1, 5)


@pytest.mark.parametrize("missing", ["policy", "role", "group", "binding", "entry"])
def test_whatever_is_deleted_by_hand_comes_back(missing: str) -> None:
    account = applied(ADMIN)
    whole = account.state()
    directory = account.directory
    match missing:
        case "policy":
            directory.detach("prod-admin", ADMIN_POLICY)
            del directory.policy_states[ADMIN_POLICY]
        case "role":
            del directory.role_states["prod-admin"]
        case "group":
            del directory.group_states["prod-admin"]
        case "binding":
            account.cluster.binding_states.clear()
        case "entry":
            account.store.remove(MappingEntry(ADMIN_ARN, "", ()))
    run(account, plan_apply(access(ADMIN), account.ports))
    assert account.state() == whole


def policy_warnings(plan: Plan) -> list[str]:
    return [warning for warning in plan.warnings if "kube-iam policy server" in warning]


def test_plan_names_roles_that_an_older_server_policy_does_not_cover() -> None:
    audit = level("audit", Bind("view"), role_name="auditors", role_path="/team/")
    (warning,) = policy_warnings(plan_apply(access(ADMIN, audit), FakeAccount().ports))
    assert "iam:GetRole on arn:aws:iam::123456789012:role/team/auditors (level audit)" in warning


def test_plan_names_no_role_that_the_server_policy_covers_or_does_not_need() -> None:
    audit = level("audit", Bind("view"), role_name="auditors")
    ops = level("ops", Bind("view"), role_name="ops", method=Method.GROUP)
    assert policy_warnings(plan_apply(access(ADMIN, VIEWER, ops), FakeAccount().ports)) == []
    assert policy_warnings(plan_apply(access(audit, checks_sign_in=False), FakeAccount().ports)) == []
    assert policy_warnings(plan_apply(access(audit), applied(audit).ports)) == []


def test_plan_names_a_role_that_is_renamed_out_of_the_server_policy() -> None:
    renamed = level("admin", Bind("cluster-admin"), role_name="root-of-prod")
    assert len(policy_warnings(plan_apply(access(renamed), applied(ADMIN).ports))) == 1


OPEN_TRUST = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"},
}


def changed_role(account: FakeAccount, **fields: object) -> FakeAccount:
    roles = account.directory.role_states
    roles["prod-admin"] = replace(roles["prod-admin"], **fields)  # type: ignore[arg-type]
    return account


def test_plan_that_repairs_a_trust_policy_says_for_how_long_the_level_is_suspended() -> None:
    account = changed_role(applied(ADMIN), trust=OPEN_TRUST, max_session_seconds=7200)
    (warning,) = plan_apply(access(ADMIN), account.ports).warnings
    assert warning.startswith(
        "level admin: the trust policy of role prod-admin may let callers choose their session name"
    )
    assert "for 120 minutes" in warning
    assert "`aws iam delete-role --role-name prod-admin`, then `kube-iam apply`" in warning
    assert "`kube-iam logout admin`" in warning


def test_plan_announces_no_suspension_where_the_server_does_not_make_one() -> None:
    unasked = plan_apply(access(ADMIN, checks_sign_in=False), FakeAccount().ports)
    assert unasked.warnings == ()
    account = changed_role(applied(ADMIN), max_session_seconds=7200)
    assert plan_apply(access(ADMIN), account.ports).warnings == ()
    tighter = plan_apply(access(replace(ADMIN, mfa=True)), applied(ADMIN).ports)
    assert tighter.count(Verb.UPDATE) == 1
    assert tighter.warnings == ()


def test_plan_that_creates_a_deleted_role_again_says_who_has_to_log_out() -> None:
    account = applied(ADMIN)
    del account.directory.role_states["prod-admin"]
    (warning,) = plan_apply(access(ADMIN), account.ports).warnings
    assert "role prod-admin is created again" in warning
    assert "`kube-iam logout admin`" in warning


def test_plan_that_moves_a_role_to_another_path_says_who_has_to_log_out() -> None:
    (warning,) = plan_apply(access(replace(ADMIN, role_path="/people/")), applied(ADMIN).ports).warnings
    assert "role prod-admin is created again" in warning


@pytest.mark.parametrize(
    "service", ["account-access.amazonaws.com", ["ec2.amazonaws.com", "Account-Access.amazonaws.com"]]
)
def test_the_plan_warns_of_a_role_whose_users_choose_their_session_name(service: object) -> None:
    account = applied(ADMIN)
    directory = account.directory
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["sts:AssumeRole", "sts:SetContext"]}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    directory.role_states["prod-admin"] = replace(directory.role_states["prod-admin"], trust=trust)
    warnings = plan_apply(access(ADMIN), account.ports).warnings
    assert any("role prod-admin names account-access.amazonaws.com" in warning for warning in warnings)
    assert unrestricted_session_name(trust, ADMIN_ARN)
    run(account, plan_apply(access(ADMIN), account.ports))
    assert plan_apply(access(ADMIN), account.ports).warnings == ()
