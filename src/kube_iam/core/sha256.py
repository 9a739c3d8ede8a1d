"""SHA-256 from the interpreter's own small module: `hashlib` would load OpenSSL. On the `token` path."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:  # no more than one attempt where there is one: looking in vain along sys.path takes as long as finding
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

__all__ = ["digest_of", "sha256", "sha256_hex"]


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of the data in lower-case hex."""
    return sha256(data).hexdigest()


def digest_of(*parts: "str | bytes") -> str:
    """Return a name for all parts together, 40 hex digits; it differs where one part or their number differs."""
    texts = (part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part for part in parts)
    return sha256_hex(b"".join(b"%d:%b\0" % (len(text), text) for text in texts))[:40]
