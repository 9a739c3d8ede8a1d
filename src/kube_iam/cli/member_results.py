"""Results of a grant or revocation by user: done, failed, not tried; as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

from kube_iam.access.members import MemberChange
from kube_iam.cli.access_output import AGAIN, print_data, remedy_half_way
from kube_iam.cli.changes import changes_made
from kube_iam.errors import KubeIamError


class MemberResults:
    """Results by user, in the order of the command line. `done` are the changes that succeeded."""

    def __init__(self, planned: Sequence[MemberChange], verb: str, level: str) -> None:
        """`verb` is the participle: `granted` or `revoked`."""
        self.done: list[MemberChange] = []
        self.planned = planned
        self._verb = verb
        self._level = level
        self._tried: MemberChange | None = None
        self._error: KubeIamError | None = None

    def follow(self, changes: Iterable[MemberChange]) -> Iterator[MemberChange]:
        """Yield each planned change once it is made. `changes` makes them. Ends at the first error; `raise_error` raises it."""
        made, each = changes_made(), iter(changes)
        names = {
            change.user: f"{change.user} {self._verb} {self._level}" for change in self.planned if change.is_needed
        }
        made.expect(names.values(), AGAIN)
        for change in self.planned:
            self._tried = change
            if change.is_needed:
                made.begin(names[change.user])
            try:
                next(each)
            except KubeIamError as error:
                self._error = error
                return
            if change.is_needed:
                made.finish(names[change.user])
            self._tried = None
            self.done.append(change)
            yield change

    @property
    def complete(self) -> bool:
        """Return whether every planned change is done."""
        return len(self.done) == len(self.planned)

    def data(self) -> list[dict[str, object]]:
        """Return an object per user: `result` is granted or revoked, already, noSuchUser, failed (with
        `error`), unknown or notTried."""
        return [self._item(position, change) for position, change in enumerate(self.planned)]

    def raise_error(self) -> None:
        """Raise the error of the change that failed, after printing which users are done, failed and not tried."""
        if self._error is None:
            return
        changed = [change.user for change in self.done if change.is_needed]
        left = [change.user for change in self.planned[len(self.done) + 1 :]]
        failed = self.planned[len(self.done)].user
        said = f"{len(changed)} of {len(self.planned)} users {self._verb} {self._level}; failed: {failed}"
        click.echo(f"{said}; not tried: {', '.join(left)}" if left else said, err=True)
        click.echo(f"what is done stays done: {remedy_half_way(self._error)}", err=True)
        raise self._error

    def _item(self, position: int, change: MemberChange) -> dict[str, object]:
        if position < len(self.done) and not change.exists and not change.is_needed:
            return {"name": change.user, "result": "noSuchUser"}
        if position < len(self.done):
            return {"name": change.user, "result": self._verb if change.is_needed else "already"}
        if position > len(self.done) or self._tried is None:
            return {"name": change.user, "result": "notTried"}
        if self._error is None:
            return {"name": change.user, "result": "unknown"}
        return {"name": change.user, "result": "failed", "error": self._error.message}


def print_members(results: MemberResults, data: dict[str, object], output: str) -> None:
    """Print the results as JSON or YAML: `data` with the users."""
    print_data({**data, "users": results.data()}, output)
