"""Lower case for names that AWS and Kubernetes spell in ASCII, so that they compare without letter case."""

from __future__ import annotations

_ASCII = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def ascii_lower(text: str) -> str:
    """Return the text with A to Z in lower case and every other character as it is.

    `str.lower` and `str.casefold` turn other characters into ASCII letters as well: the Kelvin sign (U+212A) becomes `k`, and the
    long s becomes `s`. Two names that AWS and the reference tell apart would be equal.
    """
    return text.lower() if text.isascii() else text.translate(_ASCII)
