"""Proxies of calls to AWS: HTTP and SOCKS proxies by HTTPS_PROXY, ALL_PROXY and NO_PROXY.

botocore knows HTTP proxies and HTTPS_PROXY only, and goes past others without a word. This module imports botocore when called.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from kube_iam.core.extras import install_command
from kube_iam.core.proxies import (
    HTTP_SCHEMES,
    SOCKS_SCHEMES,
    proxy_defect,
    proxy_scheme,
    with_lower_scheme,
)
from kube_iam.core.redaction import shown_url
from kube_iam.errors import UsageError


def use_proxy(client: Any, environ: Mapping[str, str] = os.environ) -> None:
    """Make a botocore client send its requests through the proxy that the environment names for its endpoint.

    Raises UsageError, naming the variable, for a proxy that cannot be used, and for a SOCKS proxy where PySocks is missing.
    """
    from botocore.httpsession import ProxyConfiguration

    endpoint = client.meta.endpoint_url
    variable, proxy = proxy_for(endpoint, environ)
    if not proxy:
        return
    check_usable(variable, proxy, urlsplit(endpoint).hostname or "")
    session = client._endpoint.http_session  # botocore has no public way to it
    if proxy_scheme(proxy) in HTTP_SCHEMES:
        session._proxy_config = ProxyConfiguration(proxies={urlsplit(endpoint).scheme: with_lower_scheme(proxy)})
        return
    from urllib3.contrib.socks import SOCKSProxyManager

    session._proxy_config = ProxyConfiguration()
    session._manager = SOCKSProxyManager(with_lower_scheme(proxy), **session._get_pool_manager_kwargs())


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Return the variable that names a proxy for requests to the URL, and the proxy; empty where none is in effect.

    The proxies of `environ`'s process count, and those of the system's settings on macOS and Windows.
    """
    from urllib.request import getproxies

    scheme = urlsplit(url).scheme
    proxies = {} if _is_bypassed(urlsplit(url).netloc) else getproxies()
    for kind in (scheme, "all") if scheme == "https" else (scheme,):
        if proxies.get(kind):
            name = f"{kind}_proxy"
            return next((found for found in environ if found.lower() == name), name.upper()), str(proxies[kind])
    return "", ""


def _is_bypassed(host: str) -> bool:
    """Return whether NO_PROXY, or the system's settings, name the host. As in botocore, settings that cannot be read name none."""
    from socket import gaierror
    from urllib.request import proxy_bypass

    try:
        return bool(proxy_bypass(host))
    except (TypeError, gaierror):
        return False


def check_usable(variable: str, proxy: str, host: str) -> None:
    """Raise UsageError where calls to AWS cannot use the proxy that the variable names."""
    what = f"the proxy {shown_url(proxy)} ({variable})"
    if problem := proxy_defect(proxy, (*HTTP_SCHEMES, *SOCKS_SCHEMES)):
        raise UsageError(f"{what} cannot be used: {problem}", f"correct {variable}, or add {host} to NO_PROXY")
    if proxy_scheme(proxy) in SOCKS_SCHEMES and find_spec("socks") is None:
        raise UsageError(
            f"{what} is a SOCKS proxy, which calls to AWS can use with PySocks only, and that is not installed",
            f"install the extra `socks`: {install_command('urllib3[socks]')}; or add {host} to NO_PROXY",
        )
