"""SubjectAccessReview, the question and answer between kube-apiserver and an authorization webhook, v1 and v1beta1.

https://kubernetes.io/docs/reference/access-authn-authz/webhook/. Of the question only the user is read: the answer is the same for all
that a user can do. kube-apiserver sends v1beta1 unless it is configured otherwise, and kOps cannot configure it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from kube_iam.core.reasons import Reason

V1, V1BETA1 = "authorization.k8s.io/v1", "authorization.k8s.io/v1beta1"
KIND = "SubjectAccessReview"


@dataclass(frozen=True, slots=True)
class ReviewedUser:
    """The user of a review, as kube-apiserver knows it: by a token, a client certificate, impersonation, or the asker's word."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessReview:
    """The parts of a question that the answer depends on."""

    api_version: str
    user: ReviewedUser


class _Spec(msgspec.Struct):
    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    # The name in v1beta1.
    group: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...] | None] | None = None


class _Question(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: Literal["authorization.k8s.io/v1", "authorization.k8s.io/v1beta1"]
    kind: Literal["SubjectAccessReview"]
    spec: _Spec


class _Status(msgspec.Struct, omit_defaults=True):
    allowed: Literal[False]
    denied: bool = False
    reason: str = ""


class _Answer(msgspec.Struct, rename={"api_version": "apiVersion"}):
    api_version: str
    kind: str
    status: _Status


_DECODER = msgspec.json.Decoder(_Question)
_ENCODER = msgspec.json.Encoder()


def decode_access_review(body: bytes) -> AccessReview | None:
    """Return the question in a request's body, or None where it is no SubjectAccessReview of a known version. Raises nothing."""
    try:
        question = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    spec = question.spec
    groups, other = (spec.groups, spec.group) if question.api_version == V1 else (spec.group, spec.groups)
    if other is not None:  # the list of the other version: which one counts is not known
        return None
    extra = {key: values or () for key, values in spec.extra.items()} if spec.extra else {}
    return AccessReview(question.api_version, ReviewedUser(spec.user, spec.uid, groups or (), extra))


def encode_denied_review(api_version: str, reason: str) -> bytes:
    """Return the answer that denies. kube-apiserver shows the reason to the user, and asks no other authorizer."""
    return _encode(api_version, _Status(allowed=False, denied=True, reason=reason))


def _encode(api_version: str, status: _Status) -> bytes:
    return _ENCODER.encode(_Answer(api_version, KIND, status))


NO_OPINION = {version: _encode(version, _Status(allowed=False)) for version in (V1, V1BETA1)}
"""The answer without an opinion, by API version: kube-apiserver asks its next authorizer. There is no answer that allows."""


_REASONS = {reason.sentence: reason for reason in Reason}


def own_reason(text: str) -> Reason | None:
    """Return the reason in `status.reason` of a denial by this server, None for any other text."""
    return _REASONS.get(text.partition(" (request ")[0])
