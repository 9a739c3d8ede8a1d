"""The region of this EC2 instance, from its metadata service. It takes a second at most in all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from http.client import HTTPConnection

BUDGET_SECONDS = 1.0
IPV4_ENDPOINT = "http://169.254.169.254"
IPV6_ENDPOINT = "http://[fd00:ec2::254]"


def region_from_metadata(environ: Mapping[str, str], budget: float = BUDGET_SECONDS) -> str:
    """Return the instance's region; empty outside EC2, with AWS_EC2_METADATA_DISABLED, and without an answer in time."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    # 1 MB with the e-mail package, which most servers never need.
    from http.client import HTTPConnection, HTTPException

    url = metadata_endpoint(environ)
    deadline = time.monotonic() + budget
    try:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            return ""
        connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=budget)
        try:
            token = _ask(connection, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
            left = deadline - time.monotonic()
            if not token or left <= 0:
                return ""
            connection.timeout = left
            if connection.sock is not None:
                connection.sock.settimeout(left)
            region = _ask(connection, "GET", "/latest/meta-data/placement/region", {"X-aws-ec2-metadata-token": token})
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError):
        return ""
    return region if region.replace("-", "").isalnum() else ""


def metadata_endpoint(environ: Mapping[str, str]) -> str:
    """Return the URL of the metadata service, without a slash at its end."""
    ipv6 = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or (IPV6_ENDPOINT if ipv6 else IPV4_ENDPOINT)
    return url.rstrip("/")


def _ask(connection: HTTPConnection, method: str, path: str, headers: dict[str, str]) -> str:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read(1024)
    return body.decode("ascii").strip() if response.status == 200 else ""
