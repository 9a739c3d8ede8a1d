"""Entries that are found by the unique id of a role or user (AROA…, AIDA…) instead of its ARN.

A role that is deleted and made again under the same name has the same ARN and another id, so that the old mapping does not let it in.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kube_iam.core.arns import comparable_arn
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import Mapped, MappingTable
from kube_iam.core.templates import Template
from kube_iam.errors import Problem


@dataclass(frozen=True, slots=True)
class UserIdMapping:
    """One entry. Where it has an ARN too, that must agree. `where` is its key path in the file."""

    user_id: str
    arn: str
    username: Template
    groups: tuple[Template, ...] = ()
    where: str = ""


class UserIdTable(MappingTable):
    """The entries of one backend by unique id; accounts as in every table."""

    __slots__ = ("_by_user_id",)

    def __init__(self) -> None:
        super().__init__()
        self._by_user_id: dict[str, tuple[str, Mapped]] = {}

    @classmethod
    def of(cls, entries: Sequence[UserIdMapping], accounts: Iterable[str]) -> tuple[UserIdTable, list[Problem]]:
        """Index the entries, of those with one id the first. An entry whose ARN is none is left out: it must let nobody in."""
        table = cls()
        problems: list[Problem] = []
        for entry in entries:
            try:
                arn = comparable_arn(entry.arn) if entry.arn else ""
            except ValueError as problem:
                problems.append(Problem(entry.where, str(problem).replace(ascii_lower(entry.arn), entry.arn)))
                continue
            mapped = Mapped(entry.username, entry.groups, entry.where)
            first = table._by_user_id.setdefault(entry.user_id, (arn, mapped))[1]
            if first is not mapped:
                message = f"{entry.user_id} is mapped before at {first.source}; this entry is ignored"
                problems.append(Problem(entry.where, message, "remove one of the two"))
        problems += table.let_in(accounts)
        return table, problems

    def find(self, identity: Identity) -> Mapped | None:
        """The entry of the identity's unique id, where its ARN, if it has one, is the identity's too."""
        arn, mapped = self._by_user_id.get(identity.user_id, ("", None))
        return mapped if arn in ("", comparable_arn(identity.canonical_arn)) else None
