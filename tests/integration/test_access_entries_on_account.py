"""Access entries in the sandbox's EKS: the rules of the service, and the commands with exactly the rights that `policy` prints."""

from __future__ import annotations

import io
import itertools
import json
import ssl
import urllib.error
import urllib.request
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, cast

import pytest
from access_commands import denying
from botocore.exceptions import ClientError
from fake_account import FakeAccount, FakeDirectory, FakeStore
from prepared_session import PreparedSession

from emulated_account import Account
from kube_iam.access.admin_policy import admin_document, operator_document
from kube_iam.access.mapping import MappingSource
from kube_iam.access.ports import Ports, Preflight
from kube_iam.aws.access_entries import AccessEntryStore
from kube_iam.aws.iam import IamDirectory
from kube_iam.aws.iam_calls import IamCalls
from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access
from kube_iam.core.credentials import Credentials
from kube_iam.errors import AccessDenied, KubeIamError, NotFound, UsageError
from kube_iam.sandbox.state import ACCOUNT, ADMINISTRATOR, REGION

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("admin-policies")]

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {{id: {name}, endpoint: "https://api.prod.example.com"}}
account: "{account}"
region: {region}
mapping: {{accessEntries: {{}}}}
membershipCheck: assumeRole
levels:
  - {{name: admin, bind: [{{clusterRole: cluster-admin}}]}}
  - {{name: viewer, bind: [{{clusterRole: view}}], username: "{username}", iam: {{tags: {{team: {team}}}}}}}
"""
SERVICE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
_numbers = itertools.count(1)


class Site:
    """An EKS cluster of its own in the account, its access file, and a principal for one policy. Kubernetes is in memory."""

    def __init__(self, account: Account, directory: Path, mode: str = "API") -> None:
        self.account = account
        self.name = f"eks-{next(_numbers)}"
        self.iam = account.administrator
        self.eks = account.client("eks", account.user(ADMINISTRATOR))
        role = f"{self.name}-service"
        service = self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(SERVICE))["Role"]["Arn"]
        self.eks.create_cluster(
            name=self.name, roleArn=service, resourcesVpcConfig={}, accessConfig={"authenticationMode": mode}
        )
        self.path = directory / f"{self.name}.yaml"
        self.write_file()
        self.fake = FakeAccount()
        self.job = account.user(f"{self.name}-job")

    def write_file(self, username: str = "awsiam:{{SessionNameRaw}}", team: str = "a") -> None:
        text = FILE.format(name=self.name, account=ACCOUNT, region=REGION, username=username, team=team)
        self.path.write_text(text)

    def give(self, document: dict[str, Any]) -> None:
        """Make the document the only policy of the principal."""
        text = json.dumps(document, separators=(",", ":"))
        name = f"{self.name}-job-{next(_numbers)}"
        policy = self.iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]
        attached = self.iam.list_attached_user_policies(UserName=f"{self.name}-job")["AttachedPolicies"]
        for each in attached:
            self.iam.detach_user_policy(UserName=f"{self.name}-job", PolicyArn=each["PolicyArn"])
        self.iam.attach_user_policy(UserName=f"{self.name}-job", PolicyArn=policy)

    def store(self, keys: Credentials, *, dry_run: bool = False) -> AccessEntryStore:
        calls = IamCalls(lambda service: self.account.client(service, keys))
        return AccessEntryStore(calls, load_access(self.path), dry_run=dry_run)

    def run(self, words: str, who: Credentials | None = None) -> str:
        """Run a command as the administrator, or as `who`, and return its standard output. Raises what it raises."""
        keys, fake = who or self.account.user(ADMINISTRATOR), self.fake
        fake.directory = cast(FakeDirectory, IamDirectory(lambda service: self.account.client(service, keys)))
        fake.store = cast(FakeStore, self.store(keys))
        dry = Preflight(FakeAccount().cluster, self.store(keys, dry_run=True), MappingSource)
        fake.ports = Ports(fake.directory, fake.cluster, fake.store, dry)
        session = PreparedSession(fake, denying())
        with redirect_stdout(io.StringIO()) as out:
            assert run_command("kube-iam", [*words.split(), "-f", str(self.path)], {}, session) == 0
        return out.getvalue()

    def entry(self, level: str) -> dict[str, Any]:
        arn = f"arn:aws:iam::{ACCOUNT}:role/{self.name}-{level}"
        found: dict[str, Any] = self.eks.describe_access_entry(clusterName=self.name, principalArn=arn)["accessEntry"]
        return found

    def principals(self) -> list[str]:
        found: list[str] = self.eks.list_access_entries(clusterName=self.name)["accessEntries"]
        return found


@pytest.fixture
def site(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    return Site(account, tmp_path)


def test_levels_are_applied_changed_and_destroyed(site: Site) -> None:
    site.run("apply --yes")
    made = site.entry("viewer")
    assert made["tags"] == {"kube-iam.dev/cluster": site.name, "kube-iam.dev/level": "viewer", "team": "a"}
    assert "Nothing to change" in site.run("plan")
    site.write_file("people:{{SessionName}}", "b")
    assert "username: awsiam:{{SessionNameRaw}} -> people:{{SessionName}}" in site.run("plan")
    site.run("apply --yes")
    changed = site.entry("viewer")
    assert (changed["username"], changed["tags"]["team"]) == ("people:{{SessionName}}", "b")
    assert (changed["createdAt"], changed["accessEntryArn"]) == (made["createdAt"], made["accessEntryArn"])
    assert "Nothing to change" in site.run("plan")
    site.run("destroy --yes --force")
    assert site.principals() == [f"arn:aws:iam::{ACCOUNT}:user/{ADMINISTRATOR}"]


def test_recreated_role_is_found_by_the_times_of_creation(site: Site) -> None:
    site.run("apply --yes")
    before = site.entry("viewer")["accessEntryArn"]
    site.iam.delete_role(RoleName=f"{site.name}-viewer")
    site.run("apply --yes --force")
    after = site.entry("viewer")
    assert after["accessEntryArn"] != before
    assert site.iam.get_role(RoleName=f"{site.name}-viewer")["Role"]["CreateDate"] <= after["createdAt"]
    assert "Nothing to change" in site.run("plan")


def test_who_and_drift_read_the_entries(site: Site) -> None:
    site.run("apply --yes")
    site.account.user(f"{site.name}-ann")
    site.run(f"grant {site.name}-ann viewer")
    assert f"{site.name}-ann" in site.run("who")
    assert "No drift" in site.run("drift")


def eks_actions(document: dict[str, Any]) -> list[str]:
    found = (action for statement in document["Statement"] for action in statement["Action"])
    return sorted(action for action in found if action.startswith("eks:"))


def without(document: dict[str, Any], action: str) -> dict[str, Any]:
    statements = [
        {**each, "Action": kept}
        for each in document["Statement"]
        if (kept := [name for name in each["Action"] if name != action])
    ]
    return {**document, "Statement": statements}


def administer(site: Site) -> None:
    site.write_file()
    site.run("apply --yes", site.job)
    site.write_file("people:{{SessionName}}", "b")
    site.run("apply --yes --force", site.job)
    site.run("destroy --yes --force", site.job)


@pytest.mark.slow
def test_policy_of_an_administrator_is_enough_and_each_action_is_needed(site: Site) -> None:
    document = admin_document(load_access(site.path))
    site.give(document)
    administer(site)
    actions = eks_actions(document)
    assert len(actions) == 8
    for action in actions:
        site.give(without(document, action))
        with pytest.raises(KubeIamError) as error:
            administer(site)
        assert isinstance(error.value, AccessDenied) or action in str(error.value)
        site.run("destroy --yes --force")


@pytest.mark.slow
def test_policy_of_an_operator_reads_entries_and_changes_none(site: Site) -> None:
    site.run("apply --yes")
    site.account.user(f"{site.name}-ann")
    site.give(operator_document(load_access(site.path)))
    site.run(f"grant {site.name}-ann viewer", site.job)
    assert f"{site.name}-ann" in site.run("who", site.job)
    client = site.account.client("eks", site.job)
    arn = site.entry("viewer")["principalArn"]
    for call in (client.delete_access_entry, client.update_access_entry):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(clusterName=site.name, principalArn=arn)


# The rules of the service, as the documents of AWS and its messages state them.


@pytest.fixture(scope="module")
def rules(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(account, tmp_path_factory.mktemp("rules"))
    site.iam.create_role(RoleName=f"{site.name}-r", Path="/x/", AssumeRolePolicyDocument=json.dumps(SERVICE))
    return site


def role(site: Site) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/x/{site.name}-r"


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"username": "system:x"}, "InvalidParameterException", "begins with system:"),
        ({"username": "iam:{{SessionName}}"}, "InvalidParameterException", "begins with iam:"),
        ({"username": "x{{SessionName}}"}, "InvalidParameterException", "no colon"),
        ({"kubernetesGroups": ["ok", "system:masters"]}, "InvalidParameterException", "cannot start with system:"),
        ({"type": "SOMETHING"}, "InvalidParameterException", "not supported"),
        ({"type": "EC2_LINUX", "username": "x"}, "InvalidRequestException", "neither username"),
        ({"tags": {f"t{n}": "" for n in range(51)}}, "InvalidParameterException", "tags"),
        ({"principalArn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}, "InvalidParameterException", "invalid principal"),
        (
            {"principalArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b"},
            "InvalidParameterException",
            "invalid principal",
        ),
        ({"clusterName": "no-such"}, "ResourceNotFoundException", "No cluster found"),
    ],
)
def test_sandbox_refuses_entries_that_eks_refuses(rules: Site, given: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(ClientError, match=said) as error:
        rules.eks.create_access_entry(**{"clusterName": rules.name, "principalArn": role(rules), **given})
    assert error.value.response["Error"]["Code"] == code


def test_sandbox_keeps_one_entry_a_principal_and_pages_and_tags_them(rules: Site) -> None:
    arn, eks = role(rules), rules.eks
    eks.create_access_entry(clusterName=rules.name, principalArn=arn)
    made = eks.describe_access_entry(clusterName=rules.name, principalArn=arn)["accessEntry"]
    assert made["username"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{rules.name}-r/{{{{SessionName}}}}"
    assert made["accessEntryArn"].startswith(
        f"arn:aws:eks:{REGION}:{ACCOUNT}:access-entry/{rules.name}/role/{ACCOUNT}/{rules.name}-r/"
    )
    with pytest.raises(ClientError, match="already in use on this cluster"):
        eks.create_access_entry(clusterName=rules.name, principalArn=arn)
    eks.tag_resource(resourceArn=made["accessEntryArn"], tags={"a": "1", "b": "2", "c": "3"})
    eks.untag_resource(resourceArn=made["accessEntryArn"], tagKeys=["a", "c"])
    assert eks.describe_access_entry(clusterName=rules.name, principalArn=arn)["accessEntry"]["tags"] == {"b": "2"}
    pages = [eks.list_access_entries(clusterName=rules.name, maxResults=1)]
    while "nextToken" in pages[-1]:
        pages.append(eks.list_access_entries(clusterName=rules.name, maxResults=1, nextToken=pages[-1]["nextToken"]))
    assert sorted(each for page in pages for each in page["accessEntries"]) == sorted(rules.principals())
    assert len(pages) == 2
    eks.delete_access_entry(clusterName=rules.name, principalArn=arn)
    with pytest.raises(ClientError, match="could not be found"):
        eks.describe_access_entry(clusterName=rules.name, principalArn=arn)


@pytest.mark.parametrize(
    "path", ["/clusters", "/clusters/x/access-entries", "/clusters/x/addons", "/tags/arn:aws:eks:x", "/clusters/%2578"]
)
def test_sandbox_refuses_unsigned_calls_and_other_paths_of_eks(account: Account, path: str) -> None:
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(account.home.ca)))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
    with pytest.raises(urllib.error.HTTPError) as error:
        opener.open(account.url + path, timeout=10)
    with error.value:
        assert error.value.code == 403
        assert b"the sandbox refuses this request" in error.value.read()


def test_authentication_mode_goes_one_way(account: Account, tmp_path: Path) -> None:
    site = Site(account, tmp_path, "CONFIG_MAP")
    with pytest.raises(ClientError, match="authentication mode must be set to one of"):
        site.principals()
    with pytest.raises(UsageError, match="has authentication mode CONFIG_MAP"):
        site.run("plan")
    for mode in ("API_AND_CONFIG_MAP", "API"):
        site.eks.update_cluster_config(name=site.name, accessConfig={"authenticationMode": mode})
    with pytest.raises(ClientError, match="from API to API_AND_CONFIG_MAP"):
        site.eks.update_cluster_config(name=site.name, accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    site.run("apply --yes")
    assert len(site.principals()) == 3


def test_destroy_of_a_deleted_cluster_names_the_way(site: Site) -> None:
    site.run("apply --yes")
    site.eks.delete_cluster(name=site.name)
    with pytest.raises(NotFound, match="No cluster found") as error:
        site.run("destroy --yes")
    assert "add --iam-only" in error.value.hint
