"""Text from errors and from outside, reduced to what may be repeated: network reasons, and text without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SECRETS = re.compile(
    r"k8s-aws-v1\.[\w-]*"
    r"|eyJ[\w-]{8,}[\w.-]*"  # a JSON Web Token
    r"|(?i:\b(?:bearer|basic)\s+)\S+"
    r"|(?i:AWS4-HMAC-SHA256\s+Credential=).*"
    r"|X-Amz-(?:Signature|Security-Token|Credential)=[^&\s\"]*"
    r"|(?<=://)[^/\s@'\"]*@"  # user:password@
)
_MAX_URL = 200
_QUOTED = re.compile(r"'(?!<)[^']{2,}'|\"[^\"]{2,}\"")


def without_secrets(text: str) -> str:
    """Return the text with `[removed]` in place of tokens, Authorization headers, signatures and passwords in URLs.

    This is a second safeguard: texts of exceptions that can hold secrets are not repeated at all.
    """
    return _SECRETS.sub("[removed]", text)


def without_quoted(text: str) -> str:
    """Return the error text of a parser with `…` in place of the names that it quotes, and without secrets.

    A name can be a secret: YAML reads a password after `*` as the name of an alias. Single characters and the tokens of the
    parser, such as `'<scalar>'`, stay.
    """
    return _QUOTED.sub("'…'", without_secrets(text))


def shown_url(url: str) -> str:
    """Return scheme, host and port of a URL, and `(no URL)` for other text. User info, path and query can hold secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "(no URL)"
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    text = f"{scheme}{separator}{authority}"
    return "".join(character if character.isprintable() else "?" for character in text[:_MAX_URL])


def network_reason(error: BaseException) -> str:
    """Return why a connection failed, in the words of the TLS library or the system, such as `Connection refused`.

    Returns an empty text where neither caused `error`. Texts of HTTP clients are left out, since they quote headers and requests.
    """
    for cause in causes(error):
        if is_tls_error(cause):
            reason = str(getattr(cause, "reason", None) or "TLS failed").replace("_", " ").lower()
            return str(getattr(cause, "verify_message", "") or reason)
        if isinstance(cause, OSError) and cause.strerror and cause.errno is not None:
            return cause.strerror
    return ""


def is_tls_error(error: BaseException) -> bool:
    """Return whether this is an error of `ssl`. Compared by name, since this module must not import `ssl`."""
    return any((kind.__module__, kind.__name__) == ("ssl", "SSLError") for kind in type(error).__mro__)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that led to it, each once: by cause, by context, and as botocore and urllib3 keep them."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            kept = getattr(current, "kwargs", None)
            waiting += [kept.get("error") if isinstance(kept, dict) else None, getattr(current, "reason", None)]
            waiting += [*current.args, current.__cause__, current.__context__]
