"""Parts of errors and texts of others that may be repeated: network reasons, and text without credentials."""

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

    A second line of defence: texts of exceptions are not repeated in the first place.
    """
    return _SECRETS.sub("[removed]", text)


def without_quoted(text: str) -> str:
    """Return a parser's complaint with `…` in place of the names that it quotes: a password after `*` is the name of an alias to YAML.

    Single characters and the parser's own tokens, such as `'<scalar>'`, stay.
    """
    return _QUOTED.sub("'…'", without_secrets(text))


def shown_url(url: str) -> str:
    """Return scheme, host and port of the URL, `(no URL)` for other text: user info, path and query can hold secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "(no URL)"
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    text = f"{scheme}{separator}{authority}"
    return "".join(character if character.isprintable() else "?" for character in text[:_MAX_URL])


def network_reason(error: BaseException) -> str:
    """Return why a connection failed, such as `Connection refused`, from the TLS library's or the system's own words.

    Empty where no such error is behind `error`. The texts of HTTP clients are left out: they quote headers and requests.
    """
    for cause in causes(error):
        if is_tls_error(cause):
            reason = str(getattr(cause, "reason", None) or "TLS failed").replace("_", " ").lower()
            return str(getattr(cause, "verify_message", "") or reason)
        if isinstance(cause, OSError) and cause.strerror and cause.errno is not None:
            return cause.strerror
    return ""


def is_tls_error(error: BaseException) -> bool:
    """Return whether it is one of `ssl`'s errors. They are known by their names: this module does without the network."""
    return any((kind.__module__, kind.__name__) == ("ssl", "SSLError") for kind in type(error).__mro__)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors behind it, each once: by cause, by context, and as botocore and urllib3 keep them."""
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
