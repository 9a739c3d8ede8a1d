"""Answers of the emulated account in the query protocol of IAM and STS."""

from __future__ import annotations

Answer = tuple[int, dict[str, str], bytes]
"""HTTP status, headers and body."""


def error(status: int, code: str, message: str) -> Answer:
    """Return an error with AWS's code and that message."""
    text = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
    )
    return status, {"Content-Type": "text/xml"}, body.encode()
