"""EKS with access entries, `membershipCheck: rbac` and `kube-iam sync`: a revoked user is refused while the session is still valid."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from eks_site import NAME, EksSite
from faulty_iam import error
from synced_site import SyncingSandbox, kill, reads
from whole_sandbox import Person

from binaries import control_plane_binaries
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import Home
from kube_iam.sandbox.up import down, up

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("sandbox-of-eks-rbac")]
NAMESPACES = [f"team-{number}" for number in range(8)]
LEVELS = f"""\
membershipCheck: rbac
levels:
  - name: ops
    bind: [{{clusterRole: view}}, {{clusterRole: edit, namespaces: [{", ".join(NAMESPACES)}]}}]
  - name: audit
    bind: [{{clusterRole: view}}]
"""


class EksRbacSite(EksSite):
    """The cluster with mode API, the file applied, and a sync that leads."""

    sandbox: SyncingSandbox

    def __init__(self, sandbox: SyncingSandbox) -> None:
        super().__init__(sandbox, "API")
        self.rename_server()
        self.administrator.works("kube-iam", "new", "--eks", NAME, self.file)
        text = self.file.read_text().replace("membershipCheck: assumeRole\n", "")
        self.file.write_text(text.partition("levels:")[0] + LEVELS)
        for namespace in NAMESPACES:
            self.administrator.works("kubectl", "create", "namespace", namespace)
        self.kube_iam("apply", "--yes")
        self.map_access_entries()
        self.sandbox.permit_sync(KUBE_IAM_ACCESS=str(self.file))
        self.leads()

    def leads(self, name: str = "sync") -> None:
        """Start a process of the sync unless it runs, and wait until it leads."""
        sandbox = self.sandbox
        if not sandbox.get("/readyz", name):
            sandbox.sync(name)
        assert wait_until(lambda: sandbox.get("/readyz", name) == "ok" and sandbox.is_leader(name), 40), sandbox.log(
            name
        )

    def users(self) -> dict[str, set[str]]:
        """Return the users of kube-iam's bindings, by namespace and name."""
        words = ("-A", "-l", "app.kubernetes.io/managed-by=kube-iam", "-o", "json")
        found = self.administrator.works("kubectl", "get", "clusterrolebindings,rolebindings", *words)
        return {
            f"{each['metadata'].get('namespace', '')}/{each['metadata']['name']}": {
                subject["name"] for subject in each.get("subjects") or ()
            }
            for each in json.loads(found)["items"]
        }

    def bindings_with(self, user: str) -> int:
        return sum(user in users for users in self.users().values())

    def admitted(self, name: str, level: str) -> tuple[Person, Path]:
        """Return a user of the level who reads with a token that kube-apiserver has cached, and the kubeconfig."""
        self.sandbox.person(name)
        self.kube_iam("grant", name, level)
        person, kubeconfig = self.sandbox.person(name), self.kubeconfig(level)
        assert wait_until(lambda: person.signs_in(kubeconfig) and reads(person, kubeconfig), 60)
        return person, kubeconfig


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EksRbacSite]:
    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("eks-rbac") / "sandbox")
    made: list[SyncingSandbox] = []
    try:
        made.append(SyncingSandbox(home, up(home, os.environ, lambda _: None, cache_ttl_seconds=120)))
        yield EksRbacSite(made[0])
    finally:
        for each in made:
            each.stop_all()
            each.iam.stop()
        down(home)


@pytest.fixture
def site(cluster: EksRbacSite) -> Iterator[EksRbacSite]:
    cluster.sandbox.iam.heal()
    cluster.leads()
    yield cluster
    cluster.sandbox.iam.heal()


def test_entry_names_the_user_and_no_group(site: EksRbacSite) -> None:
    assert "Nothing to change" in site.kube_iam("plan")
    assert "No drift" in site.kube_iam("drift")
    (principal,) = (
        each for each in site.eks.list_access_entries(clusterName=NAME)["accessEntries"] if each.endswith("-ops")
    )
    entry = site.eks.describe_access_entry(clusterName=NAME, principalArn=principal)["accessEntry"]
    assert (entry["username"], entry["kubernetesGroups"]) == ("awsiam:ops:{{SessionNameRaw}}", [])


@pytest.mark.parametrize(
    "command", [("revoke", "ada", "ops"), ("revoke", "ann", "ops", "--now"), ("deny", "ali", "--yes")]
)
def test_revoked_user_is_refused_while_the_session_is_valid(site: EksRbacSite, command: tuple[str, ...]) -> None:
    person, kubeconfig = site.admitted(command[1], "ops")
    site.kube_iam(*command)
    # The command has just ended, and kube-apiserver has the token cached.
    assert not reads(person, kubeconfig)
    assert person.stays_in(kubeconfig)
    assert site.bindings_with(f"awsiam:ops:{command[1]}") == 0
    assert "Nothing to change" in site.kube_iam("plan")


def test_temporary_access_ends_while_the_session_is_valid(site: EksRbacSite) -> None:
    site.sandbox.person("tom")
    site.kube_iam("grant", "tom", "audit", "--for", "2h")
    tom, kubeconfig = site.sandbox.person("tom"), site.kubeconfig("audit")
    assert wait_until(lambda: tom.signs_in(kubeconfig) and reads(tom, kubeconfig), 60)
    assert "Nothing to change" in site.kube_iam("plan")
    site.kube_iam("grant", "tom", "audit", "--for", "3s")
    assert wait_until(lambda: not reads(tom, kubeconfig), 60)
    assert tom.stays_in(kubeconfig)
    site.kube_iam("revoke", "tom", "audit")
    assert "Nothing to change" in site.kube_iam("plan")


@pytest.mark.thorough
def test_sync_that_is_killed_between_two_writes_is_finished_by_its_successor(site: EksRbacSite) -> None:
    site.admitted("kai", "ops")
    assert wait_until(lambda: site.bindings_with("awsiam:ops:kai") == len(NAMESPACES) + 1, 30)
    process = site.sandbox.processes["sync"][0]
    site.iam.remove_user_from_group(GroupName="demo-ops", UserName="kai")
    assert wait_until(lambda: site.bindings_with("awsiam:ops:kai") <= len(NAMESPACES), 30)
    kill(process)
    site.leads("successor")
    assert wait_until(lambda: site.bindings_with("awsiam:ops:kai") == 0, 30)
    site.sandbox.processes["successor"][0].stop()


@pytest.mark.thorough
def test_throttled_iam_keeps_members_and_a_revocation_works(site: EksRbacSite) -> None:
    person, kubeconfig = site.admitted("kim", "ops")
    site.sandbox.iam.fault = lambda _: error("Throttling")
    site.kube_iam("revoke", "kim", "ops")
    assert not reads(person, kubeconfig)


@pytest.mark.thorough
def test_subjects_that_others_edit_are_restored(site: EksRbacSite) -> None:
    site.admitted("lea", "audit")
    binding = ("kubectl", "patch", "clusterrolebinding", "kube-iam:audit:view", "--type=json", "-p")
    stranger = {"kind": "User", "name": "stranger", "apiGroup": "rbac.authorization.k8s.io"}
    site.administrator.works(*binding, json.dumps([{"op": "add", "path": "/subjects/-", "value": stranger}]))
    assert wait_until(lambda: site.bindings_with("stranger") == 0, 30)
    site.administrator.works(*binding, json.dumps([{"op": "remove", "path": "/subjects"}]))
    assert wait_until(lambda: site.bindings_with("awsiam:audit:lea") == 1, 30)


@pytest.mark.thorough
def test_entry_that_another_program_changes_is_drift_and_apply_restores_it(site: EksRbacSite) -> None:
    entries = site.eks.list_access_entries(clusterName=NAME)["accessEntries"]
    principal = next(each for each in entries if each.endswith("-audit"))
    site.eks.update_access_entry(clusterName=NAME, principalArn=principal, kubernetesGroups=["everything"])
    done = site.administrator.run("kube-iam", "drift", KUBE_IAM_ACCESS=str(site.file))
    assert done.returncode == 2
    assert "everything" in done.stdout
    site.kube_iam("apply", "--yes")
    assert "Nothing to change" in site.kube_iam("plan")
    site.eks.delete_access_entry(clusterName=NAME, principalArn=principal)
    site.kube_iam("apply", "--yes")
    assert principal in site.eks.list_access_entries(clusterName=NAME)["accessEntries"]
    assert "Nothing to change" in site.kube_iam("plan")


def test_destroy_leaves_nothing(site: EksRbacSite) -> None:
    site.sandbox.person("uma")
    site.kube_iam("grant", "uma", "ops", "--for", "2h")
    site.kube_iam("destroy", "--yes", "--force")
    assert site.users() == {}
    left = site.eks.list_access_entries(clusterName=NAME)["accessEntries"]
    assert not [each for each in left if ":role/" in each]
    names = [each["RoleName"] for each in site.iam.list_roles()["Roles"]]
    names += [each["GroupName"] for each in site.iam.list_groups()["Groups"]]
    names += [each["PolicyName"] for each in site.iam.list_policies(Scope="Local")["Policies"]]
    assert not [each for each in names if each.startswith("demo-")]
    assert site.iam.list_user_policies(UserName="uma")["PolicyNames"] == []
