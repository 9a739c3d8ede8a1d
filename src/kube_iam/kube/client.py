"""The Kubernetes client of commands, made of a kubeconfig, a context and the environment. They are read when first needed."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from importlib.util import find_spec
from threading import RLock
from typing import TYPE_CHECKING, Any

from kube_iam.access.ports import Subject
from kube_iam.config.system_proxies import SYSTEMS, has_system_proxy
from kube_iam.core.arns import canonical_arn
from kube_iam.core.credentials import defect
from kube_iam.core.extras import install_command
from kube_iam.core.proxies import (
    HTTP_SCHEMES,
    SOCKS_SCHEMES,
    VARIABLES,
    proxy_defect,
    proxy_scheme,
    with_lower_scheme,
)
from kube_iam.core.redaction import shown_url
from kube_iam.errors import KubeError, KubeIamError
from kube_iam.kube.context import Context, load_context
from kube_iam.kube.errors import reason_of, translate
from kube_iam.kube.exec_plugin import ExecStatus, run_plugin

if TYPE_CHECKING:
    import ssl

    from httpx2 import BaseTransport
    from lightkube import Client
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.core.resource import GlobalResource

FIELD_MANAGER = "kube-iam"
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 35  # seconds; kube-apiserver waits 30 for its webhook and then reports the timeout
_DECODING = RLock()
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
        self._tls: tuple[ExecStatus | None, ssl.SSLContext] | None = None

    def tls(self, status: ExecStatus | None, config: SingleConfig) -> ssl.SSLContext:
        """Return the TLS settings of the context with these credentials, made once for all addresses. `config` is made of both."""
        from lightkube.config.client_adapter import verify_cluster

        with self._lock:
            if self._tls is None or self._tls[0] is not status:
                assert config.user is not None
                self._tls = status, verify_cluster(config.cluster, config.user, config.abs_file)
            return self._tls[1]

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
        # The parts of lightkube import each other. Two threads that import different parts first wait for each other for ever, which
        # Python ends with an error (https://docs.python.org/3/library/importlib.html). After this import they cannot.
        import lightkube  # noqa: F401

        self._environ = environ
        self._login = _Login(lambda: load_context(kubeconfig, context, environ), environ, clock)
        self._lock = RLock()
        self._address = ""
        self._headers: tuple[tuple[str, str], ...] = ()
        self._client: Client | None = None
        self._status: ExecStatus | None = None

    def at(self, url: str) -> KubeApi:
        """Return the API server at this URL (empty: the same), with the same context and credentials and with connections of its own.

        Neither the kubeconfig is read again nor the exec plugin run again. Raises nothing.
        """
        other = copy(self)
        other._address, other._client, other._lock = url or self._address, None, RLock()
        return other

    def as_user(self, user: Mapping[str, object]) -> KubeApi:
        """Return the same API server with the fields of another kubeconfig user; empty: anonymous. Raises nothing."""
        other = self.at("")
        other._login = _Login(lambda: replace(self._login.context, user=dict(user)), self._environ, time.time)
        return other

    def impersonating(self, username: str, groups: Iterable[str]) -> KubeApi:
        """Return the same API server, whose calls run as that user in these groups. The caller needs the right to impersonate both.

        https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
        """
        other = self.at("")
        other._headers = (("Impersonate-User", username), *(("Impersonate-Group", group) for group in groups))
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

    def whoami(self) -> Subject:
        """Return the user that these calls run as (SelfSubjectReview, since Kubernetes 1.28). Raises KubeIamError."""
        from lightkube.resources.authentication_v1 import SelfSubjectReview

        with self.call("ask the cluster who you are") as client:
            review = client.create(SelfSubjectReview())
            user = review.status.userInfo if review.status else None
        if user is None or not user.username:
            raise KubeError(f"{shown_url(self.server)} does not say who you are")
        return Subject(user.username, tuple(user.groups or ()), _arn_in(user.extra or {}))

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
        proxy, may_use_proxy = _proxies(context, self._environ)
        user = {key: value for key, value in context.user.items() if key != "exec"} | credentials_of(status)
        for key in ("token", "username", "password"):
            if (text := str(user.get(key) or "")) and (found := defect(text)):
                raise KubeError(
                    f"the {key} of context {context.name!r} contains {found}", "correct it in the kubeconfig"
                )
        cluster = {**context.cluster, "insecure-skip-tls-verify": _flag(context.cluster, "insecure-skip-tls-verify")}
        config = SingleConfig(
            context_name=context.name,
            context=Named(cluster=context.name, user=context.name, namespace=context.namespace),
            cluster=_decoding_alone(msgspec.convert)(cluster, Cluster),
            user=_decoding_alone(msgspec.convert)(user, User),
        )
        transport = None if may_use_proxy else self._direct_transport(status, config)
        if transport is not None and config.user is not None:
            # TLS is the transport's. lightkube would read certificate and key once more, for a transport that it does not make.
            config.user.client_cert = config.user.client_cert_data = None
        client = Client(
            config=config,
            timeout=httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            field_manager=FIELD_MANAGER,
            proxy=proxy,
            transport=transport,
        )
        generic: Any = client._client
        generic.handle_response = _decoding_alone(generic.handle_response)
        generic.raise_for_status = _decoding_alone(generic.raise_for_status)
        if self._headers:
            generic._client.headers = httpx2.Headers([*generic._client.headers.multi_items(), *self._headers])
        return client

    def _direct_transport(self, status: ExecStatus | None, config: SingleConfig) -> BaseTransport | None:
        """Return the transport for an API server whose authority the context names. None for others: httpx2 knows theirs."""
        from kube_iam.kube.transport import DirectTransport

        cluster = config.cluster
        names_authority = cluster.certificate_auth or cluster.certificate_auth_data
        if not names_authority or not cluster.server.lower().startswith("https://"):
            return None
        tls = self._login.tls(status, config)
        return DirectTransport(tls, connect_seconds=CONNECT_TIMEOUT, read_seconds=READ_TIMEOUT)


def _decoding_alone(decode: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a lock of all clients around it.

    msgspec 0.22 reads the fields of a class when it decodes one for the first time, and ends the process with a segmentation fault
    where another thread decodes a class with the same fields meanwhile, such as the metadata of all objects. Decoding keeps the
    interpreter's own lock anyway, so nothing waits for longer.
    """

    def decode_alone(*arguments: Any, **options: Any) -> Any:
        with _DECODING:
            return decode(*arguments, **options)

    return decode_alone


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


def get_json(client: Client, path: str) -> dict[str, Any]:
    """Return the JSON object at a path such as `api/v1`, for which lightkube has no class; empty for other data.

    Raises what `client.get` raises.
    """
    from lightkube.core.generic_client import BasicRequest

    generic: Any = client._client
    request = BasicRequest(method="GET", url=path, params={}, response_type=None, data=None, headers=None)
    answer = generic.send(generic.build_adapter_request(request))
    generic.raise_for_status(answer)
    found = answer.json()
    return found if isinstance(found, dict) else {}


def refuse_unsupported(context: Context) -> None:
    """Raise KubeError for settings with which we would act as another user, or trust another server, than kubectl does."""
    for key in ("as", "as-uid", "as-groups", "as-user-extra", "auth-provider"):
        if context.user.get(key):
            raise KubeError(
                f"context {context.name!r} uses {key!r}, which is not supported", "choose another --context"
            )
    if context.cluster.get("tls-server-name"):
        raise KubeError(f"context {context.name!r} uses 'tls-server-name', which is not supported")


def credentials_of(status: ExecStatus | None) -> dict[str, object]:
    """Return the credentials of an exec plugin as fields of a kubeconfig user."""
    if status is None:
        return {}
    found: dict[str, object] = {"token": status.token} if status.token else {}
    if status.certificate and status.key:
        found["client-certificate-data"] = b64encode(status.certificate.encode()).decode()
        found["client-key-data"] = b64encode(status.key.encode()).decode()
    return found


def _flag(fields: Mapping[str, object], key: str) -> bool:
    return str(fields.get(key) or "false").casefold() == "true"


def _proxies(context: Context, environ: Mapping[str, str]) -> tuple[str | None, bool]:
    """Return the context's `proxy-url`, None without one, and whether calls may go through a proxy.

    Without `proxy-url` the HTTP client reads the environment.

    Raises KubeError, naming the entry or the variable, for a proxy that cannot be used, and where a SOCKS proxy lacks socksio.
    """
    own = str(context.cluster.get("proxy-url") or "")
    if own:
        _check_proxy(f"proxy-url of context {context.name!r}", own, own_scheme=True)
        return with_lower_scheme(own), True
    named = [name for name, value in environ.items() if value and name.upper() in VARIABLES]
    for name in named:
        _check_proxy(f"the variable {name}", environ[name])
    return None, bool(named) or (sys.platform in SYSTEMS and has_system_proxy())


def _check_proxy(source: str, url: str, *, own_scheme: bool = False) -> None:
    what = f"the proxy {shown_url(url)} ({source})"
    problem = proxy_defect(url, (*HTTP_SCHEMES, *SOCKS_SCHEMES))
    if own_scheme and "://" not in url:
        problem = "it has no scheme, such as http://"  # kubectl refuses it too
    if problem:
        raise KubeError(f"{what} cannot be used: {problem}", f"correct {source}")
    if proxy_scheme(url) in SOCKS_SCHEMES and find_spec("socksio") is None:
        raise KubeError(
            f"{what} is a SOCKS proxy, which calls to the cluster can use with socksio only, and that is not installed",
            f"install the extra `socks`: {install_command('httpx2[socks]')}",
        )


def _arn_in(extra: dict[str, Any]) -> str:
    """Return the canonical ARN among the extra values of the authenticator (ours, the reference's, EKS's); empty without one."""
    values = {key.casefold(): value for key, value in extra.items()}
    for key in ("canonicalarn", "arn"):
        for arn in values.get(key) or ():
            try:
                return canonical_arn(str(arn))
            except ValueError:
                continue
    return ""
