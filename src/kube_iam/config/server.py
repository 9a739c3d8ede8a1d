"""The server's settings: the reference's config.yaml, read unchanged, with flags above it and the reference's defaults below.

Keys are read in any letter case. All problems are reported together. An unknown key is a warning, because a file that the reference
accepts must be accepted here too. Mappings are not part of the settings: their backend follows the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from kube_iam.config.backends import (
    MOUNTED_FILE,
    ReservedPrefixes,
    read_backends,
    read_dynamic_file,
    reserved_prefixes,
)
from kube_iam.config.ec2 import Ec2Settings, read_ec2
from kube_iam.config.mappings import warn_of_partitions
from kube_iam.config.membership_settings import MembershipSettings, read_membership
from kube_iam.config.mounted import read_mounted
from kube_iam.config.section import Findings, account_ids
from kube_iam.config.server_file import in_order, read_document, sections
from kube_iam.config.settings import Settings
from kube_iam.config.suggestions import suggestion
from kube_iam.config.yaml_file import YamlFile
from kube_iam.core.partitions import PARTITIONS
from kube_iam.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one server.

    `sts_endpoint` is an authority (host:port) besides AWS's own hosts, empty where there is none. `kubeconfig` and `master` say how
    the backends in the cluster reach it, both empty for the pod's own cluster. `backend_mode_path` is a file that names other backends
    while the server runs. `reserved_prefixes` are those of the start: MountedFile follows its file. `deny_list` is NAMESPACE/NAME of a
    ConfigMap, empty where there is no deny list.
    """

    cluster_id: str
    source: Path | None = None
    partition: str = "aws"
    hostname: str = "localhost"
    address: str = "127.0.0.1"
    port: int = 21362
    health_address: str = "127.0.0.1"
    health_port: int = 21363
    state_dir: Path = Path("/var/aws-iam-authenticator")
    generate_kubeconfig: Path = Path("/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml")
    kubeconfig_pregenerated: bool = False
    backend_mode: tuple[str, ...] = (MOUNTED_FILE,)
    backend_mode_path: Path | None = None
    kubeconfig: str = ""
    master: str = ""
    dynamic_file: Path | None = None
    dynamic_file_user_ids: bool = False
    reserved_prefixes: ReservedPrefixes = field(default_factory=dict)
    scrubbed_accounts: frozenset[str] = frozenset()
    sts_endpoint: str = ""
    deny_list: str = ""
    ec2: Ec2Settings = field(default_factory=Ec2Settings)
    membership: MembershipSettings = field(default_factory=MembershipSettings)


@dataclass(slots=True)
class Checked:
    """A checked configuration: the settings, or None where they cannot be used, and all findings."""

    config: ServerConfig | None
    found: Findings = field(default_factory=Findings)


def load_server_config(path: Path | None, flags: Mapping[str, object]) -> tuple[ServerConfig, list[Problem]]:
    """Return the settings and the warnings. Raises ConfigError with all errors.

    `flags` are keyed by the key that each overrides (`clusterID`, `server.port`); None is a flag that was not given.
    """
    checked = read_settings(read_document(path), path, flags)
    if checked.config is None:
        raise ConfigError(str(path or "flags"), in_order(checked.found.errors))
    return checked.config, in_order(checked.found.nonfatal)


def check_server_config(path: Path | None, flags: Mapping[str, object]) -> Findings:
    """Return all problems of a file, settings and mappings, in the order of its lines. Raises ConfigError when it is unreadable."""
    document = read_document(path)
    settings = read_settings(document, path, flags)
    found, (_, mounted) = settings.found, read_mounted(document)
    if settings.config is not None:
        warn_of_partitions(mounted, sections(document)[1], settings.config.partition)
    reported = {str(problem) for problem in found.errors}
    found.errors += [problem for problem in mounted.errors if str(problem) not in reported]
    return Findings(in_order(found.errors), in_order([*found.warnings, *mounted.warnings]))


def read_settings(document: YamlFile, path: Path | None, flags: Mapping[str, object]) -> Checked:
    """Return the settings of a parsed file, and all findings. `flags` are as for `load_server_config`."""
    top, server = sections(document)
    reader = Settings(top, server, {key.lower(): value for key, value in flags.items() if value is not None})
    default = ServerConfig(cluster_id="")
    backends = read_backends(reader, default.backend_mode)
    config = ServerConfig(
        cluster_id=_cluster_id(reader),
        source=path,
        partition=_partition(reader, default.partition),
        hostname=reader.text("hostname", default.hostname),
        address=_address(reader, "address", default.address),
        port=reader.port("port", default.port),
        health_address=_address(reader, "healthAddress", default.health_address),
        health_port=reader.port("healthPort", default.health_port),
        state_dir=Path(reader.text("stateDir", str(default.state_dir))),
        generate_kubeconfig=Path(reader.text("generateKubeconfig", str(default.generate_kubeconfig))),
        kubeconfig_pregenerated=reader.switch("kubeconfigPregenerated", default.kubeconfig_pregenerated),
        backend_mode=backends,
        backend_mode_path=reader.path("dynamicBackendModePath"),
        kubeconfig=reader.text("kubeconfig", ""),
        master=reader.text("master", ""),
        dynamic_file=read_dynamic_file(reader, backends),
        dynamic_file_user_ids=reader.switch("dynamicfileUserIDStrict", False),
        reserved_prefixes=reserved_prefixes(server),
        scrubbed_accounts=frozenset(account for _, account in account_ids(server, "scrubbedAccounts")),
        sts_endpoint=_sts_endpoint(reader),
        deny_list=_deny_list(reader),
        ec2=read_ec2(reader),
        membership=read_membership(reader),
    )
    if config.port == config.health_port:
        reader.error("healthPort", f"is {config.port}, which the webhook listens on")
    return Checked(None if server.found.fatal else config, server.found)


def _cluster_id(reader: Settings) -> str:
    value = reader.cluster_id()
    hint = "it must be unique to this cluster: a token is good for every server with its cluster id"
    if value is None or value == "":
        reader.top.error(("clusterID",), "is required", hint)
        return ""
    if not isinstance(value, str):
        # A number whose digits YAML cannot have changed counts as written, as for the reference.
        named = reader.top.name("clusterID", local=False)
        if named is None:
            return ""
        value = named
    if value != value.strip() or not value.isascii() or not value.isprintable():
        # It is sent as the header x-k8s-aws-id, whose signature covers every character.
        reader.top.error(reader.top.at("clusterID"), "must be printable ASCII without space around it")
    return value


def _partition(reader: Settings, default: str) -> str:
    partition = reader.text("partition", default)
    if partition not in PARTITIONS:
        hint = suggestion(partition, PARTITIONS) or f"known are {', '.join(PARTITIONS)}"
        reader.error("partition", f"{partition!r} is not an AWS partition", hint)
    return partition


def _address(reader: Settings, name: str, default: str) -> str:
    text = reader.text(name, default)
    if text.lower() == "localhost":
        # Other names may stand for several addresses, or change. This one has one meaning.
        return "127.0.0.1"
    try:
        ip_address(text)
    except ValueError:
        hint = "such as 127.0.0.1 for this machine alone, or 0.0.0.0 for all of its IPv4 addresses"
        reader.error(name, f"{text!r} is not an IP address", hint)
    return text


_CONFIG_MAP = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


def _deny_list(reader: Settings) -> str:
    # The key without a value is an error: an administrator wants a deny list.
    if not reader.server.named("denyList"):
        return ""
    text = reader.value("denyList")
    if not isinstance(text, str) or not _CONFIG_MAP.fullmatch(text):
        reader.error("denyList", "must be NAMESPACE/NAME of a ConfigMap", "such as kube-system/kube-iam-denied")
        return ""
    return text


def _sts_endpoint(reader: Settings) -> str:
    text = reader.text("stsEndpoint", "")
    if not text:
        return ""
    url = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = url.port
    except ValueError:
        port = -1
    authority = url.netloc
    if (
        url.scheme != "https"
        or url.path not in ("", "/")
        or url.query
        or url.fragment
        or "@" in authority
        or port == -1
    ):
        reader.error("stsEndpoint", "must be https://host:port, or host:port, and nothing more")
        return ""
    return authority
