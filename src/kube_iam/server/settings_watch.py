"""Warnings about changed settings in the configuration file. Mappings apply while the server runs, settings after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace

from kube_iam.config.backends import MOUNTED_FILE
from kube_iam.config.server import ServerConfig
from kube_iam.errors import ConfigError, KubeIamError
from kube_iam.mappings.file_watch import FileWatch
from kube_iam.server.log import Log

# Keys that are not the field's name in camel case.
_KEYS = {
    "cluster_id": "clusterID",
    "dynamic_file": "dynamicfilepath",
    "dynamic_file_user_ids": "dynamicfileUserIDStrict",
    "backend_mode_path": "dynamicBackendModePath",
    "reserved_prefixes": "reservedPrefixConfig",
    "membership": "membershipRefresh or membershipMaxAge",
    "ec2": "ec2DescribeInstances* or sourceARN",
}


class SettingsWatch:
    """Compares the settings in the file with those in force. `read` returns the settings that a restart would use."""

    def __init__(self, in_force: ServerConfig, read: Callable[[], ServerConfig], log: Log) -> None:
        self._in_force = in_force
        self._read = read
        self._log = log
        self._named: list[str] = []
        self._first = True
        self._watch = FileWatch(in_force.source, self._compare, self._failed) if in_force.source is not None else None

    async def start(self) -> None:
        """Begin to follow the configuration file, if there is one."""
        if self._watch is not None:
            await self._watch.start()

    async def stop(self) -> None:
        """Stop following the file."""
        if self._watch is not None:
            await self._watch.stop()

    async def _compare(self) -> None:
        if self._first:  # the file that the server was started with
            self._first = False
            return
        try:
            config = await asyncio.to_thread(self._read)
        except ConfigError as error:
            for problem in error.problems:
                self._log.warning("configuration: the server would not start with it", problem=str(problem))
            return
        changed = changed_settings(self._in_force, config)
        if changed and changed != self._named:
            self._log.warning(
                "settings have changed in the file; restart the server to use them", settings=tuple(changed)
            )
        elif self._named and not changed:
            self._log.info("the settings in the file are those in force again")
        self._named = changed

    def _failed(self, error: KubeIamError) -> None:
        self._log.warning("configuration", error=str(error))


def changed_settings(before: ServerConfig, after: ServerConfig) -> list[str]:
    """Return the keys of the settings that differ, without the reserved prefixes of MountedFile: that backend follows them itself."""
    before, after = (replace(config, reserved_prefixes=_fixed(config)) for config in (before, after))
    return [
        _key(field.name) for field in fields(ServerConfig) if getattr(before, field.name) != getattr(after, field.name)
    ]


def _fixed(config: ServerConfig) -> dict[str, tuple[str, ...]]:
    return {backend: prefixes for backend, prefixes in config.reserved_prefixes.items() if backend != MOUNTED_FILE}


def _key(field: str) -> str:
    first, *more = field.split("_")
    return _KEYS.get(field) or first + "".join(word.capitalize() for word in more)
