"""AWS Signature Version 4 for presigned GET requests (AWS General Reference, "Signature Version 4 signing process").

On the `token` path, so that HMAC (RFC 2104) is spelled out here: the modules of the standard library are too dear.
"""

from kube_iam.core.sha256 import sha256 as _sha256
from kube_iam.core.sha256 import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kube_iam.core.credentials import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_PAYLOAD_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPES = {byte: f"%{byte:02X}" for byte in range(256) if byte not in _UNRESERVED}
_PATH_ESCAPES = {byte: escape for byte, escape in _ESCAPES.items() if byte != 0x2F}


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104)."""
    if len(key) > _BLOCK:
        key = _sha256(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    inner = _sha256(key.translate(_INNER) + message).digest()
    return _sha256(key.translate(_OUTER) + inner).digest()


def quote(value: str) -> str:
    """Percent-encode everything but RFC 3986's unreserved characters, UTF-8 first, upper-case hex, as SigV4 wants it."""
    return value.encode().decode("latin-1").translate(_ESCAPES)


def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """Return the key derived for one day (`YYYYMMDD`), region and service."""
    key = hmac_sha256(f"AWS4{secret_access_key}".encode(), date.encode())
    for part in (region, service, "aws4_request"):
        key = hmac_sha256(key, part.encode())
    return key


def signature(key: bytes, *, timestamp: str, scope: str, canonical_request: str) -> str:
    """Return the hex signature of a request. `timestamp` is `YYYYMMDDTHHMMSSZ`, `scope` `date/region/service/aws4_request`."""
    text = f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256_hex(canonical_request.encode())}"
    return hmac_sha256(key, text.encode()).hex()


def canonical_query(parameters: dict[str, str]) -> str:
    """Return the parameters encoded and in the order in which they are signed."""
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

    `headers` (lower-case names; `host` is added) are signed and must be sent with the request. Signs what botocore's
    `SigV4QueryAuth` signs; the parameters stand in the canonical order.
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
