"""The Kubernetes client of commands, made of a kubeconfig, a context and the environment. They are read when first needed."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from kube_iam.core.credentials import defect
from kube_iam.core.redaction import shown_url
from kube_iam.errors import KubeError, KubeIamError
from kube_iam.kube.context import Context, load_context
from kube_iam.kube.errors import reason_of, translate
from kube_iam.kube.exec_plugin import ExecStatus, run_plugin
from kube_iam.kube.proxy import own_proxy

if TYPE_CHECKING:
    from lightkube import Client
    from lightkube.core.resource import GlobalResource

FIELD_MANAGER = "kube-iam"
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 35  # seconds; kube-apiserver waits 30 for its webhook and then reports the timeout
EXPIRY_MARGIN = 30  # seconds before their expiry at which new exec credentials are requested


class _Login:
    """The context of a kubeconfig and the credentials of its user, for all addresses of one cluster. Threads may share it."""

    def __init__(self, load: Callable[[], Context], environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        self._load = load
        self._environ = environ
        self._clock = clock
        self._lock = (
            RLock()
        )  # one thread runs the plugin, which may ask on the terminal; the others wait for its answer
        self._context: Context | None = None
        self._status: ExecStatus | None = None

    @property
    def context(self) -> Context:
        """Return the context, which is read when first needed. Raises ConfigError or KubeError."""
        with self._lock:
            if self._context is None:
                self._context = self._load()
            return self._context

    def status(self) -> ExecStatus | None:
        """Return the credentials of the exec plugin, which runs again shortly before they expire. None without a plugin.

        Raises KubeError, also for a context that `refuse_unsupported` refuses: no plugin runs for it.
        """
        with self._lock:
            refuse_unsupported(self.context)
            if not self.context.user.get("exec"):
                return None
            expires = self._status.expires if self._status is not None else None
            if self._status is None or (expires is not None and self._clock() > expires - EXPIRY_MARGIN):
                terminal = sys.stdin is not None and sys.stdin.isatty()
                self._status = run_plugin(self.context, self._environ, terminal=terminal)
            return self._status


class KubeApi:
    """The API of one cluster. Threads may share it. `kubeconfig` and `context` are as kubectl's flags; empty: kubectl's default."""

    dry_run = False  # whether writes are checked and not kept (`kube_iam.kube.dry_run`)

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        kubeconfig: str = "",
        context: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environ = environ
        self._login = _Login(lambda: load_context(kubeconfig, context, environ), environ, clock)
        self._lock = RLock()
        self._address = ""
        self._client: Client | None = None
        self._status: ExecStatus | None = None

    def at(self, url: str) -> KubeApi:
        """Return the API server at this URL (empty: the same), with the same context and credentials and with connections of its own.

        Neither the kubeconfig is read again nor the exec plugin run again. Raises nothing.
        """
        other = copy(self)
        other._address, other._client, other._lock = url or self._address, None, RLock()
        return other

    @property
    def context(self) -> Context:
        """Return the context in use. Raises ConfigError or KubeError where the kubeconfig has none."""
        found = self._login.context
        return replace(found, cluster={**found.cluster, "server": self._address}) if self._address else found

    @property
    def server(self) -> str:
        """Return the API server's URL. Raises what `context` raises."""
        return self._address or self._login.context.server

    @contextmanager
    def call(self, doing: str) -> Iterator[Client]:
        """Yield a lightkube client for one call, whose exceptions become KubeIamError. `doing` completes "cannot …"."""
        try:
            yield self.client()
        except KubeIamError:
            raise
        except Exception as error:
            translated = translate(error, doing, shown_url(self.server))
            if translated is None:
                raise
            raise translated from error

    def client(self) -> Client:
        """Return the lightkube client, a new one after the exec plugin returned new credentials. Raises KubeIamError."""
        with self._lock:
            try:
                status = self._login.status()
                if self._client is None or status is not self._status:
                    # An earlier client stays open: another thread may wait for its answer.
                    self._client, self._status = self._connect(status), status
            except KubeIamError:
                raise
            except Exception as error:  # lightkube, ssl, msgspec and httpx2 each have their own for a bad kubeconfig
                raise KubeError(f"context {self.context.name!r} cannot be used: {reason_of(error)}") from error
            return self._client

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self, status: ExecStatus | None) -> Client:
        import httpx2
        import msgspec
        from lightkube import Client
        from lightkube.config.kubeconfig import SingleConfig
        from lightkube.config.models import Cluster, User
        from lightkube.config.models import Context as Named

        context = self.context
        proxy = own_proxy(context, self._environ)
        user = {key: value for key, value in context.user.items() if key != "exec"} | _credentials(status)
        for key in ("token", "username", "password"):
            if (text := str(user.get(key) or "")) and (found := defect(text)):
                raise KubeError(
                    f"the {key} of context {context.name!r} contains {found}", "correct it in the kubeconfig"
                )
        cluster = {**context.cluster, "insecure-skip-tls-verify": _flag(context.cluster, "insecure-skip-tls-verify")}
        config = SingleConfig(
            context_name=context.name,
            context=Named(cluster=context.name, user=context.name, namespace=context.namespace),
            cluster=msgspec.convert(cluster, Cluster),
            user=msgspec.convert(user, User),
        )
        return Client(
            config=config,
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            field_manager=FIELD_MANAGER,
            proxy=proxy,
        )


def delete_version(
    client: Client, resource: type[GlobalResource], name: str, uid: str, version: str, *, dry_run: bool = False
) -> None:
    """Delete a cluster-scoped object that still has this uid and resourceVersion. Raises what `client.delete` raises; 409 for another.

    `client.delete` sends no preconditions.
    """
    generic: Any = client._client
    request = generic.prepare_request("delete", resource, name=name)
    request.data = {
        "preconditions": {"uid": uid, "resourceVersion": version},
        **({"dryRun": ["All"]} if dry_run else {}),
    }
    generic.raise_for_status(generic.send(generic.build_adapter_request(request)))


def refuse_unsupported(context: Context) -> None:
    """Raise KubeError for settings with which we would act as another user, or trust another server, than kubectl does."""
    for key in ("as", "as-uid", "as-groups", "as-user-extra", "auth-provider"):
        if context.user.get(key):
            raise KubeError(
                f"context {context.name!r} uses {key!r}, which is not supported", "choose another --context"
            )
    if context.cluster.get("tls-server-name"):
        raise KubeError(f"context {context.name!r} uses 'tls-server-name', which is not supported")


def _credentials(status: ExecStatus | None) -> dict[str, object]:
    if status is None:
        return {}
    found: dict[str, object] = {"token": status.token} if status.token else {}
    if status.certificate and status.key:
        found["client-certificate-data"] = b64encode(status.certificate.encode()).decode()
        found["client-key-data"] = b64encode(status.key.encode()).decode()
    return found


def _flag(fields: Mapping[str, object], key: str) -> bool:
    return str(fields.get(key) or "false").casefold() == "true"
