"""Members that the deny list refuses, for `who` and `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kube_iam.cli.session import AdminSession, needs_cluster
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kube_iam.access.members import LevelMembers
    from kube_iam.denylist.denied_members import Denied


def read_denied(
    session: AdminSession, members: Callable[[], Sequence[LevelMembers]], deny_list: str, now: float
) -> Denied:
    """Return the members that the deny list denies at `now` (unix seconds). Print a note of what cannot be read. Raises nothing.

    `members` reads who is in the levels. It is called only where a denial is in force.
    """
    from kube_iam.denylist.denied_members import denied_members

    if not needs_cluster(session.access):
        return {}
    try:
        session.check_server()
        denials = [denial for denial in session.deny_list(deny_list).denials() if denial.until > now]
        found = denied_members(session.access, session.iam, members(), denials, now) if denials else None
    except KubeIamError as error:
        click.echo(f"note: whether members are denied is not known: {error.message}", err=True)
        return {}
    for said in found.unchecked if found else ():
        click.echo(f"note: {said}", err=True)
    return found.members if found else {}
