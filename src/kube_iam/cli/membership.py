"""What `grant` and `revoke` have in common: who is in a level for good."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click

from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.members import MemberChange, apply_members, find_level, no_such_users, plan_members
from kube_iam.cli.audit import AuditLog
from kube_iam.cli.deny_options import DENY_LIST
from kube_iam.cli.deny_session import Closing
from kube_iam.cli.member_results import MemberResults, print_members
from kube_iam.cli.own_access import OwnAccess
from kube_iam.cli.revoke_now import ShutOut, lift_level
from kube_iam.cli.session import AdminSession
from kube_iam.cli.temporary import clean, find_temporary
from kube_iam.config.durations import show_duration
from kube_iam.config.near import near


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """Options of a grant or a revocation: into a level or out of it. `reason` is for the audit event; a grant removes denials.

    `force` revokes although that takes access from the caller.
    """

    into: bool
    dry_run: bool
    output: str
    reason: str = ""
    deny_list: str = DENY_LIST
    force: bool = False


def change_members(
    session: AdminSession, users: Sequence[str], level_name: str, options: MemberOptions, closing: Closing | None = None
) -> int:
    """Grant or revoke the level for the users; everything is checked before the first change to IAM.

    With `closing` they are denied the level at once, before IAM is asked.
    """
    session.warn_of_regions()
    level = find_level(session.access, level_name, near, users)
    with session.audit as audit:
        if closing is None or options.dry_run:
            return _change(session, level, users, options, audit)
        if not options.force:
            OwnAccess(session).refuse(level, users)
        with ShutOut(session, level, users, closing, audit) as shut:
            return _change(session, level, users, options, audit, shut)


def _change(
    session: AdminSession,
    level: Level,
    users: Sequence[str],
    options: MemberOptions,
    audit: AuditLog,
    shut: ShutOut | None = None,
) -> int:
    from kube_iam.access.plan import check_caller

    into, dry_run = options.into, options.dry_run
    own = OwnAccess(session) if not (into or options.force or shut) else None
    access, directory = session.access, session.iam
    check_caller(access, directory)
    found = find_temporary(session, level)
    if own is not None and not dry_run:
        own.refuse(level, users)
    planned = plan_members(access, directory, level, users, near, into=into, temporary=found.temporary)
    results = MemberResults(planned, "granted" if into else "revoked", level.name)
    now = time.time()
    if dry_run:
        results.done += planned
    else:
        done = apply_members(directory, level, planned, into=into, temporary=found.temporary, now=now)
        _follow(results, audit.recorded(done, level.name, into=into, reason=options.reason), access, level, options)
    if options.output == "table":
        for change in planned if dry_run else ():
            click.echo(_sentence(change, level, into=into, dry_run=dry_run))
        if shut is None and not into and any(change.is_needed for change in results.done):
            click.echo(_still_in(access, level, dry_run=dry_run))
    else:
        data = _data(access, level, into=into, dry_run=dry_run)
        print_members(results, data if shut is None else {**data, **shut.data()}, options.output)
    if into and not dry_run:
        lift_level(session, level, [change.user for change in results.done], options.deny_list, audit)
    results.complain()
    for loss in own.losses(level, users) if own is not None and dry_run else ():
        click.echo(f"needs --force: {loss}", err=True)
    if not dry_run:
        clean(session, found, now)
    found.complain(must_know=not into)
    missing = [change.user for change in planned if not (change.exists or change.is_needed)]
    if missing:
        raise no_such_users(directory, missing, near, changed=not dry_run)
    if shut is not None:
        shut.say() if options.output == "table" else shut.complain()
    return 0


def _follow(
    results: MemberResults, done: Iterable[MemberChange], access: ClusterAccess, level: Level, options: MemberOptions
) -> None:
    """Carry out the changes and print each as text. Ctrl-C prints the results so far for programs too."""
    try:
        for change in results.follow(done):
            if options.output == "table":
                click.echo(_sentence(change, level, into=options.into, dry_run=False))
    except KeyboardInterrupt:
        if options.output != "table":
            print_members(results, _data(access, level, into=options.into, dry_run=False), options.output)
        raise


def _sentence(change: MemberChange, level: Level, *, into: bool, dry_run: bool) -> str:
    if not (change.is_needed or change.exists):
        return f"{change.user}: no such IAM user"
    if not change.is_needed:
        return f"{change.user}: already in {level.name}" if into else f"{change.user}: already out of {level.name}"
    verb = "would be " if dry_run else ""
    gone = "" if change.exists else " (temporary access of a user who was deleted in IAM)"
    return f"{change.user}: {verb}{'granted' if into else 'revoked'} {level.name}{gone}"


def _still_in(access: ClusterAccess, level: Level, *, dry_run: bool) -> str:
    if access.checks_sign_in or level.method is Method.GROUP:
        would = "would be" if dry_run else "is"
        return f"Note: whoever is signed in {would} out as soon as the server has read the IAM group again, every 15s by default."
    longest = show_duration(level.session_seconds)
    now = "there would be no new sign-ins" if dry_run else "there are no new sign-ins from now on"
    return f"Note: {now}; a session that was already assumed lasts until it ends, {longest} at the most."


def _data(access: ClusterAccess, level: Level, *, into: bool, dry_run: bool) -> dict[str, object]:
    data: dict[str, object] = {
        "cluster": access.cluster_id,
        "level": level.name,
        "group": level.group_name,
        "dryRun": dry_run,
    }
    longest = level.session_seconds if level.method is Method.ROLE else 0
    return data if into else {**data, "sessionsEndWithinSeconds": longest}
