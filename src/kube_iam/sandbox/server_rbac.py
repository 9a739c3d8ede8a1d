"""RBAC of the sandbox's kube-iam server: exactly the objects that `kube-iam manifest rbac` prints."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from kube_iam.config.yaml_file import parse_yaml
from kube_iam.files import write_file
from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import kubeconfig

# The name of a service account in RBAC. Here a client certificate holds it, in a real cluster the pod's token.
_SERVER = "system:serviceaccount:kube-system:kube-iam"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": f"{_RBAC}/clusterroles",
    "ClusterRoleBinding": f"{_RBAC}/clusterrolebindings",
    "Role": f"{_RBAC}/namespaces/{{}}/roles",
    "RoleBinding": f"{_RBAC}/namespaces/{{}}/rolebindings",
}


def grant_server_rbac(api: ApiServer, authority: Authority, path: Path) -> None:
    """Create the RBAC objects and write the server's kubeconfig to the path. Raises SandboxError."""
    text = (files("kube_iam.kube") / "manifests" / "rbac.yaml").read_text(encoding="utf-8")
    for part in text.split("---\n"):
        thing = parse_yaml(part, "rbac.yaml").data
        assert isinstance(thing, dict)
        api.ensure(_PATHS[thing["kind"]].format(thing["metadata"].get("namespace")), thing)
    server = ApiServer(api.port, api.ca, authority.client("kube-iam-server", _SERVER, ""))
    write_file(path, kubeconfig(server, authority.pem, "kube-iam").encode())
