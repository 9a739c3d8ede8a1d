"""The one place that makes a Kubernetes client: from a kubeconfig, a context and the environment, read when first needed."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from kube_iam.core.input_checks import defect
from kube_iam.core.redaction import shown_url
from kube_iam.errors import KubeError, KubeIamError
from kube_iam.kube.context import Context, load_context
from kube_iam.kube.errors import kube_errors, reason_of
from kube_iam.kube.exec_plugin import ExecStatus, run_plugin
from kube_iam.kube.proxy import own_proxy

if TYPE_CHECKING:
    from lightkube import Client

FIELD_MANAGER = "kube-iam"
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 35  # seconds; kube-apiserver waits 30 for its webhook, and then says so
EXPIRY_MARGIN = 30  # seconds before their end at which exec credentials are asked for anew


class KubeApi:
    """The API of one cluster. `kubeconfig`, `context` and `server` are as kubectl's flags of those names; empty: kubectl's default."""

    dry_run = False  # whether writes are checked and not kept (`kube_iam.kube.dry_run`)

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        kubeconfig: str = "",
        context: str = "",
        server: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environ = environ
        self._kubeconfig = kubeconfig
        self._name = context
        self._server = server
        self._clock = clock
        self._context: Context | None = None
        self._client: Client | None = None
        self._expires: float | None = None

    @property
    def context(self) -> Context:
        """The context in use. Raises ConfigError or KubeError where the kubeconfig has none."""
        if self._context is None:
            found = load_context(self._kubeconfig, self._name, self._environ)
            self._context = replace(found, cluster={**found.cluster, "server": self._server}) if self._server else found
        return self._context

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self.context.server

    @contextmanager
    def call(self, doing: str) -> Iterator[Client]:
        """A lightkube client for one call; whatever it raises becomes our tree. `doing` completes "cannot …"."""
        with kube_errors(doing, shown_url(self.server)):
            yield self.client()

    def client(self) -> Client:
        """The lightkube client, made anew when the credentials that an exec plugin gave are about to end."""
        ending = self._expires is not None and self._clock() > self._expires - EXPIRY_MARGIN
        if self._client is None or ending:
            self.close()
            try:
                self._client = self._connect()
            except KubeIamError:
                raise
            except Exception as error:  # lightkube, ssl, msgspec and httpx2 each have their own for a bad kubeconfig
                raise KubeError(f"context {self.context.name!r} cannot be used: {reason_of(error)}") from error
        return self._client

    def close(self) -> None:
        """Give up the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> Client:
        import httpx2
        import msgspec
        from lightkube import Client
        from lightkube.config.kubeconfig import SingleConfig
        from lightkube.config.models import Cluster, User
        from lightkube.config.models import Context as Named

        context = self.context
        refuse_unsupported(context)
        proxy = own_proxy(context, self._environ)
        user = dict(context.user)
        if user.pop("exec", None):
            status = run_plugin(context, self._environ, terminal=sys.stdin is not None and sys.stdin.isatty())
            self._expires = status.expires
            user |= _credentials(status)
        for key in ("token", "username", "password"):
            if found := defect(str(user.get(key) or "")):
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


def refuse_unsupported(context: Context) -> None:
    """Refuse what would silently act as someone else, or trust something else, than kubectl does."""
    for key in ("as", "as-uid", "as-groups", "as-user-extra", "auth-provider"):
        if context.user.get(key):
            raise KubeError(
                f"context {context.name!r} uses {key!r}, which is not supported", "choose another --context"
            )
    if context.cluster.get("tls-server-name"):
        raise KubeError(f"context {context.name!r} uses 'tls-server-name', which is not supported")


def _credentials(status: ExecStatus) -> dict[str, object]:
    found: dict[str, object] = {"token": status.token} if status.token else {}
    if status.certificate and status.key:
        found["client-certificate-data"] = b64encode(status.certificate.encode()).decode()
        found["client-key-data"] = b64encode(status.key.encode()).decode()
    return found


def _flag(fields: Mapping[str, object], key: str) -> bool:
    return str(fields.get(key) or "false").casefold() == "true"
