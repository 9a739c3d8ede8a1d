"""Ask the servers behind every kube-apiserver whether a denial is in force there.

Each kube-apiserver is asked at its own address, as the EndpointSlice of the service default/kubernetes names it, where that can be
reached from here; else the cluster's one address is asked again and again, on new connections, and servers are told apart by the name
that they give.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing

from kube_iam.core.probe import Answer, Question, read_answer
from kube_iam.errors import KubeError
from kube_iam.kube.client import KubeApi

HERE = ""
"""Stands for the kubeconfig's own address among those of API servers."""


class Prober:
    """The API servers of one cluster. `api` makes a client for an API server's URL, or for the kubeconfig's own: `HERE`."""

    def __init__(self, api: Callable[[str], KubeApi]) -> None:
        self._api = api

    def addresses(self) -> tuple[str, ...]:
        """The URLs of the API servers; none where the cluster names none. Raises KubeIamError where it does not say."""
        from lightkube.resources.discovery_v1 import EndpointSlice

        labels: dict[str, object] = {"kubernetes.io/service-name": "kubernetes"}
        with closing(self._api(HERE)) as api, api.call("read the addresses of the API servers") as client:
            slices = list(client.list(EndpointSlice, namespace="default", labels=labels))  # type: ignore[arg-type]
        return tuple(dict.fromkeys(url for each in slices for url in _urls(each)))

    def ask(self, address: str, denial: str) -> Answer:
        """What the server behind that API server says of the denial, asked on a new connection. Raises KubeError: nothing."""
        from lightkube.models.authentication_v1 import TokenReviewSpec
        from lightkube.resources.authentication_v1 import TokenReview

        question = Question(secrets.token_hex(8), denial)
        with closing(self._api(address)) as api:
            with api.call("ask for the denial (TokenReview)") as client:
                review = client.create(TokenReview(spec=TokenReviewSpec(token=question.token)))
            error = (review.status.error if review.status else None) or ""
            answer = read_answer(error, question.nonce)
            if answer is None:
                raise KubeError(
                    f"no kube-iam server with a deny list answers behind {api.server}",
                    "set server.denyList in its config.yaml, and restart it",
                )
        return answer


def _urls(found: object) -> Iterator[str]:
    ports = getattr(found, "ports", None) or ()
    port = next((each.port for each in ports if each.name in ("https", None, "") and each.port), 443)
    for endpoint in getattr(found, "endpoints", None) or ():
        for address in endpoint.addresses or ():
            yield f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
