"""`revoke` of the caller needs --force where it takes access from the caller."""

from dataclasses import replace
from pathlib import Path

import pytest
from access_commands import kube_iam
from fake_account import FakeAccount
from foreign_objects import TEAM, add_group
from levels_for_tests import ADMIN, EDITOR, VIEWER, access, level, run

from kube_iam.access.guards import callers_in_aws, callers_in_cluster
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import Bind, Level, Method
from kube_iam.access.own_access import lost_access
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Subject
from kube_iam.errors import Guarded, KubeError, KubeIamError

ARN = "arn:aws:iam::123456789012:role/prod-admin"
ALICE = Subject("awsiam:alice", ("kube-iam:admin", "system:authenticated"), ARN)
USERS = ("bob", "alice")


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (ALICE, ("alice",)),
        (replace(ALICE, canonical_arn="arn:aws:iam::123456789012:role/PROD-admin"), ("alice",)),
        (replace(ALICE, canonical_arn=""), ("alice",)),
        (Subject("awsiam:alice", (), "arn:aws:iam::123456789012:user/people/alice"), ("alice",)),
        (Subject("x", (), "arn:aws:iam::999999999999:user/alice"), ()),
        (Subject("awsiam:alicia", ("kube-iam:admin",), ARN), ()),
        (Subject("awsiam:alice", ("other",), ""), ()),
        (Subject("awsiam:alice", ("kube-iam:admin",), "arn:aws:iam::123456789012:role/other"), ()),
        (Subject("kubernetes-admin", ("system:masters",)), ()),
        (None, None),
    ],
)
def test_the_cluster_says_which_user_the_caller_is(subject: Subject | None, expected: tuple[str, ...] | None) -> None:
    assert callers_in_cluster(access(), USERS, subject) == expected


@pytest.mark.parametrize(
    ("template", "shown", "expected"),
    [
        ("{{SessionName}}", "alice-example.com", ("alice@example.com",)),
        ("{{AccountID}}:{{SessionNameRaw}}", "123456789012:alice@example.com", ("alice@example.com",)),
        ("{{SessionNameRaw}}-{{AccessKeyID}}", "alice@example.com-AKIA1", ("alice@example.com",)),
        ("administrator", "administrator", None),
        # The mapping of the cluster still has the user name of an earlier file.
        ("awsiam:{{SessionNameRaw}}", "iam:alice@example.com", None),
        ("awsiam:{{SessionNameRaw}}", "awsiam:carol", ()),
    ],
)
def test_user_names_of_other_templates_are_recognized(
    template: str, shown: str, expected: tuple[str, ...] | None
) -> None:
    file = access(replace(ADMIN, username=template))
    assert callers_in_cluster(file, ("alice@example.com", "bob"), replace(ALICE, username=shown)) == expected


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:iam::123456789012:user/alice", ("alice",)),
        ("arn:aws:iam::123456789012:user/people/ALICE", ("alice",)),
        ("arn:aws:iam::999999999999:user/alice", ()),
        ("arn:aws:iam::123456789012:role/alice", ()),
        ("", ()),
    ],
)
def test_aws_says_which_user_the_caller_is(arn: str, expected: tuple[str, ...]) -> None:
    assert callers_in_aws(access(), USERS, arn) == expected


SAME = level("deputy", Bind("cluster-admin"))


@pytest.mark.parametrize(
    ("revoked", "others", "lost"),
    [
        (ADMIN, (), True),
        (ADMIN, (VIEWER,), True),
        (ADMIN, (SAME,), False),
        (ADMIN, (replace(SAME, groups=("system:masters",), bind=()),), False),
        (ADMIN, (replace(SAME, groups=("kube-iam:admin",), bind=()),), False),
        (VIEWER, (EDITOR,), False),
        (VIEWER, (ADMIN,), False),
        (EDITOR, (VIEWER,), True),
        (EDITOR, (level("writer", Bind("edit"), Bind("view")),), False),
        (EDITOR, (level("writer", Bind("edit", "", ("shop",)), Bind("view")),), True),
        (replace(VIEWER, bind=()), (ADMIN,), True),
    ],
)
def test_access_is_lost_unless_other_levels_of_the_user_give_as_much(
    revoked: Level, others: tuple[Level, ...], lost: bool
) -> None:
    account = FakeAccount()
    file = access(revoked, *others)
    run(account, plan_apply(file, account.ports))
    for each in file.levels:
        account.directory.add_member(each.group_name, "alice")
    assert bool(lost_access(LevelReader(file, account.directory), revoked, "alice")) is lost
    assert lost_access(LevelReader(file, account.directory), revoked, "bob") == ""


def test_temporary_access_that_the_caller_is_signed_in_with_is_lost_too() -> None:
    account = FakeAccount()
    run(account, plan_apply(access(), account.ports))
    reader = LevelReader(access(), account.directory)
    assert lost_access(reader, ADMIN, "alice", ALICE)
    assert not lost_access(reader, VIEWER, "alice", ALICE)


FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}]}
  - {name: viewer, bind: [{clusterRole: view}]}
"""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAccount:
    account = FakeAccount()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "access.yaml").write_text(FILE)
    kube_iam(account, "apply", "--yes")
    kube_iam(account, "grant", "alice", "bob", "admin")
    account.cluster.subject = ALICE
    account.world.writes = 0
    return account


@pytest.mark.parametrize("arguments", [("alice",), ("bob", "alice"), ("alice", "--now")])
def test_revoking_oneself_needs_force(account: FakeAccount, arguments: tuple[str, ...]) -> None:
    *users, last = arguments
    order = (*users, last, "admin") if not last.startswith("--") else (*users, "admin", last)
    with pytest.raises(Guarded, match="you are alice, and no other level that you are in gives what level admin gives"):
        kube_iam(account, "revoke", *order)
    assert account.world.writes == 0
    assert account.directory.group_members["prod-admin"] == {"alice", "bob"}


def test_revoking_oneself_with_force_is_done(account: FakeAccount) -> None:
    assert kube_iam(account, "revoke", "alice", "admin", "--force") == 0
    assert account.directory.group_members["prod-admin"] == {"bob"}


def test_revoking_others_needs_no_force(account: FakeAccount) -> None:
    assert kube_iam(account, "revoke", "bob", "admin") == 0
    assert account.directory.group_members["prod-admin"] == {"alice"}


def test_a_dry_run_says_that_force_is_needed(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(account, "revoke", "alice", "admin", "--dry-run") == 0
    assert "needs --force: you are alice" in capsys.readouterr().err


def test_a_level_by_group_is_guarded_as_well(account: FakeAccount) -> None:
    Path("access.yaml").write_text(FILE.replace("{name: admin,", "{name: admin, method: group,"))
    account.cluster.subject = Subject("awsiam:alice", ("kube-iam:admin",), "arn:aws:iam::123456789012:user/alice")
    with pytest.raises(Guarded):
        kube_iam(account, "revoke", "alice", "admin")


def test_without_the_cluster_aws_decides(account: FakeAccount) -> None:
    error = KubeError("no cluster")
    with pytest.raises(KubeIamError, match="the mapping was not looked at: no cluster"):
        kube_iam(account, "revoke", "bob", "admin", unreachable=error)
    assert account.directory.group_members["prod-admin"] == {"alice"}
    account.directory.caller_arn = "arn:aws:iam::123456789012:user/alice"
    with pytest.raises(Guarded):
        kube_iam(account, "revoke", "alice", "admin", unreachable=error)


def test_a_user_name_without_a_name_leaves_the_decision_to_aws(account: FakeAccount) -> None:
    Path("access.yaml").write_text(FILE.replace("{name: admin,", "{name: admin, username: boss,"))
    account.cluster.subject = replace(ALICE, username="boss")
    account.directory.caller_arn = "arn:aws:iam::123456789012:user/alice"
    with pytest.raises(Guarded):
        kube_iam(account, "revoke", "alice", "admin")
    assert kube_iam(account, "revoke", "bob", "admin") == 0


def test_methods_differ_in_what_the_cluster_shows() -> None:
    by_group = access(replace(ADMIN, method=Method.GROUP, username="awsiam:{{UserName}}"))
    assert callers_in_cluster(by_group, USERS, ALICE) == ()


def test_levels_that_share_an_existing_group_are_lost_together() -> None:
    account = FakeAccount()
    add_group(account, "alice")
    admin, viewer = (replace(each, group_name=TEAM, existing_group=True) for each in (ADMIN, VIEWER))
    reading = level("reading", Bind("view"))
    file = access(admin, viewer, reading)
    run(account, plan_apply(file, account.ports))
    account.directory.group_members["prod-reading"] = {"alice"}
    reader = LevelReader(file, account.directory)
    said = "you are alice, and no other level that you are in gives what level admin gives"
    assert lost_access(reader, admin, "alice") == said
    assert lost_access(reader, viewer, "alice") == f"{said}, whose group platform-team you would leave"
    assert lost_access(reader, reading, "alice") == ""
