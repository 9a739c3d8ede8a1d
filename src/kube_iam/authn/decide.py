"""From a token to a decision: verify, find the mapping, render it, answer.

The order is the contract's (section 4): explicit mappings of every backend in turn, then the accounts of every backend in turn. A
backend that has never loaded stops the search, since a later one might let in whom the earlier would have mapped otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kube_iam.authn.ports import Mapper, Verifier
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import rendered, reserved_prefix
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.token_review import User

UID_PREFIX = "aws-iam-authenticator:"
PRINCIPAL_ID_KEY = "sigs.k8s.io/aws-iam-authenticator/principalId"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The sign-in is granted. `source` is the backend and entry that decided; `scrubbed`: keep `identity` out of logs."""

    user: User
    identity: Identity
    source: str
    scrubbed: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """The sign-in is refused for good; `identity` is there where STS vouched for one. `scrubbed`: keep it out of logs."""

    refusal: Refusal
    identity: Identity | None = None
    scrubbed: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody can tell now: STS throttles (`throttled`) or cannot be reached. Asking again later may go well."""

    refusal: Refusal
    throttled: bool


Decision = Allowed | Denied | Unavailable

_Found = tuple[str, tuple[str, ...], str]


class Authenticator:
    """Decides about tokens with one verifier and an ordered chain of backends."""

    def __init__(
        self, verifier: Verifier, mappers: Sequence[Mapper], *, scrubbed_accounts: Collection[str] = ()
    ) -> None:
        self._verifier = verifier
        self._mappers = tuple(mappers)
        self._scrubbed_accounts = frozenset(scrubbed_accounts)

    async def authenticate(self, token: str) -> Decision:
        """The decision about a token. Raises nothing of its own."""
        identity = await self._verifier.verify(token)
        if isinstance(identity, Refusal):
            return _unverified(identity)
        return self.decide(identity)

    def decide(self, identity: Identity) -> Allowed | Denied:
        """The decision about an identity that STS vouched for."""
        scrubbed = identity.account_id in self._scrubbed_accounts
        found = self._map(identity)
        if found is None:
            found = Refusal(Reason.NOT_MAPPED, "" if scrubbed else identity.canonical_arn)
        if isinstance(found, Refusal):
            return Denied(found, identity, scrubbed)
        username, groups, source = found
        return Allowed(_user(identity, username, groups, scrubbed=scrubbed), identity, source, scrubbed)

    def _map(self, identity: Identity) -> _Found | Refusal | None:
        for mapper in self._mappers:
            table = mapper.table
            if table is None:
                return Refusal(Reason.NOT_LOADED, mapper.name)
            mapped = table.find(identity)
            if mapped is not None:
                names = rendered(mapped, identity, mapper.reserved_prefixes)
                return names if isinstance(names, Refusal) else (*names, f"{mapper.name} {mapped.source}".rstrip())
        return self._map_account(identity)

    def _map_account(self, identity: Identity) -> _Found | Refusal | None:
        for mapper in self._mappers:
            table = mapper.table
            if table is not None and table.account_match(identity.account_id):
                refusal = reserved_prefix(identity.canonical_arn, mapper.reserved_prefixes)
                return refusal or (identity.canonical_arn, (), f"{mapper.name} mapAccounts")
        return None


def _unverified(refusal: Refusal) -> Denied | Unavailable:
    if refusal.reason in (Reason.STS_THROTTLED, Reason.STS_UNREACHABLE):
        return Unavailable(refusal, throttled=refusal.reason is Reason.STS_THROTTLED)
    return Denied(refusal)


def _user(identity: Identity, username: str, groups: tuple[str, ...], *, scrubbed: bool) -> User:
    if scrubbed:
        return User(username, f"{UID_PREFIX}administrative:{username}", groups)
    extra = {
        "arn": (identity.arn,),
        "canonicalArn": (identity.canonical_arn,),
        "sessionName": (identity.session_name,),
        "accessKeyId": (identity.access_key_id,),
        "principalId": (identity.user_id,),
        PRINCIPAL_ID_KEY: (identity.user_id,),
    }
    return User(username, f"{UID_PREFIX}{identity.account_id}:{identity.user_id}", groups, extra)
