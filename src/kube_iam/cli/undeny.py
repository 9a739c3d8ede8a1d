"""`undeny`: lift denials before their end."""

from __future__ import annotations

import time
from functools import partial

import click

from kube_iam.cli.completion_values import complete_denials
from kube_iam.cli.deny_options import deny_list_option
from kube_iam.cli.progress import changes_made
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import cluster_options, global_options, output_option
from kube_iam.config.suggestions import suggestion
from kube_iam.denylist.denial import Denial, matches


@click.command("undeny")
@click.argument(
    "who", nargs=-1, required=True, metavar="USER|ARN|ACCESS-KEY|DENIAL...", shell_complete=complete_denials
)
@global_options
@deny_list_option
@output_option
@cluster_options
@pass_session
def command(session: AdminSession, who: tuple[str, ...], deny_list: str, output: str) -> int:
    """Lift what keeps somebody out: every denial of that user, ARN or key, or the one of that name (`deny --list`).

    Whether they get in then is for IAM and the mappings to say.
    """
    from kube_iam.access.audit import Action, AuditRecord
    from kube_iam.cli import deny_session
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.audit import AuditLog

    now = time.time()
    changes_made().expect(f"lift the denial of {text}" for text in dict.fromkeys(who))
    results: list[dict[str, object]] = []
    with AuditLog(lambda: session.kube) as audit:
        for text in dict.fromkeys(who):
            chosen = partial(_is_about, text)
            lifted = deny_session.lift(session, deny_list, chosen, now, lifting=f"lift the denial of {text}")
            lifted = lifted or _lift_remembered(session, deny_list, text, now)
            results.append({"asked": text, "lifted": [{"value": each.value, "denial": each.name} for each in lifted]})
            for denial in lifted:
                audit.add(AuditRecord(Action.DENIAL_REMOVED, denial.value, detail=denial.name))
                if output == "table":
                    click.echo(f"{denial.value}: denial lifted ({denial.name})")
    if output != "table":
        print_data(results, output)
    return 0


def _lift_remembered(session: AdminSession, deny_list: str, text: str, now: float) -> tuple[Denial, ...]:
    """Lift what is in no list where a server remembers it, and say so; what was lifted, nothing where nothing was there."""
    from kube_iam.cli import deny_session

    entries = deny_session.lifted_entries(text, now)
    answers = [deny_session.is_remembered(session, entry.name) for entry in entries]
    remembered = tuple(entry for entry, answer in zip(entries, answers, strict=True) if answer)
    if not remembered and None not in answers:
        hint = suggestion(text, deny_session.denied_values(session, deny_list, now))
        said = f"{text}: nothing to lift, neither {deny_list} nor the servers that answered have a denial of it"
        click.echo(f"{said}: {hint}" if hint else said, err=True)
        return ()
    chosen, lifting = partial(_is_about, text), f"lift the denial of {text} where only a server remembers it"
    lifted = deny_session.lift(session, deny_list, chosen, now, remembered or entries[:1], lifting)
    if not (lifted or remembered):
        click.echo(
            f"{text}: nothing to lift in {deny_list}. Not every server could be asked; one that remembers a denial from a list"
            " that was deleted lifts it now",
            err=True,
        )
    return lifted or remembered


def _is_about(text: str, denial: Denial) -> bool:
    return matches(denial, text)
