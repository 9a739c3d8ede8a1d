"""Observer of memberships: what the log and the metrics show of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from kube_iam.errors import AccessDenied, KubeIamError, Throttled, Unreachable
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import GroupFound
from kube_iam.membership.snapshots import GroupChange
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics
from kube_iam.server.scrubbing import Scrubber

_NAMED = 20
_RIGHTS_HINT = "`kube-iam policy server` prints the policy that this server needs"


class MembershipReport:
    """The server's `membership.refresher.Observer`."""

    def __init__(self, log: Log, metrics: Metrics, scrubbed_accounts: Collection[str] = ()) -> None:
        self._log = log
        self._metrics = metrics
        self._clean = Scrubber(scrubbed_accounts)
        self._failing: dict[tuple[str, str], bool] = {}

    def set_tracked(self, groups: Collection[str], roles: Collection[str]) -> None:
        """Forget groups and roles other than these."""
        self._metrics.membership_members.only(groups)
        self._metrics.role_open.only([self._clean(role) for role in roles])
        wanted = {*(("group", name) for name in groups), *(("role", name) for name in roles)}
        self._failing = {key: kept for key, kept in self._failing.items() if key in wanted}

    def group_read(self, name: str, found: GroupFound | None, change: GroupChange) -> None:
        """Log users who joined or left; of a group that was not read before, only how many it has."""
        self._recovered("group", name)
        self._metrics.membership_members.set(len(found.members) if found is not None else 0, name)
        if found is None and change.first:
            self._log.warning("IAM knows no such group: its entries admit nobody", group=name)
        elif found is None and change.left:
            self._log.warning("the group is gone: its entries admit nobody", group=name)
        elif found is not None and change.first:
            self._log.info("group members", group=name, members=len(found.members))
        elif found is not None and (change.joined or change.left):
            names = found.account not in self._clean.accounts
            joined = change.joined[:_NAMED] if names else (f"{len(change.joined)} people",)
            left = change.left[:_NAMED] if names else (f"{len(change.left)} people",)
            self._log.info("group members changed", group=name, members=len(found.members), joined=joined, left=left)

    def role_read(self, role: str, problem: str, *, changed: bool) -> None:
        """Log a role whose entries admit nobody, and one whose problem is solved."""
        self._recovered("role", role)
        self._metrics.role_open.set(int(bool(problem)), self._clean(role))
        if changed and problem:
            self._log.error("the role's entry admits nobody", role=self._clean(role), problem=self._clean(problem))
        elif changed:
            self._log.info("the role's trust policy holds session names to user names", role=self._clean(role))

    def failed(self, kind: str, name: str, error: KubeIamError, *, kept: bool) -> None:
        """Count the failure. Log the first in a row, and the first since which the entries admit nobody."""
        self._metrics.membership_failures.add(kind, _cause(error))
        if self._failing.get((kind, name)) is not kept:
            outcome = (
                "what was read last counts until it is too old" if kept else "its entries admit nobody until it can"
            )
            hint = {"hint": _RIGHTS_HINT} if isinstance(error, AccessDenied) else {}
            fields = {kind: self._clean(name), "problem": self._clean(str(error)), **hint}
            self._log.error(f"IAM cannot be read; {outcome}", **fields)
        self._failing[kind, name] = kept

    def _recovered(self, kind: str, name: str) -> None:
        if self._failing.pop((kind, name), None) is not None:
            self._log.info("IAM can be read again", **{kind: self._clean(name)})


def show_ages(cache: MembershipCache, metrics: Metrics, scrub: Callable[[str], str]) -> None:
    """Have the metrics show the age of each group and role that was read from IAM; one that was never read is left out.

    Where scrubbed names of roles are equal, the oldest counts.
    """

    def ages(kind: str) -> Iterator[tuple[tuple[str, ...], float]]:
        found: dict[str, float] = {}
        for each, name, age in cache.ages():
            if each == kind and age is not None:
                found[scrub(name)] = max(age, found.get(scrub(name), 0.0))
        return (((name,), age) for name, age in found.items())

    metrics.membership_age.source = lambda: ages("group")
    metrics.trust_age.source = lambda: ages("role")


def _cause(error: KubeIamError) -> str:
    match error:
        case AccessDenied():
            return "denied"
        case Throttled():
            return "throttled"
        case Unreachable():
            return "unreachable"
    return "other"
