"""From the names in `backendMode` to backends."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.config.backends import EKS_CONFIG_MAP, MOUNTED_FILE
from kube_iam.config.server import ServerConfig
from kube_iam.errors import ConfigError, Problem
from kube_iam.mappings.backend import Backend, Observer
from kube_iam.mappings.mounted_file import MountedFile


def make_backends(config: ServerConfig, observer: Observer, environ: Mapping[str, str]) -> tuple[Backend, ...]:
    """The backends in the order in which they are asked. Raises ConfigError for one that is not supported yet."""
    return tuple(_make(name, config, observer, environ) for name in config.backend_mode)


def _make(name: str, config: ServerConfig, observer: Observer, environ: Mapping[str, str]) -> Backend:
    reserved = config.reserved_prefixes.get(name, ())
    if name == MOUNTED_FILE:
        return MountedFile(config.source, observer)
    if name == EKS_CONFIG_MAP:
        # Imported only where a backend needs the Kubernetes API: what is not loaded takes no memory.
        from kube_iam.kube.endpoint import Access
        from kube_iam.mappings.eks_config_map import EksConfigMap

        return EksConfigMap(Access(config.kubeconfig, config.master, environ), observer, reserved)
    raise ConfigError(str(config.source or "flags"), [Problem("server.backendMode", f"{name} is not supported yet")])
