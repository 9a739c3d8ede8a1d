"""Values for a new access file from a kubeconfig context and from its cluster. Nothing is changed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from kube_iam.access.levels import AWS_AUTH, OBJECTS, MappingTarget, TargetKind
from kube_iam.config.findings import Finding, MappingFinding, fits_schema
from kube_iam.core.redaction import shown_url
from kube_iam.errors import ConfigError, KubeIamError, NotFound
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapEditor, Contents
from kube_iam.kube.context import Context
from kube_iam.kube.files import read_text
from kube_iam.kube.yaml.tree import parse_tree

CONFIG_FILE = MappingTarget(TargetKind.CONFIG_FILE)
EKS_ARN = re.compile(r"arn:aws[a-z-]*:eks:([a-z0-9-]+):[0-9]{12}:cluster/([A-Za-z0-9_-]{1,100})")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ID_OPTIONS = ("-i", "--cluster-id", "--cluster-name")
_ID = "write the clusterID that the authenticator of the cluster runs with"
_ENDPOINT = "write the URL of the API server; `kube-iam kubeconfig` needs it"
_AUTHORITY = (
    "write the base64 of the PEM text, or leave it out where a public authority has signed the API server's certificate"
)
_MAPPING = "write where the authenticator reads its mappings: configFile, accessEntries, awsAuth, crd or file"
_EKS_MAPPING = "name the cluster with --eks, by which EKS tells its authentication mode, or write accessEntries: {}"


def find_endpoint(context: Context) -> Finding:
    """Return the API server's URL. One with user info or without https is not taken over."""
    url = context.server
    if fits_schema(url, "cluster", "endpoint"):
        return Finding(url, _source(context))
    what = "has a user, a query or a fragment" if urlsplit(url).scheme == "https" else "is no https URL"
    return Finding(reason=f"{shown_url(url)} of {_source(context)} {what}", remedy=_ENDPOINT)


def find_authority(context: Context) -> Finding:
    """Return the certificate authority as PEM text: its certificates alone, whatever else the kubeconfig's file holds."""
    data, file = context.cluster.get("certificate-authority-data"), context.cluster.get("certificate-authority")
    source = _source(context)
    try:
        if data:
            text = base64.b64decode("".join(str(data).split()), validate=True).decode("ascii")
        else:
            found = read_text(Path(str(file))) if file else ""
            if found is None:
                return Finding(reason=f"there is no {file}, which {source} names", remedy=_AUTHORITY)
            text = found
    except (binascii.Error, UnicodeDecodeError):
        return Finding(
            reason=f"certificate-authority-data of {source} is not the base64 of PEM text", remedy=_AUTHORITY
        )
    except ConfigError as error:
        return Finding(reason=error.message, remedy=_AUTHORITY)
    if not text and str(context.cluster.get("insecure-skip-tls-verify")).lower() == "true":
        # Users' kubeconfig files check the certificate: with no authority, against the public ones.
        return Finding(
            reason=f"{source} skips the check of the certificate (insecure-skip-tls-verify)", remedy=_AUTHORITY
        )
    return authority_finding(text, source)


def authority_finding(text: str, source: str) -> Finding:
    """Return the certificates of a PEM text, or that it has none."""
    certificates = _CERTIFICATE.findall(text)
    if not certificates:
        return Finding(reason=f"{source} has no certificate of an authority", remedy=_AUTHORITY)
    return Finding("\n".join(certificates) + "\n", source)


def find_cluster_id(context: Context) -> Finding:
    """Return the cluster id by which the context's user signs in, or the name of the EKS cluster that the context is named after."""
    arn = EKS_ARN.fullmatch(context.name)
    named = [(arn[2], f"the ARN in {_source(context)}")] if arn else []
    named += [(text, f"the exec plugin of {_source(context)}") for text in _plugin_ids(context)]
    return next(
        (cluster_id(*each) for each in named), Finding(reason=f"{_source(context)} does not name it", remedy=_ID)
    )


def cluster_id(text: str, source: str) -> Finding:
    """Return the cluster id, or that the access file cannot hold it."""
    if fits_schema(text, "cluster", "id"):
        return Finding(text, source)
    return Finding(reason=f"{text!r} in {source} is not an id that tokens can carry", remedy=_ID)


def _plugin_ids(context: Context) -> Iterator[str]:
    plugin = context.user.get("exec")
    words = plugin.get("args") if isinstance(plugin, dict) else None
    arguments = [str(word) for word in words] if isinstance(words, list) else []
    for at, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option in _ID_OPTIONS and equals:
            yield value
        elif word in _ID_OPTIONS and at + 1 < len(arguments):
            yield arguments[at + 1]


def find_mapping(api: KubeApi, *, is_eks: bool) -> MappingFinding:
    """Return the mapping that the cluster has. With `is_eks` it is aws-auth, since EKS's own authenticator reads no other.

    Raises nothing: why the cluster could not be read is the reason.
    """
    try:
        config = None if is_eks else find_config_file(api)
        if config is not None:
            return config
        if ConfigMapEditor(api, AWS_AUTH.namespace, AWS_AUTH.name).read().version:
            return MappingFinding(Finding(AWS_AUTH.describe(), "found in the cluster"), AWS_AUTH)
        if not is_eks and _has_objects(api):
            return MappingFinding(
                Finding(OBJECTS.describe(), "their CustomResourceDefinition is in the cluster"), OBJECTS
            )
    except KubeIamError as error:
        return MappingFinding(Finding(reason=error.message, remedy=_MAPPING))
    if is_eks:
        reason = f"the cluster has no {AWS_AUTH.describe()}; with the authentication mode API it reads none"
        return MappingFinding(Finding(reason=reason, remedy=_EKS_MAPPING))
    reason = f"the cluster has neither {AWS_AUTH.describe()} nor {CONFIG_FILE.name} in any namespace"
    return MappingFinding(Finding(reason=reason, remedy=_MAPPING))


def find_config_file(api: KubeApi) -> MappingFinding | None:
    """Return the ConfigMap that holds the server's config.yaml, in kube-system or else in the first namespace that has one."""
    for namespace in _namespaces(api):
        contents = ConfigMapEditor(api, namespace, CONFIG_FILE.name).read()
        key, named = _key(contents)
        if key:
            target = MappingTarget(TargetKind.CONFIG_FILE, namespace, CONFIG_FILE.name, key)
            return MappingFinding(Finding(target.describe(), "found in the cluster"), target, named)
    return None


def _has_objects(api: KubeApi) -> bool:
    """Return whether the cluster has the CustomResourceDefinition of the backend CRD."""
    from kube_iam.kube.identity_mapping_store import resource

    try:
        with api.call(f"list {OBJECTS.describe()}") as client:
            next(iter(client.list(resource())), None)
            return True
    except NotFound:
        return False


def _namespaces(api: KubeApi) -> Iterator[str]:
    from lightkube.resources.core_v1 import ConfigMap

    yield CONFIG_FILE.namespace
    with api.call(f"list the ConfigMaps {CONFIG_FILE.name}") as client:
        found = [*client.list(ConfigMap, namespace="*", fields={"metadata.name": CONFIG_FILE.name})]
    namespaces = (each.metadata.namespace for each in found if each.metadata and each.metadata.namespace)
    yield from sorted(name for name in namespaces if name != CONFIG_FILE.namespace)


def _key(contents: Contents) -> tuple[str, str]:
    """Return the key that holds a config.yaml of the server, and its clusterID. Both are empty without one."""
    for key in sorted(contents.data, key=lambda name: (name != CONFIG_FILE.key, name)):
        try:
            root = parse_tree(contents.data[key], CONFIG_FILE.describe(), key)
        except ConfigError:
            continue
        named = root.get("clusterID") if root is not None else None
        if named is not None and named.kind == "scalar":
            return key, named.value
        if root is not None and root.get("server") is not None:
            return key, ""
    return "", ""


def _source(context: Context) -> str:
    return f"kubeconfig context {context.name}"
