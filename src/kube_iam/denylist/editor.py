"""The deny list as an administrator writes it: entries of one ConfigMap, each change computed from the list that it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from kube_iam.denylist.denial import Denial, same_target
from kube_iam.denylist.entry import read_denial, write_denial, write_denials
from kube_iam.kube.client import KubeApi
from kube_iam.kube.config_map import ConfigMapEditor, Contents, Edit

CLOCK_SKEW = 3600.0
"""Seconds after its end for which an entry is left alone: a server's clock may be behind ours."""
LIFTED = 0.0
"""The end of a denial that was lifted. It says so as an entry, since a server keeps what it once knew of a deleted ConfigMap."""


class DenyStore:
    """The deny list NAMESPACE/NAME of one cluster."""

    def __init__(self, api: KubeApi, name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        namespace, _, name = name.partition("/")
        self._config_map = ConfigMapEditor(api, namespace, name, sleep)

    def describe(self) -> str:
        """The ConfigMap as messages name it."""
        return self._config_map.describe()

    def read(self) -> Contents:
        """The entries as text, and the keys of those that are binary; nothing where there is no such ConfigMap."""
        return self._config_map.read()

    def put(self, denials: Iterable[Denial], now: float) -> None:
        """Write the denials and remove what ended more than an hour ago. A missing ConfigMap is created.

        A denial replaces those in its entry that deny the same; others of that entry stay in force. Raises KubeIamError where the
        list cannot be written, Conflict when other writes came first each time.
        """
        new = tuple(denials)
        self._config_map.edit(lambda contents: Edit(_put(contents.data, new, now), None))

    def lift(
        self, chosen: Callable[[Denial], bool], by: str, now: float, otherwise: Iterable[Denial] = ()
    ) -> tuple[Denial, ...]:
        """Lift the denials in force that are chosen and return them. Raises as `put` does.

        Other denials of the same entry stay in force. Where none is chosen, `otherwise` is written.
        """
        instead = tuple(otherwise)
        return self._config_map.edit(lambda contents: _lifted(contents.data, chosen, instead, by, now))


def _put(known: Mapping[str, str], denials: Iterable[Denial], now: float) -> dict[str, str | None]:
    """The keys to write so that the denials are in the list."""
    data: dict[str, str | None] = {}
    for denial in denials:
        text = known.get(denial.ident)
        others = read_denial(denial.ident, text).denials if text is not None else ()
        data[denial.ident] = write_denial(denial)
        for other in others:
            # Under a key of its own: a probe of this entry is about this denial alone.
            if other.until > now and not same_target(other, denial):
                key = _free_key(f"{denial.ident}-", known.keys() | data.keys())
                data[key] = write_denial(other)
    return {**_ended(known, data, now), **data}


def _lifted(
    known: Mapping[str, str], chosen: Callable[[Denial], bool], otherwise: tuple[Denial, ...], by: str, now: float
) -> Edit[tuple[Denial, ...]]:
    """The keys to write so that what is chosen is lifted, and what that is."""
    lifted: list[Denial] = []
    data: dict[str, str | None] = {}
    for ident, text in known.items():
        denials = read_denial(ident, text).denials
        out = [denial for denial in denials if denial.until > now and chosen(denial)]
        if out:
            kept = [denial for denial in denials if denial not in out]
            data[ident] = write_denials(kept or [replace(out[0], until=LIFTED, reason="lifted", by=by, at=now)])
            lifted += out
    if not lifted:
        return Edit(_put(known, otherwise, now) if otherwise else {}, ())
    return Edit({**_ended(known, data, now), **data}, tuple(lifted))


def _ended(known: Mapping[str, str], written: Mapping[str, object], now: float) -> dict[str, str | None]:
    """The entries to delete: long over and not written now. One that is not as it should be is left for its author."""
    return {ident: None for ident, text in known.items() if ident not in written and _is_over(ident, text, now)}


def _is_over(ident: str, text: str, now: float) -> bool:
    denials, problem = read_denial(ident, text)
    return not problem and all(denial.until < now - CLOCK_SKEW for denial in denials)


def _free_key(stem: str, taken: Iterable[str]) -> str:
    used = frozenset(taken)
    return next(key for key in (f"{stem}{number}" for number in range(2, len(used) + 3)) if key not in used)
