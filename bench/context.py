"""Programs, the fake STS, a directory, and the amount to measure: the context of every row."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.commands import Starter
from bench.fakes import FakeSts

CLUSTER_ID = "bench.example.com"
ROLE = "arn:aws:iam::123456789012:role/bench-admin"


@dataclass(frozen=True)
class Programs:
    """Paths of what is measured and of what measures, as tools/bench-tools.sh prints them."""

    reference: str
    aws: str
    kube_iam: str
    vegeta: str
    fakests: str
    load: str


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark. `scale` multiplies counts and times: 1 for a real run, little for a smoke test."""

    programs: Programs
    directory: Path
    start: Starter
    sts: FakeSts
    scale: float
    began: float

    def times(self, count: int, least: int = 2) -> int:
        """So many repetitions, scaled."""
        return max(least, round(count * self.scale))

    def seconds(self, seconds: float) -> float:
        """So long a measurement, scaled."""
        return max(0.3, seconds * self.scale)

    def say(self, text: str) -> None:
        """Print a line of progress."""
        sys.stderr.write(f"[{time.monotonic() - self.began:5.1f} s] {text}\n")
        sys.stderr.flush()

    def environment(self, home: str, **more: str) -> dict[str, str]:
        """Return the environment of a command: a home of its own, credentials of the fake account, and the fake as STS."""
        directory = self.directory / "homes" / home
        directory.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(directory),
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
            "AWS_SECRET_ACCESS_KEY": "bench-secret-access-key-that-opens-nothing",
            **self.sts.environment(),
            **more,
        }
