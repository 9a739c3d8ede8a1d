"""Parts of the authorizer's tests: a deny list in memory, and the user of a review out of a sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from kube_iam.authn.authorize import Authorizer
from kube_iam.authn.decide import Stages
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.subject_access_review import ReviewedUser
from kube_iam.core.token_review import User
from kube_iam.denylist.denial import Denial, DenialTable

EVERYBODY = "system:authenticated"


@dataclass
class Denials:
    """A deny list with these denials; None: it was not read yet."""

    denials: Collection[Denial] | None = ()
    now: float = 0.0
    recorded: list[Identity] = field(default_factory=list)

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        if self.denials is None:
            return Refusal(Reason.DENY_LIST_NOT_LOADED)
        return _refusal(DenialTable(self.denials).find(identity, self.now, iam_groups))

    def denial_of_name(self, name: str, roles: Collection[str], iam_groups: Collection[str]) -> Refusal | None:
        if self.denials is None:
            return Refusal(Reason.DENY_LIST_NOT_LOADED)
        return _refusal(DenialTable(self.denials).find_name(name, self.now, roles, iam_groups))

    def record_sign_in(self, identity: Identity) -> None:
        self.recorded.append(identity)

    def answer_status_query(self, token: str) -> Refusal | None:
        return None


def _refusal(found: Denial | None) -> Refusal | None:
    return Refusal(Reason.DENIED, found.name) if found is not None else None


def reviewed(user: User, *groups: str) -> ReviewedUser:
    """Return the user as kube-apiserver names it in a review after a sign-in."""
    return ReviewedUser(user.username, user.uid, (*user.groups, *groups, EVERYBODY), dict(user.extra))


def review(stages: Stages, user: ReviewedUser, **more: Any) -> Refusal | None:
    """Return the answer of a new authorizer."""
    return asyncio.run(Authorizer(stages, **{"clock": lambda: 0.0, **more}).review(user))
