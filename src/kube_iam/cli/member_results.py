"""Results of a grant or revocation of several users: done, failed, not tried, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

from kube_iam.access.members import Move
from kube_iam.cli.access_output import AGAIN, print_data, remedy_half_way
from kube_iam.cli.changes_made import changes_made
from kube_iam.errors import KubeIamError


class MemberResults:
    """Results by user, in the order of the command line. `done` are the moves that ended well."""

    def __init__(self, planned: Sequence[Move], verb: str, level: str) -> None:
        """`verb` is the participle: `granted` or `revoked`."""
        self.done: list[Move] = []
        self._planned = planned
        self._verb = verb
        self._level = level
        self._tried: Move | None = None
        self._error: KubeIamError | None = None

    def follow(self, moves: Iterable[Move]) -> Iterator[Move]:
        """Yield each planned move when `moves`, which carries them out in their order, has done it. Ends at the first that fails."""
        made, each = changes_made(), iter(moves)
        names = {move.user: f"{move.user} {self._verb} {self._level}" for move in self._planned if move.changes}
        made.expect(names.values(), AGAIN)
        for move in self._planned:
            self._tried = move
            if move.changes:
                made.begin(names[move.user])
            try:
                next(each)
            except KubeIamError as error:
                self._error = error
                return
            if move.changes:
                made.finish(names[move.user])
            self._tried = None
            self.done.append(move)
            yield move

    @property
    def complete(self) -> bool:
        """Whether every planned move is done."""
        return len(self.done) == len(self._planned)

    def data(self) -> list[dict[str, object]]:
        """Return an object per user: `result` is granted or revoked, already, noSuchUser, failed (with
        `error`), unknown or notTried."""
        return [self._item(position, move) for position, move in enumerate(self._planned)]

    def complain(self) -> None:
        """Raise the error of the move that failed, once it is said who is done, who failed and who was not tried."""
        if self._error is None:
            return
        changed = [move.user for move in self.done if move.changes]
        left = [move.user for move in self._planned[len(self.done) + 1 :]]
        failed = self._planned[len(self.done)].user
        said = f"{len(changed)} of {len(self._planned)} users {self._verb} {self._level}; failed: {failed}"
        click.echo(f"{said}; not tried: {', '.join(left)}" if left else said, err=True)
        click.echo(f"what is done stays done: {remedy_half_way(self._error)}", err=True)
        raise self._error

    def _item(self, position: int, move: Move) -> dict[str, object]:
        if position < len(self.done) and not move.exists and not move.changes:
            return {"name": move.user, "result": "noSuchUser"}
        if position < len(self.done):
            return {"name": move.user, "result": self._verb if move.changes else "already"}
        if position > len(self.done) or self._tried is None:
            return {"name": move.user, "result": "notTried"}
        if self._error is None:
            return {"name": move.user, "result": "unknown"}
        return {"name": move.user, "result": "failed", "error": self._error.message}


def print_members(results: MemberResults, data: dict[str, object], output: str) -> None:
    """Print the results as JSON or YAML: `data` with the users."""
    print_data({**data, "users": results.data()}, output)
