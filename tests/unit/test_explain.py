"""`explain`: each link of the chain, taken out one at a time, and what is not known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_commands import LATER, denying
from access_commands import account as account
from fake_account import ACCOUNT, FakeAccount
from prepared_session import PreparedSession

from kube_iam.access.ports import PolicyState, RoleState, Simulation, User
from kube_iam.aws.iam_calls import PERMISSIONS
from kube_iam.cli.permissions import DIRECTORY_METHODS
from kube_iam.cli.root import run_command
from kube_iam.core.mapping_entries import TemporaryGrant, UserMapping
from kube_iam.core.rbac import GROUP, Rbac, RbacBinding, RbacSubject, RoleKey
from kube_iam.core.templates import parse_template
from kube_iam.denylist.denial import Denial
from kube_iam.errors import AccessDenied, KubeError, UsageError
from kube_iam.kube.client import KubeApi

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}]}
  - {name: viewer, bind: [{clusterRole: view}], membershipCheck: assumeRole}
  - {name: ci, method: group, bind: [{clusterRole: edit}]}
  - {name: sso, method: permissionSet, permissionSet: Ops, groups: [ops]}
"""
NEVER, PAST = "2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod-admin"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/kube-iam/prod/prod-admin"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
DENY = {"Version": "2012-10-17", "Statement": [{"Sid": "No", "Effect": "Deny", "Action": "*", "Resource": "*"}]}
SOURCE = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
Capture = pytest.CaptureFixture[str]


class FakeRbac:
    """Bindings of the cluster."""

    def __init__(self, *groups: str, unread: tuple[str, ...] = ()) -> None:
        subjects = tuple(RbacSubject(GROUP, name) for name in groups)
        self.bound = Rbac({}, (RbacBinding("b", RoleKey("ClusterRole", "edit"), subjects, "shop"),), unread)

    def read_bindings(self) -> Rbac:
        return self.bound


class Session(PreparedSession):
    def __init__(self, account: FakeAccount, kube: KubeApi | None, rbac: FakeRbac) -> None:
        super().__init__(account, kube)
        self.rbac = rbac  # type: ignore[assignment]


def run(account: FakeAccount, *words: str, kube: KubeApi | None = None, rbac: FakeRbac | None = None) -> int:
    before = len(account.world.log)
    session = Session(account, kube or denying(), rbac or FakeRbac("kube-iam:admin"))
    code = run_command("kube-iam", ["explain", *words], {}, session)
    called = set(account.world.log[before:]) & PERMISSIONS.keys()
    assert called <= set(DIRECTORY_METHODS["explain"]), called
    return code


@pytest.fixture
def applied(account: FakeAccount, capsys: Capture) -> FakeAccount:
    """Return an account with the levels of FILE, in which alice is an admin."""
    Path("access.yaml").write_text(FILE)
    assert run_command("kube-iam", ["apply", "--yes"], {}, Session(account, denying(), FakeRbac())) == 0
    account.directory.group_members["prod-admin"].add("alice")
    account.directory.group_members["prod-ci"].add("carol")
    capsys.readouterr()
    return account


def asked(account: FakeAccount, capsys: Capture, *words: str, kube: KubeApi | None = None) -> dict[str, Any]:
    """Return the only explanation. The exit code is that of its answer."""
    code = run(account, *words, "-o", "json", kube=kube)
    (found,) = json.loads(capsys.readouterr().out)["explanations"]
    assert code == {True: 0, False: 1, None: 3}[found["admitted"]]
    assert isinstance(found, dict)
    return found


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {step["code"]: step["status"] for step in found["steps"]}


def test_member_is_admitted_with_user_and_groups_and_every_link(applied: FakeAccount, capsys: Capture) -> None:
    found = asked(applied, capsys, "alice", "admin")
    assert (found["admitted"], found["username"], found["groups"]) == (True, "awsiam:alice", ["kube-iam:admin"])
    assert statuses(found) == {
        "user": "ok",
        "group": "ok",
        "policy": "ok",
        "trust": "ok",
        "simulation": "note",
        "entry": "ok",
        "membership": "ok",
        "deny_list": "ok",
        "rbac": "note",
    }
    details = {step["code"]: step["detail"] for step in found["steps"]}
    assert 'managed policy prod-admin of group prod-admin, statement "AssumeLevelRole"' in details["policy"]
    assert 'statement "AssumeRoleAsOwnUserName"' in details["trust"]
    assert details["rbac"] == "RoleBinding shop/b, ClusterRole edit"
    assert "iam:SimulatePrincipalPolicy" in details["simulation"]


def test_first_line_of_the_text_is_the_answer(applied: FakeAccount, capsys: Capture) -> None:
    assert run(applied, "alice", "admin") == 0
    assert capsys.readouterr().out.startswith(
        "alice is admitted to level admin as awsiam:alice, groups kube-iam:admin\n\nIAM user"
    )
    assert run(applied, "bob", "admin", "-f", "access.yaml") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bob is not admitted to level admin: bob is not in IAM group prod-admin"
    assert lines[1] == "remedy: `kube-iam grant bob admin -f access.yaml`"


Change = Callable[[FakeAccount], None]


def leave(account: FakeAccount) -> None:
    account.directory.group_members["prod-admin"].remove("alice")


def detach(account: FakeAccount) -> None:
    state = account.directory.group_states["prod-admin"]
    account.directory.group_states["prod-admin"] = replace(state, attached=())


def deny_by_own_policy(account: FakeAccount) -> None:
    account.directory.user_policies["alice", "no"] = DENY


def bound(document: object) -> Change:
    def change(account: FakeAccount) -> None:
        arn = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
        account.directory.policy_states[arn] = PolicyState(arn, "boundary", "/", document)
        user = account.directory.all_users["alice"]
        account.directory.all_users["alice"] = replace(user, boundary=arn)

    return change


def trusting(**changes: Any) -> Change:
    def change(account: FakeAccount) -> None:
        role = account.directory.role_states["prod-admin"]
        assert isinstance(role.trust, dict)
        (statement,) = role.trust["Statement"]
        changed = {key: value for key, value in {**statement, **changes}.items() if value is not None}
        trust = {**role.trust, "Statement": [changed]}
        account.directory.role_states["prod-admin"] = replace(role, trust=trust)

    return change


def without_role(account: FakeAccount) -> None:
    del account.directory.role_states["prod-admin"]


def entry_of(**changes: Any) -> Change:
    def change(account: FakeAccount) -> None:
        account.store.all_entries[:] = [
            replace(each, **changes) if each.level == "admin" else each for each in account.store.all_entries
        ]

    return change


def without_entry(account: FakeAccount) -> None:
    account.store.all_entries[:] = [each for each in account.store.all_entries if each.level != "admin"]


def without_user(account: FakeAccount) -> None:
    del account.directory.all_users["alice"]
    leave(account)


@pytest.mark.parametrize(
    ("change", "code", "reason", "remedy"),
    [
        (without_user, "user", "no_user", "`aws iam create-user --user-name alice`"),
        (leave, "group", "not_member", "`kube-iam grant alice admin`"),
        (detach, "policy", "no_policy", "`kube-iam apply`"),
        (deny_by_own_policy, "policy", "explicit_deny", None),
        (bound({"Version": "2012-10-17", "Statement": []}), "boundary", "boundary", None),
        (bound(DENY), "boundary", "explicit_deny", None),
        (without_role, "role", "no_role", "`kube-iam apply`"),
        (trusting(Principal={"AWS": "444455556666"}), "trust", "trust", "`kube-iam apply`"),
        (trusting(Effect="Deny"), "trust", "explicit_deny", None),
        (trusting(Condition=None), "membership", "session_name_unrestricted", "`kube-iam apply`"),
        (without_entry, "entry", "no_entry", "`kube-iam apply`"),
        (entry_of(role_arn="arn:aws:iam::444455556666:role/prod-admin"), "entry", "no_entry", "`kube-iam apply`"),
        (entry_of(iam_group="other"), "membership", "not_member", None),
    ],
)
def test_missing_link_is_named_with_its_remedy(
    applied: FakeAccount, capsys: Capture, change: Change, code: str, reason: str, remedy: str | None
) -> None:
    change(applied)
    found = asked(applied, capsys, "alice", "admin")
    assert found["admitted"] is False
    assert found["username"] is None
    missing = [step for step in found["steps"] if step["status"] == "missing"]
    assert (missing[0]["code"], missing[0]["reason"], missing[0]["remedy"]) == (code, reason, remedy)
    assert found["reason"] == reason


def test_nearest_entry_is_named_where_none_matches(applied: FakeAccount, capsys: Capture) -> None:
    entry_of(role_arn="arn:aws:iam::444455556666:role/prod-admin")(applied)
    found = asked(applied, capsys, "alice", "admin")
    (detail,) = (step["detail"] for step in found["steps"] if step["code"] == "entry")
    assert "mapRoles[0] (arn:aws:iam::444455556666:role/prod-admin): the entry is for account 444455556666" in detail
    assert "[account]" in detail


def test_denial_is_named_with_its_end(applied: FakeAccount, capsys: Capture) -> None:
    denial = Denial("alice-1", "userName", "alice", until=LATER, reason="left")
    found = asked(applied, capsys, "alice", "admin", kube=denying(denial))
    assert (found["admitted"], found["reason"]) == (False, "denied")
    (step,) = (each for each in found["steps"] if each["code"] == "deny_list")
    assert "(left) by denial alice-1" in step["detail"]
    assert step["remedy"] == "`kube-iam undeny alice-1`"


@pytest.mark.parametrize(
    ("until", "user_id", "admitted"), [(NEVER, "AIDAbob", True), (PAST, "AIDAbob", False), (NEVER, "AIDAother", True)]
)
def test_temporary_access_admits_until_its_end(
    applied: FakeAccount, capsys: Capture, until: str, user_id: str, admitted: bool
) -> None:
    entry_of(temporary=(TemporaryGrant("bob", user_id, until, "incident"),))(applied)
    applied.directory.user_policies["bob", "kube-iam-prod-admin"] = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": ROLE,
                "Condition": {"DateLessThan": {"aws:CurrentTime": until}},
            }
        ],
    }
    found = asked(applied, capsys, "bob", "admin")
    assert found["admitted"] is admitted
    if not admitted:
        assert found["steps"][1]["detail"].endswith("temporary access ended at 2001-01-01T00:00:00Z")
    elif user_id == "AIDAbob":
        assert "temporary access until 2099-01-01T00:00:00Z (incident)" in found["steps"][1]["detail"]


def test_mfa_condition_is_said_and_not_a_missing_link(applied: FakeAccount, capsys: Capture) -> None:
    condition = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
    trusting(Condition={**condition, "Bool": {"aws:MultiFactorAuthPresent": "true"}})(applied)
    assert run(applied, "alice", "admin") == 0
    out = capsys.readouterr().out
    assert out.startswith("alice is admitted to level admin with an MFA code as awsiam:alice")
    assert "needs the code of an MFA device" in out


@pytest.mark.parametrize(
    "change",
    [
        trusting(Condition={"StringEquals": {"sts:RoleSessionName": "${aws:username}"}, **SOURCE}),
        bound({"Version": "2012-10-17", "Statement": [{**ALLOW["Statement"][0], "Condition": SOURCE}]}),  # type: ignore[dict-item]
        lambda account: account.directory.user_policies.update({("alice", "odd"): {"Statement": "?"}}),
    ],
)
def test_what_is_not_decided_is_unknown_and_not_admitted(applied: FakeAccount, capsys: Capture, change: Change) -> None:
    change(applied)
    found = asked(applied, capsys, "alice", "admin")
    assert (found["admitted"], found["reason"]) == (None, "undecided")


@pytest.mark.parametrize(
    ("method", "code", "admitted"),
    [
        ("user", "user", None),
        ("groups_of", "group", None),
        ("held_policies", "policy", None),
        ("role", "role", None),
        ("members", "membership", None),
        ("entries", "entry", None),
        ("simulate", "simulation", True),
    ],
)
def test_what_may_not_be_read_is_unknown_and_names_the_right(
    applied: FakeAccount, capsys: Capture, method: str, code: str, admitted: bool | None
) -> None:
    applied.world.errors[method] = AccessDenied("AWS denies it", f"the caller needs the permission iam:{method}")
    found = asked(applied, capsys, "alice", "admin")
    assert found["admitted"] is admitted
    (step,) = (each for each in found["steps"] if each["code"] == code)
    assert step["reason"] == "not_read"
    assert f"iam:{method}" in step["detail"]


def test_mapping_that_no_server_can_load_is_unknown(applied: FakeAccount, capsys: Capture) -> None:
    applied.store.all_faults = ("line 3: mapRoles must be a list",)
    found = asked(applied, capsys, "alice", "admin")
    assert found["admitted"] is None
    assert "keeps its last one: line 3" in found["steps"][-1]["detail"]


def test_unread_deny_list_is_unknown(applied: FakeAccount, capsys: Capture) -> None:
    class Unreadable(Session):
        def deny_list(self, name: str) -> Any:
            raise KubeError(f"no access to {name}")

    code = run_command("kube-iam", ["explain", "alice", "admin"], {}, Unreadable(applied, denying(), FakeRbac()))
    assert code == 3
    assert capsys.readouterr().out.startswith(
        "Whether alice is admitted to level admin cannot be told: deny list: no access"
    )


def simulated(decision: str, **more: Any) -> Simulation:
    return Simulation(decision, **more)


@pytest.mark.parametrize(
    ("simulation", "admitted", "status"),
    [
        (simulated("allowed", policies=("prod-admin",)), True, "note"),
        (simulated("implicitDeny"), None, "unknown"),
        (simulated("explicitDeny"), None, "unknown"),
        (simulated("implicitDeny", missing_keys=("aws:SourceIp",)), True, "note"),
        (simulated("implicitDeny", organization_allows=False), False, "missing"),
    ],
)
def test_opinion_of_iam_that_differs_makes_the_answer_unknown(
    applied: FakeAccount, capsys: Capture, simulation: Simulation, admitted: bool | None, status: str
) -> None:
    applied.directory.simulation = simulation
    found = asked(applied, capsys, "alice", "admin")
    assert found["admitted"] is admitted
    assert statuses(found)["simulation"] == status
    ((user, action, role, context),) = applied.directory.simulated
    assert (user, action, role) == (ALICE, "sts:AssumeRole", ROLE)
    assert isinstance(context.pop("aws:CurrentTime"), float)
    assert context == {"sts:RoleSessionName": "alice", "aws:username": "alice", "aws:userid": "AIDAalice"}


def test_roles_that_the_user_does_not_get_are_not_simulated_for_every_level(
    applied: FakeAccount, capsys: Capture
) -> None:
    applied.directory.simulation = simulated("allowed")
    assert run(applied, "alice") == 0
    assert [each[2] for each in applied.directory.simulated] == [ROLE]
    reads = Counter(name for name in applied.world.log if name in ("groups_of", "user"))
    assert reads == {"groups_of": 1, "user": 1}


def test_no_simulation_asks_iam_for_none(applied: FakeAccount, capsys: Capture) -> None:
    found = asked(applied, capsys, "alice", "admin", "--no-simulation")
    assert "simulation" not in statuses(found)
    assert applied.directory.simulated == []


def test_user_with_a_name_of_one_character_gets_no_session(applied: FakeAccount, capsys: Capture) -> None:
    applied.directory.all_users["x"] = User("x", f"arn:aws:iam::{ACCOUNT}:user/x", "AIDAX")
    applied.directory.group_members["prod-admin"].add("x")
    found = asked(applied, capsys, "x", "admin")
    assert (found["admitted"], found["reason"]) == (False, "session_name")


def test_level_without_membership_check_needs_the_role_alone(applied: FakeAccount, capsys: Capture) -> None:
    applied.directory.user_policies["bob", "all"] = ALLOW
    found = asked(applied, capsys, "bob", "viewer")
    assert found["admitted"] is True
    assert statuses(found)["group"] == "note"


def test_binding_that_the_sync_has_not_written_is_said(account: FakeAccount, capsys: Capture) -> None:
    Path("access.yaml").write_text(FILE.replace("membershipCheck: assumeRole", "membershipCheck: rbac"))
    assert run_command("kube-iam", ["apply", "--yes"], {}, Session(account, denying(), FakeRbac())) == 0
    account.directory.group_members["prod-viewer"].add("alice")
    capsys.readouterr()
    found = asked(account, capsys, "alice", "viewer")
    assert (found["admitted"], found["username"], found["groups"]) == (True, "awsiam:viewer:alice", [])
    (step,) = (each for each in found["steps"] if each["code"] == "rbac")
    assert (step["status"], step["reason"]) == ("note", "no_binding")
    assert "no binding of level viewer names awsiam:viewer:alice" in step["detail"]


def test_level_by_group_needs_membership_alone(applied: FakeAccount, capsys: Capture) -> None:
    found = asked(applied, capsys, "carol", "ci")
    assert (found["admitted"], found["username"]) == (True, "awsiam:carol")
    assert set(statuses(found)) == {"user", "group", "entry", "membership", "deny_list", "rbac"}
    found = asked(applied, capsys, "alice", "ci")
    assert (found["admitted"], found["reason"]) == (False, "not_member")


def test_user_is_not_admitted_to_a_level_of_a_permission_set(applied: FakeAccount, capsys: Capture) -> None:
    found = asked(applied, capsys, "alice", "sso")
    assert (found["admitted"], found["reason"]) == (False, "permission_set")


def test_every_level_and_other_entry_has_a_line(applied: FakeAccount, capsys: Capture) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/alice"
    applied.store.user_mappings = (UserMapping(arn, parse_template("boss"), (), "mapUsers[0]"),)
    assert run(applied, "alice") == 0
    out = capsys.readouterr().out
    assert out.startswith("alice is admitted to level admin, entry a fake mapping, mapUsers[0]\n")
    rows = [line.split()[:3] for line in out.splitlines() if line.startswith(("level ", "entry "))]
    assert rows == [
        ["level", "admin", "yes"],
        ["level", "viewer", "no"],
        ["level", "ci", "no"],
        ["level", "sso", "no"],
        ["entry", "a", "fake"],
    ]


def test_role_outside_of_levels_that_the_user_may_assume_has_a_line(applied: FakeAccount, capsys: Capture) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ACCOUNT}}]}
    for name in ("ops", "db"):
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        applied.directory.role_states[name] = RoleState(arn, name, "/", trust)
        applied.store.all_entries.append(replace(applied.store.all_entries[0], role_arn=arn, iam_group="", level=""))
    applied.directory.user_policies["bob", "ops"] = {
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{ACCOUNT}:role/ops"}]
    }
    assert run(applied, "bob", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)["explanations"]
    assert [each["admitted"] for each in found if each["entry"]] == [True]
    assert run(applied, "carol", "-o", "json") == 0
    assert not [each for each in json.loads(capsys.readouterr().out)["explanations"] if each["entry"]]


SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-admin/"


@pytest.mark.parametrize(
    ("arn", "level", "admitted", "reason"),
    [
        (f"{SESSION}alice", None, True, None),
        (f"{SESSION}alice", "admin", True, None),
        (f"{SESSION}alice", "viewer", False, "other_level"),
        (f"{SESSION}bob", None, False, "not_member"),
        (ROLE, None, None, "no_session"),
        (f"arn:aws:iam::{ACCOUNT}:role/prod-viewer", None, True, None),
        (f"arn:aws:iam::{ACCOUNT}:role/none", None, False, "no_role"),
        ("arn:aws:sts::444455556666:assumed-role/prod-admin/alice", None, False, "no_entry"),
        ("arn:aws:iam::444455556666:user/alice", None, False, "no_entry"),
        ("arn:aws:iam::444455556666:user/alice", "admin", False, "no_entry"),
        (f"arn:aws:iam::{ACCOUNT}:root", None, False, "no_entry"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/alice", "admin", False, "no_user"),
        (ALICE, "admin", True, None),
    ],
)
def test_other_principals_are_explained_from_the_mapping_on(
    applied: FakeAccount, capsys: Capture, arn: str, level: str | None, admitted: bool | None, reason: str | None
) -> None:
    found = asked(applied, capsys, arn, *([level] if level else []))
    assert (found["admitted"], found["reason"]) == (admitted, reason)


def test_sessions_of_a_permission_set_are_admitted_with_an_open_name(applied: FakeAccount, capsys: Capture) -> None:
    name = "AWSReservedSSO_Ops_0123456789abcdef"
    arn = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/{name}"
    applied.directory.role_states[name] = RoleState(arn, name, "/aws-reserved/sso.amazonaws.com/", {"Statement": []})
    found = asked(applied, capsys, arn, "sso")
    assert (found["admitted"], found["username"]) == (True, "sso:{{SessionNameRaw}}")
    assert found["openVariables"] == ["SessionNameRaw"]


def test_groups_that_are_not_those_of_the_level_are_said(applied: FakeAccount, capsys: Capture) -> None:
    entry_of(groups=("other",))(applied)
    found = asked(applied, capsys, "alice", "admin")
    assert (found["admitted"], found["groups"]) == (True, ["other"])
    assert "does not give the groups kube-iam:admin" in next(
        step["detail"] for step in found["steps"] if step["code"] == "level"
    )


@pytest.mark.parametrize("words", [("alice", "admn"), ("admin", "alice"), ("a b",), ("arn:aws:iam::1:group/x",)])
def test_mistake_in_the_command_line_is_a_usage_error(applied: FakeAccount, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(applied, *words)
