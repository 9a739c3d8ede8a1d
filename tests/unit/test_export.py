"""`export`: what other tools would make equals what `apply` makes in the account in memory."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from access_commands import account as account
from access_commands import kube_iam
from fake_account import ACCOUNT, FakeAccount

from examples import cells
from kube_iam.access.changes import Kind
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import GroupState, PolicyState, RoleState
from kube_iam.config.access import load_access
from kube_iam.errors import NotOwned, UsageError
from required import not_applicable

Thing = dict[str, Any]
HOME = f"arn:aws:iam::{ACCOUNT}"
FILE = f"""\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {{id: prod.example.com, name: prod}}
account: "{ACCOUNT}"
region: eu-central-1
iam:
  pathPrefix: /team/
  rolePath: /people/
  permissionsBoundary: {HOME}:policy/boundary
  tags: {{CostCenter: "4711", "on": "yes"}}
levels:
  - {{name: admin.all, mfa: true, sessionDuration: 2h, description: 'Every "thing" ${{a}} %{{b}} \\\\ é', iam: {{tags: {{t: "n"}}}}}}
  - {{name: admin-all, iam: {{permissionsBoundary: none}}}}
  - {{name: 2nd, method: group}}
  - {{name: ops, iam: {{group: platform, role: operator, existing: true}}, membershipCheck: assumeRole}}
  - {{name: view, iam: {{group: platform, existing: group}}}}
  - {{name: sso, method: permissionSet, permissionSet: Ops}}
"""


@pytest.fixture(autouse=True)
def _existing(account: FakeAccount) -> None:
    Path("access.yaml").write_text(FILE)
    directory = account.directory
    directory.role_states["operator"] = RoleState(f"{HOME}:role/x/operator", "operator", "/x/", {}, {}, 7200, "theirs")
    directory.group_states["platform"] = GroupState(f"{HOME}:group/platform", "platform", "/")
    directory.group_members["platform"] = set()


def exported(account: FakeAccount, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert kube_iam(account, "export", *words) == 0
    return capsys.readouterr().out


def applied(account: FakeAccount) -> tuple[Thing, Thing, Thing]:
    """Return the policies, roles and groups after `apply`."""
    assert kube_iam(account, "apply", "--yes") == 0
    directory = account.directory
    policies = {each.name: each for each in directory.policy_states.values()}
    return policies, dict(directory.role_states), dict(directory.group_states)


def read(text: object) -> Any:
    """Return a value of Terraform's JSON as Terraform reads it."""
    return json.loads(re.sub(r"([$%])\1\{", r"\1{", json.dumps(text)))


def of_terraform(data: Thing, account: FakeAccount) -> tuple[Thing, Thing, Thing]:
    """Return the policies, roles and groups that Terraform would have, beside those of the account."""
    directory, made = account.directory, data["resource"]
    policies, roles, groups = {}, dict(directory.role_states), dict(directory.group_states)
    for each in made["aws_iam_policy"].values():
        arn = f"{HOME}:policy{each['path']}{each['name']}"
        policies[each["name"]] = PolicyState(arn, each["name"], each["path"], json.loads(each["policy"]), each["tags"])
    for each in made["aws_iam_role"].values():
        arn, trust = f"{HOME}:role{each['path']}{each['name']}", json.loads(each["assume_role_policy"])
        roles[each["name"]] = RoleState(
            arn,
            each["name"],
            each["path"],
            trust,
            each["tags"],
            each["max_session_duration"],
            each["description"],
            boundary=each.get("permissions_boundary", ""),
        )
    named = {
        f"data.aws_iam_group.{name}.group_name": each["group_name"]
        for name, each in data["data"]["aws_iam_group"].items()
    }
    for name, each in made["aws_iam_group"].items():
        groups[each["name"]] = GroupState(f"{HOME}:group{each['path']}{each['name']}", each["name"], each["path"])
        named[f"aws_iam_group.{name}.name"] = each["name"]
    for each in made["aws_iam_group_policy_attachment"].values():
        group = groups[named[each["group"].removeprefix("${").removesuffix("}")]]
        policy = made["aws_iam_policy"][each["policy_arn"].split(".")[1]]["name"]
        attached = tuple(sorted({*group.attached, policies[policy].arn}))
        groups[group.name] = GroupState(group.arn, group.name, group.path, attached)
    return policies, roles, groups


def of_cloudformation(template: Thing, account: FakeAccount) -> tuple[Thing, Thing, Thing]:
    directory, made = account.directory, template["Resources"]
    policies, roles, groups = {}, dict(directory.role_states), dict(directory.group_states)
    kinds = ("Role", "Group", "ManagedPolicy")
    parts: dict[str, Thing] = {kind: {} for kind in kinds}
    for logical, resource in made.items():
        parts[resource["Type"].removeprefix("AWS::IAM::")][logical] = resource["Properties"]
    for each in parts["Role"].values():
        name, path = each["RoleName"], each["Path"]
        tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        boundary = each.get("PermissionsBoundary", "")
        trust, seconds = each["AssumeRolePolicyDocument"], int(each["MaxSessionDuration"])
        roles[name] = RoleState(
            f"{HOME}:role{path}{name}", name, path, trust, tags, seconds, each["Description"], boundary=boundary
        )
    for each in parts["Group"].values():
        name, path = each["GroupName"], each["Path"]
        groups[name] = GroupState(f"{HOME}:group{path}{name}", name, path)
    for each in parts["ManagedPolicy"].values():
        name, path = each["ManagedPolicyName"], each["Path"]
        arn = f"{HOME}:policy{path}{name}"
        policies[name] = PolicyState(arn, name, path, each["PolicyDocument"], {})
        for group in each["Groups"]:
            found = groups[group if isinstance(group, str) else parts["Group"][group["Ref"]]["GroupName"]]
            groups[found.name] = GroupState(found.arn, found.name, found.path, tuple(sorted({*found.attached, arn})))
    return policies, roles, groups


def load(account: FakeAccount, made: tuple[Thing, Thing, Thing]) -> None:
    """Make the account what another tool has made of it."""
    policies, roles, groups = made
    directory = account.directory
    directory.policy_states = {each.arn: each for each in policies.values()}
    directory.role_states, directory.group_states = roles, groups
    directory.group_members |= {name: set() for name in groups}


def test_the_plan_changes_nothing_in_iam_after_terraform(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    text = exported(account, capsys, "terraform", "--format", "json")
    load(account, of_terraform(read(json.loads(text)), account))
    kinds = {change.kind for change in plan_apply(load_access("access.yaml"), account.ports).changes}
    assert kinds == {Kind.MAPPING}


def test_the_plan_adds_tags_of_policies_after_cloudformation(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    load(
        account, of_cloudformation(json.loads(exported(account, capsys, "cloudformation", "--format", "json")), account)
    )
    with pytest.raises(NotOwned, match=r"kube-iam\.dev/cluster is missing: take it over with --adopt"):
        plan_apply(load_access("access.yaml"), account.ports)
    changes = plan_apply(load_access("access.yaml"), account.ports, adopt=True).changes
    found = {(change.verb.value, change.kind) for change in changes}
    assert found == {("adopt", Kind.POLICY), ("create", Kind.MAPPING)}


def test_terraform_makes_what_apply_makes(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    text = exported(account, capsys, "terraform", "--format", "json")
    assert "$${aws:username}" in text
    made = of_terraform(read(json.loads(text)), account)
    assert made == applied(account)


def test_cloudformation_makes_what_apply_makes(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [exported(account, capsys, "cloudformation", "--format", form) for form in ("json", "yaml")]
    assert "Fn::Sub" not in texts[0]
    made = of_cloudformation(json.loads(texts[0]), account)
    assert of_cloudformation(yaml.safe_load(texts[1]), account) == made  # a reader of YAML 1.1, as CloudFormation's
    policies, roles, groups = applied(account)
    untagged = {name: PolicyState(each.arn, each.name, each.path, each.document, {}) for name, each in policies.items()}
    assert made == (untagged, roles, groups)


def run_in(folder: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    env = {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        words, cwd=folder, env=env, input=text, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_terraform_reads_the_hcl_as_the_json(
    account: FakeAccount, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Terraform itself formats and evaluates the text. Its provider for AWS is not needed for values of arguments."""
    # The registries that .ci/run installs from do not have it.
    program = shutil.which("terraform") or not_applicable("terraform is not on PATH")
    text = exported(account, capsys, "terraform")
    data = read(json.loads(exported(account, capsys, "terraform", "--format", "json")))
    folder = tmp_path / "terraform"
    folder.mkdir()
    (folder / "levels.tf").write_text(text)
    formatted = run_in(folder, program, "fmt", "-check", "-diff")
    assert (formatted.returncode, formatted.stdout) == (0, "")
    (folder / "levels.tf").unlink()
    values = re.sub(r'^(\w+) "(\w+)" "([\w-]+)" \{$', r'"\1.\2.\3" = {', text, flags=re.MULTILINE)
    values = re.sub(r"= ((?:data\.)?aws_iam_[\w.-]+)$", r'= "$${\1}"', values, flags=re.MULTILINE)
    (folder / "values.tf").write_text(f"locals {{\n  all = {{\n{values}\n  }}\n}}\n")
    shown = run_in(folder, program, "console", text="jsonencode(local.all)\n")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(json.loads(shown.stdout))
    assert {kind: len(each) for kind, each in data["resource"].items()} == {
        "aws_iam_role": 3,
        "aws_iam_policy": 5,
        "aws_iam_group": 3,
        "aws_iam_group_policy_attachment": 5,
    }
    for kind in ("resource", "data"):
        for of_type, things in data[kind].items():
            for name, wanted in things.items():
                assert plain(found.pop(f"{kind}.{of_type}.{name}")) == plain(wanted)
    assert found == {}


def plain(arguments: Thing) -> Thing:
    documents = ("policy", "assume_role_policy")
    return {key: json.loads(value) if key in documents else value for key, value in arguments.items()}


@pytest.mark.slow
@pytest.mark.parametrize("form", cells(["yaml", "json"]))
def test_cfn_lint_finds_nothing(
    form: str, account: FakeAccount, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lint = pytest.importorskip("cfnlint.api", reason="cfn-lint is missing: make venv")
    text = exported(account, capsys, "cloudformation", "--format", form)
    assert [str(each) for each in lint.lint_all(text) if each.rule.id[0] in "EW"] == []


def test_an_unknown_format_is_refused(account: FakeAccount) -> None:
    with pytest.raises(UsageError, match="terraform has no format yaml"):
        kube_iam(account, "export", "terraform", "--format", "yaml")
