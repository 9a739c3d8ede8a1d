"""Reports of exceptions that nothing else handles: a sentence, and with KUBE_IAM_DEBUG=1 the stack.

Messages of unknown exceptions may quote requests, and with them credentials, so only types and places are ever shown.
"""

from __future__ import annotations

import os
import sys
import traceback

from kube_iam.core.printable import escaped


def describe(error: BaseException) -> tuple[str, str]:
    """Return the message and the hint for an unexpected exception. With KUBE_IAM_DEBUG=1, print its stack."""
    if os.environ.get("KUBE_IAM_DEBUG") == "1":
        print_places(error)
        return f"unexpected {type(error).__name__}", ""
    return (
        f"unexpected {type(error).__name__}: this is a bug",
        "run it again with KUBE_IAM_DEBUG=1 and report what it prints",
    )


def print_places(error: BaseException) -> None:
    """Print the chain of exceptions to stderr: their types and stack frames, never their messages or values."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        print(escaped(f"{type(current).__module__}.{type(current).__qualname__}:"), file=sys.stderr)
        for frame in traceback.extract_tb(current.__traceback__):
            print(escaped(f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"), file=sys.stderr)
        current = current.__cause__ or current.__context__
