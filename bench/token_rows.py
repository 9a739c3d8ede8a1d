"""Rows about `token`, the command for which kubectl waits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.commands import Command, interleaved
from bench.context import CLUSTER_ID, ROLE, Bench
from bench.figures import Row, part, ratio

CONFIG = """\
[profile static]
aws_access_key_id = AKIAEXAMPLEEXAMPLE00
aws_secret_access_key = bench-secret-access-key-that-opens-nothing
[profile role]
role_arn = {role}
source_profile = static
[profile tool]
credential_process = /bin/cat {answer}
"""
ANSWER = {
    "Version": 1,
    "AccessKeyId": "ASIAEXAMPLEEXAMPLE00",
    "SecretAccessKey": "bench-secret-access-key-that-opens-nothing",
    "SessionToken": "sessiontoken" * 50,
    "Expiration": "2099-01-01T00:00:00Z",
}
KINDS = {"static": "static keys", "role": "role_arn", "tool": "credential_process"}
"""Profiles of CONFIG, with what they have."""


def token(bench: Bench) -> list[Row]:
    """Environment credentials: wall time and peak memory, and the same against `aws eks get-token`."""
    programs = bench.programs
    ours = Command("kube-iam token", [programs.kube_iam, "token", "-i", CLUSTER_ID], bench.environment("ours"))
    theirs = Command(
        "the reference's token", [programs.reference, "token", "-i", CLUSTER_ID], bench.environment("reference")
    )
    aws = Command(
        "aws eks get-token",
        [programs.aws, "eks", "get-token", "--cluster-name", CLUSTER_ID],
        bench.environment("aws"),
    )
    python = str(_interpreter(programs.kube_iam))
    bare = Command("python -c pass", [python, "-I", "-c", "pass"], bench.environment("bare"))
    for command in (ours, theirs, aws):
        assert json.loads(command.output())["status"]["token"].startswith("k8s-aws-v1."), command.name
    bench.say("token: kube-iam, the reference and a bare interpreter take turns")
    runs = interleaved(bench.start, [ours, theirs, bare], bench.times(60))
    bench.say("token: against aws eks get-token")
    slow = interleaved(bench.start, [ours, aws], bench.times(10), warm_up=1)
    mine, its, nothing = runs[ours.name], runs[theirs.name], runs[bare.name]
    own_peak = bench.start.own_peak_mib
    return [
        Row(
            "token",
            "`token`, environment credentials",
            (
                part("wall time", "ms", mine.wall_ms, its.wall_ms, ratio("<=", 0.88)),
                part("CPU time", "ms", mine.cpu_ms, its.cpu_ms),
                part("over a bare interpreter", "ms", mine.wall_ms, nothing.wall_ms, None, "python -I -c pass"),
            ),
        ),
        Row(
            "eks",
            "`token` against `aws eks get-token`",
            (part("wall time", "ms", slow[ours.name].wall_ms, slow[aws.name].wall_ms, ratio("<=", 0.08), "awscli"),),
        ),
        Row(
            "memory",
            "peak memory of `token`",
            (
                part("peak memory", "MiB", mine.peak_mib, its.peak_mib, ratio("<=", 0.5)),
                part("over a bare interpreter", "MiB", mine.peak_mib, nothing.peak_mib, None, "python -I -c pass"),
            ),
            (f"the process that starts them peaks at {own_peak:.1f} MiB, below which nothing can be seen",),
        ),
    ]


def role(bench: Bench) -> list[Row]:
    """`-r`, not for the first time, with STS 20 ms away."""
    programs = bench.programs
    bench.sts.set(delay_ms=20)
    arguments = ["token", "-i", CLUSTER_ID, "-r", ROLE]
    ours = Command("kube-iam token -r", [programs.kube_iam, *arguments], bench.environment("ours-role"))
    cached = Command(
        "the reference's token --cache -r",
        [programs.reference, *arguments, "--cache"],
        bench.environment("reference-role"),
    )
    plain = Command("the reference's token", [programs.reference, *arguments[:3]], bench.environment("reference-plain"))
    for command in (ours, cached, plain):
        command.output()
    bench.say("role: kube-iam token -r, the reference's --cache -r and its plain token take turns, STS 20 ms away")
    runs = interleaved(bench.start, [ours, cached, plain], bench.times(40))
    mine = runs[ours.name].wall_ms
    return [
        Row(
            "role",
            "`token -r ROLE`, second run, STS 20 ms away",
            (
                part("wall time", "ms", mine, runs[cached.name].wall_ms, ratio("<=", 0.3), "reference --cache -r"),
                part("wall time", "ms", mine, runs[plain.name].wall_ms, ratio("<=", 0.7), "reference, plain"),
            ),
            ("kube-iam prints a cached token; once in seven minutes it signs another, which takes as long as `token`",),
        )
    ]


def profiles(bench: Bench) -> list[Row]:
    """`token` with a profile, not for the first time: what each caches by then is cached."""
    programs = bench.programs
    bench.sts.set(delay_ms=20)
    arguments = ["token", "-i", CLUSTER_ID]
    parts = []
    for profile, kind in KINDS.items():
        cache = [] if profile == "static" else ["--cache"]
        ours = Command("ours", [programs.kube_iam, *arguments], _with_profile(bench, "ours-profiles", profile))
        theirs = Command(
            "the reference",
            [programs.reference, *arguments, *cache],
            _with_profile(bench, "reference-profiles", profile),
        )
        for command in (ours, theirs):
            command.output()
        bench.say(f"profiles: kube-iam and the reference take turns with {kind}")
        runs = interleaved(bench.start, [ours, theirs], bench.times(40))
        against = f"reference {' '.join(cache)}".strip()
        mine, its = runs[ours.name].wall_ms, runs[theirs.name].wall_ms
        parts.append(part(f"wall time, {kind}", "ms", mine, its, ratio("<=", 0.9), against))
    return [Row("profiles", "`token` with a profile, second run", tuple(parts))]


def cold(bench: Bench) -> list[Row]:
    """Measure the first run of the hour: nothing is cached by anyone, and STS is 20 ms away."""
    programs = bench.programs
    bench.sts.set(delay_ms=20)
    arguments = ["token", "-i", CLUSTER_ID]
    python = _interpreter(programs.kube_iam)
    bare = Command("python -c pass", [python, "-I", "-c", "pass"], bench.environment("bare"))
    tls = Command("python -c 'import ssl'", [python, "-I", "-c", "import ssl"], bench.environment("bare"))
    parts = []
    for profile in ("role", "tool"):
        kind = KINDS[profile]
        ours = _first("ours", [programs.kube_iam, *arguments], _with_profile(bench, "ours-cold", profile))
        aws = _first(
            "aws eks get-token",
            [programs.aws, "eks", "get-token", "--cluster-name", CLUSTER_ID],
            _with_profile(bench, "aws-cold", profile),
        )
        for command in (ours, aws):
            command.output()
        bench.say(f"cold: kube-iam, aws eks get-token and bare interpreters take turns with {kind}")
        runs = interleaved(bench.start, [ours, aws, bare, tls], bench.times(15), warm_up=1)
        mine = runs[ours.name].wall_ms
        parts += [
            part(f"wall time, {kind}", "ms", mine, runs[aws.name].wall_ms, ratio("<=", 0.5), "aws eks get-token"),
            part(f"over a bare interpreter, {kind}", "ms", mine, runs[bare.name].wall_ms, None, "python -I -c pass"),
            part(f"over an interpreter with TLS, {kind}", "ms", mine, runs[tls.name].wall_ms, None, "import ssl"),
        ]
    ours = _first("ours -r", [programs.kube_iam, *arguments, "-r", ROLE], bench.environment("ours-cold-role"))
    theirs = _first(
        "the reference -r", [programs.reference, *arguments, "-r", ROLE], bench.environment("reference-cold-role")
    )
    bench.say("cold: kube-iam token -r and the reference's take turns")
    runs = interleaved(bench.start, [ours, theirs], bench.times(15), warm_up=1)
    parts.append(part("wall time, -r ROLE", "ms", runs[ours.name].wall_ms, runs[theirs.name].wall_ms))
    notes = (
        "everything that the programs cached is removed before each run, and STS is 20 ms away from a connection of its own",
        "AWS_CA_BUNDLE names one certificate here: without it kube-iam and aws both load the SDK's list of roots, which takes 25 ms",
    )
    return [Row("cold", "`token`, first run of the hour", tuple(parts), notes)]


def _with_profile(bench: Bench, home: str, profile: str) -> dict[str, str]:
    """Return the environment of a command that takes its credentials from a profile of CONFIG."""
    environment = bench.environment(home, AWS_PROFILE=profile)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    directory = Path(environment["HOME"]) / ".aws"
    directory.mkdir(exist_ok=True)
    answer = directory / "answer.json"
    answer.write_text(json.dumps(ANSWER))
    (directory / "config").write_text(CONFIG.format(role=ROLE, answer=answer))
    return environment


def _first(name: str, argv: list[str], environment: dict[str, str]) -> Command:
    """Return a command without anything that it has cached in its home."""
    home = Path(environment["HOME"])

    def forget() -> None:
        for directory in (".cache", ".kube/cache", ".aws/cli"):
            shutil.rmtree(home / directory, ignore_errors=True)

    return Command(name, argv, environment, forget)


def _interpreter(command: str) -> str:
    return command.rpartition("/")[0] + "/python"
