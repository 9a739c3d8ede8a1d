"""What installers and dashboards hold on to: the reference's flags, and its metrics with their types and labels."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from both import Server, running
from named_sts import NamedSts
from tokens import Signed

from kube_iam.cli.root import make_root

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance")]

KEY = "ASIASURFACE000000001"
IDENTITIES = {KEY: ("arn:aws:iam::123456789012:user/bob", "AIDABOB", "123456789012")}
SETTINGS = "  mapUsers:\n  - userarn: arn:aws:iam::123456789012:user/bob\n    username: bob\n"
PREFIX = "aws_iam_authenticator_"


@pytest.mark.parametrize("command", ["token", "server", "init", "verify", "version", "add user", "add role"])
def test_every_flag_of_the_reference_is_taken(reference: Path, command: str) -> None:
    said = subprocess.run([reference, *command.split(), "--help"], capture_output=True, text=True, check=True).stdout
    theirs = set(re.findall(r"^\s+(?:(-\w), )?(--[\w-]+)", said, re.MULTILINE)) - {("-h", "--help")}
    assert theirs
    ours = options(command)
    missing = [name for pair in theirs for name in pair if name and name not in ours]
    assert not missing


def options(command: str) -> set[str]:
    found: click.Command | None = make_root("aws-iam-authenticator")
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    return {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[tuple[Server, Server]]:
    directory = tmp_path_factory.mktemp("surface")
    sts = NamedSts(directory, IDENTITIES)
    with running(directory, reference, sts, SETTINGS) as both:
        yield both
    sts.stop()


def test_the_references_metrics_keep_their_types_and_labels(servers: tuple[Server, Server]) -> None:
    for server in servers:
        assert server.ask(Signed(KEY).token()).user is not None
        server.ask(Signed("ASIAUNKNOWNUNKNOWN00").token())
        server.ask("nonsense")
    theirs, ours = (families(server.get("/metrics")) for server in servers)
    assert {name for name in theirs if name.startswith(PREFIX)} >= {f"{PREFIX}authenticate_latency_seconds"}
    for name, (kind, labels) in theirs.items():
        if name.startswith(PREFIX):
            assert ours[name][0] == kind, name
            assert not labels or ours[name][1] == labels, name


def families(text: str) -> dict[str, tuple[str, set[str]]]:
    """Type and label names by metric, in Prometheus' text format."""
    found: dict[str, tuple[str, set[str]]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        samples = re.findall(rf"^{name}(?:_bucket|_sum|_count)?{{(.*)}} ", text, re.MULTILINE)
        found[name] = (kind, {label for sample in samples for label in re.findall(r'(\w+)="', sample)})
    return found


def test_every_row_that_the_cases_name_stands_in_the_page() -> None:
    from test_beside_the_reference import BY_HAND, ROW_OF

    page = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()
    named = {row for _, row in BY_HAND.values() if row} | set(ROW_OF.values())
    assert [row for row in sorted(named) if f"| {row} |" not in page] == []
