"""Temporary access: `grant --for`, and the removal of what has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import click

from kube_iam.access.apply import remove_temporary_access
from kube_iam.access.existing import located
from kube_iam.access.inventory import Inventory
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import ClusterAccess, Level, TargetKind
from kube_iam.access.mapping import MappingEntry, MappingStore
from kube_iam.access.members import MemberChange, find_level, plan_members, refuse_managed_elsewhere
from kube_iam.access.temporary import TemporaryAccess, check_seconds, has_temporary, leftovers
from kube_iam.cli.changes import AuditLog, changes_made
from kube_iam.cli.member_results import MemberResults, print_members
from kube_iam.cli.revoke_now import remove_level_denials
from kube_iam.cli.session import AdminSession
from kube_iam.cli.terminal import note
from kube_iam.config.durations import parse_duration, show_duration
from kube_iam.config.suggestions import suggestion
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.utc import rfc3339
from kube_iam.errors import KubeIamError, UsageError
from kube_iam.kube.events import Action, AuditRecord

LONGEST_REASON = 256


@dataclass(frozen=True, slots=True)
class GrantDuration:
    """The length of temporary access in seconds, and its reason."""

    seconds: int
    reason: str


def parse_grant_duration(duration: str, reason: str) -> GrantDuration:
    """Return the values of --for and --reason. Raises UsageError for what is no length of time, or no line of text."""
    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for: {error}", "such as 2h, 90m or 1h30m") from error
    check_seconds(seconds)
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise UsageError(f"--reason takes one line of at most {LONGEST_REASON} characters")
    return GrantDuration(seconds, reason.strip())


@dataclass(frozen=True, slots=True)
class TemporaryGrants:
    """Temporary access to a level in the mapping.

    `temporary` is None where the file rules it out. `error` is what kept the mapping from being read.
    """

    temporary: TemporaryAccess | None
    store: MappingStore | None = None
    entries: tuple[MappingEntry, ...] = ()
    error: KubeIamError | None = None

    def report_unread(self, *, must_know: bool) -> None:
        """Print a warning where the mapping was not read. With `must_know`, raise KubeIamError: the change is incomplete."""
        if self.error is not None and must_know:
            hint = "access in IAM was removed; a session with temporary access goes on until that access ends: repeat the command"
            raise KubeIamError(f"the mapping was not looked at: {self.error.message}", hint)
        if self.error is not None:
            click.echo(f"warning: temporary access that has ended was not cleaned up: {self.error.message}", err=True)


def open_temporary(session: AdminSession, level: Level) -> TemporaryGrants:
    """Return the temporary access to the level. Raises KubeIamError where the mapping cannot be read."""
    store = session.mapping_store
    entries = store.entries()
    access = located(session.access, session.iam)
    return TemporaryGrants(
        TemporaryAccess(access, access.level(level.name) or level, session.iam, store, entries), store, entries
    )


def find_temporary(session: AdminSession, level: Level) -> TemporaryGrants:
    """Return the same for commands that change groups alone: an unreadable mapping is returned as `error`, not raised."""
    if not has_temporary(session.access, level):
        return TemporaryGrants(None)
    try:
        return open_temporary(session, level)
    except KubeIamError as error:
        return TemporaryGrants(TemporaryAccess(session.access, level, session.iam, None), error=error)


def clean(session: AdminSession, found: TemporaryGrants, reader: LevelReader, now: float) -> None:
    """Remove temporary access that has ended, and print each. An error is a warning: ended access admits nobody."""
    try:
        over = list(leftovers(reader, now))
    except KubeIamError as error:
        click.echo(f"warning: temporary access that has ended was not cleaned up: {error.message}", err=True)
        return
    for ended, who in over:
        try:
            with changes_made().making(f"clean up {who.user_name}'s access, which ended at {who.until}"):
                remove_temporary_access(ended, session.iam, found.store)
        except KubeIamError as error:
            click.echo(f"warning: what is left of {who.user_name}'s access until {who.until} stays: {error}", err=True)
        else:
            click.echo(f"cleaned up {who.user_name}'s access, which ended at {who.until}", err=True)


def grant_for(
    session: AdminSession, users: Sequence[str], level_name: str, duration: GrantDuration, *, deny_list: str, dry_run: bool,
    output: str,
) -> int:  # fmt: skip
    """Grant the level to the users until an end. Everything is checked before the first change. Returns the exit code."""
    from kube_iam.access.inventory import check_caller

    access = session.access
    session.warn_of_regions()
    level = find_level(access, level_name, suggestion, users)
    refuse_managed_elsewhere(access, level, into=True)
    if not has_temporary(access, level):
        check = "rbac" if access.mapping.kind is TargetKind.ACCESS_ENTRIES else "signIn or rbac"
        raise UsageError(
            f"{access.place('membershipCheck')} has membershipCheck: assumeRole for level {level.name}, so that nothing would end the"
            " access",
            f"set membershipCheck: {check} and apply, or grant without --for",
        )
    check_caller(access, session.iam)
    found = open_temporary(session, level)
    assert found.temporary is not None
    reader = LevelReader(access, session.iam, Inventory(entries=found.entries))
    planned = plan_members(reader, level, users, suggestion, into=True)
    results = MemberResults(planned, "granted", level.name)
    now = time.time()
    item = TemporaryGrant("", "", rfc3339(now + duration.seconds), duration.reason)
    data = {**session.destination.as_data(), **_data(access, level, item, dry_run=dry_run)}
    with session.audit as audit:
        if dry_run:
            results.done += planned
            where = session.destination.of(access.cluster_id)
            click.echo(f"Nothing is changed in {where}: this is a dry run.", err=True)
        try:
            done = _granted(planned, level, item, found.temporary, now, audit)
            for change in planned if dry_run else results.follow(done):
                if output == "table":
                    click.echo(_sentence(change, level, item.until, duration, dry_run=dry_run))
        finally:
            if output != "table":
                print_members(results, data, output)
        if not dry_run:
            if access.is_synced(level) and results.done:
                note(
                    f"note: `kube-iam sync` gives the rights of {level.name}, and takes them at the end: it has to run until then"
                )
            remove_level_denials(session, level, [change.user for change in results.done], deny_list, audit)
        results.raise_error()
        if not dry_run:
            clean(session, found, reader, now)
    return 0


def _granted(
    planned: Iterable[MemberChange],
    level: Level,
    item: TemporaryGrant,
    temporary: TemporaryAccess,
    now: float,
    audit: AuditLog,
) -> Iterator[MemberChange]:
    """Grant what `item` describes to each user, record it, and yield the change."""
    for change in planned:
        if change.is_needed:
            temporary.grant(replace(item, user_name=change.user, user_id=change.unique_id), now)
            audit.add(AuditRecord(Action.GRANTED, change.user, level.name, item.until, item.reason))
        yield change


def _sentence(change: MemberChange, level: Level, until: str, duration: GrantDuration, *, dry_run: bool) -> str:
    if not change.is_needed:
        return f"{change.user}: already in {level.name}, without an end"
    granted = "would be granted" if dry_run else "granted"
    return f"{change.user}: {granted} {level.name} for {show_duration(duration.seconds)}, until {until}"


def _data(access: ClusterAccess, level: Level, item: TemporaryGrant, *, dry_run: bool) -> dict[str, object]:
    return {
        "cluster": access.cluster_id,
        "level": level.name,
        "group": level.group_name,
        "dryRun": dry_run,
        "until": item.until,
        "reason": item.reason,
    }
