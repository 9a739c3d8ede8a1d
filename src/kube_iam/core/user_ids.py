"""Index of mapping entries by the unique id of a role or user (AROA…, AIDA…) instead of its ARN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kube_iam.core.arns import comparable_arn
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingMatch, MappingTable
from kube_iam.core.mapping_entries import UserIdMapping
from kube_iam.errors import Problem


class UserIdTable(MappingTable):
    """The entries of one backend by unique id. mapAccounts works as in every table."""

    __slots__ = ("_by_user_id",)

    def __init__(self) -> None:
        super().__init__()
        self._by_user_id: dict[str, tuple[str, MappingMatch]] = {}

    @classmethod
    def of(cls, entries: Sequence[UserIdMapping], accounts: Iterable[str]) -> tuple[UserIdTable, list[Problem]]:
        """Return the index of the entries, and the problems found.

        The first entry of an id wins. An entry with a malformed ARN is left out and reported.
        """
        table = cls()
        problems: list[Problem] = []
        for entry in entries:
            try:
                arn = comparable_arn(entry.arn) if entry.arn else ""
            except ValueError as problem:
                problems.append(Problem(entry.where, str(problem).replace(ascii_lower(entry.arn), entry.arn)))
                continue
            match = MappingMatch(entry.username, entry.groups, entry.where)
            first = table._by_user_id.setdefault(entry.user_id, (arn, match))[1]
            if first is not match:
                message = f"{entry.user_id} is mapped before at {first.source}; this entry is ignored"
                problems.append(Problem(entry.where, message, "remove one of the two"))
        problems += table.set_accounts(accounts)
        return table, problems

    def find(self, identity: Identity) -> MappingMatch | None:
        """Return the entry with the unique id of the identity, or None. If the entry has an ARN, it must be that of the identity."""
        arn, match = self._by_user_id.get(identity.user_id, ("", None))
        return match if arn in ("", identity.comparable_arn) else None

    def _matches(self) -> Iterator[tuple[str, MappingMatch]]:
        return iter(self._by_user_id.values())
