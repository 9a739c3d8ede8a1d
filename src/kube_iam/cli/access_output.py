"""Output of commands: JSON or YAML for programs, and remedies after an error half way."""

from __future__ import annotations

from kube_iam.cli.terminal import page
from kube_iam.errors import AccessDenied, Conflict, KubeIamError, Throttled, Unreachable
from kube_iam.kube.errors import status_of
from kube_iam.report.data import as_json, as_yaml

AGAIN = "run the same command again: it goes on from here"


def print_data(data: object, output: str) -> None:
    """Print the data as JSON or YAML."""
    page(as_json(data) if output == "json" else as_yaml(data))


def remedy_half_way(error: KubeIamError) -> str:
    """Return the remedy after an error half way. Repeating the command is suggested only if the result can differ."""
    if isinstance(error, (Unreachable, Throttled, Conflict)):
        return AGAIN
    if isinstance(error, AccessDenied):
        return f"give these AWS credentials that permission, then {AGAIN}"
    if status_of(error) in (401, 403):
        return (
            "these credentials may not go on in the cluster; with a --context that may, the next run goes on from here"
        )
    return "put that right first; the next run goes on from here"
