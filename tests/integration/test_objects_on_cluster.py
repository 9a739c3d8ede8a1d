"""IAMIdentityMapping objects as `apply` keeps them, on a real kube-apiserver and with an account in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fake_account import FakeAccount
from levels_for_tests import ADMIN, VIEWER, access, run

from kube_iam.access.levels import MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Ports, Preflight
from kube_iam.config.identity_mapping import IAM_GROUP
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import Conflict, NotFound, NotOwned
from kube_iam.kube.client import KubeApi, delete_version
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.dry_run import DryRunApi
from kube_iam.kube.identity_mapping_store import IdentityMappingStore, resource
from kube_iam.kube.mapping_source import make_source
from kube_iam.kube.mapping_store import make_store
from kube_iam.mappings.crd_status import API_VERSION, KIND, PATH
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.server_rbac import create_definition

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/iamidentitymappings.iamauthenticator.k8s.aws"
ROLE = MappingEntry(
    "arn:aws:iam::123456789012:role/prod-viewer", VIEWER.username, VIEWER.groups, "prod-viewer", "viewer"
)
FILE = access(ADMIN, VIEWER, mapping=MappingTarget(TargetKind.CRD, "", "", ""))


@pytest.fixture
def api(control_plane: Any) -> Iterator[KubeApi]:
    """Return a connection to a cluster with the definition and without objects."""
    create_definition(control_plane.api)
    api = KubeApi(environ=os.environ, kubeconfig=str(control_plane.kubeconfig))
    for name in objects(control_plane):
        control_plane.api.call("DELETE", f"{PATH}/{name}")
    yield api
    for name in objects(control_plane):
        control_plane.api.call("DELETE", f"{PATH}/{name}")
    api.close()


def objects(control_plane: Any) -> dict[str, Any]:
    """Return all objects in full by name."""
    answer = control_plane.api.call("GET", PATH)[1]
    return {item["metadata"]["name"]: item for item in answer["items"]}


def place(control_plane: Any, name: str, arn: str, **more: Any) -> None:
    """Create an object as somebody else would."""
    spec = {"arn": arn, "username": VIEWER.username, "groups": list(VIEWER.groups), **more.pop("spec", {})}
    metadata = {"name": name, **more}
    control_plane.api.ensure(PATH, {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})


def store(api: KubeApi) -> IdentityMappingStore:
    return IdentityMappingStore(api, "prod", "prod.example.com")


def ports(api: KubeApi, account: FakeAccount) -> Ports:
    dry = DryRunApi(api)
    preflight = Preflight(KubeCluster(dry), make_store(FILE, dry), make_source(FILE, api))
    return Ports(account.directory, KubeCluster(api), make_store(FILE, api), preflight)


def test_apply_change_and_destroy_leave_the_objects_of_others_as_they_are(api: KubeApi, control_plane: Any) -> None:
    place(control_plane, "nodes", "arn:aws:iam::123456789012:role/nodes", annotations={"note": "x"})
    marks = {"app.kubernetes.io/managed-by": "kube-iam", "kube-iam.dev/cluster": "other"}
    place(control_plane, "other", "arn:aws:iam::123456789012:role/other-viewer", labels=marks)
    before, account = objects(control_plane), FakeAccount()
    assert plan_apply(FILE, ports(api, account)).failures == ()
    assert objects(control_plane) == before
    run(account, plan_apply(FILE, ports(api, account)), ports(api, account))
    assert len(objects(control_plane)) == 4
    assert plan_apply(FILE, ports(api, account)).changes == ()
    changed = replace(FILE, levels=tuple(replace(level, groups=("seen",)) for level in FILE.levels))
    plan = plan_apply(changed, ports(api, account))
    assert plan.failures == ()
    run(account, plan, ports(api, account))
    plan = plan_destroy(changed, ports(api, account))
    assert plan.failures == ()
    run(account, plan, ports(api, account))
    assert objects(control_plane) == before


def test_the_api_server_prunes_a_group_in_the_spec_and_keeps_the_annotation(api: KubeApi, control_plane: Any) -> None:
    store(api).put(ROLE)
    place(control_plane, "pruned", "arn:aws:iam::123456789012:role/x", spec={"iamGroup": "x", "level": "x"})
    found = objects(control_plane)
    assert found["pruned"]["spec"].keys() == {"arn", "username", "groups"}
    (ours,) = (each for name, each in found.items() if name != "pruned")
    assert ours["metadata"]["annotations"] == {IAM_GROUP: "prod-viewer"}
    assert store(api).entries()[0] == ROLE


def test_concurrent_edits_are_all_kept(api: KubeApi, control_plane: Any) -> None:
    store(api).put(ROLE)
    grants = [TemporaryGrant(f"user{n}", f"AIDAUSERUSER{n}", "2099-01-01T00:00:00Z") for n in range(6)]
    apis = [KubeApi(environ=os.environ, kubeconfig=str(control_plane.kubeconfig)) for _ in grants]
    threads = [
        threading.Thread(target=store(each).add_temporary, args=(ROLE, grant))
        for each, grant in zip(apis, grants, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in apis:
        each.close()
    assert {grant.user_name for grant in store(api).entries()[0].temporary} == {grant.user_name for grant in grants}


def test_a_deletion_names_the_version_that_was_read(api: KubeApi, control_plane: Any) -> None:
    store(api).put(ROLE)
    (before,) = objects(control_plane).values()
    store(api).add_temporary(ROLE, TemporaryGrant("carol", "AIDACAROLCAROL", "2099-01-01T00:00:00Z"))
    metadata = before["metadata"]
    with pytest.raises(Conflict), api.call("delete it") as client:
        delete_version(client, resource(), metadata["name"], metadata["uid"], metadata["resourceVersion"])
    store(DryRunApi(api)).remove(ROLE)
    assert len(objects(control_plane)) == 1
    store(api).remove(ROLE)
    assert objects(control_plane) == {}


def test_an_equal_object_of_others_is_adopted_with_all_that_it_has(api: KubeApi, control_plane: Any) -> None:
    place(control_plane, "by-hand", ROLE.role_arn, annotations={"note": "x"})
    with pytest.raises(NotOwned):
        store(api).put(ROLE)
    store(api).adopt(ROLE)
    found = objects(control_plane)["by-hand"]["metadata"]
    assert found["annotations"] == {"note": "x", IAM_GROUP: "prod-viewer"}
    assert found["labels"]["kube-iam.dev/cluster"] == "prod"


def test_without_the_definition_the_remedy_is_named(api: KubeApi, control_plane: Any) -> None:
    control_plane.api.call("DELETE", DEFINITION)
    assert wait_until(lambda: control_plane.api.call("GET", PATH)[0] == 404, 30)
    try:
        assert store(api).entries() == ()
        store(api).remove(ROLE)
        with pytest.raises(NotFound) as caught:
            store(api).put(ROLE)
        assert "kube-iam manifest crd | kubectl apply -f -" in caught.value.hint
        assert "kube-iam manifest crd" in plan_apply(FILE, ports(api, FakeAccount())).failures[0]
    finally:
        create_definition(control_plane.api)
