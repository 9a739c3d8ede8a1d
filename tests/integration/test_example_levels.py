"""The examples with members in the file and with a permission set: applied to an emulated account, signed in to, destroyed.

The levels are without bindings, which a cluster would have to take. The mapping is the file that a running server follows.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from membership_site import ACCOUNT, MembershipSite, running, wait_until
from ruamel.yaml import YAML

import forks
from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.sandbox.shell import environment
from kube_iam.sandbox.state import ADMINISTRATOR, CLUSTER_ID, REGION

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("example-levels")]

EXAMPLES = Path(__file__).parents[2] / "examples"


class Files(MembershipSite):
    """A site with an access file, on which the administrator runs commands."""

    access: Path

    @classmethod
    def of(cls, site: MembershipSite, access: Path) -> Files:
        site.__class__ = cls
        assert isinstance(site, Files)
        site.access = access
        return site

    def use(self, example: str, **levels: dict[str, Any]) -> None:
        """Write the example for this account and server, with changes of its levels."""
        yaml = YAML(typ="safe")
        data = yaml.load((EXAMPLES / example).read_text())
        data["cluster"] = {"id": CLUSTER_ID, "name": "prod", "endpoint": "https://127.0.0.1:6443"}
        data |= {"account": ACCOUNT.split(":")[4], "region": REGION, "mapping": {"file": str(self.home.server_config)}}
        for level in data["levels"]:
            level.pop("bind")
            level |= levels.get(level["name"], {})
        self.access.write_text(json.dumps(data))
        self.allow(server_document(load_access(self.access)))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        credentials = self.account.user(ADMINISTRATOR)
        variables = environment(self.home, self.account.state, ADMINISTRATOR, credentials)
        full = [command[0], "-f", str(self.access), *command[1:]]
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(self.home.root), **variables}
        return forks.run(full, variables, timeout=120)

    def works(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def members(self, group: str) -> set[str]:
        return {user["UserName"] for user in self.account.administrator.get_group(GroupName=group)["Users"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    directory = tmp_path_factory.mktemp("examples")
    with running(directory, ("other-level",), "") as made:
        yield Files.of(made, directory / "access.yaml")


def test_listed_members_sign_in_until_the_file_does_not_list_them(site: Files) -> None:
    site.use("members.yaml")
    missing = site.run("apply", "--yes")
    assert missing.returncode != 0
    assert "members of level admin: there is no IAM user alice in account 111122223333" in missing.stderr
    assert not site.account.administrator.list_groups(PathPrefix="/kube-iam/")["Groups"]
    for name in ("alice", "bob", "carol"):
        site.account.user(name)
    site.works("apply", "--yes")
    assert (site.members("prod-admin"), site.members("prod-viewer")) == ({"alice"}, {"alice", "bob"})
    assert "Nothing to change" in site.works("plan")
    bob = site.account.assume("bob", f"{ACCOUNT}:role/prod-viewer", "bob")
    wait_until(lambda: site.is_admitted(bob), "the listed member is admitted")
    refused = site.run("revoke", "bob", "viewer")
    assert refused.returncode == 2
    assert "lists the members of level viewer" in refused.stderr
    site.use("members.yaml", viewer={"members": ["alice", "carol"]})
    refused = site.run("apply", "--yes")
    assert "1 of 2 members of level viewer would be removed (bob): more than a third" in refused.stderr
    assert site.members("prod-viewer") == {"alice", "bob"}
    site.works("apply", "--yes", "--force")
    assert site.members("prod-viewer") == {"alice", "carol"}
    wait_until(lambda: not site.is_admitted(bob), "the former member is refused")
    site.works("destroy", "--yes")
    assert not site.account.administrator.list_groups(PathPrefix="/kube-iam/")["Groups"]


def test_a_user_of_the_permission_set_signs_in_until_the_level_is_destroyed(site: Files) -> None:
    site.use("permission-set.yaml")
    site.works("apply", "--yes")
    assert "Nothing to change" in site.works("plan")
    iam, role = site.account.administrator, "AWSReservedSSO_Ops_0123456789abcdef"
    path = "/aws-reserved/sso.amazonaws.com/eu-west-1/"
    allow = {"Effect": "Allow", "Principal": {"AWS": f"{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    arn = iam.create_role(RoleName=role, Path=path, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    # Stands for Identity Center, which names the session after its user.
    session = site.account.assume(ADMINISTRATOR, arn, "olga@example.com")
    wait_until(lambda: site.is_admitted(session), "the user of the permission set is admitted")
    user = site.sign_in(session)["user"]
    assert (user["username"], user["groups"]) == ("sso:olga@example.com", ["kube-iam:ops"])
    assert user["extra"]["kube-iam.dev/level"] == ["ops"]
    iam.create_role(RoleName=role.replace("Ops", "Dev"), Path=path, AssumeRolePolicyDocument=trust)
    other = site.account.assume(ADMINISTRATOR, arn.replace("Ops", "Dev"), "olga@example.com")
    assert not site.is_admitted(other)
    (ops,) = [level for level in json.loads(site.works("who", "-o", "json")) if level["level"] == "ops"]
    assert (ops["managedIn"], ops["applied"]) == ("identityCenter", True)
    assert site.run("grant", "olga", "ops").returncode == 2
    site.works("destroy", "--yes")
    wait_until(lambda: not site.is_admitted(session), "the level is destroyed")
    assert "AWSReservedSSO" in str(iam.list_roles(PathPrefix=path)["Roles"])
    assert "sso" not in site.home.server_config.read_text().split()
