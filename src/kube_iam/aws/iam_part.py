"""Base of the parts of the IAM directory: calls, the waiter, and the progress callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kube_iam.aws.iam_calls import PAGE_SIZE, IamCalls
from kube_iam.aws.iam_wait import IamWaiter, ignore_progress
from kube_iam.errors import Conflict


class IamPart:
    """The account that `make` gives clients for (`make("iam")`, `make("sts")`). `progress` is called with what is awaited."""

    def __init__(
        self,
        make: Callable[[str], Any],
        progress: Callable[[str], None] | None = None,
        *,
        waiter: IamWaiter | None = None,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._aws = IamCalls(make, page_size)
        self._progress = progress or ignore_progress
        self._waiter = waiter or IamWaiter()

    def _until(self, awaited: str, ready: Callable[[], bool]) -> None:
        self._waiter.until(awaited, ready, self._progress)

    def _retry(
        self, awaited: str, passing: Callable[[Exception], bool], operation: str, doing: str, **arguments: Any
    ) -> dict[str, Any]:
        """One call, again and again while it fails with an error that is `passing`."""
        return self._waiter.retry(
            awaited, lambda: self._aws.call(operation, doing, **arguments), passing, self._progress
        )


def occupied(what: str, difference: str) -> Conflict:
    """Return the error for a name that another object has."""
    return Conflict(
        f"{what} exists already, {difference}", "remove or rename it, adopt it, or choose another name for the level"
    )
