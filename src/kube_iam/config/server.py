"""The server's settings: the reference's config.yaml, read unchanged, with flags above it and the reference's defaults below.

Keys count in any letter case. What cannot be used is reported all together; a key that nobody knows is a warning, since a file that
the reference takes must be taken here too. Mappings are not part of the settings: their backend reads them, again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kube_iam.config.mappings import MAPPING_KEYS, build_table, parse_mappings
from kube_iam.config.near import near
from kube_iam.config.section import Findings, Section, account_ids, kind_of
from kube_iam.config.settings import Settings
from kube_iam.config.yaml_file import YamlFile, parse_yaml, read_yaml
from kube_iam.core.mapping import MappingTable
from kube_iam.core.partitions import PARTITIONS
from kube_iam.errors import ConfigError, Problem

MOUNTED_FILE = "MountedFile"
BACKENDS = (MOUNTED_FILE, "EKSConfigMap", "CRD", "DynamicFile")
_OLD_BACKEND_NAMES = {"File": MOUNTED_FILE, "ConfigMap": "EKSConfigMap"}
_SUPPORTED_BACKENDS = (MOUNTED_FILE,)

_TOP_KEYS = (
    *("clusterID", "defaultRole", "server"),
    # The `token` command's keys, which may stand in the same file.
    *("region", "role", "externalID", "sessionName", "forwardSessionName", "tokenOnly", "cache"),
)
_NOT_YET = ("ec2DescribeInstancesRoleARN", "sourceARN", "ec2DescribeInstancesQps", "ec2DescribeInstancesBurst")
_DYNAMIC = ("dynamicfilepath", "dynamicfileUserIDStrict", "dynamicBackendModePath")
_SERVER_KEYS = (
    *("partition", "hostname", "address", "port", "healthAddress", "healthPort", "stateDir", "generateKubeconfig"),
    *("kubeconfigPregenerated", "kubeconfig", "master", "backendMode", "scrubbedAccounts", "reservedPrefixConfig"),
    *("stsEndpoint", *_NOT_YET, *_DYNAMIC, *MAPPING_KEYS),
)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one server. `sts_endpoint` is an authority (host:port) besides AWS's own hosts, empty where there is none."""

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
    scrubbed_accounts: frozenset[str] = frozenset()
    sts_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class MountedMappings:
    """What the backend MountedFile takes from one version of the file."""

    table: MappingTable
    reserved_prefixes: tuple[str, ...] = ()
    entries: int = 0


@dataclass(slots=True)
class Checked:
    """One reading of a configuration: the settings where they can be used, and everything found on the way."""

    config: ServerConfig | None
    found: Findings = field(default_factory=Findings)


def load_server_config(path: Path | None, flags: Mapping[str, object]) -> tuple[ServerConfig, list[Problem]]:
    """The settings and what is odd about them. Raises ConfigError with all errors.

    `flags` are keyed by the key that each overrides (`clusterID`, `server.port`); None is a flag that was not given.
    """
    checked = _settings(_document(path), path, flags)
    if checked.config is None:
        raise ConfigError(str(path or "flags"), _in_order(checked.found.errors))
    return checked.config, _in_order(checked.found.warnings)


def load_mounted_mappings(path: Path) -> tuple[MountedMappings, list[Problem]]:
    """The mappings of the file and what is odd about them. Raises ConfigError with all errors: the file is taken whole or not."""
    mappings, found = _read_mounted(_document(path))
    if found.errors:
        raise ConfigError(str(path), _in_order(found.errors))
    return mappings, _in_order(found.warnings)


def check_server_config(path: Path | None, flags: Mapping[str, object]) -> Findings:
    """Everything that is wrong with a file, settings and mappings, in the order of its lines. Raises ConfigError: not readable."""
    document = _document(path)
    found = _settings(document, path, flags).found
    mounted = _read_mounted(document)[1]
    reported = {str(problem) for problem in found.errors}
    found.errors += [problem for problem in mounted.errors if str(problem) not in reported]
    return Findings(_in_order(found.errors), _in_order([*found.warnings, *mounted.warnings]))


def _document(path: Path | None) -> YamlFile:
    return read_yaml(path) if path is not None else parse_yaml("", "")


def _sections(document: YamlFile) -> tuple[Section, Section]:
    """The top level and the section `server`, which share their findings."""
    found = Findings(errors=list(document.problems))
    top = Section(document, document.data, (), _TOP_KEYS, found)
    return top, Section(document, top.value("server"), top.at("server"), _SERVER_KEYS, found)


def _read_mounted(document: YamlFile) -> tuple[MountedMappings, Findings]:
    server = _sections(document)[1]
    server.found.warnings.clear()  # of keys that nobody knows: the settings report those
    mappings = parse_mappings(server)
    table = build_table(mappings, server)
    entries = len(mappings.roles) + len(mappings.users) + len(mappings.accounts)
    return MountedMappings(table, _reserved_prefixes(server), entries), server.found


def _settings(document: YamlFile, path: Path | None, flags: Mapping[str, object]) -> Checked:
    top, server = _sections(document)
    reader = Settings(top, server, {key.lower(): value for key, value in flags.items() if value is not None})
    default = ServerConfig(cluster_id="")
    config = ServerConfig(
        cluster_id=_cluster_id(reader),
        source=path,
        partition=_partition(reader, default.partition),
        hostname=reader.text("hostname", default.hostname),
        address=reader.text("address", default.address),
        port=reader.port("port", default.port),
        health_address=reader.text("healthAddress", default.health_address),
        health_port=reader.port("healthPort", default.health_port),
        state_dir=Path(reader.text("stateDir", str(default.state_dir))),
        generate_kubeconfig=Path(reader.text("generateKubeconfig", str(default.generate_kubeconfig))),
        kubeconfig_pregenerated=reader.switch("kubeconfigPregenerated", default.kubeconfig_pregenerated),
        backend_mode=_backends(reader, default.backend_mode),
        scrubbed_accounts=frozenset(account for _, account in account_ids(server, "scrubbedAccounts")),
        sts_endpoint=_sts_endpoint(reader),
    )
    if config.port == config.health_port:
        reader.error("healthPort", f"is {config.port}, which the webhook listens on")
    _warn_of_what_is_not_done(server)
    _reserved_prefixes(server)
    return Checked(None if server.found.errors else config, server.found)


def _cluster_id(reader: Settings) -> str:
    value = reader.cluster_id()
    hint = "it must be unique to this cluster: a token is good for every server with its cluster id"
    if value is None or value == "":
        reader.top.error(("clusterID",), "is required", hint)
        return ""
    if not isinstance(value, str):
        written = reader.top.document.text(*reader.top.at("clusterID"))
        reader.top.error(reader.top.at("clusterID"), f"must be text, not {kind_of(value)}", f"quote it: '{written}'")
        return ""
    if value != value.strip() or not value.isascii() or not value.isprintable():
        # It is sent as the header x-k8s-aws-id, whose signature covers every character.
        reader.top.error(reader.top.at("clusterID"), "must be printable ASCII without space around it")
    return value


def _partition(reader: Settings, default: str) -> str:
    partition = reader.text("partition", default)
    if partition not in PARTITIONS:
        hint = near(partition, PARTITIONS) or f"known are {', '.join(PARTITIONS)}"
        reader.error("partition", f"{partition!r} is not an AWS partition", hint)
    return partition


def _backends(reader: Settings, default: tuple[str, ...]) -> tuple[str, ...]:
    value = reader.value("backendMode")
    given = value.replace(",", " ").split() if isinstance(value, str) else value
    if given is None:
        return default
    named = [name for name in given if isinstance(name, str)] if isinstance(given, list | tuple) else []
    if not isinstance(given, list | tuple) or not named or len(named) != len(given):
        reader.error("backendMode", f"must be a list of backends: {', '.join(BACKENDS)}")
        return default
    names = tuple(_OLD_BACKEND_NAMES.get(name, name) for name in named)
    for name in dict.fromkeys(names):
        if name not in BACKENDS:
            hint = near(name, BACKENDS) or f"known are {', '.join(BACKENDS)}"
            reader.error("backendMode", f"{name!r} is not a backend", hint)
        elif name not in _SUPPORTED_BACKENDS:
            reader.error("backendMode", f"{name} is not supported yet", f"supported: {', '.join(_SUPPORTED_BACKENDS)}")
        if names.count(name) > 1:
            reader.error("backendMode", f"{name} stands twice")
    return names


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


def _reserved_prefixes(server: Section) -> tuple[str, ...]:
    """The prefixes that the backend MountedFile reserves."""
    entries = server.value("reservedPrefixConfig")
    if entries is None:
        return ()
    if not isinstance(entries, list):
        server.error(server.at("reservedPrefixConfig"), f"must be a list, not {kind_of(entries)}")
        return ()
    reserved: list[str] = []
    for index, item in enumerate(entries):
        steps = (*server.at("reservedPrefixConfig"), index)
        entry = Section(server.document, item, steps, ("backendMode", "usernamePrefixReserveList"), server.found)
        backend = _OLD_BACKEND_NAMES.get(entry.text("backendMode"), entry.text("backendMode"))
        prefixes = [word for _, word in entry.words("usernamePrefixReserveList") if word]
        if backend not in BACKENDS:
            entry.error(entry.at("backendMode"), f"{backend!r} is not a backend", near(backend, BACKENDS))
        elif backend == MOUNTED_FILE:
            reserved += prefixes
    return tuple(reserved)


def _warn_of_what_is_not_done(server: Section) -> None:
    for name in _NOT_YET:
        if server.has(name):
            server.warn(server.at(name), "has no effect: EC2 node names are not supported yet")
    for name in _DYNAMIC:
        if server.has(name) and server.value(name) not in ("", False):
            server.error(server.at(name), "is not supported yet", "the mappings it points at would be missing")


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line or 0)
