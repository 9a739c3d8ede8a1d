"""TokenReview, the question and answer between kube-apiserver and the webhook, v1 and v1beta1.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

API_VERSIONS = ("authentication.k8s.io/v1", "authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class User:
    """The Kubernetes user of a request."""

    username: str
    uid: str
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """The parts of kube-apiserver's question that an answer depends on. The token is kept out of `repr`."""

    api_version: str
    token: str = field(repr=False)


class _Spec(msgspec.Struct):
    token: str = ""
    # Never read: declared so that a body with anything else than a list of text is no TokenReview.
    audiences: tuple[str, ...] | None = None


class _Question(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: Literal["authentication.k8s.io/v1", "authentication.k8s.io/v1beta1"]
    kind: Literal["TokenReview"]
    spec: _Spec


class _Status(msgspec.Struct, omit_defaults=True):
    # Not a default, so that it is always written.
    authenticated: bool
    user: User | None = None
    error: str = ""


class _Answer(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: str
    kind: str
    status: _Status


_DECODER = msgspec.json.Decoder(_Question)
_ENCODER = msgspec.json.Encoder()


def decode_review(body: bytes) -> ReviewRequest | None:
    """Return the question in a request's body, or None where it is no TokenReview of a known version. Raises nothing."""
    try:
        question = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return ReviewRequest(question.api_version, question.spec.token)


def encode_allowed(request: ReviewRequest, user: User) -> bytes:
    """Return the answer that authenticates the user, without `status.audiences`.

    A token is bound to a cluster by its signed cluster id and to no audience. kube-apiserver takes an answer without audiences as
    valid for its own (`--api-audiences`) and intersects those with `spec.audiences`. An answer that repeats `spec.audiences` would
    make a cluster's token valid for every service that checks audiences by TokenReview.
    """
    return _encode(request, _Status(authenticated=True, user=user))


def encode_denied(request: ReviewRequest | None, error: str) -> bytes:
    """Return the answer that denies. It always carries an error: kube-apiserver caches a denial without one for its whole TTL."""
    return _encode(request, _Status(authenticated=False, error=error or "access denied"))


def _encode(request: ReviewRequest | None, status: _Status) -> bytes:
    version = request.api_version if request is not None else API_VERSIONS[0]
    return _ENCODER.encode(_Answer(version, "TokenReview", status))
