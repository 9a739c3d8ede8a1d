"""The ValidatingAdmissionPolicy on a real kube-apiserver: denied users write nothing, and read on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from synced_site import SyncedSite, synced_site
from whole_sandbox import Person

from kube_iam.sandbox.processes import wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("admission-policy")]
ACCOUNT = "arn:aws:iam::111122223333"
SESSION = "arn:aws:sts::111122223333:assumed-role/sandbox-ops"
CREATE = ("create", "configmap", "mine", "--dry-run=server", "-n", "shop")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncedSite]:
    with synced_site(tmp_path_factory.mktemp("admission")) as made:
        made.administrator.works(
            "kubectl", "apply", "-f", "-", stdin=made.administrator.works("kube-iam", "manifest", "admission")
        )
        yield made


@pytest.fixture(scope="module")
def nora(site: SyncedSite) -> Person:
    """Return a person with rights that no sync removes."""
    site.join("nora")
    bind = ("kubectl", "create", "clusterrolebinding", "nora", "--clusterrole=admin", "--user=awsiam:ops:nora")
    site.administrator.works(*bind)
    nora = site.person("nora")
    site.kubeconfig("ops")
    assert wait_until(lambda: kubectl(site, nora, *CREATE) == "", 30)
    return nora


def kubectl(site: SyncedSite, who: Person, *command: str) -> str:
    """Run kubectl as the person. Return why it is refused, empty where it is not."""
    done = who.run("kubectl", "--kubeconfig", site.home.root / "ops.yaml", *command)
    return done.stderr if done.returncode else ""


def deny(site: SyncedSite, *entries: str) -> None:
    """Replace the deny list by these entries."""
    data = {f"e{number}": text for number, text in enumerate(entries)}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kube-iam-denied", "namespace": "kube-system"},
        "data": data,
    }
    site.administrator.run("kubectl", "delete", "configmap", "-n", "kube-system", "kube-iam-denied")
    if entries:
        site.administrator.works("kubectl", "create", "-f", "-", stdin=json.dumps(body))


def entry(value: str, kind: str = "userName", **more: str) -> str:
    return json.dumps({"kind": kind, "value": value, **more})


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        pytest.param(entry("nora", until="2099-01-01T00:00:00Z", reason='say "x"', actor="a"), True, id="user"),
        pytest.param(entry("NORA"), True, id="letter-case"),
        pytest.param(entry("nor"), False, id="part-of-the-name"),
        pytest.param(entry("other", reason="nora"), False, id="name-in-the-reason"),
        pytest.param(entry(f"{ACCOUNT}:user/team/nora", "arn"), True, id="arn-of-the-user"),
        pytest.param(entry(f"{ACCOUNT}:role/sandbox-ops", "arn"), True, id="arn-of-the-role"),
        pytest.param(entry(f"{ACCOUNT}:role/sandbox-audit", "arn"), False, id="arn-of-another-role"),
        pytest.param(entry(f"{SESSION}/nora", "arn"), True, id="arn-of-the-session"),
        pytest.param(entry(f"{SESSION}/other", "arn"), False, id="arn-of-another-session"),
        pytest.param(entry("nora", role=f"{ACCOUNT}:role/sandbox-ops"), True, id="in-the-role"),
        pytest.param(entry("nora", role=f"{ACCOUNT}:role/sandbox-audit"), False, id="in-another-role"),
        pytest.param(entry(f"{ACCOUNT}:user/bob", "arn", role=f"{ACCOUNT}:role/sandbox-ops"), False, id="another-user-in-the-role"),
        pytest.param(entry("nora", until="1970-01-01T00:00:00Z", reason="removed"), False, id="removed"),
        pytest.param(entry("nora", until="2020-01-01T00:00:00Z"), True, id="ended-and-not-removed"),
        pytest.param("value: nora", True, id="no-json"),
        pytest.param("nora", True, id="bare-name"),
        pytest.param(entry("no*"), True, id="pattern"),
        pytest.param("names nobody", False, id="names-nobody"),
    ],
)  # fmt: skip
def test_writes_of_denied_users_are_refused(site: SyncedSite, nora: Person, text: str, refused: bool) -> None:
    deny(site, entry("someone"), text)
    try:
        told = "denied by kube-iam's deny list"
        assert wait_until(lambda: (told in kubectl(site, nora, *CREATE)) is refused, 15), kubectl(site, nora, *CREATE)
        assert kubectl(site, nora, "get", "pods", "-A") == ""
    finally:
        deny(site)


def test_exec_port_forward_tokens_and_deletion_are_refused_and_reads_are_not(site: SyncedSite, nora: Person) -> None:
    administrator = site.administrator
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    administrator.works("kubectl", "create", "serviceaccount", "default", "-n", "shop")
    administrator.works("kubectl", "create", "-f", "-", stdin=json.dumps(pod))
    deny(site, entry("nora"))
    told = "denied by kube-iam's deny list"
    assert wait_until(lambda: told in kubectl(site, nora, *CREATE), 15)
    for command in (
        ("exec", "-n", "shop", "p", "--", "true"),
        ("create", "token", "default", "-n", "shop"),
        ("delete", "pod", "p", "-n", "shop"),
        ("label", "pod", "p", "-n", "shop", "a=b"),
    ):
        assert told in kubectl(site, nora, *command), command
    forward = ("kubectl", "--kubeconfig", site.home.root / "ops.yaml", "port-forward", "-n", "shop", "pod/p", ":80")
    assert "unable to forward" in nora.run(*forward).stderr or told in nora.run(*forward).stderr
    assert kubectl(site, nora, "get", "pod", "p", "-n", "shop") == ""
    administrator.works("kubectl", "label", "pod", "p", "-n", "shop", "a=b")
    deny(site)
    assert wait_until(lambda: kubectl(site, nora, *CREATE) == "", 15)
