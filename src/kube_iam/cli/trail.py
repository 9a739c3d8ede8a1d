"""The trail as the commands keep it: written when all else is done, and never in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import click

from kube_iam.access.levels import ClusterAccess
from kube_iam.access.trail import Deed, Record
from kube_iam.cli import access_session
from kube_iam.cli.access_session import Where
from kube_iam.core.denied import Denial
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.access.members import Move
    from kube_iam.kube.client import KubeApi


class Trail:
    """What a command has done so far. Written at the end of the context, however that comes, or by `write` before a long wait."""

    def __init__(self, open_api: Callable[[], KubeApi] | None) -> None:
        """Without `open_api` there is no cluster to keep a trail in."""
        self._open_api = open_api
        self._records: list[Record] = []

    def __enter__(self) -> Trail:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()

    def add(self, *records: Record) -> None:
        """These have been done."""
        self._records += records

    def write(self) -> None:
        """Write what has been done since the last time. That it cannot be written is a warning."""
        from kube_iam.kube.event_trail import EventTrail

        records, self._records = self._records, []
        if not records or self._open_api is None:
            return
        try:
            EventTrail(self._open_api()).write(records, time.time())
        except KubeIamError as error:
            click.echo(f"warning: done, but not written as an event into the cluster: {error.message}", err=True)

    def moves(self, done: Iterable[Move], level: str, *, into: bool, reason: str) -> Iterator[Move]:
        """The moves, each recorded where it changed something."""
        deed = Deed.GRANTED if into else Deed.REVOKED
        for move in done:
            if move.changes:
                self.add(Record(deed, move.user, level, reason=reason))
            yield move


def denied_record(denial: Denial, level: str = "") -> Record:
    """The record of a denial, in one level or everywhere."""
    return Record(Deed.DENIED, denial.value, level, denial.end, denial.reason, denial.ident)


def trail_of(access: ClusterAccess, where: Where) -> Trail:
    """The trail in the cluster that the access file is about, where anything of it lives in a cluster."""
    reachable = access_session.needs_cluster(access)
    return Trail((lambda: access_session.open_api(access, where)) if reachable else None)
