"""Rows about the webhook: rates, latencies, many mappings, memory.

The reference keeps two idle connections to an STS that speaks HTTP/1.1 and opens all others anew; over HTTP/2 one serves all. Which
one AWS offers decides much about its rate, so both are measured, and the targets are held against HTTP/2, which is the reference's
better side.
"""

from __future__ import annotations

import json
import re
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from itertools import product
from subprocess import run

from bench.context import Bench
from bench.figures import Part, Row, Target, part, ratio
from bench.figures import ours as own
from bench.plan_rows import Iam
from bench.servers import Load, Server, load, mappings, server, sts_alone

STS_DELAY_MS = 20.0
QUOTA = 600
ENTRIES = 10_000
TOKENS = 50_000
GROUP = '  mapGroups:\n  - iamGroup: team-0\n    username: "awsiam:{{UserName}}"\n    groups: ["bench:viewer"]\n'
_PROTOCOLS = (("HTTP/1.1", ()), ("HTTP/2", ("-http2",)))
Results = dict[str, list[Load]]


def cached(bench: Bench) -> list[Row]:
    """One token, over and over."""
    with server(bench, "ours") as ours, server(bench, "reference") as reference:
        parts, notes = _closed_loop(bench, (ours, reference), (), ratio(">=", 3), ratio("<=", 0.5))
    return [Row("cached", "/authenticate, one token, 128 connections", parts, notes)]


def new(bench: Bench) -> list[Row]:
    """No token twice."""
    with server(bench, "ours") as ours, server(bench, "reference") as reference:
        pair = (ours, reference)
        parts, notes = _closed_loop(bench, pair, ("-distinct",), ratio(">=", 1), ratio("<=", 1))
        bench.sts.set(delay_ms=0, http2=False)
        what = "one connection, STS HTTP/1.1"
        options = ("-distinct", "-workers", "1", "-seconds", str(bench.seconds(1.5)))
        found = take_turns(bench, pair, bench.times(3), *options, what=what)
        mine, its = (found[each.name] for each in pair)
        parts += (part(f"requests/s, {what}", "/s", _rates(mine), _rates(its), ratio(">=", 1)),)
    return [Row("new", "/authenticate, every token new, STS instant", parts, notes)]


def _closed_loop(
    bench: Bench, pair: Sequence[Server], options: Sequence[str], at_rate: Target, at_p99: Target
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Rate and 99th percentile by STS's protocol, which decides how the reference fares, and by the webhook's."""
    parts: list[Part] = []
    notes: list[str] = []
    seconds = ("-seconds", str(bench.seconds(2)))
    for sts_protocol, (protocol, flags) in product(("HTTP/1.1", "HTTP/2"), _PROTOCOLS):
        bench.sts.set(delay_ms=0, http2=sts_protocol == "HTTP/2")
        what = f"{protocol}, STS {sts_protocol}"
        found = take_turns(bench, pair, bench.times(2), *options, *flags, *seconds, what=what)
        mine, its = (found[each.name] for each in pair)
        parts += [
            part(f"requests/s, {what}", "/s", _rates(mine), _rates(its), at_rate),
            part(f"p99, {what}", "ms", _p99s(mine), _p99s(its), at_p99),
        ]
        notes += [f"{what}: {each.name}: {_middle(found[each.name])}" for each in pair]
    alone = sts_alone(bench, "-seconds", str(bench.seconds(1.5)))
    notes.append(
        f"not the bottleneck: the loader got {alone['rate']:.0f} answers/s from the fake STS without a server in between,"
        f" {alone['rate'] / max(_rates(mine) + _rates(its)):.1f} times the faster server"
    )
    return tuple(parts), tuple(notes)


def take_turns(bench: Bench, pair: Sequence[Server], rounds: int, *options: str, what: str) -> Results:
    """Put the same load on each server in turn, after one round of warm-up."""
    found: Results = {each.name: [] for each in pair}
    for each in pair:
        load(bench, each, *options[:-2], "-seconds", "0.5")
    for number in range(rounds):
        for each in pair:
            measured = load(bench, each, *options)
            found[each.name].append(measured)
            bench.say(f"  {what}, round {number + 1}, {each.name:9} {measured}")
    return found


def quota(bench: Bench) -> list[Row]:
    """As many new tokens as STS allows an account (600 calls/s), at fixed times, whatever the server does."""
    steady = ("-rate", str(QUOTA), "-seconds", str(bench.seconds(3)))
    parts: list[Part] = []
    notes: list[str] = []
    with server(bench, "ours") as ours, server(bench, "reference") as reference:
        pair = (ours, reference)
        for sts_protocol in ("HTTP/2", "HTTP/1.1"):
            bench.sts.set(delay_ms=STS_DELAY_MS, http2=sts_protocol == "HTTP/2")
            alone = sts_alone(bench, *steady)
            bench.say(f"  STS alone ({sts_protocol}): p50 {alone['p50_ms']:.2f} ms, p99 {alone['p99_ms']:.2f} ms")
            found = take_turns(bench, pair, bench.times(3), "-distinct", *steady, what=f"STS {sts_protocol}")
            mine, its = ([one.p50_ms - alone["p50_ms"] for one in found[each.name]] for each in pair)
            my_p99s, its_p99s = ([one.p99_ms - alone["p50_ms"] for one in found[each.name]] for each in pair)
            held = sts_protocol == "HTTP/2"
            parts += [
                part(f"added p50, STS {sts_protocol}", "ms", mine, its, own("<=", 2)),
                part(f"added p99, STS {sts_protocol}", "ms", my_p99s, its_p99s, ratio("<=", 1) if held else None),
            ]
            notes += [f"STS {sts_protocol}: {each.name}: {_middle(found[each.name])}" for each in pair]
        bench.sts.set(delay_ms=STS_DELAY_MS, http2=True)
        notes += [_vegeta(bench, each) for each in pair]
    notes.append("added: over the median that the loader sees when it asks the fake STS itself at the same rate")
    return [Row("quota", "/authenticate at 600 new tokens/s, STS 20 ms away", tuple(parts), tuple(notes))]


def _vegeta(bench: Bench, target: Server) -> str:
    """Put the same load on the server with somebody else's loader, as a check of ours."""
    seconds = bench.seconds(2)
    bodies = run([bench.programs.load, "-bodies", str(round(QUOTA * seconds))], capture_output=True, check=True).stdout  # noqa: S603
    url = f"https://localhost:{target.port}/authenticate"
    header = {"Content-Type": ["application/json"]}
    targets = "\n".join(
        json.dumps({"method": "POST", "url": url, "body": b64encode(body).decode(), "header": header})
        for body in bodies.splitlines()
    )
    command = [bench.programs.vegeta, "attack", "-format=json", f"-rate={QUOTA}", f"-duration={seconds}s"]
    command += [f"-root-certs={target.certificate}", "-http2=false"]
    environment = {"NO_PROXY": "localhost", "HOME": str(bench.directory)}
    attack = run(command, input=targets.encode(), capture_output=True, check=True, timeout=120, env=environment)  # noqa: S603
    report = run(  # noqa: S603
        [bench.programs.vegeta, "report", "-type=json"], input=attack.stdout, capture_output=True, check=True
    )
    said = json.loads(report.stdout)
    at = {name: value / 1e6 for name, value in said["latencies"].items()}
    return (
        f"vegeta says of {target.name}: p50 {at['50th']:.2f} ms, p99 {at['99th']:.2f} ms, "
        f"{said['success']:.0%} of {said['requests']} succeeded"
    )


def many_mappings(bench: Bench) -> list[Row]:
    """10,000 role mappings instead of one, and a reload of them under load."""
    bench.sts.set(delay_ms=0, http2=True)
    with (
        server(bench, "ours") as few,
        server(bench, "ours", entries=ENTRIES) as many,
        server(bench, "reference") as its_few,
        server(bench, "reference", entries=ENTRIES) as its_many,
    ):
        bench.say("mappings: servers are up")
        seconds = ("-seconds", str(bench.seconds(2)))
        rates: list[list[float]] = []
        for one, other in ((few, many), (its_few, its_many)):
            found: Results = {"1": [], "10,000": []}
            for number in range(-1, bench.times(4)):
                for label, each in (("1", one), ("10,000", other)):
                    measured = load(bench, each, *seconds)
                    if number >= 0:
                        found[label].append(measured)
                        bench.say(f"  {each.name}, {label} mappings: {measured}")
            rates += [_rates(found["10,000"]), _rates(found["1"])]
        reloaded = _reload_under_load(bench, many)
    parts = (
        part("requests/s, 10,000 over 1", "/s", rates[0], rates[1], ratio(">=", 0.95), "kube-iam with 1"),
        part("its requests/s, 10,000 over 1", "/s", rates[2], rates[3], None, "reference with 1"),
        part("failed requests while reloading", "", [reloaded.refused], None, own("<=", 0)),
        part("p99 while reloading", "ms", [reloaded.p99_ms], None),
    )
    return [Row("mappings", "10,000 role mappings instead of 1", parts)]


def _reload_under_load(bench: Bench, target: Server) -> Load:
    """Replace the config file by one with another mapping while one token is asked about. The new mapping has to be in force."""
    config = target.directory / "conf" / "config.yaml"
    head = config.read_text().partition("  mapRoles:\n")[0] + "  mapRoles:\n"
    seen = threading.Event()

    def replace() -> None:
        aside = config.with_suffix(".new")
        aside.write_text(head + mappings(ENTRIES + 1))
        time.sleep(0.5)
        aside.rename(config)
        end = time.monotonic() + 60
        while time.monotonic() < end and not seen.is_set():
            if _loaded_entries(target) > ENTRIES:
                seen.set()
            time.sleep(0.1)

    replacing = threading.Thread(target=replace)
    replacing.start()
    # A fixed rate that leaves room: what a reload does to others shows as latency and not as fewer questions.
    rounds = []
    while not seen.is_set() and replacing.is_alive():
        rounds.append(load(bench, target, "-rate", "500", "-workers", "32", "-seconds", "2", may_fail=True))
    replacing.join()
    if not seen.is_set():
        raise RuntimeError(f"the mappings were not reloaded: {target.log()}")
    worst = max(rounds, key=lambda one: one.p99_ms)
    refused = sum(one.refused for one in rounds)
    bench.say(f"  reload under load took {len(rounds) * 2} s or less, {refused} requests failed; worst: {worst}")
    return Load(worst.rate, worst.p50_ms, worst.p99_ms, worst.allowed, refused, worst.shares)


def _loaded_entries(target: Server) -> int:
    found = re.search(r"^kube_iam_mapping_entries\{[^}]*\} (\d+)", target.get("/metrics"), re.MULTILINE)
    return int(found[1]) if found else 0


def memory(bench: Bench) -> list[Row]:
    """Resident memory after the start, after 50,000 tokens that were never seen, and with a group whose members are read from IAM."""
    bench.sts.set(delay_ms=0, http2=True)
    idle: list[float] = []
    after: list[float] = []
    for which in ("ours", "reference"):
        with server(bench, which) as one:
            idle.append(one.rss_mib())
            count = bench.times(TOKENS, 1000)
            found = load(bench, one, "-distinct", "-http2", "-requests", str(count), "-seconds", "120")
            after.append(one.rss_mib())
            bench.say(f"  {which}: {idle[-1]:.1f} MiB idle, {after[-1]:.1f} MiB after {found.allowed} tokens")
    parts = (
        part("idle", "MiB", idle[:1], idle[1:], ratio("<=", 1.3)),
        part("after 50,000 distinct tokens on 128 streams of HTTP/2", "MiB", after[:1], after[1:], ratio("<=", 1.5)),
        part("more with the membership check", "MiB", [_with_membership(bench) - idle[0]], None, own("<=", 5)),
    )
    return [Row("server-memory", "server memory (resident)", parts)]


def _with_membership(bench: Bench) -> float:
    """Return the resident memory of a server that has read a group of 100 users."""
    directory = bench.directory / "group"
    directory.mkdir()
    iam = Iam(directory)
    try:
        iam.ask("populate?users=100&groups=1")
        variables = {
            "AWS_ENDPOINT_URL_IAM": iam.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
        }
        with server(bench, "ours", more_mappings=GROUP, variables=variables) as one:
            calls = iam.ask("counts")["calls"]
            assert calls.get("GetGroup"), f"the group was not read: {calls}"
            return one.rss_mib()
    finally:
        iam.process.kill()
        iam.process.communicate()


def _rates(loads: Sequence[Load]) -> list[float]:
    return [one.rate for one in loads]


def _p99s(loads: Sequence[Load]) -> list[float]:
    return [one.p99_ms for one in loads]


def _middle(loads: Sequence[Load]) -> str:
    return " ".join(str(sorted(loads, key=lambda one: one.rate)[len(loads) // 2]).split())
