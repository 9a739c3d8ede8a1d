"""Our evaluation of RBAC against a real kube-apiserver: generated roles, bindings and requests, each answered by both."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from lightkube import Client
from lightkube.models.authorization_v1 import NonResourceAttributes, ResourceAttributes, SubjectAccessReviewSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.models.rbac_v1 import AggregationRule, PolicyRule, RoleRef, Subject
from lightkube.resources.authorization_v1 import SubjectAccessReview
from lightkube.resources.core_v1 import Namespace
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding

from examples import examples
from kube_iam.core.rbac import AUTHENTICATED, MASTERS, Request, is_allowed
from kube_iam.kube.client import KubeApi
from kube_iam.kube.rbac import KubeRbac
from kube_iam.sandbox.processes import wait_until

if TYPE_CHECKING:
    from conftest import ControlPlane

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]

Item = TypeVar("Item")
RBAC = "rbac.authorization.k8s.io"
SPACES = ("rbac-a", "rbac-b")
USERS = ("u0", "u1", "awsiam:alice", "system:serviceaccount:rbac-a:robot", "system:serviceaccount:rbac-b:robot")
GROUPS = ("g0", "g1", "kube-iam:prod:admin", "system:serviceaccounts")
VERBS = ("get", "list", "create", "delete", "impersonate", "bind", "escalate", "use", "*")
API_GROUPS = ("", "apps", RBAC, "*")
RESOURCES = (
    "pods",
    "pods/exec",
    "pods/log",
    "deployments",
    "deployments/scale",
    "*/exec",
    "*/scale",
    "*",
    "clusterroles",
)
NAMES = ("web", "db", "")
PATHS = ("/metrics", "/healthz", "/healthz/*", "/api*", "/api/v1", "*", "/logs/**", "/healthz/etcd")
DEFAULTS = ("view", "edit", "admin", "cluster-admin", "system:discovery")
LABEL = "rbac-test.example.com/part"


@dataclass
class Generated:
    """A source of random objects and requests of one seed."""

    random: random.Random

    def some(self, values: Sequence[Item], most: int = 2) -> list[Item]:
        return self.random.sample(values, self.random.randint(1, min(most, len(values))))

    def rule(self, *, paths: bool) -> PolicyRule:
        if paths and self.random.random() < 0.3:
            return PolicyRule(verbs=self.some(VERBS, 4), nonResourceURLs=self.some(PATHS, 1))
        names = self.some([name for name in NAMES if name]) if self.random.random() < 0.3 else None
        resources, groups = self.some(RESOURCES), self.some(API_GROUPS)
        return PolicyRule(verbs=self.some(VERBS), apiGroups=groups, resources=resources, resourceNames=names)

    def subjects(self) -> list[Subject]:
        kind = self.random.randrange(3)
        if kind == 0:
            return [Subject(kind="User", name=name, apiGroup=RBAC) for name in self.some(USERS)]
        if kind == 1:
            return [Subject(kind="Group", name=name, apiGroup=RBAC) for name in self.some((*GROUPS, AUTHENTICATED), 1)]
        return [Subject(kind="ServiceAccount", name="robot", namespace=self.random.choice(SPACES))]

    def request(self) -> Request:
        verb = self.random.choice(VERBS)
        if self.random.random() < 0.25:
            return Request(verb, path=self.random.choice((*PATHS, "/", *("/logs/x",) * 6, "/apis", "/healthzx")))
        resource, _, below = self.random.choice(RESOURCES).partition("/")
        group, name = self.random.choice(API_GROUPS), self.random.choice(NAMES)
        return Request(verb, resource, group, below, name, self.random.choice((*SPACES, "")))

    def user(self) -> tuple[str, list[str]]:
        groups = self.some(GROUPS) if self.random.random() < 0.6 else []
        groups += [MASTERS] if self.random.random() < 0.03 else []
        groups += [AUTHENTICATED] if self.random.random() < 0.8 else []
        return self.random.choice(USERS), groups


@pytest.fixture
def api(control_plane: ControlPlane) -> KubeApi:
    return KubeApi(environ={}, kubeconfig=str(control_plane.kubeconfig))


@pytest.fixture
def client(api: KubeApi) -> Iterator[Client]:
    """Return a client of a cluster with two namespaces, from which the objects of the test are removed at its end."""
    found = api.client()
    for name in SPACES:
        found.apply(Namespace(metadata=ObjectMeta(name=name)), field_manager="test")
    yield found
    kinds: tuple[Any, ...] = (ClusterRoleBinding, ClusterRole)
    for cluster_kind in kinds:
        for each in found.list(cluster_kind, labels={"test": "rbac"}):
            found.delete(cluster_kind, each.metadata.name)
    for kind in (RoleBinding, Role):
        for space in SPACES:
            found.deletecollection(kind, namespace=space)


def meta(name: str, namespace: str = "", **labels: str) -> ObjectMeta:
    return ObjectMeta(name=f"rbac-test-{name}", namespace=namespace or None, labels={"test": "rbac", **labels})


def create_objects(client: Client, made: Generated) -> None:
    """Create roles, of which one is aggregated and one is missing, and bindings to them and to roles of Kubernetes."""
    parts = [made.rule(paths=True) for _ in range(2)]
    client.create(ClusterRole(metadata=meta("part", **{LABEL: "yes"}), rules=parts))
    aggregation = AggregationRule(clusterRoleSelectors=[LabelSelector(matchLabels={LABEL: "yes"})])
    # The controller that fills it is not there: its result is written here, as kube-apiserver and we read it.
    client.create(ClusterRole(metadata=meta("sum"), aggregationRule=aggregation, rules=parts))
    for at in range(8):
        rules = [made.rule(paths=True) for _ in range(made.random.randint(1, 3))]
        client.create(ClusterRole(metadata=meta(f"c{at}"), rules=rules))
    for at in range(6):
        rules = [made.rule(paths=False) for _ in range(made.random.randint(1, 3))]
        client.create(Role(metadata=meta(f"r{at}", SPACES[at % 2]), rules=rules))
    names = [*(f"rbac-test-c{at}" for at in range(8)), "rbac-test-sum", "rbac-test-missing", *DEFAULTS]
    for at in range(8):
        role = RoleRef(apiGroup=RBAC, kind="ClusterRole", name=made.random.choice(names))
        client.create(ClusterRoleBinding(metadata=meta(f"b{at}"), roleRef=role, subjects=made.subjects()))
    for at in range(12):
        own = made.random.random() < 0.5
        name = f"rbac-test-r{made.random.randrange(6)}" if own else made.random.choice(names)
        role = RoleRef(apiGroup=RBAC, kind="Role" if own else "ClusterRole", name=name)
        client.create(RoleBinding(metadata=meta(f"b{at}", SPACES[at % 2]), roleRef=role, subjects=made.subjects()))


def review(client: Client, request: Request, user: str, groups: list[str]) -> bool:
    """Return kube-apiserver's answer."""
    if request.path:
        spec = SubjectAccessReviewSpec(nonResourceAttributes=NonResourceAttributes(request.path, request.verb))
    else:
        attributes = ResourceAttributes(
            group=request.group,
            resource=request.resource,
            subresource=request.subresource,
            verb=request.verb,
            name=request.name,
            namespace=request.namespace,
        )
        spec = SubjectAccessReviewSpec(resourceAttributes=attributes)
    spec.user, spec.groups = user, groups
    answer = client.create(SubjectAccessReview(spec))
    assert answer.status is not None
    return bool(answer.status.allowed)


def wait_for_cache(client: Client, seed: int) -> None:
    """Wait until kube-apiserver evaluates what was created last: its authorizer reads from a cache for each kind."""
    rule = PolicyRule(verbs=["see"], apiGroups=["test"], resources=["last"])
    client.create(ClusterRole(metadata=meta("last"), rules=[rule]))
    client.create(Role(metadata=meta("last", SPACES[0]), rules=[rule]))
    for name, kind, namespace in (("last", "ClusterRole", ""), ("last", "ClusterRole", "x"), ("last-own", "Role", "x")):
        role = RoleRef(apiGroup=RBAC, kind=kind, name="rbac-test-last")
        subjects = [Subject(kind="User", name=f"{name}{namespace}{seed}", apiGroup=RBAC)]
        if namespace:
            client.create(RoleBinding(metadata=meta(name, SPACES[0]), roleRef=role, subjects=subjects))
        else:
            client.create(ClusterRoleBinding(metadata=meta(name), roleRef=role, subjects=subjects))
    request = Request("see", "last", "test", namespace=SPACES[0])
    users = [f"{name}{seed}" for name in ("last", "lastx", "last-ownx")]
    assert wait_until(lambda: all(review(client, request, user, []) for user in users), 10)


@pytest.mark.parametrize("seed", range(examples(5)))
def test_answers_are_those_of_kube_apiserver(seed: int, api: KubeApi, client: Client) -> None:
    made = Generated(random.Random(seed))
    create_objects(client, made)
    wait_for_cache(client, seed)
    read = {space: KubeRbac(api).read(space) for space in (*SPACES, "")}
    allowed = 0
    for _ in range(400):
        request, (user, groups) = made.request(), made.user()
        ours = is_allowed(read[request.namespace].grants(request), user, groups)
        assert ours == review(client, request, user, groups), (request, user, groups)
        allowed += ours
    assert 40 < allowed < 360, "the generated requests are all alike"


def test_resources_are_found_by_the_words_that_kubectl_takes(api: KubeApi) -> None:
    rbac = KubeRbac(api)
    for word in ("pods", "pod", "po"):
        found = rbac.resource_type(word)
        assert found is not None
        assert (found.name, found.group, found.is_namespaced) == ("pods", "", True)
        assert "exec" in found.subresources
    for word in ("deployments", "deploy", "deployments.apps", "deployment.v1.apps"):
        found = rbac.resource_type(word)
        assert found is not None
        assert (found.name, found.group) == ("deployments", "apps")
    node = rbac.resource_type("nodes")
    assert node is not None
    assert not node.is_namespaced
    assert rbac.resource_type("unknown") is None
    assert rbac.resource_type("pods.apps") is None
