"""What a decision needs from the outside: someone who asks STS, the backends that hold the mappings, and the names of nodes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingTable
from kube_iam.core.reasons import Refusal


class Verifier(Protocol):
    """Finds out who signed a token: checks it (`kube_iam.core.checks`), then asks STS."""

    async def verify(self, token: str) -> Identity | Refusal:
        """The identity that signed the token, or why there is none. Never raises for what a client or STS did."""


class Mapper(Protocol):
    """One backend of mappings."""

    @property
    def name(self) -> str:
        """The backend's name in the configuration: MountedFile, EKSConfigMap, CRD, DynamicFile."""

    @property
    def reserved_prefixes(self) -> tuple[str, ...]:
        """Prefixes that user names of this backend must not have."""

    @property
    def table(self) -> MappingTable | None:
        """The mappings as they stand now, the last good ones where loading fails later; None until the first load."""


class NodeNames(Protocol):
    """Knows EC2 instances. Asked only where the mapping that was found has {{EC2PrivateDNSName}} in it."""

    async def private_dns_name(self, identity: Identity) -> str | Refusal:
        """The private DNS name of the instance that the identity's session is named after, or why there is none. Never raises."""


class Memberships(Protocol):
    """Reads who is in the IAM groups that a door goes by."""

    async def read_again(self, groups: Collection[str], roles: Collection[str] = ()) -> bool:
        """Read groups (names) and roles (ARNs as mappings compare them) before their time; whether all were read.

        Does it for one caller as for a thousand, and not again and again. Never raises.
        """


class Denials(Protocol):
    """Who is kept out, whatever the mappings say."""

    @property
    def ready(self) -> bool:
        """Whether the list is known; until it is, nobody gets in."""

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        """Why the identity is kept out now, or None; also of what only these IAM groups would let it in by.

        Never raises; cheap enough for every decision.
        """

    def let_in(self, identity: Identity) -> None:
        """The identity has just been let in."""

    def answer(self, token: str) -> Refusal | None:
        """The answer to a token that is a question about a denial (`kube_iam.core.probe`); None where it is none."""
