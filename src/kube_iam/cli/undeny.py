"""`undeny`: lift denials before their end."""

from __future__ import annotations

import time

import click

from kube_iam.cli.access_options import cluster_options
from kube_iam.cli.access_session import Where
from kube_iam.cli.deny_options import deny_list_option
from kube_iam.cli.options import global_options


@click.command("undeny")
@click.argument("who", nargs=-1, required=True, metavar="USER|ARN|ACCESS-KEY|DENIAL...")
@global_options
@deny_list_option
@cluster_options
def command(who: tuple[str, ...], deny_list: str, **where: str) -> int:
    """Lift what keeps somebody out: every denial of that user, ARN or key, or the one of that name (`deny --list`).

    Whether they get in then is for IAM and the mappings to say.
    """
    from kube_iam.access.trail import Deed, Record
    from kube_iam.cli import deny_session as session
    from kube_iam.cli.trail import Trail
    from kube_iam.core.denied import about

    place, now = Where(**where), time.time()
    with Trail(lambda: session.open_api(place)) as trail:
        for text in dict.fromkeys(who):
            lifted = session.lift(place, deny_list, lambda denial, text=text: about(denial, text), now)  # type: ignore[misc]
            for denial in lifted:
                trail.add(Record(Deed.LIFTED, denial.value, detail=denial.ident))
                click.echo(f"{denial.value}: no longer denied ({denial.ident})")
            if not lifted:
                session.lift_unseen(place, deny_list, text, now)
                trail.add(Record(Deed.LIFTED, text))
                click.echo(
                    f"{text}: not in the deny list; lifted where a server remembers it from one that was deleted"
                )
    return 0
