"""From the names in `backendMode` to backends."""

from __future__ import annotations

from kube_iam.config.server import MOUNTED_FILE, ServerConfig
from kube_iam.errors import ConfigError, Problem
from kube_iam.mappings.backend import Backend, Observer
from kube_iam.mappings.mounted_file import MountedFile


def make_backends(config: ServerConfig, observer: Observer) -> tuple[Backend, ...]:
    """The backends in the order in which they are asked. Raises ConfigError for one that is not supported yet."""
    return tuple(_make(name, config, observer) for name in config.backend_mode)


def _make(name: str, config: ServerConfig, observer: Observer) -> Backend:
    if name == MOUNTED_FILE:
        return MountedFile(config.source, observer)
    raise ConfigError(str(config.source or "flags"), [Problem("server.backendMode", f"{name} is not supported yet")])
