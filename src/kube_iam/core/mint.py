"""Minting of tokens: a presigned `sts:GetCallerIdentity` request, never sent by the client, that proves the identity of its signer.

The format is in docs/protocol.md, section 1.1. On the `token` path: only `binascii` is imported.
"""

from binascii import b2a_base64

from kube_iam.core.sigv4 import presign
from kube_iam.core.utc import basic_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kube_iam.core.credentials import Credentials

PREFIX = "k8s-aws-v1."
CLUSTER_ID_HEADER = "x-k8s-aws-id"

# STS takes a presigned GetCallerIdentity for 15 minutes after X-Amz-Date and ignores X-Amz-Expires; 60 is what old servers expect.
EXPIRES_PARAMETER = 60
LIFETIME_SECONDS = 14 * 60
"""Seconds for which a token is reported as valid: a minute less than STS accepts it."""

_URLSAFE = bytes.maketrans(b"+/", b"-_")


def mint(credentials: "Credentials", *, cluster_id: str, region: str, host: str, now: float, path: str = "/") -> str:
    """Return the token with which these credentials sign in to that cluster. `now` is unix seconds; `host` the STS host to sign for.

    Raises ValueError for a cluster id that cannot be sent as a header.
    """
    check_cluster_id(cluster_id)
    url = presign(
        credentials,
        region=region,
        service="sts",
        host=host,
        path=path,
        parameters={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        headers={CLUSTER_ID_HEADER: cluster_id},
        timestamp=basic_timestamp(now),
        expires=EXPIRES_PARAMETER,
    )
    return PREFIX + b2a_base64(url.encode(), newline=False).translate(_URLSAFE).rstrip(b"=").decode()


def check_cluster_id(cluster_id: str) -> None:
    """Raise ValueError where the id is empty or holds control characters: it travels as an HTTP header (RFC 9110, 5.5)."""
    if not cluster_id.strip():
        raise ValueError("the cluster id is empty")
    if any(character < " " or "\x7f" <= character < "\xa0" for character in cluster_id):
        raise ValueError("the cluster id holds a control character")


def token_expiration(credentials: "Credentials", now: float) -> float:
    """Return when a token minted now expires (Unix seconds): in 14 minutes, or earlier with the session that signed it."""
    end = now + LIFETIME_SECONDS
    return end if credentials.expires is None else min(end, credentials.expires)
