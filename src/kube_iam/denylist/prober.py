"""Status queries to the server behind each kube-apiserver, sent as TokenReviews.

The EndpointSlice of the service default/kubernetes names the address of each kube-apiserver. `propagation` decides which are asked,
and asks the cluster's own address where an API server cannot be reached at its own.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator
from contextlib import closing

from kube_iam.core.reasons import Reason
from kube_iam.core.redaction import shown_url
from kube_iam.core.subject_access_review import own_reason
from kube_iam.core.token_review import User
from kube_iam.denylist.status_query import StatusAnswer, StatusQuestion, parse_answer
from kube_iam.errors import KubeError, KubeIamError, NotFound, Unreachable
from kube_iam.kube.client import KubeApi
from kube_iam.kube.context import Context
from kube_iam.kube.webhook_faults import Review, webhook_fault

HERE = ""
"""The address of the kubeconfig, in place of the URL of an API server."""


class NoServer(KubeError):
    """No kube-iam server with a deny list is behind an API server, as with EKS's own authenticator."""


class NotRead(KubeError):
    """The denials are written where no authenticator reads them: EKS's own does not, and no kube-iam server answers."""


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

        Raises NoServer if no server with a deny list answers, and Unreachable if the API server cannot be reached, or cannot prove
        that it is one of this cluster. In the second case it is sent no credentials.
        """
        question = StatusQuestion(secrets.token_hex(8), denial)
        error = self._review(address, question.token, "ask for the denial (TokenReview)").error
        answer = parse_answer(error, question.nonce)
        if answer is None:
            raise _no_answer(error, shown_url(address or self._api.server))
        return answer

    def review(self, token: str, address: str = HERE) -> Review:
        """Return the status of a TokenReview at that API server. Raises KubeIamError, and Unreachable as `ask` does."""
        return self._review(address, token, "ask the server (TokenReview)")

    def refusal(self, address: str, user: User) -> Reason | None:
        """Return the reason for which our server, as kube-apiserver's authorizer, denies the user's requests; None if it does not.

        The API server at the address asks all its authorizers about a read, as for a request of that user. None also where it has no
        such authorizer, and where another one decides. Raises KubeIamError.
        """
        from lightkube.models.authorization_v1 import ResourceAttributes, SubjectAccessReviewSpec
        from lightkube.resources.authorization_v1 import SubjectAccessReview

        extra = {key: list(values) for key, values in user.extra.items()}
        read = ResourceAttributes(verb="list", resource="namespaces")
        spec = SubjectAccessReviewSpec(
            user=user.username, uid=user.uid, groups=list(user.groups), extra=extra, resourceAttributes=read
        )
        self._check_address(address)
        with (
            closing(self._api.at(address)) as api,
            api.call("ask whether requests are denied (SubjectAccessReview)") as client,
        ):
            status = client.create(SubjectAccessReview(spec=spec)).status
        return own_reason(status.reason or "") if status is not None and status.denied else None

    def _check_address(self, address: str) -> None:
        """Raise Unreachable where credentials must not be sent to the address."""
        if address != HERE and (unverified := unverified_reason(self._api.context)):
            raise Unreachable(f"no credentials are sent to {address}, since {unverified}")

    def _review(self, address: str, token: str, doing: str) -> Review:
        """Return the status of a TokenReview, made on a new connection."""
        from lightkube.models.authentication_v1 import TokenReviewSpec
        from lightkube.resources.authentication_v1 import TokenReview

        self._check_address(address)
        # One server of several behind an address answers all requests of one connection.
        with closing(self._api.at(address)) as api, api.call(doing) as client:
            review = client.create(TokenReview(spec=TokenReviewSpec(token=token)))
        status = review.status
        user = status.user if status is not None and status.authenticated else None
        return Review((user.username if user is not None else None) or "", (status.error if status else None) or "")


def _no_answer(error: str, server: str) -> KubeIamError:
    """Return the error for a TokenReview that no server with a deny list answered. `error` is its `status.error`, never repeated."""
    fault = webhook_fault(error)
    if fault is not None:
        return Unreachable(f"kube-apiserver at {server} cannot ask the kube-iam server: {fault.message}", fault.hint)
    return NoServer(
        f"no kube-iam server with a deny list answers behind {server}",
        "set server.denyList in its config.yaml, and restart it",
    )


def unverified_reason(context: Context) -> str:
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
