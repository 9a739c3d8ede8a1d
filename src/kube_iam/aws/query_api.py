"""Signed calls of AWS's query services (IAM, STS, EC2) without the AWS SDK: a POST with a form, answered in XML.

Blocking, and thread-safe. `QueryApi` is for the server, in whose process the SDK would take 34 MB; commands use the functions. What is
signed, and the hosts, are those of the SDK: tests compare them. AWS Signature Version 4 is in the AWS General Reference; the protocol
in the API references of the services.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from time import gmtime, strftime
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from pyreqwest.client import SyncClient, SyncClientBuilder
from pyreqwest.exceptions import PyreqwestError

from kube_iam.aws.errors import RefusedCall, refusal_of
from kube_iam.aws.https import build_client
from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import canonical_query, signed_headers
from kube_iam.errors import Unreachable

VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15", "ec2": "2016-11-15"}
"""The API version of each service."""

MAX_BODY = 16 * 1024 * 1024
"""Bytes of an answer that are read at most: a page of 1,000 users has half a megabyte, 100 instances have about one."""
_CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
_AGAIN_SECONDS = 1.0  # after a failure that took longer there is no second attempt
_PROXY_HINT = "is there a proxy in between?"


class Endpoint(NamedTuple):
    """The https URL of a service, without a path, and the region in the signature."""

    url: str
    region: str


class QueryApi:
    """Calls of one service at one endpoint."""

    def __init__(
        self,
        service: str,
        endpoint: Endpoint,
        *,
        connect_seconds: float,
        read_seconds: float,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the HTTPS client. Raises ConfigError where it cannot be set up from the environment."""
        self._service = service
        self._endpoint = endpoint
        self._clock = clock
        self._timeout = timedelta(seconds=read_seconds)
        builder = SyncClientBuilder().connect_timeout(timedelta(seconds=connect_seconds))
        self._client: SyncClient = build_client(builder, environ, https_only=endpoint.url.startswith("https:"))

    def call(
        self,
        action: str,
        parameters: Mapping[str, str],
        credentials: Credentials | None,
        doing: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Element:
        """Return the result of the action: an element without namespaces. `doing` completes "cannot …".

        Without credentials the call is not signed. `headers` are sent and signed too. A call without a connection, or that AWS
        failed on at once, is made a second time. Raises the errors of our tree; none repeats a key or the answer.
        """
        form = canonical_query({"Action": action, "Version": VERSIONS[self._service], **parameters})
        started = time.monotonic()
        for again in (True, False):
            try:
                status, body = self._send(form, credentials, headers or {})
            except PyreqwestError as error:
                if again and time.monotonic() - started < _AGAIN_SECONDS:
                    continue
                raise self._not_sent(error, doing) from None
            if status < 500 or not again or time.monotonic() - started >= _AGAIN_SECONDS:
                break
        return _result(action, status, body, doing)

    def _send(self, form: str, credentials: Credentials | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        return post(
            self._client,
            self._service,
            self._endpoint,
            form,
            credentials,
            self._clock(),
            headers=headers,
            timeout=self._timeout,
        )

    def _not_sent(self, error: PyreqwestError, doing: str) -> Unreachable:
        """Return the error for a request that was not answered. The library's text can hold the URL; the kind says enough."""
        host = urlsplit(self._endpoint.url).hostname or ""
        if isinstance(error, TimeoutError):
            return Unreachable(f"cannot {doing}: {host} does not answer in time", "check the network and HTTPS_PROXY")
        return Unreachable(
            f"cannot {doing}: {host} cannot be reached ({type(error).__name__})",
            "check the network, HTTPS_PROXY, and AWS_CA_BUNDLE for a proxy that opens TLS",
        )


def post(
    client: SyncClient,
    service: str,
    endpoint: Endpoint,
    form: str,
    credentials: Credentials | None,
    now: float,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: timedelta | None = None,
) -> tuple[int, bytes]:
    """Return status and body of the answer to one form, of which MAX_BODY bytes and one are read. Raises PyreqwestError.

    `headers` are sent, and signed too. Without credentials the form is not signed. `timeout` is for the whole answer.
    """
    lines = {"content-type": _CONTENT_TYPE, **(headers or {})}
    if credentials is not None:
        lines = signed_headers(
            credentials,
            region=endpoint.region,
            service=service,
            host=urlsplit(endpoint.url).netloc.lower(),
            body=form,
            headers=lines,
            timestamp=strftime("%Y%m%dT%H%M%SZ", gmtime(now)),
        )
    request = client.post(f"{endpoint.url}/")
    if timeout is not None:
        request = request.timeout(timeout)
    for name, value in lines.items():
        request = request.header(name, value)
    with request.body_text(form).build_streamed() as response:
        body = response.body_reader.read(MAX_BODY + 1)
        return response.status, bytes(body or b"")


def text_at(element: Element, *path: str) -> str:
    """Return the text of the element at the path below; empty where there is none."""
    found: Element | None = element
    for name in path:
        found = found.find(name) if found is not None else None
    return (found.text or "") if found is not None else ""


class _LocalNames(TreeBuilder):
    """Builds elements whose names have no namespace."""

    def start(self, tag: str, attrs: dict[Any, Any], /) -> Element:
        return super().start(tag.rpartition("}")[2], attrs)

    def end(self, tag: str, /) -> Element:
        return super().end(tag.rpartition("}")[2])

    def doctype(self, *_: object) -> None:
        """Refuse a document type: no answer of AWS has one, and without one there are no entities."""
        raise ValueError("a document type")


def _result(action: str, status: int, body: bytes, doing: str) -> Element:
    root = parse_answer(body)
    if 200 <= status < 300:
        if root is None or root.tag != f"{action}Response":
            raise not_whole(doing)
        result = root.find(f"{action}Result")
        return root if result is None else result
    error = next(root.iter("Error"), None) if root is not None else None
    code = text_at(error, "Code") if error is not None else str(status)
    message = text_at(error, "Message") if error is not None else ""
    raise refusal_of(RefusedCall(action, status, code, message), doing)


def parse_answer(body: bytes) -> Element | None:
    """Return the root of the document; None for what is no XML, or is too long or has a document type, as no answer of AWS has."""
    if len(body) > MAX_BODY:
        return None
    parser = XMLParser(target=_LocalNames())  # noqa: S314  (see `doctype`)
    try:
        parser.feed(body)
        root: Element = parser.close()
    except (ParseError, ValueError):
        return None
    return root


def not_whole(doing: str) -> Unreachable:
    """Return the error for an answer that is cut off, or is none of AWS."""
    return Unreachable(f"cannot {doing}: the answer is not whole", _PROXY_HINT)
