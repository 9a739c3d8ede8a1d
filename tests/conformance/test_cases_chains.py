"""Several backends, in the cluster and in files, in any order; swapped while they run; and prefixes that are reserved in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import CANARY, IAM, both_of, rewrite
from clusters import Clusters
from in_cluster import (
    ANY,
    FILE_CANARY,
    KUBECONFIG,
    OBJECT_CANARY,
    PEOPLE,
    admin,
    any_role,
    ask_everyone,
    role,
    shows,
    spec,
)
from named_sts import NamedSts, Principal
from principals import ACCOUNT, ADMIN, BOB, EVE
from setups import Setup
from side_by_side import Pair, Question, running
from tally import Case, Tally
from tokens import Signed

from kube_iam.sandbox.processes import free_port, wait_until

pytestmark = [pytest.mark.reference, pytest.mark.control_plane, pytest.mark.xdist_group("conformance-clusters")]


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


CHAINED_DATA = {
    "mapRoles": role("Admin", "from-aws-auth", "[m]") + role("Any", "from-aws-auth"),
    "mapUsers": f"- {{userarn: {EVE.arn}, username: reserved-eve}}\n",
    "mapAccounts": f"- '{ACCOUNT}'\n",
}
CHAINED_OBJECTS = {"a": admin("from-object", "o"), "b": spec(BOB.arn, "from-object"), "c": any_role("")}
CHAINED_FILE = {
    "mapRoles": [{"rolearn": f"{IAM}:role/Admin", "username": "from-file"}],
    "mapUsers": [{"userarn": FILE_CANARY.arn, "username": "canary"}],
}
MOUNTED = f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: mounted}}\n"
DYNAMIC = "  dynamicfilepath: HOME/dynamic.json\n"
# `mapAccounts` of aws-auth hides what stands behind it at the reference.
BEHIND = (BOB,)
CHAINS: dict[str, dict[str, tuple[Principal, ...]]] = {
    "CRD, EKSConfigMap": {"M6": ANY},
    "EKSConfigMap, CRD": {"M4": BEHIND},
    "MountedFile, EKSConfigMap": {},
    "EKSConfigMap, MountedFile": {},
    "MountedFile, CRD": {"M6": ANY},
    "CRD, DynamicFile": {"M6": ANY},
    "DynamicFile, EKSConfigMap, CRD": {"M4": BEHIND},
    "DynamicFile, CRD, MountedFile, EKSConfigMap": {"M6": ANY},
    "ConfigMap, CRD": {"M4": BEHIND},
}


@pytest.fixture(scope="module")
def filled(clusters: Clusters) -> Clusters:
    """Clusters with aws-auth and objects for every chain."""
    canary = f"- {{userarn: {CANARY.arn}, username: canary}}\n"
    clusters.config_map({**CHAINED_DATA, "mapUsers": CHAINED_DATA["mapUsers"] + canary})
    clusters.mappings({**CHAINED_OBJECTS, "canary": spec(OBJECT_CANARY.arn, "canary")})
    return clusters


def chain(name: str, more: str = "") -> Setup:
    return Setup(
        name,
        f"  backendMode: [{name}]\n{DYNAMIC if 'DynamicFile' in name else ''}{MOUNTED}{more}",
        KUBECONFIG,
        {"dynamic.json": json.dumps(CHAINED_FILE)},
        config_map=CHAINED_DATA,
        objects=CHAINED_OBJECTS,
    )


def await_backends(pair: Pair, clusters: Clusters) -> None:
    """Wait until both have loaded all that they are to ask."""
    backends = pair.setup.backends
    if "CRD" in backends:
        clusters.await_status({name: each["arn"].lower() for name, each in CHAINED_OBJECTS.items()})
    for backend, canary in (("CRD", OBJECT_CANARY), ("DynamicFile", FILE_CANARY), ("ConfigMap", CANARY)):
        if any(each.endswith(backend) for each in backends):
            shows(pair, canary, "canary")


@pytest.mark.parametrize("name", CHAINS)
def test_chains_with_backends_in_the_cluster(
    tmp_path: Path, reference: Path, sts: NamedSts, filled: Clusters, tally: Tally, name: str
) -> None:
    with running(tmp_path, reference, sts, chain(name), filled) as pair:
        await_backends(pair, filled)
        ask_everyone(pair, pair.setup, tally, CHAINS[name], "chains")


def test_reserved_prefixes_apply_to_backends_in_the_cluster(
    tmp_path: Path, reference: Path, sts: NamedSts, filled: Clusters, tally: Tally
) -> None:
    prefixes = "".join(
        f"  - {{backendMode: {backend}, usernamePrefixReserveList: [{prefix}]}}\n"
        for backend, prefix in (("EKSConfigMap", "reserved-"), ("CRD", "from-"))
    )
    setup = chain("CRD, EKSConfigMap", f"  reservedPrefixConfig:\n{prefixes}")
    with running(tmp_path, reference, sts, setup, filled) as pair:
        await_backends(pair, filled)
        ask_everyone(pair, setup, tally, {"M6": ANY}, "chains")


def test_a_cluster_that_was_never_reached(tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally) -> None:
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
        "current-context": "x",
    }
    text = f"  backendMode: [EKSConfigMap, MountedFile]\n{MOUNTED}"
    setup = Setup("no cluster", text, KUBECONFIG, {"kubeconfig": json.dumps(kubeconfig)})
    with running(tmp_path, reference, sts, setup) as pair:
        token = Signed(ADMIN).token()
        case = Case("no cluster", "chains", Question.about(token), setup, token, "", ADMIN, True)
        tally.ask(pair, case, "M5")


def test_backends_are_swapped_for_those_in_the_cluster_while_they_run(
    tmp_path: Path, reference: Path, sts: NamedSts, filled: Clusters, tally: Tally
) -> None:
    setup = Setup("swap", f"{MOUNTED}  dynamicBackendModePath: HOME/mode.json\n", KUBECONFIG)
    with running(tmp_path, reference, sts, setup, filled) as pair:
        shows(pair, ADMIN, "mounted")
        for modes, name in (("EKSConfigMap", "from-aws-auth"), ("CRD EKSConfigMap", "from-object")):
            rewrite(pair, "mode.json", json.dumps({"backendMode": modes}))
            shows(pair, ADMIN, name)
        # The reference answers by objects before it is done with starting, and would crash if they were taken from it now.
        assert wait_until(lambda: "started workers" in both_of(pair)[0].log(), 10)
        for server in both_of(pair):
            (server.home / "mode.json").unlink()
        shows(pair, ADMIN, "mounted")
        tally.same()
