"""From a token to a decision: verify, ask the deny list, find the mapping, render it, answer.

The order is that of docs/protocol.md, section 4: explicit mappings of every backend in turn, then the accounts of
every backend in turn. A backend that has never loaded stops the search, since a later one might map the identity in another way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kube_iam.authn.door import Door
from kube_iam.authn.ports import Denials, Mapper, Memberships, NodeNames, Verifier
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import GroupMappingIndex, MappingMatch, render, reserved_prefix
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.token_review import User

UID_PREFIX = "aws-iam-authenticator:"
PRINCIPAL_ID_KEY = "sigs.k8s.io/aws-iam-authenticator/principalId"
LEVEL_KEY = "kube-iam.dev/level"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The sign-in is granted. `source` is the backend and entry that decided; `scrubbed`: keep `identity` out of logs.

    The same decision is given again and again: `notes` is for what others make of it and need not make twice.
    """

    user: User
    identity: Identity
    source: str
    scrubbed: bool = False
    notes: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """The sign-in is refused for good; `identity` is there where STS vouched for one. `scrubbed`: keep it out of logs."""

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
_MOST_REMEMBERED = 8192

_NO_DOOR = Refusal(Reason.MEMBERSHIP_UNKNOWN)
_NAMING_SOMEBODY = (
    Reason.NOT_MEMBER,
    Reason.MEMBERSHIP_UNKNOWN,
    Reason.TRUST_OPEN,
    Reason.ROLE_SUSPENDED,
    Reason.DENIED,
)


class Authenticator:
    """Decides about tokens with one verifier and an ordered chain of backends, which may be another one for every decision."""

    def __init__(
        self,
        verifier: Verifier,
        mappers: Iterable[Mapper],
        *,
        scrubbed_accounts: Collection[str] = (),
        node_names: NodeNames | None = None,
        door: Door | None = None,
        memberships: Memberships | None = None,
        denials: Denials | None = None,
    ) -> None:
        """Without `node_names`, mappings with {{EC2PrivateDNSName}} let nobody in; without `door`, mappings with `iamGroup`.

        With `memberships`, whom the door would turn away is looked up anew before. Without `denials` there is no deny list.
        """
        self._verifier = verifier
        self._door = door
        self._memberships = memberships
        self._node_names = node_names
        self._mappers = mappers
        self._denials = denials
        self._scrubbed_accounts = frozenset(scrubbed_accounts)
        # What an entry came to for an identity, with the reserved prefixes that were asked. Which entry it is, if any, is found
        # anew for every decision.
        self._rendered: dict[Identity, tuple[MappingMatch, tuple[str, ...], Allowed]] = {}

    async def authenticate(self, token: str) -> Decision:
        """The decision about a token. Raises nothing of its own."""
        identity = await self._verifier.verify(token)
        if isinstance(identity, Refusal):
            if identity.reason is Reason.TOKEN_PREFIX:
                identity = self._answer(token) or identity
            return _refused(identity, None, scrubbed=False)
        return await self.decide(identity)

    async def decide(self, identity: Identity) -> Decision:
        """The decision about an identity that STS vouched for."""
        found = self._denied(identity) or await self._map(identity)
        if isinstance(found, Allowed):
            if self._denials is not None:
                self._denials.let_in(identity)
            return found
        scrubbed = self._is_scrubbed(identity)
        refusal = found or Refusal(Reason.NOT_MAPPED, "" if scrubbed else identity.canonical_arn)
        if scrubbed and refusal.reason in _NAMING_SOMEBODY:
            refusal = Refusal(refusal.reason)
        return _refused(refusal, identity, scrubbed=scrubbed)

    def _answer(self, token: str) -> Refusal | None:
        """Return the answer to a token that is a status query, about the deny list or about memberships; None where it is none."""
        answer = self._denials.answer(token) if self._denials is not None else None
        return answer or (self._door.answer(token) if self._door is not None else None)

    def _denied(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        return self._denials.denial(identity, iam_groups) if self._denials is not None else None

    async def _map(self, identity: Identity, *, first: bool = True) -> Allowed | Refusal | None:
        """What the mappings say. Whom the door would turn away the `first` time is looked up anew, and all is begun again."""
        mappers = tuple(self._mappers)
        for mapper in mappers:
            table = mapper.table
            if table is None:
                return Refusal(Reason.NOT_LOADED, mapper.name)
            mapped = table.find(identity)
            if mapped is None and table.group_mappings:
                by_group = self._door.entries(table.group_mappings, identity) if self._door is not None else _NO_DOOR
                if isinstance(by_group, Refusal):
                    return by_group
                if by_group is None and first and await self._may_have_joined(table.group_mappings, identity):
                    return await self._map(identity, first=False)
                mapped = by_group
            if mapped is not None:
                if mapped.requirement is not None:
                    refusal = self._door.admits(mapped.requirement, identity) if self._door is not None else _NO_DOOR
                    if refusal is not None and first and await self._may_have_come_in(mapped.requirement, refusal):
                        return await self._map(identity, first=False)
                    if refusal is not None:
                        return refusal
                answer = await self._render(mapper, mapped, identity)
                # Again: by which groups is known only now, and a denial may have come meanwhile. Nothing waits from here on.
                return self._denied(identity, mapped.iam_groups) or answer
        return self._denied(identity) or self._map_account(mappers, identity)

    async def _may_have_come_in(self, requirement: MembershipRequirement, refusal: Refusal) -> bool:
        """Whether IAM was asked once more about what the refusal rests on: the group, or the role that may have been created again."""
        if self._memberships is None:
            return False
        if refusal.reason is Reason.ROLE_RECREATED:
            return await self._memberships.read_again((requirement.iam_group,), (requirement.role,))
        return refusal.reason is Reason.NOT_MEMBER and await self._memberships.read_again((requirement.iam_group,))

    async def _may_have_joined(self, groups: GroupMappingIndex, identity: Identity) -> bool:
        """The same of groups that let an IAM user in."""
        if self._memberships is None or self._door is None or not self._door.knows_account(identity):
            return False
        return await self._memberships.read_again(groups.iam_groups)

    async def _render(self, mapper: Mapper, mapped: MappingMatch, identity: Identity) -> Allowed | Refusal:
        # The prefixes of the same version as the table: the backend may load another one while EC2 is asked.
        reserved = mapper.reserved_prefixes
        known = self._rendered.get(identity)
        if known is not None and known[0] is mapped and known[1] == reserved:
            return known[2]
        node = await self._node_name(mapped, identity)
        names = render(mapped, identity, reserved, node) if isinstance(node, str) else node
        if isinstance(names, Refusal):
            return names
        allowed = self._allowed(identity, *names, f"{mapper.name} {mapped.source}".rstrip(), mapped.levels)
        if not mapped.needs_ec2:
            if len(self._rendered) >= _MOST_REMEMBERED:
                self._rendered.clear()
            self._rendered[identity] = (mapped, reserved, allowed)
        return allowed

    async def _node_name(self, mapped: MappingMatch, identity: Identity) -> str | Refusal:
        if not mapped.needs_ec2 or self._node_names is None:
            return ""
        return await self._node_names.private_dns_name(identity)

    def _map_account(self, mappers: Sequence[Mapper], identity: Identity) -> Allowed | Refusal | None:
        for mapper in mappers:
            table = mapper.table
            if table is not None and table.account_match(identity.account_id):
                refusal = reserved_prefix(identity.canonical_arn, mapper.reserved_prefixes)
                return refusal or self._allowed(identity, identity.canonical_arn, (), f"{mapper.name} mapAccounts")
        return None

    def _allowed(
        self, identity: Identity, username: str, groups: tuple[str, ...], source: str, levels: tuple[str, ...] = ()
    ) -> Allowed:
        scrubbed = self._is_scrubbed(identity)
        return Allowed(_user(identity, username, groups, levels, scrubbed=scrubbed), identity, source, scrubbed)

    def _is_scrubbed(self, identity: Identity) -> bool:
        return identity.account_id in self._scrubbed_accounts


def _refused(refusal: Refusal, identity: Identity | None, *, scrubbed: bool) -> Denied | Unavailable:
    if refusal.reason in _TEMPORARY:
        return Unavailable(refusal, refusal.reason in _THROTTLED, identity, scrubbed)
    return Denied(refusal, identity, scrubbed)


def _user(
    identity: Identity, username: str, groups: tuple[str, ...], levels: tuple[str, ...], *, scrubbed: bool
) -> User:
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
