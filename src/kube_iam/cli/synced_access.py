"""Users in bindings of synced levels, who are removed by `revoke` at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from kube_iam.cli.changes import changes_made
from kube_iam.cli.session import AdminSession
from kube_iam.cli.terminal import note, print_lines
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.access.ports import BindingState
    from kube_iam.denylist.denial import Denial
    from kube_iam.kube.synced_bindings import RemovedUsers

HOLD_SECONDS = 120
"""Time for which a revoked user is denied the level: a read of IAM that began before the revocation must not add them again."""


def read_bindings(session: AdminSession) -> tuple[BindingState, ...]:
    """Return the synced bindings of the cluster. Print an error: it stops no denial."""
    from kube_iam.kube.synced_bindings import read_synced

    try:
        return read_synced(session.kube)
    except KubeIamError as error:
        _note(error)
        return ()


def remove_denied_users(
    session: AdminSession, bindings: Sequence[BindingState], denials: Sequence[Denial]
) -> tuple[RemovedUsers, ...]:
    """Remove the users that the denials refuse from these bindings. Print an error: `kube-iam sync` follows the deny list."""
    from kube_iam.denylist.denied_subjects import denied_subjects
    from kube_iam.kube.synced_bindings import remove_users

    def chosen(binding: BindingState) -> Iterable[str]:
        return denied_subjects(binding.source, binding.users, denials, time.time()) if binding.source else ()

    if not bindings:
        return ()
    try:
        with changes_made().making("remove the users from the bindings of synced levels"):
            return remove_users(session.kube, bindings, chosen)
    except KubeIamError as error:
        _note(error)
        return ()


def _note(error: KubeIamError) -> None:
    note(f"note: bindings of synced levels were not changed, which is left to `kube-iam sync`: {error.message}")


def revoke_at_once(session: AdminSession, deny_list: str, denials: Callable[[], Sequence[Denial]]) -> None:
    """Take the rights of a synced level from users, before their membership is removed in IAM. Print what was done.

    `denials` returns those of the users in the level for `HOLD_SECONDS`, so that `kube-iam sync` adds none of them by an earlier read.
    An error is printed: the membership is to be removed all the same.
    """
    try:
        session.check_server()
        written, bindings = denials(), read_bindings(session)
        with changes_made().making("write the denial of " + ", ".join(denial.value for denial in written)):
            session.deny_list(deny_list).add(written, time.time())
    except KubeIamError as error:
        _note(error)
        return
    print_lines(map(str, remove_denied_users(session, bindings, written)), err=True)
