"""Parts of a decision for tests: identities, backends with fixed mappings, a verifier, node names and memberships."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import partial

from identities import iam_user, role_session
from kube_iam.authn.decide import Decision, Denied, Unavailable
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingSnapshot, MappingTable
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import GROUP_VARIABLES, parse_template
from kube_iam.membership.cache import MembershipCache

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Admin"
ALICE = role_session()
BOB = iam_user("bob", user_id="AIDABOB")


@dataclass
class KnownTokens:
    """A verifier that knows the answer."""

    answer: Identity | Refusal

    async def verify(self, token: str) -> Identity | Refusal:
        return self.answer


@dataclass
class Backend:
    """A backend of mappings with a fixed table."""

    table: MappingTable | None
    name: str = "MountedFile"
    reserved_prefixes: tuple[str, ...] = ()

    @property
    def snapshot(self) -> MappingSnapshot:
        return MappingSnapshot(self.name, self.table, self.reserved_prefixes)


class Backends:
    """The mappings of these backends, in this order."""

    def __init__(self, *backends: Backend) -> None:
        self._backends = backends

    def snapshots(self) -> list[MappingSnapshot]:
        return [backend.snapshot for backend in self._backends]


@dataclass
class Nodes:
    """A fake EC2 with one answer for every instance."""

    answer: str | Refusal
    asked: list[Identity] = field(default_factory=list)

    async def private_dns_name(self, identity: Identity) -> str | Refusal:
        self.asked.append(identity)
        return self.answer


async def nothing_read(groups: Collection[str], roles: Collection[str] = ()) -> bool:
    return False


class Memberships:
    """Decisions by a cache; `refresh` stands for reads of IAM."""

    def __init__(self, cache: MembershipCache, refresh: Callable[..., Awaitable[bool]] = nothing_read) -> None:
        self.check_role_session = cache.check_role_session
        self.match_group_mappings = cache.match_group_mappings
        self.covers_account = cache.covers_account
        self.answer_status_query = cache.answer_status_query
        self._refresh = partial(refresh)

    async def refresh(self, groups: Collection[str], roles: Collection[str] = (), seconds: float = 0.0) -> bool:
        return await self._refresh(groups, roles)


def table(username: str = "", groups: tuple[str, ...] = (), accounts: tuple[str, ...] = ()) -> MappingTable:
    roles = (
        [RoleMapping(ROLE, parse_template(username), tuple(map(parse_template, groups)), "mapRoles[0]")]
        if username
        else []
    )
    return MappingTable.build(roles, [], accounts)[0]


def requiring(group: str = "admins") -> Backend:
    """Return a backend whose entry for the role admits members of the IAM group."""
    entry = RoleMapping(ROLE, parse_template("required"), (), "mapRoles[0]", group, "admin")
    return Backend(MappingTable.build([entry], [], ())[0])


def of_group(group: str = "viewers", username: str = "awsiam:{{UserName}}") -> Backend:
    """Return a backend whose mapGroups entry admits members of the IAM group."""
    entry = GroupMapping(group, parse_template(username, GROUP_VARIABLES), (), "viewer", (), "mapGroups[0]")
    return Backend(MappingTable.build([], [], (), [entry])[0], "EKSConfigMap")


def reason(decision: Decision) -> Reason:
    assert isinstance(decision, Denied | Unavailable)
    return decision.refusal.reason
