"""Mappings in IAMIdentityMapping objects: entries are created, changed and deleted, and objects of others stay as they are."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from levels_for_tests import VIEWER, access, run

from kube_iam.access.changes import Kind, Plan, Verb
from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Ports, Preflight
from kube_iam.config.identity_mapping import IAM_GROUP, TEMPORARY
from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import Conflict, KubeError, NotFound, NotOwned
from kube_iam.kube import identity_mapping_store
from kube_iam.kube.dry_run import DryRunApi
from kube_iam.kube.identity_mapping_store import IdentityMappingStore
from kube_iam.kube.labels import CLUSTER, LEVEL, MANAGED_BY
from kube_iam.kube.mapping_source import make_source
from kube_iam.kube.mapping_store import make_store

PATH = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings"
ARN = "arn:aws:iam::123456789012:role/prod-viewer"
ROLE = MappingEntry(ARN, VIEWER.username, ("kube-iam:viewer",), "prod-viewer", "viewer")
CAROL = TemporaryGrant("carol", "AIDACAROLCAROL", "2099-01-01T00:00:00Z", "on call")
BOB = TemporaryGrant("bob", "AIDABOBBOBBOB", "2099-01-01T00:00:00Z")
GIVEN = {"username": ROLE.username, "groups": list(ROLE.groups)}

MEMORY = ApiInMemory()
API = MEMORY.api()  # one for all tests: to make a client takes 0.1 s
FILE = access(mapping=MappingTarget(TargetKind.CRD, "", "", ""))


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> ApiInMemory:
    monkeypatch.setattr(identity_mapping_store, "RETRY_BACKOFF", ExponentialBackoff(first=0.0, longest=0.0))
    monkeypatch.setattr(identity_mapping_store, "ATTEMPTS", 3)
    MEMORY.objects.clear()
    MEMORY.writes.clear()
    MEMORY.status.clear()
    MEMORY.before_write = lambda: None
    MEMORY.empty = {PATH}
    return MEMORY


def store(cluster: str = "prod") -> IdentityMappingStore:
    return IdentityMappingStore(API, cluster, f"{cluster}.example.com")


def place(name: str, arn: str = ARN, created: str = "2020-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    """Create an object as somebody else would, and return it."""
    metadata = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": created,
        "labels": more.pop("labels", {}),
        "annotations": more.pop("annotations", {}),
    }
    MEMORY.objects[f"{PATH}/{name}"] = found = {"metadata": metadata, "spec": {"arn": arn, **GIVEN, **more}}
    return deepcopy(found)


def theirs() -> list[dict[str, Any]]:
    """Place objects of others, of another cluster, and for users."""
    return [
        place("nodes", "arn:aws:iam::123456789012:role/nodes", username="node", annotations={"note": "x"}),
        place("other", "arn:aws:iam::123456789012:role/other-viewer", labels=marks("other", "viewer")),
        place("bob", "arn:aws:iam::123456789012:user/bob"),
        place("broken", "no arn"),
    ]


def marks(cluster: str, level: str) -> dict[str, str]:
    return {MANAGED_BY: "kube-iam", CLUSTER: cluster, LEVEL: level}


def mine() -> list[dict[str, Any]]:
    found = MEMORY.objects.values()
    return [each for each in found if each["metadata"].get("labels", {}).get(CLUSTER) == "prod"]


def ports(account: FakeAccount, file: ClusterAccess = FILE) -> Ports:
    dry = DryRunApi(API)
    preflight = Preflight(account.cluster, make_store(file, dry), make_source(file, API))
    return Ports(account.directory, account.cluster, make_store(file, API), preflight)


def planned(account: FakeAccount, *, adopt: bool = False) -> Plan:
    return plan_apply(FILE, ports(account), adopt=adopt)


def applied(account: FakeAccount, *, adopt: bool = False) -> Plan:
    plan = planned(account, adopt=adopt)
    assert plan.failures == ()
    run(account, plan, ports(account))
    return plan


def test_an_entry_is_an_object_with_our_labels_and_an_annotation() -> None:
    store().put(ROLE)
    (found,) = mine()
    assert found["spec"] == {"arn": ARN, **GIVEN}
    assert found["metadata"]["labels"] == marks("prod", "viewer")
    assert found["metadata"]["annotations"] == {IAM_GROUP: "prod-viewer"}
    assert store().entries() == (ROLE,)
    assert store().entries()[0].cluster == "prod"


def test_objects_of_others_stay_as_they_are() -> None:
    before = theirs()
    store().put(ROLE)
    store().put(replace(ROLE, username="changed", iam_group=""))
    assert [each["metadata"]["annotations"] for each in mine()] == [{}]
    store().remove(ROLE)
    assert list(MEMORY.objects.values()) == before
    assert [entry.name for entry in store().entries()] == [
        "arn:aws:iam::123456789012:role/nodes",
        "arn:aws:iam::123456789012:role/other-viewer",
    ]
    assert [entry.name for entry in store().others()] == ["arn:aws:iam::123456789012:user/bob"]


@pytest.mark.parametrize("role", ["a_b", "a-b", "A-B2", "x" * 64, "_", "+=,.@-", "a.b"], ids=lambda role: role[:8])
def test_names_are_dns_names_and_differ_for_each_role_and_cluster(role: str) -> None:
    names = set()
    for cluster in ("prod", "test"):
        MEMORY.objects.clear()
        for each in (role, f"{role}1", "a-b-c"):
            store(cluster).put(replace(ROLE, role_arn=f"arn:aws:iam::123456789012:role/{each}"))
        names |= {found["metadata"]["name"] for found in MEMORY.objects.values()}
    assert len(names) == 6
    for name in names:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
        assert len(name) <= 253


def test_nothing_is_written_where_the_object_is_as_it_should_be() -> None:
    store().put(ROLE)
    MEMORY.writes.clear()
    store().put(ROLE)
    store().remove_temporary(ROLE, "carol")
    assert MEMORY.writes == []


def test_a_concurrent_edit_is_kept_and_the_change_computed_again() -> None:
    store().put(ROLE)
    (path,) = MEMORY.objects

    def faster() -> None:
        MEMORY.before_write = lambda: None
        store().add_temporary(ROLE, BOB)

    MEMORY.before_write = faster
    store().add_temporary(ROLE, CAROL)
    assert store().entries()[0].temporary == (BOB, CAROL)
    MEMORY.before_write = faster
    store().put(replace(ROLE, username="changed"))
    assert store().entries()[0].temporary == (CAROL, BOB)

    def touch() -> None:
        MEMORY.objects[path]["metadata"]["resourceVersion"] += "1"

    MEMORY.before_write = touch
    with pytest.raises(Conflict, match="3 times in a row"):
        store().remove(ROLE)
    assert path in MEMORY.objects


def test_an_object_that_somebody_relabels_is_not_deleted() -> None:
    store().put(ROLE)
    (path,) = MEMORY.objects

    def relabel() -> None:
        metadata = MEMORY.objects[path]["metadata"]
        metadata |= {"labels": {}, "resourceVersion": "99"}

    MEMORY.before_write = relabel
    store().remove(ROLE)
    assert path in MEMORY.objects


def test_temporary_grants_are_added_replaced_and_removed() -> None:
    store().put(ROLE)
    store().add_temporary(ROLE, CAROL)
    store().add_temporary(ROLE, BOB)
    later = replace(CAROL, until="2100-01-01T00:00:00Z", reason="ü")
    store().add_temporary(ROLE, later)
    assert store().entries()[0].temporary == (BOB, later)
    store().remove_temporary(ROLE, "carol", only=CAROL)
    assert len(store().entries()[0].temporary) == 2
    store().remove_temporary(ROLE, "Carol")
    store().remove_temporary(ROLE, "bob", only=BOB)
    assert [each["metadata"]["annotations"] for each in mine()] == [{IAM_GROUP: "prod-viewer"}]
    with pytest.raises(NotFound, match="asks for a group"):
        store().add_temporary(replace(ROLE, role_arn=f"{ARN}s"), CAROL)


def test_grants_end_with_another_level_and_stay_otherwise() -> None:
    store().put(ROLE)
    store().add_temporary(ROLE, CAROL)
    store().put(replace(ROLE, username="changed"))
    assert store().entries()[0].temporary == (CAROL,)
    store().put(replace(ROLE, level="other"))
    assert store().entries()[0].temporary == ()
    assert TEMPORARY not in mine()[0]["metadata"]["annotations"]


def test_what_the_server_refuses_in_our_object_is_mended() -> None:
    store().put(ROLE)
    (found,) = mine()
    found["metadata"]["annotations"] |= {"kube-iam.dev/group": "x", "note": "kept"}
    assert "kube-iam.dev/group is not known" in store().entries()[0].problems[0]
    store().put(ROLE)
    assert mine()[0]["metadata"]["annotations"] == {IAM_GROUP: "prod-viewer", "note": "kept"}
    assert store().entries()[0].problems == ()


def test_our_object_with_another_arn_is_mended_and_a_taken_name_is_named() -> None:
    store().put(ROLE)
    (found,) = mine()
    found["spec"]["arn"] = "arn:aws:iam::123456789012:role/elsewhere"
    store().put(ROLE)
    assert [each["spec"]["arn"] for each in mine()] == [ARN]
    found = mine()[0]
    found["metadata"]["labels"], found["spec"]["arn"] = {}, "arn:aws:iam::123456789012:role/elsewhere"
    with pytest.raises(NotOwned, match=f"IAMIdentityMapping {found['metadata']['name']} is not this cluster's"):
        store().put(ROLE)


def test_further_objects_of_ours_for_a_role_are_deleted() -> None:
    place("younger", created="2022-01-01T00:00:00Z", labels=marks("prod", "viewer"))
    place("older", created="2021-01-01T00:00:00Z", labels=marks("prod", "viewer"))
    assert [entry.where for entry in store().entries()] == ["IAMIdentityMapping older", "IAMIdentityMapping younger"]
    store().put(ROLE)
    assert [each["metadata"]["name"] for each in MEMORY.objects.values()] == ["older"]


def test_without_the_definition_there_are_no_entries_and_a_write_names_the_remedy() -> None:
    MEMORY.empty = set()
    assert store().entries() == ()
    store().remove(ROLE)
    with pytest.raises(NotFound, match=r"iamidentitymappings\.iamauthenticator\.k8s\.aws") as caught:
        store().put(ROLE)
    assert "kube-iam manifest crd | kubectl apply -f -" in caught.value.hint
    plan = planned(FakeAccount())
    assert len(plan.failures) == 3
    assert "kube-iam manifest crd" in plan.failures[0]
    assert plan.guards == ()


def test_a_list_that_is_forbidden_is_an_error() -> None:
    MEMORY.status[("GET", PATH)] = 403
    with pytest.raises(KubeError, match="forbids it"):
        store().entries()


def test_apply_change_and_destroy_leave_nothing_and_keep_what_others_have() -> None:
    before, account = theirs(), FakeAccount()
    applied(account)
    assert len(mine()) == 3
    assert planned(account).changes == ()
    mine()[0]["spec"]["groups"] = ["more"]
    (change,) = applied(account).changes
    assert (change.verb, change.kind) == (Verb.UPDATE, Kind.MAPPING)
    plan = plan_destroy(FILE, ports(account))
    assert plan.failures == ()
    run(account, plan, ports(account))
    assert list(MEMORY.objects.values()) == before
    assert plan_destroy(FILE, ports(account)).left_alone == ()


def test_a_plan_is_a_dry_run() -> None:
    planned(FakeAccount())
    assert MEMORY.objects == {}
    assert MEMORY.writes != []


def test_an_equal_object_of_others_is_adopted_only_on_request() -> None:
    account = FakeAccount()
    applied(account)
    ours = next(each for each in mine() if each["spec"]["arn"] == ARN)
    del MEMORY.objects[f"{PATH}/{ours['metadata']['name']}"]
    before = place("by-hand", annotations={"note": "x"})
    with pytest.raises(NotOwned, match="--adopt"):
        planned(account)
    (change,) = applied(account, adopt=True).changes
    assert (change.verb, change.kind) == (Verb.ADOPT, Kind.MAPPING)
    found = MEMORY.objects[f"{PATH}/by-hand"]
    assert found["metadata"]["labels"] == marks("prod", "viewer")
    assert found["metadata"]["annotations"] == {"note": "x", IAM_GROUP: "prod-viewer"}
    assert found["spec"] == before["spec"]
    assert planned(account).changes == ()


@pytest.mark.parametrize(
    "more",
    [
        {"groups": ["others"]},
        {"username": "other"},
        {"annotations": {IAM_GROUP: "others"}},
        {"annotations": {"kube-iam.dev/group": "others"}},
    ],
    ids=str,
)
def test_another_object_for_a_level_is_neither_adopted_nor_deleted(more: dict[str, Any]) -> None:
    account, before = FakeAccount(), place("by-hand", **more)
    for adopt in (False, True):
        with pytest.raises(NotOwned, match="IAMIdentityMapping by-hand, in another way"):
            planned(account, adopt=adopt)
    with pytest.raises(NotOwned):
        store().adopt(ROLE)
    store().remove(ROLE)
    assert list(MEMORY.objects.values()) == [before]


def test_an_object_of_another_cluster_is_never_adopted() -> None:
    before = place("theirs", labels=marks("other", "viewer"))
    for adopt in (False, True):
        with pytest.raises(NotOwned, match="belongs to cluster other"):
            planned(FakeAccount(), adopt=adopt)
    with pytest.raises(NotOwned):
        store().adopt(ROLE)
    assert list(MEMORY.objects.values()) == [before]


def test_an_object_of_others_beside_ours_stops_the_plan() -> None:
    account = FakeAccount()
    applied(account)
    place("by-hand")
    with pytest.raises(NotOwned, match="is mapped at IAMIdentityMapping by-hand"):
        planned(account, adopt=True)
    left = plan_destroy(FILE, ports(account))
    run(account, left, ports(account))
    assert list(MEMORY.objects) == [f"{PATH}/by-hand"]
    assert "IAMIdentityMapping by-hand" in str(left.left_alone)


def test_an_object_of_ours_is_deleted_after_its_role_and_level_are_gone() -> None:
    account = FakeAccount()
    place("leftover", "arn:aws:iam::123456789012:role/gone", labels=marks("prod", "gone"))
    plan = plan_destroy(FILE, ports(account))
    assert [(change.kind, change.level) for change in plan.changes] == [(Kind.MAPPING, "gone")]
    run(account, plan, ports(account))
    assert MEMORY.objects == {}


def test_grants_are_written_as_json() -> None:
    store().put(ROLE)
    store().add_temporary(ROLE, CAROL)
    items = json.loads(mine()[0]["metadata"]["annotations"][TEMPORARY])
    assert items == [
        {"userName": "carol", "userId": "AIDACAROLCAROL", "until": "2099-01-01T00:00:00Z", "reason": "on call"}
    ]
