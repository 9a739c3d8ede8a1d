"""Rows about the way out: from `revoke` to the first kubectl that is refused, for somebody who holds a live session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.context import Bench
from bench.figures import Row, part
from kube_iam.sandbox.people import ensure_user
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.shell import environment
from kube_iam.sandbox.state import ADMINISTRATOR, Home, State
from kube_iam.sandbox.up import down, up

PEOPLE = 3
CACHE_TTLS = (10, 120)  # seconds; the second is kube-apiserver's default
_BIN = Path(sys.executable).parent
_ANEW = {"KUBE_IAM_TOKEN_CACHE": "0"}


@dataclass
class Site:
    """A sandbox that is up, with its levels applied."""

    home: Home
    state: State
    variables: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """An IAM user (the administrator too), and what they need in their environment."""
        self.state = ensure_user(self.home, self.state, name)
        credentials = self.state.user(name)
        assert credentials is not None
        shared = {"PATH": f"{_BIN}:/usr/bin:/bin", "HOME": str(self.home.root)}
        self.variables[name] = {**shared, **environment(self.home, self.state, name, credentials)}

    def run(self, name: str, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """What the command says to that person."""
        return subprocess.run(  # noqa: S603
            list(command), env={**self.variables[name], **more}, capture_output=True, text=True, check=False, timeout=60
        )

    def administer(self, *command: str) -> str:
        """What the command prints to the administrator. Raises RuntimeError."""
        done = self.run(ADMINISTRATOR, *command)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def is_in(self, name: str, **more: str) -> bool:
        """Whether kubectl works for a viewer."""
        command = ("kubectl", "--kubeconfig", str(self.home.root / "viewer.yaml"), "auth", "whoami")
        return self.run(name, *command, **more).returncode == 0


@dataclass(frozen=True)
class Left:
    """Seconds from the start of a `revoke`: until it is in force by its own measurement, and until kubectl was refused."""

    in_force: float
    refused: float


def revoke(bench: Bench) -> list[Row]:
    """From `revoke` to the first refused kubectl, with and without --now, with a new token for each kubectl and with a kept one."""
    rows = []
    for ttl in CACHE_TTLS:
        with _site(bench, ttl) as site:
            out = {
                (now, kept): _leave(bench, site, ttl, now=now, kept=kept)
                for now in (True, False)
                for kept in (False, True)
            }
        parts = [part("revoke --now, in force", "s", [each.in_force for each in out[True, False] + out[True, True]])]
        for (now, kept), left in out.items():
            label = f"revoke{' --now' if now else ''}, {'a kept token' if kept else 'new tokens'}"
            parts.append(part(label, "s", [each.refused for each in left]))
        what = f"from `revoke` to the first refused kubectl, kube-apiserver's cache {ttl} s"
        notes = (
            "the sandbox: groups are read every 2 s, 15 s by default, and its IAM shows a change at once, AWS's own in seconds",
            "a kept token was accepted just before: the longest that kube-apiserver can remember it",
        )
        rows.append(Row(f"revoke-{ttl}", what, tuple(parts), notes))
    return rows


def _leave(bench: Bench, site: Site, ttl: int, *, now: bool, kept: bool) -> list[Left]:
    names = [
        f"ttl{ttl}-{'now' if now else 'later'}-{'kept' if kept else 'new'}-{number}" for number in range(_people(bench))
    ]
    bench.say(f"revoke: {', '.join(names)}")
    anew = {} if kept else _ANEW
    for name in names:
        site.add(name)
        site.administer("kube-iam", "grant", name, "viewer")
        if not wait_until(lambda name=name: site.is_in(name, **_ANEW), 60):  # type: ignore[misc]
            raise RuntimeError(f"{name} does not get in")
    if not kept:
        return [_one(site, name, ttl, now=now, more=anew) for name in names]
    # They wait for kube-apiserver, and need next to nothing of the machine for it.
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        return list(pool.map(lambda name: _one(site, name, ttl, now=now, more=anew), names))


def _one(site: Site, name: str, ttl: int, *, now: bool, more: dict[str, str]) -> Left:
    if not site.is_in(name, **more):
        raise RuntimeError(f"{name} is not in")
    options: Sequence[str] = ("--now", "--no-wait", "--cache-ttl", f"{ttl}s") if now else ()
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as pool:
        said = pool.submit(site.administer, "kube-iam", "revoke", name, "viewer", *options, "-o", "json")
        while site.is_in(name, **more):
            if time.monotonic() - began > ttl + 60:
                raise RuntimeError(f"{name} is still in")
        refused = time.monotonic() - began
        answer = json.loads(said.result())
    return Left(float(answer.get("inForceAfterSeconds", 0)), refused)


def _people(bench: Bench) -> int:
    return bench.times(PEOPLE, least=1)


@contextmanager
def _site(bench: Bench, ttl: int) -> Iterator[Site]:
    home = Home(bench.directory / f"sandbox-{ttl}")
    try:
        site = Site(home, up(home, os.environ, lambda line: bench.say(f"revoke: {line}"), cache_ttl_seconds=ttl))
        site.add(ADMINISTRATOR)
        site.administer("kube-iam", "apply", "--yes")
        (home.root / "viewer.yaml").write_text(site.administer("kube-iam", "kubeconfig", "viewer"))
        yield site
    finally:
        down(home)
