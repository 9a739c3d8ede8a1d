"""Rows about big accounts: how many calls plan and who make. Counted, not timed: IAM limits how often an account may call."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.context import Bench
from bench.figures import Row, ours, part, ratio

USERS = (1_000, 10_000)
GROUPS = 200
LEVELS = (10, 20)
MANY_LEVELS = 50
MANY_LEVELS_SECONDS = 5
ACCESS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: bench.example.com, name: bench, endpoint: "https://127.0.0.1:1"}
account: "123456789012"
region: us-east-1
mapping: {file: "%s"}
levels:
"""


class Iam:
    """The fake account, running."""

    def __init__(self, directory: Path) -> None:
        repository = Path(__file__).parents[1]
        with (directory / "fake-iam.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.fake_iam"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=repository,
                env={"HOME": str(directory), "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"},
            )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def ask(self, path: str) -> dict[str, Any]:
        """Send a control request. Return the counts of calls since the last one."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/bench/{path}", timeout=300) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found


def plan(bench: Bench) -> list[Row]:
    """Count the calls of `plan` and `who --by-user` by users and by levels."""
    directory = bench.directory / "iam"
    directory.mkdir()
    (directory / "config.yaml").write_text("clusterID: bench.example.com\n")
    iam = Iam(directory)
    try:
        counted: dict[tuple[int, int], dict[str, Any]] = {}
        for levels in LEVELS:
            _run(bench, iam, directory, levels, "apply", "--yes")
            counted[levels, 0] = _run(bench, iam, directory, levels, "plan")
            bench.say(f"plan: {levels} levels, no users: {counted[levels, 0]['total']} calls")
        most = LEVELS[-1]
        who: dict[int, dict[str, Any]] = {}
        for users in (bench.times(count, 100) for count in USERS):
            iam.ask(f"populate?users={users}&groups={GROUPS}")
            counted[most, users] = _run(bench, iam, directory, most, "plan")
            who[users] = _run(bench, iam, directory, most, "who", "--by-user")
            bench.say(
                f"plan: {users} users: plan {counted[most, users]['total']} calls, who {who[users]['total']} calls"
            )
        _run(bench, iam, directory, MANY_LEVELS, "apply", "--yes")
        large = [_run(bench, iam, directory, MANY_LEVELS, "plan") for _ in range(bench.times(3, 1))]
        bench.say(f"plan: {MANY_LEVELS} levels: {large[0]['total']} calls")
    finally:
        iam.process.kill()
        iam.process.communicate()
    few, many = (counted[most, users] for users in who)
    found = list(who.values())[-1]
    return [
        Row(
            "plan",
            "plan over 10,000 users, 200 groups, 20 levels",
            (
                part(
                    "calls, 10,000 users over 1,000", "", [many["total"]], [few["total"]], ratio("<=", 1), "1,000 users"
                ),
                part(
                    "calls, 20 levels over 10",
                    "",
                    [counted[most, 0]["total"]],
                    [counted[LEVELS[0], 0]["total"]],
                    None,
                    "10 levels",
                ),
                part("who --by-user, calls", "", [found["total"]]),
                part("who --by-user, most calls at once", "", [found["most_at_once"]], None, ours(">=", 2)),
                part("plan, most calls at once", "", [many["most_at_once"]], None, ours(">=", 2)),
                part("plan, wall time", "s", [many["seconds"]]),
                part(
                    f"plan, wall time, {MANY_LEVELS} levels",
                    "s",
                    [each["seconds"] for each in large],
                    None,
                    ours("<=", MANY_LEVELS_SECONDS),
                ),
                part("who --by-user, wall time", "s", [found["seconds"]]),
            ),
            (
                f"plan: {many['calls']}",
                f"plan with {MANY_LEVELS} levels: {large[0]['calls']}",
                f"who --by-user: {found['calls']}; a level has {max(who) // most} members",
                "the fake account answers after 30 ms, in pages of 100 whatever is asked for, so that a level has "
                f"{-(-max(who) // most // 100)} pages",
            ),
        )
    ]


def _run(bench: Bench, iam: Iam, directory: Path, levels: int, *command: str) -> dict[str, Any]:
    access = directory / f"access-{levels}.yaml"
    listed = "".join(f"  - name: level-{number:02}\n" for number in range(levels))
    access.write_text(ACCESS % (directory / "config.yaml") + listed)
    environment = bench.environment("iam", AWS_ENDPOINT_URL=iam.url)
    del environment["HTTPS_PROXY"]
    iam.ask("counts")
    start = time.monotonic()
    done = subprocess.run(  # noqa: S603
        [bench.programs.kube_iam, *command, "-f", str(access)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise RuntimeError(f"kube-iam {command[0]} failed: {done.stderr[-800:]}")
    return {**iam.ask("counts"), "seconds": seconds}
