"""`import`: an access file for each mapping of the corpus, whose plan changes nothing. The cluster is in memory."""

from __future__ import annotations

import base64
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from access_commands import account as account
from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from prepared_session import PreparedSession

from kube_iam.access.levels import ClusterAccess, Method, TargetKind
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Ports, RoleState
from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access
from kube_iam.errors import ConfigError, NotFound, NotOwned, UsageError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.mapping_store import make_store

CORPUS = Path(__file__).parents[1] / "corpus" / "mappings"
ACCOUNT = "111122223333"
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n"
AUTHORITY = {"certificate-authority-data": base64.b64encode(PEM.encode()).decode()}
OBJECTS = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings"
URL = "https://api.prod.example.com"
BROKEN, NODES_ONLY = "17-broken-indent", "08-nodes-windows-fargate-hybrid"
LEVELS = {
    "01-eksctl-dumped": ["payments-admin"],
    "02-terraform-yamlencode": ["payments-dev"],
    "03-terraform-template-mixed": ["payments-admin"],
    "04-escaped-string": ["payments-dev"],
    "05-cdk-json": ["payments-admin"],
    "06-hand-comments-languages": ["payments-admin", "payments-dev"],
    "07-helm-rendered-trailing-spaces": ["payments-admin"],
    "09-sso-and-paths": ["AdministratorAccess", "Developer", "payments-codebuild"],
    "10-flow-one-line": ["payments-admin", "payments-dev"],
    "11-folded-and-indents": ["payments-admin"],
    "12-kops-documented": ["KubernetesAdmin"],
    "13-authenticator-mixed-case": ["payments-admin", "payments-dev", "payments-read"],
    "14-crlf": ["payments-admin"],
    "16-accounts-numbers": ["payments-night"],
    "18-anchors-and-document-marks": ["payments-admin"],
}


class Session(PreparedSession):
    """A session whose mapping is the real one, in the API server in memory."""

    def __init__(self, account: FakeAccount, kube: KubeApi) -> None:
        super().__init__(account, kube)
        self._account = account
        del self.__dict__["ports"]

    @cached_property
    def ports(self) -> Ports:
        return ports(self.access, self._account, self.kube)


def ports(access: ClusterAccess, account: FakeAccount, kube: KubeApi) -> Ports:
    return Ports(account.directory, account.cluster, make_store(access, kube))


@pytest.fixture(autouse=True)
def _environment(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    account.directory.account = ACCOUNT
    Path("access.yaml").unlink()
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")


def cluster_with(data: dict[str, str]) -> ApiInMemory:
    memory = ApiInMemory()
    memory.empty.add("/api/v1/configmaps")
    name = "aws-iam-authenticator" if "config.yaml" in data else "aws-auth"
    memory.put_config_map(f"kube-system/{name}", data)
    return memory


def api(memory: ApiInMemory) -> KubeApi:
    kube = memory.api(URL, AUTHORITY)
    kube.context.user["exec"] = {"args": ["token", "-i", "prod.example.com"]}
    return kube


def corpus(stem: str) -> dict[str, str]:
    data: dict[str, str] = yaml.safe_load((CORPUS / f"{stem}.yaml").read_bytes())["data"]
    return data


def imported(account: FakeAccount, memory: ApiInMemory, *words: str) -> int:
    return run_command("kube-iam", ["import", *words], {}, Session(account, api(memory)))


def with_role(account: FakeAccount, name: str, path: str = "/") -> str:
    arn = f"arn:aws:iam::{ACCOUNT}:role{path}{name}"
    account.directory.role_states[name] = RoleState(arn, name, path, {}, {}, 3600, "")
    return arn


@pytest.mark.parametrize("stem", sorted(path.stem for path in CORPUS.glob("*.yaml")))
def test_every_mapping_is_imported_and_its_plan_changes_nothing(
    stem: str, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    data = corpus(stem)
    memory = cluster_with(data)
    if stem == BROKEN:
        with pytest.raises(ConfigError, match="is not YAML"):
            imported(account, memory)
        assert not Path("access.yaml").exists()
        return
    if stem not in LEVELS:
        with pytest.raises(NotFound, match=r"no entry of .* can be a level; no file was written"):
            imported(account, memory)
        assert not Path("access.yaml").exists()
        return
    before = account.directory.state()
    assert imported(account, memory) == 0
    out = capsys.readouterr().out
    access = load_access("access.yaml")
    assert [level.name for level in access.levels] == LEVELS[stem]
    assert {level.method for level in access.levels} == {Method.MAPPED_ROLE}
    plan = plan_apply(access, ports(access, account, api(memory)))
    assert (plan.changes, plan.guards, plan.failures) == ((), (), ())
    assert "Nothing to change: cluster " in out
    assert memory.writes == []
    assert account.directory.state() == before


@pytest.mark.parametrize("stem", LEVELS)
def test_each_entry_is_a_level_or_a_comment_with_the_reason(stem: str, account: FakeAccount) -> None:
    memory = cluster_with(corpus(stem))
    imported(account, memory)
    access, text = load_access("access.yaml"), Path("access.yaml").read_text()
    store = make_store(access, api(memory))
    for entry in (*store.entries(), *store.others()):
        place = entry.where or entry.principal
        assert f"  # {place}" in text or f"#   {place}" in text, entry


def test_mappings_without_a_role_of_people_name_why(account: FakeAccount) -> None:
    with pytest.raises(NotFound) as caught:
        imported(account, cluster_with(corpus(NODES_ONLY)))
    assert "mapRoles[0], arn:aws:iam::111122223333:role/payments-fargate-pods" in str(caught.value)
    assert ": is for nodes" in str(caught.value)


def test_role_has_the_path_that_iam_tells(account: FakeAccount) -> None:
    arn = with_role(account, "payments-codebuild", "/service-role/")
    imported(account, cluster_with(corpus("09-sso-and-paths")))
    access = load_access("access.yaml")
    assert access.levels[-1].mapped_role == arn
    text = Path("access.yaml").read_text()
    assert "mapRoles[0]; IAM has no such role, so that nobody can sign in with it" in text
    assert "mapRoles[3], permission set ReadOnly in account 111122223333" in text


def test_an_imported_entry_is_changed_with_adopt_only(account: FakeAccount) -> None:
    memory = cluster_with(corpus("01-eksctl-dumped"))
    imported(account, memory)
    path = Path("access.yaml")
    path.write_text(path.read_text().replace('username: "payments-admin"', 'username: "ops:{{SessionNameRaw}}"'))
    access = load_access(path)
    with pytest.raises(NotOwned, match="is mapped already, by hand or by another tool: take it over with --adopt"):
        plan_apply(access, ports(access, account, api(memory)))
    (change,) = plan_apply(access, ports(access, account, api(memory)), adopt=True).changes
    assert [part.name for part in change.fields] == ["username", "level"]
    store = make_store(access, api(memory))
    store.put(change.item)  # type: ignore[arg-type]
    assert plan_apply(access, ports(access, account, api(memory))).changes == ()
    path.write_text(path.read_text().replace("ops:", "operators:"))
    access = load_access(path)
    (change,) = plan_apply(access, ports(access, account, api(memory))).changes
    assert change.verb.value == "update"


def test_existing_file_is_kept_without_force(account: FakeAccount) -> None:
    memory = cluster_with(corpus("01-eksctl-dumped"))
    Path("access.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"access\.yaml exists"):
        imported(account, memory)
    assert Path("access.yaml").read_text() == "mine"
    assert imported(account, memory, "--force") == 0


def test_dash_prints_the_file_and_nothing_else(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(account, cluster_with(corpus("13-authenticator-mixed-case")), "-") == 0
    captured = capsys.readouterr()
    Path("printed.yaml").write_text(captured.out)
    assert load_access("printed.yaml").cluster_id == "payments.k8s.example.com"
    assert "left alone: " in captured.err


def test_data_names_levels_and_what_is_left_alone(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    imported(account, cluster_with(corpus("03-terraform-template-mixed")), "-o", "json")
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [each["level"] for each in data["levels"]] == ["payments-admin"]
    reasons = {each["principal"]: each["reason"] for each in data["leftAlone"]}
    assert reasons["444455556666"] == "admits every IAM user and role of the account"
    assert reasons["arn:aws:iam::444455556666:user/bob"].startswith("admits one IAM user")
    assert data["plan"]["changes"] == []


def test_a_config_on_disk_is_named_with_from(account: FakeAccount, tmp_path: Path) -> None:
    Path("config.yaml").write_text(corpus("13-authenticator-mixed-case")["config.yaml"])
    assert imported(account, ApiInMemory(), "--from", "config.yaml", "--context", "prod") == 0
    access = load_access("access.yaml")
    assert (access.mapping.path, access.cluster_id) == ("config.yaml", "payments.k8s.example.com")
    Path("other").mkdir()
    imported(account, ApiInMemory(), "--from", "config.yaml", "--context", "prod", "other/access.yaml")
    assert load_access("other/access.yaml").mapping.path == str(tmp_path.resolve() / "config.yaml")
    with pytest.raises(NotFound, match="there is no file nowhere"):
        imported(account, ApiInMemory(), "--from", "nowhere", "--context", "prod", "third.yaml")


def test_values_of_others_stay_values(account: FakeAccount) -> None:
    hostile = 'x"\n- name: evil\\u0007: #'
    entries = [{"rolearn": f"arn:aws:iam::{ACCOUNT}:role/a", "username": hostile, "groups": [hostile]}]
    users = [{"userarn": f"arn:aws:iam::{ACCOUNT}:user/b", "username": hostile, "groups": [hostile]}]
    memory = cluster_with({"mapRoles": yaml.safe_dump(entries), "mapUsers": yaml.safe_dump(users)})
    assert imported(account, memory) == 0
    (level,) = load_access("access.yaml").levels
    assert (level.username, level.groups) == (hostile, (hostile,))


def test_entries_of_kube_iam_are_not_imported(account: FakeAccount) -> None:
    entry = {"rolearn": f"arn:aws:iam::{ACCOUNT}:role/a", "username": "u", "groups": ["g"], "level": "admin"}
    with pytest.raises(NotFound, match="has the keys of kube-iam for level admin"):
        imported(account, cluster_with({"mapRoles": yaml.safe_dump([entry])}))


def test_objects_are_imported_and_stay_those_of_others(account: FakeAccount) -> None:
    memory = ApiInMemory()
    memory.empty.add("/api/v1/configmaps")
    for name, arn in (("ops", f"arn:aws:iam::{ACCOUNT}:role/operator"), ("bob", f"arn:aws:iam::{ACCOUNT}:user/bob")):
        memory.objects[f"{OBJECTS}/{name}"] = {
            "apiVersion": "iamauthenticator.k8s.aws/v1alpha1",
            "kind": "IAMIdentityMapping",
            "metadata": {
                "name": name,
                "uid": name,
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"arn": arn, "username": name, "groups": ["ops"]},
        }
    for words in ((), ("--from", "crd", "--force")):
        assert imported(account, memory, *words) == 0
        access = load_access("access.yaml")
        assert [level.name for level in access.levels] == ["operator"]
        assert access.mapping.kind is TargetKind.CRD
        assert plan_apply(access, ports(access, account, api(memory))).changes == ()
        assert "# IAMIdentityMapping ops; IAM has no such role" in Path("access.yaml").read_text()
        assert "#   IAMIdentityMapping bob, arn:aws:iam::111122223333:user/bob" in Path("access.yaml").read_text()


def test_a_mapping_that_servers_cannot_load_is_named(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    text = corpus("13-authenticator-mixed-case")["config.yaml"]
    imported(account, cluster_with({"config.yaml": f"{text}  reservedPrefixConfig: 5\n"}))
    assert "warning: servers cannot load ConfigMap kube-system/aws-iam-authenticator" in capsys.readouterr().out
