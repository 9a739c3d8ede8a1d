"""`kube-iam policy server`: the least that the server has to be allowed, for an access file and for its own config.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kube_iam.cli.root import run_command
from kube_iam.core.server_policy import LONGEST_MANAGED
from kube_iam.errors import ConfigError

ACCESS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}], iam: {role: prod-admin}}
  - {name: viewer, bind: [{clusterRole: view}]}
"""
CONFIG = """\
clusterID: x
server:
  mapRoles:
    - {rolearn: "arn:aws:iam::123456789012:role/Admin", username: "awsiam:{{SessionNameRaw}}", iamGroup: admins}
    - {rolearn: "arn:aws:iam::123456789012:role/plain", username: plain}
  mapGroups:
    - {iamGroup: viewers, username: "awsiam:{{UserName}}"}
    - {iamGroup: admins, username: "awsiam:{{UserName}}"}
"""
NODES = (
    '    - {rolearn: "arn:aws:iam::123456789012:role/node", username: "system:node:{{EC2PrivateDNSName}}",'
    " groups: [system:nodes]}\n"
)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[str, list[str]]]:
    """Return action and resources of each statement by its Sid. Every statement is an Allow of one action."""
    assert run_command("kube-iam", ["policy", "server", *arguments], {}) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["Version"] == "2012-10-17"
    assert {statement["Effect"] for statement in document["Statement"]} == {"Allow"}
    return {each["Sid"]: (each["Action"], each["Resource"]) for each in document["Statement"]}


def printed_for(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> tuple[list[str], list[str]]:
    """Return the groups and the roles that the policy for an access file covers."""
    file = tmp_path / "access.yaml"
    file.write_text(text)
    found = printed(capsys, "-f", str(file))
    assert {sid: action for sid, (action, _) in found.items()} == {
        "ReadGroupMembers": "iam:GetGroup",
        "ReadRoleTrustPolicies": "iam:GetRole",
    }
    return found["ReadGroupMembers"][1], found["ReadRoleTrustPolicies"][1]


GROUPS, ROLES = "arn:aws:iam::123456789012:group", "arn:aws:iam::123456789012:role"


def test_policy_covers_levels_that_are_added_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = printed_for(tmp_path, capsys, ACCESS)
    assert before == ([f"{GROUPS}/kube-iam/prod/*", f"{GROUPS}/prod-*"], [f"{ROLES}/prod-*"])
    added = [
        "  - {name: audit, bind: [{clusterRole: view}]}",
        "  - {name: ops, method: group, bind: [{clusterRole: edit}]}",
    ]
    assert printed_for(tmp_path, capsys, ACCESS + "\n".join(added) + "\n") == before


@pytest.mark.parametrize("role", ["auditors", "PROD-audit", "prod", "prodaudit"])
def test_policy_names_each_role_that_the_prefix_does_not_cover(
    role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups, roles = printed_for(tmp_path, capsys, ACCESS.replace("role: prod-admin", f"role: {role}"))
    assert groups == [f"{GROUPS}/kube-iam/prod/*", f"{GROUPS}/prod-*"]
    assert sorted(roles) == sorted([f"{ROLES}/prod-*", f"{ROLES}/{role}"])


def test_policy_follows_the_paths_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = "iam: {pathPrefix: /teams/a/, rolePath: /people/}\nlevels:"
    found = printed_for(tmp_path, capsys, ACCESS.replace("levels:", paths))
    groups = [f"{GROUPS}/prod-*", f"{GROUPS}/teams/a/kube-iam/prod/*"]
    assert found == (groups, [f"{ROLES}/people/prod-*", f"{ROLES}/prod-*"])


def test_policy_covers_deleted_groups_and_roles_whose_path_iam_no_longer_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "iam: {rolePath: /people/}\nlevels:\n  - {name: ops, bind: [{clusterRole: edit}], iam: {group: operators, role: ops}}"
    groups, roles = printed_for(tmp_path, capsys, ACCESS.replace("levels:", own))
    assert {f"{GROUPS}/prod-*", f"{GROUPS}/operators"} <= set(groups)
    assert {f"{ROLES}/prod-*", f"{ROLES}/ops"} <= set(roles)


def test_wildcards_and_variables_in_a_path_are_literal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = 'iam: {pathPrefix: "/*/", rolePath: "/${aws:username}/?/"}\nlevels:'
    found = printed_for(tmp_path, capsys, ACCESS.replace("levels:", paths))
    assert f"{GROUPS}/${{*}}/kube-iam/prod/*" in found[0]
    assert f"{ROLES}/${{$}}{{aws:username}}/${{?}}/prod-*" in found[1]


def test_policy_is_printed_before_a_level_needs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "access.yaml"
    file.write_text(ACCESS + "membershipCheck: assumeRole\n")
    assert run_command("kube-iam", ["policy", "server", "-f", str(file)], {}) == 0
    captured = capsys.readouterr()
    assert f"{GROUPS}/kube-iam/prod/*" in captured.out
    assert "no level of" in captured.err


def test_policy_for_a_config_covers_the_groups_and_roles_of_its_entries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    assert printed(capsys, "-c", str(file)) == {
        "ReadGroupMembers": (
            "iam:GetGroup",
            [
                "arn:aws:iam::123456789012:group/*/admins",
                "arn:aws:iam::123456789012:group/*/viewers",
                "arn:aws:iam::123456789012:group/admins",
                "arn:aws:iam::123456789012:group/viewers",
            ],
        ),
        "ReadRoleTrustPolicies": (
            "iam:GetRole",
            ["arn:aws:iam::123456789012:role/*/Admin", "arn:aws:iam::123456789012:role/Admin"],
        ),
    }


def test_groups_alone_do_not_tell_the_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text('clusterID: x\nserver:\n  mapGroups: [{iamGroup: viewers, username: "awsiam:{{UserName}}"}]\n')
    assert printed(capsys, "-c", str(file)) == {
        "ReadGroupMembers": ("iam:GetGroup", ["arn:aws:iam::*:group/*/viewers", "arn:aws:iam::*:group/viewers"])
    }


def test_what_a_server_needs_to_name_nodes_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.replace("  mapGroups", NODES + "  mapGroups"))
    assert printed(capsys, "-c", str(file))["DescribeNodeInstances"] == ("ec2:DescribeInstances", ["*"])


def test_a_config_without_memberships_needs_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\n")
    assert run_command("kube-iam", ["policy", "server", "-c", str(file)], {}) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["Statement"] == []
    assert "the server needs no permissions" in captured.err


def test_a_file_that_cannot_be_used_is_said_to_be_so(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\nserver: {mapRoles: 3}\n")
    with pytest.raises(ConfigError):
        run_command("kube-iam", ["policy", "server", "-c", str(file)], {})


def test_more_than_aws_takes_in_one_policy_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [f'    - {{iamGroup: group-{number}, username: "awsiam:{{{{UserName}}}}"}}' for number in range(100)]
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\nserver:\n  mapGroups:\n" + "\n".join(entries) + "\n")
    assert run_command("kube-iam", ["policy", "server", "-c", str(file)], {}) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)
    assert f"AWS takes {LONGEST_MANAGED} in a managed policy" in captured.err
