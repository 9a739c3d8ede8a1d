"""Concurrent reads, for accounts with many levels. IAM answers a call in tens of milliseconds, and a plan takes hundreds of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 8
"""The most calls under way: fewer than the connections that a botocore client keeps (10)."""


def in_parallel(read: Callable[[Item], Result], items: Iterable[Item], at_once: int = AT_ONCE) -> list[Result]:
    """Return the result of `read` for each item, in the order of the items. `at_once` reads run at a time.

    After the first error no read is started, those under way are waited for, and that error is raised. KeyboardInterrupt is raised
    without waiting: the caller ends the process.
    """
    asked = list(items)
    if len(asked) < 2:
        return [read(item) for item in asked]
    errors: list[BaseException] = []  # in the order in which they happened

    def guarded(item: Item) -> Result:
        try:
            return read(item)
        except BaseException as error:
            errors.append(error)
            raise

    pool = ThreadPoolExecutor(min(at_once, len(asked)), thread_name_prefix="kube-iam-read")
    try:
        futures = [pool.submit(guarded, item) for item in asked]
        wait(futures, return_when=FIRST_EXCEPTION)
        pool.shutdown(cancel_futures=True)
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    if errors:
        raise errors[0]
    return [future.result() for future in futures]
