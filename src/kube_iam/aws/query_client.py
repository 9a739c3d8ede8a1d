"""Clients of IAM and STS for commands, with the part of botocore's interface that `IamCalls` uses, and without loading botocore.

Loading botocore and its models takes 0.4 s, most of the time of a command. So a call is made here first, once. Only its ordinary
answers are read here. Whatever else comes (throttling, a fault of AWS, no connection, an answer that is not AWS's) passes the call and
all later ones to botocore, which repeats them, slows down, and words the error. Only a call that timed out is not repeated.

Tests compare requests and answers with botocore's for every operation.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn
from xml.etree.ElementTree import Element

from pyreqwest.client import SyncClient
from pyreqwest.exceptions import ConnectTimeoutError, PyreqwestError

from kube_iam.aws.errors import RefusedCall
from kube_iam.aws.query_api import MAX_BODY, VERSIONS, Endpoint, parse_answer, post, text_at
from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import canonical_query

REPEATED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
"""Codes of answers that botocore repeats."""
LEFT_TO_SDK = frozenset({"simulate_principal_policy"})
"""Operations whose answers hold what is not read here: maps."""

_LISTS = frozenset(
    {
        *("AttachedPolicies", "Groups", "Policies", "PolicyGroups", "PolicyNames", "PolicyRoles", "PolicyUsers"),
        *("Tags", "Users", "Versions"),
    }
)
_INTEGERS = frozenset(
    {"AttachmentCount", "MaxSessionDuration", "PermissionsBoundaryUsageCount", "TemplateMinorVersion"}
)
_BOOLEANS = frozenset({"IsAttachable", "IsDefaultVersion", "IsTruncated"})
_TIMES = frozenset({"CreateDate", "LastUsedDate", "PasswordLastUsed", "UpdateDate"})
_STRUCTURES = frozenset(
    {
        *("AccessKeyLastUsed", "Group", "PermissionsBoundary", "Policy", "PolicyVersion", "Role", "RoleLastUsed"),
        *("SourceRoleTemplate", "User"),
    }
)


class QueryClient:
    """A client of one service. `getattr(client, "get_role")(RoleName=…)` returns what botocore's client returns.

    Its methods raise RefusedCall for answers that are errors, and what botocore raises for everything else. Threads may share it.
    """

    def __init__(
        self,
        service: str,
        endpoint: Endpoint,
        credentials: Credentials,
        http: SyncClient,
        sdk: Callable[[], Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`sdk` returns the botocore client of the same service, always the same one, to any thread."""
        self._service = service
        self._endpoint = endpoint
        self._credentials = credentials
        self._http = http
        self._sdk = sdk
        self._clock = clock
        self._passed_on = threading.Event()

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        """Return the method of an operation, by botocore's name for it (`get_role`)."""
        if operation.startswith("_"):
            raise AttributeError(operation)
        return partial(self._call, operation)

    def get_paginator(self, operation: str) -> Pages:
        """Return the pages of an operation of IAM."""
        return Pages(partial(self._call, operation))

    def _call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        if not self._passed_on.is_set() and operation not in LEFT_TO_SDK:
            answer = self._ask(operation, arguments)
            if answer is not None:
                return answer
            self._passed_on.set()
        return dict(getattr(self._sdk(), operation)(**arguments))

    def _ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer of one request; None where botocore has to make the call.

        Raises RefusedCall, and botocore's error for a request that timed out.
        """
        action = action_of(operation)
        form = canonical_query({"Action": action, "Version": VERSIONS[self._service], **form_fields(arguments)})
        began = time.monotonic()
        failure: PyreqwestError | None = None
        try:
            status, body = post(self._http, self._service, self._endpoint, form, self._credentials, self._clock())
        except PyreqwestError as error:
            failure = error
        if failure is not None:
            self._raise_for_time(failure, time.monotonic() - began)
            return None
        root = parse_answer(body) if len(body) <= MAX_BODY else None
        if root is not None and 200 <= status < 300 and root.tag == f"{action}Response":
            return _answer(root.find(f"{action}Result"))
        refusal = next(root.iter("Error"), None) if root is not None and 400 <= status < 500 else None
        code = text_at(refusal, "Code") if refusal is not None else ""
        if refusal is None or not code or code in REPEATED:
            return None
        raise RefusedCall(action, status, code, text_at(refusal, "Message"))

    def _raise_for_time(self, failure: PyreqwestError, seconds: float) -> None:
        """Raise botocore's error for a request that timed out, or failed after the time in which requests are repeated."""
        from kube_iam.aws import time_limits

        if isinstance(failure, TimeoutError):
            _raise_timeout(self._endpoint.url, connecting=isinstance(failure, ConnectTimeoutError))
        if seconds >= time_limits.GIVE_UP_SECONDS:
            from botocore.exceptions import EndpointConnectionError

            raise EndpointConnectionError(endpoint_url=self._endpoint.url)


class Pages:
    """The pages of one operation of IAM, as botocore's paginator returns them."""

    def __init__(self, call: Callable[..., dict[str, Any]]) -> None:
        self._call = call

    def paginate(self, *, PaginationConfig: Mapping[str, int], **arguments: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        """Yield the pages, of `PageSize` items at most."""
        marker: dict[str, str] = {}
        while True:
            page = self._call(**arguments, **marker, MaxItems=PaginationConfig["PageSize"])
            yield page
            if not page.get("IsTruncated"):
                return
            following = {"Marker": str(page.get("Marker", ""))}
            if following == marker or not following["Marker"]:
                from botocore.exceptions import PaginationError

                raise PaginationError(message="the same page twice")
            marker = following


def action_of(operation: str) -> str:
    """Return AWS's name of an operation: `get_role` is GetRole."""
    return "".join(word.capitalize() for word in operation.split("_"))


def form_fields(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments of a call as fields of its form (AWS Query protocol)."""
    fields: dict[str, str] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            fields |= {f"{name}.{inner}": text for inner, text in form_fields(value).items()}
        elif isinstance(value, list | tuple):
            members = {f"{name}.member.{number}": member for number, member in enumerate(value, 1)}
            fields |= form_fields(members) or {name: ""}
        else:
            fields[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return fields


def _answer(result: Element | None) -> dict[str, Any] | None:
    """Return the result of an action as botocore does; None where a value in it is not of its type."""
    try:
        return {child.tag: _value(child) for child in result} if result is not None else {}
    except ValueError:
        return None


def _value(element: Element) -> Any:
    name, text = element.tag, element.text or ""
    if name in _LISTS:
        return [_value(member) for member in element]
    if name in _INTEGERS:
        return int(text)
    if name in _BOOLEANS:
        return text == "true"
    if name in _TIMES:
        return datetime.fromisoformat(text)
    if len(element) or name in _STRUCTURES:
        return {child.tag: _value(child) for child in element}
    return text


def _raise_timeout(url: str, *, connecting: bool) -> NoReturn:
    from botocore.exceptions import ConnectTimeoutError as NoConnection
    from botocore.exceptions import ReadTimeoutError

    raise NoConnection(endpoint_url=url) if connecting else ReadTimeoutError(endpoint_url=url)


def limits() -> tuple[timedelta, timedelta]:
    """Return the time in which a connection is made, and that in which the next part of an answer comes."""
    from kube_iam.aws import time_limits

    return timedelta(seconds=time_limits.CONNECT_SECONDS), timedelta(seconds=time_limits.READ_SECONDS)
