"""Who was let in lately, in bounded memory: so that a denial can say for how long kube-apiserver may still remember that person."""

from __future__ import annotations

from collections import OrderedDict

from kube_iam.core.identity import Identity
from kube_iam.denylist.denial import Denial, DenialTable

CAPACITY = 4096


class LetIn:
    """The last time of each identity; of what is forgotten, the newest time. All times are of one clock that never jumps."""

    def __init__(self, began: float, capacity: int = CAPACITY) -> None:
        """`began`: somebody may have been let in just before, by a server that has ended."""
        self._times: OrderedDict[tuple[str, str], tuple[float, Identity]] = OrderedDict()
        self._forgotten = began
        self._capacity = capacity

    def saw(self, identity: Identity, now: float) -> None:
        """The identity is let in now."""
        key = (identity.arn, identity.access_key_id)
        self._times[key] = (now, identity)
        self._times.move_to_end(key)
        if len(self._times) > self._capacity:
            self._forgotten = self._times.popitem(last=False)[1][0]

    def last(self, denial: Denial, now: float) -> tuple[float, bool]:
        """How many seconds ago whoever the denial is about was let in at the latest, and whether that is known exactly."""
        table = DenialTable([denial])
        # Past its end, a denial still says whom it was about.
        when = 0.0 if denial.until == float("inf") else denial.until - 1
        # Whatever let them in: of an IAM group's members not the times by that group alone, but the last time at all.
        groups = (denial.iam_group,) if denial.iam_group else ()
        hits = [time for time, identity in self._times.values() if table.find(identity, when, groups) is not None]
        last = max(hits, default=self._forgotten)
        return max(0.0, now - max(last, self._forgotten)), last > self._forgotten
