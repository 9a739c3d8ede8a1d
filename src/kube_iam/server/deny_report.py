"""What becomes of the deny list, in the log and in the metrics."""

from __future__ import annotations

from kube_iam.denylist.denial import Denial
from kube_iam.errors import KubeIamError, Problem
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics


class DenyReport:
    """The server's `kube.deny_list.Observer`."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._known: dict[tuple[str, str, str, str, str], Denial] = {}
        self._problems: list[str] = []
        self._lost = ""

    def denying(self, denials: list[Denial], problems: list[Problem]) -> None:
        """Log what has changed, and every entry that is not as it should be."""
        now = {(each.ident, each.kind, each.value, each.role, each.iam_group): each for each in denials}
        for key, denial in now.items():
            if self._known.get(key) != denial:
                where = {"value": denial.value, "role": denial.role, "iamgroup": denial.iam_group}
                self._log.warning(
                    "denied", denial=denial.ident, until=denial.end, by=denial.by, why=denial.reason, **where
                )
        for ident, _, value, *_ in self._known.keys() - now.keys():
            self._log.warning("denial lifted or over", denial=ident, value=value)
        said = [str(problem) for problem in problems]
        for problem in said if said != self._problems else ():
            self._log.error("deny list", problem=problem)
        self._known, self._problems, self._lost = now, said, ""
        self._log.info("deny list loaded", entries=len(denials), problems=len(problems))
        self._metrics.denials.set(len(denials))
        self._metrics.denial_problems.set(len(problems))

    def lost(self, error: KubeIamError, *, kept: bool) -> None:
        """Log that the list cannot be followed, and what that means: once, however often it is tried."""
        outcome = "what is known stays in force" if kept else "nobody can sign in until it can"
        if str(error) != self._lost:
            self._lost = str(error)
            self._log.error(f"the deny list cannot be followed; {outcome}", problem=self._lost)
        self._metrics.deny_list_failures.add()
