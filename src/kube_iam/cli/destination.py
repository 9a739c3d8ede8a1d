"""The API server and the AWS account that a command works on. Plans, questions and data name both, in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kube_iam.core.redaction import shown_url
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kube_iam.kube.context import Context


@dataclass(frozen=True, slots=True)
class Destination:
    """The API server's URL (without secrets) with the context that leads to it, and the account's id. Empty: none, or not known."""

    api_server: str = ""
    context: str = ""
    account: str = ""

    @property
    def place(self) -> str:
        """Return the API server as `https://… (context prod)`, empty without one."""
        return f"{self.api_server} (context {self.context})" if self.api_server else ""

    def of(self, cluster: str) -> str:
        """Return `cluster prod.example.com at https://… (context prod), AWS account 123456789012`."""
        place = f" at {self.place}" if self.place else ""
        return f"cluster {cluster}{place}" + (f", AWS account {self.account}" if self.account else "")

    def as_data(self) -> dict[str, object]:
        """Return the same for programs. A value that is not there is null."""
        return {
            "account": self.account or None,
            "apiServer": self.api_server or None,
            "context": self.context or None,
        }


def find_destination(read_context: Callable[[], Context] | None, account: str = "") -> Destination:
    """Return the destination of a command. Raises nothing: what cannot be read is left empty.

    Without `read_context` nothing of the command is in a cluster.
    """
    try:
        context = read_context() if read_context is not None else None
    except KubeIamError:
        context = None
    return Destination(shown_url(context.server), context.name, account) if context else Destination(account=account)
