"""The region of this EC2 instance, from its metadata service. It takes a second at most in all."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

BUDGET_SECONDS = 1.0
IPV4_ENDPOINT = "http://169.254.169.254"
IPV6_ENDPOINT = "http://[fd00:ec2::254]"
_LONGEST = 1024


def region_from_metadata(environ: Mapping[str, str], budget: float = BUDGET_SECONDS) -> str:
    """Return the instance's region; empty outside EC2, with AWS_EC2_METADATA_DISABLED, and without an answer in time."""
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    # The standard library's client loads OpenSSL and the e-mail package: 6 MB for as long as the server runs.
    from h11 import ProtocolError

    url = metadata_endpoint(environ)
    end = time.monotonic() + budget
    try:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            return ""
        address = parts.hostname, parts.port or 80
        token = _ask(address, "PUT", "/latest/api/token", ("X-aws-ec2-metadata-token-ttl-seconds", "60"), end)
        if not token:
            return ""
        region = _ask(address, "GET", "/latest/meta-data/placement/region", ("X-aws-ec2-metadata-token", token), end)
    except (OSError, ProtocolError, ValueError):
        return ""
    return region if region.replace("-", "").isalnum() else ""


def metadata_endpoint(environ: Mapping[str, str]) -> str:
    """Return the URL of the metadata service, without a slash at its end."""
    ipv6 = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    url = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or (IPV6_ENDPOINT if ipv6 else IPV4_ENDPOINT)
    return url.rstrip("/")


def _ask(address: tuple[str, int], method: str, path: str, header: tuple[str, str], end: float) -> str:
    """Return the text of the answer, empty for another status than 200. Raises OSError, ProtocolError, ValueError."""
    import h11

    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    port = "" if address[1] == 80 else f":{address[1]}"
    headers = [("Host", f"{host}{port}"), ("Content-Length", "0"), ("Connection", "close"), header]
    protocol = h11.Connection(h11.CLIENT)
    asked = (protocol.send(h11.Request(method=method, target=path, headers=headers)) or b"") + (
        protocol.send(h11.EndOfMessage()) or b""
    )
    status, body = 0, b""
    with socket.create_connection(address, timeout=_left(end)) as connection:
        connection.sendall(asked)
        while len(body) <= _LONGEST:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                connection.settimeout(_left(end))
                protocol.receive_data(connection.recv(4096))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body.decode("ascii").strip() if status == 200 else ""
            elif not isinstance(event, h11.InformationalResponse):
                break
    return ""


def _left(end: float) -> float:
    """Return the seconds until then. Raises TimeoutError when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
