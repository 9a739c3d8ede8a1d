"""`add user` and `add role` up to the cluster: what would be written, and what is refused before anything is."""

from __future__ import annotations

import sys
from io import StringIO

import pytest
from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from prepared_session import PreparedSession
from ruamel.yaml import YAML

from kube_iam.cli.main import main
from kube_iam.errors import ConfigError, Conflict
from kube_iam.kube.aws_auth import NewEntry, appended, new_role, new_sso_role, new_user

MAP = "ConfigMap kube-system/aws-auth"
NODES = """\
# nodes
- groups: ["system:bootstrappers"]   # careful
  rolearn: arn:aws:iam::111122223333:role/Node
  username: system:node:{{EC2PrivateDNSName}}
- sso:
    permissionSetName: Admin
    accountID: '111122223333'
  username: admin
  groups: []
"""


def test_the_entry_goes_behind_the_others_and_nothing_else_moves() -> None:
    entry = new_role("arn:aws:iam::012345678901:role/team/Dev", "dev:{{SessionNameRaw}}", ["dev", "view"])
    text = appended(NODES, entry, MAP)
    assert text.startswith(NODES)
    assert YAML(typ="safe").load(text)[-1] == {
        "rolearn": "arn:aws:iam::012345678901:role/Dev",
        "username": "dev:{{SessionNameRaw}}",
        "groups": ["dev", "view"],
    }
    assert YAML(typ="safe").load(appended("", entry, MAP))[0] == YAML(typ="safe").load(text)[-1]


@pytest.mark.parametrize(
    "entry",
    [
        new_role("arn:aws:iam::111122223333:role/Node", "x", ["g"]),
        new_role("arn:aws:iam::111122223333:role/some/path/NODE", "x", ["g"]),
        new_sso_role({"permissionSetName": "admin", "accountID": "111122223333", "partition": "aws"}, "x", ["g"]),
    ],
)
def test_a_second_entry_for_the_same_role_is_an_error(entry: NewEntry) -> None:
    with pytest.raises(Conflict, match="already"):
        appended(NODES, entry, MAP)


@pytest.mark.parametrize(
    "settings",
    [
        {"permissionSetName": "Admin", "accountID": "999922223333"},
        {"permissionSetName": "Admin", "accountID": "111122223333", "partition": "aws-cn"},
        {"PermissionSetName": "Admin_ReadOnly", "accountid": "111122223333"},
    ],
)
def test_another_permission_set_is_another_entry(settings: dict[str, str]) -> None:
    added = YAML(typ="safe").load(appended(NODES, new_sso_role(settings, "x", ["g"]), MAP))[-1]["sso"]
    assert list(added) == ["permissionSetName", "accountID", "partition"][: len(settings)]
    assert [str(value) for value in added.values()] == list(settings.values())


def test_a_second_entry_for_the_same_user_is_an_error() -> None:
    entry = new_user("arn:aws:iam::012345678901:user/team/Alice", "alice", ["g"])
    text = appended("", entry, MAP)
    with pytest.raises(Conflict):
        appended(text, new_user("arn:aws:iam::012345678901:user/team/alice", "b", ["g"]), MAP)
    assert appended(text, new_user("arn:aws:iam::012345678901:user/Alice", "b", ["g"]), MAP) != text


@pytest.mark.parametrize("text", ["a: 1\n", "- [\n", "text"])
def test_a_list_that_cannot_be_read_is_not_written(text: str) -> None:
    with pytest.raises(ConfigError, match="aws-auth"):
        appended(text, new_user("arn:aws:iam::012345678901:user/alice", "alice", ["g"]), MAP)


USER = ["--userarn", "arn:aws:iam::012345678901:user/alice", "--username", "alice", "--groups", "g"]
ROLE = ["--rolearn", "arn:aws:iam::012345678901:role/r", "--username", "alice", "--groups", "g"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["user"], "--userarn, --username, --groups"),
        (["user", *USER[:4]], "--groups"),
        (["user", *USER[:4], "--groups", ","], "--groups"),
        (["user", *USER, "--userarn", "alice"], "userarn"),
        (["user", *USER, "--username", "{{Sesion}}", "--userarn", "x"], "Sesion"),
        (["user", *USER, "--username", "system:{{SessionName}}"], "system:"),
        (["role", *ROLE[2:]], "--rolearn or --sso"),
        (["role", *ROLE, "--sso", "permissionSetName=A,accountID=012345678901"], "only one"),
        (["role", *ROLE[2:], "--sso", "permissionSetName=A"], "accountID"),
        (["role", *ROLE[2:], "--sso", "permissionSetName=A,accountID=12"], "12-digit"),
        (["role", *ROLE[2:], "--sso", "permissionSetName=A,accountID=012345678901,partition=moon"], "moon"),
        (["role", *ROLE[2:], "--sso", "name=A,accountID=012345678901"], "permissionSetName"),
        (["role", *ROLE[2:], "--sso", "A"], "KEY=VALUE"),
        (["role", *ROLE, "--prompt=perhaps"], "--prompt"),
        (["group"], "group"),
        (["user", *USER, "--kubeconfig", "/nonexistent"], "/nonexistent"),
    ],
)
def test_mistakes_are_told_before_anything_is_changed(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kube-iam", "add", *arguments])
    assert main() == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err


@pytest.mark.parametrize(
    ("answer", "code", "is_added"),
    [
        *((answer, 0, True) for answer in ("y\n", "Y\n", "yes\n", " YES \r\n", "y", "y\nn\n")),
        *((answer, 0, False) for answer in ("n\n", "\n", "no\n", "yess\n", "j\n", "n\ny\n", "true\n", "\ny\n")),
        *((answer, 1, False) for answer in ("", None)),
    ],
)
def test_the_answer_is_one_line_of_standard_input(
    answer: str | None,
    code: int,
    is_added: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    memory = ApiInMemory()
    memory.put_config_map("kube-system/aws-auth", {"mapRoles": NODES})
    monkeypatch.setattr(sys, "argv", ["kube-iam", "add", "user", *USER, "--master-url", "https://x:7"])
    monkeypatch.setattr(sys, "stdin", StringIO(answer) if answer is not None else None)
    assert main(PreparedSession(FakeAccount(), memory.api())) == code
    out, err = capsys.readouterr()
    assert "at https://x:7 would get:\n- userarn: arn:aws:iam::012345678901:user/alice\n" in err
    assert "Add it? [y/N]: " in err
    added = "mapUsers" in memory.data("kube-system/aws-auth")
    assert (added, out.startswith("added to mapUsers")) == (is_added, is_added)
    assert {host for host, _ in memory.asked} <= {"x:7"}
    assert ("no answer came on standard input" in err and "--prompt=false" in err) == (code == 1)


@pytest.mark.parametrize("written", ["b\\/c", "\\ud83d\\ude00"])
@pytest.mark.parametrize("flags", [["--prompt=false"], ["--dry-run"]])
def test_a_key_with_an_escape_that_eks_refuses_gets_a_warning(
    written: str, flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'[\n{{"userarn": "arn:aws:iam::111122223333:user/a", "username": "{written}"}}]'
    memory = ApiInMemory()
    memory.put_config_map("kube-system/aws-auth", {"mapUsers": text, "mapRoles": "[]"})
    monkeypatch.setattr(sys, "argv", ["kube-iam", "add", "user", *USER, *flags])
    assert main(PreparedSession(FakeAccount(), memory.api())) == 0
    out, err = capsys.readouterr()
    assert "added to mapUsers" in out
    assert ("alice" in memory.data("kube-system/aws-auth")["mapUsers"]) == (flags != ["--dry-run"])
    assert err.count("warning: ") == 1
    assert "line 2: mapUsers: has the escape" in err
    assert "EKS drops the whole key" in err
    monkeypatch.setattr(sys, "argv", ["kube-iam", "add", "role", *ROLE, *flags])
    assert main(PreparedSession(FakeAccount(), memory.api())) == 0
    assert "warning" not in capsys.readouterr().err
