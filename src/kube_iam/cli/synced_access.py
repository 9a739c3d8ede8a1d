"""Users in bindings of synced levels, who are removed by `deny` and `revoke` at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kube_iam.cli.changes import changes_made
from kube_iam.cli.session import AdminSession
from kube_iam.cli.terminal import note, print_lines
from kube_iam.core.rbac import binding_text
from kube_iam.denylist.denied_subjects import denied_subjects, has_subjects
from kube_iam.errors import KubeIamError
from kube_iam.kube.synced_bindings import RemovedUsers, read_synced, remove_users

if TYPE_CHECKING:
    from kube_iam.access.ports import BindingState
    from kube_iam.denylist.denial import Denial

HOLD_SECONDS = 120
"""Time for which a revoked user is denied the level: a read of IAM that began before the revocation must not add them again."""
PATIENCE_SECONDS = 10.0
"""Limit of the wait until no denied user is in the bindings. `kube-iam sync` follows the deny list within a second."""
_PAUSE_SECONDS = 0.2


class SyncedDenials:
    """Denials whose users are removed from the bindings of synced levels, and what the bindings hold afterwards.

    `suffices`: the denials take rights of synced levels alone, so that they need no server. `alone`: no server answers, and none is
    needed. `error` states why the users may still be in the bindings. Only bindings that were read back count as changed.
    """

    def __init__(self, session: AdminSession, *, suffices: bool) -> None:
        """Read the bindings. This is to be done before the denials are written, since `kube-iam sync` may be faster."""
        self.suffices = suffices
        self.alone = False
        self.error: KubeIamError | None = None
        self.elapsed = 0.0
        self.removed: tuple[RemovedUsers, ...] = ()
        self._session = session
        self._denials: Sequence[Denial] = ()
        self._before: tuple[BindingState, ...] = ()
        try:
            self._before = read_synced(session.kube)
        except KubeIamError as error:
            self.error = error

    def remove(self, denials: Sequence[Denial]) -> None:
        """Remove the denied users from the bindings. An error is kept: it stops no denial."""
        self._denials = denials
        try:
            with changes_made().making("remove the users from the bindings of synced levels"):
                self.removed = remove_users(self._session.kube, self._before, lambda each: denied_in(each, denials))
        except KubeIamError as error:
            self.error = error

    def read_back(self, began: float) -> None:
        """Read the bindings until they name no denied user, or for `PATIENCE_SECONDS`. Raises nothing.

        Users that `kube-iam sync` removed count too. `began` is when the command began, by the session's clock.
        """
        clock = self._session.clock
        deadline = clock.now() + PATIENCE_SECONDS
        try:
            while (left := _with_users(read_synced(self._session.kube), self._denials)) and clock.now() < deadline:
                clock.sleep(_PAUSE_SECONDS)
        except KubeIamError as error:
            self.error, self.removed = error, ()
            return
        self.elapsed = clock.now() - began
        self.removed = _with_users(self._before, self._denials)
        if not left:
            self.error = None
            return
        names = {each.binding.ident for each in left}
        self.removed = tuple(each for each in self.removed if each.binding.ident not in names)
        still = f"{', '.join(left[0].users)}: still in {binding_text(left[0].binding.namespace, left[0].binding.name)}"
        self.error = KubeIamError(
            f"{still}: {self.error.message}" if self.error else still,
            "`kube-iam sync` removes the users where it runs; `kube-iam manifest rbac --for operator` has the rights to do it here",
        )

    def without_server(self) -> KubeIamError | None:
        """Return the error of denials that are not known to be in force where no server follows them, or None."""
        if self.error is not None:
            return self.error
        rest = ", ".join(denial.value for denial in self._denials if not has_subjects(denial))
        if not rest:
            return None
        return KubeIamError(
            f"no server with a deny list answers, and bindings show no access keys or unique ids: {rest}",
            "deny the name of the user",
        )

    def bindings_of(self, denial: Denial) -> list[str]:
        """Return the bindings from which users were removed by the denial, as messages name them."""
        return [
            binding_text(each.binding.namespace, each.binding.name)
            for each in self.removed
            if denied_in(each.binding, [denial])
        ]

    def results(self, principals: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Yield the results by denial, of principals with their verbs and the ends of the denials that are printed.

        If `alone`, a denial that changed no binding has a line too.
        """
        alone = self.alone
        for denial, (subject, end) in zip(self._denials, principals, strict=True):
            found = self.bindings_of(denial)
            rest = f" The denial ends {end}." if end and alone else ""
            if found:
                count = "1 binding" if len(found) == 1 else f"{len(found)} bindings"
                yield f"{subject} removed from {count} after {self.elapsed:.1f} s: {', '.join(found)}.{rest}"
            elif alone and self.error is None and has_subjects(denial):
                yield f"{subject} in no binding of a synced level.{rest}"

    def print_notes(self) -> None:
        """Print on stderr what the denials do not do to the bindings. The error is `without_server`'s if `alone`."""
        for denial in self._denials:
            if denial.kind == "accessKeyId":
                note(
                    f"note: {denial.value} goes on in synced levels: bindings show no access keys; deny the user's name"
                )
            elif not has_subjects(denial):
                note(f"note: {denial.value}: bindings show no unique ids; `kube-iam sync` removes the user")
        if self.error is not None and not self.alone:
            _note(self.error)

    def data(self) -> dict[str, object]:
        """Return the result for programs."""
        removed = [
            {
                "name": each.binding.name,
                "namespace": each.binding.namespace or None,
                "level": each.binding.level,
                "users": list(each.users),
            }
            for each in self.removed
        ]
        return {
            "removedFrom": removed,
            "checked": self.error is None,
            "notChecked": self.error.message if self.error is not None else None,
            "checkedAfterSeconds": round(self.elapsed, 3),
        }


def denied_in(binding: BindingState, denials: Sequence[Denial]) -> dict[str, Denial]:
    """Return the users of the binding that are denied now, with their denials."""
    return denied_subjects(binding.source, binding.users, denials, time.time()) if binding.source else {}


def _with_users(bindings: Sequence[BindingState], denials: Sequence[Denial]) -> tuple[RemovedUsers, ...]:
    """Return the bindings that name denied users, with these."""
    found = ((each, denied_in(each, denials)) for each in bindings)
    return tuple(RemovedUsers(each, tuple(sorted(users))) for each, users in found if users)


def _note(error: KubeIamError) -> None:
    note(f"note: bindings of synced levels were not changed, which is left to `kube-iam sync`: {error.message}")


def revoke_at_once(session: AdminSession, deny_list: str, denials: Callable[[], Sequence[Denial]]) -> None:
    """Take the rights of a synced level from users, before their membership is removed in IAM. Print what was done.

    `denials` returns those of the users in the level for `HOLD_SECONDS`, so that `kube-iam sync` adds none of them by an earlier read.
    An error is printed: the membership is to be removed all the same.
    """
    try:
        session.check_server()
        written, synced = denials(), SyncedDenials(session, suffices=True)
        with changes_made().making("write the denial of " + ", ".join(denial.value for denial in written)):
            session.deny_list(deny_list).add(written, time.time())
    except KubeIamError as error:
        _note(error)
        return
    synced.remove(written)
    if synced.error is not None:
        _note(synced.error)
    print_lines(map(str, synced.removed), err=True)
