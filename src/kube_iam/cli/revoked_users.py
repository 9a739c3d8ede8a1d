"""Users who were revoked without a denial: whether kube-apiserver refuses them, where our server is its authorizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kube_iam.access.levels import Level, Method
from kube_iam.access.members import MemberChange
from kube_iam.cli.session import AdminSession, needs_cluster
from kube_iam.cli.terminal import note, print_lines
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from kube_iam.denylist.membership_refusal import Refused


class RevokedUsers:
    """The users of a revocation who were members. Whether kube-apiserver refuses them is asked at the first use, and once."""

    def __init__(
        self, session: AdminSession, level: Level, changes: Sequence[MemberChange], *, began: float, wait: bool
    ) -> None:
        """`began` is the time by the session's clock at which the command began. Without `wait` they are asked about once."""
        self._session = session
        self._level = level
        self._users = {change.user: change.unique_id for change in changes if change.is_needed and change.exists}
        self._wait = wait
        self._began = began
        self._is_asked = False
        self._found: Refused | None = None
        self._problem = ""

    def data(self) -> dict[str, object]:
        """Return the result for programs: null where it was not checked."""
        found = self._ask()
        seconds = found.waited if found is not None else None
        refused = None if found is None else seconds is not None and not found.admitted
        return {
            "knownTokensRefused": refused,
            "knownTokensRefusedAfterSeconds": round(seconds, 3) if refused and seconds is not None else None,
            "knownTokensNotChecked": self._problem or None,
        }

    def print_result(self) -> bool:
        """Print who is refused and who is not yet. Return False where the end of their sessions is not known by this."""
        found = self._ask()
        if self._problem:
            note(f"note: whether kube-apiserver refuses tokens that it has cached was not checked: {self._problem}")
        if found is None or found.waited is None:
            return False
        out = [name for name in self._users if name not in found.admitted]
        asked = f"{found.api_servers} API server{'s' * (found.api_servers != 1)} asked"
        after = f"after {found.waited:.1f} s"
        print_lines(
            f"{name} is out of {self._level.name} {after} ({asked}: kube-apiserver refuses known tokens too)."
            for name in out
        )
        print_lines(
            f"{name} is not out of {self._level.name} yet ({after}): the server has not read the change of the IAM group."
            for name in found.admitted
        )
        return True

    def _ask(self) -> Refused | None:
        """Return the result, None where it cannot be asked or the server does not check this level. Raises nothing."""
        if not self._is_asked:
            self._is_asked = True
            try:
                self._found = self._wait_until_refused()
            except KubeIamError as error:
                self._problem = error.message
        return self._found

    def _wait_until_refused(self) -> Refused | None:
        from kube_iam.denylist.membership_refusal import PATIENCE_SECONDS, level_user, probe_user, wait_until_refused
        from kube_iam.denylist.prober import HERE, Prober

        session, level = self._session, self._level
        access = session.access
        if not (self._users and access.asks_membership(level) and needs_cluster(access)):
            return None
        prober = Prober(session.checked_kube)
        addresses = prober.addresses() or (HERE,)
        role_id = session.iam.role_id(level.role_name) if level.method is Method.ROLE else ""
        users = {name: level_user(access, level, name, user_id, role_id) for name, user_id in self._users.items()}
        known = {name: user for name, user in users.items() if user is not None}
        if len(known) < len(users):
            raise KubeIamError(f"the user name of level {level.name} has more in it than the name of the user")
        return wait_until_refused(
            prober.refusal,
            addresses,
            known,
            probe_user(access, level, role_id),
            session.clock,
            began=self._began,
            patience=PATIENCE_SECONDS if self._wait else 0.0,
        )
