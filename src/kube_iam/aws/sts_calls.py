"""STS calls of `token` without the AWS SDK: AssumeRole and GetCallerIdentity over the standard library's TLS. On the `token` path.

Loading botocore takes longer than all else in a first run. These calls have its parameters, endpoint, trusted roots, proxy, time
limits, attempts and errors: tests compare them. `sts_calls` returns None where a setting asks for more than this module has. botocore
makes the calls then.
"""

import os
import sys
import time

from kube_iam.aws.profile_sources import is_plain
from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import canonical_query, signed_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from socket import socket
    from ssl import SSLSocket
    from typing import BinaryIO

    from kube_iam.aws.static_credentials import Profile
    from kube_iam.core.partitions import Endpoint
    from kube_iam.errors import KubeIamError

SECONDS = 4.0
"""Time limit for connecting, and for each wait for an answer. A call that gets none is not repeated."""
GIVE_UP_SECONDS = 5.0
"""Seconds after which a call without a connection is not repeated."""
ATTEMPTS = 3

_MAX_BODY = 64 * 1024
_MAX_LINE = 8 * 1024
_MAX_HEADERS = 100
_HEADERS = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
# What botocore's standard mode repeats.
_FAILING = (500, 502, 503, 504)
_REPEATED = (
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
)


def sts_calls(environ: "Mapping[str, str]", profile: "Profile | None", endpoint: "Endpoint") -> "StsCalls | None":
    """Return the client for STS at the endpoint; None where botocore has to make the calls.

    Raises UsageError, naming the variable, for a proxy that cannot be used.
    """
    name, _, port = endpoint.host.partition(":")
    if profile is None or not is_plain(environ, profile) or not name.isascii() or (port and not _is_port(port)):
        return None
    trusted = _trusted_roots(environ, profile)
    proxy = _proxy(environ, endpoint.host)
    return None if not trusted or proxy is None else StsCalls(endpoint.host, trusted, proxy)


def _trusted_roots(environ: "Mapping[str, str]", profile: "Profile") -> str:
    """Return the file of CA certificates that botocore would use; empty where it is not a plain file."""
    named = environ.get("AWS_CA_BUNDLE") or profile.get("ca_bundle") or environ.get("REQUESTS_CA_BUNDLE")
    if named is None or named == "":
        from importlib.util import find_spec

        found = find_spec("certifi") or find_spec("botocore")
        named = os.path.join(os.path.dirname(found.origin or ""), "cacert.pem") if found is not None else ""  # noqa: PTH118, PTH120
    return named if os.path.isfile(named) else ""  # noqa: PTH113


def _proxy(environ: "Mapping[str, str]", host: str) -> str | None:
    """Return the URL of the proxy for the host; empty where there is none, None where botocore has to use it."""
    # Elsewhere than on Linux the system's settings can name a proxy too.
    if sys.platform == "linux" and not any(name[-6:].lower() == "_proxy" for name in environ):
        return ""
    from kube_iam.aws.proxies import check_usable, proxy_for
    from kube_iam.core.proxies import proxy_scheme

    variable, proxy = proxy_for(f"https://{host}", environ)
    if not proxy:
        return ""
    check_usable(variable, proxy, host.partition(":")[0])
    return proxy if proxy_scheme(proxy) == "http" else None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 65536


class StsCalls:
    """STS at one endpoint. Blocking; one connection serves all calls. `doing` completes "cannot …" in errors."""

    __slots__ = ("_connection", "_host", "_proxy")

    def __init__(self, host: str, trusted: str, proxy: str) -> None:
        """`trusted` is a file of CA certificates, `proxy` the URL of an HTTP proxy or empty."""
        self._host = host
        self._proxy = proxy
        self._connection = _Connection(host, trusted, proxy)

    def caller_arn(self, credentials: Credentials, region: str) -> str:
        """Return the ARN of the caller with these credentials, by sts:GetCallerIdentity. Raises the errors of our tree."""
        doing = "ask AWS who you are"
        try:
            found = self._call("GetCallerIdentity", {}, credentials, region, doing)
        except Exception as error:
            from kube_iam.aws.errors import RefusedCall, refusal_of

            if not isinstance(error, RefusedCall):
                raise
            raise refusal_of(error, doing) from error
        arn = found.get("GetCallerIdentityResult/Arn")
        if not arn:
            raise _unreachable(f"cannot {doing}: the answer of STS has no Arn")
        return arn

    def assume(
        self, parameters: "Mapping[str, str]", credentials: Credentials, region: str, doing: str
    ) -> tuple[Credentials, str]:
        """Return a session by sts:AssumeRole, and the role's unique id (`AROA…`; empty where AWS did not say).

        Raises RefusedCall for an answer of AWS that is an error, and the errors of our tree.
        """
        found = self._call("AssumeRole", parameters, credentials, region, doing)
        key_id, secret, token, end = (
            found.get(f"AssumeRoleResult/Credentials/{name}", "")
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        )
        expires = _seconds(end)
        if not (key_id and secret and token) or expires is None:
            raise _unreachable(f"cannot {doing}: the answer of STS has no session")
        session = Credentials(key_id, secret, token, expires)
        return session, role_id_of(found.get("AssumeRoleResult/AssumedRoleUser/AssumedRoleId", ""))

    def _call(
        self, action: str, parameters: "Mapping[str, str]", credentials: Credentials, region: str, doing: str
    ) -> dict[str, str]:
        """Return the texts of the answer by the names of their elements below the root, separated by slashes."""
        form = canonical_query({"Action": action, "Version": "2011-06-15", **parameters})
        began = time.monotonic()
        for attempt in range(ATTEMPTS):
            if attempt:
                from random import random

                time.sleep(random() * 2 ** (attempt - 1))  # noqa: S311
            last = attempt == ATTEMPTS - 1
            try:
                status, date, body = self._connection.post(self._head(form, credentials, region), form)
            except OSError as error:
                if isinstance(error, _CutOff) and last:
                    raise _cut_off(doing) from error
                if last or not _is_transient(error) or time.monotonic() - began >= GIVE_UP_SECONDS:
                    raise self._not_sent(error, doing) from error
                continue
            root, found = _parsed(body)
            if 200 <= status < 300:
                if root != f"{action}Response":
                    raise _cut_off(doing)
                return found
            code, message = found.get("Error/Code", ""), found.get("Error/Message", "")
            if status >= 500 and _is_generic(body):
                code, message = str(status), ""
            elif not root:
                raise _cut_off(doing)
            if last or (status not in _FAILING and code not in _REPEATED):
                from kube_iam.aws.errors import RefusedCall

                raise RefusedCall(action, status, code, message, date)
        raise AssertionError("the last attempt returns or raises")

    def _head(self, form: str, credentials: Credentials, region: str) -> str:
        headers = signed_headers(
            credentials,
            region=region,
            service="sts",
            host=self._host,
            body=form,
            headers=_HEADERS,
            timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST / HTTP/1.1\r\nhost: {self._host}\r\nuser-agent: kube-iam\r\ncontent-length: {len(form)}\r\n{lines}\r\n"

    def _not_sent(self, error: OSError, doing: str) -> "KubeIamError":
        """Return the error for a request that was not answered, in the words of botocore's errors for the same failure."""
        import botocore.exceptions as known

        from kube_iam.aws.local_errors import before_an_answer
        from kube_iam.core.redaction import is_tls_error

        url = f"https://{self._host}/"
        made: Exception
        if isinstance(error, _NoTunnel):
            made = known.ProxyConnectionError(proxy_url=self._proxy, error=error)
        elif is_tls_error(error):
            made = known.SSLError(endpoint_url=url, error=error)
        elif isinstance(error, TimeoutError):
            made = known.ConnectTimeoutError(endpoint_url=url, error=error)
        else:
            made = known.EndpointConnectionError(endpoint_url=url, error=error)
        made.__cause__ = error
        return before_an_answer(made, doing)


def _seconds(end: str) -> float | None:
    """Return the Unix seconds of a time, whose fraction of a second is left out; None for what is no time."""
    from kube_iam.core.utc import parse_rfc3339

    whole, point, rest = end.partition(".")
    return parse_rfc3339(whole + rest.lstrip("0123456789") if point else end)


def role_id_of(assumed_role_id: str) -> str:
    """Return the role's unique id of `AROA…:SESSION`; empty for what is none."""
    role_id = assumed_role_id.partition(":")[0]
    return role_id if role_id.isalnum() and role_id.isascii() else ""


class _NoTunnel(OSError):
    """The proxy cannot be reached, or opens no connection to STS."""


class _CutOff(OSError):
    """An answer ended too early, or is not HTTP."""


class _Connection:
    """A TLS connection, opened for the first request and again after a failure."""

    __slots__ = ("_file", "_host", "_port", "_proxy", "_socket", "_trusted")

    def __init__(self, host: str, trusted: str, proxy: str) -> None:
        self._host, _, port = host.partition(":")
        self._port = int(port or 443)
        self._trusted = trusted
        self._proxy = proxy
        self._socket: SSLSocket | None = None
        self._file: BinaryIO | None = None

    def post(self, head: str, form: str) -> tuple[int, str, bytes]:
        """Send a request, and return status, Date header and body of the answer. Raises OSError; the connection is closed then."""
        try:
            if self._socket is None or self._file is None:
                self._socket = self._open()
                self._file = self._socket.makefile("rb")
            self._socket.sendall(f"{head}{form}".encode("ascii"))
            status, headers = _read_head(self._file)
            body = _read_body(self._file, headers)
        except BaseException:
            self._close()
            raise
        if headers.get("connection", "").lower() == "close" or not _is_framed(headers):
            self._close()
        return status, headers.get("date", ""), body

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = self._file = None

    def _open(self) -> "SSLSocket":
        import socket
        import ssl

        # Names are passed as bytes: for a text the codec of internationalized names is loaded.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._trusted)
        if self._proxy:
            plain = _tunnel(self._proxy, self._host, self._port)
        else:
            plain = socket.create_connection((self._host.encode(), self._port), SECONDS)  # type: ignore[arg-type]
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(plain, server_hostname=self._host.encode())
        except BaseException:
            plain.close()
            raise


def _tunnel(proxy: str, host: str, port: int) -> "socket":
    """Return a connection to the host through the HTTP proxy. Raises OSError."""
    from binascii import b2a_base64
    from socket import create_connection
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        plain = create_connection((parts.hostname or "", parts.port or 80), SECONDS)
    except TimeoutError:
        raise
    except OSError as error:
        raise _NoTunnel from error
    try:
        words = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        secret = b2a_base64(words.encode(), newline=False).decode()
        given = f"proxy-authorization: Basic {secret}\r\n" if parts.username else ""
        plain.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n{given}\r\n".encode())
        # This reads nothing of TLS, since STS sends nothing before we do.
        with plain.makefile("rb") as file:
            try:
                status, _ = _read_head(file)
            except _CutOff as error:
                raise _NoTunnel from error
        if status != 200:
            raise _NoTunnel
    except BaseException:
        plain.close()
        raise
    return plain


def _read_head(file: "BinaryIO") -> tuple[int, dict[str, str]]:
    """Return status and headers (names in lower case) of an answer. Raises _CutOff for what is not HTTP."""
    version, _, rest = file.readline(_MAX_LINE).partition(b" ")
    status = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not status.isdigit():
        raise _CutOff
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = file.readline(_MAX_LINE)
        if line in (b"\r\n", b"\n"):
            return int(status), headers
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n"):
            break
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    raise _CutOff


def _is_framed(headers: "Mapping[str, str]") -> bool:
    """Return whether the headers say where the body ends, so that the connection serves further requests."""
    return "content-length" in headers or "transfer-encoding" in headers


def _read_body(file: "BinaryIO", headers: "Mapping[str, str]") -> bytes:
    """Return the body of an answer. Raises _CutOff for one that ends too early, is too long or is encoded otherwise."""
    encoding, length = headers.get("transfer-encoding", ""), headers.get("content-length", "")
    if encoding:
        return _read_chunks(file, encoding)
    if not length:
        body = file.read(_MAX_BODY + 1)
        if len(body) > _MAX_BODY:
            raise _CutOff
        return body
    return _read_exactly(file, int(length) if length.isascii() and length.isdigit() else -1)


def _read_chunks(file: "BinaryIO", encoding: str) -> bytes:
    body = b""
    while encoding.lower() == "chunked" and len(body) <= _MAX_BODY:
        digits = file.readline(_MAX_LINE).partition(b";")[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            break
        size = int(digits, 16)
        if not size:
            while file.readline(_MAX_LINE) not in (b"\r\n", b"\n", b""):
                pass
            return body
        body += _read_exactly(file, size)
        file.readline(_MAX_LINE)
    raise _CutOff


def _read_exactly(file: "BinaryIO", size: int) -> bytes:
    body = file.read(size) if 0 <= size <= _MAX_BODY else b""
    if len(body) != size:
        raise _CutOff
    return body


def _parsed(body: bytes) -> tuple[str, dict[str, str]]:
    """Return the name of the document's root, and the texts below it by their path. Names have no namespace.

    The name is empty for what is no XML, or has a document type or one path twice, as no answer of STS has.
    """
    from pyexpat import ExpatError, ParserCreate

    path: list[str] = []
    texts: dict[str, str] = {}
    roots: list[str] = []

    def begin(name: str, _: object) -> None:
        path.append(name.rpartition(" ")[2])
        if len(path) == 1:
            roots.append(path[0])
        elif "/".join(path[1:]) in texts:
            raise ValueError("an element stands twice")
        texts["/".join(path[1:])] = ""

    def add(text: str) -> None:
        texts["/".join(path[1:])] += text

    def refuse(*_: object) -> None:
        raise ValueError("a document type")

    parser = ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _: path.pop()
    parser.CharacterDataHandler = add
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except (ExpatError, ValueError):
        return "", {}
    return roots[0], texts


def _is_generic(body: bytes) -> bool:
    """Return whether this is the answer of a failing front end, as botocore tells it, which has no code of STS."""
    stripped = body.strip()
    return not stripped or stripped.startswith(b"<html>")


def _is_transient(error: OSError) -> bool:
    """Return whether a failure to send is worth another attempt. A timeout has taken its time, and a certificate stays as it is."""
    from kube_iam.core.redaction import is_tls_error

    return not isinstance(error, TimeoutError) and not is_tls_error(error)


def _unreachable(message: str) -> "KubeIamError":
    from kube_iam.errors import Unreachable

    return Unreachable(message, "is there a proxy in between? Try again")


def _cut_off(doing: str) -> "KubeIamError":
    return _unreachable(f"cannot {doing}: the answer is cut off, or is not one of AWS")
