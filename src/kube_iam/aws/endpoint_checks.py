"""Checks that requests to an endpoint cannot be read or answered on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from kube_iam.core.redaction import shown_url
from kube_iam.errors import UsageError


def check_endpoint(url: str, source: str) -> None:
    """Raise UsageError unless requests to the URL are https, or stay on this machine. `source` names what set it, for the error."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname or ""
    except ValueError:
        scheme, host = "", ""
    if host and (scheme == "https" or (scheme == "http" and _is_loopback(host) and not _has_proxy(url))):
        return
    raise UsageError(
        f"{source} is {shown_url(url)}, which is neither https nor http on this machine:"
        " anybody on the way could answer in AWS's place",
        f"unset it, or name an https URL{'; with a proxy, add the host to NO_PROXY' if _is_loopback(host) else ''}",
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _has_proxy(url: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a proxy would get a request to the URL."""
    # urllib.request loads OpenSSL: 7 MB for as long as the server runs. On these two systems proxies also stand in their settings.
    if sys.platform not in ("darwin", "win32") and "http_proxy" not in map(str.lower, environ):
        return False
    from urllib.request import getproxies, proxy_bypass

    return bool(getproxies().get("http")) and not proxy_bypass(urlsplit(url).netloc)
