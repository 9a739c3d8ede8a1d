"""Times of whole processes in `make bench`."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from required import linux_only

sys.path.insert(0, str(Path(__file__).parents[2]))
commands: Any = import_module("bench.commands")


def shell(name: str, script: str) -> Any:
    return commands.Command(name, ["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"})


def test_commands_take_turns_after_a_warm_up(tmp_path: Path) -> None:
    order = tmp_path / "order"
    pair = [shell(name, f"printf {name} >>{order}") for name in ("A", "B")]
    with commands.starter() as start:
        runs = commands.interleaved(start, pair, rounds=2, warm_up=1)
    assert order.read_text() == "ABABAB"
    assert [len(runs[name].wall_ms) for name in ("A", "B")] == [2, 2]


def test_a_command_that_fails_is_no_measurement() -> None:
    with commands.starter() as start, pytest.raises(RuntimeError, match="broken failed with 3"):
        commands.interleaved(start, [shell("broken", "exit 3")], rounds=1)
    with pytest.raises(RuntimeError, match="no such thing"):
        shell("broken", "echo no such thing >&2; exit 1").output()


@linux_only
def test_peak_memory_is_the_commands_own() -> None:
    """A child of a large process would be taken for large: Linux counts what was there before exec."""
    ballast = bytearray(200 * 1024 * 1024)
    ballast[::4096] = b"x" * len(ballast[::4096])
    with commands.starter() as start:
        runs = commands.interleaved(start, [shell("small", ":")], rounds=1)
        assert runs["small"].peak_mib[0] <= start.own_peak_mib + 2
    assert start.own_peak_mib < 50
    del ballast


def test_a_command_gets_its_own_environment_and_nothing_else() -> None:
    with commands.starter() as start:
        commands.interleaved(start, [shell("clean", 'test -z "$HOME"')], rounds=1)
