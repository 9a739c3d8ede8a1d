"""Examples of a test that are generated or stand in a table: all, or a fifth where KUBE_IAM_EXAMPLES=few, as in `make test`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
FEW = os.environ.get("KUBE_IAM_EXAMPLES") == "few"


def cells(matrix: Sequence[T]) -> Sequence[T]:
    """Return all cells of a matrix that is generated or of a table, or each fifth."""
    return matrix[::5] if FEW else matrix


def examples(number: int) -> int:
    """Return the number of examples, or of cells of a matrix, to run of `number`."""
    return max(1, number // 5) if FEW else number
