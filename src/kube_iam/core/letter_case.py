"""Comparison without regard to letter case, for names that AWS and Kubernetes spell in ASCII."""

from __future__ import annotations

_ASCII = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def ascii_lower(text: str) -> str:
    """Return the text with A to Z in lower case and every other character as it is.

    `str.lower` and `str.casefold` make ASCII letters of other characters as well: the Kelvin sign (U+212A) becomes `k`, the long s
    becomes `s`. Two names that AWS, the reference and a reader tell apart would be one.
    """
    return text.lower() if text.isascii() else text.translate(_ASCII)
