"""Eventual consistency of the emulated IAM, on demand: reads show memberships and policies as they were some seconds ago.

As in AWS, writes work on the present state. Reads and authorization see the changes later.
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from typing import Any

_TABLES = ("_users", "_groups", "_roles", "_policies", "_user_inline_policies", "_group_inline_policies")
_READS = ("Get", "List", "Simulate")
_GATHER = ("_gather_user_policies", "_gather_role_policies")


class Delay:
    """The states of IAM's tables after each write, for reads that are `seconds` late."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._states = deque([(clock() - seconds, self._copy())])

    def wrap(self, action: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Return the handler of an IAM action with its reads delayed, or with its writes recorded."""

        def read(*arguments: Any) -> Any:
            with self._late():
                return handler(*arguments)

        def write(*arguments: Any) -> Any:
            answer = handler(*arguments)
            self._states.append((self._clock(), self._copy()))
            return answer

        return read if action.startswith((*_READS, *_GATHER)) else write

    @contextmanager
    def _late(self) -> Iterator[None]:
        """Show the newest state that is old enough. No other request sees it, because the emulator's handlers never wait."""
        until = self._clock() - self._seconds
        while len(self._states) > 1 and self._states[1][0] <= until:
            self._states.popleft()
        iam = import_module("ministack.services.iam")
        present = {name: getattr(iam, name)._data for name in _TABLES}
        try:
            for name, data in self._states[0][1].items():
                getattr(iam, name)._data = data
            yield
        finally:
            for name, data in present.items():
                getattr(iam, name)._data = data

    @staticmethod
    def _copy() -> dict[str, Any]:
        iam = import_module("ministack.services.iam")
        return {name: deepcopy(getattr(iam, name)._data) for name in _TABLES}


def install_delay(seconds: float) -> None:
    """Delay reads of IAM, and the collection of a principal's policies, by that many seconds."""
    delay = Delay(seconds)
    handlers = import_module("ministack.services.iam")._IAM_HANDLERS
    for action, handler in handlers.items():
        handlers[action] = delay.wrap(action, handler)
    evaluator = import_module("ministack.core.iam_evaluator")
    for name in _GATHER:
        setattr(evaluator, name, delay.wrap(name, getattr(evaluator, name)))
