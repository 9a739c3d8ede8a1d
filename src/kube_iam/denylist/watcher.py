"""The deny list in the server: one ConfigMap, watched, each of its data keys one entry.

Without the ConfigMap nobody is denied. Deleting it removes no denial: each stays in force until it ends, or until an entry of the same
name replaces it. That holds too if the ConfigMap is created again without the entry. While the API server is away, the last version
read stays in force. A list that was never read refuses everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

import msgspec

from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.denylist.denial import Denial, DenialTable, RecentSignIns
from kube_iam.denylist.entry import BINARY, parse_entry
from kube_iam.denylist.status_query import IN_FORCE, NOT_IN_FORCE, NOT_LOADED, StatusAnswer, parse_question
from kube_iam.errors import KubeIamError, Problem
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.watch import Object, Watch, WatchTiming

NAMESPACE, NAME = "kube-system", "kube-iam-denied"
# Denials are for emergencies: at most a second after the API server is back, the list is read again.
TIMING = WatchTiming(longest_pause=1.0)


class ConfigMap(Object):
    """The parts of a ConfigMap that are read. `binary` holds entries that are no text."""

    data: dict[str, str] | None = None
    binary: dict[str, msgspec.Raw] | None = msgspec.field(default=None, name="binaryData")


class Observer(Protocol):
    """Receives the state of the list, for logs and metrics."""

    def on_denials(self, denials: list[Denial], problems: list[Problem]) -> None:
        """Take the denials that are in force from now on, and the problems of malformed entries."""

    def on_error(self, error: KubeIamError, *, kept: bool) -> None:
        """Take the error for which the list cannot be followed. It is tried again.

        `kept`: the last version read stays in force. Otherwise every sign-in is refused.
        """


class DenyList:
    """The denials in force, as `authn.ports.DenyList`. For one event loop."""

    def __init__(
        self,
        endpoints: EndpointSource,
        observer: Observer,
        server: str,
        namespace: str = NAMESPACE,
        name: str = NAME,
        *,
        timing: WatchTiming = TIMING,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`server` is a hexadecimal name for this process in answers to status queries. `clock` is Unix time, `steady` monotonic."""
        self.on_synced: Callable[[], None] = lambda: None
        """Called whenever the list was read, or could not be read."""
        self._observer = observer
        self._server = server
        self._name = name
        self._clock = clock
        self._steady = steady
        self._sign_ins = RecentSignIns(steady())
        self._last_sign_ins: dict[str, tuple[float, bool]] = {}
        self._table: DenialTable | None = None
        self._denials: dict[str, tuple[Denial, ...]] = {}
        self._retained: dict[str, tuple[Denial, ...]] = {}
        self._uid = ""
        # Selected by name, so that the permission to read this one ConfigMap is enough.
        self._watch = Watch(
            endpoints,
            f"/api/v1/namespaces/{namespace}/configmaps",
            ConfigMap,
            self,
            what=f"ConfigMap {namespace}/{name}",
            field_selector=f"metadata.name={name}",
            timing=timing,
        )

    async def follow(self) -> None:
        """Follow the ConfigMap until this is cancelled."""
        await self._watch.run()

    @property
    def ready(self) -> bool:
        """Whether the list has been read."""
        return self._table is not None

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        """Return why the identity is refused now, or None. Denials limited to an IAM group count if it is one of `iam_groups`."""
        if self._table is None:
            return Refusal(Reason.DENY_LIST_NOT_LOADED)
        if not self._table:
            return None
        return _refusal(self._table.find(identity, self._clock(), iam_groups))

    def denial_of_name(self, name: str, roles: Collection[str], iam_groups: Collection[str]) -> Refusal | None:
        """Return why the user of that IAM name is refused now, or None. Only denials that name users count."""
        if self._table is None:
            return Refusal(Reason.DENY_LIST_NOT_LOADED)
        return _refusal(self._table.find_name(name, self._clock(), roles, iam_groups))

    def record_sign_in(self, identity: Identity) -> None:
        """Record that the identity has just signed in."""
        self._sign_ins.record(identity, self._steady())

    def answer_status_query(self, token: str) -> Refusal | None:
        """Return the answer to a status query, or None if the token is none."""
        question = parse_question(token)
        if question is None:
            return None
        answer = StatusAnswer(question.nonce, self._server, NOT_LOADED)
        if self._table is not None:
            denials = self._denials.get(question.denial, ())
            # An entry with several denials is in force while all of them are.
            until = min((denial.until for denial in denials), default=0.0)
            answer = replace(answer, state=NOT_IN_FORCE)
            if until > self._clock():
                seconds, known = self._last_sign_in(question.denial, denials)
                answer = replace(answer, state=IN_FORCE, until=until, last_sign_in=seconds, known=known)
        return Refusal(Reason.STATUS_QUERY, answer.text)

    def _last_sign_in(self, name: str, denials: tuple[Denial, ...]) -> tuple[float, bool]:
        """Return `RecentSignIns.last_sign_in` of the denials with that name, searched for once a version of the list.

        Anybody can send status queries, and a search is long. A denial in force refuses later sign-ins, so a later search finds no
        newer one.
        """
        now = self._steady()
        if name not in self._last_sign_ins:
            seconds, known = min(self._sign_ins.last_sign_in(denial, now) for denial in denials)
            self._last_sign_ins[name] = now - seconds, known
        when, known = self._last_sign_ins[name]
        return now - when, known

    async def on_list(self, objects: list[ConfigMap]) -> None:
        """Apply the ConfigMap in a list of all objects."""
        found = next((each for each in objects if each.metadata.name == self._name), None)
        self._load(found) if found is not None else self._on_missing()

    async def on_change(self, found: ConfigMap) -> None:
        """Apply a new version of the ConfigMap."""
        if found.metadata.name == self._name:
            self._load(found)

    async def on_delete(self, found: ConfigMap) -> None:
        """Keep the denials of a ConfigMap that was deleted."""
        if found.metadata.name == self._name:
            self._on_missing()

    def on_error(self, error: KubeIamError) -> None:
        """Report that the ConfigMap cannot be followed now."""
        self._observer.on_error(error, kept=self.ready)
        self.on_synced()

    def _on_missing(self) -> None:
        problems = []
        self._retain()
        if self._retained:
            problems.append(Problem(self._name, "is gone; its denials stay in force", "restore it, or use undeny"))
        self._apply({}, problems)

    def _load(self, found: ConfigMap) -> None:
        if found.metadata.uid != self._uid:
            self._retain()
        self._uid = found.metadata.uid
        denials: dict[str, tuple[Denial, ...]] = {}
        problems = []
        entries = {name: parse_entry(name, text) for name, text in (found.data or {}).items()}
        entries |= dict.fromkeys(found.binary or {}, BINARY)
        for name, (parsed, problem) in entries.items():
            if problem:
                problems.append(Problem(name, problem))
            # An entry that no longer names anybody removes no denial.
            kept = parsed or self._denials.get(name)
            if kept:
                denials[name] = kept
            self._retained.pop(name, None)
        self._apply(denials, problems)

    def _retain(self) -> None:
        """Keep the denials in force beyond the ConfigMap that they came from."""
        self._retained, self._uid = dict(self._denials), ""

    def _apply(self, denials: dict[str, tuple[Denial, ...]], problems: list[Problem]) -> None:
        now = self._clock()
        self._retained = {
            name: found for name, found in self._retained.items() if any(denial.until > now for denial in found)
        }
        self._denials = {**self._retained, **denials}
        every = [denial for found in self._denials.values() for denial in found]
        self._table = DenialTable(every)
        self._last_sign_ins.clear()
        self._observer.on_denials([denial for denial in every if denial.until > now], problems)
        self.on_synced()


def _refusal(found: Denial | None) -> Refusal | None:
    return Refusal(Reason.DENIED, f"{found.name}, until {found.end}") if found is not None else None
