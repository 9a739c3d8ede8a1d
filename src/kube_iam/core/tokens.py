"""Minting of tokens: presigned requests `sts:GetCallerIdentity`, which prove the identity of their signer to the server.

The client never sends the request itself. The format is in docs/protocol.md, section 1.1. The signature is AWS Signature Version 4
for presigned GET requests (AWS General Reference, "Signature Version 4 signing process"). On the `token` path: SHA-256 is the
interpreter's own small module, since `hashlib` would load OpenSSL, and HMAC (RFC 2104) is written out.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from hashlib import sha256 as sha256  # other modules take it from here: it is loaded without OpenSSL

    from kube_iam.core.credentials import Credentials
else:
    try:  # by version: a failed search along sys.path takes as long as a successful one
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

PREFIX = "k8s-aws-v1."
CLUSTER_ID_HEADER = "x-k8s-aws-id"

# STS accepts a presigned GetCallerIdentity for 15 minutes after X-Amz-Date and ignores X-Amz-Expires. Old servers expect 60.
EXPIRES_PARAMETER = 60
LIFETIME_SECONDS = 14 * 60
"""Seconds of validity that the answer for kubectl states: a minute less than STS accepts the token."""

_URLSAFE = bytes.maketrans(b"+/", b"-_")

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_PAYLOAD_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPES = {byte: f"%{byte:02X}" for byte in range(256) if byte not in _UNRESERVED}
_PATH_ESCAPES = {byte: escape for byte, escape in _ESCAPES.items() if byte != 0x2F}


def mint(
    credentials: "Credentials", *, cluster_id: str, region: str, host: str, timestamp: str, path: str = "/"
) -> str:
    """Return the token with which these credentials sign in to the cluster.

    `timestamp` is the time of signing in UTC, `YYYYMMDDTHHMMSSZ`; `host` is the STS host to sign for. Raises ValueError for a
    cluster id that cannot be sent as a header.
    """
    from binascii import b2a_base64

    check_cluster_id(cluster_id)
    url = presign(
        credentials,
        region=region,
        service="sts",
        host=host,
        path=path,
        parameters={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        headers={CLUSTER_ID_HEADER: cluster_id},
        timestamp=timestamp,
        expires=EXPIRES_PARAMETER,
    )
    return PREFIX + b2a_base64(url.encode(), newline=False).translate(_URLSAFE).rstrip(b"=").decode()


def check_cluster_id(cluster_id: str) -> None:
    """Check that the id can be sent as an HTTP header (RFC 9110, 5.5). Raises ValueError for an empty id or control characters."""
    if not cluster_id.strip():
        raise ValueError("the cluster id is empty")
    if any(character < " " or "\x7f" <= character < "\xa0" for character in cluster_id):
        raise ValueError("the cluster id holds a control character")


def token_expiration(credentials: "Credentials", now: float) -> float:
    """Return the expiration (Unix seconds) of a token minted `now`: after 14 minutes, or earlier with the session that signs it."""
    end = now + LIFETIME_SECONDS
    return end if credentials.expires is None else min(end, credentials.expires)


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the data in lower-case hex."""
    return sha256(data).hexdigest()


def digest_of(*parts: "str | bytes") -> str:
    """Return a name for all parts together, 40 hex digits; it differs where one part or their number differs."""
    texts = (part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in parts)
    return sha256_hex(b"".join(b"%d:%b\0" % (len(text), text) for text in texts))[:40]


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104)."""
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    inner = sha256(key.translate(_INNER) + message).digest()
    return sha256(key.translate(_OUTER) + inner).digest()


def quote(value: str) -> str:
    """Return the text in the encoding of SigV4: UTF-8, where all but the unreserved characters of RFC 3986 become `%XX`."""
    return value.encode().decode("latin-1").translate(_ESCAPES)


def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """Return the signing key for one day (`YYYYMMDD`), region and service."""
    key = hmac_sha256(f"AWS4{secret_access_key}".encode(), date.encode())
    for part in (region, service, "aws4_request"):
        key = hmac_sha256(key, part.encode())
    return key


def signature(key: bytes, *, timestamp: str, scope: str, canonical_request: str) -> str:
    """Return the signature of a request in hex. `timestamp` is `YYYYMMDDTHHMMSSZ`; `scope` is `date/region/service/aws4_request`."""
    text = f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256_hex(canonical_request.encode())}"
    return hmac_sha256(key, text.encode()).hex()


def canonical_query(parameters: dict[str, str]) -> str:
    """Return the query string that is signed: encoded parameters in the order of their encoded names."""
    return "&".join(f"{name}={value}" for name, value in sorted((quote(k), quote(v)) for k, v in parameters.items()))


def presign(
    credentials: "Credentials",
    *,
    region: str,
    service: str,
    host: str,
    path: str,
    parameters: dict[str, str],
    headers: dict[str, str],
    timestamp: str,
    expires: int,
) -> str:
    """Return the https URL of a GET request, signed in its query.

    `headers` have lower-case names; `host` is added. All are signed and must be sent with the request. `expires` is seconds. The
    signature is the one of botocore's `SigV4QueryAuth`; the parameters stand in canonical order.
    """
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    signed = {"host": host, **headers}
    names = sorted(signed)
    query = {
        **parameters,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": ";".join(names),
    }
    if credentials.session_token:
        query["X-Amz-Security-Token"] = credentials.session_token
    encoded = canonical_query(query)
    canonical_headers = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
    canonical_path = path.encode().decode("latin-1").translate(_PATH_ESCAPES)
    request = f"GET\n{canonical_path}\n{encoded}\n{canonical_headers}\n{';'.join(names)}\n{EMPTY_PAYLOAD_HASH}"
    key = signing_key(credentials.secret_access_key, timestamp[:8], region, service)
    proof = signature(key, timestamp=timestamp, scope=scope, canonical_request=request)
    return f"https://{host}{path}?{encoded}&X-Amz-Signature={proof}"


def signed_headers(
    credentials: "Credentials",
    *,
    region: str,
    service: str,
    host: str,
    body: str,
    headers: "Mapping[str, str]",
    timestamp: str,
) -> dict[str, str]:
    """Return the headers of a POST to `/` with its signature. All given headers are signed, `host` and the session too.

    `headers` have lower-case names. `host` is not among the returned ones: the HTTP client sends it.
    """
    signed = {**headers, "host": host, "x-amz-date": timestamp}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    request = f"POST\n/\n\n{lines}\n{names}\n{sha256_hex(body.encode())}"
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    key = signing_key(credentials.secret_access_key, timestamp[:8], region, service)
    proof = signature(key, timestamp=timestamp, scope=scope, canonical_request=request)
    scoped = f"Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={proof}"
    del signed["host"]
    return {**signed, "authorization": f"{ALGORITHM} {scoped}"}
