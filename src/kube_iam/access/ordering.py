"""Order of the changes of a plan: additions come before removals, so that a run that stops half way leaves access in place.

1. Policies come off the groups of other levels. This precedes all additions: a policy may be about to name another level's role.
2. Each level is built. A role that moves to another path comes last: IAM has no two roles of one name, so the old one goes first.
3. Mapping entries, temporary access and bindings go. What the caller is signed in with goes last: without it the caller could not
   delete the rest.
4. IAM's part of the levels that leave goes. A policy document stops naming a replaced role after that role is deleted: until then
   the document is the only record of the role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from kube_iam.access.building import LevelBuilder
from kube_iam.access.changes import Change, Ended, Kind
from kube_iam.access.desired import DesiredLevel
from kube_iam.access.ports import BindingState, MappingEntry

_CLUSTER_SIDE = {Kind.MAPPING: 0, Kind.TEMPORARY: 1, Kind.BINDING: 2}
_ADMINISTRATOR = "cluster-admin"


def arrange(
    taken: Iterable[Change],
    levels: Iterable[LevelBuilder],
    removed: Iterable[Change],
    own: Callable[[Change], bool],
) -> tuple[Change, ...]:
    """Return all changes in the order above.

    `taken` holds what `closing` and `replacing` yield, `removed` what `removing` yields. `own` says of a change whether it takes
    away what the caller is signed in with.
    """
    builders, left = tuple(levels), list(taken)
    early, left = _split(left, lambda change: change.kind is Kind.ATTACHMENT)
    built = [change for builder in builders if not builder.role_is_moved for change in builder.changes]
    for builder in builders:
        if builder.role_is_moved:
            first, left = _split(left, partial(_is_about, builder.level))
            built += [*first, *builder.changes]
    roles, left = _split(left, lambda change: change.kind is Kind.ROLE)
    left += [change for builder in builders for change in builder.narrowed_bindings]
    documents = [change for builder in builders for change in builder.narrowed_policy]
    return (*early, *built, *sorted(left, key=lambda change: _rank(change, own)), *roles, *removed, *documents)


def _split(changes: list[Change], first: Callable[[Change], bool]) -> tuple[list[Change], list[Change]]:
    return [change for change in changes if first(change)], [change for change in changes if not first(change)]


def _is_about(level: DesiredLevel, change: Change) -> bool:
    """Whether the change takes away the level's role, its mapping entry or temporary access by that entry."""
    if change.kind is Kind.ROLE:
        return change.name.casefold() == level.role_key
    entry = change.item.entry if isinstance(change.item, Ended) else change.item
    return isinstance(entry, MappingEntry) and entry.key == level.entry.key


def _rank(change: Change, own: Callable[[Change], bool]) -> tuple[bool, int, bool, bool]:
    """Sort the caller's own access last, and in it the binding that most probably allows to delete bindings."""
    binding = change.item if isinstance(change.item, BindingState) else None
    cluster_wide = binding is not None and not binding.namespace
    administrator = binding is not None and binding.role_name == _ADMINISTRATOR
    return own(change), _CLUSTER_SIDE[change.kind], cluster_wide, administrator
