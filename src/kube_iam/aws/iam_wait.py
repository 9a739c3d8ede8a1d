"""Waiting for IAM, which is eventually consistent: what was just written may be missing from the next read, or from the next check.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kube_iam.errors import AwsError

T = TypeVar("T")


def say_nothing(_awaited: str) -> None:
    """A progress callback for those who do not watch."""


@dataclass(frozen=True, slots=True)
class IamWaiter:
    """Exponential backoff with full jitter, for `window` seconds in all; clock, sleep and jitter are given in tests."""

    window: float = 60.0
    first_pause: float = 0.25
    longest_pause: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def until(self, awaited: str, ready: Callable[[], bool], progress: Callable[[str], None] = say_nothing) -> None:
        """Ask until `ready`. Raises AwsError naming what is awaited when the window ends. Says nothing when it is ready at once."""
        deadline, pause = self.clock() + self.window, self.first_pause
        while not ready():
            self._pause(deadline, pause, awaited, progress)
            pause = min(pause * 2, self.longest_pause)

    def retry(
        self,
        awaited: str,
        attempt: Callable[[], T],
        passing: Callable[[Exception], bool],
        progress: Callable[[str], None] = say_nothing,
    ) -> T:
        """Do `attempt` again while it fails with an error that is `passing`. The last error is raised when the window ends."""
        deadline, pause = self.clock() + self.window, self.first_pause
        while True:
            try:
                return attempt()
            except Exception as error:
                if not passing(error) or self.clock() >= deadline:
                    raise
            self._pause(deadline, pause, awaited, progress)
            pause = min(pause * 2, self.longest_pause)

    def _pause(self, deadline: float, pause: float, awaited: str, progress: Callable[[str], None]) -> None:
        left = deadline - self.clock()
        if left <= 0:
            raise AwsError(
                f"IAM does not show {awaited} after {self.window:.0f} s",
                "IAM is slow now and then; repeat the command, it goes on where it stopped",
            )
        progress(f"waiting for IAM to show {awaited}")
        self.sleep(min(left, pause * (0.5 + self.jitter() / 2)))
