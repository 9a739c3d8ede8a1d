"""The mapping of a cluster, as `new` finds it on a real kube-apiserver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from lightkube import Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace

from kube_iam.access.levels import MappingTarget, TargetKind
from kube_iam.kube.client import KubeApi
from kube_iam.kube.cluster_findings import find_authority, find_endpoint, find_mapping

if TYPE_CHECKING:
    from conftest import ControlPlane

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]
NAMES = ("aws-auth", "aws-iam-authenticator")


@pytest.fixture
def api(control_plane: ControlPlane) -> KubeApi:
    return KubeApi(environ={}, kubeconfig=str(control_plane.kubeconfig))


@pytest.fixture
def client(api: KubeApi) -> Iterator[Client]:
    """Return a client of a cluster without mappings."""
    found = api.client()
    _clean(found)
    yield found
    _clean(found)


def _clean(client: Client) -> None:
    for each in client.list(ConfigMap, namespace="*"):
        if each.metadata and each.metadata.name in NAMES:
            client.delete(ConfigMap, each.metadata.name, namespace=each.metadata.namespace)


def put(client: Client, name: str, data: dict[str, str], namespace: str = "kube-system") -> None:
    client.create(ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data))


def test_config_file_is_found_in_kube_system(api: KubeApi, client: Client) -> None:
    put(client, "aws-iam-authenticator", {"config.yaml": "clusterID: prod\n"})
    put(client, "aws-auth", {"mapRoles": ""})
    found = find_mapping(api, is_eks=False)
    assert (found.target, found.cluster_id) == (MappingTarget(TargetKind.CONFIG_FILE), "prod")
    assert find_mapping(api, is_eks=True).finding.value == "ConfigMap kube-system/aws-auth"


def test_config_file_is_found_in_another_namespace_and_key(api: KubeApi, client: Client) -> None:
    client.apply(Namespace(metadata=ObjectMeta(name="iam")), field_manager="test")
    put(client, "aws-iam-authenticator", {"a.txt": "hello", "b.yaml": "clusterID: other\nserver: {}"}, "iam")
    found = find_mapping(api, is_eks=False)
    assert found.target == MappingTarget(TargetKind.CONFIG_FILE, "iam", "aws-iam-authenticator", "b.yaml")
    assert found.cluster_id == "other"


def test_aws_auth_alone_is_found(api: KubeApi, client: Client) -> None:
    put(client, "aws-auth", {"mapRoles": ""})
    found = find_mapping(api, is_eks=False)
    assert found.target is not None
    assert (found.target.kind, found.cluster_id) == (TargetKind.AWS_AUTH, "")


@pytest.mark.parametrize("is_eks", [False, True])
def test_cluster_without_a_mapping_gets_the_reason(is_eks: bool, api: KubeApi, client: Client) -> None:
    found = find_mapping(api, is_eks=is_eks)
    assert (found.target, found.finding.value) == (None, "")
    assert "ConfigMap kube-system/aws-auth" in found.finding.reason
    assert found.finding.remedy


def test_endpoint_and_authority_are_those_of_the_context(api: KubeApi) -> None:
    assert find_endpoint(api.context).value == api.server
    assert "BEGIN CERTIFICATE" in find_authority(api.context).value
