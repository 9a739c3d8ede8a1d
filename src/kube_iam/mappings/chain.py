"""The backends in their order: those of `backendMode`, or those that the file `dynamicBackendModePath` names at the moment.

A backend that stays in the chain keeps running. The old chain answers until every backend of the new one has loaded, for ten seconds
at most. Then the new chain answers, loaded or not, and a backend that has not loaded denies. So a change of order or a removal is in
force at once, and no sign-in fails while a new backend loads. A removed backend answers no longer than these ten seconds, even if
another one does not load (docs/decisions/0005-swapping-backends.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from kube_iam.config.backends import DYNAMIC_FILE, EKS_CONFIG_MAP, MOUNTED_FILE
from kube_iam.config.dynamic import load_backend_mode
from kube_iam.config.server import ServerConfig
from kube_iam.core.mapping import MappingSnapshot
from kube_iam.errors import ConfigError, KubeIamError, Problem
from kube_iam.mappings.backend import Backend, Observer
from kube_iam.mappings.dynamic_file import DynamicFile
from kube_iam.mappings.file_watch import FileWatch
from kube_iam.mappings.mounted_file import MountedFile

MODE_FILE = "dynamicBackendModePath"
LATENCY = "dynamic_backend_mode"
PATIENCE_SECONDS = 10.0


class Chain:
    """The `authn.ports.Mappings` of one server. One `start` per instance."""

    def __init__(
        self,
        config: ServerConfig,
        observer: Observer,
        environ: Mapping[str, str],
        *,
        flags: Mapping[str, object] | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Create the chain. `flags` are those that `config` was read with (`config.server.load_server_config`)."""
        self._config = config
        self._flags = flags or {}
        self._observer = observer
        self._environ = environ
        self._patience = patience
        self._backends: dict[str, Backend] = {}
        self._asked: tuple[Backend, ...] | None = None
        path = config.backend_mode_path
        self._watch = FileWatch(path, self._read_mode, self._failed) if path is not None else None

    def snapshots(self) -> list[MappingSnapshot]:
        """Return the mappings of each backend, in their order. While the order is not known, return one snapshot that denies."""
        if self._asked is None:
            return [MappingSnapshot(MODE_FILE)]
        return [backend.snapshot for backend in self._asked]

    def waiting(self) -> list[str]:
        """Return the names of the backends that have not loaded."""
        return [snapshot.name for snapshot in self.snapshots() if snapshot.table is None]

    async def start(self) -> None:
        """Start the backends. Return soon, loaded or not."""
        if self._watch is not None:
            await self._watch.start()
        else:
            await self._use(self._config.backend_mode)

    async def stop(self) -> None:
        """Stop all backends. Their snapshots stay as they are."""
        if self._watch is not None:
            await self._watch.stop()
        await asyncio.gather(*(backend.stop() for backend in self._backends.values()))

    async def _read_mode(self) -> None:
        assert self._config.backend_mode_path is not None
        first = not self._backends
        try:
            found = await asyncio.to_thread(load_backend_mode, self._config.backend_mode_path)
            names = found[0] if found is not None else self._config.backend_mode
            self._refuse_without_source(names)
        except ConfigError as error:
            # At a start it is not known which backends the file had disabled, so nobody is admitted.
            self._observer.failed(MODE_FILE, error, kept=not first)
            return
        await self._use(names)
        if found is not None and not first:
            self._observer.arrived(LATENCY, found[1])

    async def _use(self, names: tuple[str, ...]) -> None:
        old, first = self._backends, not self._backends
        if names == tuple(old):
            return
        backends = {name: old.get(name) or self._make(name) for name in names}
        fresh = [backend for name, backend in backends.items() if name not in old]
        # Recorded before they start, so that `stop` ends them too.
        self._backends = {**old, **backends}
        if first:
            self._asked = tuple(backends.values())
        await asyncio.gather(*(backend.start() for backend in fresh))
        if not first:
            await self._loaded(fresh)
        self._asked, self._backends = tuple(backends.values()), backends
        self._observer.chained(names)
        await asyncio.gather(*(backend.stop() for name, backend in old.items() if name not in backends))

    async def _loaded(self, backends: list[Backend]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while any(backend.snapshot.table is None for backend in backends):
                    await asyncio.sleep(0.02)

    def _refuse_without_source(self, names: tuple[str, ...]) -> None:
        if DYNAMIC_FILE in names and self._config.dynamic_file is None:
            problem = Problem("backendMode", f"{DYNAMIC_FILE} needs dynamicfilepath in the server's configuration")
            raise ConfigError(str(self._config.backend_mode_path), [problem])

    def _make(self, name: str) -> Backend:
        config, observer = self._config, self._observer
        reserved = config.reserved_prefixes.get(name, ())
        if name == MOUNTED_FILE:
            return MountedFile(config.source, observer, self._flags, config.cluster_id)
        if name == DYNAMIC_FILE:
            assert config.dynamic_file is not None
            return DynamicFile(config.dynamic_file, observer, reserved, user_ids=config.dynamic_file_user_ids)
        # Imported only where a backend needs the Kubernetes API, to save memory.
        from kube_iam.kube.endpoint import EndpointSource
        from kube_iam.mappings.crd import IdentityMappings
        from kube_iam.mappings.eks_config_map import EksConfigMap

        endpoints = EndpointSource(config.kubeconfig, config.master, self._environ)
        if name == EKS_CONFIG_MAP:
            return EksConfigMap(endpoints, observer, reserved)
        return IdentityMappings(endpoints, observer, reserved)

    def _failed(self, error: KubeIamError) -> None:
        self._observer.interrupted(MODE_FILE, error, kept=bool(self._backends))
