"""Scrubbed accounts (`server.scrubbedAccounts`): their ids appear in no log line, metric or answer of the health port."""

from __future__ import annotations

from collections.abc import Collection

MASK = "…"


class Scrubber:
    """Replaces the ids of scrubbed accounts in texts, such as the ARN of a role whose trust policy could not be read."""

    def __init__(self, accounts: Collection[str] = ()) -> None:
        self.accounts = frozenset(accounts)

    def __call__(self, text: str) -> str:
        """Return the text with each id of a scrubbed account replaced by an ellipsis."""
        for account in self.accounts:
            text = text.replace(account, MASK)
        return text
