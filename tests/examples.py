"""The number of generated examples of a test: all, or a fifth where KUBE_IAM_EXAMPLES=few, as in `make unit` and `make test`."""

from __future__ import annotations

import os

FEW = os.environ.get("KUBE_IAM_EXAMPLES") == "few"


def examples(number: int) -> int:
    """Return the number of examples, or of cells of a matrix, to run of `number`."""
    return max(1, number // 5) if FEW else number
