"""Wait until a denial is in force on every server, and find out when kube-apiserver no longer admits the denied users from its cache.

The first is measured by status queries. For the second, kube-apiserver is asked by a SubjectAccessReview: where our server is its
authorizer, it refuses known tokens at once. Elsewhere the end is computed: kube-apiserver caches a sign-in for its webhook cache TTL,
and caches the result for another ten seconds. So the time of the last sign-in gives the end of both caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kube_iam.denylist.denial import Denial
from kube_iam.denylist.prober import NotRead
from kube_iam.denylist.status_query import IN_FORCE, StatusAnswer
from kube_iam.errors import KubeIamError, Unreachable

OUTER_CACHE_SECONDS = 10.0
"""The TTL of kube-apiserver's cache of all tokens, around that of the webhook. No flag changes it."""
MARGIN_SECONDS = 1.0
"""Time that an answer of the server may take to kube-apiserver."""
ROUNDS_OF_ONE_ADDRESS = 5
PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_CLUSTER_ADDRESS = ""

Ask = Callable[[str, str], StatusAnswer]
"""Sends a status query to the server behind an address about the denial of a name: `prober.Prober.ask`."""
Refuses = Callable[[str, Denial], bool]
"""Returns whether the API server at an address refuses requests of users that a denial covers, by our authorizer."""


@dataclass(slots=True)
class Propagation:
    """The result of a wait for denials to be in force. All times are in seconds.

    `elapsed` is the time from the start until every server that was asked had confirmed. `asked` are the addresses that answered,
    without the cluster's own; `unreachable` those that did not, with the reason; `listing_error` is why the addresses are not known.
    `servers` are the names of the servers that answered. `signed_in` are the denials of which a server remembers a sign-in.

    `cached_for` is how long kube-apiserver may still admit a denied user. It is computed from `last_sign_in`, the time since the last
    sign-in, which is an upper limit of the cache if not `last_sign_in_known`. It is 0 where kube-apiserver refuses known tokens.

    `refused` is whether every API server that was asked refuses the users' requests; None if that was not asked, for the reason
    `not_reviewed`. `refused_after` is the time from the start until the last of them did. `except_masters`: the users may be in
    system:masters, about which no authorizer is asked.
    """

    elapsed: float = 0.0
    asked: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    servers: set[str] = field(default_factory=set)
    signed_in: set[str] = field(default_factory=set)
    last_sign_in: float = float("inf")
    last_sign_in_known: bool = True
    cached_for: float = 0.0
    error: KubeIamError | None = None
    listing_error: str = ""
    except_masters: bool = False
    refused: bool | None = None
    refused_after: float = 0.0
    not_reviewed: str = ""

    @property
    def total(self) -> int:
        """The number of API servers that the cluster names."""
        return len(self.asked) + len(self.unreachable)

    @property
    def complete(self) -> bool:
        """Whether every API server was asked, at its own address or behind the cluster's address by as many servers.

        False if the number of API servers is not known: the same server may have answered each time.
        """
        return self.error is None and self.total > 0 and (not self.unreachable or len(self.servers) >= self.total)

    @property
    def single_address(self) -> bool:
        """Whether only the cluster's own address was asked, since the cluster names no other."""
        return self.error is None and not self.total and not self.listing_error

    def unconfirmed(self) -> KubeIamError | None:
        """Return the error of denials that are written and may not be in force everywhere, or None if they are.

        A cluster that names no API server but its one address counts as in force, and `confirmation` says so.
        """
        error = self.error
        if error is None and not (self.complete or self.single_address):
            error = self._incomplete()
        if error is None or isinstance(error, NotRead):
            return error
        return KubeIamError(
            f"the denial is written, but whether it is in force is not known: {error.message}", error.hint
        )

    def confirmation(self) -> str:
        """Return how many servers confirmed a denial that is in force, to follow `is out`."""
        masters = ", except in system:masters" if self.except_masters else ""
        refuses = f"; kube-apiserver refuses known tokens too{masters}" if self.refused else ""
        if self.complete:
            return f" ({self.total} of {self.total} servers confirmed{refuses})"
        return f", if there is no other server ({len(self.servers)} confirmed; the cluster lists none{refuses})"

    def _incomplete(self) -> KubeIamError:
        if self.listing_error:
            return KubeIamError(
                f"which API servers there are cannot be read: {self.listing_error}",
                "it takes the right to get the EndpointSlice kubernetes in the namespace default",
            )
        return KubeIamError(
            f"{len(self.unreachable)} of {self.total} API servers could not be asked",
            "repeat the command from where each can be reached at its own address",
        )


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock in seconds, and a wait by it."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


def wait_for_propagation(
    ask: Ask,
    addresses: Sequence[str],
    expected: Iterable[Denial],
    clock: Clock,
    *,
    began: float,
    cache_ttl: float,
    listing_error: str = "",
    refuses: Refuses | None = None,
) -> Propagation:
    """Return once the denials are in force on every server until their ends, or that cannot be known (`error`). Raises nothing.

    `began` is when they were about to be written, by `clock`. `cache_ttl` is the TTL of kube-apiserver's webhook cache in seconds.
    Each API server behind which they are in force is asked by `refuses`.
    """
    wait = _Wait(ask, tuple(expected), clock, began, cache_ttl, refuses)
    result = wait.result
    result.listing_error = listing_error
    for address in addresses:
        try:
            wait.ask_until_in_force(address)
            result.asked.append(address)
        except Unreachable as error:
            result.unreachable[address] = error.message
        except KubeIamError as error:
            result.error = error
    if result.error is None and (not result.asked or result.unreachable):
        try:
            wait.ask_cluster_address()
        except KubeIamError as error:
            result.error = error
    result.elapsed = clock.now() - began
    wait.compute_cache()
    return result


class _Wait:
    """The status queries of one wait, and what their answers add up to."""

    def __init__(
        self,
        ask: Ask,
        expected: Sequence[Denial],
        clock: Clock,
        began: float,
        cache_ttl: float,
        refuses: Refuses | None,
    ) -> None:
        self.result = Propagation()
        self._began = began
        self._refuses = refuses
        self._ask = ask
        self._expected = expected
        self._clock = clock
        self._deadline = began + PATIENCE_SECONDS
        self._cache = cache_ttl + OUTER_CACHE_SECONDS + MARGIN_SECONDS if cache_ttl > 0 else OUTER_CACHE_SECONDS
        self._last_sign_in = float("-inf")

    def ask_cluster_address(self) -> None:
        """Ask the cluster's own address until as many servers answered as there are API servers, or often enough.

        Which server answers is chance. Raises KubeIamError.
        """
        total = self.result.total
        for _ in range(max(ROUNDS_OF_ONE_ADDRESS, 4 * total)):
            self.ask_until_in_force(_CLUSTER_ADDRESS)
            if total and len(self.result.servers) >= total:
                return

    def ask_until_in_force(self, address: str) -> None:
        """Ask at the address until every denial is in force there. Raises KubeIamError, also if it is not by the deadline."""
        for denial in self._expected:
            answer = self._ask(address, denial.name)
            while answer.state != IN_FORCE or answer.until < denial.until:
                if self._clock.now() > self._deadline:
                    where = address or "the cluster's address"
                    raise KubeIamError(
                        f"the server behind {where} does not apply denial {denial.name}: {answer.state}",
                        "see its log; it follows the ConfigMap that server.denyList names",
                    )
                self._clock.sleep(_PAUSE_SECONDS)
                answer = self._ask(address, denial.name)
            self._record(denial, answer)
        self._review(address)

    def _review(self, address: str) -> None:
        """Ask the API server whether it refuses the users. The first that does not, and an error, end these questions."""
        result, refuses = self.result, self._refuses
        if refuses is None or result.refused is False or result.not_reviewed:
            return
        try:
            result.refused = all(refuses(address, denial) for denial in self._expected)
        except KubeIamError as error:
            result.refused, result.not_reviewed = None, error.message
        result.refused_after = self._clock.now() - self._began

    def _record(self, denial: Denial, answer: StatusAnswer) -> None:
        self.result.servers.add(answer.server)
        if answer.known:
            self.result.signed_in.add(denial.name)
        last_sign_in = self._clock.now() - answer.last_sign_in
        if last_sign_in > self._last_sign_in:
            self._last_sign_in, self.result.last_sign_in_known = last_sign_in, answer.known

    def compute_cache(self) -> None:
        """Set how long ago the last sign-in was, and for how long kube-apiserver's caches may still hold it."""
        self.result.last_sign_in = self._clock.now() - self._last_sign_in
        left = max(0.0, self._last_sign_in + self._cache - self._clock.now())
        self.result.cached_for = 0.0 if self.result.refused else left
