"""Changes of a level's members, by `grant` without an end and by `revoke`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.members import (
    MemberChange,
    apply_members,
    check_quota,
    find_level,
    no_such_users,
    other_policies,
    plan_members,
    refuse_listed,
    refuse_managed_elsewhere,
)
from kube_iam.cli.changes import AuditLog
from kube_iam.cli.member_results import MemberResults, print_members
from kube_iam.cli.own_access import OwnAccess
from kube_iam.cli.revocation import RevocationOptions
from kube_iam.cli.revoke_now import ImmediateRevocation, remove_level_denials
from kube_iam.cli.revoked_users import RevokedUsers
from kube_iam.cli.session import DENY_LIST, AdminSession, require_terminal
from kube_iam.cli.temporary import TemporaryGrants, clean, find_temporary
from kube_iam.cli.terminal import note
from kube_iam.config.durations import show_duration
from kube_iam.config.suggestions import suggestion
from kube_iam.core.printable import escaped
from kube_iam.denylist.denial import Denial
from kube_iam.errors import KubeIamError


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """Options of a grant (`into`) or a revocation. A grant removes denials of `deny_list`; `reason` is for the audit event.

    `force` revokes although that takes access from the caller. `yes` asks nothing about an existing group. `wait`: a revocation waits
    until kube-apiserver refuses the users, where the server is its authorizer.
    """

    into: bool
    dry_run: bool
    output: str
    reason: str = ""
    deny_list: str = DENY_LIST
    force: bool = False
    yes: bool = False
    wait: bool = True

    @property
    def verb(self) -> str:
        """The participle for messages and results."""
        return "granted" if self.into else "revoked"


def change_members(
    session: AdminSession,
    users: Sequence[str],
    level_name: str,
    options: MemberOptions,
    revocation: RevocationOptions | None = None,
) -> int:
    """Grant or revoke the level for the users. Everything is checked before the first change to IAM. Returns the exit code.

    With `revocation` the users are denied the level at once, before IAM is called.
    """
    began = session.clock.now()
    session.warn_of_regions()
    level = find_level(session.access, level_name, suggestion, users)
    refuse_managed_elsewhere(session.access, level, into=options.into)
    if revocation is None:
        refuse_listed(session.access, level, users, into=options.into)
    reader = LevelReader(session.access, session.iam)
    with session.audit as audit:
        command = _MemberCommand(session, reader, level, users, options, audit, began)
        if revocation is None or options.dry_run:
            return command.run()
        if not options.force:
            OwnAccess(session, reader).refuse(level, users)
        if not command.is_approved(users):
            return 1
        denials = ImmediateRevocation(session, level, users, revocation, audit)
        try:
            return command.run(denials)
        except KubeIamError as error:
            denials.print_after_error()
            explained = denials.explain(error)
            if explained is None:
                raise
            raise explained from error


@dataclass(frozen=True, slots=True)
class _MemberCommand:
    """One run of `grant` or `revoke` for a level."""

    session: AdminSession
    reader: LevelReader
    level: Level
    users: Sequence[str]
    options: MemberOptions
    audit: AuditLog
    began: float

    def run(self, denials: ImmediateRevocation | None = None) -> int:
        """Run the command in these stages, and return the exit code. `denials` are those of `revoke --now`.

        (1) check that the credentials are of the file's account, and that the caller keeps their access;
        (2) plan a change for each user, which checks names and ownership, and ask about what else an existing group gives;
        (3) change IAM, user by user, up to the first error; of a synced level, remove revoked users from its bindings first;
        (4) print the results;
        (5) remove denials of the users who were granted the level;
        (6) raise the error of stage 3;
        (7) clean up temporary access that has ended;
        (8) raise what keeps the result from being complete.
        """
        temporary, own = self._check(guarded=denials is not None)  # (1)
        results = self._plan(temporary)  # (2)
        needed = [change.user for change in results.planned if change.is_needed and change.exists]
        if denials is None and needed and not self.is_approved(needed):
            return 1
        now = time.time()
        removed = [change.user for change in results.planned if change.is_needed]
        if self.session.access.is_synced(self.level) and removed and denials is None and self._revokes:
            self._revoke_at_once(removed)
        self._apply(results, temporary, now)  # (3)
        self._print(results, denials)  # (4)
        if self._grants:  # (5)
            done = [change.user for change in results.done]
            remove_level_denials(self.session, self.level, done, self.options.deny_list, self.audit)
        results.raise_error()  # (6)
        self._print_losses(own)
        if not self.options.into:
            self._print_still_listed()
        if not self.options.dry_run:  # (7)
            clean(self.session, temporary, self.reader, now)
        self._raise_incomplete(results, temporary, denials)  # (8)
        return 0

    def _revoke_at_once(self, users: Sequence[str]) -> None:
        """Remove the users from the bindings of a synced level."""
        from kube_iam.cli.revoke_now import level_denials
        from kube_iam.cli.synced_access import HOLD_SECONDS, revoke_at_once

        def denials() -> Sequence[Denial]:
            return level_denials(self.session, self.level, users, self.options.reason or "revoked", HOLD_SECONDS)

        revoke_at_once(self.session, self.options.deny_list, denials)

    @property
    def _revokes(self) -> bool:
        return not (self.options.into or self.options.dry_run)

    @property
    def _grants(self) -> bool:
        return self.options.into and not self.options.dry_run

    def _check(self, *, guarded: bool) -> tuple[TemporaryGrants, OwnAccess | None]:
        """Return the level's temporary access, and the caller's own access where a revocation may take it.

        `guarded` says that the caller's own access has been checked.
        """
        from kube_iam.access.inventory import check_caller

        needs_check = not (self.options.into or self.options.force or guarded)
        own = OwnAccess(self.session, self.reader) if needs_check else None  # asks the cluster in the background
        check_caller(self.session.access, self.session.iam)
        temporary = find_temporary(self.session, self.level)
        if temporary.store is not None:
            self.reader.set_entries(temporary.entries)
        if own is not None and not self.options.dry_run:
            own.refuse(self.level, self.users)
        return temporary, own

    def _plan(self, temporary: TemporaryGrants) -> MemberResults:
        planned = plan_members(
            self.reader,
            self.level,
            self.users,
            suggestion,
            into=self.options.into,
            temporary=temporary.temporary,
        )
        if self.options.into:
            check_quota(self.session.iam, planned)
        return MemberResults(planned, self.options.verb, self.level.name)

    def is_approved(self, users: Sequence[str]) -> bool:
        """Return whether the users may join or leave the group. What else an existing group gives is printed, and asked about.

        Raises UsageError where there is no terminal to ask on.
        """
        level, options = self.level, self.options
        others = other_policies(self.reader, level) if level.existing_group else ()
        if not others:
            return True
        names, verb = ", ".join(users), "get" if options.into else "lose"
        note(escaped(f"{names} would also {verb} what IAM group {level.group_name} gives beside level {level.name}:"))
        for each in others:
            note(escaped(f"  - {each}"))
        if options.yes or options.dry_run:
            return True
        require_terminal("look at what else the group gives, then add --yes")
        question = f"Add {names} to" if options.into else f"Remove {names} from"
        if click.confirm(escaped(f"{question} IAM group {level.group_name}?"), err=True):
            return True
        click.echo("Nothing was changed.", err=True)
        return False

    def _apply(self, results: MemberResults, temporary: TemporaryGrants, now: float) -> None:
        """Change IAM and print each change as text. Ctrl-C prints the results so far for programs too."""
        level, into = self.level, self.options.into
        if self.options.dry_run:
            results.done += results.planned
            return
        done = apply_members(self.reader, level, results.planned, into=into, temporary=temporary.temporary, now=now)
        recorded = self.audit.recorded(done, level.name, into=into, reason=self.options.reason)
        try:
            for change in results.follow(recorded):
                if self.options.output == "table":
                    click.echo(_sentence(change, level, self.options))
        except KeyboardInterrupt:
            if self.options.output != "table":
                print_members(results, self._data(), self.options.output)
            raise

    def _print(self, results: MemberResults, denials: ImmediateRevocation | None) -> None:
        """Print the results for programs. For people, print the changes of a dry run, and the end of present sessions."""
        changed = any(change.is_needed for change in results.done)
        refusal = None
        if denials is None and changed and not (self.options.into or self.options.dry_run):
            refusal = RevokedUsers(self.session, self.level, results.done, began=self.began, wait=self.options.wait)
        if self.options.output != "table":
            more = denials.data() if denials is not None else refusal.data() if refusal is not None else {}
            print_members(results, {**self._data(), **more}, self.options.output)
            return
        if self.options.dry_run:
            where = self.session.destination.of(self.session.access.cluster_id)
            click.echo(f"Nothing is changed in {where}: this is a dry run.", err=True)
        for change in results.planned if self.options.dry_run else ():
            click.echo(_sentence(change, self.level, self.options))
        if (
            denials is None
            and not self.options.into
            and changed
            and not (refusal is not None and refusal.print_result())
        ):
            click.echo(_still_in(self.session.access, self.level, dry_run=self.options.dry_run))

    def _print_losses(self, own: OwnAccess | None) -> None:
        """Print, in a dry run, which access of the caller the revocation would take."""
        if own is not None and self.options.dry_run:
            for loss in own.losses(self.level, self.users):
                click.echo(f"needs --force: {loss}", err=True)

    def _print_still_listed(self) -> None:
        """Print that the file lists users whose sessions are denied: the next `apply` makes them members again."""
        listed = self.level.members
        users = [user for user in dict.fromkeys(self.users) if listed is not None and user in listed]
        if listed is not None and users:
            where = self.session.access.place_of(listed)
            again = "the next `kube-iam apply` makes them members again, and a denial ends by itself"
            click.echo(f"note: {where}, still lists {', '.join(users)}: {again}; remove them there", err=True)

    def _raise_incomplete(
        self, results: MemberResults, temporary: TemporaryGrants, denials: ImmediateRevocation | None
    ) -> None:
        """Raise KubeIamError where temporary access was not read, a user does not exist, or a denial is not in force."""
        temporary.report_unread(must_know=not self.options.into)
        missing = [change.user for change in results.planned if not (change.exists or change.is_needed)]
        if missing:
            raise no_such_users(self.session.iam, missing, suggestion, changed=not self.options.dry_run)
        if denials is not None:
            denials.print_result() if self.options.output == "table" else denials.raise_unconfirmed()

    def _data(self) -> dict[str, object]:
        data: dict[str, object] = {
            "cluster": self.session.access.cluster_id,
            **self.session.destination.as_data(),
            "level": self.level.name,
            "group": self.level.group_name,
            "dryRun": self.options.dry_run,
        }
        longest = self.level.session_seconds if self.level.method is Method.ROLE else 0
        return data if self.options.into else {**data, "sessionsEndWithinSeconds": longest}


def _sentence(change: MemberChange, level: Level, options: MemberOptions) -> str:
    if not (change.is_needed or change.exists):
        return f"{change.user}: no such IAM user"
    if not change.is_needed:
        return f"{change.user}: already {'in' if options.into else 'out of'} {level.name}"
    would = "would be " if options.dry_run else ""
    deleted = "" if change.exists else " (temporary access of a user who was deleted in IAM)"
    return f"{change.user}: {would}{options.verb} {level.name}{deleted}"


def _still_in(access: ClusterAccess, level: Level, *, dry_run: bool) -> str:
    """Return how long sessions that the users have now go on."""
    if access.asks_membership(level):
        would = "would be" if dry_run else "is"
        return (
            f"Note: a user who is signed in {would} out as soon as the server has read the IAM group again, every 15s by default, and"
            " kube-apiserver's cache of the token has ended, 2m10s by default."
        )
    if access.is_synced(level):
        would = "would go" if dry_run else "go"
        return f"Note: sessions {would} on without the rights of {level.name}. `kube-iam sync` removes what is left of these."
    longest = show_duration(level.session_seconds)
    refuses = "AWS would refuse" if dry_run else "AWS refuses"
    return (
        f"Note: {refuses} new sessions once IAM has spread the change, in seconds; a session that was already assumed lasts until"
        f" it ends, {longest} at the most."
    )
