"""The guard of `revoke`: a revocation that takes access from its caller needs --force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kube_iam.access.guards import callers_in_aws, callers_in_cluster, lost_access
from kube_iam.access.levels import ClusterAccess, Level
from kube_iam.access.ports import Directory, Subject
from kube_iam.cli import access_session
from kube_iam.cli.access_session import Where
from kube_iam.errors import Guarded, KubeIamError


class OwnAccess:
    """The caller as the cluster shows it. That is asked for in the background: a cluster may take its time to not answer."""

    def __init__(self, access: ClusterAccess, where: Where) -> None:
        self._access = access
        pool = ThreadPoolExecutor(max_workers=1)
        self._subject = pool.submit(_subject, access, where)
        pool.shutdown(wait=False)

    def losses(self, level: Level, users: Sequence[str], open_directory: Callable[[], Directory]) -> tuple[str, ...]:
        """Return a sentence for what the caller would lose. IAM is asked where the cluster does not say that it is nothing."""
        subject = self._subject.result()
        own = callers_in_cluster(self._access, users, subject)
        if own == ():
            return ()
        directory = open_directory()
        if own is None:
            own = callers_in_aws(self._access, users, directory.caller().arn)
        found = (lost_access(self._access, level, user, directory, subject) for user in own)
        return tuple(filter(None, found))

    def refuse(self, level: Level, users: Sequence[str], open_directory: Callable[[], Directory]) -> None:
        """Raise Guarded when the revocation takes access from the caller."""
        losses = self.losses(level, users, open_directory)
        if losses:
            raise Guarded("; ".join(losses), "nothing was changed; if that is what you mean, add --force")


def _subject(access: ClusterAccess, where: Where) -> Subject | None:
    """The caller as the cluster shows it, None where it does not: a revocation goes on without the cluster."""
    try:
        cluster = access_session.open_cluster(access, where)
        return cluster.whoami() if cluster else None
    except KubeIamError:
        return None
