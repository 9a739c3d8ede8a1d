"""Observers of the server's parts: they write to the log and set the metrics.

Each implements the observer protocol of the part that it observes, and is called by that part alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from kube_iam.config.backends import DYNAMIC_FILE, EKS_CONFIG_MAP
from kube_iam.config.dynamic import Stamp
from kube_iam.denylist.denial import Denial
from kube_iam.errors import AccessDenied, ConfigError, KubeIamError, Problem, Throttled, Unreachable
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.iam_reader import GroupFound
from kube_iam.membership.snapshots import GroupChange
from kube_iam.server.connections import LIMIT
from kube_iam.server.log import Log, Scrubber
from kube_iam.server.metrics import MembershipMetrics, Metrics

_MOST_LOGGED = 100
"""Problems of one version of a source that are logged one by one. Each reload logs them again."""
_LOG_SECONDS = 60.0
_NAMED = 20
_RIGHTS_HINT = "`kube-iam policy server` prints the policy that this server needs"


class MappingObserver:
    """The observer of mappings (`mappings.backend.Observer`)."""

    def __init__(self, log: Log, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._entries: dict[str, int] = {}
        self.changed: Callable[[], None] = lambda: None
        """Function called when the mappings in force have changed."""

    def loaded(self, backend: str, entries: int, warnings: list[Problem]) -> None:
        """Log the warnings, and that the mappings are in force. An empty list after a full one is logged as an error."""
        self._log_each("warning", backend, [str(warning) for warning in warnings[:_MOST_LOGGED]], len(warnings))
        before, self._entries[backend] = self._entries.get(backend, 0), entries
        if before and not entries:
            self._log.error("all mappings of the backend are gone: it admits nobody", backend=backend, before=before)
            self._metrics.mappings_emptied.add(backend)
        self._log.info("mappings loaded", backend=backend, entries=entries)
        self._metrics.mappings_loaded.set(self._clock(), backend)
        self._metrics.mapping_entries.set(entries, backend)
        self._metrics.mapping_problems.set(len(warnings), backend)
        self.changed()

    def failed(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Log every problem, and whether the last good mappings stay in force."""
        outcome = "the last good ones stay in force" if kept else "nobody can sign in until they are repaired"
        problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else [str(error)]
        self._log_each("error", backend, problems[:_MOST_LOGGED], len(problems))
        self._log.error(f"mappings cannot be used; {outcome}", backend=backend, problems=len(problems))
        self._metrics.reload_failures.add(backend)
        if backend == DYNAMIC_FILE:
            self._metrics.dynamic_file_failures.add()

    def _log_each(self, level: str, backend: str, problems: list[str], total: int) -> None:
        for problem in problems:
            self._log.write(level, "mapping", {"backend": backend, "problem": problem})
        if total > len(problems):
            hint = "`kube-iam server --check-config` prints all those of config.yaml"
            self._log.write(level, "mapping", {"backend": backend, "more": total - len(problems), "hint": hint})

    def interrupted(self, backend: str, error: KubeIamError, *, kept: bool) -> None:
        """Log that the source cannot be followed, and whether the last good mappings stay in force."""
        outcome = "the last good ones stay in force" if kept else "nobody can sign in until it can"
        self._log.error(f"mappings cannot be followed; {outcome}", backend=backend, problem=str(error))
        self._metrics.watch_failures.add(backend)
        if backend == EKS_CONFIG_MAP:
            self._metrics.config_map_watch_failures.add()
        if backend == DYNAMIC_FILE:
            self._metrics.dynamic_file_failures.add()

    def arrived(self, kind: str, stamp: Stamp) -> None:
        """Record the latency of a change in whole seconds, where its time stamp is plausible."""
        took = None if stamp.updated is None else int(self._clock()) - stamp.updated
        if took is None or took < 0:
            self._log.warning("LastUpdatedDateTime is missing, no Unix time, or in the future", type=kind)
            return
        self._metrics.dynamic_latency.observe(took, kind)
        self._log.info("a change has arrived", type=kind, version=stamp.version, latency=took)

    def chained(self, backends: tuple[str, ...]) -> None:
        """Log the order of backends, and set the metrics of the reference's dashboards: `only` and `enabled` are never both 1."""
        self._log.info("backends", order=backends)
        self._metrics.dynamic_file_only.set(int(backends == (DYNAMIC_FILE,)))
        self._metrics.dynamic_file_enabled.set(int(DYNAMIC_FILE in backends and len(backends) > 1))
        self.changed()

    def troubled(self, backend: str, error: KubeIamError) -> None:
        """Log a problem that does not concern the mappings themselves."""
        self._log.warning("beside the mappings", backend=backend, problem=str(error))


class MembershipObserver:
    """The observer of memberships (`membership.refresher.Observer`)."""

    def __init__(self, log: Log, metrics: MembershipMetrics, scrubbed_accounts: Collection[str] = ()) -> None:
        self._log = log
        self._metrics = metrics
        self._clean = Scrubber(scrubbed_accounts)
        self._failing: dict[tuple[str, str], bool] = {}

    def set_tracked(self, groups: Collection[str], roles: Collection[str]) -> None:
        """Remove the state and metrics of all other groups and roles."""
        self._metrics.membership_members.only(groups)
        self._metrics.role_open.only([self._clean(role) for role in roles])
        wanted = {*(("group", name) for name in groups), *(("role", name) for name in roles)}
        self._failing = {key: kept for key, kept in self._failing.items() if key in wanted}

    def group_read(self, name: str, found: GroupFound | None, change: GroupChange) -> None:
        """Log users who joined or left. Of a group that was not read before, log only the number of members."""
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
        """Log a role whose entries admit nobody, or whose problem is solved."""
        self._recovered("role", role)
        self._metrics.role_open.set(int(bool(problem)), self._clean(role))
        if changed and problem:
            self._log.error("the role's entry admits nobody", role=self._clean(role), problem=self._clean(problem))
        elif changed:
            self._log.info("the role's trust policy holds session names to user names", role=self._clean(role))

    def failed(self, kind: str, name: str, error: KubeIamError, *, kept: bool) -> None:
        """Count the failure. Log the first of a series, and the one after which the entries admit nobody."""
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


def show_ages(cache: MembershipCache, metrics: MembershipMetrics, scrub: Callable[[str], str]) -> None:
    """Let the metrics sample the age in seconds of each group and role that was read from IAM.

    Of roles with equal scrubbed names, the highest age is shown.
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


class DenyListObserver:
    """The `denylist.watcher.Observer` of the server."""

    def __init__(self, log: Log, metrics: MembershipMetrics) -> None:
        self._log = log
        self._metrics = metrics
        self._known: dict[tuple[str, str, str, str, str], Denial] = {}
        self._problems: list[str] = []
        self._error = ""

    def on_denials(self, denials: list[Denial], problems: list[Problem]) -> None:
        """Log denials that are new or gone, and the malformed entries where these changed. Set the gauges."""
        now = {(each.name, each.kind, each.value, each.role, each.iam_group): each for each in denials}
        for key, denial in now.items():
            if self._known.get(key) != denial:
                scope = {"value": denial.value, "role": denial.role, "iamgroup": denial.iam_group}
                self._log.warning(
                    "denied", denial=denial.name, until=denial.end, actor=denial.actor, why=denial.reason, **scope
                )
        for name, _, value, *_ in self._known.keys() - now.keys():
            self._log.warning("denial removed or ended", denial=name, value=value)
        texts = [str(problem) for problem in problems]
        for text in texts if texts != self._problems else ():
            self._log.error("deny list", problem=text)
        self._known, self._problems, self._error = now, texts, ""
        self._log.info("deny list loaded", entries=len(denials), problems=len(problems))
        self._metrics.deny_list_entries.set(len(denials))
        self._metrics.deny_list_invalid_entries.set(len(problems))

    def on_error(self, error: KubeIamError, *, kept: bool) -> None:
        """Log once that the list cannot be followed, with the effect on sign-ins, and count each attempt."""
        effect = "the last version read stays in force" if kept else "nobody can sign in until it can"
        if str(error) != self._error:
            self._error = str(error)
            self._log.error(f"the deny list cannot be followed; {effect}", problem=self._error)
        self._metrics.deny_list_failures.add()


class StsObserver:
    """The observer of `server.sts_outages.GuardedSts`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def changed(self, host: str, answers: bool) -> None:
        """Log that the host does not answer any more, or answers again."""
        if answers:
            self._log.info("STS answers again", stsendpoint=host)
        else:
            self._log.error(
                "STS does not answer: new tokens are refused at once until it does; check the network, DNS and HTTPS_PROXY",
                stsendpoint=host,
            )


class Ec2Observer:
    """The observer of calls to EC2 (`aws.ec2_names.Observer`)."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def asked(self, instances: int) -> None:
        """Count the call."""
        self._metrics.ec2_calls.add()
        self._log.debug("asking EC2 for private DNS names", instances=instances)

    def failed(self, error: KubeIamError) -> None:
        """Log the cause, which the answers to sign-ins do not show."""
        self._log.error("EC2 names no instances", error=str(error))


class ConnectionObserver:
    """The observer of connections (`server.connection_watch.Observer`)."""

    def __init__(self, log: Log, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._metrics = metrics
        self._open: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        metrics.open_connections.source = self._samples

    def looked(self, listener: str, is_open: int, closed: Counter[str]) -> None:
        """Set the number of open connections, and count closed ones by reason. A full listener is logged once a minute."""
        self._open[listener] = is_open
        for reason, count in closed.items():
            self._metrics.closed_connections.add(listener, reason, count=count)
        if closed[LIMIT] and self._clock() - self._logged.get(listener, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._logged[listener] = self._clock()
            self._log.warning("too many connections: the longest idle ones are closed", listener=listener, open=is_open)

    def _samples(self) -> Iterator[tuple[tuple[str, ...], float]]:
        return (((listener,), float(count)) for listener, count in self._open.items())
