"""Access for a time: what `grant --for` does, and what the other commands need to know of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import click

from kube_iam.access.apply import remove_temporary_access
from kube_iam.access.audit import Action, AuditRecord
from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.access.mapping import MappingEntry, MappingStore, TemporaryGrant
from kube_iam.access.members import MemberChange, find_level, plan_members
from kube_iam.access.temporary import TemporaryAccess, check_seconds, has_temporary, leftovers
from kube_iam.cli.audit import AuditLog
from kube_iam.cli.changes_made import changes_made
from kube_iam.cli.member_results import MemberResults, print_members
from kube_iam.cli.revoke_now import lift_level
from kube_iam.cli.session import AdminSession
from kube_iam.config.durations import parse_duration, show_duration
from kube_iam.config.near import near
from kube_iam.core.utc import rfc3339
from kube_iam.errors import KubeIamError, UsageError

LONGEST_REASON = 256


@dataclass(frozen=True, slots=True)
class GrantDuration:
    """How long access is to last, and why."""

    seconds: int
    reason: str


def parse_grant_duration(duration: str, reason: str) -> GrantDuration:
    """What --for and --reason say. Raises UsageError for what is no length of time, or no line of text."""
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
    """What the mapping says of temporary access. `temporary` is None where the file has none, `error` says why it was not read."""

    temporary: TemporaryAccess | None
    store: MappingStore | None = None
    entries: tuple[MappingEntry, ...] = ()
    error: KubeIamError | None = None

    def complain(self, *, must_know: bool) -> None:
        """Say that the mapping was not read; raise the error where what was done is incomplete for it."""
        if self.error is not None and must_know:
            hint = "what is in IAM was taken away; whoever was let in for a time and has a session is in until that time: repeat it"
            raise KubeIamError(f"the mapping was not looked at: {self.error.message}", hint)
        if self.error is not None:
            click.echo(f"warning: what is over of temporary access was not cleaned: {self.error.message}", err=True)


def open_temporary(session: AdminSession, level: Level) -> TemporaryGrants:
    """Read what the mapping says of temporary access to the level. Raises what reading it raises."""
    store = session.mapping_store
    entries = store.entries()
    return TemporaryGrants(TemporaryAccess(session.access, level, session.iam, store, entries), store, entries)


def find_temporary(session: AdminSession, level: Level) -> TemporaryGrants:
    """The same for who only moves people in and out of groups, which needs no way into the cluster: never raises our errors."""
    if not has_temporary(session.access, level):
        return TemporaryGrants(None)
    try:
        return open_temporary(session, level)
    except KubeIamError as error:
        return TemporaryGrants(TemporaryAccess(session.access, level, session.iam, None), error=error)


def clean(session: AdminSession, found: TemporaryGrants, now: float) -> None:
    """Take away what is over, and say so; that it cannot be is no more than a warning, since it lets nobody in."""
    for ended, who in leftovers(session.access, found.entries, now):
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
    """Let the users into the level for a time; everything is checked before the first change."""
    from kube_iam.access.plan import check_caller

    access = session.access
    session.warn_of_regions()
    level = find_level(access, level_name, near, users)
    if not has_temporary(access, level):
        raise UsageError(
            f"{access.source} has membershipCheck: assumeRole, so that the server would not know when access ends",
            "set membershipCheck: signIn and apply, or grant without --for",
        )
    check_caller(access, session.iam)
    found = open_temporary(session, level)
    assert found.temporary is not None
    planned = plan_members(access, session.iam, level, users, near, into=True)
    results = MemberResults(planned, "granted", level.name)
    now = time.time()
    item = TemporaryGrant("", "", rfc3339(now + duration.seconds), duration.reason)
    data = _data(access, level, item, dry_run=dry_run)
    with session.audit as audit:
        if dry_run:
            results.done += planned
        try:
            done = _granted(planned, level, item, found.temporary, now, audit)
            for change in planned if dry_run else results.follow(done):
                if output == "table":
                    click.echo(_sentence(change, level, item.until, duration, dry_run=dry_run))
        finally:
            if output != "table":
                print_members(results, data, output)
        if not dry_run:
            lift_level(session, level, [change.user for change in results.done], deny_list, audit)
        results.complain()
        if not dry_run:
            clean(session, found, now)
    return 0


def _granted(
    planned: Iterable[MemberChange],
    level: Level,
    item: TemporaryGrant,
    temporary: TemporaryAccess,
    now: float,
    audit: AuditLog,
) -> Iterator[MemberChange]:
    """Let the users in as the item says; each change is yielded when it is done and recorded."""
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
