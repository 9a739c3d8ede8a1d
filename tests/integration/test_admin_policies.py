"""`kube-iam policy admin|operator|auditor` against the sandbox's IAM, which enforces policies.

A principal with exactly this policy does the job, and every action is needed: without it the job fails, or reports what it could not
read. The cluster's side is in memory.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from access_commands import LATER, denying
from botocore.exceptions import ClientError
from fake_account import FakeAccount, FakeDirectory
from prepared_session import PreparedSession

from emulated_account import Account
from examples import cells
from kube_iam.access.admin_policy import admin_document, auditor_document, operator_document
from kube_iam.access.ports import Ports
from kube_iam.aws.iam import IamDirectory
from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access, parse_access
from kube_iam.core.credentials import Credentials
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.rbac import Rbac
from kube_iam.denylist.denial import Denial
from kube_iam.errors import AccessDenied, KubeIamError, NotFound, NotOwned
from kube_iam.kube.rbac import ResourceType
from kube_iam.sandbox.state import ACCOUNT, ADMINISTRATOR, REGION

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.xdist_group("admin-policies")]

FILE = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {{id: {name}.example.com, name: {name}, endpoint: "https://api.prod.example.com"}}
account: "{account}"
region: {region}
iam: {{tags: {{team: {team}}}}}
levels:
  - {{name: admin, bind: [{{clusterRole: cluster-admin}}], iam: {{group: {group}}}}}
  - {{name: viewer, bind: [{{clusterRole: view}}], sessionDuration: {session}}}
  - {{name: staff, bind: [{{clusterRole: view}}], iam: {{{staff}}}}}
  - {{name: shared, bind: [{{clusterRole: view}}], iam: {{role: shared-{name}, existing: true}}}}
  - {{name: bounded, bind: [{{clusterRole: view}}], iam: {{permissionsBoundary: {boundary}}}}}
  - {{name: unbounded, bind: [{{clusterRole: view}}], iam: {{permissionsBoundary: none}}}}
  - name: listed
    bind: [{{clusterRole: view}}]
    members: [{listed}]
{more}
  - name: keys
    method: group
    bind: [{{clusterRole: view}}]
"""
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundaries/developer"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
}
ALLOW_NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}
OWN_NAME = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
        }
    ],
}
DENIED_KEY = Denial("key", "accessKeyId", "AKIAIOSFODNN7EXAMPLE", until=LATER)
_numbers = itertools.count(1)


def text_of_file(
    name: str,
    *,
    session: str = "1h",
    group: str = "",
    members: str = "",
    listed: str = "",
    team: str = "platform",
    own_staff: bool = False,
    more: str = "",
) -> str:
    """Return the access file of a cluster. `members` are those of level keys, `more` are further levels.

    With `own_staff` the level staff has a group of its own, and else an existing one.
    """
    group = group or f"{name}-admin"
    staff = "" if own_staff else f"group: staff-{name}, existing: true"
    text = FILE.format(
        name=name, account=ACCOUNT, region=REGION, session=session, group=group, team=team, staff=staff,
        boundary=BOUNDARY, listed=listed or f"{name}-bob", more=more,
    )  # fmt: skip
    return text + (f"    members: [{members}]\n" if members else "")


class Site:
    """A cluster of its own name in the account, its access file, and a principal with one policy. The cluster is in memory."""

    def __init__(self, account: Account, tmp_path: Path) -> None:
        self.account = account
        self.iam = account.administrator
        self.name = f"c{next(_numbers)}"
        self.path = tmp_path / "access.yaml"
        self.write_file()
        self.access = load_access(self.path)
        self.fake = FakeAccount()
        self.job = account.user(f"{self.name}-job")
        self.job_arn = ""
        self.member = f"{self.name}-alice"
        account.user(self.member)
        account.user(f"{self.name}-bob")
        self._make_existing()

    def _make_existing(self) -> None:
        """Make a group and a role of others, at paths of theirs, and the boundary."""
        group, document = f"staff-{self.name}", json.dumps(ALLOW_NOTHING)
        self.iam.create_group(GroupName=group, Path="/people/")
        self.iam.put_group_policy(GroupName=group, PolicyName="theirs", PolicyDocument=document)
        self.iam.create_role(
            RoleName=f"shared-{self.name}", Path="/ops/", AssumeRolePolicyDocument=json.dumps(OWN_NAME)
        )
        with suppress(self.iam.exceptions.EntityAlreadyExistsException):
            for name in ("developer", "wide"):
                self.iam.create_policy(PolicyName=name, Path="/boundaries/", PolicyDocument=document)

    def write_file(self, **changed: Any) -> None:
        self.path.write_text(text_of_file(self.name, **changed))

    def give(self, document: dict[str, object]) -> None:
        """Make the document the only policy of the principal."""
        text = json.dumps(document, separators=(",", ":"))
        policy = self.iam.create_policy(PolicyName=f"{self.name}-job", PolicyDocument=text)["Policy"]["Arn"]
        self.iam.attach_user_policy(UserName=f"{self.name}-job", PolicyArn=policy)

    def run(self, words: str, who: Credentials | None = None, denials: tuple[Denial, ...] = ()) -> str:
        """Run a command as the principal, or as `who`, and return its standard output. Raises what it raises."""
        session = self.session(who or self.job, *denials)
        with redirect_stdout(io.StringIO()) as out:
            assert run_command("kube-iam", [*words.split(), "-f", str(self.path)], {}, session) == 0
        return out.getvalue()

    def session(self, keys: Credentials, *denials: Denial) -> PreparedSession:
        fake = self.fake
        fake.directory = cast(FakeDirectory, IamDirectory(lambda service: self.account.client(service, keys)))
        fake.ports = Ports(fake.directory, fake.cluster, fake.store)
        return PreparedSession(fake, denying(*denials))

    def run_as_administrator(self, words: str) -> None:
        self.run(words, self.account.user(ADMINISTRATOR))

    def policy(self, level: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:policy/kube-iam/{self.name}/{self.name}-{level}"

    def put_temporary(self, user: str, until: str, unique_id: str = "AIDAOTHER") -> None:
        """Write temporary access of the user to the viewers into the mapping."""
        entries = self.fake.store.all_entries
        at = next(index for index, entry in enumerate(entries) if entry.level == "viewer")
        entries[at] = replace(entries[at], temporary=(TemporaryGrant(user, unique_id, until, ""),))


@pytest.fixture
def site(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    return Site(account, tmp_path)  # type: ignore[return-value]


def administer_existing(site: Site) -> None:
    """Do what the levels with existing groups and roles, boundaries, tags and listed members need."""
    iam, name = site.iam, site.name
    assert [user["UserName"] for user in iam.get_group(GroupName=f"{name}-listed")["Users"]] == [f"{name}-bob"]
    iam.delete_role_permissions_boundary(RoleName=f"{name}-bounded")
    iam.put_role_permissions_boundary(RoleName=f"{name}-unbounded", PermissionsBoundary=BOUNDARY)
    site.write_file(team="security", listed=site.member)
    site.run("apply --yes --force")
    tags = iam.list_role_tags(RoleName=f"{name}-bounded")["Tags"]
    assert {"Key": "team", "Value": "security"} in tags
    assert iam.get_role(RoleName=f"{name}-bounded")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    assert "PermissionsBoundary" not in iam.get_role(RoleName=f"{name}-unbounded")["Role"]
    assert [user["UserName"] for user in iam.get_group(GroupName=f"{name}-listed")["Users"]] == [site.member]
    # The level gets a group of its own, and the existing one again.
    site.write_file(own_staff=True)
    site.run("apply --yes --force")
    assert iam.list_attached_group_policies(GroupName=f"staff-{name}")["AttachedPolicies"] == []
    site.write_file()
    site.run("apply --yes --force")
    assert len(iam.list_attached_group_policies(GroupName=f"staff-{name}")["AttachedPolicies"]) == 1


def administer(site: Site) -> None:
    """Do everything that `plan`, `apply` and `destroy` are for, with drift that others made in between."""
    iam, name = site.iam, site.name
    site.run("apply --yes")
    administer_existing(site)
    # Somebody attached, edited, untagged and moved things.
    for kind in ("user", "group"):
        getattr(iam, f"create_{kind}")(**{f"{kind.capitalize()}Name": f"{name}-other-{kind}"})
    iam.create_role(RoleName=f"{name}other", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_user_policy(UserName=f"{name}-other-user", PolicyArn=site.policy("admin"))
    iam.attach_group_policy(GroupName=f"{name}-other-group", PolicyArn=site.policy("admin"))
    iam.attach_role_policy(RoleName=f"{name}other", PolicyArn=site.policy("admin"))
    for _ in range(4):
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
        )
        iam.create_policy_version(PolicyArn=site.policy("keys"), PolicyDocument=document, SetAsDefault=True)
    iam.update_assume_role_policy(RoleName=f"{name}-admin", PolicyDocument=json.dumps(TRUST))
    iam.untag_role(RoleName=f"{name}-viewer", TagKeys=["kube-iam.dev/level"])
    iam.untag_policy(PolicyArn=site.policy("viewer"), TagKeys=["kube-iam.dev/level"])
    iam.detach_group_policy(GroupName=f"{name}-viewer", PolicyArn=site.policy("viewer"))
    iam.update_group(GroupName=f"{name}-viewer", NewPath="/")
    site.put_temporary(site.member, "2020-01-01T00:00:00Z")
    own = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{ACCOUNT}:role/{name}-viewer"}
    iam.put_user_policy(
        UserName=site.member,
        PolicyName=f"kube-iam-{name}-viewer",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [own]}),
    )
    site.write_file(session="2h")
    site.run("apply --yes --adopt --force")
    assert iam.list_user_policies(UserName=site.member)["PolicyNames"] == []
    assert iam.list_entities_for_policy(PolicyArn=site.policy("admin"))["PolicyUsers"] == []
    # A level's group gets another name, with its members.
    iam.add_user_to_group(GroupName=f"{name}-admin", UserName=site.member)
    site.write_file(session="2h", group=f"{name}-admins")
    site.run("apply --yes --force")
    assert [user["UserName"] for user in iam.get_group(GroupName=f"{name}-admins")["Users"]] == [site.member]
    # The file lists a user in another letter case: only a list of all users finds the user.
    site.write_file(session="2h", group=f"{name}-admins", members=site.member.upper())
    assert f"the IAM user is written {site.member}" in site.run("plan")
    site.write_file(session="2h", group=f"{name}-admins")
    iam.add_user_to_group(GroupName=f"{name}-keys", UserName=site.member)
    site.put_temporary(f"{name}-job", "2090-01-01T00:00:00Z")
    site.run("plan", denials=(DENIED_KEY,))
    site.run("destroy --yes --force")
    assert iam.list_policies(PathPrefix=f"/kube-iam/{name}/")["Policies"] == []
    assert iam.list_attached_group_policies(GroupName=f"staff-{name}")["AttachedPolicies"] == []


def operate(site: Site, *, temporary: bool) -> None:
    """Do everything that `grant`, `revoke` and `who` are for."""
    site.run(f"grant {site.member} admin")
    site.run(f"grant {site.member} keys")
    site.run(f"grant {site.member} shared")
    site.run(f"grant {site.member} staff --yes")
    staff = site.iam.get_group(GroupName=f"staff-{site.name}")["Users"]
    assert [user["UserName"] for user in staff] == [site.member]
    site.run("who", denials=(DENIED_KEY,))
    site.run(f"revoke {site.member} staff --yes")
    site.write_file(more="  - {name: later, bind: [{clusterRole: view}]}")
    with pytest.raises(NotFound, match="level later does not exist in IAM yet"):
        site.run(f"grant {site.member} later")
    site.write_file()
    site.run(f"revoke {site.member} admin")
    site.run(f"grant {site.member} keys --for 2h")
    with pytest.raises(KubeIamError, match=f"no IAM user {site.name}-alicia in this account"):
        site.run(f"grant {site.name}-alicia admin")
    if temporary:
        site.run(f"grant {site.member} viewer --for 2h")
        site.run(f"revoke {site.member} viewer")
        assert site.iam.list_user_policies(UserName=site.member)["PolicyNames"] == []
    site.run(f"revoke {site.member} keys")


def audit(site: Site) -> None:
    """Ask `who-can`, `explain` and `report` for everything, also with a member who has policies of each kind and a boundary."""
    document = json.dumps(ALLOW_NOTHING)
    member, group = site.member, f"{site.name}-audited"
    site.iam.create_group(GroupName=group)
    site.iam.add_user_to_group(GroupName=group, UserName=member)
    site.iam.put_group_policy(GroupName=group, PolicyName="inline", PolicyDocument=document)
    site.iam.put_user_policy(UserName=member, PolicyName="inline", PolicyDocument=document)
    site.iam.attach_user_policy(UserName=member, PolicyArn=site.policy("viewer"))
    site.iam.attach_user_policy(UserName=member, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    site.run_as_administrator(f"grant {member} viewer")
    unread: list[str] = []
    for words in (f"explain {member} viewer", "who-can get pods", "report"):
        session = site.session(site.job)
        session.rbac = NoRbac()  # type: ignore[assignment]
        with redirect_stdout(io.StringIO()) as out:
            run_command("kube-iam", [*words.split(), "-o", "json", "-f", str(site.path)], {}, session)
        found = json.loads(out.getvalue())
        steps = (step for each in found.get("explanations", ()) for step in each["steps"])
        of_report = found["notRead"].values() if words == "report" else [found.get("notRead", ())]
        unread += [
            *(text for texts in of_report for text in texts),
            *(step["detail"] for step in steps if step["reason"] == "not_read"),
        ]
    if unread:
        raise AccessDenied("; ".join(unread))


class NoRbac:
    """A cluster without bindings."""

    def read(self, namespace: str) -> Rbac:
        return Rbac()

    def read_bindings(self) -> Rbac:
        return Rbac()

    def default_namespace(self) -> str:
        return "default"

    def resource_type(self, word: str) -> ResourceType:
        return ResourceType(word, "", True)


JOBS: dict[str, tuple[Callable[[Any], dict[str, object]], Callable[[Site], None]]] = {
    "admin": (admin_document, administer),
    "operator": (lambda access: operator_document(access), lambda site: operate(site, temporary=False)),
    "operator --temporary": (
        lambda access: operator_document(access, temporary=True),
        lambda site: operate(site, temporary=True),
    ),
    "auditor": (auditor_document, audit),
}


def actions_of(job: str) -> list[str]:
    """Return the actions of a job's policy for such a file."""
    access = parse_access(text_of_file("c0").encode(), "access.yaml", Path())
    statements: Any = JOBS[job][0](access)["Statement"]
    return sorted({action for statement in statements for action in statement["Action"]})


def without(document: dict[str, object], action: str) -> dict[str, object]:
    statements: Any = document["Statement"]
    left = [{**each, "Action": [one for one in each["Action"] if one != action]} for each in statements]
    return {**document, "Statement": [each for each in left if each["Action"]]}


def begin(site: Site, job: str, document: dict[str, object]) -> None:
    if job != "admin":
        site.run_as_administrator("apply --yes")
    site.give(document)


@pytest.mark.parametrize("job", JOBS)
def test_policy_is_enough_for_the_job(job: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    make, do = JOBS[job]
    begin(site, job, make(site.access))
    do(site)
    assert "could not be read" not in capsys.readouterr().err


NEEDED = [
    *(("admin", action) for action in actions_of("admin")),
    *(("operator", action) for action in actions_of("operator")),
    *(("auditor", action) for action in actions_of("auditor")),
    *(
        ("operator --temporary", each)
        for each in actions_of("operator --temporary")
        if each not in actions_of("operator")
    ),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("job", "action"), cells(NEEDED))
def test_every_action_of_the_policy_is_needed(
    job: str, action: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    make, do = JOBS[job]
    begin(site, job, without(make(site.access), action))
    try:
        do(site)
    except (KubeIamError, AssertionError) as error:
        refused = error if isinstance(error, AccessDenied) else error.__cause__ or error
        assert isinstance(error, AccessDenied) or action in f"{error}{refused}" or action == "iam:ListUsers", error
    else:
        assert action in capsys.readouterr().err


REFUSED: dict[str, Callable[[Any, Site], object]] = {
    "create a policy": lambda iam, site: iam.create_policy(
        PolicyName="mine", Path=f"/kube-iam/{site.name}/", PolicyDocument=json.dumps(operator_document(site.access))
    ),
    "change a policy": lambda iam, site: iam.create_policy_version(
        PolicyArn=site.policy("admin"), PolicyDocument=json.dumps(operator_document(site.access)), SetAsDefault=True
    ),
    "delete a policy": lambda iam, site: iam.delete_policy(PolicyArn=site.policy("admin")),
    "create a role": lambda iam, site: iam.create_role(
        RoleName=f"{site.name}-mine", AssumeRolePolicyDocument=json.dumps(TRUST)
    ),
    "change a trust policy": lambda iam, site: iam.update_assume_role_policy(
        RoleName=f"{site.name}-admin", PolicyDocument=json.dumps(TRUST)
    ),
    "change a role": lambda iam, site: iam.update_role(RoleName=f"{site.name}-admin", MaxSessionDuration=43200),
    "delete a role": lambda iam, site: iam.delete_role(RoleName=f"{site.name}-admin"),
    "attach a policy to a group": lambda iam, site: iam.attach_group_policy(
        GroupName=f"{site.name}-viewer", PolicyArn=site.policy("admin")
    ),
    "attach a policy to a user": lambda iam, site: iam.attach_user_policy(
        UserName=f"{site.name}-job", PolicyArn=site.policy("admin")
    ),
    "attach a policy to a role": lambda iam, site: iam.attach_role_policy(
        RoleName=f"{site.name}-admin", PolicyArn=site.policy("admin")
    ),
    "detach a policy": lambda iam, site: iam.detach_group_policy(
        GroupName=f"{site.name}-admin", PolicyArn=site.policy("admin")
    ),
    "write a policy of a group": lambda iam, site: iam.put_group_policy(
        GroupName=f"{site.name}-viewer", PolicyName="mine", PolicyDocument=json.dumps(operator_document(site.access))
    ),
    "write a policy of a user": lambda iam, site: iam.put_user_policy(
        UserName=f"{site.name}-job", PolicyName="mine", PolicyDocument=json.dumps(operator_document(site.access))
    ),
    "move a group": lambda iam, site: iam.update_group(GroupName=f"{site.name}-admin", NewPath="/"),
    "create a group": lambda iam, site: iam.create_group(GroupName="mine", Path=f"/kube-iam/{site.name}/"),
    "join a group of nobody's cluster": lambda iam, site: iam.add_user_to_group(
        GroupName=f"{site.name}-foreign", UserName=f"{site.name}-job"
    ),
    "create an access key": lambda iam, site: iam.create_access_key(UserName=site.member),
    "attach a policy to an existing group": lambda iam, site: iam.attach_group_policy(
        GroupName=f"staff-{site.name}", PolicyArn=site.policy("admin")
    ),
    "detach a policy from an existing group": lambda iam, site: iam.detach_group_policy(
        GroupName=f"staff-{site.name}", PolicyArn=site.policy("staff")
    ),
    "change a boundary": lambda iam, site: iam.put_role_permissions_boundary(
        RoleName=f"{site.name}-bounded", PermissionsBoundary=BOUNDARY
    ),
    "remove a boundary": lambda iam, site: iam.delete_role_permissions_boundary(RoleName=f"{site.name}-bounded"),
    "tag a role": lambda iam, site: iam.tag_role(RoleName=f"{site.name}-admin", Tags=[{"Key": "a", "Value": "b"}]),
}


@pytest.fixture(scope="module")
def operated(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site whose principal has the operator's policy."""
    site = Site(account, tmp_path_factory.mktemp("operated"))
    begin(site, "operator", operator_document(site.access))
    site.iam.create_group(GroupName=f"{site.name}-foreign")
    return site


@pytest.mark.parametrize("attempt", REFUSED)
def test_operator_cannot(attempt: str, operated: Site) -> None:
    with pytest.raises(ClientError) as caught:
        REFUSED[attempt](operated.account.client("iam", operated.job), operated)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_administrator_detaches_policies_of_this_cluster_alone(site: Site) -> None:
    site.give(admin_document(site.access))
    guardrail = site.iam.create_policy(
        PolicyName=f"{site.name}-guardrail", PolicyDocument=json.dumps(operator_document(site.access))
    )
    arn = guardrail["Policy"]["Arn"]
    site.iam.attach_user_policy(UserName=site.member, PolicyArn=arn)
    iam = site.account.client("iam", site.job)
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.detach_user_policy(UserName=site.member, PolicyArn=arn)
    site.run("apply --yes")
    with pytest.raises(ClientError, match="AccessDenied"):
        iam.attach_group_policy(GroupName=f"{site.name}-viewer", PolicyArn=arn)


ADMINISTRATOR_REFUSED: dict[str, Callable[[Any, Site], object]] = {
    "set a boundary that is not in the file": lambda iam, site: iam.put_role_permissions_boundary(
        RoleName=f"{site.name}-bounded", PermissionsBoundary=BOUNDARY.replace("developer", "wide")
    ),
    "set a boundary on a role of others": lambda iam, site: iam.put_role_permissions_boundary(
        RoleName=f"shared-{site.name}", PermissionsBoundary=BOUNDARY
    ),
    "remove a boundary that the file sets": lambda iam, site: iam.delete_role_permissions_boundary(
        RoleName=f"{site.name}-bounded"
    ),
    "change an existing role": lambda iam, site: iam.update_assume_role_policy(
        RoleName=f"shared-{site.name}", PolicyDocument=json.dumps(TRUST)
    ),
    "delete an existing role": lambda iam, site: iam.delete_role(RoleName=f"shared-{site.name}"),
    "add a member to an existing group": lambda iam, site: iam.add_user_to_group(
        GroupName=f"staff-{site.name}", UserName=site.member
    ),
    "move an existing group": lambda iam, site: iam.update_group(GroupName=f"staff-{site.name}", NewPath="/"),
    "delete an existing group": lambda iam, site: iam.delete_group(GroupName=f"staff-{site.name}"),
    "attach another policy to an existing group": lambda iam, site: iam.attach_group_policy(
        GroupName=f"staff-{site.name}", PolicyArn=BOUNDARY
    ),
}


@pytest.fixture(scope="module")
def administered(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site that was applied, whose principal has the administrator's policy."""
    site = Site(account, tmp_path_factory.mktemp("administered"))
    site.run_as_administrator("apply --yes")
    site.give(admin_document(site.access))
    return site


@pytest.mark.parametrize("attempt", ADMINISTRATOR_REFUSED)
def test_administrator_cannot(attempt: str, administered: Site) -> None:
    with pytest.raises(ClientError) as caught:
        ADMINISTRATOR_REFUSED[attempt](administered.account.client("iam", administered.job), administered)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def test_an_existing_group_that_is_missing_is_named_to_an_administrator(site: Site) -> None:
    site.give(admin_document(site.access))
    site.iam.delete_group_policy(GroupName=f"staff-{site.name}", PolicyName="theirs")
    site.iam.delete_group(GroupName=f"staff-{site.name}")
    with pytest.raises(NotOwned, match=f"group staff-{site.name} does not exist"):
        site.run("plan")
