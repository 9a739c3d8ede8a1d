"""`deny`: refuse sign-ins now, whatever IAM and the mappings say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kube_iam.cli.completion_values import complete_users
from kube_iam.cli.deny_options import Duration, closing_options, deny_list_option
from kube_iam.cli.progress import changes_made
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    file_option,
    global_options,
    output_option,
    yes_option,
)
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from kube_iam.access.known_names import KnownNames
    from kube_iam.cli.deny_session import Closing
    from kube_iam.denylist.denial import Denial
    from kube_iam.denylist.propagation import Propagation


@click.command("deny")
@click.argument("who", nargs=-1, metavar="USER|ARN|ACCESS-KEY...", shell_complete=complete_users)
@global_options
@click.option(
    "--for", "seconds", type=Duration(), default="12h", metavar="DURATION", help="For how long.  [default: 12h]"
)
@closing_options
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
    """Refuse somebody's sign-ins at once, in every level, whatever IAM and the mappings say.

    USER is an IAM user's name: the user, and every role session that is named so. ARN is a user, a role (all its sessions) or one
    session (arn:aws:sts::…:assumed-role/ROLE/SESSION). ACCESS-KEY is the id of a user's key or of a session's. Unique ids (AIDA…,
    AROA…, AROA…:SESSION) are taken too. The servers must have server.denyList in their config.yaml.

    Where there is an access file, a name that no level knows gets a question, since a misspelt name denies nobody. --yes answers it.
    """
    from kube_iam.cli import deny_session
    from kube_iam.cli.audit import AuditLog, denied_record
    from kube_iam.cli.deny_names import check_names

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
    closing = deny_session.Closing(deny_list, reason, cache_ttl, not no_wait)
    names = tuple(dict.fromkeys(who))
    for text in names:
        deny_session.check_principal(text)
    known = check_names(session, names, yes=yes)
    began, now = deny_session.CLOCK.now(), time.time()
    by = deny_session.caller(session)
    denials = [deny_session.denial(text, until=now + seconds, reason=reason, by=by, now=now) for text in names]
    changes_made().expect((), "whether the servers obey it is not known")
    closed = deny_session.shut(session, closing, denials, began)
    with AuditLog(lambda: session.kube) as audit:
        audit.add(*(denied_record(denial) for denial in denials))
    _print(denials, closed, closing, known, output)
    return 0


def _print(denials: list[Denial], closed: Propagation, closing: Closing, known: KnownNames | None, output: str) -> None:
    """Print what is denied, what goes on and since when; wait where that is wanted. Raises what keeps that from being known."""
    from kube_iam.cli import deny_result as result
    from kube_iam.cli.access_output import print_data
    from kube_iam.report.denial_reach import is_whole, not_covered, subject
    from kube_iam.report.denials_text import denial_data

    ids = known.ids if known is not None else {}
    notes = {denial.value: not_covered(denial, ids.get(denial.value, "")) for denial in denials}
    if output != "table":
        data = {"denials": [denial_data(denial) for denial in denials], **result.closed_data(closed)}
        print_data({**data, "notDenied": {value: note for value, note in notes.items() if note}}, output)
        result.complain(closed)
        return
    for value, note in notes.items():
        if note:
            click.echo(f"{value}: {note}", err=True)
    # Only a person or a whole role is out, and only where a server has seen them or the name is known: a misspelt name denies nobody.
    refused = [
        result.Refused(
            subject(denial), is_whole(denial) and (known is not None or denial.name in closed.signed_in), end=denial.end
        )
        for denial in denials
    ]
    result.print_result(closed, closing, refused)


def _list(session: AdminSession, deny_list: str, output: str) -> int:
    from kube_iam.cli.access_output import print_data
    from kube_iam.denylist.editor import DenyListEditor
    from kube_iam.denylist.entry import BINARY, parse_entry
    from kube_iam.report.denials_text import denial_data, denials_table

    now = time.time()
    store = DenyListEditor(session.kube, deny_list)
    contents = store.read()
    read = {ident: parse_entry(ident, text) for ident, text in contents.data.items()}
    read |= dict.fromkeys(contents.binary, BINARY)
    for ident, (_, problem) in sorted(read.items()):
        if problem:
            click.echo(f"{ident}: {problem}", err=True)
    denials = [denial for _, (found, _) in sorted(read.items()) for denial in found if denial.until > now]
    if output != "table":
        print_data([denial_data(denial) for denial in denials], output)
    elif denials:
        page(denials_table(denials))
    else:
        click.echo(f"{store.describe()} denies nobody now.")
    return 0
