"""Objects of the sandbox's kube-iam server: exactly those that `kube-iam manifest rbac` and `kube-iam manifest crd` print."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from kube_iam.config.yaml_file import parse_yaml
from kube_iam.errors import SandboxError
from kube_iam.files import write_file
from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import kubeconfig
from kube_iam.sandbox.processes import wait_until

# The name of a service account in RBAC. Here a client certificate holds it, in a real cluster the pod's token.
_SERVER = "system:serviceaccount:kube-system:kube-iam"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_OBJECTS = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings"
_TIMEOUT_SECONDS = 30.0
_PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "Role": f"{_RBAC}/namespaces/{{}}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{{}}/rolebindings",
}


def grant_server_rbac(api: ApiServer, authority: Authority, path: Path) -> None:
    """Create the RBAC objects and write the server's kubeconfig to the path. Raises SandboxError."""
    for thing in _manifest("rbac.yaml"):
        api.ensure(_PATHS[thing["kind"]].format(thing["metadata"].get("namespace")), thing)
    server = ApiServer(api.port, api.ca, authority.client("kube-iam-server", _SERVER, ""))
    write_file(path, kubeconfig(server, authority.pem, "kube-iam").encode())


def create_definition(api: ApiServer) -> None:
    """Create the CustomResourceDefinition of IAMIdentityMapping and wait until the API server has it. Raises SandboxError."""
    for thing in _manifest("crd.yaml"):
        api.ensure(_DEFINITIONS, thing)
    if not wait_until(lambda: api.call("GET", _OBJECTS)[0] == 200, _TIMEOUT_SECONDS):
        raise SandboxError("the API server does not take IAMIdentityMapping objects")


def _manifest(name: str) -> Iterator[dict[str, Any]]:
    text = (files("kube_iam.kube") / "manifests" / name).read_text(encoding="utf-8")
    for part in text.split("---\n"):
        thing = parse_yaml(part, name).data
        assert isinstance(thing, dict)
        yield thing
