"""Answers about tokens while the server starts and has not loaded everything that a decision needs."""

from __future__ import annotations

from kube_iam.authn.decide import Decision, Denied, Unavailable
from kube_iam.core.mint import PREFIX
from kube_iam.core.reasons import Reason, Refusal

# Of status queries (`core.probe`, `core.membership_status`).
_OWN_PREFIXES = (PREFIX, "kube-iam-")


class Starting:
    """Stands in for the `Authenticator`. Signs nobody in."""

    async def authenticate(self, token: str) -> Decision:
        """Return that no decision is possible now, or a refusal of a token that no decision would admit. Raises nothing."""
        if token.startswith(_OWN_PREFIXES):
            return Unavailable(
                Refusal(Reason.MAPPINGS_NOT_LOADED, "the server is starting; try again"), throttled=False
            )
        # kube-apiserver asks about service accounts' tokens too, and must not wait for them.
        return Denied(Refusal(Reason.TOKEN_PREFIX))
