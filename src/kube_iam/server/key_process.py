"""Has `key_work` done in a process of its own, which ends at once: `cryptography` would stay in the server's memory (12 MiB) for good.

The child is the same interpreter with the same module path and user. Keys go through pipes only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

NO_CERTIFICATE = "no certificate"
NO_KEY = "no key"
OTHER_KEY = "other key"
"""The problems that an answer can hold."""

# The parent's own module path, as arguments: nothing else is looked for, whatever the working directory and the environment say.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from kube_iam.server.key_work import main; main()"
_PATIENCE_SECONDS = 20


def ask(question: Mapping[str, str]) -> dict[str, str]:
    """`key_work.answer`. Where no such process can be had (a frozen program, a limit on processes), it is done in this one."""
    answer = _asked_child(json.dumps(dict(question)).encode())
    if answer is None:
        from kube_iam.server import key_work

        return key_work.answer(question)
    return answer


def _asked_child(question: bytes) -> dict[str, str] | None:
    if not sys.executable:
        return None
    try:
        done = subprocess.run(  # noqa: S603  (our own interpreter)
            [sys.executable, "-I", "-S", "-B", "-c", _CHILD, *filter(None, sys.path)],
            input=question,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE_SECONDS,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        answer: dict[str, str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return answer
