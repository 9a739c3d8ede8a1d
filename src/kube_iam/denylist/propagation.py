"""When access is really gone: a denial is in force on every server, and no kube-apiserver remembers the person any more.

The first is measured, by asking. The second is computed: kube-apiserver remembers whom the webhook let in for its cache TTL, and what
that cache answered for another ten seconds, so the last time that somebody was let in says when it has forgotten them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kube_iam.denylist.status_query import IN_FORCE, Answer
from kube_iam.errors import KubeIamError, Unreachable

OUTER_CACHE_SECONDS = 10.0
"""kube-apiserver's own cache of all tokens, around that of the webhook; it has no flag."""
MARGIN_SECONDS = 1.0
"""An answer of the server's may have been under way."""
ROUNDS_OF_ONE_ADDRESS = 5
_PAUSE_SECONDS = 0.1
_HERE = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A denial that has to be in force, at least until then (unix seconds)."""

    ident: str
    until: float


@dataclass(slots=True)
class Closed:
    """What was found out. `measured` is the seconds from the start until every server that was asked obeyed.

    `asked` are the addresses that answered, empty for the cluster's own; `unasked` those that could not be reached, with why;
    `unlisted` is why it is not known which there are.
    `servers` are the names of the servers that answered. `holds` is how long from then kube-apiserver may still remember the person,
    computed from `last`, the seconds since the person was let in: at the latest where not `known`.
    `seen` are the denials whose principals a server remembers to have signed in.
    """

    measured: float = 0.0
    asked: list[str] = field(default_factory=list)
    unasked: dict[str, str] = field(default_factory=dict)
    servers: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    last: float = float("inf")
    known: bool = True
    holds: float = 0.0
    error: KubeIamError | None = None
    unlisted: str = ""

    @property
    def total(self) -> int:
        """How many API servers are known of."""
        return len(self.asked) + len(self.unasked)

    @property
    def complete(self) -> bool:
        """Whether every API server was asked, by its address or, behind one address, as one of as many servers.

        Never where it is not known how many there are: the same server may have answered each time.
        """
        return self.error is None and self.total > 0 and (not self.unasked or len(self.servers) >= self.total)

    @property
    def one_address(self) -> bool:
        """Whether nothing but the cluster's own address was asked since the cluster says of no other."""
        return self.error is None and not self.total and not self.unlisted


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that never jumps, and waiting by it."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


def await_force(
    ask: Callable[[str, str], Answer],
    addresses: Sequence[str],
    wanted: Iterable[Wanted],
    clock: Clock,
    *,
    began: float,
    cache_ttl: float,
    patience: float = 30.0,
    unlisted: str = "",
) -> Closed:
    """Ask until the denials are in force everywhere. What keeps that from being known is in `error`; nothing is raised.

    `unlisted` says why the addresses are not known.
    """
    found = Closed(unlisted=unlisted)
    deadline = began + patience
    denials = tuple(wanted)
    hold = _Hold(cache_ttl, clock)
    for address in addresses:
        try:
            _until_in_force(ask, address, denials, clock, deadline, found, hold)
            found.asked.append(address)
        except Unreachable as error:
            found.unasked[address] = error.message
        except KubeIamError as error:
            found.error = error
    if found.error is None and (not found.asked or found.unasked):
        _ask_here(ask, denials, clock, deadline, found, hold)
    found.measured = clock.now() - began
    found.last, found.known, found.holds = hold.last, hold.known, hold.seconds()
    return found


class _Hold:
    """How long kube-apiserver's caches may hold what the answers speak of."""

    def __init__(self, cache_ttl: float, clock: Clock) -> None:
        self._keeps = cache_ttl + OUTER_CACHE_SECONDS + MARGIN_SECONDS if cache_ttl > 0 else OUTER_CACHE_SECONDS
        self._clock = clock
        self._when = float("-inf")
        self.known = True

    def heard(self, answer: Answer) -> None:
        when = self._clock.now() - answer.seconds
        if when > self._when:
            self._when, self.known = when, answer.known

    @property
    def last(self) -> float:
        return self._clock.now() - self._when

    def seconds(self) -> float:
        return max(0.0, self._when + self._keeps - self._clock.now())


def _ask_here(
    ask: Callable[[str, str], Answer],
    denials: tuple[Wanted, ...],
    clock: Clock,
    deadline: float,
    found: Closed,
    hold: _Hold,
) -> None:
    """Ask the cluster's own address: as often as it takes to have met every server, which only chance decides."""
    total = found.total
    for _ in range(max(ROUNDS_OF_ONE_ADDRESS, 4 * total)):
        try:
            _until_in_force(ask, _HERE, denials, clock, deadline, found, hold)
        except KubeIamError as error:
            found.error = error
            return
        if total and len(found.servers) >= total:
            return


def _until_in_force(
    ask: Callable[[str, str], Answer],
    address: str,
    denials: tuple[Wanted, ...],
    clock: Clock,
    deadline: float,
    found: Closed,
    hold: _Hold,
) -> None:
    for denial in denials:
        while True:
            answer = ask(address, denial.ident)
            if answer.state == IN_FORCE and answer.until >= denial.until:
                break
            if clock.now() > deadline:
                where = address or "the cluster's address"
                raise KubeIamError(
                    f"the server behind {where} does not obey denial {denial.ident}: {answer.state}",
                    "see its log; it follows the ConfigMap that server.denyList names",
                )
            clock.sleep(_PAUSE_SECONDS)
        found.servers.add(answer.server)
        if answer.known:
            found.seen.add(denial.ident)
        hold.heard(answer)
