"""`revoke --now`: the denial goes out first, and what it takes to be obeyed is found out while IAM is being changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import click

from kube_iam.access.audit import Action, AuditRecord
from kube_iam.access.desired import mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.cli import deny_result as result
from kube_iam.cli import deny_session
from kube_iam.cli.audit import AuditLog, denied_record
from kube_iam.cli.session import AdminSession, needs_cluster
from kube_iam.denylist.denial import Denial
from kube_iam.denylist.propagation import Propagation
from kube_iam.errors import KubeIamError
from kube_iam.report.denials_text import denial_data

_BY_GROUP = (
    "{level} has no role: they are refused while the IAM group {group} is among what lets them in. Another level by group lets"
    " them in again when the servers have read that they left it, every 15s by default."
)


class ShutOut:
    """The denials of one level's users, on their way from the moment that this is made. Raises UsageError: no such names.

    As a context it says, when what is done in it fails, what came of the denials all the same.
    """

    def __init__(
        self,
        session: AdminSession,
        level: Level,
        users: Sequence[str],
        closing: deny_session.Closing,
        audit: AuditLog,
    ) -> None:
        session.check_server()
        self._level = level
        self._closing = closing
        self._audit = audit
        self._said = False
        self._denials = deny_session.level_denials(session, closing, users, **_place(session.access, level))
        began = deny_session.CLOCK.now()
        pool = ThreadPoolExecutor(max_workers=1)
        self._closed = pool.submit(deny_session.shut, session, closing, self._denials, began)
        pool.shutdown(wait=False)

    def __enter__(self) -> ShutOut:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, KubeIamError) or self._said:
            return
        failure = self._closed.exception()
        if failure is not None:
            click.echo(f"the denial could not be written: {failure}", err=True)
            return
        closed = self._result()
        result.print_details(closed, self._closing)
        unknown = result.shortfall(closed)
        if unknown is not None:
            result.print_unasked(closed)
            click.echo(unknown.message, err=True)
            return
        for denial in self._denials:
            # IAM did not say that there is such a user.
            seen = denial.name in closed.signed_in
            refused = result.Refused(f"{denial.value} is", seen, self._level.name, denial.end)
            click.echo(result.sentence(refused, closed, closed.cached_for), err=True)

    def data(self) -> dict[str, object]:
        """Return the result for programs."""
        denials = [denial_data(denial) for denial in self._denials]
        error = self._closed.exception()
        if error is not None:
            return {"denials": denials, "denialsWritten": False}
        return {"denials": denials, "denialsWritten": True, **result.closed_data(self._closed.result())}

    def say(self) -> None:
        """Print what came of it and wait as `print_result` does. Raises what went wrong."""
        closed = self._result()
        level = self._level
        if level.method is Method.GROUP:
            click.echo(_BY_GROUP.format(level=level.name, group=level.group_name))
        self._audit.write()
        refused = [result.Refused(f"{denial.value} is", out=True, level=level.name) for denial in self._denials]
        result.print_result(closed, self._closing, refused)

    def complain(self) -> None:
        """Raise what went wrong, where something did."""
        result.complain(self._result())

    def _result(self) -> Propagation:
        self._said = True
        try:
            closed = self._closed.result()
        except KubeIamError as error:
            raise KubeIamError(f"the denial could not be written: {error.message}", error.hint) from error
        self._audit.add(*(denied_record(denial, self._level.name) for denial in self._denials))
        return closed


def _place(access: ClusterAccess, level: Level) -> dict[str, str]:
    """Return the role or the IAM group in which a denial of the level is in force."""
    if level.method is Method.GROUP:
        return {"iam_group": level.group_name}
    return {"role": mapped_arn(access, level)}


def lift_level(session: AdminSession, level: Level, users: Sequence[str], deny_list: str, audit: AuditLog) -> None:
    """Lift what `revoke --now` put up against these users in this level, and say so; where that failed, say why."""
    from kube_iam.denylist.denial import denial_name

    access = session.access
    if not needs_cluster(access):
        return
    # By either method, since the level may have had the other one then.
    places = ({"iam_group": level.group_name}, {"role": mapped_arn(access, level)})
    idents = {denial_name("userName", user, **place) for user in users for place in places}

    def chosen(denial: Denial) -> bool:
        # By what it denies: somebody may have written others into the same entry.
        return denial_name(denial.kind, denial.value, denial.role, denial.iam_group) in idents

    try:
        session.check_server()
        lifted = deny_session.lift(session, deny_list, chosen, time.time(), lifting=f"lift denials in {level.name}")
    except KubeIamError as error:
        said = (
            f"Note: a denial by `revoke --now` may still stand, since the cluster could not be asked: {error.message}"
        )
        click.echo(said, err=True)
        return
    for denial in lifted:
        audit.add(AuditRecord(Action.DENIAL_REMOVED, denial.value, level.name))
        click.echo(f"{denial.value}: no longer denied {level.name} ({denial.name})", err=True)
