"""Hints of errors: what a person did wrong in a file or on the command line, and the edit or command that puts it right."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from kube_iam.aws.errors import translate
from kube_iam.cli.permissions import name_permissions, permissions_of
from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access
from kube_iam.config.server import check_server_config
from kube_iam.denylist.prober import Prober
from kube_iam.denylist.status_query import StatusQuestion
from kube_iam.errors import AccessDenied, ConfigError, KubeError, Unreachable
from kube_iam.kube.context import load_context

HEAD = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod}
account: "123456789012"
region: eu-central-1
"""


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ("levels: [{name: a, sessionDuration: 4}]", "4 has no unit of time (give the unit: 4h)"),
        ("levels: [{name: a, sessionDuration: 90}]", "90 has no unit of time (give the unit: 90m)"),
        ("levels: [{name: a, sessionDuration: 3600}]", "3600 has no unit of time (give the unit: 3600s)"),
        ('levels: [{name: a, sessionDuration: "4"}]', "'4' is not a length of time (give the unit: 4h)"),
        ("levels: [{name: a, sessionDuration: 4.5}]", "4.5 has no unit of time (give the unit, such as 1h or 90m;"),
        ("levels: [{name: a, sessionDuration: 0}]", "IAM allows 1h to 12h"),
        ("levels: []", "levels: is an empty list (add an item, which begins with `- `)"),
        ("levels:", "levels: is empty (add an item, which begins with `- `)"),
        ("levels: {a: {}}", "must be a list, not a mapping of keys to values (begin each item with `- `)"),
        ("levels: [{name: a, groups: []}]", "is an empty list (add an item, which begins with `- `, or leave the key out)"),
        ("levels:\n\t- name: a", "(column 1 is a tab) (YAML wants spaces there)"),
        ("levels:\n  - name: a\n\t  groups: [x]", "(column 1 is a tab) (YAML wants spaces there)"),
    ],
)  # fmt: skip
def test_mistakes_in_access_files_come_with_the_edit(tmp_path: Path, levels: str, said: str) -> None:
    path = tmp_path / "access.yaml"
    path.write_text(f"{HEAD}{levels}\n")
    with pytest.raises(ConfigError) as raised:
        load_access(str(path))
    assert said in str(raised.value)
    assert "leave the key out" not in str(raised.value) or "groups" in levels


def warnings(tmp_path: Path, text: str, **flags: object) -> list[str]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return [str(problem) for problem in check_server_config(path, flags).warnings]


@pytest.mark.parametrize("key", ["mapRoles", "maproles", "mapUsers", "mapAccounts", "denyList", "port", "backendMode"])
def test_a_key_of_the_server_at_the_top_is_told_its_place(tmp_path: Path, key: str) -> None:
    (said,) = warnings(tmp_path, f"clusterID: x\n{key}: []\nserver: {{}}\n")
    assert said.startswith(f"line 2: {key}: ")
    assert "(it belongs below `server:`, indented)" in said


def test_a_key_of_the_top_below_server_is_told_its_place(tmp_path: Path) -> None:
    (said,) = warnings(tmp_path, "clusterID: x\nserver:\n  defaultRole: r\n")
    assert "(it belongs at the top of the file, beside `server:`)" in said


@pytest.mark.parametrize(
    ("flags", "partition", "warned"),
    [({}, "aws-cn", True), ({}, "aws", False), ({"server.partition": "aws-cn"}, "aws-cn", False),
     ({"server.partition": "aws-cn"}, "aws", True)],
)  # fmt: skip
def test_entries_of_another_partition_are_reported(
    tmp_path: Path, flags: dict[str, object], partition: str, warned: bool
) -> None:
    text = (
        f"clusterID: x\nserver:\n  mapRoles: [{{RoleARN: 'arn:{partition}:iam::123456789012:role/a', username: a}}]\n"
        f"  mapUsers: [{{userarn: 'arn:{partition}:iam::123456789012:user/b', username: b}}]\n"
    )
    path = tmp_path / "config.yaml"
    path.write_text(text)
    said = [str(problem) for problem in check_server_config(path, flags).warnings if "partition" in str(problem)]
    assert len(said) == (2 if warned else 0)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("AWSReservedSSO_Admin", "Admin"),
        ("aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin", "Admin"),
        ("AWSReservedSSO_Admin_0123", "Admin_0123"),
        ("awsreservedsso_ReadOnly", "ReadOnly"),
        ("AWSReservedSSO_Admin_0123456789abcdef", ""),
        ("MyAWSReservedSSO_Admin", ""),
    ],
)
def test_a_permission_sets_role_without_its_suffix_is_reported(tmp_path: Path, role: str, name: str) -> None:
    entry = f"{{rolearn: 'arn:aws:iam::123456789012:role/{role}', username: a}}"
    said = [
        each
        for each in warnings(tmp_path, f"clusterID: x\nserver:\n  mapRoles: [{entry}]\n")
        if "permission set's role" in each
    ]
    assert len(said) == bool(name)
    if name:
        assert f"in place of rolearn: sso: {{permissionSetName: {name}, accountID: '123456789012'}}" in said[0]


def test_an_unknown_context_lists_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "config"
    entries = "".join(f"- {{name: c{number}, context: {{cluster: c}}}}\n" for number in range(30))
    path.write_text(f"contexts:\n- {{name: prod, context: {{cluster: c}}}}\n{entries}")
    with pytest.raises(KubeError) as raised:
        load_context(str(path), "prd", {})
    assert raised.value.hint.startswith("did you mean 'prod'? contexts: c0, c1, ")
    assert raised.value.hint.endswith(" and 11 more")
    with pytest.raises(KubeError, match="has no current context") as raised:
        load_context(str(path), "", {})
    assert "contexts: c0" in raised.value.hint


def client_error(code: str, operation: str, message: str = "words") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("operation", "command"),
    [
        ("DeleteRole", "aws iam list-role-policies"),
        ("DeleteGroup", "aws iam list-group-policies"),
        ("DeletePolicy", "aws iam list-entities-for-policy"),
    ],
)
def test_a_delete_conflict_says_what_to_look_for(operation: str, command: str) -> None:
    error = translate(client_error("DeleteConflict", operation, "must delete policies first"), "delete it")
    assert command in error.hint
    assert "goes on where it stopped" not in error.hint


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("sts.eu-wset-1.amazonaws.com", "eu-wset-1 is no region that this version knows: did you mean 'eu-west-1'?"),
        ("sts-fips.us-eats-2.amazonaws.com", "did you mean 'us-east-2'?"),
        ("sts.cn-nroth-1.amazonaws.com.cn", "did you mean 'cn-north-1'?"),
        ("sts.eu-west-1.amazonaws.com", "check the network and HTTPS_PROXY"),
        ("iam.amazonaws.com", "check the network and HTTPS_PROXY"),
    ],
)
def test_a_region_that_does_not_exist_gets_a_near_match(host: str, said: str) -> None:
    error = translate(EndpointConnectionError(endpoint_url=f"https://{host}/"), "ask AWS who you are")
    assert said in error.hint
    assert ("no region" in error.hint) == ("did you mean" in said)


class AnsweringApi:
    """An API server whose TokenReviews have that `status.error`."""

    server = "https://api.example.com"

    def __init__(self, error: str) -> None:
        self._error = error

    def at(self, _url: str) -> Any:
        return self

    def close(self) -> None:
        """There is nothing to close."""

    def call(self, _doing: str) -> Any:
        from contextlib import nullcontext
        from types import SimpleNamespace

        review = SimpleNamespace(status=SimpleNamespace(error=self._error, authenticated=False, user=None))
        return nullcontext(SimpleNamespace(create=lambda _: review))


SECRET = "k8s-aws-v1.c2VjcmV0"
POST = f'Post "https://127.0.0.1:21362/authenticate?timeout=30s&t={SECRET}": '


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (POST + "dial tcp 127.0.0.1:21362: connect: connection refused", Unreachable, "nothing answers at its address"),
        (POST + "EOF", Unreachable, "nothing answers"),
        (POST + "tls: failed to verify certificate: x509: certificate signed by unknown authority", Unreachable,
         "does not trust the server's certificate"),
        (POST + "x509: certificate has expired or is not yet valid", Unreachable, "has expired, or is not valid yet"),
        (POST + "context deadline exceeded", Unreachable, "does not answer in time"),
        ("", KubeError, "no kube-iam server with a deny list answers"),
        ("invalid bearer token", KubeError, "no kube-iam server with a deny list answers"),
    ],
)  # fmt: skip
def test_a_webhook_that_cannot_be_asked_is_told_from_one_without_a_deny_list(
    error: str, kind: type[Exception], said: str
) -> None:
    api: Any = AnsweringApi(f"[invalid bearer token, {error}]" if error else "")
    with pytest.raises(kind, match=said) as raised:
        Prober(api).ask("", StatusQuestion("0" * 16, "denial").denial)
    assert SECRET not in str(raised.value)


def test_a_missing_permission_comes_with_all_that_the_command_needs() -> None:
    for name in ("plan", "drift", "apply", "destroy"):
        error = AccessDenied("cannot list groups", "the caller needs the permission iam:ListGroups")
        name_permissions(error, name)
        for action in ("iam:ListGroups", "iam:ListPolicies", "iam:GetRole", "sts:GetCallerIdentity"):
            assert action in error.hint
        assert ("iam:CreateRole" in error.hint) == (name == "apply")


def test_other_denials_stay_as_they_are() -> None:
    error = AccessDenied("no", "a policy explicitly denies iam:ListGroups to this caller")
    name_permissions(error, "plan")
    assert error.hint == "a policy explicitly denies iam:ListGroups to this caller"


def test_commands_ask_for_permissions_that_exist() -> None:
    assert "iam:PutUserPolicy" in permissions_of("grant")
    assert "iam:RemoveUserFromGroup" in permissions_of("revoke")
    assert not any("Put" in action or "Create" in action for action in permissions_of("who") + permissions_of("plan"))


def test_a_role_that_may_not_exist_is_named_as_a_cause() -> None:
    from kube_iam.aws.assume_role import _refused

    error = _refused(
        client_error("AccessDenied", "AssumeRole"), "arn:aws:iam::1:role/x", "alice", "arn:aws:iam::1:user/a"
    )
    assert "a role that does not exist" in error.hint


def test_help_of_commands_with_permissions_still_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("kube-iam", ["plan", "--help"], {}) == 0
    assert "Show what apply would change" in capsys.readouterr().out
