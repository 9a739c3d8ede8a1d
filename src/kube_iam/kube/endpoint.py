"""The server's connection settings for the Kubernetes API, read again for every connection.

The rules are those of client-go's BuildConfigFromFlags: --kubeconfig, whose server --master replaces; --master alone, without
credentials; else the pod's own cluster. No other file is read: a server must not find its mappings in a file by accident.
"""

from __future__ import annotations

import binascii
import ssl
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from kube_iam.core.redaction import without_secrets
from kube_iam.errors import KubeError
from kube_iam.kube.client import EXPIRY_MARGIN, refuse_unsupported
from kube_iam.kube.context import SERVICE_ACCOUNT, Context, in_cluster, load_context
from kube_iam.kube.exec_plugin import ExecStatus, run_plugin
from kube_iam.kube.files import read_text

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API server with its trusted certificates and our credentials. `base` is the prefix of all request paths."""

    url: str
    host: str
    port: int
    base: str
    authority: str
    tls: ssl.SSLContext | None = field(repr=False)
    authorization: str = field(default="", repr=False)


class EndpointSource:
    """Connection settings of one API server. `kubeconfig` and `master` are the server's settings of those names."""

    def __init__(
        self,
        kubeconfig: str,
        master: str,
        environ: Mapping[str, str],
        *,
        pod: Path = SERVICE_ACCOUNT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._master = master
        self._environ = environ
        self._pod = pod
        self._clock = clock
        self._status: ExecStatus | None = None

    def endpoint(self) -> Endpoint:
        """Return the present endpoint with credentials. Reads files and may run a plugin. Raises KubeError or ConfigError."""
        context = self._context()
        refuse_unsupported(context)
        _refuse_proxy(context)
        user = dict(context.user)
        if user.pop("exec", None):
            user |= self._from_plugin(context)
        url = urlsplit(context.server)
        shown = without_secrets(context.server)  # the user info of a URL may be a password
        if not url.hostname or url.scheme not in ("https", "http"):
            raise KubeError(f"{shown!r} is not the URL of an API server")
        if url.scheme == "http" and url.hostname not in _LOOPBACK:
            raise KubeError(f"{shown} is not https: an attacker on the network could choose who signs in", "use https")
        secure = url.scheme == "https"
        return Endpoint(
            url=shown,
            host=url.hostname,
            port=url.port or (443 if secure else 80),
            base=url.path.rstrip("/"),
            authority=url.netloc,
            tls=_tls(context, user) if secure else None,
            authorization=_authorization(context, user),
        )

    def _context(self) -> Context:
        if self._kubeconfig:
            context = load_context(self._kubeconfig, "", self._environ)
            return replace(context, cluster={**context.cluster, "server": self._master}) if self._master else context
        if self._master:
            return Context("master", {"server": self._master}, {})
        if "KUBERNETES_SERVICE_HOST" in self._environ and (self._pod / "token").is_file():
            return in_cluster(self._environ, self._pod)
        raise KubeError("there is no way to the Kubernetes API: this is no pod", "give --kubeconfig")

    def _from_plugin(self, context: Context) -> dict[str, object]:
        status = self._status
        if status is None or (status.expires is not None and self._clock() > status.expires - EXPIRY_MARGIN):
            status = self._status = run_plugin(context, self._environ, terminal=False)
        if status.certificate and status.key:
            return {"client-certificate-pem": status.certificate, "client-key-pem": status.key}
        return {"token": status.token}

    def invalidate_credentials(self) -> None:
        """Ask the exec plugin for new credentials at the next connection, because the API server did not accept these."""
        self._status = None


def _refuse_proxy(context: Context) -> None:
    """Raise KubeError for a context with `proxy-url`, for connections that use no proxy."""
    if context.cluster.get("proxy-url"):
        raise KubeError(
            f"context {context.name!r} has a proxy-url, and the server connects to its cluster without a proxy",
            "remove proxy-url from the kubeconfig of the server, and name an address that it reaches",
        )


def _authorization(context: Context, user: Mapping[str, object]) -> str:
    # The file is read each time, because kubelet replaces a service account's token before it expires.
    token = read_text(Path(str(user["tokenFile"]))) if user.get("tokenFile") else str(user.get("token") or "")
    token = (token or "").strip()
    if not token:
        return ""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise KubeError(f"the token of context {context.name!r} is malformed")
    return f"Bearer {token}"


def _tls(context: Context, user: Mapping[str, object]) -> ssl.SSLContext:
    if str(context.cluster.get("insecure-skip-tls-verify") or "false").lower() == "true":
        raise KubeError(
            f"context {context.name!r} says insecure-skip-tls-verify: an attacker on the network could choose who signs in",
            "give certificate-authority-data instead",
        )
    # Only the cluster's own authority, where it names one: a public one must not be trusted for a private API server.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if context.cluster.get("certificate-authority-data"):
            tls.load_verify_locations(cadata=_data(context.cluster, "certificate-authority-data"))
        elif context.cluster.get("certificate-authority"):
            tls.load_verify_locations(cafile=str(context.cluster["certificate-authority"]))
        else:
            tls.load_default_certs()
        _show_certificate(tls, user)
    except (OSError, ValueError, binascii.Error) as error:
        raise KubeError(f"the certificates of context {context.name!r} cannot be used: {_why(error)}") from error
    return tls


def _show_certificate(tls: ssl.SSLContext, user: Mapping[str, object]) -> None:
    files = [str(user.get(name) or "") for name in ("client-certificate", "client-key")]
    texts = [
        str(user.get(f"{name}-pem") or "") or _data(user, f"{name}-data")
        for name in ("client-certificate", "client-key")
    ]
    if not any((*files, *texts)):
        return
    with tempfile.TemporaryDirectory(prefix="kube-iam-") as directory:
        # ssl reads only files. The directory is private, and removed after they were read.
        for index, text in enumerate(texts):
            if text:
                path = Path(directory) / f"{index}.pem"
                path.write_text(text)
                files[index] = str(path)
        tls.load_cert_chain(*files)


def _data(fields: Mapping[str, object], name: str) -> str:
    return b64decode(str(fields.get(name) or ""), validate=False).decode("ascii")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
