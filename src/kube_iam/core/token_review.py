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
    """Who the request is from, to Kubernetes."""

    username: str
    uid: str
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """What kube-apiserver asks. The token is kept out of `repr`."""

    api_version: str
    token: str = field(repr=False)
    audiences: tuple[str, ...] = ()


class _Spec(msgspec.Struct):
    token: str = ""
    audiences: tuple[str, ...] | None = None


class _Question(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: Literal["authentication.k8s.io/v1", "authentication.k8s.io/v1beta1"]
    kind: Literal["TokenReview"]
    spec: _Spec


class _Status(msgspec.Struct, omit_defaults=True):
    # Not a default, so that it is always written.
    authenticated: bool
    user: User | None = None
    audiences: tuple[str, ...] = ()
    error: str = ""


class _Answer(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: str
    kind: str
    status: _Status


_DECODER = msgspec.json.Decoder(_Question)
_ENCODER = msgspec.json.Encoder()


def decode_review(body: bytes) -> ReviewRequest | None:
    """The question in a request's body; None where it is no TokenReview of a version that we speak."""
    try:
        question = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return ReviewRequest(question.api_version, question.spec.token, question.spec.audiences or ())


def encode_allowed(request: ReviewRequest, user: User) -> bytes:
    """The answer that lets the user in.

    Every requested audience is named as accepted. The contract is the intersection of `spec.audiences` with the authenticator's
    own, and a token here is bound to the cluster by its signed cluster id, not to an audience: there is no list of our own to
    intersect with. An answer without audiences would be read as "not audience-aware" and is right where none was asked for.
    """
    return _encode(request, _Status(authenticated=True, user=user, audiences=request.audiences))


def encode_denied(request: ReviewRequest | None, error: str) -> bytes:
    """The answer that lets nobody in. It always carries an error: kube-apiserver caches a denial without one for its whole TTL."""
    return _encode(request, _Status(authenticated=False, error=error or "access denied"))


def _encode(request: ReviewRequest | None, status: _Status) -> bytes:
    version = request.api_version if request is not None else API_VERSIONS[0]
    return _ENCODER.encode(_Answer(version, "TokenReview", status))
