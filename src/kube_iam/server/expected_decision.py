"""The decision of a server about an identity, computed from state that a command has read. No server is asked.

The server's own stages decide (`authn.decide`), with its own membership cache. The cache is filled once, as by a server that reads IAM
now. So what depends on a server's past is not covered: suspended roles, user names that changed owner, and late reads.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kube_iam.authn.decide import LEVEL_KEY, Allowed, Authenticator
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingSnapshot, MappingTable
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import GroupFound, RoleFound
from kube_iam.membership.refresher import group_snapshot, role_snapshot


@dataclass(frozen=True, slots=True)
class MembershipFacts:
    """Groups and roles of mapping entries as IAM has them. What is absent was not read; None stands for what does not exist.

    `groups` is keyed by the names of groups as the entries spell them, `roles` by comparable ARN.
    """

    groups: Mapping[str, GroupFound | None] = field(default_factory=dict)
    roles: Mapping[str, RoleFound | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected decision: a user name, groups and the levels of the entry, or a refusal. `source` is the entry's key path."""

    username: str = ""
    groups: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    refusal: Refusal | None = None


def expected_decision(
    identity: Identity, table: MappingTable, reserved: tuple[str, ...], facts: MembershipFacts, now: float
) -> Expected:
    """Return the decision about an identity, apart from the deny list. `now` is Unix seconds."""
    cache = _cache(table, facts, now)
    authenticator = Authenticator(
        _NoTokens(),
        _OneBackend((MappingSnapshot("", table, reserved),)),
        memberships=_Memberships(cache),
        node_names=_AnyNode(),
    )
    decision = asyncio.run(authenticator.decide(identity))
    if isinstance(decision, Allowed):
        user = decision.user
        return Expected(user.username, user.groups, tuple(user.extra.get(LEVEL_KEY, ())))
    return Expected(refusal=decision.refusal)


def _cache(table: MappingTable, facts: MembershipFacts, now: float) -> MembershipCache:
    """Return the cache of a server that has just read what was read here."""
    cache = MembershipCache(math.inf, lambda: 0.0, lambda: now)
    cache.set_tracked(table.group_mappings.iam_groups, table.requirements)
    for name, group in facts.groups.items():
        cache.update_group(name, group_snapshot(group, 0.0))
    for key, role in facts.roles.items():
        cache.update_role(key, role_snapshot(role, key, 0.0))
    return cache


class _NoTokens:
    """Verifier that is never asked: the identity is given."""

    async def verify(self, token: str) -> Identity | Refusal:  # noqa: ARG002
        return Refusal(Reason.STS_NO_ANSWER)


@dataclass(frozen=True, slots=True)
class _OneBackend:
    backends: tuple[MappingSnapshot, ...]

    def snapshots(self) -> tuple[MappingSnapshot, ...]:
        return self.backends


class _Memberships:
    """The cache without refresher: IAM was read before."""

    def __init__(self, cache: MembershipCache) -> None:
        self.check_role_session = cache.check_role_session
        self.match_group_mappings = cache.match_group_mappings
        self.covers_account = cache.covers_account
        self.answer_status_query = cache.answer_status_query

    async def refresh(self, groups: Collection[str], roles: Collection[str] = (), seconds: float = 0.0) -> bool:  # noqa: ARG002
        return False


class _AnyNode:
    """Node names that are not looked up: an example stands for all of them."""

    async def private_dns_name(self, identity: Identity) -> str | Refusal:  # noqa: ARG002
        return "ip-192-0-2-1.ec2.internal"
