"""Changes that make kube-apiserver ask the server, for each installer, and the objects that run the server.

The fields are those of kubeadm's v1beta3 and v1beta4, Talos 1.15 and kOps 1.33. The authorizer's are in `authorizer`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from kube_iam.access.chart_values import server_config
from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.kube.authorizer import DIRECTORY, VOLUME

Document = dict[str, object]

STATE_DIRECTORY = "/var/aws-iam-authenticator"
KUBECONFIG = f"{DIRECTORY}/kubeconfig.yaml"
CACHE_TTL = "30s"
"""The time for which a revoked token may be remembered. kube-apiserver's default is 2 minutes."""
SECRET = "kube-iam-tls"  # noqa: S105 - the name of an object
KOPS_ACCOUNT = "kube-system:aws-iam-authenticator"
"""The service account of kOps's addon."""
MEMORY = {"memoryRequest": "96Mi", "memoryLimit": "192Mi"}
_PLACEHOLDER = "registry.example.com/kube-iam:0.1.0"
_USER = 10000


def kubeadm_changes(*, v1beta3: bool = False) -> Document:
    """Return what is added to the ClusterConfiguration, where extraArgs is a list, and a map until kubeadm 1.30."""
    flags = _flags()
    arguments: object = {**flags} if v1beta3 else [{"name": name, "value": value} for name, value in flags.items()]
    volume = {"name": VOLUME, "hostPath": DIRECTORY, "mountPath": DIRECTORY, "readOnly": True, "pathType": "Directory"}
    return {
        "apiVersion": f"kubeadm.k8s.io/{'v1beta3' if v1beta3 else 'v1beta4'}",
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": arguments, "extraVolumes": [volume]},
    }


def static_pod_changes() -> Document:
    """Return what is added to the manifest of kube-apiserver's static pod."""
    container = {
        "name": "kube-apiserver",
        "command": [f"--{name}={value}" for name, value in _flags().items()],
        "volumeMounts": [{"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}],
    }
    volume = {"name": VOLUME, "hostPath": {"path": DIRECTORY, "type": "Directory"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-apiserver", "namespace": "kube-system"},
        "spec": {"containers": [container], "volumes": [volume]},
    }


def talos_changes(kubeconfig: str) -> Document:
    """Return the document of the machine configuration. `kubeconfig` is the text of the webhook kubeconfig that `init` made."""
    return {
        "apiVersion": "v1alpha1",
        "kind": "KubeAuthenticationWebhookConfig",
        "kubeconfig": kubeconfig,
        "version": "v1",
        "cacheTTL": CACHE_TTL,
    }


def kops_changes(access: ClusterAccess, image: str, statements: object) -> Document:
    """Return fields of the cluster's spec. `statements` are those of the server's IAM policy, empty if it needs none."""
    config = server_config(access, "")
    server: Document = {"image": image, **MEMORY}
    if "create" not in config:  # kOps writes no ConfigMap, and the server gets its settings as arguments
        settings = config["server"]
        assert isinstance(settings, dict)
        server |= {"backendMode": settings["backendMode"][0], "clusterID": access.cluster_id}
    spec: Document = {"authentication": {"aws": server}}
    spec["kubeAPIServer"] = {"authenticationTokenWebhookCacheTtl": CACHE_TTL}
    if statements:
        spec["additionalPolicies"] = {"master": json.dumps(statements, indent=2) + "\n"}
    return {"spec": spec}


def config_map(access: ClusterAccess, deny_list: str) -> Document:
    """Return the ConfigMap with the server's config.yaml and without mappings. Raises UsageError as `server_config` does."""
    import yaml

    config = server_config(access, deny_list)
    default = MappingTarget(TargetKind.CONFIG_FILE)
    name = config.pop("name", default.name)
    if config.pop("create", True) is False:
        config = {"clusterID": access.cluster_id, "server": {"denyList": deny_list}}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": default.namespace},
        "data": {default.key: yaml.safe_dump(config, sort_keys=False)},
    }


def daemon_set(image: str, config: str = "", secret: str = "") -> Document:
    """Return the DaemonSet of the server. `config` is the name of its ConfigMap, `secret` of a Secret with cert.pem and key.pem.

    Without `secret` both are files of the node, in STATE_DIRECTORY.
    """
    import yaml

    found: Any = yaml.safe_load((files("kube_iam.kube") / "manifests" / "daemonset.yaml").read_text(encoding="utf-8"))
    pod = found["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == _PLACEHOLDER
    container["image"] = image
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    if config:
        volumes["config"]["configMap"]["name"] = config
    if secret:
        del volumes["state"]["hostPath"]
        # The server refuses a key that others can read; with fsGroup kubelet lets the group read it.
        volumes["state"]["secret"] = {"secretName": secret, "defaultMode": 0o440}
        pod["securityContext"]["fsGroup"] = _USER
    document: Document = found
    return document


def _flags() -> Mapping[str, str]:
    """Return kube-apiserver's flags, without dashes."""
    return {
        "authentication-token-webhook-config-file": KUBECONFIG,
        "authentication-token-webhook-version": "v1",
        "authentication-token-webhook-cache-ttl": CACHE_TTL,
    }
