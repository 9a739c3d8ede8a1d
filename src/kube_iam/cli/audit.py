"""Audit events of a command: collected while it runs, written when everything else is done. An error of that is a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from kube_iam.cli.terminal import note
from kube_iam.denylist.denial import Denial
from kube_iam.errors import KubeIamError
from kube_iam.kube.events import Action, AuditRecord

if TYPE_CHECKING:
    from kube_iam.access.members import MemberChange


Write = Callable[[Sequence[AuditRecord]], None]
"""Writes actions into the cluster, and raises KubeIamError: `AdminSession.write_events`."""


class AuditLog:
    """Actions of one command. They are written when the context ends, also by an error, and by `write` before a long wait."""

    def __init__(self, write: Write | None) -> None:
        """Without `write` there is no cluster to keep an audit log in."""
        self._write = write
        self._records: list[AuditRecord] = []

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()

    def add(self, *records: AuditRecord) -> None:
        """Add actions that are done."""
        self._records += records

    def write(self) -> None:
        """Write the actions since the last call. If that fails it prints a warning."""
        records, self._records = self._records, []
        if records and self._write is not None:
            _write(self._write, records)

    def recorded(self, done: Iterable[MemberChange], level: str, *, into: bool, reason: str) -> Iterator[MemberChange]:
        """Yield the changes, and add an action for each that changed something."""
        action = Action.GRANTED if into else Action.REVOKED
        for change in done:
            if change.is_needed:
                self.add(AuditRecord(action, change.user, level, reason=reason))
            yield change


def record_denials(write: Write, denials: Iterable[Denial]) -> None:
    """Write an audit event for each denial at once. If that fails it prints a warning."""
    _write(write, [denied_record(denial) for denial in denials])


def denied_record(denial: Denial, level: str = "") -> AuditRecord:
    """Return the record of a denial, in one level or, if that is empty, in all."""
    return AuditRecord(Action.DENIED, denial.value, level, denial.end, denial.reason, denial.name)


def _write(write: Write, records: Sequence[AuditRecord]) -> None:
    try:
        write(records)
    except KubeIamError as error:
        note(f"warning: done, but not written as an event into the cluster: {error.message}")
