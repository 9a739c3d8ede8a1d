"""The deny list that a server obeys: one ConfigMap, watched, each of its data keys one denial.

Without the ConfigMap nobody is denied. One that is deleted lifts nothing, even where it is made anew without them: what it denied
stays denied until it ends, or until an entry of the same name says otherwise. While the API server is away, what is known stays in
force; a list that was never read lets nobody in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import msgspec

from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.denylist.denial import Denial, DenialTable
from kube_iam.denylist.entry import BINARY, read_denial
from kube_iam.denylist.recent_sign_ins import LetIn
from kube_iam.denylist.status_query import IN_FORCE, NOT_IN_FORCE, UNKNOWN, Answer, read_question
from kube_iam.errors import KubeIamError, Problem
from kube_iam.kube.endpoint import EndpointSource
from kube_iam.kube.watch import Object, Watch, WatchTiming

NAMESPACE, NAME = "kube-system", "kube-iam-denied"
# Denials are for emergencies: when the API server is back, a second is the longest that one may go unheard.
TIMING = WatchTiming(longest_pause=1.0)


class ConfigMap(Object):
    """What is used of a ConfigMap. `binary` is there where somebody put what is no text."""

    data: dict[str, str] | None = None
    binary: dict[str, msgspec.Raw] | None = msgspec.field(default=None, name="binaryData")


class Observer(Protocol):
    """Who hears what becomes of the list, for logs and metrics."""

    def denying(self, denials: list[Denial], problems: list[Problem]) -> None:
        """These denials are in force from now on; the problems are what is odd about entries."""

    def lost(self, error: KubeIamError, *, kept: bool) -> None:
        """The list cannot be followed now; it is being tried again. `kept`: what is known stays in force, else nobody gets in."""


class DenyList:
    """The denials in force. For one event loop; `follow` runs until cancelled."""

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
        """`server` is a hexadecimal name for this process in answers to probes."""
        self.on_synced: Callable[[], None] = lambda: None
        """Called whenever something is known of the list: it was read, or cannot be."""
        self._observer = observer
        self._server = server
        self._name = name
        self._clock = clock
        self._steady = steady
        self._let_in = LetIn(steady())
        self._lasts: dict[str, tuple[float, bool]] = {}
        self._table: DenialTable | None = None
        self._denials: dict[str, tuple[Denial, ...]] = {}
        self._outlived: dict[str, tuple[Denial, ...]] = {}
        self._uid = ""
        # By name alone, so that the right to read this one ConfigMap is enough.
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
        """Follow the ConfigMap until cancelled."""
        await self._watch.run()

    @property
    def ready(self) -> bool:
        """Whether the list is known."""
        return self._table is not None

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        """Why the identity is kept out now, or None; also of what only these IAM groups would let it in by."""
        if self._table is None:
            return Refusal(Reason.DENY_LIST_NOT_LOADED)
        if not self._table:
            return None
        found = self._table.find(identity, self._clock(), iam_groups)
        return Refusal(Reason.DENIED, f"{found.ident}, until {found.end}") if found is not None else None

    def record_sign_in(self, identity: Identity) -> None:
        """Record that the identity has just signed in."""
        self._let_in.saw(identity, self._steady())

    def answer_status_query(self, token: str) -> Refusal | None:
        """The answer to a probe; None where the token is none."""
        question = read_question(token)
        if question is None:
            return None
        answer = Answer(question.nonce, self._server, UNKNOWN)
        if self._table is not None:
            denials = self._denials.get(question.denial, ())
            # Of an entry that names several, all have to be kept out.
            until = min((denial.until for denial in denials), default=0.0)
            answer = replace(answer, state=NOT_IN_FORCE)
            if until > self._clock():
                seconds, known = self._last_let_in(question.denial, denials)
                answer = replace(answer, state=IN_FORCE, until=until, seconds=seconds, known=known)
        return Refusal(Reason.STATUS_QUERY, answer.text)

    def _last_let_in(self, ident: str, denials: tuple[Denial, ...]) -> tuple[float, bool]:
        """How long ago whom the denials of that name mean was let in, and whether exactly; searched for once while a list stands.

        Anybody can send probes, and a search is long. Whom a denial in force means is not let in by what it closes, so a later
        search finds nothing that counts.
        """
        now = self._steady()
        if ident not in self._lasts:
            seconds, known = min(self._let_in.last(denial, now) for denial in denials)
            self._lasts[ident] = now - seconds, known
        when, known = self._lasts[ident]
        return now - when, known

    async def on_list(self, objects: list[ConfigMap]) -> None:
        """Obey what is there now."""
        found = next((each for each in objects if each.metadata.name == self._name), None)
        self._load(found) if found is not None else self._gone()

    async def on_change(self, found: ConfigMap) -> None:
        """Obey the new version."""
        if found.metadata.name == self._name:
            self._load(found)

    async def on_delete(self, found: ConfigMap) -> None:
        """There is no list any more, which lifts nothing."""
        if found.metadata.name == self._name:
            self._gone()

    def on_error(self, error: KubeIamError) -> None:
        """Report that the deny list cannot be followed."""
        self._observer.lost(error, kept=self.ready)
        self.on_synced()

    def _gone(self) -> None:
        problems = []
        self._outlive()
        if self._outlived:
            problems.append(Problem(self._name, "is gone; what it denied stays denied", "restore it, or use undeny"))
        self._obey({}, problems)

    def _load(self, found: ConfigMap) -> None:
        if found.metadata.uid != self._uid:
            self._outlive()
        self._uid = found.metadata.uid
        denials: dict[str, tuple[Denial, ...]] = {}
        problems = []
        entries = {ident: read_denial(ident, text) for ident, text in (found.data or {}).items()}
        entries |= dict.fromkeys(found.binary or {}, BINARY)
        for ident, (read, problem) in entries.items():
            if problem:
                problems.append(Problem(ident, problem))
            # An entry that has become nonsense lifts nothing.
            meant = read or self._denials.get(ident)
            if meant:
                denials[ident] = meant
            self._outlived.pop(ident, None)
        self._obey(denials, problems)

    def _outlive(self) -> None:
        """Keep what is in force beyond the ConfigMap that it came from."""
        self._outlived, self._uid = dict(self._denials), ""

    def _obey(self, denials: dict[str, tuple[Denial, ...]], problems: list[Problem]) -> None:
        now = self._clock()
        self._outlived = {
            ident: found for ident, found in self._outlived.items() if any(denial.until > now for denial in found)
        }
        self._denials = {**self._outlived, **denials}
        every = [denial for found in self._denials.values() for denial in found]
        self._table = DenialTable(every)
        self._lasts.clear()
        self._observer.denying([denial for denial in every if denial.until > now], problems)
        self.on_synced()
