"""Whole processes, timed: one warm-up run each, then A B A B, so that a change of the machine's mood meets all of them alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A program with its arguments and its whole environment. `before` is called before each run, and is not timed."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    before: Callable[[], None] = lambda: None

    def output(self) -> str:
        """Return the output of one untimed run. It has to succeed: a command that fails fast must never win a race."""
        done = subprocess.run(  # noqa: S603
            list(self.argv), env=dict(self.environment), capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.name} failed: {done.stderr.strip()[-500:]}")
        return done.stdout


@dataclass
class Runs:
    """Measurements of one command, run by run."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)


class Starter:
    """Starts commands from a small process (`spawn`)."""

    def __init__(self) -> None:
        script = str(Path(__file__).with_name("spawn.py"))
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.own_peak_mib = float(self._read()) / 1024

    def run(self, command: Command, into: Runs | None = None) -> None:
        """Run it once, and remember what was measured."""
        assert self._process.stdin is not None
        variables = "\x1f".join(f"{name}={value}" for name, value in command.environment.items())
        line = "\x1f".join(command.argv) + "\x1e" + variables
        if "\n" in line:
            raise ValueError("a line feed cannot be passed to a command here")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        wall, cpu, peak, code = self._read().split()
        if int(code) != 0:
            raise RuntimeError(f"{command.name} failed with {code}")
        if into is not None:
            into.wall_ms.append(float(wall) * 1000)
            into.cpu_ms.append(float(cpu) * 1000)
            into.peak_mib.append(float(peak) / 1024)

    def close(self) -> None:
        """End the small process."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the starter of commands has ended")
        return line


@contextmanager
def starter() -> Iterator[Starter]:
    """Yield a running starter."""
    made = Starter()
    try:
        yield made
    finally:
        made.close()


def interleaved(start: Starter, commands: Sequence[Command], rounds: int, warm_up: int = 2) -> dict[str, Runs]:
    """Each command `rounds` times after the warm-up, taking turns; what was measured by the commands' names."""
    runs = {command.name: Runs() for command in commands}
    for turn in range(-warm_up, rounds):
        for command in commands:
            command.before()
            start.run(command, runs[command.name] if turn >= 0 else None)
    return runs
