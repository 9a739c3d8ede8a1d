"""Rows about `token`, the command for which kubectl waits."""

from __future__ import annotations

import json

from bench.commands import Command, interleaved
from bench.context import CLUSTER_ID, ROLE, Bench
from bench.figures import Row, part, ratio


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
                part("wall time", "ms", mine.wall_ms, its.wall_ms, ratio("<=", 0.6)),
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


def _interpreter(command: str) -> str:
    return command.rpartition("/")[0] + "/python"
