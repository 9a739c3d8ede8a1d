"""`kube-iam server` from its command line to its end.

The server keeps what it loads, so the parser here reads most command lines without click and the option tables: 2 MB less. It returns
None for help, mistakes and unusual spellings: click reads those command lines again. Both ways end in `run`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TextIO

from kube_iam.cli.global_options import VERBOSITIES, GlobalOptions
from kube_iam.config.server import ServerConfig, load_server_config
from kube_iam.config.suggestions import suggestion
from kube_iam.errors import ConfigError, Problem, UsageError
from kube_iam.server.lean_imports import load_libraries, uses_kubernetes
from kube_iam.server.process import ignore_signals

if TYPE_CHECKING:
    import asyncio

    from kube_iam.server.early_port import EarlyPort
    from kube_iam.server.log import Batched, Log

_FEATURE_GATES = ("ConfiguredInitDirectories", "IAMIdentityMappingCRD", "SSORoleMatch", "AllAlpha", "AllBeta")
_GLOBAL = {
    "-c": "config",
    "--config": "config",
    "-i": "cluster_id",
    "--cluster-id": "cluster_id",
    "-l": "log_format",
    "--log-format": "log_format",
    "-v": "log_verbosity",
    "--log-verbosity": "log_verbosity",
    "--feature-gates": "feature_gates",
}
_VALUED = {
    "--partition": "partition",
    "--generate-kubeconfig": "generate_kubeconfig",
    "--state-dir": "state_dir",
    "--kubeconfig": "kubeconfig",
    "--master": "master",
    "--address": "address",
    "--port": "port",
    "--ec2-describeInstances-qps": "ec2_qps",
    "--ec2-describeInstances-burst": "ec2_burst",
}
_BACKEND_MODE = "--backend-mode"
_PREGENERATED = "--kubeconfig-pregenerated"
_BOOLEANS = {"true": True, "false": False}


class ServerFlags(NamedTuple):
    """A command line of the server, read."""

    options: GlobalOptions
    flags: Mapping[str, object]
    backend_mode: tuple[str, ...]


def parse(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> ServerFlags | None:
    """Return the flags behind the word `server`, or None where click has to read them. The last of a repeated flag counts."""
    options, flags, backend_mode = GlobalOptions.from_environment(environ), dict[str, object](), list[str]()
    rest = iter(arguments)
    for argument in rest:
        form, equals, value = argument.partition("=")
        if form == _PREGENERATED and value in _BOOLEANS:
            flags["kubeconfig_pregenerated"] = _BOOLEANS[value]
            continue
        if equals and form[:2] != "--":
            return None
        if not equals:
            value = next(rest, "-")
            if value[:1] == "-":
                return None
        if form in _VALUED:
            flags[_VALUED[form]] = value
        elif form == _BACKEND_MODE:
            backend_mode.append(value)
        elif form in _GLOBAL:
            if _GLOBAL[form] == "log_verbosity" and (value := value.lower()) not in VERBOSITIES:
                return None
            setattr(options, _GLOBAL[form], value)
            options.cluster_id_given = options.cluster_id_given or _GLOBAL[form] == "cluster_id"
        else:
            return None
    return ServerFlags(options, flags, tuple(backend_mode))


def run_parsed(line: ServerFlags, early_port: EarlyPort | None) -> NoReturn:
    """Serve with the flags of `parse`, until a signal ends the process. Raises KubeIamError where the server cannot start."""
    try:
        run(line, sys.stderr, early_port)
    except UsageError as error:
        error.exit_code = 1  # as the reference exits
        raise


def overrides(
    options: GlobalOptions, flags: Mapping[str, object], backend_mode: tuple[str, ...] = ()
) -> dict[str, object]:
    """Return the values of the flags by the configuration keys that they override."""
    names = {
        "partition": "server.partition",
        "generate_kubeconfig": "server.generateKubeconfig",
        "kubeconfig_pregenerated": "server.kubeconfigPregenerated",
        "state_dir": "server.stateDir",
        "address": "server.address",
        "hostname": "server.hostname",
        "port": "server.port",
        "kubeconfig": "server.kubeconfig",
        "master": "server.master",
        "ec2_qps": "server.ec2DescribeInstancesQps",
        "ec2_burst": "server.ec2DescribeInstancesBurst",
    }
    given = {names[flag]: value for flag, value in flags.items() if flag in names}
    if options.cluster_id or options.cluster_id_given:
        given["clusterID"] = options.cluster_id
    if backend_mode:
        given["server.backendMode"] = ",".join(backend_mode)
    return given


def parse_feature_gates(text: str) -> dict[str, bool]:
    """Return the reference's feature gates by name. Raises UsageError for one that does not exist."""
    feature_gates = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = pair.partition("=")
        if name not in _FEATURE_GATES:
            raise UsageError(
                f"there is no feature gate {name!r}",
                suggestion(name, _FEATURE_GATES) or f"known are {', '.join(_FEATURE_GATES)}",
            )
        if value.lower() not in ("true", "false"):
            raise UsageError(f"the feature gate {name} must be true or false")
        feature_gates[name] = value.lower() == "true"
    return feature_gates


def run(line: ServerFlags, stream: TextIO, early_port: EarlyPort | None) -> NoReturn:
    """Serve until a signal ends the process. The log goes to `stream`. Raises KubeIamError where the server cannot start."""
    ignore_signals()
    options = line.options
    parse_feature_gates(options.feature_gates)
    path = Path(options.config) if options.config else None
    given = overrides(options, line.flags, line.backend_mode)
    # The STS client's allocator (mimalloc, which reads this when it is loaded) would take huge pages: 7 MiB that nobody uses.
    os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
    # Mappings are many small objects that live long and have no cycles: the default would walk over all of them again and again
    # while they are read, a third of the time of a start.
    gc.set_threshold(50_000, 20, 100)
    loaded = _load(path, given)
    load_libraries(openssl=isinstance(loaded, ConfigError) or uses_kubernetes(loaded[0]))
    import asyncio

    from kube_iam.server.log import Batched, Scrubber, log_unexpected
    from kube_iam.server.ports import open_ports

    lines = Batched(stream)
    log = open_log(options, lines)
    if isinstance(loaded, ConfigError):
        for problem in loaded.problems:
            log.error("configuration", file=loaded.path, problem=str(problem))
        raise loaded
    config, warnings = loaded
    log.scrub = Scrubber(config.scrubbed_accounts)
    for warning in warnings:
        log.warning("configuration", file=str(path), problem=str(warning))
    # Clients may connect from here on at the latest, and wait. What follows takes longer to load.
    ports = open_ports(config, os.environ, early_port)
    if ports.taken_over:
        log.warning("another server of this state directory listens on the port: both answer until that one is stopped")
    from kube_iam.server.app import serve

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.get_loop().set_exception_handler(log_unexpected(log))
        runner.run(serve(config, ports, log, os.environ, given))
        lines.flush()
        # Threads of the HTTP server may hold requests that were cut off; ending the interpreter under them can crash.
        os._exit(0)


def _load(path: Path | None, given: Mapping[str, object]) -> tuple[ServerConfig, list[Problem]] | ConfigError:
    try:
        return load_server_config(path, given)
    except ConfigError as error:
        return error


def open_log(options: GlobalOptions, lines: Batched) -> Log:
    """Return the log with the level and the format of the options. Raises UsageError for an unknown level."""
    from kube_iam.server.log import Log

    level, style = options.log_verbosity.lower(), options.log_format.lower()
    if level not in VERBOSITIES:
        raise UsageError(
            f"there is no log level {level!r}", suggestion(level, VERBOSITIES) or f"known are {', '.join(VERBOSITIES)}"
        )
    log = Log(lines, level, style)
    if style not in ("text", "json"):
        # As the reference does: an unknown format must not keep the server from starting.
        log.warning(f"unknown log format {style!r}; lines are written as text")
    return log


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
