"""The authorizer's decision: whether requests of a user who signed in are denied, because a sign-in would now be refused.

kube-apiserver remembers a token for minutes, and asks an authorizer about every request. The answer is "denied" or "no opinion", and
never "allowed". docs/protocol.md, section 7, has the rules.
"""

from __future__ import annotations

from collections.abc import Callable

from kube_iam.authn.decide import PRINCIPAL_ID_KEY, UID_PREFIX, Allowed, Found, Stages
from kube_iam.core.bounded_cache import BoundedCache
from kube_iam.core.identity import Identity, rebuild_identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.subject_access_review import ReviewedUser
from kube_iam.core.templates import SYSTEM

UNDECIDED = (Reason.MAPPINGS_NOT_LOADED, Reason.DENY_LIST_NOT_LOADED)
"""Reasons for which there is no answer yet. kube-apiserver must get an error, so that its `failurePolicy` decides."""
REFRESH_SECONDS = 1.5
"""Seconds that a review waits for IAM: half of the timeout of 3 s that `kube-iam manifest authorizer` gives kube-apiserver."""
_LEVEL_GROUP = "kube-iam:"
_PAUSE = 15.0
"""Seconds in which IAM is not read again for one identity. A client of a removed member repeats its requests without end."""
_MAX_WAITING = 64
_MAX_REMEMBERED = 8192
# In lower case: an aggregated API server asks with the keys of HTTP headers, which have none of the letter case.
_NAMESPACED_ID = PRINCIPAL_ID_KEY.lower()
_EVERYBODY = "system:authenticated"


class Authorizer:
    """Decides about the requests of users, by the stages of sign-ins. For one event loop."""

    def __init__(self, stages: Stages, clock: Callable[[], float]) -> None:
        """`stages` are those of the authenticator. `clock` gives seconds and never goes back."""
        self._stages = stages
        self._clock = clock
        self._identities: dict[tuple[str, ...], Identity] = {}
        self._read: BoundedCache[Identity, bool] = BoundedCache(_MAX_REMEMBERED)
        self._waiting = 0

    async def review(self, user: ReviewedUser) -> Refusal | None:
        """Return why requests of the user are denied, or None for no opinion. Raises nothing of its own.

        A refusal with a reason of UNDECIDED is no denial: there is no answer yet.
        """
        identity = self._identity(user)
        if identity is None:
            return self._review_name(user)
        refusal = identity if isinstance(identity, Refusal) else await self._review_identity(identity, user)
        if refusal is not None and isinstance(identity, Identity) and self._stages.is_scrubbed(identity):
            return Refusal(refusal.reason)
        return refusal

    async def _review_identity(self, identity: Identity, user: ReviewedUser) -> Refusal | None:
        """Carry out the stages of a sign-in but that of node names, and compare the user that it gives now. Count no sign-in."""
        stages = self._stages
        refusal = stages.denial(identity)
        if refusal is not None:
            return refusal
        found = stages.find_mapping(identity)
        if found.outdated:
            found = await self._find_again(found, identity)
        if found.refusal is not None:
            return found.refusal
        match = found.match
        refusal = stages.denial(identity, match.iam_groups if match is not None else ())
        if refusal is not None:
            return refusal
        if match is not None and match.needs_ec2:
            return None  # the name of a node is not compared: EC2 would have to be asked
        now = stages.user(found, identity)
        if isinstance(now, Refusal):
            return now
        return None if _still_has(now, user) else Refusal(Reason.USER_CHANGED)

    async def _find_again(self, found: Found, identity: Identity) -> Found:
        """Return the mapping after another read of IAM, as for a sign-in: one in 15 s for one identity. At most 64 reviews wait."""
        if self._waiting >= _MAX_WAITING or self._read.get(identity, self._clock()):
            return found
        self._waiting += 1
        try:
            await self._stages.refresh(found.outdated, REFRESH_SECONDS)
        finally:
            self._waiting -= 1
        self._read.put(identity, True, self._clock() + _PAUSE)
        return self._stages.find_mapping(identity)

    def _review_name(self, user: ReviewedUser) -> Refusal | None:
        """Ask the deny list about a user without an identity, if it signed in here or is in a group of the mappings.

        What stands behind the last colon of the name counts as the name of the IAM user: `awsiam:alice` is alice.
        """
        ours = user.uid.startswith(UID_PREFIX)
        if user.name.startswith(SYSTEM) and not ours:
            return None
        roles: set[str] = set()
        iam_groups: set[str] = set()
        for snapshot in self._stages.mappings.snapshots():
            if snapshot.table is None:
                if may_be_ours(user):
                    return Refusal(Reason.MAPPINGS_NOT_LOADED, snapshot.name)
                continue
            for sources in filter(None, map(snapshot.table.sources_of, user.groups)):
                ours = True
                roles |= sources.roles
                iam_groups |= sources.iam_groups
        if not ours or self._stages.deny_list is None:
            return None
        return self._stages.deny_list.denial_of_name(user.name.rpartition(":")[2], roles, iam_groups)

    def _identity(self, user: ReviewedUser) -> Identity | Refusal | None:
        """Return the AWS identity in `uid` and `extra`, None where there is none, or a refusal where they contradict each other."""
        if not _signed_in_here(user):
            return None
        extra = {key.lower(): values for key, values in user.extra.items()}
        ids = {*extra.get(_NAMESPACED_ID, ()), *extra.get("principalid", ())}
        fields = [extra.get(key, ()) for key in ("arn", "canonicalarn", "accesskeyid")]
        if not all((*fields, ids)):
            return None
        fields += [tuple(ids), extra.get("sessionname") or ("",)]
        if len(extra) != len(user.extra) or any(len(values) != 1 for values in fields):
            return Refusal(Reason.EXTRA_MALFORMED, "a key has several values")
        arn, canonical, access_key_id, user_id, session_name = (values[0] for values in fields)
        question = (user.uid, arn, canonical, access_key_id, user_id, session_name)
        known = self._identities.get(question)
        if known is not None:
            return known
        try:
            identity = rebuild_identity(arn, user_id, session_name, access_key_id)
        except ValueError as problem:
            return Refusal(Reason.EXTRA_MALFORMED, str(problem))
        if identity.canonical_arn != canonical or user.uid not in ("", f"{UID_PREFIX}{identity.account_id}:{user_id}"):
            return Refusal(Reason.EXTRA_MALFORMED, "canonicalArn or uid is not that of the ARN")
        if len(self._identities) >= _MAX_REMEMBERED:
            self._identities.clear()
        self._identities[question] = identity
        return identity


class StartingAuthorizer:
    """The authorizer while the server starts. It has no opinion about users of others, so that the control plane can start."""

    async def review(self, user: ReviewedUser) -> Refusal | None:
        """Return `mappings_not_loaded` for a user who may be ours, else None."""
        return Refusal(Reason.MAPPINGS_NOT_LOADED, "the server is starting") if may_be_ours(user) else None


def may_be_ours(user: ReviewedUser) -> bool:
    """Return whether the user signed in by this kind of server, or is in a group of an access level by its default name."""
    if _signed_in_here(user):
        return True
    return not user.name.startswith(SYSTEM) and any(group.startswith(_LEVEL_GROUP) for group in user.groups)


def _signed_in_here(user: ReviewedUser) -> bool:
    return user.uid.startswith(UID_PREFIX) or PRINCIPAL_ID_KEY in user.extra or _NAMESPACED_ID in user.extra


def _still_has(now: Allowed, user: ReviewedUser) -> bool:
    """Return whether a sign-in still gives this user name, and each of these groups."""
    groups = now.cache.get("groups")
    if groups is None:
        groups = now.cache["groups"] = frozenset((*now.user.groups, _EVERYBODY))
    return user.name == now.user.username and groups.issuperset(user.groups)
