"""RBAC and mappings at a real kube-apiserver: server-side apply, ownership, roleRef changes, concurrent edits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from control_plane import Connect, control_plane
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef
from lightkube.models.rbac_v1 import Subject as RbacSubject
from lightkube.resources.core_v1 import ConfigMap, Namespace
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import BindingState
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import ConfigError, Conflict, KubeError, KubeIamError, NotFound, NotOwned
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.dry_run import DryRunApi
from kube_iam.kube.mapping_store import make_store
from kube_iam.sandbox.control_plane import BUILD_COMMAND, find_binaries
from kube_iam.sandbox.processes import wait_until
from required import missing

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    binaries = find_binaries(os.environ) or missing("a kube-apiserver or etcd", BUILD_COMMAND)
    with control_plane(tmp_path_factory.mktemp("plane"), binaries) as connect:
        client = connect().client()
        client.create(Namespace(metadata=ObjectMeta(name="shop")))
        yield connect


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect().client()


@pytest.fixture
def cluster(connect: Connect) -> KubeCluster:
    return KubeCluster(connect())


def binding(name: str, namespace: str = "shop", role: str = "edit", *groups: str) -> BindingState:
    return BindingState(name, namespace, "ClusterRole", role, groups or ("kube-iam:shop:viewer",), "viewer", "shop")


def test_the_administrator_is_known_and_has_no_arn(cluster: KubeCluster) -> None:
    subject = cluster.whoami()
    assert subject.username == "kubernetes-admin"
    assert "system:masters" in subject.groups
    assert subject.canonical_arn == ""


@pytest.mark.parametrize(
    "extra",
    [
        {"Canonicalarn": "arn:aws:iam::012345670123:role/shop-admin"},
        {"Arn": "arn:aws:sts::012345670123:assumed-role/shop-admin/alice"},
        {"Arn": "no-arn", "Canonicalarn": "arn:aws:iam::012345670123:role/shop-admin"},
    ],
)
def test_the_arn_that_the_authenticator_put_into_extra_is_shown(connect: Connect, extra: dict[str, str]) -> None:
    api = connect()
    headers = {f"Impersonate-Extra-{key}": value for key, value in extra.items()}
    api.client()._client._client.headers.update({"Impersonate-User": "awsiam:alice", **headers})
    subject = KubeCluster(api).whoami()
    assert (subject.username, subject.canonical_arn) == ("awsiam:alice", "arn:aws:iam::012345670123:role/shop-admin")


@pytest.mark.parametrize("namespace", ["shop", ""])
def test_a_binding_is_applied_read_changed_and_deleted(cluster: KubeCluster, client: Client, namespace: str) -> None:
    wanted = binding(f"one-{namespace or 'all'}", namespace)
    cluster.apply_binding(wanted)
    cluster.apply_binding(wanted)
    assert cluster.binding(namespace, wanted.name) == wanted
    assert wanted in cluster.bindings()
    kind: Any = RoleBinding if namespace else ClusterRoleBinding
    found = client.get(kind, wanted.name, namespace=namespace) if namespace else client.get(kind, wanted.name)
    assert found.metadata.labels == {
        "app.kubernetes.io/managed-by": "kube-iam",
        "kube-iam.dev/cluster": "shop",
        "kube-iam.dev/level": "viewer",
    }
    assert [entry.manager for entry in found.metadata.managedFields] == ["kube-iam"]
    changed = binding(wanted.name, namespace, "edit", "group-a", "group-b")
    cluster.apply_binding(changed)
    assert cluster.binding(namespace, wanted.name) == changed
    for _ in range(2):
        cluster.delete_binding(namespace, wanted.name)
    assert cluster.binding(namespace, wanted.name) is None


def test_a_role_ref_that_differs_replaces_the_binding(cluster: KubeCluster) -> None:
    cluster.apply_binding(binding("ref", "shop", "view"))
    cluster.apply_binding(binding("ref", "shop", "edit"))
    found = cluster.binding("shop", "ref")
    assert found is not None
    assert found.role_name == "edit"


RIGHTS = PolicyRule(
    apiGroups=["rbac.authorization.k8s.io"],
    resources=["rolebindings"],
    verbs=["get", "list", "create", "patch", "delete"],
)


@pytest.fixture(scope="module")
def deputy(connect: Connect) -> Connect:
    """Return connections of a user who may write RoleBindings and holds nothing else that a binding could grant."""
    client = connect().client()
    client.create(ClusterRole(metadata=ObjectMeta(name="deputy"), rules=[RIGHTS]))
    client.create(ClusterRole(metadata=ObjectMeta(name="nothing"), rules=[]))
    rbac = "rbac.authorization.k8s.io"
    client.create(
        ClusterRoleBinding(
            metadata=ObjectMeta(name="deputy"),
            roleRef=RoleRef(apiGroup=rbac, kind="ClusterRole", name="deputy"),
            subjects=[RbacSubject(kind="User", name="deputy", apiGroup=rbac)],
        )
    )

    def as_deputy() -> Any:
        api = connect()
        api.client()._client._client.headers.update({"Impersonate-User": "deputy"})
        return api

    # The API server's authorizer receives new rules a moment later.
    assert wait_until(lambda: may_read(as_deputy()), 20)
    return as_deputy


def test_a_refused_role_ref_leaves_the_binding_that_is_there(
    cluster: KubeCluster, deputy: Connect, client: Client
) -> None:
    cluster.apply_binding(binding("kept", "shop", "view"))
    with pytest.raises(KubeError, match="attempting to grant RBAC permissions"):
        KubeCluster(deputy()).apply_binding(binding("kept", "shop", "edit"))
    assert cluster.binding("shop", "kept") == binding("kept", "shop", "view")
    KubeCluster(deputy()).apply_binding(binding("kept", "shop", "nothing"))
    names = {found.metadata.name for found in client.list(RoleBinding, namespace="shop") if found.metadata}
    assert cluster.binding("shop", "kept") == binding("kept", "shop", "nothing")
    assert "kept:replacement" not in names


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (binding("new", "nowhere"), "nowhere"),
        (binding("new", "shop", "edit"), "attempting to grant RBAC permissions"),
        (binding("present", "shop", "edit"), "attempting to grant RBAC permissions"),
        (binding("new", "", "view"), "patch clusterrolebindings|get clusterrolebindings"),
        (binding("new", "shop", "no-such-role"), "no-such-role"),
    ],
    ids=["missing namespace", "escalation", "escalation by another role ref", "no right to write", "missing role"],
)
def test_a_dry_run_refuses_what_the_write_would_be_refused(
    cluster: KubeCluster, deputy: Connect, wanted: BindingState, why: str
) -> None:
    cluster.apply_binding(binding("present", "shop", "view"))
    with pytest.raises(KubeIamError, match=why):
        KubeCluster(DryRunApi(deputy())).apply_binding(wanted)
    with pytest.raises(KubeIamError, match=why):
        KubeCluster(deputy()).apply_binding(wanted)
    assert cluster.binding("shop", "present") == binding("present", "shop", "view")


def test_a_dry_run_changes_nothing(cluster: KubeCluster, connect: Connect, client: Client) -> None:
    cluster.apply_binding(binding("dry", "shop", "view"))
    dry = KubeCluster(DryRunApi(connect()))
    before = {found.metadata.name: found for found in client.list(RoleBinding, namespace="shop") if found.metadata}
    for wanted in (binding("dry", "shop", "edit"), binding("dry", "shop", "view", "more"), binding("dry-new")):
        dry.apply_binding(wanted)
    dry.delete_binding("shop", "dry")
    after = {found.metadata.name: found for found in client.list(RoleBinding, namespace="shop") if found.metadata}
    assert before == after


def test_what_someone_changed_in_a_binding_of_ours_is_put_right(cluster: KubeCluster, client: Client) -> None:
    cluster.apply_binding(binding("drift"))
    found = client.get(RoleBinding, "drift", namespace="shop")
    found.subjects = [
        *(found.subjects or []),
        RbacSubject(kind="User", name="mallory", apiGroup="rbac.authorization.k8s.io"),
    ]
    client.replace(found, field_manager="someone")
    drifted = cluster.binding("shop", "drift")
    assert drifted is not None
    assert drifted.groups == ("kube-iam:shop:viewer", "User:mallory")
    cluster.apply_binding(binding("drift"))
    assert cluster.binding("shop", "drift") == binding("drift")


def foreign(client: Client, name: str, group: str) -> None:
    rbac = "rbac.authorization.k8s.io"
    client.create(
        RoleBinding(
            metadata=ObjectMeta(name=name, namespace="shop"),
            roleRef=RoleRef(apiGroup=rbac, kind="ClusterRole", name="view"),
            subjects=[RbacSubject(kind="Group", name=group, apiGroup=rbac)],
        ),
        field_manager="someone",
    )


def test_a_binding_of_someone_else_is_shown_as_such_and_left_alone(cluster: KubeCluster, client: Client) -> None:
    foreign(client, "foreign", "their-group")
    seen = cluster.binding("shop", "foreign")
    assert seen == BindingState("foreign", "shop", "ClusterRole", "view", ("their-group",), "", "")
    assert seen not in cluster.bindings()
    with pytest.raises(NotOwned):
        cluster.apply_binding(binding("foreign", "shop", "edit"))
    with pytest.raises(Conflict):
        cluster.apply_binding(binding("foreign", "shop", "view"))
    with pytest.raises(NotOwned):
        cluster.delete_binding("shop", "foreign")
    assert cluster.binding("shop", "foreign") == seen


def test_a_binding_that_says_the_same_can_be_adopted(cluster: KubeCluster, client: Client) -> None:
    foreign(client, "adopted", "kube-iam:shop:viewer")
    cluster.apply_binding(binding("adopted", "shop", "view"))
    assert cluster.binding("shop", "adopted") == binding("adopted", "shop", "view")


def test_roles_are_found_by_kind_and_namespace(cluster: KubeCluster, client: Client) -> None:
    client.create(Role(metadata=ObjectMeta(name="local", namespace="shop"), rules=[]))
    client.create(ClusterRole(metadata=ObjectMeta(name="global"), rules=[]))
    assert cluster.role_exists("Role", "shop", "local")
    assert cluster.role_exists("ClusterRole", "", "global")
    assert not cluster.role_exists("Role", "default", "local")
    assert not cluster.role_exists("ClusterRole", "", "local")


def test_a_binding_into_a_namespace_that_is_missing_says_so(cluster: KubeCluster) -> None:
    with pytest.raises(NotFound, match="there is no namespace nowhere: create the namespace"):
        cluster.apply_binding(binding("x", "nowhere"))


def test_what_the_caller_may_not_do_is_named(connect: Connect) -> None:
    api = connect()
    api.client()._client._client.headers.update({"Impersonate-User": "bob"})
    with pytest.raises(KubeError, match=r"list clusterrolebindings\.rbac\.authorization\.k8s\.io"):
        KubeCluster(api).bindings()
    with pytest.raises(KubeError, match="patch rolebindings"):
        KubeCluster(connect_as_reader(api)).apply_binding(binding("bob"))


def connect_as_reader(api: Any) -> Any:
    """Return the same connection once bob may read bindings, so that he gets as far as the write."""
    api.client()._client._client.headers.pop("Impersonate-User")
    api.client().apply(
        ClusterRoleBinding(
            metadata=ObjectMeta(name="bob-reads"),
            roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="reader"),
            subjects=[RbacSubject(kind="User", name="bob", apiGroup="rbac.authorization.k8s.io")],
        )
    )
    rule: Any = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"], "verbs": ["get"]}
    api.client().apply(ClusterRole.from_dict({"metadata": {"name": "reader"}, "rules": [rule]}))
    api.client()._client._client.headers.update({"Impersonate-User": "bob"})
    # The API server's authorizer receives new rules a moment later.
    assert wait_until(lambda: may_read(api), 20)
    return api


def may_read(api: Any) -> bool:
    try:
        return KubeCluster(api).binding("shop", "none") is None
    except KubeError:
        return False


def access(target: MappingTarget) -> ClusterAccess:
    return ClusterAccess(
        "access.yaml", "shop.example.com", "shop", "012345670123", "aws", "eu-west-1", "", "", target, ()
    )


def entry(number: int) -> MappingEntry:
    return MappingEntry(f"arn:aws:iam::012345670123:role/level{number:02}", f"awsiam:{number}", (f"group{number}",))


CONFIG_MAP = MappingTarget(TargetKind.CONFIG_FILE)
AWS_AUTH = MappingTarget(TargetKind.AWS_AUTH, name="aws-auth", key="mapRoles")
TARGETS = pytest.mark.parametrize("target", [CONFIG_MAP, AWS_AUTH], ids=["configFile", "awsAuth"])


@pytest.fixture
def no_config_maps(client: Client) -> None:
    for target in (CONFIG_MAP, AWS_AUTH):
        if any(
            found.metadata and found.metadata.name == target.name
            for found in client.list(ConfigMap, namespace="kube-system")
        ):
            client.delete(ConfigMap, target.name, namespace="kube-system")


@TARGETS
@pytest.mark.usefixtures("no_config_maps")
def test_a_missing_config_map_is_created_with_our_label(
    connect: Connect, client: Client, target: MappingTarget
) -> None:
    store = make_store(access(target), connect())
    assert store.entries() == ()
    store.remove(entry(1))
    store.put(entry(1))
    assert store.entries() == (entry(1),)
    found = client.get(ConfigMap, target.name, namespace="kube-system")
    assert found.metadata is not None
    assert found.metadata.labels == {"app.kubernetes.io/managed-by": "kube-iam"}
    assert (found.data or {})[target.key].startswith(
        "# added by kube-iam\n- rolearn" if target is AWS_AUTH else 'clusterID: "shop.example.com"\n'
    )


@TARGETS
@pytest.mark.usefixtures("no_config_maps")
def test_twenty_interleaved_edits_of_two_stores_are_all_there(
    connect: Connect, client: Client, target: MappingTarget
) -> None:
    mine, theirs = (make_store(access(target), connect()) for _ in range(2))
    mine.put(entry(99))
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit((mine, theirs)[number % 2].put, entry(number)) for number in range(20)]
        done += [pool.submit(theirs.remove, entry(99))]
        for future in done:
            future.result()
    assert set(mine.entries()) == {entry(number) for number in range(20)}


@TARGETS
@pytest.mark.usefixtures("no_config_maps")
def test_concurrent_temporary_grants_and_changes_of_an_entry_are_all_kept(
    connect: Connect, client: Client, target: MappingTarget
) -> None:
    mine, theirs = (make_store(access(target), connect()) for _ in range(2))
    by_role = replace(entry(1), iam_group="shop-viewer", level="viewer")
    by_group = MappingEntry("", "awsiam:{{UserName}}", ("viewers",), "shop-looker", "looker")
    for each in (by_role, by_group):
        mine.put(each)
    assert theirs.entries() == (by_role, by_group)
    people = [
        TemporaryGrant(f"user{number}", f"AIDA{number}", "2099-01-01T00:00:00Z", "why: not") for number in range(10)
    ]
    changed = [replace(each, username="another") for each in (by_role, by_group)]
    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit((mine, theirs)[number % 2].add_temporary, each, who)
            for number, who in enumerate(people)
            for each in (by_role, by_group)
        ]
        done += [pool.submit(mine.put, each) for each in changed]
        for future in done:
            future.result()
    assert [replace(each, temporary=()) for each in mine.entries()] == changed
    assert [set(each.temporary) for each in mine.entries()] == [set(people)] * 2
    for each in changed:
        mine.remove_temporary(each, "USER3")
        theirs.remove_temporary(each, "nobody")
        theirs.remove_temporary(each, "user4", replace(people[4], reason="another"))
    assert [len(each.temporary) for each in mine.entries()] == [9, 9]
    for each in changed:
        mine.remove(each)
    assert mine.entries() == ()
    with pytest.raises(NotFound, match="run apply"):
        mine.add_temporary(by_group, people[0])


@pytest.mark.usefixtures("no_config_maps")
def test_other_keys_labels_and_every_foreign_byte_survive(connect: Connect, client: Client) -> None:
    text = "# nodes\n- roleARN:   'arn:aws:iam::1:role/Node' # x\n  groups: [ a ]\n"
    metadata = ObjectMeta(name="aws-auth", namespace="kube-system", labels={"team": "x"})
    client.create(ConfigMap(metadata=metadata, data={"mapRoles": text, "mapUsers": "[]"}))
    store = make_store(access(AWS_AUTH), connect())
    store.put(entry(1))
    store.put(entry(2))
    store.remove(entry(1))
    store.remove(entry(2))
    found = client.get(ConfigMap, "aws-auth", namespace="kube-system")
    assert found.data == {"mapRoles": text, "mapUsers": "[]"}
    assert found.metadata is not None
    assert found.metadata.labels == {"team": "x"}


@pytest.mark.usefixtures("no_config_maps")
def test_a_config_map_that_does_not_parse_is_named_and_not_written(connect: Connect, client: Client) -> None:
    broken = {"mapRoles": "- rolearn: a\n- [\n"}
    created = client.create(ConfigMap(metadata=ObjectMeta(name="aws-auth", namespace="kube-system"), data=broken))
    store = make_store(access(AWS_AUTH), connect())
    with pytest.raises(ConfigError, match=r"ConfigMap kube-system/aws-auth: line 3: mapRoles: is not YAML"):
        store.put(entry(1))
    found = client.get(ConfigMap, "aws-auth", namespace="kube-system")
    assert created.metadata is not None
    assert found.metadata is not None
    assert found.metadata.resourceVersion == created.metadata.resourceVersion


def test_a_config_map_in_a_missing_namespace_is_said_at_once(connect: Connect) -> None:
    store = make_store(access(MappingTarget(TargetKind.CONFIG_FILE, namespace="nowhere")), connect())
    with pytest.raises(NotFound, match="nowhere"):
        store.put(entry(1))
