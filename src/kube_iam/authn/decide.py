"""The decision about a token or an identity, in the six stages of docs/protocol.md, section 4.

The authorizer (`authorize`) shares the stages, so that it cannot disagree with sign-ins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kube_iam.authn.ports import REFRESH_TIMEOUT, DenyList, Mappings, MembershipCheck, NodeNames, Verifier
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import GroupMappingIndex, MappingMatch, MappingSnapshot, render, reserved_prefix
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.token_review import User

UID_PREFIX = "aws-iam-authenticator:"
PRINCIPAL_ID_KEY = "sigs.k8s.io/aws-iam-authenticator/principalId"
LEVEL_KEY = "kube-iam.dev/level"


@dataclass(frozen=True, slots=True)
class Allowed:
    """A sign-in that is granted. `source` is the backend and entry that decided; `scrubbed`: keep `identity` out of logs.

    The same object is returned again and again. `cache` holds what callers derive from it and need not compute twice.
    """

    user: User
    identity: Identity
    source: str
    scrubbed: bool = False
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """A sign-in that is refused for good. `identity` is there where STS verified one; `scrubbed`: keep it out of logs."""

    refusal: Refusal
    identity: Identity | None = None
    scrubbed: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No decision is possible now: STS or EC2 throttles (`throttled`), cannot be reached or does not answer, or the server starts."""

    refusal: Refusal
    throttled: bool
    identity: Identity | None = None
    scrubbed: bool = False


Decision = Allowed | Denied | Unavailable

_THROTTLED = (Reason.STS_THROTTLED, Reason.EC2_THROTTLED)
_TEMPORARY = (*_THROTTLED, Reason.STS_UNREACHABLE, Reason.STS_NO_ANSWER, Reason.EC2_UNREACHABLE)
# Their details name a user, a role, a group or a denial.
_DETAIL_NAMES_SOMEBODY = (
    Reason.NOT_MAPPED,
    Reason.NOT_MEMBER,
    Reason.MEMBERSHIP_STALE,
    Reason.SESSION_NAME_UNRESTRICTED,
    Reason.ROLE_SUSPENDED,
    Reason.DENIED,
)
_MAX_REMEMBERED = 8192


class Outdated(NamedTuple):
    """IAM groups (names) and roles (comparable ARNs) that may admit the identity once they are read again."""

    groups: tuple[str, ...]
    roles: tuple[str, ...] = ()


class Found(NamedTuple):
    """Result of stage 2: the match and its backend, or a refusal, or neither where no entry matches.

    `outdated` is what stage 3 reads again: an item per backend that was asked.
    """

    snapshots: Sequence[MappingSnapshot]
    snapshot: MappingSnapshot | None = None
    match: MappingMatch | None = None
    refusal: Refusal | None = None
    outdated: tuple[Outdated, ...] = ()


class Stages:
    """The ports of a decision, and the stages that ask them. Without `memberships`, entries with `iamGroup` admit nobody."""

    def __init__(
        self,
        mappings: Mappings,
        memberships: MembershipCheck | None,
        deny_list: DenyList | None,
        scrubbed_accounts: Collection[str],
    ) -> None:
        self.memberships = memberships if memberships is not None else _NoMemberships()
        self.deny_list = deny_list
        self.mappings = mappings
        self._scrubbed_accounts = frozenset(scrubbed_accounts)
        # The user that a match gave an identity, with the reserved prefixes that were checked. The match itself is looked up anew
        # for every decision.
        self._rendered: dict[Identity, tuple[MappingMatch, tuple[str, ...], Allowed]] = {}

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        """Carry out stages 1 and 5: ask the deny list."""
        return self.deny_list.denial(identity, iam_groups) if self.deny_list is not None else None

    def find_mapping(self, identity: Identity) -> Found:
        """Carry out stage 2. A backend that never loaded ends the search, and so does an entry whose membership refuses."""
        snapshots = self.mappings.snapshots()
        outdated: tuple[Outdated, ...] = ()
        for snapshot in snapshots:
            table = snapshot.table
            if table is None:
                return Found(snapshots, snapshot, None, Refusal(Reason.MAPPINGS_NOT_LOADED, snapshot.name), outdated)
            match = table.find(identity)
            if match is None and table.group_mappings:
                by_group = self.memberships.match_group_mappings(table.group_mappings, identity)
                if isinstance(by_group, Refusal):
                    return Found(snapshots, snapshot, None, by_group, outdated)
                if by_group is None and self.memberships.covers_account(identity):
                    outdated += (Outdated(table.group_mappings.iam_groups),)
                match = by_group
            if match is None:
                continue
            if match.requirement is None:
                return Found(snapshots, snapshot, match, None, outdated)
            refusal = self.memberships.check_role_session(match.requirement, identity)
            if refusal is not None:
                outdated += _outdated_by(match.requirement, refusal)
            return Found(snapshots, snapshot, match, refusal, outdated)
        return Found(snapshots, outdated=outdated)

    async def refresh(self, outdated: tuple[Outdated, ...], seconds: float = REFRESH_TIMEOUT) -> None:
        """Carry out stage 3: read the first groups and roles that can be read now. Each read is awaited for `seconds` at most."""
        for groups, roles in outdated:
            if await self.memberships.refresh(groups, roles, seconds):
                return

    def user(self, found: Found, identity: Identity, node: str = "") -> Allowed | Refusal:
        """Carry out stage 6: return the user of the mapping that stage 2 found, else that of mapAccounts."""
        if found.match is None or found.snapshot is None:
            return self._account_user(found.snapshots, identity)
        return self._mapping_user(found.snapshot, found.match, identity, node)

    def _mapping_user(
        self, snapshot: MappingSnapshot, match: MappingMatch, identity: Identity, node: str
    ) -> Allowed | Refusal:
        # The prefixes are of the same version as the match: the backend may have loaded another one while EC2 was asked.
        reserved = snapshot.reserved_prefixes
        known = self._rendered.get(identity)
        if known is not None and known[0] is match and known[1] == reserved:
            return known[2]
        names = render(match, identity, reserved, node)
        if isinstance(names, Refusal):
            return names
        allowed = self._allowed(identity, *names, f"{snapshot.name} {match.source}".rstrip(), match.levels)
        if not match.needs_ec2:
            if len(self._rendered) >= _MAX_REMEMBERED:
                self._rendered.clear()
            self._rendered[identity] = (match, reserved, allowed)
        return allowed

    def _account_user(self, snapshots: Sequence[MappingSnapshot], identity: Identity) -> Allowed | Refusal:
        for snapshot in snapshots:
            if snapshot.table is not None and snapshot.table.account_match(identity.account_id):
                refusal = reserved_prefix(identity.canonical_arn, snapshot.reserved_prefixes)
                return refusal or self._allowed(identity, identity.canonical_arn, (), f"{snapshot.name} mapAccounts")
        return Refusal(Reason.NOT_MAPPED, identity.canonical_arn)

    def _allowed(
        self, identity: Identity, username: str, groups: tuple[str, ...], source: str, levels: tuple[str, ...] = ()
    ) -> Allowed:
        scrubbed = self.is_scrubbed(identity)
        return Allowed(
            kubernetes_user(identity, username, groups, levels, scrubbed=scrubbed), identity, source, scrubbed
        )

    def is_scrubbed(self, identity: Identity) -> bool:
        """Return whether the identity is of an account whose ids are kept out of logs."""
        return identity.account_id in self._scrubbed_accounts


class Authenticator:
    """Decides about tokens with one verifier and an ordered chain of backends."""

    def __init__(
        self,
        verifier: Verifier,
        mappings: Mappings,
        *,
        scrubbed_accounts: Collection[str] = (),
        node_names: NodeNames | None = None,
        memberships: MembershipCheck | None = None,
        deny_list: DenyList | None = None,
    ) -> None:
        """Without `node_names`, mappings with {{EC2PrivateDNSName}} admit nobody; without `memberships`, those with `iamGroup`.

        Without `deny_list` nobody is denied.
        """
        self._verifier = verifier
        self._node_names = node_names
        self.stages = Stages(mappings, memberships, deny_list, scrubbed_accounts)
        """The stages of decisions, for the authorizer too."""

    async def authenticate(self, token: str) -> Decision:
        """Return the decision about a token. Raises nothing of its own."""
        identity = await self._verifier.verify(token)
        if isinstance(identity, Refusal):
            if identity.reason is Reason.TOKEN_PREFIX:
                identity = self._answer_status_query(token) or identity
            return _refused(identity, None, scrubbed=False)
        return await self.decide(identity)

    async def decide(self, identity: Identity) -> Decision:
        """Return the decision about an identity that STS verified. Raises nothing of its own.

        The stages are those of docs/protocol.md, section 4.1:

        (1) Ask the deny list.
        (2) Find the mapping: the first matching entry of the backends, in their order, and whether its IAM group admits the identity.
        (3) Where only membership is missing, read it from IAM once more, and repeat (2).
        (4) Ask for the node name where the mapping needs it.
        (5) Ask the deny list again, now with the IAM groups that admitted. Nothing is awaited from here on.
        (6) Return the user of the mapping, else that of mapAccounts.
        """
        # (1): before the mappings, so that a denied identity costs no look-up in IAM or EC2.
        refusal = self.stages.denial(identity)
        if refusal is not None:
            return self._refuse(refusal, identity)

        # (2)
        found = self.stages.find_mapping(identity)

        # (3): repeated whatever the refresh brought, since mappings may have changed while it was awaited.
        if found.outdated:
            await self.stages.refresh(found.outdated)
            found = self.stages.find_mapping(identity)
        if found.refusal is not None:
            return self._refuse(found.refusal, identity)

        # (4)
        match = found.match
        node: str | Refusal = ""
        if match is not None and match.needs_ec2 and self._node_names is not None:
            node = await self._node_names.private_dns_name(identity)

        # (5): a denial may have arrived during (3) or (4).
        refusal = self.stages.denial(identity, match.iam_groups if match is not None else ())
        if refusal is None and isinstance(node, Refusal):
            refusal = node
        if refusal is not None:
            return self._refuse(refusal, identity)

        # (6)
        answer = self.stages.user(found, identity, str(node))
        if isinstance(answer, Refusal):
            return self._refuse(answer, identity)
        if self.stages.deny_list is not None:
            self.stages.deny_list.record_sign_in(identity)
        return answer

    def _answer_status_query(self, token: str) -> Refusal | None:
        """Return the answer to a status query, about the deny list or about memberships, or None if the token is none."""
        deny_list = self.stages.deny_list
        answer = deny_list.answer_status_query(token) if deny_list is not None else None
        return answer or self.stages.memberships.answer_status_query(token)

    def _refuse(self, refusal: Refusal, identity: Identity) -> Denied | Unavailable:
        scrubbed = self.stages.is_scrubbed(identity)
        if scrubbed and refusal.reason in _DETAIL_NAMES_SOMEBODY:
            refusal = Refusal(refusal.reason)
        return _refused(refusal, identity, scrubbed=scrubbed)


def _refused(refusal: Refusal, identity: Identity | None, *, scrubbed: bool) -> Denied | Unavailable:
    if refusal.reason in _TEMPORARY:
        return Unavailable(refusal, refusal.reason in _THROTTLED, identity, scrubbed)
    return Denied(refusal, identity, scrubbed)


class _NoMemberships:
    """The `MembershipCheck` of an authenticator without one: entries that require membership admit nobody."""

    def check_role_session(self, requirement: MembershipRequirement, identity: Identity) -> Refusal | None:  # noqa: ARG002
        return Refusal(Reason.MEMBERSHIP_STALE)

    def match_group_mappings(self, index: GroupMappingIndex, identity: Identity) -> MappingMatch | Refusal | None:  # noqa: ARG002
        return Refusal(Reason.MEMBERSHIP_STALE)

    def covers_account(self, identity: Identity) -> bool:  # noqa: ARG002
        return False

    async def refresh(self, groups: Collection[str], roles: Collection[str] = (), seconds: float = 0.0) -> bool:  # noqa: ARG002
        return False

    def answer_status_query(self, token: str) -> Refusal | None:  # noqa: ARG002
        return None


def _outdated_by(requirement: MembershipRequirement, refusal: Refusal) -> tuple[Outdated, ...]:
    """Return the group, and the role that may have been created again, that the refusal rests on; nothing for other refusals."""
    if refusal.reason is Reason.NOT_MEMBER:
        return (Outdated((requirement.iam_group,)),)
    if refusal.reason is Reason.ROLE_RECREATED:
        return (Outdated((requirement.iam_group,), (requirement.role,)),)
    return ()


def kubernetes_user(
    identity: Identity, username: str, groups: tuple[str, ...], levels: tuple[str, ...] = (), *, scrubbed: bool = False
) -> User:
    """Return the user of Kubernetes that an identity becomes. A `scrubbed` one has neither ids nor `extra`."""
    if scrubbed:
        return User(username, f"{UID_PREFIX}administrative:{username}", groups)
    extra: dict[str, tuple[str, ...]] = {
        "arn": (identity.arn,),
        "canonicalArn": (identity.canonical_arn,),
        "sessionName": (identity.session_name,),
        "accessKeyId": (identity.access_key_id,),
        "principalId": (identity.user_id,),
        PRINCIPAL_ID_KEY: (identity.user_id,),
    }
    if levels:
        extra[LEVEL_KEY] = levels
    return User(username, f"{UID_PREFIX}{identity.account_id}:{identity.user_id}", groups, extra)
