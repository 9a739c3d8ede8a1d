"""The backend CRD: each server with a real API server of its own, and the same IAMIdentityMappings in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cases import IAM, SYSTEM, both_of, user_of
from clusters import Clusters
from in_cluster import ANY, GENERATIONS, KUBECONFIG, OBJECT_CANARY, PEOPLE, admin, any_role, ask_everyone, shows, spec
from named_sts import NamedSts, Principal
from principals import ACCOUNT, ADMIN, BOB, FEDERATED, PATHED, SCRUBBED
from setups import Setup
from side_by_side import Pair, Question, running
from tally import Case, Tally
from tokens import Signed

pytestmark = [pytest.mark.reference, pytest.mark.control_plane, pytest.mark.xdist_group("conformance-clusters")]


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


@dataclass(frozen=True)
class Objects:
    """Specs of IAMIdentityMappings, in the order in which they are made, and what they were `before`.

    `statuses` are ARNs that somebody writes into an object's status; the reference leaves an ARN there that was good once.
    """

    specs: dict[str, dict[str, Any]]
    differ: dict[str, tuple[Principal, ...]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)


OBJECTS: dict[str, Objects] = {
    "none": Objects({}),
    "users and roles": Objects(
        {
            "a": admin("{{AccountID}}:{{SessionName}}:{{SessionNameRaw}}:{{AccessKeyID}}", "g", "of:{{SessionName}}"),
            "b": spec(BOB.arn, "bob"),
            "c": spec(f"ARN:AWS:IAM::{ACCOUNT}:USER/TEAM/EVE", "eve", "x", "y"),
            "d": spec(f"{IAM}:root", "root"),
            "e": spec(FEDERATED.arn, "fred"),
            "f": {"arn": f"{IAM}:role/Any", "username": "no-groups"},
            "g": spec(f"arn:aws:iam::{SCRUBBED}:role/Scrub", "s", "g"),
        }
    ),
    "the session's ARN": Objects({"a": spec(ADMIN.arn, "a")}),
    "a role's path": Objects({"a": spec(f"{IAM}:role/team/Pathed", "a")}, {"M3": (PATHED,)}),
    "an ARN that is none": Objects({"a": spec("garbage"), "b": spec(BOB.arn)}),
    "an ARN of another service": Objects({"a": spec("arn:aws:s3:::x"), "b": spec(BOB.arn)}),
    "an empty ARN": Objects({"a": spec(""), "b": spec(BOB.arn)}),
    "an empty user name": Objects({"a": admin(""), "b": spec(BOB.arn)}, {"M6": (ADMIN,)}),
    "an empty group": Objects({"a": admin("a", "g", ""), "b": spec(BOB.arn)}, {"M6": (ADMIN,)}),
    "an unknown template": Objects({"a": admin("{{Nope}}"), "b": spec(BOB.arn)}, {"M8": (ADMIN,)}),
    "half a template in a group": Objects({"a": admin("a", "{{")}, {"M8": (ADMIN,)}),
    "a name of the system's by template": Objects({"a": any_role("system:{{SessionName}}")}, {"M7": ANY}),
    "a name that becomes the system's": Objects({"a": any_role("{{SessionName}}:masters")}, {"M7": (SYSTEM,)}),
    "a node's name": Objects({"a": any_role("system:node:{{SessionName}}", "system:nodes")}),
    "a changed object": Objects({"a": admin("after", "new")}, before={"a": admin("before", "old")}),
    "a changed ARN": Objects({"a": spec(BOB.arn, "a")}, before={"a": admin("a")}),
    "a changed ARN that is none": Objects(
        {"a": spec("garbage", "a")}, {"M12": (ADMIN,)}, before={"a": admin("a")}, statuses={"a": ADMIN.canonical}
    ),
    "a deleted object": Objects({"b": spec(BOB.arn)}, before={"a": admin(), "b": spec(BOB.arn)}),
    "an object made again": Objects({"b": spec(BOB.arn), "a": admin("again")}, before={"b": spec(BOB.arn)}),
    "a status without an ARN in the spec": Objects(
        {"a": spec("", "system:admin", "system:masters"), "b": spec(BOB.arn)},
        {"M12": (ADMIN,)},
        statuses={"a": ADMIN.canonical},
    ),
}


@pytest.fixture(scope="module")
def objects(
    tmp_path_factory: pytest.TempPathFactory, reference: Path, sts: NamedSts, clusters: Clusters
) -> Iterator[Pair]:
    setup = Setup("CRD", f"  backendMode: [CRD]\n  scrubbedAccounts: ['{SCRUBBED}']\n", KUBECONFIG)
    with running(tmp_path_factory.mktemp("objects"), reference, sts, setup, clusters) as pair:
        yield pair


def make(clusters: Clusters, pair: Pair, specs: Mapping[str, dict[str, Any]], claims: Mapping[str, str]) -> None:
    """Make both read these objects, and the reference's controller their ARNs. The `claims` are written into statuses."""
    canary = spec(OBJECT_CANARY.arn, f"canary-{next(GENERATIONS)}")
    clusters.mappings({**specs, "canary": spec(OBJECT_CANARY.arn, "before")})
    for name, arn in claims.items():
        clusters.claim(name, arn)
    served = {name: Principal("", each["arn"]).canonical for name, each in specs.items() if is_principal(each["arn"])}
    clusters.await_status({**served, **claims, "canary": OBJECT_CANARY.canonical})
    clusters.mappings({**specs, "canary": canary})
    shows(pair, OBJECT_CANARY, canary["username"])


def is_principal(arn: str) -> bool:
    return arn.lower().startswith(("arn:aws:iam:", "arn:aws:sts:"))


@pytest.mark.parametrize("name", OBJECTS)
def test_every_rule_of_identity_mappings(objects: Pair, clusters: Clusters, tally: Tally, name: str) -> None:
    row = OBJECTS[name]
    setup = Setup(name, objects.setup.text, objects.setup.flags, objects=row.specs, statuses=row.statuses)
    make(clusters, objects, row.before, {})
    make(clusters, objects, row.specs, row.statuses)
    ask_everyone(objects, setup, tally, row.differ, "objects")


def test_older_of_two_objects_counts_for_us_and_either_for_the_reference(
    objects: Pair, clusters: Clusters, tally: Tally
) -> None:
    specs = {"a": admin("older"), "b": admin("younger")}
    make(clusters, objects, {}, {})
    make(clusters, objects, specs, {})
    token = Signed(ADMIN).token()
    setup = Setup("a conflict", objects.setup.text, objects=specs)
    tally.ask(objects, Case("a conflict", "objects", Question.about(token), setup, token, "", ADMIN))
    assert user_of(both_of(objects)[0], ADMIN) in ("older", "younger")
    assert user_of(both_of(objects)[1], ADMIN) == "older"
