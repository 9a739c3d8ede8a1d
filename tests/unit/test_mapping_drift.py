"""Entries of a mapping that take a level's place are shown by `plan` and mended by `apply`, in every place where mappings live."""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from api_in_memory import ApiInMemory
from fake_account import ACCOUNT, FakeAccount, FakeDirectory
from levels_for_tests import NODES, VIEWER, access, run

from identities import principal
from kube_iam.access.changes import Kind, Plan
from kube_iam.access.levels import ClusterAccess, MappingTarget, Method, TargetKind
from kube_iam.access.mapping import MappingStore
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Ports
from kube_iam.config.config_map import read_config_map
from kube_iam.config.mounted import load_mounted_mappings
from kube_iam.core.mapping import MappingTable
from kube_iam.errors import NotOwned
from kube_iam.kube.mapping_store import make_store

ARN = f"arn:aws:iam::{ACCOUNT}:role/prod-viewer"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-viewer/x"
WITH_PATH = f"arn:aws:iam::{ACCOUNT}:role/people/prod-viewer"
SHOUTED = f"ARN:AWS:IAM::{ACCOUNT}:ROLE/Prod-Viewer"
MASTERS = "\n  username: root\n  groups:\n  - system:masters\n"


MEMORY = ApiInMemory()
API = MEMORY.api()  # one for all tests: to make a client takes 0.1 s


class Site:
    """An account and a mapping in a real text: config.yaml in a file or a ConfigMap, or aws-auth."""

    def __init__(self, kind: TargetKind, folder: Path) -> None:
        self.kind = kind
        self.account = FakeAccount()
        self.memory = MEMORY
        self.memory.objects.clear()
        self.path = folder / "config.yaml"
        target = MappingTarget(kind, path=str(self.path))
        self.target = replace(target, name="aws-auth", key="mapRoles") if kind is TargetKind.AWS_AUTH else target
        self.write(
            "mapRoles",
            f"- rolearn: {NODES.role_arn}\n  username: {json.dumps(NODES.username)}\n  groups: [system:nodes]\n",
        )

    def file(self, *levels: object) -> ClusterAccess:
        return access(*(levels or (VIEWER,)), mapping=self.target)  # type: ignore[arg-type]

    @property
    def store(self) -> MappingStore:
        return make_store(self.file(), None if self.kind is TargetKind.FILE else API)

    @property
    def ports(self) -> Ports:
        return Ports(self.account.directory, self.account.cluster, self.store)

    @property
    def directory(self) -> FakeDirectory:
        return self.account.directory

    def plan(self, *levels: object, **more: bool) -> Plan:
        return plan_apply(self.file(*levels), self.ports, **more)

    def run(self, plan: Plan) -> None:
        run(self.account, plan, self.ports)

    def config(self) -> str:
        """Return the text of config.yaml."""
        if self.kind is TargetKind.FILE:
            return self.path.read_text() if self.path.exists() else ""
        return self.memory.data("kube-system/aws-iam-authenticator").get("config.yaml", "")

    def read(self, name: str) -> str:
        """Return the text of one list, without indentation."""
        if self.kind is TargetKind.AWS_AUTH:
            return self.memory.data("kube-system/aws-auth").get(name, "")
        lines = re.split(rf"^  {name}:.*\n", self.config(), maxsplit=1, flags=re.MULTILINE)[1:]
        lines = lines[0].splitlines() if lines else []
        inside = itertools.takewhile(lambda line: line.startswith(("  -", "   ")), lines)
        return textwrap.dedent("".join(f"{line}\n" for line in inside))

    def write(self, name: str, text: str) -> None:
        """Replace one list, as somebody would by hand."""
        if self.kind is TargetKind.AWS_AUTH:
            data = self.memory.data("kube-system/aws-auth") if self.memory.objects else {}
            return self.memory.put_config_map("kube-system/aws-auth", {**data, name: text})
        lists = {each: self.read(each) for each in ("mapRoles", "mapUsers", "mapGroups")} if self._exists() else {}
        lists[name] = text
        whole = "clusterID: prod.example.com\nserver:\n"
        for each, inner in lists.items():
            if inner:
                whole += f"  {each}:\n" + "".join(f"    {line}\n" for line in inner.splitlines())
        if self.kind is TargetKind.FILE:
            self.path.write_text(whole)
            return None
        return self.memory.put_config_map("kube-system/aws-iam-authenticator", {"config.yaml": whole})

    def _exists(self) -> bool:
        return self.path.exists() if self.kind is TargetKind.FILE else bool(self.memory.objects)

    def table(self) -> MappingTable:
        """Return the mapping as the server reads it."""
        if self.kind is TargetKind.AWS_AUTH:
            return read_config_map(self.memory.data("kube-system/aws-auth"), {}).table
        self.path.write_text(self.config())
        return load_mounted_mappings(self.path)[0].table

    def served(self, arn: str = ARN) -> tuple[str, tuple[str, ...]] | None:
        """Return the user name and groups that the server gives sessions of the role."""
        found = self.table().find(principal(arn, session_name="alice"))
        return (found.username.text, tuple(group.text for group in found.groups)) if found else None


@pytest.fixture(
    params=[kind for kind in TargetKind if kind not in (TargetKind.CRD, TargetKind.ACCESS_ENTRIES)],
    ids=lambda kind: kind.value,
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    site = Site(request.param, tmp_path)
    site.run(site.plan())
    assert site.plan().changes == ()
    assert site.served() == OURS
    return site


def test_a_role_in_another_letter_case_is_repaired(site: Site) -> None:
    # The server would ask IAM for the role as it is spelled, which its rights in IAM do not cover.
    site.write("mapRoles", site.read("mapRoles").replace(ARN, ARN.replace("prod-viewer", "Prod-Viewer")))
    plan = site.plan()
    assert [(change.kind, change.fields[0].name) for change in plan.changes] == [(Kind.MAPPING, "roleArn")]
    site.run(plan)
    assert ARN in site.read("mapRoles")
    assert site.plan().changes == ()


OURS = ("awsiam:{{SessionNameRaw}}", ("kube-iam:viewer",))


def ours_of(text: str) -> str:
    """Return the level's entry in a list."""
    return text[text.index(f"- rolearn: {ARN}") :]


def above(arn: str) -> Callable[[str], str]:
    return lambda text: f"- rolearn: {arn}{MASTERS}{text}"


def below(arn: str) -> Callable[[str], str]:
    return lambda text: f"{text}- rolearn: {arn}{MASTERS}"


def put(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        mine = ours_of(text)
        assert old in mine
        return text.replace(mine, mine.replace(old, new))

    return change


EDITS: dict[str, Callable[[str], str]] = {
    "another entry above": above(ARN),
    "another entry behind": below(ARN),
    "a session above": above(SESSION),
    "a session behind": below(SESSION),
    "a path above": above(WITH_PATH),
    "a path behind": below(WITH_PATH),
    "another letter case above": above(SHOUTED),
    "the session of a role with a path behind": below(f"arn:aws:sts::{ACCOUNT}:assumed-role/a/PROD-viewer/x"),
    "another spelling of the key above": lambda text: f"- roleARN: {ARN}{MASTERS}{text}",
    "the same groups under another user name": lambda text: text + ours_of(text).replace("awsiam:{{", "x:{{"),
    "the same entry twice": lambda text: text + ours_of(text),
    "a path in ours": put(ARN, WITH_PATH),
    "a session in ours": put(ARN, SESSION),
    "space around our ARN": put(ARN, f'" {ARN} "'),
    "groups as text": put("groups:\n  - kube-iam:viewer", "groups: kube-iam:viewer"),
    "groups as text with a comma": put("groups:\n  - kube-iam:viewer", "groups: kube-iam:viewer,system:masters"),
    "groups twice": put("groups:\n  - kube-iam:viewer", "groups:\n  - kube-iam:viewer\n  groups:\n  - system:masters"),
    "groups twice, other first": put("groups:\n  - kube-iam", "groups:\n  - system:masters\n  groups:\n  - kube-iam"),
    "groups twice by letter case": put("groups:\n  - kube-iam:viewer", "groups:\n  - kube-iam:viewer\n  Groups: [x]"),
    "a number among the groups": put("  - kube-iam:viewer", "  - kube-iam:viewer\n  - 10"),
    "another group": put("  - kube-iam:viewer", "  - kube-iam:viewer\n  - system:masters"),
    "username twice": put("  groups:", "  username: root\n  groups:"),
    "iamGroup twice": put("  iamGroup:", "  iamGroup: everybody\n  iamGroup:"),
    "iamGroup in another letter case": put("iamGroup: prod-viewer", "iamGroup: PROD-viewer"),
    "iamGroup misspelt": put("iamGroup: prod-viewer", "iam_group: prod-viewer"),
    "iamGroup null": put("iamGroup: prod-viewer", "iamGroup:"),
    "both rolearn and sso": put("  groups:", f"  sso: {{permissionSetName: x, accountID: '{ACCOUNT}'}}\n  groups:"),
    "rolearn twice": put(f"- rolearn: {ARN}", f"- rolearn: {ARN}\n  rolearn: {ARN}"),
    "level of another": put("level: viewer", "level: admin"),
}


@pytest.mark.parametrize("site", [TargetKind.FILE, TargetKind.AWS_AUTH], ids=lambda kind: kind.value, indirect=True)
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edit_that_takes_a_levels_place_is_a_change_and_is_mended(site: Site, edit: Callable[[str], str]) -> None:
    before = site.read("mapRoles")
    site.write("mapRoles", edit(before))
    plan = site.plan()
    assert [change.kind for change in plan.changes] == [Kind.MAPPING]
    assert plan.changes[0].fields
    site.run(plan)
    assert site.plan().changes == ()
    assert site.served() == OURS
    assert site.read("mapRoles").count("system:masters") == 0
    assert f"- rolearn: {NODES.role_arn}" in site.read("mapRoles")


def test_the_plan_says_what_other_entries_of_the_role_give(site: Site) -> None:
    site.write("mapRoles", below(ARN)(site.read("mapRoles")))
    (field,) = site.plan().changes[0].fields
    assert (field.name, field.before) == ("duplicate.mapRoles[2]", "user name root, groups system:masters")


@pytest.mark.parametrize("key", ["roleARN", "RoleArn"])
def test_another_spelling_of_a_key_in_our_own_entry_is_no_change(site: Site, key: str) -> None:
    site.write("mapRoles", put("rolearn:", f"{key}:")(site.read("mapRoles")))
    assert site.plan().changes == ()


@pytest.mark.parametrize("arn", [ARN, SHOUTED, WITH_PATH])
def test_an_entry_of_map_users_for_a_levels_role_is_removed(site: Site, arn: str) -> None:
    keep = f"- userarn: arn:aws:iam::{ACCOUNT}:user/prod-viewer\n  username: keep\n"
    site.write("mapUsers", f"{keep}- userarn: {arn}{MASTERS}")
    plan = site.plan()
    assert [(change.kind, change.name) for change in plan.changes] == [(Kind.MAPPING, arn)]
    site.run(plan)
    assert site.read("mapUsers") == keep
    assert site.plan().changes == ()


def test_destroy_removes_every_entry_of_its_roles(site: Site) -> None:
    site.write("mapRoles", below(SESSION)(above(WITH_PATH)(site.read("mapRoles"))))
    site.write("mapUsers", f"- userarn: {ARN}{MASTERS}")
    site.run(plan_destroy(site.file(), site.ports))
    assert site.served() is None
    assert "prod-viewer" not in site.read("mapRoles") + site.read("mapUsers")
    plan = plan_destroy(site.file(), site.ports)
    assert (plan.changes, plan.left_alone) == ((), ())


def test_an_entry_of_map_users_left_by_itself_is_listed_by_destroy(site: Site) -> None:
    site.run(plan_destroy(site.file(), site.ports))
    site.write("mapUsers", f"- userarn: {ARN}{MASTERS}")
    (line,) = plan_destroy(site.file(), site.ports).left_alone
    assert line == f"mapping {ARN} at mapUsers[0] (user name root, groups system:masters) means the role {ARN}"


@pytest.mark.parametrize(("name", "first"), [("Look", True), ("L*", False), ("Loo?", True)])
def test_a_permission_set_that_means_a_levels_role_stops_the_plan(site: Site, name: str, first: bool) -> None:
    role = "AWSReservedSSO_Look_0123456789abcdef"
    wanted = replace(VIEWER, role_name=role)
    site.run(site.plan(wanted))
    sso = f"- sso: {{permissionSetName: '{name}', accountID: '{ACCOUNT}'}}{MASTERS}"
    text = site.read("mapRoles")
    site.write("mapRoles", sso + text if first else text + sso)
    for adopt in (False, True):
        with pytest.raises(NotOwned) as caught:
            site.plan(wanted, adopt=adopt)
        assert f"mapping permission set {name} in account {ACCOUNT} is mapped at mapRoles[" in caught.value.message
        assert "groups system:masters: remove that entry, or choose another iam.role" in caught.value.message
    site.write("mapRoles", text)
    assert site.plan(wanted).changes == ()


@pytest.mark.parametrize(
    "others",
    [
        f"- rolearn: arn:aws:iam::{ACCOUNT}:role/*{MASTERS}",
        f"- rolearn: arn:aws:iam::{ACCOUNT}:role/prod-viewer2{MASTERS}",
        f"- rolearn: arn:aws:iam::999999999999:role/prod-viewer{MASTERS}",
        f"- rolearn: arn:aws-cn:iam::{ACCOUNT}:role/prod-viewer{MASTERS}",
        f"- sso: {{permissionSetName: '*', accountID: '{ACCOUNT}'}}{MASTERS}",
    ],
)
def test_an_entry_that_cannot_mean_a_levels_role_is_left_alone(site: Site, others: str) -> None:
    site.write("mapRoles", others + site.read("mapRoles"))
    assert site.plan().changes == ()
    assert site.served() == OURS
    site.run(plan_destroy(site.file(), site.ports))
    assert others in site.read("mapRoles")


BY_GROUP = replace(VIEWER, method=Method.GROUP, username="awsiam:{{UserName}}")
GROUP_EDITS: dict[str, Callable[[str], str]] = {
    "another entry above": lambda text: f"- iamGroup: prod-viewer{MASTERS}{text}",
    "another entry behind": lambda text: f"{text}- iamGroup: prod-viewer{MASTERS}",
    "another letter case behind": lambda text: f"{text}- IAMGroup: PROD-Viewer{MASTERS}",
    "groups as text": lambda text: text.replace("groups:\n  - kube-iam:viewer", "groups: kube-iam:viewer"),
    "groups twice": lambda text: text.replace("  level:", "  groups: [system:masters]\n  level:"),
    "another group": lambda text: text.replace("  - kube-iam:viewer", "  - kube-iam:viewer\n  - system:masters"),
}


@pytest.mark.parametrize("edit", GROUP_EDITS.values(), ids=GROUP_EDITS.keys())
def test_the_same_holds_for_entries_of_groups(site: Site, edit: Callable[[str], str]) -> None:
    site.run(site.plan(BY_GROUP))
    before = site.read("mapGroups")
    assert edit(before) != before
    site.write("mapGroups", edit(before))
    plan = site.plan(BY_GROUP)
    assert [change.kind for change in plan.changes] == [Kind.MAPPING]
    site.run(plan)
    assert site.plan(BY_GROUP).changes == ()
    assert site.read("mapGroups").count("- ") == before.count("- ")
    assert "system:masters" not in site.read("mapGroups")


def test_temporary_access_survives_when_another_entry_is_removed(site: Site) -> None:
    item = "\n  temporary:\n  - userName: carol\n    userId: AIDACAROLCAROL\n    until: 2099-01-01T00:00:00Z\n"
    site.write("mapRoles", above(ARN)(site.read("mapRoles").rstrip("\n") + item))
    site.run(site.plan())
    assert [who.user_name for entry in site.store.entries() for who in entry.temporary] == ["carol"]
    assert site.plan().changes == ()


@pytest.mark.parametrize("site", [TargetKind.FILE, TargetKind.CONFIG_FILE], ids=lambda kind: kind.value, indirect=True)
def test_a_mapping_that_no_server_can_load_is_a_warning(site: Site) -> None:
    site.write("mapUsers", "- userarn: no-arn\n  username: x\n")
    (warning,) = site.plan().warnings
    assert "servers cannot load" in warning
    assert "mapUsers[0].userarn: 'no-arn' is not an ARN" in warning
    site.write("mapUsers", "")
    assert site.plan().warnings == ()
