"""`deny`: refuse sign-ins now, whatever IAM and the mappings say."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kube_iam.cli import revocation
from kube_iam.cli.changes import changes_made
from kube_iam.cli.revocation import Duration, RevocationOptions, deny_list_option, revocation_options
from kube_iam.cli.session import AdminSession, access_exists, on_terminal, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    completing,
    file_option,
    global_options,
    output_option,
    yes_option,
)
from kube_iam.cli.terminal import note, page, print_lines
from kube_iam.core.rbac import MASTERS
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.access.known_names import KnownNames
    from kube_iam.access.levels import ClusterAccess
    from kube_iam.cli.synced_access import SyncedDenials
    from kube_iam.denylist.denial import Denial
    from kube_iam.denylist.propagation import Propagation

    Answer = KnownNames | BaseException

LOOKUP_SECONDS = 10.0
"""Limit of the look-up of names. A denial is for emergencies, so it waits no longer for IAM and the cluster."""


@click.command("deny")
@click.argument("who", nargs=-1, metavar="USER|ARN|ACCESS-KEY...", shell_complete=completing("complete_users"))
@global_options
@click.option(
    "--for", "seconds", type=Duration(), default="12h", metavar="DURATION", help="For how long.  [default: 12h]"
)
@revocation_options
@click.option("--list", "listing", is_flag=True, help="List the denials in force, and deny nobody.")
@deny_list_option
@file_option
@yes_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(
    session: AdminSession, who: tuple[str, ...], seconds: int, reason: str, cache_ttl: int, no_wait: bool, listing: bool,
    deny_list: str, yes: bool, output: str,
) -> int:  # fmt: skip
    """Refuse sign-ins at once, in every level, whatever IAM and the mappings say.

    USER is an IAM user's name: the user, and every role session that is named so. ARN is a user, a role (all its sessions) or one
    session (arn:aws:sts::…:assumed-role/ROLE/SESSION). ACCESS-KEY is the id of a user's key or of a session's. Unique ids (AIDA…,
    AROA…, AROA…:SESSION) are taken too. The servers must have server.denyList in their config.yaml.

    From the bindings of levels with membershipCheck: rbac the users are removed at once, without a server too.

    Where there is an access file, a name that no level knows gets a question, since a misspelt name denies nobody. --yes answers it.
    """
    from kube_iam.cli.changes import record_denials

    if listing:
        if who:
            raise UsageError("--list takes no names")
        return _list(session, deny_list, output)
    if not who:
        raise UsageError(
            "deny takes a name", "name a user, an ARN or an access key id; --list lists the denials in force"
        )
    if seconds <= 0:
        raise UsageError("--for must be longer than nothing")
    options = RevocationOptions(deny_list, reason, cache_ttl, not no_wait)
    drafts = [_draft(text, reason) for text in dict.fromkeys(who)]
    _require_named_file(session)
    names = [draft.value for draft in drafts]
    # Nothing is asked with --yes, so the names are looked up after the denial is written.
    known = None if yes else _check_names(session, names, yes=False)
    began, now = session.clock.now(), time.time()
    actor = session.actor
    denials = [replace(draft, until=float(int(now + seconds)), actor=actor, at=now) for draft in drafts]
    access = _access(session)
    synced = _synced(session, access) if access is not None and access.uses_sync else None
    changes_made().expect((), "whether the servers enforce it is not known")
    revocation.write_denials(session, options, denials)
    answers = _begin_look_up(session, names) if yes and access_exists(session.file) else None
    found = revocation.wait_until_in_force(session, options, denials, began, _groups(access), synced)
    if yes:
        known = _check_names(session, names, yes=True, answers=answers)
    found.except_masters = known is None or known.in_masters
    record_denials(session.write_events, denials)
    _print(session, denials, found, options, known, output, synced)
    return 0


def _access(session: AdminSession) -> ClusterAccess | None:
    """Return the access file, or None: an error in it stops no denial."""
    try:
        return session.access if access_exists(session.file) else None
    except KubeIamError:
        return None


def _synced(session: AdminSession, access: ClusterAccess) -> SyncedDenials:
    """Return denials that also change the bindings of synced levels."""
    from kube_iam.cli.synced_access import SyncedDenials

    return SyncedDenials(session, suffices=all(access.is_synced(level) for level in access.levels))


def _groups(access: ClusterAccess | None) -> tuple[str, ...]:
    """Return system:masters if a level of the access file is in it: the denied users may be too."""
    levels = access.levels if access is not None else ()
    return (MASTERS,) if any(MASTERS in level.groups for level in levels) else ()


def _draft(text: str, reason: str) -> Denial:
    """Return a denial of the principal, to be completed with end, actor and time. Raises UsageError if no principal has this name."""
    from kube_iam.denylist.denial import NO_END, NotAPrincipal, denial_of

    try:
        return denial_of(text, until=NO_END, reason=reason)
    except NotAPrincipal as error:
        raise UsageError(error.message, error.hint) from error


def _print(
    session: AdminSession, denials: list[Denial], found: Propagation, options: RevocationOptions, known: KnownNames | None,
    output: str, synced: SyncedDenials | None,
) -> None:  # fmt: skip
    """Print which sign-ins are refused, and which are not. Waits as `print_result` does. Raises as `revocation.raise_unconfirmed`."""
    from kube_iam.report.denials import coverage, denial_data

    ids = known.ids if known is not None else {}
    covered = [coverage(denial, ids.get(denial.value, "")) for denial in denials]
    not_denied = {
        denial.value: each.not_covered for denial, each in zip(denials, covered, strict=True) if each.not_covered
    }
    if output != "table":
        from kube_iam.cli.access_output import print_data

        data = {"denials": [denial_data(denial) for denial in denials], **revocation.propagation_data(found, synced)}
        place = session.cluster_destination
        data |= {"apiServer": place.api_server or None, "context": place.context or None}
        print_data({**data, "notDenied": not_denied}, output)
        revocation.raise_unconfirmed(found, synced)
        return
    print_lines([f"{value}: {text}" for value, text in not_denied.items()], err=True)
    # Only a user or a whole role is out, and only if a server remembers a sign-in or the name is known: a misspelt name denies nobody.
    principals = [
        revocation.DeniedPrincipal(
            each.subject, each.is_whole and (known is not None or denial.name in found.signed_in), end=denial.end
        )
        for denial, each in zip(denials, covered, strict=True)
    ]
    revocation.print_result(session, found, options, principals, synced)


def _list(session: AdminSession, deny_list: str, output: str) -> int:
    """Print the denials in force, and the problems of malformed entries on stderr."""
    from kube_iam.cli.access_output import print_data
    from kube_iam.denylist.entry import BINARY, parse_entry
    from kube_iam.report.denials import denial_data, denials_table

    now = time.time()
    editor = session.deny_list(deny_list)
    contents = editor.read()
    entries = {name: parse_entry(name, text) for name, text in contents.data.items()}
    entries |= dict.fromkeys(contents.binary, BINARY)
    print_lines((f"{name}: {problem}" for name, (_, problem) in sorted(entries.items()) if problem), err=True)
    denials = [denial for _, (found, _) in sorted(entries.items()) for denial in found if denial.until > now]
    if output != "table":
        print_data([denial_data(denial) for denial in denials], output)
    elif denials:
        page(denials_table(denials))
    else:
        click.echo(f"{editor.describe()} denies nobody now.")
    return 0


def _require_named_file(session: AdminSession) -> None:
    """Raise UsageError where the access file that the command line names does not exist."""
    if session.is_file_named and not access_exists(session.file):
        raise UsageError(f"there is no {session.file}", "name the access file with -f, or leave -f away")


def _check_names(
    session: AdminSession, names: Sequence[str], *, yes: bool, answers: queue.Queue[Answer] | None = None
) -> KnownNames | None:
    """Ask about the names that neither a level of the access file nor IAM knows. `yes` answers the question.

    `answers` are of a look-up that has begun; without them it begins now.

    Returns the known names if all names are known, else None. Names that cannot be looked up (no access file, or IAM or the cluster
    does not answer) are noted on stderr and denied. Of these, a name with a comma is asked about: it may be several names.

    Raises UsageError if nobody can be asked, and click.Abort if the answer is no.
    """
    if not access_exists(session.file):
        _confirm_unchecked(session, names, f"there is no {session.file}", yes=yes)
        return None
    try:
        known = _finish_look_up(answers or _begin_look_up(session, names), LOOKUP_SECONDS)
    except KubeIamError as error:
        _confirm_unchecked(session, names, error.message, yes=yes)
        return None
    unknown = [name for name in names if not known.knows(name)]
    if not unknown:
        return known
    _confirm_unknown(session, known, unknown, yes=yes)
    return None


def _confirm_unchecked(session: AdminSession, names: Sequence[str], reason: str, *, yes: bool) -> None:
    """Print that the names were not looked up, and ask about those with a comma unless `yes`. Raises as `_confirm` does."""
    note(f"Note: the names were not looked up, and a misspelt one denies nobody: {reason}")
    joined = ", ".join(name for name in names if "," in name)
    if joined and not yes:
        _confirm(
            session,
            f"a denial of several names in one denies nobody: {joined}",
            "name each by itself",
            "deny that as one name",
        )


def _confirm_unknown(session: AdminSession, known: KnownNames, unknown: Sequence[str], *, yes: bool) -> None:
    """Ask about names that may be misspelt, or print them as a note if `yes`. Raises as `_confirm` does."""
    from kube_iam.config.suggestions import suggestion

    hints = "; ".join(f"{name}: {known.suggestion(name, suggestion) or 'nothing like it'}" for name in unknown)
    if known.sets:
        hints += "; users of permission sets are in IAM Identity Center, where names are not looked up"
    file, listed = session.file, ", ".join(unknown)
    if yes:
        note(
            f"Note: neither a level of {file} nor IAM knows {listed} ({hints}): if that is misspelt, it denies nobody."
        )
        return
    _confirm(
        session,
        f"neither a level of {file} nor IAM knows {listed}: a denial of a misspelt name denies nobody",
        hints,
        "deny it all the same",
    )


def _confirm(session: AdminSession, doubt: str, remedy: str, otherwise: str) -> None:
    """Ask whether to go on. Raises click.Abort if the answer is no, UsageError if nobody can be asked."""
    if not on_terminal():
        raise UsageError(f"{doubt}, so none was written", f"{remedy}. Add --yes to {otherwise}")
    place = session.cluster_destination.place
    action = f"{otherwise.capitalize()} at {place}" if place else otherwise.capitalize()
    click.confirm(f"{doubt[0].upper()}{doubt[1:]} ({remedy}). {action}?", abort=True, err=True)


def _begin_look_up(session: AdminSession, names: Sequence[str]) -> queue.Queue[Answer]:
    """Look the names up in a thread, which is given up if it takes too long. Return the queue of its one answer."""
    answers: queue.Queue[Answer] = queue.Queue(1)

    def look_up() -> None:
        try:
            answers.put(_look_up(session, names))
        except BaseException as error:  # no error of the look-up stops the denial
            answers.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    return answers


def _finish_look_up(answers: queue.Queue[Answer], seconds: float) -> KnownNames:
    """Return what is known of the names. Raises KubeIamError, also if there is no answer within `seconds` from now."""
    try:
        found = answers.get(timeout=seconds)
    except queue.Empty as error:
        raise KubeIamError(f"IAM and the cluster did not answer within {seconds:.0f} s") from error
    if isinstance(found, KubeIamError):
        raise found
    if isinstance(found, BaseException):
        raise KubeIamError(f"reading who is in the levels failed ({type(found).__name__})") from found
    return found


def _look_up(session: AdminSession, names: Sequence[str]) -> KnownNames:
    from kube_iam.access.known_names import known_names

    access = session.access
    # The mapping first: without the cluster, nothing can be denied either.
    entries = session.mapping_store_without_prompts.entries()
    # No MFA code is asked for: a denial does not wait, and a thread that is given up while it asks leaves the terminal without echo.
    return known_names(access, session.iam_without_prompts, entries, names)
