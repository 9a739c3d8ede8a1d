"""HTTP for lightkube over Python's own HTTP client: connections to one API server without a proxy.

httpx2's own transport takes 44 ms to load, with HTTP/2, SOCKS and an event loop that no command needs. It still serves proxies. TLS is
OpenSSL's in both, with the same settings. This module imports httpx2: import it where a client is made.
"""

from __future__ import annotations

import select
import ssl
import threading
from http.client import HTTPException, HTTPSConnection

import httpx2


class DirectTransport(httpx2.BaseTransport):
    """Connections that are kept open, each for one request at a time. Threads may share it."""

    def __init__(self, tls: ssl.SSLContext, *, connect_seconds: float, read_seconds: float) -> None:
        """`read_seconds` is the time in which the next part of an answer comes."""
        self._tls = tls
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._lock = threading.Lock()
        self._idle: list[HTTPSConnection] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the whole answer. Raises the errors of httpx2 that its own transport raises."""
        connection = self._take() or self._connect(request)
        try:
            connection.putrequest(
                request.method, request.url.raw_path.decode("ascii"), skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.raw:
                connection.putheader(name, value)
            connection.endheaders(request.read())
            answer = connection.getresponse()
            body = answer.read()
        except TimeoutError as error:
            connection.close()
            raise httpx2.ReadTimeout("no answer in time", request=request) from error
        except (OSError, HTTPException, ValueError) as error:
            connection.close()
            raise httpx2.ReadError(type(error).__name__, request=request) from error
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            with self._lock:
                self._idle.append(connection)
        return httpx2.Response(answer.status, headers=answer.getheaders(), content=body, request=request)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()

    def _take(self) -> HTTPSConnection | None:
        """Return an open connection that is not in use; None where there is none."""
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if _is_open(connection):
                    return connection
                connection.close()
        return None

    def _connect(self, request: httpx2.Request) -> HTTPSConnection:
        url = request.url
        connection = HTTPSConnection(url.host, url.port or 443, timeout=self._connect_seconds, context=self._tls)
        try:
            connection.connect()
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("no connection in time", request=request) from error
        except (OSError, ValueError) as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        connection.sock.settimeout(self._read_seconds)
        return connection


def _is_open(connection: HTTPSConnection) -> bool:
    """Return whether the server has neither closed the connection nor sent what nobody asked for."""
    try:
        readable, _, _ = select.select([connection.sock], [], [], 0)
    except (OSError, ValueError):
        return False
    return not readable
