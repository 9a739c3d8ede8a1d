"""URLs of proxies in variables and kubeconfigs: their schemes and defects."""

from collections.abc import Collection
from urllib.parse import urlsplit

HTTP_SCHEMES = ("http", "https")
SOCKS_SCHEMES = ("socks5", "socks5h")
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
"""The variables that name proxies. Lower-case names count too."""


def with_lower_scheme(url: str) -> str:
    """Return the URL with its scheme in lower case: HTTP clients do not recognize `SOCKS5://` as a proxy."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.lower()}{separator}{rest}" if separator else url


def proxy_scheme(url: str) -> str:
    """Return the scheme; `http` for a URL without one, as curl and Go read it."""
    return url.partition("://")[0].lower() if "://" in url else "http"


def proxy_defect(url: str, schemes: Collection[str]) -> str:
    """Return the defect of a proxy's URL, without any part of the URL; empty where it can be used."""
    if proxy_scheme(url) not in schemes:
        return f"its scheme is none of {', '.join(schemes)}"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        found = parts.hostname and parts.port != 0
    except ValueError:
        found = False
    return "" if found else "it is no URL with host and port"
