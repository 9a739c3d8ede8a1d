"""Ports of a decision: the verifier that asks STS, the mappings, the check of memberships, the deny list and the names of nodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from kube_iam.core.identity import Identity
from kube_iam.core.mapping import GroupMappingIndex, MappingMatch, MappingSnapshot
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.reasons import Refusal

REFRESH_TIMEOUT = 3.0
"""Seconds that a sign-in waits for a read of IAM."""


class Verifier(Protocol):
    """Verification of tokens: the checks of `kube_iam.core.checks`, then the question to STS."""

    async def verify(self, token: str) -> Identity | Refusal:
        """Return the identity that signed the token, or why there is none. Never raises for what a client or STS did."""


class Mappings(Protocol):
    """The mappings of all backends."""

    def snapshots(self) -> Sequence[MappingSnapshot]:
        """Return the state of each backend now, in the order in which they are asked. Cheap enough for every decision."""


class MembershipCheck(Protocol):
    """Memberships of IAM groups, and the roles whose sessions must be named after a member.

    All but `refresh` are look-ups in memory.
    """

    def check_role_session(self, requirement: MembershipRequirement, identity: Identity) -> Refusal | None:
        """Return why a session of the role is refused, or None if its user is a current member or has a grant."""

    def match_group_mappings(self, index: GroupMappingIndex, identity: Identity) -> MappingMatch | Refusal | None:
        """Return what the IAM groups of a user give, None if the user is in none, or a refusal where that is not known."""

    def covers_account(self, identity: Identity) -> bool:
        """Return whether the identity is an IAM user of the account whose groups are read."""

    async def refresh(
        self, groups: Collection[str], roles: Collection[str] = (), seconds: float = REFRESH_TIMEOUT
    ) -> bool:
        """Read these groups (names) and roles (comparable ARNs) from IAM now. Return whether all were read. Never raises.

        Concurrent callers share one read. Returns False at once where a read is not allowed now, as after another a moment ago, and
        after `seconds` where a read takes longer.
        """

    def answer_status_query(self, token: str) -> Refusal | None:
        """Return the answer to a status query (`kube_iam.core.membership_status`), or None if the token is none."""


class DenyList(Protocol):
    """The denials, which go before all mappings."""

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        """Return why the identity is refused now, or None. Never raises; cheap enough for every decision.

        Denials that are limited to an IAM group count where it is one of `iam_groups`. A list that was never read refuses everybody.
        """

    def denial_of_name(self, name: str, roles: Collection[str], iam_groups: Collection[str]) -> Refusal | None:
        """Return why the user of that IAM name is refused now, or None: for a user without a known identity.

        Denials limited to a role (comparable ARN) or an IAM group count where it is one of these.
        """

    def record_sign_in(self, identity: Identity) -> None:
        """Record that the identity has just signed in."""

    def answer_status_query(self, token: str) -> Refusal | None:
        """Return the answer to a status query (`kube_iam.denylist.status_query`), or None if the token is none."""


class NodeNames(Protocol):
    """Names of EC2 instances. Asked only where the mapping holds {{EC2PrivateDNSName}}."""

    async def private_dns_name(self, identity: Identity) -> str | Refusal:
        """Return the private DNS name of the instance that the session is named after, or why there is none. Never raises."""
