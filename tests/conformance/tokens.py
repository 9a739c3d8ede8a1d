"""Tokens to ask both servers about: a good one by hand, and ways to spoil it."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace

from named_sts import SECRET, Principal
from side_by_side import CLUSTER

from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import presign
from kube_iam.core.utc import basic_timestamp

PREFIX = "k8s-aws-v1."


@dataclass(frozen=True)
class Signed:
    """The signed parts of a token. `age` in seconds is negative for a date in the future."""

    who: Principal
    host: str = "sts.us-east-1.amazonaws.com"
    region: str = "us-east-1"
    cluster: str = CLUSTER
    age: float = 0
    expires: str = "60"
    action: str = "GetCallerIdentity"
    version: str = "2011-06-15"
    header: str = "x-k8s-aws-id"
    extra: tuple[tuple[str, str], ...] = ()

    def url(self) -> str:
        return presign(
            Credentials(self.who.key, SECRET, self.who.session_token),
            region=self.region,
            service="sts",
            host=self.host,
            path="/",
            parameters={"Action": self.action, "Version": self.version},
            headers={self.header: self.cluster, **dict(self.extra)},
            timestamp=basic_timestamp(time.time() - self.age),
            expires=self.expires,  # type: ignore[arg-type]
        )

    def token(self) -> str:
        return token_of(self.url())

    def but(self, **changes: object) -> Signed:
        return replace(self, **changes)  # type: ignore[arg-type]


def token_of(url: str) -> str:
    return PREFIX + base64.urlsafe_b64encode(url.encode("utf-8", "surrogateescape")).decode().rstrip("=")


def url_in(token: str) -> str:
    """Return the URL in a token, or an empty text if there is none."""
    try:
        text = token.removeprefix(PREFIX)
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True).decode("latin-1")
    except ValueError:
        return ""
