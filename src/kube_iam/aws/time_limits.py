"""Time limits of calls to AWS: one that gets no answer ends after four seconds and is not repeated, so that commands end in five.

botocore repeats a call that timed out, with 60 s for each attempt by default. Throttled and failed calls are repeated as before.
This module imports botocore when called.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.config import Config

CONNECT_SECONDS = 4.0
READ_SECONDS = 4.0
GIVE_UP_SECONDS = 5.0
_BEGUN = "kube_iam_begun"


def default_config() -> Config:
    """Return the settings of clients that set no others."""
    from botocore.config import Config

    return Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"mode": "standard"})


def limit_time(client: Any) -> None:
    """Have the client repeat no call that timed out, and none without a connection that began GIVE_UP_SECONDS ago."""
    client.meta.events.register_first("before-call", _begin)
    client.meta.events.register_first("needs-retry", _give_up)


def _begin(params: dict[str, Any], **_: Any) -> None:
    params["context"][_BEGUN] = time.monotonic()


def _give_up(caught_exception: Exception | None, request_dict: dict[str, Any], **_: Any) -> None:
    """Raise the failure where no further attempt is to be made: botocore hands it to the caller as it is."""
    from botocore.exceptions import ConnectionError as BotoConnectionError
    from botocore.exceptions import ConnectTimeoutError, HTTPClientError, ReadTimeoutError

    if isinstance(caught_exception, ConnectTimeoutError | ReadTimeoutError):
        raise caught_exception
    begun = request_dict["context"].get(_BEGUN, time.monotonic())
    if (
        isinstance(caught_exception, BotoConnectionError | HTTPClientError)
        and time.monotonic() - begun >= GIVE_UP_SECONDS
    ):
        raise caught_exception
