"""Guard of `revoke`: a revocation that takes access from its caller needs --force."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from kube_iam.access.guards import callers_in_aws, callers_in_cluster
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import Level
from kube_iam.access.own_access import lost_access
from kube_iam.access.ports import Subject
from kube_iam.cli.session import AdminSession
from kube_iam.errors import Guarded, KubeIamError


class OwnAccess:
    """The caller's identity in the cluster. It is read in the background: an unreachable cluster may take long to fail."""

    def __init__(self, session: AdminSession, reader: LevelReader) -> None:
        self._session = session
        self._reader = reader
        pool = ThreadPoolExecutor(max_workers=1)
        self._subject = pool.submit(_subject, session)
        pool.shutdown(wait=False)

    def losses(self, level: Level, users: Sequence[str]) -> tuple[str, ...]:
        """Return a sentence for all access that the caller would lose. IAM is asked unless the cluster shows that it is none."""
        session, subject = self._session, self._subject.result()
        own = callers_in_cluster(session.access, users, subject)
        if own is None:
            own = callers_in_aws(session.access, users, session.iam.caller().arn)
        found = (lost_access(self._reader, level, user, subject) for user in own)
        return tuple(filter(None, found))

    def refuse(self, level: Level, users: Sequence[str]) -> None:
        """Raise Guarded if the revocation takes access from the caller."""
        losses = self.losses(level, users)
        if losses:
            raise Guarded("; ".join(losses), "nothing was changed; if that is what you mean, add --force")


def _subject(session: AdminSession) -> Subject | None:
    """Return the caller's identity in the cluster, None if it cannot be read: a revocation continues without the cluster."""
    try:
        return session.cluster.whoami() if session.cluster is not None else None
    except KubeIamError:
        return None
