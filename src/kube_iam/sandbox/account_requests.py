"""Filter of requests to the emulated account: it passes signed IAM and STS calls in the query protocol, each with one meaning, and
signed calls of EKS.

The emulator serves a hundred services and its own unsigned administration on the same port. It authorizes some requests by other
parameters than those that it then executes. So every request that no AWS SDK would send is refused before the emulator sees it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from kube_iam.sandbox.account_answers import Answer, error
from kube_iam.sandbox.account_eks import ROUTES
from kube_iam.sandbox.aws_fidelity import STS_ACTIONS, VERSIONS

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEALTH = "/healthz"
_LARGEST_BODY = 256 * 1024
_FORM = "application/x-www-form-urlencoded"
_SCOPE = re.compile(r"Credential=([^,\s]+)")


def filter_requests(app: App, *, hosts: frozenset[str], region: str) -> App:
    """Return the application behind the filter of `refusal_reason`. `hosts` are authorities in lower case."""

    async def filtered(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == HEALTH:
            await _answer(send, (200, {"Content-Type": "text/plain"}, b"ok"))
        elif scope["type"] == "http":
            body = await _body(receive)
            reason = refusal_reason(scope, body, hosts=hosts, region=region)
            if reason:
                await _answer(send, error(403, "AccessDenied", f"the sandbox refuses this request: {reason}"))
            else:
                await app(scope, _replay(body or b"", receive), send)

    return filtered


def refusal_reason(scope: Message, body: bytes | None, *, hosts: frozenset[str], region: str) -> str:
    """Return why no AWS SDK could have sent this request to IAM, STS or EKS, or an empty text."""
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    single = dict(headers)
    of_eks = ROUTES.fullmatch(scope["path"]) is not None
    if not of_eks and (scope["path"] != "/" or scope.get("raw_path", b"/") != b"/"):
        return "the path is not /"
    if [value for name, value in headers if name == "host"] not in [[host] for host in hosts]:
        return "it is for another host"
    if body is None:
        return "the body is too long"
    if of_eks:
        return _eks_problem(scope["method"], headers, region)
    query = scope.get("query_string", b"").decode("latin-1")
    if scope["method"] not in ("GET", "POST") or bool(query) is not (scope["method"] == "GET") or (query and body):
        return "it is neither a GET with a query nor a POST with a form"
    if scope["method"] == "POST" and not single.get("content-type", "").startswith(_FORM):
        return "the body is not a form"
    if (
        "x-amz-target" in single
        or "content-encoding" in single
        or sum(name == "authorization" for name, _ in headers) > 1
    ):
        return "it is not in the query protocol"
    pairs = parse_qsl(query or (body or b"").decode("utf-8", "replace"), keep_blank_values=True)
    parameters = dict(pairs)
    if len({name.lower() for name, _ in pairs}) != len(pairs):
        return "a parameter repeats"
    return _scope_problem(parameters, single.get("authorization", ""), region)


def _scope_problem(parameters: dict[str, str], authorization: str, region: str) -> str:
    service = VERSIONS.get(parameters.get("Version", ""))
    if service is None:
        return "it is for neither IAM nor STS"
    if service == "sts" and parameters.get("Action") not in STS_ACTIONS:
        return "the sandbox's STS does not have this action"
    if bool(authorization) is ("X-Amz-Credential" in parameters):
        return "it is not signed, or signed twice"
    credential = _SCOPE.search(authorization)
    parts = (credential[1] if credential else parameters.get("X-Amz-Credential", "")).split("/")
    if len(parts) != 5 or parts[3] != service or parts[4] != "aws4_request":
        return "its signature is for another service"
    if service == "sts" and parts[2] != region:
        return "its signature is for another region"
    return ""


def _eks_problem(method: str, headers: list[tuple[str, str]], region: str) -> str:
    signatures = [value for name, value in headers if name == "authorization"]
    if method not in ("GET", "POST", "DELETE") or len(signatures) != 1:
        return "it is not signed, or signed twice"
    credential = _SCOPE.search(signatures[0])
    if credential is None or credential[1].split("/")[2:] != [region, "eks", "aws4_request"]:
        return "its signature is for another service or region"
    return ""


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, or None where it is longer than any that IAM accepts."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        if sum(map(len, chunks)) > _LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def _answer(send: Send, answer: Answer) -> None:
    status, headers, body = answer
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    """Complete start-up without the emulator's own, which looks for Docker and starts schedulers and other services."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
