"""The last sign-in of each identity, in bounded memory: kube-apiserver caches a sign-in, and a denial states for how long it may."""

from __future__ import annotations

from collections import OrderedDict

from kube_iam.core.identity import Identity
from kube_iam.denylist.denial import NO_END, Denial, DenialTable

CAPACITY = 4096


class RecentSignIns:
    """The last sign-in of each identity. Of those beyond `capacity`, the newest time is kept. All times are of one monotonic clock."""

    def __init__(self, started: float, capacity: int = CAPACITY) -> None:
        """Begin at `started`, the start of this server: a server before it may have admitted anybody until then."""
        self._times: OrderedDict[tuple[str, str], tuple[float, Identity]] = OrderedDict()
        self._forgotten = started
        self._capacity = capacity

    def record(self, identity: Identity, now: float) -> None:
        """Record that the identity signs in now."""
        key = (identity.arn, identity.access_key_id)
        self._times[key] = (now, identity)
        self._times.move_to_end(key)
        if len(self._times) > self._capacity:
            self._forgotten = self._times.popitem(last=False)[1][0]

    def last_sign_in(self, denial: Denial, now: float) -> tuple[float, bool]:
        """Return how many seconds ago an identity that the denial covers signed in at the latest, and whether that is exact.

        Where no such sign-in is remembered, the seconds are those for which sign-ins are remembered, and not exact.
        """
        table = DenialTable([denial])
        # A denial that has ended still covers the same identities.
        when = 0.0 if denial.until == NO_END else denial.until - 1
        # Which IAM group admitted a sign-in is not remembered, so that every sign-in of a member counts.
        groups = (denial.iam_group,) if denial.iam_group else ()
        hits = [time for time, identity in self._times.values() if table.find(identity, when, groups) is not None]
        last = max(hits, default=self._forgotten)
        return max(0.0, now - max(last, self._forgotten)), last > self._forgotten
