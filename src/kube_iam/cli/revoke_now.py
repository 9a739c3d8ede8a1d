"""`revoke --now`: the denial goes out first, and what it takes to be obeyed is found out while IAM is being changed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import click

from kube_iam.access.closing import Closed
from kube_iam.access.documents import mapped_arn
from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.cli import deny_session as session
from kube_iam.cli.access_session import Where
from kube_iam.errors import KubeIamError
from kube_iam.report.denials_text import denial_data


class ShutOut:
    """The denials of one level's users, on their way from the moment that this is made. Raises UsageError: no such names.

    As a context it says, when what is done in it fails, that the denials stand all the same.
    """

    def __init__(
        self, access: ClusterAccess, level: Level, users: Sequence[str], where: Where, closing: session.Closing
    ) -> None:
        session.check_cluster(access, where)
        self._closing = closing
        role = mapped_arn(access, level)
        self._denials = session.level_denials(where, closing, users, role)
        began = session.CLOCK.now()
        pool = ThreadPoolExecutor(max_workers=1)
        self._closed = pool.submit(session.shut, where, closing, self._denials, began)
        pool.shutdown(wait=False)

    def __enter__(self) -> ShutOut:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KubeIamError) and self._closed.exception() is None:
            for denial in self._denials:
                click.echo(f"{denial.value}: denied until {denial.end} all the same ({denial.ident})", err=True)

    def data(self) -> dict[str, object]:
        """What came of it, for programs."""
        denials = [denial_data(denial) for denial in self._denials]
        error = self._closed.exception()
        if error is not None:
            return {"denials": denials, "denialsWritten": False}
        return {"denials": denials, "denialsWritten": True, **session.closed_data(self._closed.result())}

    def say(self, level: Level) -> None:
        """Print what came of it and wait as `say_closed` does. Raises what went wrong."""
        closed = self._result()
        for denial in self._denials:
            click.echo(f"{denial.value}: denied {level.name} until {denial.end} ({denial.ident})")
        session.say_closed(closed, self._closing)

    def complain(self) -> None:
        """Raise what went wrong, where something did."""
        closed = self._result()
        if closed.error is not None:
            raise session.not_known(closed.error)

    def _result(self) -> Closed:
        try:
            return self._closed.result()
        except KubeIamError as error:
            raise KubeIamError(f"the denial could not be written: {error.message}", error.hint) from error


def lift_level(
    access: ClusterAccess, level: Level, users: Sequence[str], where: Where, deny_list: str, now: float
) -> list[str]:
    """Lift what `revoke --now` put up against these users in this level; a sentence for each, and where that failed, why."""
    from kube_iam.core.denied import ident_of

    idents = {ident_of("userName", user, mapped_arn(access, level)) for user in users}
    try:
        session.check_cluster(access, where)
        lifted = session.lift(where, deny_list, lambda denial: denial.ident in idents, now)
    except KubeIamError as error:
        return [
            f"Note: a denial by `revoke --now` may still stand, since the cluster could not be asked: {error.message}"
        ]
    return [f"{denial.value}: no longer denied {level.name} ({denial.ident})" for denial in lifted]
