"""{{EC2PrivateDNSName}}: nodes that sign in under their instance's name, by every backend. Both servers ask one fake EC2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cases import CANARY, IAM, await_canary
from clusters import Clusters
from in_cluster import KUBECONFIG, OBJECT_CANARY, role, shows, spec
from named_sts import NamedSts, Principal
from principals import ACCOUNT, ADMIN, OTHER, session
from setups import Setup
from side_by_side import Pair, Question, running
from tally import Case, Tally
from tokens import Signed

from fake_ec2 import Call, FakeEc2, error

pytestmark = [pytest.mark.reference, pytest.mark.control_plane, pytest.mark.xdist_group("conformance-clusters")]

NAME = "ip-10-0-0-1.eu-central-1.compute.internal"
NODE_NAME = "system:node:{{EC2PrivateDNSName}}"
GROUPS = "['system:nodes', 'on-{{EC2PrivateDNSName}}']"
LIVING = session(201, "Node", "i-0123456789abcdef0")
OLD = session(202, "Node", "i-01234567")
LONG_ID = session(203, "Node", "i-0123456789abcdef01")
NO_ID = session(204, "Node", "alice")
CAPITALS = session(205, "Node", "i-0123456789ABCDEF0")
UNKNOWN = session(206, "Node", "i-0000000000000000a")
ENDED = session(207, "Node", "i-0000000000000000b")
NOT_OURS = session(208, "Node", "i-0000000000000000c")
ODD = session(209, "Node", "i-0000000000000000d")
FAILING = session(210, "Node", "i-0000000000000000e")
FORBIDDEN = session(211, "Node", "i-0000000000000000f")
NODES = (LIVING, OLD, LONG_ID, NO_ID, CAPITALS, UNKNOWN, ENDED, NOT_OURS, ODD, FAILING, FORBIDDEN)
PEOPLE = {who.key: who for who in (*NODES, ADMIN, CANARY, OBJECT_CANARY)}
INSTANCES = {
    "i-0123456789abcdef0": (NAME, ACCOUNT),
    "i-01234567": ("ip-10-0-0-2.ec2.internal", ACCOUNT),
    "i-0000000000000000b": ("", ACCOUNT),
    "i-0000000000000000c": ("ip-10-0-0-3.ec2.internal", OTHER),
    "i-0000000000000000d": ("a:b", ACCOUNT),
}
FAULTS = {
    "i-0000000000000000e": (400, error("InvalidParameterValue")[1]),
    "i-0000000000000000f": error("UnauthorizedOperation", "You: arn:aws:iam::1:role/server", 403),
}
ROLE_AND_SOURCE = (
    f"  ec2DescribeInstancesRoleARN: {IAM}:role/describe\n  sourceARN: arn:aws:eks:us-east-1:{ACCOUNT}:cluster/c\n"
)
ROLES = f"{role('Node', NODE_NAME, GROUPS)}{role('Admin', 'admin')}"
MOUNTED = f"  mapRoles:\n{ROLES.replace('- {', '  - {')}"
DYNAMIC = {
    "mapRoles": [
        {"rolearn": f"{IAM}:role/Node", "username": NODE_NAME, "groups": ["system:nodes"]},
        {"rolearn": f"{IAM}:role/Admin", "username": "admin"},
    ],
    "mapUsers": [{"userarn": CANARY.arn, "username": "canary"}],
}
OBJECTS = {"node": spec(f"{IAM}:role/Node", NODE_NAME, "system:nodes"), "admin": spec(f"{IAM}:role/Admin", "admin")}


@dataclass(frozen=True)
class Backend:
    """The backend in which the nodes are mapped."""

    text: str
    files: dict[str, str] = field(default_factory=dict)
    config_map: dict[str, str] = field(default_factory=dict)
    objects: dict[str, dict[str, object]] = field(default_factory=dict)


BACKENDS = {
    "the mounted file": Backend(MOUNTED),
    "the mounted file, with a role to assume": Backend(f"{MOUNTED}{ROLE_AND_SOURCE}"),
    "a dynamic file": Backend(
        "  backendMode: [DynamicFile]\n  dynamicfilepath: HOME/dynamic.json\n", {"dynamic.json": json.dumps(DYNAMIC)}
    ),
    "aws-auth": Backend("  backendMode: [EKSConfigMap]\n", config_map={"mapRoles": ROLES}),
    "objects": Backend("  backendMode: [CRD]\n", objects=OBJECTS),
    "a reserved prefix": Backend(
        f"{MOUNTED}  reservedPrefixConfig:\n"
        "  - {backendMode: MountedFile, usernamePrefixReserveList: ['system:node:ip-10-0-0-1.']}\n"
    ),
}


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


@pytest.fixture(scope="module")
def ec2(sts: NamedSts) -> Iterator[FakeEc2]:
    def fault(call: Call) -> tuple[int, str] | None:
        return next((FAULTS[name] for name in call.ids if name in FAULTS), None)

    fake = FakeEc2(sts.ca.parent, INSTANCES, fault=fault)
    yield fake
    fake.stop()


def await_backend(pair: Pair, clusters: Clusters) -> None:
    """Fill the clusters, and wait until both have loaded what they are to ask."""
    if pair.setup.config_map:
        canary = f"- {{userarn: {CANARY.arn}, username: nodes}}\n"
        clusters.config_map({**pair.setup.config_map, "mapUsers": canary})
        shows(pair, CANARY, "nodes")
    if pair.setup.objects:
        clusters.mappings({**pair.setup.objects, "canary": spec(OBJECT_CANARY.arn, "nodes")})
        shows(pair, OBJECT_CANARY, "nodes")
        clusters.await_status({name: each["arn"].lower() for name, each in pair.setup.objects.items()})
    if pair.setup.files:
        await_canary(pair)


@pytest.mark.parametrize("name", BACKENDS)
def test_nodes_sign_in_under_the_names_of_their_instances(
    tmp_path: Path, reference: Path, sts: NamedSts, ec2: FakeEc2, clusters: Clusters, tally: Tally, name: str
) -> None:
    backend = BACKENDS[name]
    setup = Setup(
        name,
        backend.text,
        KUBECONFIG if backend.config_map or backend.objects else (),
        backend.files,
        backend.config_map,
        backend.objects,
        instances=INSTANCES,
    )
    # The reference assumes the role with a client that knows no AWS_CA_BUNDLE.
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(sts.ca.read_text() + ec2.server.ca.read_text())
    variables = {**ec2.environment, "SSL_CERT_FILE": str(bundle)}
    differ = {NOT_OURS.key: "M15", ODD.key: "M15"}
    with running(tmp_path, reference, sts, setup, clusters, variables) as pair:
        await_backend(pair, clusters)
        for who in (*NODES, ADMIN, LIVING):
            ask(pair, tally, who, differ.get(who.key, ""))
        assert pair.ours is not None
        user = pair.ours.ask(Question.about(Signed(LIVING).token())).user
        assert (user and user["username"]) == (None if "reserved" in name else f"system:node:{NAME}")


def ask(pair: Pair, tally: Tally, who: Principal, row: str) -> None:
    token = Signed(who).token()
    tally.ask(
        pair, Case(f"{pair.setup.name}: {who.arn}", "nodes", Question.about(token), pair.setup, token, "", who), row
    )
