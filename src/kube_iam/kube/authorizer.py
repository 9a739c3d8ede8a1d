"""Configuration of kube-apiserver that asks the server before each request of its users: the authorizer in front of Node and RBAC.

The fields are those of https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/ (AuthorizationConfiguration).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from kube_iam.authn.decide import PRINCIPAL_ID_KEY, UID_PREFIX

NAME = "kube-iam"
"""The authorizer's name in kube-apiserver's configuration, metrics and log."""
DIRECTORY = "/etc/kubernetes/aws-iam-authenticator"
"""The directory that deploy/kubeadm mounts into kube-apiserver's pod."""
VOLUME = "aws-iam-authenticator"
CONFIGURATION_FILE = "authorization.yaml"
KUBECONFIG_FILE = "authorizer.yaml"
SERVER = "https://127.0.0.1:21362"
OLDEST = (1, 30)
"""The first Kubernetes version that reads an AuthorizationConfiguration without an alpha feature gate."""
_FIRST_V1 = (1, 32)
_FIRST_WITH_CACHE_SWITCHES = (1, 34)
TIMEOUT = "3s"
_SHORTEST_TTL = "1ms"
"""Until 1.33 kube-apiserver takes a TTL of 0 for one that is not given, and remembers answers for 5 min and 30 s."""
_TALOS_DIRECTORY = "/var/kube-iam"

Document = dict[str, object]
Version = tuple[int, int]


class FailurePolicy(Enum):
    """The answer to a request of our users while the server does not answer."""

    DENY = "Deny"
    NO_OPINION = "NoOpinion"


class Installer(Enum):
    """Installer, which writes kube-apiserver's flags."""

    KUBEADM = "kubeadm"  # v1beta4, of kubeadm 1.31 and newer
    KUBEADM_V1BETA3 = "kubeadm-v1beta3"
    STATIC_POD = "static-pod"
    TALOS = "talos"
    KOPS = "kops"


_DIRECTORIES = {Installer.KOPS: "/srv/kubernetes/kube-apiserver", Installer.TALOS: _TALOS_DIRECTORY}


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The authorizer as one installer configures it. `certificate` is PEM text, or empty to name the file of `certificate_path`.

    `version` is the Kubernetes version. `failure_policy` counts only where `structured`.
    """

    installer: Installer
    version: Version = _FIRST_WITH_CACHE_SWITCHES
    failure_policy: FailurePolicy = FailurePolicy.DENY
    server: str = SERVER
    certificate: str = ""
    own_directory: str = ""

    @property
    def directory(self) -> str:
        """The directory of our files as kube-apiserver sees it: `own_directory`, else the installer's."""
        return self.own_directory or _DIRECTORIES.get(self.installer, DIRECTORY)

    @property
    def structured(self) -> bool:
        """Whether kube-apiserver reads an AuthorizationConfiguration. kOps has no field for its flag (seen in kOps 1.33)."""
        return self.installer is not Installer.KOPS and self.version >= OLDEST

    @property
    def configuration_path(self) -> str:
        """Path of the AuthorizationConfiguration, as kube-apiserver sees it."""
        return f"{self.directory}/{CONFIGURATION_FILE}"

    @property
    def kubeconfig_path(self) -> str:
        """Path of the webhook kubeconfig, as kube-apiserver sees it."""
        return f"{self.directory}/{KUBECONFIG_FILE}"

    @property
    def certificate_path(self) -> str:
        """Path of the certificate that kube-apiserver trusts, as it sees it. kOps's own CA signs the server's certificate."""
        return "/srv/kubernetes/ca.crt" if self.installer is Installer.KOPS else f"{self.directory}/cert.pem"

    def configuration(self) -> Document:
        """Return the AuthorizationConfiguration: our webhook, and behind it Node and RBAC."""
        return {
            "apiVersion": f"apiserver.config.k8s.io/{'v1' if self.version >= _FIRST_V1 else 'v1beta1'}",
            "kind": "AuthorizationConfiguration",
            "authorizers": self.authorizers(),
        }

    def authorizers(self) -> list[Document]:
        """Return the authorizers in order. kube-apiserver asks the next one where one has no opinion."""
        return [
            {"type": "Webhook", "name": NAME, "webhook": self._webhook()},
            {"type": "Node", "name": "node"},
            {"type": "RBAC", "name": "rbac"},
        ]

    def kubeconfig(self) -> Document:
        """Return the kubeconfig by which kube-apiserver finds and trusts the server. It holds no credentials."""
        trust = (
            {"certificate-authority-data": base64.b64encode(self.certificate.encode()).decode()}
            if self.certificate
            else {"certificate-authority": self.certificate_path}
        )
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": {**trust, "server": f"{self.server}/authorize"}}],
            "users": [{"name": "kube-apiserver"}],
            "contexts": [{"name": "webhook", "context": {"cluster": NAME, "user": "kube-apiserver"}}],
            "current-context": "webhook",
        }

    def flags(self) -> Mapping[str, str]:
        """Return kube-apiserver's flags, without dashes. Either set excludes the other (kube-apiserver does not start with both)."""
        if self.structured:
            return {"authorization-config": self.configuration_path}
        return {
            "authorization-mode": "Webhook,Node,RBAC",
            "authorization-webhook-config-file": self.kubeconfig_path,
            "authorization-webhook-version": "v1",
            "authorization-webhook-cache-authorized-ttl": "0s",
            "authorization-webhook-cache-unauthorized-ttl": "0s",
        }

    def _webhook(self) -> Document:
        switched = self.version >= _FIRST_WITH_CACHE_SWITCHES
        # "No opinion" is cached as unauthorized: a denial would wait for the end of the cache (29.3 s measured with a TTL of 30 s).
        cache: Document = (
            {"cacheAuthorizedRequests": False, "cacheUnauthorizedRequests": False}
            if switched
            else {"authorizedTTL": _SHORTEST_TTL, "unauthorizedTTL": _SHORTEST_TTL}
        )
        return {
            "timeout": TIMEOUT,
            "subjectAccessReviewVersion": "v1",
            "matchConditionSubjectAccessReviewVersion": "v1",
            "failurePolicy": self.failure_policy.value,
            **cache,
            "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": self.kubeconfig_path},
            "matchConditions": [{"expression": expression} for expression in match_conditions()],
        }


def installer_changes(authorizer: Authorizer, kubeconfig: str) -> Document:
    """Return what is added to the installer's own configuration. `kubeconfig` is the text of the webhook kubeconfig.

    The fields are those of kubeadm's v1beta3 and v1beta4, Talos 1.9 to 1.13 and kOps 1.33.
    """
    match authorizer.installer:
        case Installer.KUBEADM | Installer.KUBEADM_V1BETA3:
            return _kubeadm(authorizer)
        case Installer.STATIC_POD:
            return _static_pod(authorizer)
        case Installer.TALOS:
            return _talos(authorizer, kubeconfig)
        case Installer.KOPS:
            return _kops(authorizer, kubeconfig)


def _kubeadm(authorizer: Authorizer) -> Document:
    flags, is_list = authorizer.flags(), authorizer.installer is Installer.KUBEADM
    volume = {"name": VOLUME, "hostPath": DIRECTORY, "mountPath": DIRECTORY, "readOnly": True, "pathType": "Directory"}
    return {
        "apiVersion": f"kubeadm.k8s.io/{'v1beta4' if is_list else 'v1beta3'}",
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": [{"name": name, "value": value} for name, value in flags.items()] if is_list else {**flags},
            "extraVolumes": [volume],
        },
    }


def _static_pod(authorizer: Authorizer) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-apiserver", "namespace": "kube-system"},
        "spec": {
            "containers": [
                {
                    "name": "kube-apiserver",
                    "command": [f"--{name}={value}" for name, value in authorizer.flags().items()],
                    "volumeMounts": [{"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}],
                }
            ],
            "volumes": [{"name": VOLUME, "hostPath": {"path": DIRECTORY, "type": "Directory"}}],
        },
    }


def _talos(authorizer: Authorizer, kubeconfig: str) -> Document:
    """Return a patch of the machine configuration.

    All authorizers are named: Talos puts a Node and RBAC that are not in the list before the webhook, where RBAC allows first.
    """
    file = {"path": authorizer.kubeconfig_path, "permissions": 0o644, "op": "create", "content": kubeconfig}
    volume = {"hostPath": _TALOS_DIRECTORY, "mountPath": _TALOS_DIRECTORY, "readonly": True}
    api_server: Document = {"extraVolumes": [volume]}
    api_server |= (
        {"authorizationConfig": authorizer.authorizers()}
        if authorizer.structured
        else {"extraArgs": {**authorizer.flags()}}
    )
    return {"machine": {"files": [file]}, "cluster": {"apiServer": api_server}}


def _kops(authorizer: Authorizer, kubeconfig: str) -> Document:
    """Return fields of the cluster's spec. kOps has none for the webhook's version, so kube-apiserver asks in v1beta1."""
    asset = {
        "name": "kube-iam-authorizer",
        "path": authorizer.kubeconfig_path,
        "roles": ["ControlPlane"],
        "content": kubeconfig,
    }
    api_server = {
        "authorizationMode": "Webhook,Node,RBAC",
        "authorizationWebhookConfigFile": authorizer.kubeconfig_path,
        "authorizationWebhookCacheAuthorizedTtl": "0s",
        "authorizationWebhookCacheUnauthorizedTtl": "0s",
    }
    return {"spec": {"fileAssets": [asset], "kubeAPIServer": api_server}}


def match_conditions() -> tuple[str, str]:
    """Return the CEL conditions that a request must all meet for the server to be asked.

    They select users that the server signed in, whatever their groups are. Extension API servers ask with the keys of HTTP headers,
    which are in lower case, and not always with the uid. Nodes are left out: kubelet must not depend on the server.
    """
    keys = (f"'{key}' in request.extra" for key in (PRINCIPAL_ID_KEY, PRINCIPAL_ID_KEY.lower()))
    return " || ".join((f"request.uid.startsWith('{UID_PREFIX}')", *keys)), "!request.user.startsWith('system:node:')"
