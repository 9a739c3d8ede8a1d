"""The deny list for an administrator: changes of the ConfigMap, and the wait until the servers enforce them.

Each change is computed from the version of the ConfigMap that it changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from kube_iam.core.reasons import Reason
from kube_iam.denylist.denial import Denial, same_target
from kube_iam.denylist.entry import format_denial, format_entry, parse_entry
from kube_iam.denylist.prober import HERE, NoServer, Prober
from kube_iam.denylist.propagation import Clock, Propagation, wait_for_propagation
from kube_iam.denylist.reviewed_users import reviewed_user
from kube_iam.denylist.status_query import IN_FORCE
from kube_iam.errors import KubeIamError
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapEditor, Contents, Edit

SYSTEM_CLOCK = Clock(time.monotonic, time.sleep)
CLOCK_SKEW = 3600.0
"""Seconds after its end for which an entry is kept: a server's clock may be behind ours."""
REMOVED = 0.0
"""The end (Unix time) of a denial that was removed. It stays as an entry, since a server keeps the denials of a deleted ConfigMap."""


class DenyListEditor:
    """The deny list NAMESPACE/NAME of one cluster."""

    def __init__(self, api: KubeApi, name: str, clock: Clock = SYSTEM_CLOCK) -> None:
        namespace, _, name = name.partition("/")
        self._clock = clock
        self._prober = Prober(api)
        self._config_map = ConfigMapEditor(api, namespace, name, clock.sleep)

    def describe(self) -> str:
        """Return the ConfigMap as messages name it."""
        return self._config_map.describe()

    def read(self) -> Contents:
        """Return the entries as text and the keys of binary ones, both empty without the ConfigMap. Raises KubeIamError."""
        return self._config_map.read()

    def denials(self) -> list[Denial]:
        """Return all denials of the list, ended ones too. Raises KubeIamError."""
        return [denial for name, text in self.read().data.items() for denial in parse_entry(name, text).denials]

    def add(self, denials: Iterable[Denial], now: float) -> None:
        """Write the denials, and delete entries that ended more than an hour before `now` (Unix seconds).

        Creates the ConfigMap where there is none. A denial replaces denials of the same sign-ins in its entry; other denials of that
        entry stay in force. Raises KubeIamError where the list cannot be written, Conflict if every attempt met another write.
        """
        new = tuple(denials)
        self._config_map.edit(lambda contents: Edit(_additions(contents.data, new, now), None))

    def wait_until_in_force(
        self, denials: Sequence[Denial], *, began: float, cache_ttl: float, groups: Sequence[str] = ()
    ) -> Propagation:
        """Return once all servers confirm the denials, or that cannot be known (`Propagation.error`). Raises nothing.

        `began` is the time by the clock at which the command began, `cache_ttl` the TTL of kube-apiserver's cache in seconds. `groups`
        are Kubernetes groups that the denied users may be in, for the question whether kube-apiserver refuses them.
        """
        addresses: tuple[str, ...] = ()
        listing_error = ""
        try:
            addresses = self._prober.addresses()
        except KubeIamError as error:
            listing_error = error.message
        return wait_for_propagation(
            self._prober.ask,
            addresses,
            denials,
            self._clock,
            began=began,
            cache_ttl=cache_ttl,
            listing_error=listing_error,
            refuses=partial(self._refuses, groups),
        )

    def _refuses(self, groups: Sequence[str], address: str, denial: Denial) -> bool:
        """Return whether the API server at the address refuses a user in these groups that the denial covers. Raises KubeIamError."""
        user = reviewed_user(denial, groups)
        return user is not None and self._prober.refusal(address, user) is Reason.DENIED

    def no_server(self, name: str) -> NoServer | None:
        """Return the error of a cluster without a server that may apply the denial of that name, or None.

        The cluster's own address alone is asked: the API servers' own ones cannot be reached from everywhere.
        """
        try:
            self._prober.ask(HERE, name)
        except NoServer as error:
            return error
        except KubeIamError:
            pass
        return None

    def is_remembered(self, name: str) -> bool | None:
        """Return whether a server has a denial of that name in force. None: no server said so, and not every one could be asked."""
        all_asked = True
        try:
            addresses: tuple[str, ...] = self._prober.addresses() or (HERE,)
        except KubeIamError:
            addresses, all_asked = (HERE,), False
        for address in addresses:
            try:
                if self._prober.ask(address, name).state == IN_FORCE:
                    return True
            except KubeIamError:
                all_asked = False
        return False if all_asked else None

    def remove(
        self, chosen: Callable[[Denial], bool], actor: str, now: float, otherwise: Iterable[Denial] = ()
    ) -> tuple[Denial, ...]:
        """Remove the denials in force that are chosen and return them. Raises as `add` does.

        Other denials of the same entry stay in force. Where none is chosen, `otherwise` is written.
        """
        instead = tuple(otherwise)
        return self._config_map.edit(lambda contents: _removals(contents.data, chosen, instead, actor, now))


def _additions(known: Mapping[str, str], denials: Iterable[Denial], now: float) -> dict[str, str | None]:
    """Return the keys to write so that the list has the denials. None deletes a key."""
    data: dict[str, str | None] = {}
    for denial in denials:
        text = known.get(denial.name)
        others = parse_entry(denial.name, text).denials if text is not None else ()
        data[denial.name] = format_denial(denial)
        for other in others:
            # Under a key of its own: a status query of this entry is about this denial alone.
            if other.until > now and not same_target(other, denial):
                key = _free_key(f"{denial.name}-", known.keys() | data.keys())
                data[key] = format_denial(other)
    return {**_ended(known, data, now), **data}


def _removals(
    known: Mapping[str, str], chosen: Callable[[Denial], bool], otherwise: tuple[Denial, ...], actor: str, now: float
) -> Edit[tuple[Denial, ...]]:
    """Return the keys to write so that the chosen denials are removed, and these denials."""
    removed: list[Denial] = []
    data: dict[str, str | None] = {}
    for name, text in known.items():
        denials = parse_entry(name, text).denials
        out = [denial for denial in denials if denial.until > now and chosen(denial)]
        if out:
            kept = [denial for denial in denials if denial not in out]
            data[name] = format_entry(kept or [replace(out[0], until=REMOVED, reason="removed", actor=actor, at=now)])
            removed += out
    if not removed:
        return Edit(_additions(known, otherwise, now) if otherwise else {}, ())
    return Edit({**_ended(known, data, now), **data}, tuple(removed))


def _ended(known: Mapping[str, str], written: Mapping[str, object], now: float) -> dict[str, str | None]:
    """Return the deletions of entries that ended long ago and are not written now. Malformed entries stay for their author."""
    return {name: None for name, text in known.items() if name not in written and _has_ended(name, text, now)}


def _has_ended(name: str, text: str, now: float) -> bool:
    denials, problem = parse_entry(name, text)
    return not problem and all(denial.until < now - CLOCK_SKEW for denial in denials)


def _free_key(stem: str, taken: Iterable[str]) -> str:
    used = frozenset(taken)
    return next(key for key in (f"{stem}{number}" for number in range(2, len(used) + 3)) if key not in used)
