"""Facts that a reader of a run needs: the machine, the versions, the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.context import Programs

REPOSITORY = Path(__file__).parents[1]


def describe(programs: Programs) -> dict[str, Any]:
    """Return the facts of this run, as they stand now."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _said("git", "-C", str(REPOSITORY), "rev-parse", "--short=12", "HEAD"),
        "changed_sources": bool(_said("git", "-C", str(REPOSITORY), "status", "--porcelain", "--", "src")),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load_average_before": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "kube-iam": _said(programs.kube_iam, "version"),
            # Built by go install, it does not know its version.
            "reference": Path(programs.reference).parent.name,
            "awscli": _said(programs.aws, "--version"),
            "python": _said(programs.kube_iam.rpartition("/")[0] + "/python", "-VV"),
            "vegeta": Path(programs.vegeta).parent.name.removeprefix("vegeta-"),
        },
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    except OSError:
        return "unknown"
    return " ".join(done.stdout.split()) if done.returncode == 0 else "unknown"
