"""Findings of the access report: each check finds its fault, and claims nothing about what was not read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_account import ACCOUNT
from organization import Organization, organization, read_report, with_faults

from kube_iam.access.audit_checks import Check, CheckState, Finding, Severity, Source
from kube_iam.access.audit_findings import named
from kube_iam.access.levels import AWS_AUTH, OBJECTS, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry, ServerMapping, UnusedEntry
from kube_iam.access.permissions import Privilege, privileges_of
from kube_iam.access.ports import RoleState
from kube_iam.core.arns import Sso
from kube_iam.core.rbac import GROUP, RbacBinding, RbacSubject, RoleKey, Rule
from kube_iam.errors import AccessDenied, KubeError
from kube_iam.report.access_report import AccessReport

ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
RBAC = "rbac.authorization.k8s.io"
OWN_NAME = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}


def found(report: AccessReport, check: Check) -> tuple[Finding, ...]:
    return next(each for each in report.checks if each.check is check).findings


def state(report: AccessReport, check: Check) -> CheckState:
    return next(each for each in report.checks if each.check is check).state


def mapped(made: Organization, *entries: MappingEntry) -> Organization:
    """Add entries of mapRoles behind those of the levels."""
    store = made.account.store
    at = len(store.all_entries)
    store.all_entries += [replace(each, where=f"mapRoles[{at + place}]") for place, each in enumerate(entries)]
    return made


def with_role(made: Organization, name: str, principal: object, condition: object = None) -> Organization:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    statement |= {"Condition": condition} if condition else {}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    made.account.directory.role_states[name] = RoleState(f"{ROLE}{name}", name, "/", trust)
    return made


def entry(name: str, username: str = "ops", *groups: str) -> MappingEntry:
    return MappingEntry(f"{ROLE}{name}", username, groups or ("ops",))


def test_every_check_finds_its_fault_in_a_generated_organization() -> None:
    report = read_report(with_faults(organization()))
    silent = {each.check for each in report.checks if not each.findings}
    assert silent == {Check.MAPPING_NOT_LOADED}, "the fake mapping has no text that a server could not load"
    assert report.is_complete
    assert all(each.state is CheckState.COMPLETE for each in report.checks)


def test_levels_as_apply_makes_them_have_no_findings_but_their_privileges() -> None:
    report = read_report(organization())
    by_privilege = {Check.CLUSTER_ADMIN, Check.ESCALATION, Check.SECRETS}
    assert {each.check for each in report.findings} <= by_privilege
    assert report.drift == ()


def test_codes_are_distinct() -> None:
    codes = [check.value.code for check in Check]
    assert len(codes) == len(set(codes))


def test_the_document_lists_the_checks_in_their_order() -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE) == [check.value.code for check in Check]


def test_every_finding_names_a_remedy_and_its_object() -> None:
    for finding in read_report(with_faults(organization())).findings:
        assert finding.item
        assert finding.detail
        assert finding.remedy


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ([Rule(("*",), ("*",), ("*",))], {Privilege.WILDCARD}),
        ([Rule(("get", "delete"), ("*",), ("*",))], {Privilege.WILDCARD}),
        ([Rule(("get", "list"), ("*",), ("*",))], {Privilege.SECRETS}),
        ([Rule(("bind",), (RBAC,), ("clusterroles",), ("view",))], {Privilege.ESCALATION}),
        ([Rule(("escalate",), (RBAC,), ("roles",))], {Privilege.ESCALATION}),
        ([Rule(("impersonate",), ("",), ("users", "groups"))], {Privilege.ESCALATION}),
        ([Rule(("*",), ("",), ("*",))], {Privilege.ESCALATION, Privilege.SECRETS}),
        ([Rule(("get",), ("",), ("secrets",))], {Privilege.SECRETS}),
        ([Rule(("get",), ("",), ("secrets",), ("one",))], set()),
        ([Rule(("create",), ("",), ("secrets",))], set()),
        ([Rule(("get",), paths=("*",))], set()),
    ],
)
def test_privileges_of_rules(rules: Iterable[Rule], wanted: set[Privilege]) -> None:
    assert privileges_of(RoleKey("ClusterRole", "some"), rules) == wanted


def test_a_privilege_in_the_whole_cluster_is_more_urgent_than_in_a_namespace() -> None:
    made = organization(levels=1)
    group = made.access.levels[0].groups[0]
    for namespace, severity in (("", Severity.HIGH), ("shop", Severity.MEDIUM)):
        binding = RbacBinding("b", RoleKey("ClusterRole", "platform"), (RbacSubject(GROUP, group),), namespace)
        made.rbac = replace(made.rbac, bindings=(binding,))
        (finding,) = found(read_report(made), Check.WILDCARD)
        assert (finding.severity, finding.item) == (severity, f"Kubernetes group {group}")


def test_a_privileged_group_that_nobody_in_the_mapping_has_is_no_finding() -> None:
    made = organization(levels=1)
    binding = RbacBinding("b", RoleKey("ClusterRole", "cluster-admin"), (RbacSubject(GROUP, "of-other-people"),))
    made.rbac = replace(made.rbac, bindings=(binding,))
    assert found(read_report(made), Check.CLUSTER_ADMIN) == ()


def test_what_everybody_has_who_signs_in_is_critical() -> None:
    made = organization(levels=1)
    binding = RbacBinding("b", RoleKey("ClusterRole", "edit"), (RbacSubject(GROUP, "system:authenticated"),))
    made.rbac = replace(made.rbac, bindings=(binding,))
    (finding,) = found(read_report(made), Check.SECRETS)
    assert finding.severity is Severity.CRITICAL
    assert "everybody who signs in" in finding.detail


ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize(
    ("principal", "condition", "severity"),
    [
        ({"AWS": ROOT}, OWN_NAME, None),
        ({"AWS": [ROOT, f"{ROLE}ci"]}, OWN_NAME, Severity.MEDIUM),
        ({"AWS": ROOT}, None, Severity.MEDIUM),
        ({"AWS": "arn:aws:iam::999988887777:root"}, OWN_NAME, Severity.HIGH),
        ({"Federated": "cognito-identity.amazonaws.com"}, OWN_NAME, Severity.HIGH),
    ],
)
def test_principals_beside_the_group_of_a_level(
    principal: object, condition: object, severity: Severity | None
) -> None:
    made = organization(levels=1)
    with_role(made, made.access.levels[0].role_name, principal, condition)
    findings = found(read_report(made), Check.ROLE_OPEN_TO_MORE)
    assert [each.severity for each in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(("condition", "severity"), [(None, Severity.CRITICAL), (OWN_NAME, Severity.HIGH)])
def test_a_role_that_anybody_in_aws_may_assume(condition: object, severity: Severity) -> None:
    made = mapped(with_role(organization(levels=1), "open", "*", condition), entry("open"))
    (finding,) = found(read_report(made), Check.ROLE_OPEN_TO_ANYBODY)
    assert (finding.item, finding.severity) == ("role open", severity)


def test_roles_of_nodes_are_no_roles_without_a_group() -> None:
    made = with_role(organization(levels=1), "nodes", {"Service": "ec2.amazonaws.com"})
    mapped(made, entry("nodes", "system:node:{{EC2PrivateDNSName}}", "system:nodes", "system:bootstrappers"))
    assert found(read_report(made), Check.ROLE_WITHOUT_GROUP) == ()


def test_a_role_without_a_group_names_those_who_may_assume_it() -> None:
    made = mapped(with_role(organization(levels=1), "ops", {"AWS": f"{ROLE}ci"}), entry("ops"))
    (finding,) = found(read_report(made), Check.ROLE_WITHOUT_GROUP)
    assert f"{ROLE}ci" in finding.detail


@pytest.mark.parametrize(
    ("username", "is_found"),
    [("ops:{{SessionName}}", True), ("ops:{{SessionNameRaw}}", True), ("ops", False)],
)
def test_session_names_count_where_the_user_name_is_made_of_them(username: str, is_found: bool) -> None:
    made = mapped(with_role(organization(levels=1), "ops", {"AWS": ROOT}), entry("ops", username))
    findings = found(read_report(made), Check.SESSION_NAME_UNRESTRICTED)
    assert [each.item for each in findings] == (["role ops"] if is_found else [])


def test_a_second_entry_for_a_role_is_hidden_or_repeats_the_first() -> None:
    made = with_role(organization(levels=1), "ops", {"AWS": ROOT})
    mapped(made, entry("ops"), entry("ops"), entry("ops", "ops", "admins"))
    report = read_report(made)
    (repeated,), (hidden,) = found(report, Check.ENTRY_DUPLICATE), found(report, Check.ENTRY_SHADOWED)
    assert repeated.item.startswith("mapRoles[2]")
    assert repeated.detail == "repeats mapRoles[1]"
    assert hidden.item.startswith("mapRoles[3]")
    assert "is hidden by mapRoles[1]" in hidden.detail


def test_an_entry_of_a_permission_set_hides_a_later_one_that_it_covers() -> None:
    made = organization(levels=1)
    mapped(
        made,
        MappingEntry("", "sso", ("ops",), sso=Sso("Ops*", ACCOUNT)),
        MappingEntry("", "sso", ("admins",), sso=Sso("OpsAdmin", ACCOUNT)),
        MappingEntry(f"{ROLE}AWSReservedSSO_OpsAdmin_0123456789abcdef", "sso", ("other",)),
    )
    hidden = found(read_report(made), Check.ENTRY_SHADOWED)
    assert [each.item[:11] for each in hidden] == ["mapRoles[2]", "mapRoles[3]"]


def test_equal_entries_of_a_group_repeat_and_different_ones_add_up() -> None:
    made = organization(levels=1)
    entries = [
        MappingEntry("", "u:{{UserName}}", groups, "prod-payments-viewer", where=f"mapGroups[{at}]")
        for at, groups in enumerate((("a",), ("b",), ("a",)))
    ]
    made.account.store.all_entries += entries
    report = read_report(made)
    assert [each.item[:12] for each in found(report, Check.ENTRY_DUPLICATE)] == ["mapGroups[2]"]
    assert found(report, Check.ENTRY_SHADOWED) == ()


@pytest.mark.parametrize(
    ("arn", "why"),
    [
        ("arn:aws:iam::123456789012:policy/x", "is not a role"),
        ("no arn", "is not an ARN"),
        (f"{ROLE}gone", "there is no role"),
    ],
)
def test_an_entry_that_matches_nobody_says_why(arn: str, why: str) -> None:
    made = mapped(organization(levels=1), MappingEntry(arn, "x", ("x",)))
    (finding,) = found(read_report(made), Check.ENTRY_NEVER_MATCHES)
    assert why in finding.detail


def test_an_entry_that_the_server_leaves_out_is_found_with_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    made = organization(levels=1)
    read = ServerMapping("x", unused=(UnusedEntry("mapUsers[3]"),), problems={"mapUsers[3]": ("userarn is required",)})
    monkeypatch.setattr(made.account.store, "server_mapping", lambda: read)
    (finding,) = found(read_report(made), Check.ENTRY_NEVER_MATCHES)
    assert (finding.item, finding.detail) == ("mapUsers[3]", "userarn is required")


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        (MappingTarget(TargetKind.FILE, path="/etc/config.yaml"), "edit /etc/config.yaml"),
        (AWS_AUTH, "`kubectl -n kube-system edit configmap aws-auth`"),
        (
            MappingTarget(TargetKind.ACCESS_ENTRIES, "", "prod"),
            "`aws eks delete-access-entry --cluster-name prod --principal-arn ",
        ),
        (OBJECTS, "`kubectl delete iamidentitymapping gone`"),
    ],
)
def test_the_remedy_edits_the_mapping_where_it_is(target: MappingTarget, remedy: str) -> None:
    made = organization(levels=1)
    made.account.store.all_entries.append(replace(entry("gone"), where="IAMIdentityMapping gone"))
    made.access = replace(made.access, mapping=target)
    (finding,) = found(read_report(made), Check.ENTRY_NEVER_MATCHES)
    assert f"remove it: {remedy}" in finding.remedy


def test_a_reserved_prefix_refuses_the_names_of_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mapped(with_role(organization(levels=1), "ops", {"AWS": ROOT}), entry("ops", "aws:{{SessionName}}"))
    monkeypatch.setattr(made.account.store, "reserved_prefixes", lambda: ("aws:",))
    report = read_report(made)
    (finding,) = found(report, Check.ENTRY_NAMES_REFUSED)
    assert "may not begin with aws:" in finding.detail
    assert report.rows is not None
    assert all("aws:" not in row.username for row in report.rows)


def test_a_mapping_that_no_server_can_load_is_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    made = organization(levels=1)
    monkeypatch.setattr(made.account.store, "faults", lambda: ("line 3: is no list",))
    (finding,) = found(read_report(made), Check.MAPPING_NOT_LOADED)
    assert finding.severity is Severity.CRITICAL
    assert finding.detail == "line 3: is no list"


def _refused(*_: object) -> Any:
    raise KubeError("forbidden")


@pytest.mark.parametrize(
    ("broken", "source", "unchecked"),
    [
        ({"rbac": _refused}, Source.RBAC, Check.CLUSTER_ADMIN),
        ({"store": _refused}, Source.MAPPING, Check.USER_ENTRY),
        ({"plan": _refused}, Source.DRIFT, None),
        ({"denials": _refused}, Source.DENY_LIST, None),
    ],
)
def test_what_was_not_read_is_named_and_not_called_checked(
    broken: dict[str, Callable[..., Any]], source: Source, unchecked: Check | None
) -> None:
    report = read_report(with_faults(organization()), **broken)
    assert report.unread[source] == ("forbidden",)
    assert not report.is_complete
    if unchecked is not None:
        assert state(report, unchecked) is CheckState.NOT_CHECKED
        assert found(report, unchecked) == ()


def test_without_the_mapping_no_row_is_listed_and_nothing_is_called_empty() -> None:
    report = read_report(organization(), store=_refused)
    assert (report.rows, report.temporary) == (None, None)


def test_a_role_that_cannot_be_read_makes_its_checks_incomplete() -> None:
    made = organization(levels=1)
    made.account.world.errors["role"] = AccessDenied("not allowed to call iam:GetRole")
    report = read_report(made, plan=lambda: None)
    assert state(report, Check.SESSION_NAME_UNRESTRICTED) is CheckState.INCOMPLETE
    assert "iam:GetRole" in report.unread[Source.IAM][0]


def test_a_level_whose_members_cannot_be_read_leaves_the_others() -> None:
    made = organization(levels=2)
    directory = made.account.directory
    lost = made.access.levels[0].group_name
    read = directory.members

    def members(group: str) -> Any:
        if group == lost:
            raise AccessDenied("not allowed to call iam:GetGroup")
        return read(group)

    directory.members = members  # type: ignore[method-assign]
    report = read_report(made)
    first, second = report.levels
    assert first.members is None
    assert second.members is not None
    assert second.members.users
    assert state(report, Check.LEVEL_POLICY_ELSEWHERE) is CheckState.INCOMPLETE


def test_denied_people_are_marked() -> None:
    made = with_faults(organization())
    report = read_report(made)
    assert report.rows is not None
    denied = {row.who for row in report.rows if row.denial}
    assert denied == {"dinesh.diallo"}


def test_many_names_are_shortened() -> None:
    assert named("abc") == "a, b, c"
    assert named("abcdefgh") == "a, b, c, d, e, f and 2 more"
