"""Log and metrics of the deny list: every denial of an entry once, and every entry that names nobody."""

from __future__ import annotations

from typing import Any, cast

from kube_iam.denylist.entry import parse_entry
from kube_iam.errors import Problem
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics
from kube_iam.server.observers import DenyListObserver


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def __getattr__(self, level: str) -> Any:
        def write(message: str, **fields: Any) -> None:
            self.lines.append((message, fields.get("denial", ""), fields.get("value", "") or fields.get("problem", "")))

        return write

    def take(self, message: str) -> list[tuple[str, str]]:
        """Return the fields of the lines with that message."""
        return [(denial, value) for said, denial, value in self.lines if said == message]


def test_each_denial_of_an_entry_is_logged_once_and_when_it_goes() -> None:
    log, metrics = Lines(), Metrics()
    report = DenyListObserver(cast("Log", log), metrics)
    several = list(parse_entry("x", '{"kind": "userName", "value": "alice, bob"}').denials)
    report.on_denials(several, [])
    report.on_denials(several, [])
    assert log.take("denied") == [("x", "alice,"), ("x", "alice"), ("x", "bob")]
    report.on_denials(several[:2], [])
    assert log.take("denial removed or ended") == [("x", "bob")]


def test_an_entry_that_names_nobody_is_an_error_in_the_log_and_counted() -> None:
    log, metrics = Lines(), Metrics()
    report = DenyListObserver(cast("Log", log), metrics)
    problem = Problem("x", parse_entry("x", '{"kind": "userId", "value": "AGPA0000000000000001"}').problem)
    for _ in range(2):
        report.on_denials([], [problem])
    ((_, said),) = log.take("deny list")
    assert "x: " in said
    assert "names nobody" in said
    assert "kube_iam_deny_list_invalid_entries 1" in metrics.render()
