"""Reasons of sessions with another role id than was read, while made-up ids are asked about."""

from __future__ import annotations

import sys

from kube_iam.core.reasons import Reason
from kube_iam.membership.role_history import RoleHistory
from kube_iam.membership.snapshots import RoleSnapshot

ROLE = "arn:aws:iam::111122223333:role/admin"


def test_made_up_role_ids_take_no_memory_and_change_no_reason() -> None:
    history, seen = RoleHistory(), RoleSnapshot(5.0, "AROANEW")
    assert history.refusal(ROLE, seen, "AROAOLD", 10.0, 0.0).reason is Reason.ROLE_RECREATED

    def flood(first: int) -> int:
        for number in range(first, first + 5000):
            history.refusal(ROLE, seen, f"AROA{number}", 11.0, 0.0)
        return sum(sys.getsizeof(value) for value in vars(history).values())

    assert flood(0) == flood(5000)
    read_since = RoleSnapshot(20.0, "AROANEW")
    assert history.refusal(ROLE, read_since, "AROAOLD", 21.0, 0.0).reason is Reason.SESSION_PREDATES_ROLE
    assert history.refusal(ROLE, read_since, "AROA9999", 21.0, 0.0).reason is Reason.ROLE_RECREATED
