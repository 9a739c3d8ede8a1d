"""Runs `pem.answer` in a short-lived child process, because `cryptography` would stay in the server's memory (12 MiB) for good.

The child is the same interpreter with the same module path and user. Keys pass through pipes only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

NO_CERTIFICATE = "no certificate"
NO_KEY = "no key"
OTHER_KEY = "other key"
"""Values of `problem` in an answer."""

# The parent's module path is passed as arguments, so that working directory and environment cannot add modules to the child.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from kube_iam.server.pem import main; main()"
_TIMEOUT_SECONDS = 20


def ask(question: Mapping[str, str]) -> dict[str, str] | None:
    """Return the child's answer to the question, or None where no child process can run, as in a frozen program. Raises nothing."""
    if not sys.executable:
        return None
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter)
            [sys.executable, "-I", "-S", "-B", "-c", _CHILD, *filter(None, sys.path)],
            input=json.dumps(dict(question)).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        answer: dict[str, str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return answer
