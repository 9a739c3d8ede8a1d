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
    - {rolearn: "arn:aws:iam::123456789012:role/Admin", username: "iam:{{SessionNameRaw}}", iamGroup: admins}
    - {rolearn: "arn:aws:iam::123456789012:role/plain", username: plain}
  mapGroups:
    - {iamGroup: viewers, username: "iam:{{UserName}}"}
    - {iamGroup: admins, username: "iam:{{UserName}}"}
"""
NODES = (
    '    - {rolearn: "arn:aws:iam::123456789012:role/node", username: "system:node:{{EC2PrivateDNSName}}",'
    " groups: [system:nodes]}\n"
)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[str, list[str]]]:
    """Action and resources of each statement by its Sid; nothing but Allows of one action each is in it."""
    assert run_command("kube-iam", ["policy", "server", *arguments], {}) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["Version"] == "2012-10-17"
    assert {statement["Effect"] for statement in document["Statement"]} == {"Allow"}
    return {each["Sid"]: (each["Action"], each["Resource"]) for each in document["Statement"]}


def test_of_an_access_file_it_names_each_group_and_role_where_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "access.yaml"
    file.write_text(ACCESS)
    found = printed(capsys, "-f", str(file))
    assert set(found) == {"WhoIsInTheGroups", "HowTheRolesLetPeopleIn"}
    action, groups = found["WhoIsInTheGroups"]
    assert action == "iam:GetGroup"
    assert all(arn.startswith("arn:aws:iam::123456789012:group/") and "*" not in arn for arn in groups)
    assert len(groups) == 2
    action, roles = found["HowTheRolesLetPeopleIn"]
    assert action == "iam:GetRole"
    assert "arn:aws:iam::123456789012:role/prod-admin" in roles
    assert len(roles) == 2


def test_of_a_config_it_names_what_its_entries_ask_for_below_any_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    assert printed(capsys, "-c", str(file)) == {
        "WhoIsInTheGroups": (
            "iam:GetGroup",
            [
                "arn:aws:iam::123456789012:group/*/admins",
                "arn:aws:iam::123456789012:group/*/viewers",
                "arn:aws:iam::123456789012:group/admins",
                "arn:aws:iam::123456789012:group/viewers",
            ],
        ),
        "HowTheRolesLetPeopleIn": (
            "iam:GetRole",
            ["arn:aws:iam::123456789012:role/*/Admin", "arn:aws:iam::123456789012:role/Admin"],
        ),
    }


def test_groups_alone_do_not_tell_the_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text('clusterID: x\nserver:\n  mapGroups: [{iamGroup: viewers, username: "iam:{{UserName}}"}]\n')
    assert printed(capsys, "-c", str(file)) == {
        "WhoIsInTheGroups": ("iam:GetGroup", ["arn:aws:iam::*:group/*/viewers", "arn:aws:iam::*:group/viewers"])
    }


def test_what_a_server_needs_to_name_nodes_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.replace("  mapGroups", NODES + "  mapGroups"))
    assert printed(capsys, "-c", str(file))["NamesOfNodes"] == ("ec2:DescribeInstances", ["*"])


def test_a_config_without_memberships_needs_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\n")
    assert run_command("kube-iam", ["policy", "server", "-c", str(file)], {}) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["Statement"] == []
    assert "the server needs no rights" in captured.err


def test_a_file_that_cannot_be_used_is_said_to_be_so(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\nserver: {mapRoles: 3}\n")
    with pytest.raises(ConfigError):
        run_command("kube-iam", ["policy", "server", "-c", str(file)], {})


def test_more_than_aws_takes_in_one_policy_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [f'    - {{iamGroup: group-{number}, username: "iam:{{{{UserName}}}}"}}' for number in range(100)]
    file = tmp_path / "config.yaml"
    file.write_text("clusterID: x\nserver:\n  mapGroups:\n" + "\n".join(entries) + "\n")
    assert run_command("kube-iam", ["policy", "server", "-c", str(file)], {}) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)
    assert f"AWS takes {LONGEST_MANAGED} in a managed policy" in captured.err
