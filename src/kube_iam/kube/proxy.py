"""The proxy for an API server: `proxy-url` of the kubeconfig, else the proxy of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

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
from kube_iam.errors import KubeError
from kube_iam.kube.context import Context


def own_proxy(context: Context, environ: Mapping[str, str]) -> str | None:
    """Return the context's `proxy-url`, or None without one. Then the HTTP client reads the environment.

    Raises KubeError, naming the entry or the variable, for a proxy that cannot be used, and where a SOCKS proxy lacks socksio.
    """
    own = str(context.cluster.get("proxy-url") or "")
    if own:
        _check(f"proxy-url of context {context.name!r}", own, own_scheme=True)
        return with_lower_scheme(own)
    for name, value in environ.items():
        if value and name.upper() in VARIABLES:
            _check(f"the variable {name}", value)
    return None


def refuse_proxy(context: Context) -> None:
    """Raise KubeError for a context with `proxy-url`, for connections that use no proxy."""
    if context.cluster.get("proxy-url"):
        raise KubeError(
            f"context {context.name!r} has a proxy-url, and the server connects to its cluster without a proxy",
            "remove proxy-url from the kubeconfig of the server, and name an address that it reaches",
        )


def _check(source: str, url: str, *, own_scheme: bool = False) -> None:
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
