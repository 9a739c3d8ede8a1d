"""Several access files of one cluster in a directory: levels are merged, and every problem names its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from access_commands import FILE, kube_iam
from access_commands import account as account
from fake_account import FakeAccount

from kube_iam.access.saved_plan import digest
from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access
from kube_iam.errors import ConfigError, CredentialsError, UsageError

HEAD = "apiVersion: kube-iam.dev/v1alpha1\nkind: ClusterAccess\n"
SHARED = """\
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
"""
ADMIN = "levels:\n  - {name: admin, bind: [{clusterRole: cluster-admin}], iam: {role: prod-admin}}\n"
VIEWER = "levels:\n  - {name: viewer, bind: [{clusterRole: view}], sessionDuration: 2h}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory whose files say together what FILE says."""
    folder = tmp_path / "access.d"
    folder.mkdir()
    (folder / "10-cluster.yaml").write_text(HEAD + SHARED)
    (folder / "20-admin.yml").write_text(HEAD + ADMIN)
    (folder / "30-viewer.yaml").write_text(HEAD + VIEWER)
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_access(folder)
    assert caught.value.path == str(folder)
    return [line.replace(f"{folder}/", "") for line in str(caught.value).splitlines()]


def test_a_directory_says_what_one_file_with_all_levels_says(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(FILE)
    one, several = load_access(tmp_path / "access.yaml"), load_access(folder)
    assert several.source == str(folder)
    assert digest(several) == digest(one)
    assert [level.name for level in several.levels] == ["admin", "viewer"]


def test_files_are_taken_in_the_order_of_their_names_and_others_are_left_out(folder: Path) -> None:
    (folder / "05-first.yaml").write_text(HEAD + "levels: [{name: first}]\n")
    (folder / ".hidden.yaml").write_text("no access file")
    (folder / "notes.txt").write_text("no access file")
    (folder / "more.yaml").mkdir()
    assert [level.name for level in load_access(folder).levels] == ["first", "admin", "viewer"]


def test_equal_settings_may_be_repeated_and_parts_of_the_cluster_be_split(folder: Path) -> None:
    (folder / "10-cluster.yaml").write_text(HEAD + SHARED + "iam: {rolePath: /people/}\n")
    (folder / "20-admin.yml").write_text(HEAD + SHARED + ADMIN)
    more = 'cluster: {name: prod}\nregion: "eu-central-1"\niam: {pathPrefix: /teams/}\nmapping: {awsAuth: {}}\n'
    (folder / "30-viewer.yaml").write_text(HEAD + more + VIEWER)
    access = load_access(folder)
    assert (access.path, access.levels[0].role_path) == ("/teams/kube-iam/prod/", "/people/")
    assert access.mapping.describe() == "ConfigMap kube-system/aws-auth"


def test_a_conflict_names_both_files_and_lines(folder: Path) -> None:
    (folder / "30-viewer.yaml").write_text(
        HEAD + 'account: "999999999999"\ncluster:\n  id: prod.example.com\n  name: other\n' + VIEWER
    )
    assert problems(folder) == [
        "30-viewer.yaml: line 3: account: differs from 10-cluster.yaml line 4 (state it in one of the two, or equally in both)",
        "30-viewer.yaml: line 6: cluster.name: differs from 10-cluster.yaml line 3 "
        "(state it in one of the two, or equally in both)",
    ]


def test_levels_that_clash_name_both_files_and_lines(folder: Path) -> None:
    (folder / "40-more.yaml").write_text(
        HEAD
        + "levels:\n  - name: Admin\n  - {name: other, iam: {role: prod-admin}}\n  - {name: x, groups: [kube-iam:viewer]}\n"
    )
    assert problems(folder) == [
        "40-more.yaml: line 4: levels[0].name: level Admin is repeated (20-admin.yml line 4) (each level once)",
        "40-more.yaml: line 5: levels[1].iam.role: the IAM role prod-admin is also level admin's (20-admin.yml line 4) "
        "(another name)",
        "40-more.yaml: line 6: levels[2]: level x has the user name and groups of level viewer (30-viewer.yaml line 4): "
        "the cluster cannot tell them apart (give it other groups)",
    ]


def test_all_problems_of_all_files_come_together(folder: Path) -> None:
    (folder / "20-admin.yml").write_text("kind: ClusterAccess\nlevels: [\n")
    (folder / "30-viewer.yaml").write_text(HEAD + "levels:\n  - {name: viewer, sessionDuration: 20h}\nlevls: []\n")
    (folder / "40-empty.yaml").write_text("# nothing\n")
    (folder / "50-bind.yaml").write_text(HEAD + "levels:\n  - {name: a, bind: [{}]}\nregion: nowhere\n")
    found = problems(folder)
    assert [line.split(":")[0] for line in found] == [
        "20-admin.yml",
        "30-viewer.yaml",
        "30-viewer.yaml",
        "40-empty.yaml",
        "50-bind.yaml",
        "50-bind.yaml",
        "50-bind.yaml",
    ]
    assert "line 4: levels[0].sessionDuration: 20h is out of range" in found[1]
    assert "levls: is not a key that is known here" in found[2]
    assert "is empty" in found[3]
    assert "takes exactly one of clusterRole, role" in found[4]


@pytest.mark.parametrize("missing", ["account", "region", "cluster", "levels"])
def test_what_no_file_states_is_missing_in_the_directory(folder: Path, missing: str) -> None:
    for path in folder.iterdir():
        kept = [line for line in path.read_text().splitlines() if not line.startswith(missing)]
        path.write_text("\n".join(line for line in kept if missing != "levels" or line[0] != " ") + "\n")
    (line,) = problems(folder)
    assert line.startswith(f"{folder}: {missing} is missing")


def test_a_missing_id_names_the_file_with_the_cluster(folder: Path) -> None:
    (folder / "10-cluster.yaml").write_text(HEAD + SHARED.replace("id: prod.example.com, ", ""))
    (line,) = problems(folder)
    assert line.startswith("10-cluster.yaml: line 3: cluster: id is missing")


def test_one_document_is_one_cluster(folder: Path) -> None:
    (folder / "90-test.yaml").write_text(HEAD + SHARED.replace("prod.example.com", "test.example.com") + "levels: []\n")
    assert "cluster.id: differs from 10-cluster.yaml line 3" in problems(folder)[0]


@pytest.mark.parametrize("name", ["none.yaml", "unreadable.yaml"])
def test_a_file_that_cannot_be_read_is_a_problem(folder: Path, name: str) -> None:
    if name == "none.yaml":
        (folder / name).symlink_to("nowhere")
    else:
        (folder / name).write_bytes(b"\xff")
    assert problems(folder)[0].startswith(f"{name}: ")


def test_a_directory_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no \*\.yaml and no \*\.yml in"):
        load_access(tmp_path)


def test_relative_paths_start_at_the_directory(folder: Path) -> None:
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (folder / "40-more.yaml").write_text(HEAD + "cluster: {certificateAuthority: ca.pem}\nmapping: {file: maps.yaml}\n")
    access = load_access(folder)
    assert access.certificate_authority == "-----BEGIN CERTIFICATE-----\n"
    assert access.mapping.path == str(folder / "maps.yaml")
    (folder / "50-more.yaml").write_text(HEAD + "cluster:\n  certificateAuthorityData: eA==\n")
    assert "50-more.yaml: line 4: cluster.certificateAuthorityData: stands beside" in problems(folder)[0]


def test_commands_take_a_directory(
    account: FakeAccount, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kube_iam(account, "validate", "-f", "access.d/") == 0
    assert capsys.readouterr().out == "access.d is valid: cluster prod.example.com, levels admin, viewer\n"
    assert kube_iam(account, "apply", "--yes", "-f", "access.d") == 0
    assert kube_iam(account, "plan", "--detailed-exitcode") == 0
    monkeypatch.setenv("KUBE_IAM_ACCESS", "access.d")
    assert kube_iam(account, "grant", "alice", "viewer") == 0
    assert kube_iam(account, "who") == 0
    assert kube_iam(account, "kubeconfig", "viewer") == 0
    (folder / "30-viewer.yaml").unlink()
    assert kube_iam(account, "apply", "--yes", "--force") == 0
    assert "prod-viewer" not in account.directory.role_states
    assert kube_iam(account, "destroy", "--yes", "--force") == 0


def test_validate_names_the_file_of_each_problem_for_programs(
    account: FakeAccount, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "30-viewer.yaml").write_text(HEAD + "levels:\n  - {nam: viewer}\n")
    assert kube_iam(account, "validate", "-f", "access.d", "-o", "json") == 1
    data = json.loads(capsys.readouterr().out)
    assert data["file"] == "access.d"
    assert {(each["file"], each["line"]) for each in data["problems"]} == {("access.d/30-viewer.yaml", 4)}


def test_messages_elsewhere_name_the_file_and_line(account: FakeAccount, folder: Path) -> None:
    account.directory.account = "999999999999"
    with pytest.raises(CredentialsError, match=r"and access\.d/10-cluster\.yaml line 4 is about account 123456789012"):
        kube_iam(account, "plan", "-f", "access.d")
    account.directory.account = "123456789012"
    (folder / "40-listed.yaml").write_text(HEAD + "levels:\n  - name: listed\n    members: [alice]\n")
    with pytest.raises(UsageError, match=r"access\.d/40-listed\.yaml, line 5, lists the members of level listed"):
        kube_iam(account, "grant", "bob", "listed", "-f", "access.d")


def test_saved_plans_of_a_directory_do_not_depend_on_lines_and_files(account: FakeAccount, folder: Path) -> None:
    (folder / "30-viewer.yaml").write_text(HEAD + "levels:\n  - name: viewer\n    members: [alice]\n")
    before = load_access(folder)
    (folder / "30-viewer.yaml").rename(folder / "35-viewer.yaml")
    (folder / "35-viewer.yaml").write_text("# moved\n" + (folder / "35-viewer.yaml").read_text())
    assert digest(load_access(folder)) == digest(before)


def test_an_empty_name_is_that_of_the_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"there is no access\.yaml"):
        run_command("kube-iam", ["validate", "-f", ""], {})


@pytest.mark.parametrize(("key", "value"), [("levels", "{}"), ("levels", ""), ("cluster", "x"), ("iam", "[]")])
def test_a_value_of_another_kind_is_one_problem(folder: Path, key: str, value: str) -> None:
    (folder / "90.yaml").write_text(f"{HEAD}{key}: {value}\n")
    with pytest.raises(ConfigError) as caught:
        load_access(folder)
    assert [(Path(each.file).name, each.line, each.key) for each in caught.value.problems] == [("90.yaml", 3, key)]
