"""Reads of the sandbox's IAM that lag behind writes, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from kube_iam.sandbox.account_delay import Delay

GROUP = {"GroupName": ["late"], "UserName": ["alice"]}


class Iam:
    """Some actions of the emulated IAM with a delay of five seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self._delay = Delay(5.0, lambda: self.now)
        self._module = import_module("ministack.services.iam")

    def call(self, action: str) -> tuple[int, bool]:
        """Return the status, and whether alice is in the answer."""
        answer = self._delay.wrap(action, self._module._IAM_HANDLERS[action])
        status, _, body = answer(GROUP)
        return status, b"alice" in body


@pytest.fixture
def iam() -> Iterator[Iam]:
    module: Any = import_module("ministack.services.iam")
    module.reset()
    yield Iam()
    module.reset()


def test_reads_show_each_write_when_the_delay_is_over(iam: Iam) -> None:
    iam.call("CreateUser")
    iam.call("CreateGroup")
    iam.now = 103.0
    assert iam.call("AddUserToGroup") == (200, False)
    assert iam.call("GetGroup")[0] == 404
    iam.now = 105.0
    assert iam.call("GetGroup") == (200, False)
    iam.now = 107.9
    assert iam.call("GetGroup") == (200, False)
    iam.now = 108.0
    assert iam.call("GetGroup") == (200, True)
    iam.call("RemoveUserFromGroup")
    assert iam.call("GetGroup") == (200, True)
    iam.now = 113.0
    assert iam.call("GetGroup") == (200, False)


def test_writes_work_on_the_present_state_also_after_a_late_read(iam: Iam) -> None:
    iam.call("CreateUser")
    iam.call("CreateGroup")
    assert iam.call("GetGroup")[0] == 404
    assert iam.call("CreateGroup")[0] == 409
    assert iam.call("AddUserToGroup")[0] == 200
