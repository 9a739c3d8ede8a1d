"""`explain`: whether a principal is admitted, and by what, or what is missing."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import click

from kube_iam.cli.revocation import deny_list_option
from kube_iam.cli.session import AdminSession, pass_session
from kube_iam.cli.shared_options import (
    aws_options,
    cluster_options,
    completing,
    file_option,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import page
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from kube_iam.access.explain import Explainer
    from kube_iam.access.explanation import Explanation
    from kube_iam.access.levels import Level

CANNOT_TELL = 3


@click.command("explain")
@click.argument("principal", metavar="USER|ARN", shell_complete=completing("complete_users"))
@click.argument("level", required=False, default="", shell_complete=completing("complete_levels"))
@global_options
@file_option
@click.option(
    "--no-simulation", is_flag=True, help="Do not ask IAM for a second opinion (iam:SimulatePrincipalPolicy)."
)
@deny_list_option
@output_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, principal: str, level: str, no_simulation: bool, deny_list: str, output: str) -> int:
    """Explain whether a principal is admitted to LEVEL, step by step: what admits it, or what is missing. Changes nothing.

    USER is an IAM user. ARN is that of a user, role, role session or federated user. Without LEVEL each level has a line, and so have
    entries of the mapping outside of levels.

    Exits with 0 if the principal is admitted, with 1 if not, and with 3 if that cannot be told.
    """
    from kube_iam.access.explain import Explainer
    from kube_iam.access.explanation import Verdict, overall
    from kube_iam.access.iam_facts import IamFacts
    from kube_iam.access.inventory import check_caller
    from kube_iam.access.members import find_level
    from kube_iam.cli.access_output import print_data
    from kube_iam.cli.explain_state import LiveServer
    from kube_iam.config.suggestions import suggestion
    from kube_iam.report.explain_text import explanation_text, explanations_data, summary_text

    access, now = session.access, time.time()
    wanted = find_level(access, level, suggestion, (principal,)) if level else None
    session.warn_of_regions()
    check_caller(access, session.iam)
    facts = IamFacts(session.iam)
    options = "".join(f" {shlex.quote(word)}" for word in session.options())
    server = LiveServer(session, facts, deny_list, now)
    explainer = Explainer(access, facts, server, now, simulates=not no_simulation, options=options)
    found = _explanations(explainer, principal, wanted)
    verdict = overall(found)
    if output != "table":
        print_data({**explanations_data(principal, found, verdict), **session.destination.as_data()}, output)
    elif wanted is not None or len(found) == 1:
        page(explanation_text(found[0]))
    else:
        page(summary_text(principal, found, verdict))
    return {Verdict.ADMITTED: 0, Verdict.NOT_ADMITTED: 1}.get(verdict, CANNOT_TELL)


def _explanations(explainer: Explainer, principal: str, level: Level | None) -> tuple[Explanation, ...]:
    """Return the explanation of the level, or those of all levels and of entries outside of them."""
    from kube_iam.access.explain import own_user
    from kube_iam.core.arns import is_iam_name

    is_user = bool(own_user(principal, explainer.access))
    if not principal.startswith("arn:"):
        if not is_iam_name(principal, 64):
            raise UsageError(
                f"{principal!r} is neither an IAM user name nor an ARN", "an ARN is arn:aws:iam::ACCOUNT:role/NAME"
            )
        is_user = True
    if is_user and level is not None:
        return (explainer.user_level(principal, level),)
    if is_user:
        return (*explainer.user_levels(principal), *explainer.user_entries(principal))
    try:
        return (explainer.principal(principal, level),)
    except ValueError as problem:
        raise UsageError(str(problem), "name a user, role, role session or federated user") from None
