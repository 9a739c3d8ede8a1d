"""Plans against a real kube-apiserver and an account in memory: checks in advance, and changes of the caller's own level."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from control_plane import Connect, control_plane
from fake_account import FakeAccount
from levels_for_tests import ADMIN, EDITOR, VIEWER, access
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, RoleBinding

from kube_iam.access.apply import Applied, apply_plan
from kube_iam.access.levels import Bind, ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Ports, Preflight
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.dry_run import DryRunApi
from kube_iam.kube.mapping_source import make_source
from kube_iam.kube.mapping_store import make_store
from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]

CONFIG = 'clusterID: "prod.example.com"\nserver:\n  port: 21362\n'
ALICE = {"Impersonate-User": "awsiam:alice", "Impersonate-Group": "kube-iam:admin"}


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    binaries = find_binaries(os.environ)
    if binaries is None:
        pytest.skip(f"no kube-apiserver and etcd; build them with `{BUILD_COMMAND}`")
    with control_plane(tmp_path_factory.mktemp("plane"), binaries) as connect:
        for name in ("shop", "blog"):
            connect().client().create(Namespace(metadata=ObjectMeta(name=name)))
        yield connect


@pytest.fixture
def client(connect: Connect) -> Client:
    """Return the administrator's client of a cluster without bindings of ours, with an empty mapping."""
    client = connect().client()
    ours: dict[str, Any] = {"app.kubernetes.io/managed-by": "kube-iam"}
    for found in client.list(ClusterRoleBinding, labels=ours):
        client.delete(ClusterRoleBinding, _name(found))
    for bound in client.list(RoleBinding, namespace="*", labels=ours):
        client.delete(RoleBinding, _name(bound), namespace=bound.metadata.namespace if bound.metadata else None)
    write_mapping(client, CONFIG)
    return client


def _name(found: Any) -> str:
    return str(found.metadata.name)


def write_mapping(client: Client, text: str | None) -> None:
    """Make the text the mapping; None: delete the ConfigMap."""
    metadata = ObjectMeta(name="aws-iam-authenticator", namespace="kube-system")
    for found in client.list(ConfigMap, namespace="kube-system"):
        if _name(found) == metadata.name:
            client.delete(ConfigMap, _name(found), namespace="kube-system")
    if text is not None:
        client.create(ConfigMap(metadata=metadata, data={"config.yaml": text}))


class Site:
    """One account in memory, and this cluster as somebody sees it."""

    def __init__(self, connect: Connect) -> None:
        self.account = FakeAccount()
        self.connect = connect

    def ports(self, file: ClusterAccess, **headers: str) -> Ports:
        api = self.connect()
        api.client()._client._client.headers.update(headers)
        dry = DryRunApi(api)
        preflight = Preflight(KubeCluster(dry), make_store(file, dry), make_source(file, api))
        return Ports(self.account.directory, KubeCluster(api), make_store(file, api), preflight)

    def apply(self, file: ClusterAccess, **headers: str) -> Applied:
        ports = self.ports(file, **headers)
        return apply_plan(plan_apply(file, ports), ports, lambda position: None)


@pytest.fixture
def site(connect: Connect, client: Client) -> Site:
    site = Site(connect)
    assert site.apply(access()).error is None
    return site


def state(client: Client) -> object:
    """Everything that a plan may change in the cluster."""
    bindings = [*client.list(ClusterRoleBinding), *client.list(RoleBinding, namespace="*")]
    config = client.get(ConfigMap, "aws-iam-authenticator", namespace="kube-system")
    return bindings, config


def test_a_missing_namespace_is_named_and_nothing_has_changed(site: Site, client: Client) -> None:
    before = state(client)
    wanted = access(
        ADMIN, replace(EDITOR, bind=(Bind("view"),)), replace(VIEWER, bind=(Bind("view", "", ("nowhere",)),))
    )
    plan = plan_apply(wanted, site.ports(wanted))
    assert [failure.split(": ", 1)[1] for failure in plan.failures] == [
        "there is no namespace nowhere: create the namespace, or correct `namespaces` of level viewer"
    ]
    assert state(client) == before


def test_a_failure_half_way_has_taken_nothing_away(site: Site, client: Client) -> None:
    before = {_name(each) for each in client.list(RoleBinding, namespace="*")}
    wanted = access(
        ADMIN, replace(EDITOR, bind=(Bind("view"),)), replace(VIEWER, bind=(Bind("view", "", ("nowhere",)),))
    )
    applied = site.apply(wanted)
    assert applied.error is not None
    assert {_name(each) for each in client.list(RoleBinding, namespace="*")} >= before


def test_the_callers_own_level_gets_another_role_in_one_run(site: Site) -> None:
    wanted = access(replace(ADMIN, bind=(Bind("edit"),)), EDITOR)
    plan = plan_apply(wanted, site.ports(wanted, **ALICE))
    assert plan.failures == ()
    assert any("you have ClusterRole cluster-admin in the whole cluster" in guard for guard in plan.guards)
    assert site.apply(wanted, **ALICE).error is None
    assert plan_apply(wanted, site.ports(wanted)).changes == ()


def test_the_callers_own_level_gets_other_groups_in_one_run(site: Site) -> None:
    wanted = access(replace(ADMIN, groups=("admins",)), EDITOR, replace(VIEWER, groups=("lookers",)))
    assert site.apply(wanted, **ALICE).error is None
    assert plan_apply(wanted, site.ports(wanted)).changes == ()


def test_the_callers_own_level_is_removed_in_one_run(site: Site) -> None:
    wanted = access(EDITOR, VIEWER)
    assert site.apply(wanted, **ALICE).error is None
    assert plan_apply(wanted, site.ports(wanted)).changes == ()


def test_what_the_caller_may_not_grant_is_named(site: Site, client: Client) -> None:
    reads = PolicyRule(
        apiGroups=["rbac.authorization.k8s.io"], resources=["*"], verbs=["get", "list", "create", "patch"]
    )
    maps = PolicyRule(apiGroups=[""], resources=["configmaps"], verbs=["get"])
    client.apply(ClusterRole(metadata=ObjectMeta(name="operator"), rules=[reads, maps]))
    operators = access(ADMIN, EDITOR, VIEWER, replace(VIEWER, **_operators(), bind=(Bind("operator"),)))
    assert site.apply(operators).error is None
    wanted = access(ADMIN, EDITOR, replace(VIEWER, bind=(Bind("cluster-admin"),)), *operators.levels[3:])
    ports = site.ports(wanted, **{"Impersonate-User": "awsiam:bob", "Impersonate-Group": "operators"})
    failures = plan_apply(wanted, ports).failures
    assert len(failures) == 2
    assert "RBAC lets nobody grant what they do not hold" in failures[0]
    assert "allowed to delete clusterrolebindings" in failures[1]


def _operators() -> dict[str, Any]:
    names = {f"{kind}_name": "prod-operator" for kind in ("role", "policy", "group")}
    return {"name": "operator", "groups": ("operators",), **names}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no ConfigMap kube-system/aws-iam-authenticator"),
        ("", "key config.yaml of ConfigMap kube-system/aws-iam-authenticator is empty or missing"),
        (
            'clusterID: "dev.example.com"\n',
            "clusterID in ConfigMap kube-system/aws-iam-authenticator is dev.example.com",
        ),
    ],
)
def test_a_mapping_that_no_server_of_the_cluster_reads_needs_force(
    connect: Connect, client: Client, text: str | None, said: str
) -> None:
    write_mapping(client, text)
    site = Site(connect)
    (guard,) = plan_apply(access(), site.ports(access())).guards
    assert said in guard
    assert site.apply(access()).error is None
    assert plan_apply(access(), site.ports(access())).changes == ()


@pytest.mark.parametrize("data", [None, {}, {"mapUsers": "[]"}, {"mapRoles": "- rolearn: x\n"}])
def test_a_missing_aws_auth_needs_force_and_its_keys_may_be_missing(
    connect: Connect, client: Client, data: dict[str, str] | None
) -> None:
    file = access(mapping=MappingTarget(TargetKind.AWS_AUTH, name="aws-auth", key="mapRoles"), checks_sign_in=False)
    if data is not None:
        client.create(ConfigMap(metadata=ObjectMeta(name="aws-auth", namespace="kube-system"), data=data))
    try:
        guards = plan_apply(file, Site(connect).ports(file)).guards
    finally:
        if data is not None:
            client.delete(ConfigMap, "aws-auth", namespace="kube-system")
    assert [guard.startswith("there is no ConfigMap kube-system/aws-auth") for guard in guards] == [True] * (
        data is None
    )


def test_a_config_map_that_the_caller_may_not_write_is_named(connect: Connect, client: Client) -> None:
    site = Site(connect)
    reader = PolicyRule(apiGroups=["*"], resources=["*"], verbs=["get", "list"])
    writer = PolicyRule(apiGroups=["rbac.authorization.k8s.io"], resources=["*"], verbs=["*"])
    client.apply(ClusterRole(metadata=ObjectMeta(name="half"), rules=[reader, writer]))
    half = access(replace(ADMIN, groups=("half",), bind=(Bind("half"),)))
    assert site.apply(half).error is None
    wanted = access(half.levels[0], VIEWER)
    failures = plan_apply(wanted, site.ports(wanted, **{"Impersonate-User": "x", "Impersonate-Group": "half"})).failures
    assert [failure.split()[1] for failure in failures] == ["mapping"]
    assert "allowed to patch configmaps in namespace kube-system" in failures[0]
