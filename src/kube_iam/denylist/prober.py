"""Status queries to the server behind each kube-apiserver, sent as TokenReviews.

The EndpointSlice of the service default/kubernetes names the address of each kube-apiserver. `propagation` decides which are asked,
and asks the cluster's own address where an API server cannot be reached at its own.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator
from contextlib import closing

from kube_iam.core.redaction import shown_url
from kube_iam.denylist.status_query import StatusAnswer, StatusQuestion, parse_answer
from kube_iam.errors import KubeError, KubeIamError, NotFound, Unreachable
from kube_iam.kube.client import KubeApi
from kube_iam.kube.context import Context

_WEBHOOK_KUBECONFIG = "the file of kube-apiserver's --authentication-token-webhook-config-file"
_SERVER_LOG = "see the server's log on that control plane node"
# The first that matches counts. The words are those of kube-apiserver 1.36; an integration test makes a real one write them.
_WEBHOOK_FAILURES = (
    (
        ("has prevented the request from succeeding", "in the time allotted", "currently unable", "too many requests"),
        "it answers with an error",
        f"it may be starting: repeat the command; else {_SERVER_LOG}",
    ),
    (
        ("certificate has expired or is not yet valid",),
        "its certificate has expired, or is not valid yet",
        f"renew the server's certificate; is the clock of that control plane node right? {_SERVER_LOG}",
    ),
    (
        (
            "x509: certificate is valid for",
            "x509: certificate is not valid for",
            "x509: cannot validate certificate for",
        ),
        "its certificate is for another name or address",
        f"the address in {_WEBHOOK_KUBECONFIG} must be one of the certificate's: server.hostname of config.yaml",
    ),
    (
        ("first record does not look like a TLS handshake", "HTTP response to HTTPS client"),
        "something without TLS answers at its address",
        f"{_WEBHOOK_KUBECONFIG} must name the server's address",
    ),
    (
        ("x509: ", "tls: ", "certificate "),
        "it does not trust the server's certificate",
        f"{_WEBHOOK_KUBECONFIG} must hold the server's certificate; the server writes such a file (generateKubeconfig)",
    ),
    (
        (
            "parse error",
            "unknown conversion",
            "could not find the requested resource",
            "asked for the client to provide credentials",
        ),
        "something other than the server answers at its address",
        f"{_WEBHOOK_KUBECONFIG} must name the server's address, with the path /authenticate",
    ),
    (
        ("connection refused", "connection reset", "EOF", "no such host", "no route to host", "network is unreachable"),
        "nothing answers at its address",
        f"start the server on that control plane node, or see its log; {_WEBHOOK_KUBECONFIG} names its address",
    ),
    (
        ("deadline exceeded", "i/o timeout", "Client.Timeout", "TLS handshake timeout"),
        "it does not answer in time",
        "see the server's log on that control plane node, and whether it reaches STS",
    ),
)
HERE = ""
"""The address of the kubeconfig, in place of the URL of an API server."""


class Prober:
    """The API servers of one cluster."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def addresses(self) -> tuple[str, ...]:
        """Return the URLs of the API servers, none if the cluster does not name them. Raises KubeIamError if they cannot be read."""
        from lightkube.resources.discovery_v1 import EndpointSlice

        # By name, not by label: kube-apiserver writes this one and restores it within seconds. Anybody who may create an EndpointSlice
        # can give it the label, and the administrator's credentials go to these addresses.
        try:
            with self._api.call("read the addresses of the API servers") as client:
                found = client.get(EndpointSlice, "kubernetes", namespace="default")
        except NotFound:
            return ()
        return tuple(dict.fromkeys(_urls(found)))

    def ask(self, address: str, denial: str) -> StatusAnswer:
        """Return the answer of the server behind that API server about the denial of that name, asked on a new connection.

        Raises KubeError if no server with a deny list answers, and Unreachable if the API server cannot be reached, or cannot prove
        that it is one of this cluster. In the second case it is sent no credentials.
        """
        question = StatusQuestion(secrets.token_hex(8), denial)
        error = self._review(address, question.token, "ask for the denial (TokenReview)")
        answer = parse_answer(error, question.nonce)
        if answer is None:
            raise _no_answer(error, shown_url(address or self._api.server))
        return answer

    def review(self, token: str) -> str:
        """Return `status.error` of a TokenReview at the kubeconfig's address. Raises KubeIamError."""
        return self._review(HERE, token, "ask the server (TokenReview)")

    def _review(self, address: str, token: str, doing: str) -> str:
        """Return `status.error` of a TokenReview, made on a new connection."""
        from lightkube.models.authentication_v1 import TokenReviewSpec
        from lightkube.resources.authentication_v1 import TokenReview

        if address != HERE and (unverified := _unverified(self._api.context)):
            raise Unreachable(f"no credentials are sent to {address}, since {unverified}")
        # One server of several behind an address answers all requests of one connection.
        with closing(self._api.at(address)) as api, api.call(doing) as client:
            review = client.create(TokenReview(spec=TokenReviewSpec(token=token)))
        return (review.status.error if review.status else None) or ""


def _no_answer(error: str, server: str) -> KubeIamError:
    """Return the error for a TokenReview that no server with a deny list answered. `error` is its `status.error`, never repeated.

    kube-apiserver writes into it why it could not ask its webhook, in the words of Go's HTTP client.
    """
    for words, message, hint in _WEBHOOK_FAILURES:
        if any(word in error for word in words):
            return Unreachable(f"kube-apiserver at {server} cannot ask the kube-iam server: {message}", hint)
    return KubeError(
        f"no kube-iam server with a deny list answers behind {server}",
        "set server.denyList in its config.yaml, and restart it",
    )


def _unverified(context: Context) -> str:
    """Return why a server at another address cannot prove that it is one of this cluster, empty if it can."""
    if str(context.cluster.get("insecure-skip-tls-verify") or "false").casefold() == "true":
        return f"context {context.name!r} says insecure-skip-tls-verify"
    # A public authority signs a certificate for everybody who holds the address.
    if not (context.cluster.get("certificate-authority-data") or context.cluster.get("certificate-authority")):
        return f"context {context.name!r} names no certificate authority of the cluster"
    return ""


def _urls(found: object) -> Iterator[str]:
    ports = getattr(found, "ports", None) or ()
    port = next((each.port for each in ports if each.name in ("https", None, "") and each.port), 443)
    for endpoint in getattr(found, "endpoints", None) or ():
        for text in endpoint.addresses or ():
            try:
                address = ipaddress.ip_address(text)
            except ValueError:  # an EndpointSlice may hold DNS names; kube-apiserver writes none
                continue
            yield f"https://[{address}]:{port}" if address.version == 6 else f"https://{address}:{port}"
