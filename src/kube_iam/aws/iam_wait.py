"""Waiting for IAM, which is eventually consistent: a write may be missing from the next read, or from the next check.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.errors import AwsError

T = TypeVar("T")
_BACKOFF = ExponentialBackoff(first=0.25, longest=5.0)


def ignore_progress(_awaited: str) -> None:
    """Ignore what is awaited: the progress callback of callers that show nothing."""


@dataclass(frozen=True, slots=True)
class IamWaiter:
    """Repeats reads and calls with exponential backoff, for `window` seconds in all. Clock, sleep and jitter are set in tests."""

    window: float = 60.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def until(self, awaited: str, ready: Callable[[], bool], progress: Callable[[str], None] = ignore_progress) -> None:
        """Return once `ready` is true. `progress` is called only where that takes more than one read.

        Raises AwsError, naming what is awaited, when the window ends.
        """
        deadline, attempts = self.clock() + self.window, 0
        while not ready():
            attempts += 1
            self._pause(deadline, attempts, awaited, progress)

    def retry(
        self,
        awaited: str,
        attempt: Callable[[], T],
        passing: Callable[[Exception], bool],
        progress: Callable[[str], None] = ignore_progress,
    ) -> T:
        """Return the result of `attempt`, which is repeated while it fails with an error that is `passing`.

        Raises the last error when the window ends, and any other error at once.
        """
        deadline, attempts = self.clock() + self.window, 0
        while True:
            try:
                return attempt()
            except Exception as error:
                if not passing(error) or self.clock() >= deadline:
                    raise
            attempts += 1
            self._pause(deadline, attempts, awaited, progress)

    def _pause(self, deadline: float, attempts: int, awaited: str, progress: Callable[[str], None]) -> None:
        left = deadline - self.clock()
        if left <= 0:
            raise AwsError(
                f"IAM does not show {awaited} after {self.window:.0f} s",
                "IAM is slow now and then; repeat the command, it goes on where it stopped",
            )
        progress(f"waiting for IAM to show {awaited}")
        self.sleep(min(left, _BACKOFF.pause(attempts, self.jitter())))
