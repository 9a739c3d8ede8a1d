"""Exponential backoff: the one schedule of pauses between attempts. Pure: the caller draws the random number and waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """Pauses that double from `first` to `longest`, in seconds.

    `jitter` is the share of each pause that is random, from 0 to 1. It keeps many clients from coming back at the same time
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """

    first: float
    longest: float
    jitter: float = 0.5

    def pause(self, failures: int, random: float = 1.0) -> float:
        """Return the pause in seconds after so many failures in a row, counted from 1.

        `random` is from 0 to 1; 1 is the full pause.
        """
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return full * (1 - self.jitter * (1 - random))
