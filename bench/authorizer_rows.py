"""The cost of the authorizer: GETs on the real kube-apiserver by a user whose requests it asks our server about, and by another user.

Both users have the same rights by RBAC and a token that kube-apiserver has cached: alice's of our server, and a service account's, for
whose requests no webhook is asked. Their difference is what the authorizer adds.
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from typing import Any

from bench.context import Bench
from bench.figures import Row, part
from bench.figures import ours as own
from bench.revocation_rows import KNOWN_TTL, Site, applied_site
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID

RATE = 300
_MOST = 20_000
_PATH = "/api/v1/namespaces/default/configmaps"
_RESULTS = ("no_opinion", "denied", "unavailable")


@dataclass(frozen=True)
class _Latencies:
    """Percentiles of one attack, in ms."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f} ms, p99 {self.p99:.2f} ms"


@dataclass(frozen=True)
class _Used:
    """Processor seconds of our server, of all threads and of that of the event loop, and how often a thread waited for something."""

    seconds: float = 0.0
    loop: float = 0.0
    waits: float = 0.0

    def __add__(self, other: _Used) -> _Used:
        return _Used(self.seconds + other.seconds, self.loop + other.loop, self.waits + other.waits)

    def __sub__(self, other: _Used) -> _Used:
        return _Used(self.seconds - other.seconds, self.loop - other.loop, self.waits - other.waits)


def cost(bench: Bench) -> list[Row]:
    """Measure GETs at a fixed rate by a user of ours and by another, in turn."""
    with applied_site(bench, "authorizer-cost", KNOWN_TTL, authorizer=True) as site:
        site.admit(["alice"])
        alice, other = _token(site, "alice"), _service_account(site)
        for token in (alice, other):
            _attack(bench, site, token, 1.0)
        mine: list[_Latencies] = []
        its: list[_Latencies] = []
        asked, used = 0.0, _Used()
        for number in range(bench.times(4)):
            for token, found in ((other, its), (alice, mine)):
                before = _reviews(site), _used(site)
                found.append(_attack(bench, site, token, bench.seconds(5)))
                reviews, more = _reviews(site) - before[0], _used(site) - before[1]
                if token == alice:
                    asked, used = asked + reviews, used + more
                elif reviews:
                    raise RuntimeError(f"{reviews:.0f} requests of another user reached the authorizer")
                who = "alice" if token == alice else "other"
                bench.say(f"  round {number + 1}, {who}: {found[-1]}, {reviews:.0f} reviews")
        before = _reviews(site), _used(site)
        _attack(bench, site, alice, bench.seconds(5), rate=0)
        most, most_used = _reviews(site) - before[0], _used(site) - before[1]
    if not asked:
        raise RuntimeError("kube-apiserver asked for no review: it runs without the authorizer")
    parts = (
        part("added p50", "ms", _added([each.p50 for each in mine], [each.p50 for each in its]), None, own("<=", 1)),
        part("added p99", "ms", _added([each.p99 for each in mine], [each.p99 for each in its]), None, own("<=", 5)),
        part("CPU of our server a review", "µs", [used.seconds / asked * 1e6], None, own("<=", 100)),
        part("of it, the thread of the event loop", "µs", [used.loop / asked * 1e6], None),
        part("times that a thread waits, a review", "", [used.waits / asked], None),
        part("CPU a review, 64 GETs at a time", "µs", [most_used.seconds / most * 1e6], None),
        part("times that a thread waits, the same", "", [most_used.waits / most], None),
        part("p50 of a GET", "ms", [each.p50 for each in mine], [each.p50 for each in its], None, "user of others"),
        part("p99 of a GET", "ms", [each.p99 for each in mine], [each.p99 for each in its], None, "user of others"),
    )
    notes = (
        "a level with an IAM group, and a deny list; no request of the other user reached our server",
        f"{asked:.0f} reviews, and {most:.0f} with 64 at a time: at {RATE}/s each one wakes the threads of our server anew",
        "the processor time of our server includes TLS, HTTP and its background work",
    )
    return [Row("authorizer", f"GETs at {RATE}/s on the real kube-apiserver, with and without a review", parts, notes)]


def _added(mine: Sequence[float], its: Sequence[float]) -> list[float]:
    """Return the differences of each round, whose two measurements follow each other."""
    return [one - other for one, other in zip(mine, its, strict=True)]


def _token(site: Site, who: str) -> str:
    role = f"arn:aws:iam::{ACCOUNT}:role/sandbox-viewer"
    done = site.run(who, "kube-iam", "token", "-i", CLUSTER_ID, "-r", role, "--token-only")
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def _service_account(site: Site) -> str:
    """Return a token of a service account with the rights of the level."""
    site.works("kubectl", "create", "serviceaccount", "bench")
    site.works(
        "kubectl", "create", "clusterrolebinding", "bench", "--clusterrole=view", "--serviceaccount=default:bench"
    )
    token = site.works("kubectl", "create", "token", "bench").strip()
    command = ("kubectl", "auth", "can-i", "list", "configmaps", "--as=system:serviceaccount:default:bench")
    if not wait_until(lambda: site.works(*command).strip() == "yes", 10):
        raise RuntimeError("the service account has no rights")
    return token


def _attack(bench: Bench, site: Site, token: str, seconds: float, rate: int = RATE) -> _Latencies:
    """Send GETs at the rate for that long, with 0 always 64 at a time. Raises RuntimeError where one fails."""
    target = {"method": "GET", "url": site.state.api_url + _PATH, "header": {"Authorization": [f"Bearer {token}"]}}
    command = [bench.programs.vegeta, "attack", "-format=json", "-lazy", f"-rate={rate}", f"-duration={seconds}s"]
    command += [f"-root-certs={site.home.ca}", *(() if rate else ("-max-workers=64",))]
    environment = {"NO_PROXY": "127.0.0.1", "HOME": str(bench.directory)}
    targets = (json.dumps(target) + "\n") * round((rate or _MOST) * seconds + 1)
    attack = run(command, input=targets.encode(), capture_output=True, check=True, timeout=120, env=environment)  # noqa: S603
    report = run(  # noqa: S603
        [bench.programs.vegeta, "report", "-type=json"], input=attack.stdout, capture_output=True, check=True
    )
    said: dict[str, Any] = json.loads(report.stdout)
    if said["success"] < 1:
        raise RuntimeError(f"GETs failed: {said['status_codes']} {said['errors'][:3]}")
    return _Latencies(said["latencies"]["50th"] / 1e6, said["latencies"]["99th"] / 1e6)


def _reviews(site: Site) -> float:
    """Return how many reviews the server has answered."""
    trust = ssl.create_default_context(cafile=str(site.home.webhook / "cert.pem"))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    with direct.open(site.state.webhook_url.replace("/authenticate", "/metrics"), timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    counted = (f'kube_iam_authorize_reviews_total{{result="{result}"}} ' for result in _RESULTS)
    return sum(float(line.rpartition(" ")[2]) for start in counted for line in lines if line.startswith(start))


def _used(site: Site) -> _Used:
    """Return what the server has used since its start, by its threads that run now. The first of them has the event loop."""
    pid = site.home.process("webhook").pid()
    used = _Used()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        seconds = int((thread / "schedstat").read_text().split()[0]) / 1e9
        waits = int((thread / "status").read_text().partition("voluntary_ctxt_switches:")[2].split()[0])
        used += _Used(seconds, seconds if thread.name == str(pid) else 0.0, waits)
    return used
