"""The status of a TokenReview, and the failures of kube-apiserver's call of its token webhook, which are in `status.error`.

kube-apiserver writes the words of Go's HTTP client there. The words are those of kube-apiserver 1.36; an integration test makes a real
one write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

_WEBHOOK_KUBECONFIG = "the file of kube-apiserver's --authentication-token-webhook-config-file"
_SERVER_LOG = "see the server's log on that control plane node"


@dataclass(frozen=True, slots=True)
class Review:
    """The status of a TokenReview: the user name that the token signs in as, empty for a refusal, and `status.error`."""

    username: str = ""
    error: str = ""


class _Words(NamedTuple):
    """Words in the text, the sentence that follows `cannot ask the kube-iam server`, and the remedy."""

    words: tuple[str, ...]
    message: str
    hint: str


class WebhookFault(Enum):
    """A failure of the call. Of several that match a text, the first counts."""

    ERROR_ANSWER = _Words(
        ("has prevented the request from succeeding", "in the time allotted", "currently unable", "too many requests"),
        "it answers with an error",
        f"it may be starting: repeat the command; else {_SERVER_LOG}",
    )
    CERTIFICATE_TIME = _Words(
        ("certificate has expired or is not yet valid",),
        "its certificate has expired, or is not valid yet",
        f"renew the server's certificate; is the clock of that control plane node right? {_SERVER_LOG}",
    )
    CERTIFICATE_NAME = _Words(
        (
            "x509: certificate is valid for",
            "x509: certificate is not valid for",
            "x509: cannot validate certificate for",
        ),
        "its certificate is for another name or address",
        f"the address in {_WEBHOOK_KUBECONFIG} must be one of the certificate's: server.hostname of config.yaml",
    )
    NO_TLS = _Words(
        ("first record does not look like a TLS handshake", "HTTP response to HTTPS client"),
        "something without TLS answers at its address",
        f"{_WEBHOOK_KUBECONFIG} must name the server's address",
    )
    UNTRUSTED = _Words(
        ("x509: ", "tls: ", "certificate "),
        "it does not trust the server's certificate",
        f"{_WEBHOOK_KUBECONFIG} must hold the server's certificate; the server writes such a file (generateKubeconfig)",
    )
    OTHER_PROGRAM = _Words(
        (
            "parse error",
            "unknown conversion",
            "could not find the requested resource",
            "asked for the client to provide credentials",
        ),
        "something other than the server answers at its address",
        f"{_WEBHOOK_KUBECONFIG} must name the server's address, with the path /authenticate",
    )
    NOTHING = _Words(
        (
            "connection refused",
            "connection reset",
            "EOF",
            "no such host",
            "no route to host",
            "network is unreachable",
        ),
        "nothing answers at its address",
        f"start the server on that control plane node, or see its log; {_WEBHOOK_KUBECONFIG} names its address",
    )
    TIMEOUT = _Words(
        ("deadline exceeded", "i/o timeout", "Client.Timeout", "TLS handshake timeout"),
        "it does not answer in time",
        "see the server's log on that control plane node, and whether it reaches STS",
    )

    @property
    def message(self) -> str:
        """Return the failure, to follow `kube-apiserver cannot ask the kube-iam server: `."""
        return self.value.message

    @property
    def hint(self) -> str:
        """Return the remedy."""
        return self.value.hint


def webhook_fault(error: str) -> WebhookFault | None:
    """Return the failure that a `status.error` tells of, None for any other text."""
    return next((fault for fault in WebhookFault if any(word in error for word in fault.value.words)), None)
