"""`revoke --now`: denials of a level, which are written and confirmed while IAM is being changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click

from kube_iam.access.desired import mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.cli import revocation, undeny
from kube_iam.cli.changes import AuditLog, denied_record
from kube_iam.cli.revocation import DeniedPrincipal, RevocationOptions
from kube_iam.cli.session import DENY_LIST, AdminSession, needs_cluster
from kube_iam.cli.terminal import note, print_lines
from kube_iam.core.principals import explain_invalid, fits, kind_of
from kube_iam.denylist.denial import Denial, denial_name
from kube_iam.denylist.propagation import Propagation
from kube_iam.errors import KubeIamError, NoSuchUsers, UsageError
from kube_iam.kube.events import Action, AuditRecord
from kube_iam.report.denials import denial_data

if TYPE_CHECKING:
    from kube_iam.cli.synced_access import SyncedDenials

LONGEST_SESSION = 12 * 3600
"""Seconds. No session of a role lasts longer."""
_BY_GROUP = (
    "{level} has no role: the users are refused while the IAM group {group} is one of those that admit them. Another level by"
    " group admits them again once the servers have read that they left {group}, every 15s by default."
)


class ImmediateRevocation:
    """The denials of `revoke --now` for one level. A thread writes them; the methods wait for its end."""

    def __init__(
        self, session: AdminSession, level: Level, users: Sequence[str], options: RevocationOptions, audit: AuditLog
    ) -> None:
        """Begin to write the denials. Raises UsageError for a text that is no user name, or another cluster than the file's."""
        self._session = session
        self._level = level
        self._options = options
        self._audit = audit
        self._is_reported = False
        session.check_server()
        self._denials = level_denials(session, level, users, options.reason, LONGEST_SESSION)
        pool = ThreadPoolExecutor(max_workers=1)
        self._synced: SyncedDenials | None = None
        self._propagation = pool.submit(self._deny_and_wait, session.clock.now())
        pool.shutdown(wait=False)

    def _deny_and_wait(self, began: float) -> Propagation:
        session, options, denials = self._session, self._options, self._denials
        if session.access.is_synced(self._level):
            from kube_iam.cli.synced_access import SyncedDenials

            self._synced = SyncedDenials(session, suffices=True)
        revocation.write_denials(session, options, denials)
        return revocation.wait_until_in_force(session, options, denials, began, self._level.groups, self._synced)

    def data(self) -> dict[str, object]:
        """Return the result for programs."""
        denials = [denial_data(denial) for denial in self._denials]
        if self._propagation.exception() is not None:
            return {"denials": denials, "denialsWritten": False}
        found = revocation.propagation_data(self._propagation.result(), self._synced)
        return {"denials": denials, "denialsWritten": True, **found}

    def print_result(self) -> None:
        """Print the result and wait as `revocation.print_result` does. Raises KubeIamError if a denial may not be in force."""
        found = self._result()
        level = self._level
        if level.method is Method.GROUP:
            click.echo(_BY_GROUP.format(level=level.name, group=level.group_name))
        self._audit.write()
        principals = [DeniedPrincipal(f"{denial.value} is", out=True, level=level.name) for denial in self._denials]
        revocation.print_result(self._session, found, self._options, principals, self._synced)

    def raise_unconfirmed(self) -> None:
        """Raise KubeIamError if a denial may not be in force."""
        revocation.raise_unconfirmed(self._result(), self._synced)

    def print_after_error(self) -> None:
        """Print the result of the denials on stderr, after another error of the command, if it was not printed or raised before."""
        if self._is_reported:
            return
        failure = self._propagation.exception()
        if failure is not None:
            note(f"the denial could not be written: {failure}")
            return
        found = self._result()
        revocation.print_details(found, self._options)
        # IAM did not confirm that the users exist, so only a sign-in shows it.
        principals = [
            DeniedPrincipal(f"{denial.value} is", denial.name in found.signed_in, self._level.name, denial.end)
            for denial in self._denials
        ]
        if self._synced is not None:
            revocation.print_bindings(self._synced, principals, err=True)
        error = revocation.unconfirmed(found, self._synced)
        if error is not None:
            revocation.print_unreachable(found)
            note(error.message)
            return
        if self._synced is not None and self._synced.alone:
            return
        print_lines(revocation.result_lines(principals, found, found.cached_for), err=True)

    def explain(self, error: KubeIamError) -> NoSuchUsers | None:
        """Return an error about unknown users with the denials that were written for them, and the command that removes these.

        They are kept: a user who was deleted in IAM may still have a session. Returns None for any other error.
        """
        if not isinstance(error, NoSuchUsers) or self._propagation.exception() is not None:
            return None
        written = [denial for denial in self._denials if denial.value in error.users]
        denials, stay = ("the denials", "stay") if len(written) > 1 else ("the denial", "stays")
        rest = error.done if error.is_partial else "nothing else was changed"
        done = f"{denials} in {self._level.name} {stay} in the deny list until {written[0].end}, and {rest}"
        where = "" if self._options.deny_list == DENY_LIST else f" --deny-list {self._options.deny_list}"
        command = f"kube-iam undeny {' '.join(denial.name for denial in written)}{where}"
        hint = f"{error.hint}; if IAM had the user until now, keep the denial; if the name is misspelt: `{command}` removes it"
        return NoSuchUsers(error.users, done, hint, is_partial=error.is_partial)

    def _result(self) -> Propagation:
        self._is_reported = True
        try:
            found = self._propagation.result()
        except KubeIamError as error:
            raise KubeIamError(f"the denial could not be written: {error.message}", error.hint) from error
        self._audit.add(*(denied_record(denial, self._level.name) for denial in self._denials))
        return found


def remove_level_denials(
    session: AdminSession, level: Level, users: Sequence[str], deny_list: str, audit: AuditLog
) -> None:
    """Remove the denials of these users in this level, which `revoke --now` adds, and print them. If that fails, print the reason."""
    access = session.access
    if not needs_cluster(access):
        return
    # By either method, since the level may have had the other one when the denial was written.
    scopes = ({"iam_group": level.group_name}, {"role": mapped_arn(access, level)})
    names = {denial_name("userName", user, **scope) for user in users for scope in scopes}

    def chosen(denial: Denial) -> bool:
        # By target and not by key: the entry may hold denials of others.
        return denial_name(denial.kind, denial.value, denial.role, denial.iam_group) in names

    try:
        session.check_server()
        removed = undeny.remove_denials(
            session, deny_list, chosen, time.time(), change=f"remove denials in {level.name}"
        )
    except KubeIamError as error:
        note(f"Note: a denial by `revoke --now` may still stand, since the cluster could not be asked: {error.message}")
        return
    audit.add(*(AuditRecord(Action.DENIAL_REMOVED, denial.value, level.name) for denial in removed))
    print_lines((f"{denial.value}: no longer denied {level.name} ({denial.name})" for denial in removed), err=True)


def level_denials(session: AdminSession, level: Level, users: Sequence[str], reason: str, seconds: int) -> list[Denial]:
    """Return denials of the users in the level, for so many seconds from now. Raises UsageError for what is no user name."""
    for user in users:
        if not fits("userName", user):
            raise UsageError(
                *(explain_invalid(user) if not kind_of(user) else (f"{user!r} is not the name of an IAM user", ""))
            )
    now = time.time()
    actor, end = session.actor, float(int(now + seconds))
    role, group = _scope(session.access, level)
    return [
        Denial(denial_name("userName", user, role, group), "userName", user, role, end, reason, actor, now, group)
        for user in dict.fromkeys(users)
    ]


def _scope(access: ClusterAccess, level: Level) -> tuple[str, str]:
    """Return the role and the IAM group of the level in which a denial is in force, one of them empty."""
    return ("", level.group_name) if level.method is Method.GROUP else (mapped_arn(access, level), "")
