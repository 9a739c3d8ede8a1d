"""Errors of the Kubernetes API as KubeIamError: the failed action, the server, the cause and a remedy.

Answers are cut to one line, and credentials are removed from them, before they are quoted.
"""

from __future__ import annotations

import re

from kube_iam.core.redaction import causes, is_tls_error, network_reason, without_secrets
from kube_iam.errors import Conflict, KubeError, KubeIamError, NotFound, Unreachable

MAX_TEXT = 300
_FORBIDDEN = re.compile(
    r'cannot (\S+) (?:resource|path) "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)")?'
)
_BUSY = frozenset({429, 502, 503, 504})


def translate(error: Exception, doing: str, server: str) -> KubeIamError | None:
    """Return the KubeIamError for an exception of a call by lightkube, or None for an exception that no answer can cause.

    `doing` completes "cannot …".
    """
    import httpx2
    from lightkube.core.exceptions import ConfigError, LoadResourceError
    from msgspec import MsgspecError

    what = f"cannot {doing}"
    unlike = KubeError(f"{what}: {server} does not answer like a Kubernetes API server")
    if not isinstance(
        error, (httpx2.HTTPError, httpx2.InvalidURL, ConfigError, LoadResourceError, MsgspecError, OSError)
    ):
        # lightkube does not check headers and bodies: another program than an API server answered.
        return unlike if isinstance(error, (KeyError, ValueError, TypeError, AttributeError)) else None
    if isinstance(error, httpx2.HTTPStatusError):
        return _answered(error, what, server)
    if isinstance(error, ConfigError):
        return KubeError(f"{what}: the kubeconfig cannot be used: {reason_of(error)}")
    if isinstance(error, httpx2.TimeoutException):
        return Unreachable(
            f"{what}: {server} does not answer in time", "is it reachable from here (VPN, security group)?"
        )
    text = reason_of(error)
    if any(is_tls_error(cause) for cause in causes(error)):
        return Unreachable(
            f"{what}: no trusted connection to {server}: {text}", "check certificate-authority-data of this cluster"
        )
    if isinstance(error, (httpx2.TransportError, httpx2.InvalidURL, OSError)):
        return Unreachable(f"{what}: {server} cannot be reached: {text}", "check the server's address and the network")
    return unlike


def reason_of(error: Exception) -> str:
    """Return the reason of an exception without its message where that may hold a header: HTTP clients quote `Authorization`."""
    from lightkube.core.exceptions import ConfigError
    from msgspec import MsgspecError

    if isinstance(error, (ConfigError, MsgspecError)):
        return clean(str(error))
    reason = network_reason(error) or type(error).__name__
    named = error.filename if isinstance(error, OSError) else None
    return clean(f"{reason}: {named}") if isinstance(named, str) else clean(reason)


def clean(text: str) -> str:
    """Return one line of at most 300 characters, without parts that look like credentials."""
    line = without_secrets(" ".join(text.split()))
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def status_of(error: BaseException | None) -> int:
    """Return the HTTP status that caused an error of ours or lightkube's, 0 where there was no answer."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    return status_of(error.__cause__) if error is not None and error.__cause__ is not None else 0


def _answered(error: Exception, what: str, server: str) -> KubeIamError:
    code = status_of(error)
    status = getattr(error, "status", None)
    return answered(code, getattr(status, "message", None) or "", what, server)


def answered(code: int, text: str, what: str, server: str) -> KubeIamError:
    """Return the KubeIamError for an answer of that HTTP status. `text` is the message of the answer, or empty."""
    message = clean(text or f"HTTP status {code}")
    if code == 401:
        return KubeError(
            f"{what}: {server} does not accept the credentials of this kubeconfig",
            "check with `kubectl auth whoami`; sign in again or choose another --context",
        )
    if code == 403:
        return KubeError(f"{what}: {server} forbids it: {message}", _permission_hint(message))
    if code == 404:
        return NotFound(f"{what}: {message}")
    if code == 409:
        return Conflict(f"{what}: {message}", "something else changed it at the same time; repeat the command")
    if code in _BUSY:
        return Unreachable(f"{what}: {server} is not ready: {message}", "repeat the command in a moment")
    return KubeError(f"{what}: {server} answers: {message}")


def _permission_hint(message: str) -> str:
    """Return a hint that names the missing permission, taken from Kubernetes' message."""
    if "attempting to grant RBAC permissions" in message:
        return "RBAC lets nobody grant what they do not hold: use an administrator's context"
    found = _FORBIDDEN.search(message)
    if found is None:
        return "use a context with more rights"
    verb, resource, group, namespace = found.groups()
    full = f"{resource}.{group}" if group else resource
    where = f" in namespace {namespace}" if namespace else ""
    return f"this user needs to be allowed to {verb} {full}{where}"
