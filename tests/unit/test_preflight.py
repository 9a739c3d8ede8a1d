"""A plan names what the cluster would refuse, and `apply` changes nothing then."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from access_commands import kube_iam
from fake_account import FakeAccount, FakeCluster, FakeStore
from levels_for_tests import ADMIN, NODES, VIEWER, access, level, run
from prepared_session import Terminal

from kube_iam.access.levels import Bind, ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry, MappingSource
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import BindingState, Ports, Preflight, Subject
from kube_iam.errors import (
    AccessDenied,
    ConfigError,
    Guarded,
    KubeError,
    KubeIamError,
    NotFound,
    Problem,
    Throttled,
    Unreachable,
    WouldFail,
)
from kube_iam.kube.mapping_source import read_source
from kube_iam.kube.mapping_store import make_store

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}]}
  - {name: viewer, bind: [{clusterRole: view, namespaces: [shop]}]}
"""


class DryCluster(FakeCluster):
    """Dry runs of a fake cluster: they refuse what `refused` names, by namespace or name of the role, and change nothing."""

    def __init__(self, account: FakeAccount) -> None:
        super().__init__(account.world)
        self.refused: dict[str, KubeIamError] = {}

    def apply_binding(self, binding: BindingState) -> None:
        for word in (binding.namespace, binding.role_name):
            if word in self.refused:
                raise self.refused[word]

    def delete_binding(self, namespace: str, name: str) -> None:
        if "delete" in self.refused:
            raise self.refused["delete"]


class DryStore(FakeStore):
    """Dry runs of a fake mapping."""

    def __init__(self, account: FakeAccount) -> None:
        super().__init__(account.world)
        self.error: KubeIamError | None = None

    def put(self, entry: MappingEntry) -> None:
        if self.error:
            raise self.error

    remove = put


class CheckedAccount(FakeAccount):
    """A fake account whose plans are checked in advance."""

    def __init__(self) -> None:
        super().__init__((NODES,))
        self.dry, self.dry_store, self.source = DryCluster(self), DryStore(self), MappingSource("prod.example.com")
        preflight = Preflight(self.dry, self.dry_store, lambda: self.source)
        self.ports = Ports(self.directory, self.cluster, self.store, preflight)


NO_NAMESPACE = NotFound("there is no namespace blog", "create the namespace")
ESCALATION = KubeError("forbids it: attempting to grant RBAC permissions", "use an administrator's context")


@pytest.mark.parametrize(
    ("bind", "error"),
    [(Bind("view", "", ("blog",)), NO_NAMESPACE), (Bind("edit"), ESCALATION), (Bind("", "x", ("blog",)), NO_NAMESPACE)],
)
def test_a_refused_binding_is_named_before_anything_changes(bind: Bind, error: KubeIamError) -> None:
    account = CheckedAccount()
    run(account, plan_apply(access(), account.ports))
    account.dry.refused = {bind.namespaces[0] if bind.namespaces else bind.cluster_role: error}
    before = account.state()
    plan = plan_apply(access(ADMIN, level("ops", bind)), account.ports)
    assert len(plan.failures) == 1
    assert plan.failures[0].startswith("create binding ")
    assert plan.failures[0].endswith(str(error))
    assert plan.as_data()["wouldFail"] == list(plan.failures)
    assert account.state() == before


def test_every_refused_change_is_named() -> None:
    account = CheckedAccount()
    account.dry.refused = {"edit": ESCALATION, "view": ESCALATION}
    account.dry_store.error = KubeError("cannot change ConfigMap kube-system/aws-iam-authenticator: forbidden")
    failures = plan_apply(access(), account.ports).failures
    assert sorted(failure.split()[1] for failure in failures) == ["binding"] * 4 + ["mapping"] * 3


def test_a_refused_removal_is_named_too() -> None:
    account = CheckedAccount()
    run(account, plan_apply(access(), account.ports))
    account.dry.refused = {"delete": KubeError("this user needs to be allowed to delete rolebindings")}
    assert plan_apply(access(ADMIN, VIEWER), account.ports).failures
    assert len(plan_destroy(access(), account.ports).failures) == 5


def test_what_takes_no_dry_run_is_a_warning() -> None:
    account = CheckedAccount()
    text = 'answers: admission webhook "x" does not support dry run'
    account.dry.refused = {"view": KubeError(text)}
    plan = plan_apply(access(VIEWER), account.ports)
    assert plan.failures == ()
    assert any(warning.endswith(text) for warning in plan.warnings)


def test_an_api_server_that_cannot_be_asked_is_no_refusal() -> None:
    account = CheckedAccount()
    account.dry.refused = {"view": Unreachable("does not answer in time")}
    with pytest.raises(Unreachable):
        plan_apply(access(VIEWER), account.ports)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (MappingSource("dev.example.com"), "is dev.example.com, and cluster.id in access.yaml is prod.example.com"),
        (MappingSource("Prod.example.com"), "is Prod.example.com, and"),
        (
            MappingSource(missing="there is no ConfigMap kube-system/x"),
            "there is no ConfigMap kube-system/x, and a server",
        ),
    ],
)
def test_a_mapping_that_no_server_of_the_cluster_reads_needs_force(source: MappingSource, said: str) -> None:
    account = CheckedAccount()
    account.source = source
    (guard,) = plan_apply(access(), account.ports).guards
    assert said in guard


@pytest.mark.parametrize("source", [MappingSource("prod.example.com"), MappingSource()])
def test_a_mapping_of_the_same_cluster_id_or_of_none_needs_no_force(source: MappingSource) -> None:
    account = CheckedAccount()
    account.source = source
    assert plan_apply(access(), account.ports).guards == ()


def test_another_cluster_id_is_a_warning_where_no_mapping_entry_is_written() -> None:
    account = CheckedAccount()
    run(account, plan_apply(access(), account.ports))
    assert plan_apply(access(), account.ports).warnings == ()
    account.source = MappingSource("dev.example.com")
    for wanted in (access(), access(ADMIN, VIEWER)):
        plan = plan_apply(wanted, account.ports)
        assert plan.guards == ()
        assert any("a server of one refuses tokens for the other" in warning for warning in plan.warnings)
    assert plan_destroy(access(), account.ports).guards == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clusterID: prod.example.com\nserver: {}\n", MappingSource("prod.example.com")),
        ("ClusterId: 'prod.example.com'\n", MappingSource("prod.example.com")),
        ("server:\n  mapRoles: []\n", MappingSource()),
        ("", MappingSource(missing="FILE is empty or missing")),
        ("# nothing\n", MappingSource(missing="FILE is empty or missing")),
        (None, MappingSource(missing="there is no file FILE")),
    ],
)
def test_the_source_of_the_mapping_is_read(tmp_path: Path, text: str | None, expected: MappingSource) -> None:
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    found = read_source(MappingTarget(TargetKind.FILE, "", "", "", path=str(path)), None)
    assert found == replace(expected, missing=expected.missing.replace("FILE", str(path)))


def file_mapping(path: Path) -> ClusterAccess:
    return access(level("admin"), mapping=MappingTarget(TargetKind.FILE, "", "", "", path=str(path)))


@pytest.mark.parametrize("writable", [True, False])
def test_a_mapping_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: writable)
    path = tmp_path / "new" / "config.yaml"
    file = file_mapping(path)
    store = make_store(file, None, dry_run=True)
    ports = Ports(FakeAccount().directory, None, FakeAccount().store, Preflight(None, store, MappingSource))
    failures = plan_apply(file, ports).failures
    assert [f"cannot write {path}: {tmp_path} is not" in failure for failure in failures] == [True] * (not writable)
    assert not path.parent.exists()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CheckedAccount:
    account = CheckedAccount()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "access.yaml").write_text(FILE)
    return account


def test_apply_refuses_a_plan_that_would_fail_even_with_force(
    account: CheckedAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.dry.refused = {"shop": NotFound("there is no namespace shop", "create the namespace")}
    assert kube_iam(account, "plan") == 0
    assert "would fail: create binding shop/kube-iam:viewer:view: there is no namespace shop" in capsys.readouterr().out
    for arguments in (("apply", "--yes"), ("apply", "--yes", "--force")):
        with pytest.raises(WouldFail, match="no namespace shop: create the namespace"):
            kube_iam(account, *arguments)
    assert account.world.writes == 0


def test_apply_checks_again_after_the_question(account: CheckedAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **__: object) -> bool:
        account.dry.refused = {"shop": NotFound("there is no namespace shop")}
        return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.confirm", answer)
    with pytest.raises(WouldFail, match="no namespace shop"):
        kube_iam(account, "apply")
    assert account.world.writes == 0


def test_a_missing_mapping_is_created_with_force_only(account: CheckedAccount) -> None:
    account.source = MappingSource(missing="there is no ConfigMap kube-system/aws-iam-authenticator")
    with pytest.raises(Guarded, match=r"check `mapping` in access\.yaml"):
        kube_iam(account, "apply", "--yes")
    assert account.world.writes == 0
    assert kube_iam(account, "apply", "--yes", "--force") == 0


AGAIN = "run the same command again"


def _forbidden() -> KubeError:
    class Answer(Exception):
        class response:  # noqa: N801
            status_code = 403

    error = KubeError("https://api.prod.example.com forbids it")
    error.__cause__ = Answer()
    return error


@pytest.mark.parametrize(
    ("method", "make", "said", "offered"),
    [
        ("apply_binding", lambda: Unreachable("does not answer"), AGAIN, True),
        ("attach", lambda: Throttled("throttled"), AGAIN, True),
        ("attach", lambda: AccessDenied("iam:AttachGroupPolicy"), "give these AWS credentials that permission", True),
        ("apply_binding", _forbidden, "with a --context that may", False),
        ("put", lambda: ConfigError("x", [Problem("", "is not YAML")]), "put that right first", False),
        ("apply_binding", lambda: KubeError("answers: invalid"), "put that right first", False),
    ],
)
def test_a_repetition_is_offered_only_where_it_can_help(
    account: CheckedAccount,
    capsys: pytest.CaptureFixture[str],
    method: str,
    make: Callable[[], KubeIamError],
    said: str,
    offered: bool,
) -> None:
    account.world.errors[method] = make()
    with pytest.raises(KubeIamError):
        kube_iam(account, "apply", "--yes")
    err = capsys.readouterr().err
    assert said in err
    assert (AGAIN in err) is offered
    assert "changes are done; stopped at: " in err


def test_a_caller_who_gives_up_rights_sees_both_reasons(account: CheckedAccount) -> None:
    assert kube_iam(account, "apply", "--yes") == 0
    account.cluster.subject = Subject("awsiam:alice", ("kube-iam:admin",), "arn:aws:iam::123456789012:role/prod-admin")
    Path("access.yaml").write_text(FILE.replace("clusterRole: cluster-admin", "clusterRole: edit"))
    with pytest.raises(Guarded, match="you have ClusterRole cluster-admin in the whole cluster"):
        kube_iam(account, "apply", "--yes")
    assert kube_iam(account, "apply", "--yes", "--force") == 0
