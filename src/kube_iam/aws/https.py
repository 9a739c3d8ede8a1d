"""HTTPS clients of the server and of commands, set up from the environment: trusted roots and proxies.

The library reads HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE. AWS_CA_BUNDLE names further trusted roots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyreqwest.exceptions import PyreqwestError

from kube_iam.core.proxies import HTTP_SCHEMES, SOCKS_SCHEMES, proxy_defect
from kube_iam.core.redaction import shown_url
from kube_iam.errors import ConfigError, Problem

_PROXY_SCHEMES = (*HTTP_SCHEMES, "socks4", "socks4a", *SOCKS_SCHEMES)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def build_client(builder: Any, environ: Mapping[str, str], *, https_only: bool = True) -> Any:
    """Return the client of a builder, blocking or not: HTTPS alone, no redirects, no compression.

    Raises ConfigError when AWS_CA_BUNDLE or a proxy cannot be used.
    """
    _check_proxies(environ)
    builder = (
        builder.https_only(https_only)
        .follow_redirects(False)
        .referer(False)
        .user_agent("kube-iam")
        # No Accept-Encoding: the bound on an answer must be a bound on what is decoded too.
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
    )
    bundle = environ.get("AWS_CA_BUNDLE")
    for certificate in _certificates(Path(bundle)) if bundle else ():
        builder = builder.add_root_certificate_pem(certificate)
    try:
        return builder.build()
    except PyreqwestError as error:
        problem = Problem("", "the HTTPS client cannot be set up", "check AWS_CA_BUNDLE, SSL_CERT_FILE and HTTPS_PROXY")
        raise ConfigError("environment", [problem]) from error


def _check_proxies(environ: Mapping[str, str]) -> None:
    """Raise ConfigError for a proxy that the library would go past without a word."""
    for name, value in environ.items():
        if value and name.upper() in ("HTTPS_PROXY", "ALL_PROXY") and (problem := proxy_defect(value, _PROXY_SCHEMES)):
            problems = [
                Problem(name, f"the proxy {shown_url(value)} cannot be used: {problem}", f"correct or unset {name}")
            ]
            raise ConfigError("environment", problems)


def _certificates(path: Path) -> list[bytes]:
    try:
        found = _CERTIFICATE.findall(path.read_bytes())
    except OSError as error:
        raise ConfigError("AWS_CA_BUNDLE", [Problem("", f"{path} cannot be read: {error.strerror}")]) from error
    if not found:
        raise ConfigError("AWS_CA_BUNDLE", [Problem("", f"{path} holds no PEM certificate")])
    return [bytes(certificate) for certificate in found]
