"""States between two steps of a change: they add what is new and keep what people still rely on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kube_iam.access.desired import DesiredLevel
from kube_iam.access.ports import BindingState


def document_for_now(level: DesiredLevel, have: object, former: Iterable[str]) -> dict[str, object]:
    """Return the policy's document until the level's `former` roles (ARNs) are deleted: it names them beside the new one.

    Until then the document is the only record of a former role, and people may still hold sessions of it alone.
    """
    want, former = level.policy.document, sorted(former)
    if not former or not isinstance(have, dict):
        return want
    if level.role is None:
        return have
    return {**want, "Statement": [{**_only_statement(want), "Resource": [level.role.arn, *former]}]}


def binding_for_now(have: BindingState, want: BindingState, present: Iterable[str]) -> BindingState:
    """Return the binding until the mapping entry has changed: the level's people hold the entry's `present` groups until then."""
    present = set(present)
    return replace(want, groups=(*want.groups, *(each for each in have.groups if each in present - set(want.groups))))


def adds(have: BindingState, now: BindingState) -> bool:
    """Whether the binding gets more than other groups taken away."""
    return bool(set(now.groups) - set(have.groups)) or replace(have, groups=()) != replace(now, groups=())


def _only_statement(document: dict[str, object]) -> dict[str, object]:
    """The statement of a policy that `policy_document` made."""
    statements = document["Statement"]
    assert isinstance(statements, list)
    assert isinstance(statements[0], dict)
    return statements[0]
