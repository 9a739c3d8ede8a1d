"""Run the benchmark: `python -m bench [--rows a,b] [--scale 0.1] [--docs]`. `make bench` does, after making what it needs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import (
    authorizer_rows,
    command_rows,
    kubectl_rows,
    plan_rows,
    report,
    revocation_rows,
    server_rows,
    token_rows,
)
from bench.commands import starter
from bench.context import Bench, Programs
from bench.fakes import fake_sts
from bench.figures import Row
from bench.machine import REPOSITORY, describe
from kube_iam.errors import KubeIamError

RESULTS = Path(__file__).with_name("results.json")
DOCS = REPOSITORY / "docs" / "performance.md"
Measure = Callable[[Bench], list[Row]]
MEASURES: dict[tuple[str, ...], Measure] = {
    ("token", "eks", "memory"): token_rows.token,
    ("role",): token_rows.role,
    ("profiles",): token_rows.profiles,
    ("cold",): token_rows.cold,
    ("kubectl", "sts-calls"): kubectl_rows.kubectl,
    ("cached",): server_rows.cached,
    ("new",): server_rows.new,
    ("quota",): server_rows.quota,
    ("mappings",): server_rows.many_mappings,
    ("server-memory",): server_rows.memory,
    ("help", "commands"): command_rows.commands,
    ("plan",): plan_rows.plan,
    ("revocation", "revocation-ttl-0"): revocation_rows.by_the_cache,
    ("revocation-authorizer",): revocation_rows.known_tokens,
    ("revocation-rbac",): revocation_rows.synced,
    ("authorizer",): authorizer_rows.cost,
}
"""The names of rows that are measured together, and what measures them, in the order of the table."""


def main() -> int:
    """Measure, print the table, write results.json (a whole run only); 0 also when targets are missed: it reports."""
    names = [name for group in MEASURES for name in group]
    options = argparse.ArgumentParser(prog="bench", description=__doc__)
    options.add_argument("--rows", default="", metavar="A,B", help=f"only these of: {', '.join(names)}")
    options.add_argument(
        "--scale", type=float, default=1.0, help="measure so much longer, or less: 0.05 to see that it works"
    )
    options.add_argument("--docs", action="store_true", help="put the table of results.json into docs/performance.md")
    given = options.parse_args()
    if given.docs:
        write_docs()
        return 0
    wanted = [name for name in given.rows.split(",") if name] or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        options.error(f"no such row: {', '.join(unknown)}; there are {', '.join(names)}")
    programs = find_programs()
    facts = describe(programs)
    rows, failed = measure(programs, wanted, given.scale)
    sys.stdout.write(report.terminal(rows))
    met, total = report.verdicts(rows)
    sys.stdout.write(f"{met} of {total} targets met\n")
    sys.stdout.writelines(f"NOT MEASURED: {problem}\n" for problem in failed)
    if failed:
        return 1
    if wanted == names and given.scale == 1:
        RESULTS.write_text(json.dumps(report.to_json(facts, rows), indent=1, ensure_ascii=False) + "\n")
        sys.stdout.write(f"written: {RESULTS.relative_to(REPOSITORY)}\n")
    return 0


def find_programs() -> Programs:
    """Everything that is needed, made or found in the cache by tools/bench-tools.sh."""
    script = str(REPOSITORY / "tools" / "bench-tools.sh")
    found = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    paths = dict(line.split("=", 1) for line in found.stdout.splitlines())
    return Programs(**{name.lower(): path for name, path in paths.items()})


def measure(programs: Programs, wanted: list[str], scale: float) -> tuple[list[Row], list[str]]:
    """Measure the wanted rows. Return them, and the problems of those that could not be measured."""
    began = time.monotonic()
    rows: list[Row] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kube-iam-bench-") as name, starter() as start:
        directory = Path(name)
        with fake_sts(programs.fakests, directory / "sts") as sts:
            bench = Bench(programs, directory, start, sts, scale, began)
            for group, measure_group in MEASURES.items():
                if set(group) & set(wanted):
                    bench.say(f"measuring {', '.join(group)}")
                    try:
                        rows += [row for row in measure_group(bench) if row.name in wanted]
                    except (RuntimeError, AssertionError, OSError, KubeIamError) as problem:
                        failed.append(f"{', '.join(group)}: {type(problem).__name__}: {problem}")
                        bench.say(f"NOT MEASURED: {failed[-1]}")
            bench.say("done")
    return rows, failed


def write_docs() -> None:
    """Replace the table between the two marks of docs/performance.md."""
    text = DOCS.read_text()
    head, _, rest = text.partition(report.BEGIN)
    _, _, tail = rest.partition(report.END)
    table = report.markdown(json.loads(RESULTS.read_text()))
    DOCS.write_text(f"{head}{report.BEGIN}\n{table}{report.END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
