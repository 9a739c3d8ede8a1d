"""`undeny`: remove denials before their end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from kube_iam.cli.changes import changes_made
from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, access_exists, pass_session
from kube_iam.cli.shared_options import cluster_options, completing, global_options, output_option
from kube_iam.cli.terminal import note
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.denylist.denial import Denial

_NAME_BY_COMMAND = re.compile(r"[A-Za-z0-9_-]+-[0-9a-f]{10}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # the names that a status query can hold


@click.command("undeny")
@click.argument(
    "who",
    nargs=-1,
    required=True,
    metavar="USER|ARN|ACCESS-KEY|DENIAL...",
    shell_complete=completing("complete_denials"),
)
@global_options
@deny_list_option
@output_option
@cluster_options
@pass_session
def command(session: AdminSession, who: tuple[str, ...], deny_list: str, output: str) -> int:
    """Remove denials: every one of that user, ARN or key, or the one of that name (`deny --list`).

    IAM and the mappings then decide again whether the user can sign in.
    """
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.changes import AuditLog
    from kube_iam.kube.events import Action, AuditRecord

    now = time.time()
    changes_made().expect(f"remove the denial of {text}" for text in dict.fromkeys(who))
    results: list[dict[str, object]] = []
    with AuditLog(session.write_events) as audit:
        for text in dict.fromkeys(who):
            removed = _remove(session, deny_list, text, now)
            results.append({"asked": text, "removed": [{"value": each.value, "denial": each.name} for each in removed]})
            for denial in removed:
                audit.add(AuditRecord(Action.DENIAL_REMOVED, denial.value, detail=denial.name))
                if output == "table":
                    click.echo(f"{denial.value}: denial removed ({denial.name})")
    if output != "table":
        print_data(results, output)
    elif any(each["removed"] for each in results) and _uses_sync(session):
        note("note: `kube-iam sync` adds the users to the bindings of synced levels again")
    return 0


def _uses_sync(session: AdminSession) -> bool:
    """Return whether bindings name the members of a level of the access file. False where there is none that can be read."""
    try:
        return access_exists(session.file) and session.access.uses_sync
    except KubeIamError:
        return False


def remove_denials(
    session: AdminSession,
    deny_list: str,
    chosen: Callable[[Denial], bool],
    now: float,
    otherwise: Sequence[Denial] = (),
    *,
    change: str,
) -> tuple[Denial, ...]:
    """Remove the denials that are chosen and return them. Where there is none, write `otherwise`. Raises KubeIamError.

    `change` names the change for `changes_made`.
    """
    editor, actor = session.deny_list(deny_list), session.actor
    with changes_made().making(change):
        return editor.remove(chosen, actor, now, otherwise)


def _remove(session: AdminSession, deny_list: str, text: str, now: float) -> tuple[Denial, ...]:
    """Remove the denials that the text names from the list, else from the servers' memory. Return them; print if there are none."""
    from kube_iam.denylist.denial import matches

    def chosen(denial: Denial) -> bool:
        return matches(denial, text)

    remove = partial(remove_denials, session, deny_list, chosen, now)
    removed = remove(change=f"remove the denial of {text}")
    if removed:
        return removed
    tombstones = _tombstones(text, now)
    editor = session.deny_list(deny_list)
    answers = [editor.is_remembered(entry.name) for entry in tombstones]
    remembered = tuple(entry for entry, answer in zip(tombstones, answers, strict=True) if answer)
    if not remembered and None not in answers:
        hint = _suggestion(session, deny_list, text, now)
        nothing = f"{text}: nothing to remove, neither {deny_list} nor the servers that answered have a denial of it"
        click.echo(f"{nothing}: {hint}" if hint else nothing, err=True)
        return ()
    change = f"remove the denial of {text} where only a server remembers it"
    removed = remove(remembered or tombstones[:1], change=change)
    if not (removed or remembered):
        click.echo(
            f"{text}: nothing to remove in {deny_list}. Not every server could be asked; one that remembers a denial from a"
            " list that was deleted removes it now",
            err=True,
        )
    return removed or remembered


def _suggestion(session: AdminSession, deny_list: str, text: str, now: float) -> str:
    """Return a hint with a principal that is denied and has a similar name, empty if there is none. Raises KubeIamError."""
    from kube_iam.config.suggestions import suggestion

    denials = session.deny_list(deny_list).denials()
    return suggestion(text, [denial.value for denial in denials if denial.until > now])


def _tombstones(text: str, now: float) -> tuple[Denial, ...]:
    """Return the entries that remove a denial which is in no list: servers keep the denials of a ConfigMap that was deleted.

    `text` is a principal or the name of a denial. Raises UsageError for any other text.
    """
    from kube_iam.denylist.denial import Denial, NotAPrincipal, denial_of
    from kube_iam.denylist.editor import REMOVED

    by_name = Denial(text, "userName", text, until=REMOVED, reason="removed", at=now)
    if _NAME_BY_COMMAND.fullmatch(text):
        return (by_name,)
    try:
        entry = denial_of(text, until=REMOVED, reason="removed", at=now)
    except NotAPrincipal as error:
        raise UsageError(error.message, error.hint) from error
    return (entry, by_name) if _NAME.fullmatch(text) else (entry,)
