"""Libraries of the server are loaded without modules that they import and that the server never uses: 6 MB less.

- OpenSSL (5 MB): TLS of the webhook, and towards STS, IAM and EC2, is that of rustls, which the HTTP libraries bring. Python's `ssl`
  serves the Kubernetes API alone, for backends in the cluster and the deny list. asyncio, uvloop and granian import it all the same.
  `hashlib` loads OpenSSL too: `core.tokens` has SHA-256 without it.
- anyio and typing_extensions (1 MB): granian and msgspec import them where they are installed, and do without.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType

from kube_iam.config.backends import CRD, EKS_CONFIG_MAP
from kube_iam.config.server import ServerConfig

_IMPORTERS = ("asyncio", "uvloop", "granian", "msgspec")
_OPTIONAL = ("anyio", "typing_extensions")


class _StandIn(ModuleType):
    """Has every name that an importer asks for: constants are -1, everything else is an exception that nothing raises."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return -1 if name.isupper() else type(name, (Exception,), {})


def load_libraries(*, openssl: bool) -> None:
    """Load the libraries without the modules that they can do without. Later imports of these get the real modules.

    Without `openssl` asyncio refuses TLS connections (TypeError). What is loaded already stays as it is.
    """
    absent: dict[str, ModuleType | None] = dict.fromkeys(_OPTIONAL)
    if not openssl and not any(name in sys.modules for name in _IMPORTERS):
        absent["ssl"] = _StandIn("ssl")
    absent = {name: module for name, module in absent.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]  # None makes an import fail: the import system's own rule
    try:
        for name in _IMPORTERS:
            with contextlib.suppress(
                ModuleNotFoundError
            ):  # uvloop is optional; another one is reported where it is used
                importlib.import_module(name)
    finally:
        for name in absent:
            del sys.modules[name]


def uses_kubernetes(config: ServerConfig) -> bool:
    """Return whether this server may connect to the Kubernetes API. `backend_mode_path` can name such a backend at any time."""
    in_cluster = {CRD, EKS_CONFIG_MAP}.intersection(config.backend_mode)
    return bool(in_cluster or config.deny_list or config.backend_mode_path)
