"""Changes while the servers run: files of mappings, the file that names the backends, and the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import BOTH, CANARY, IAM, Family, await_both, await_canary, both_of, entry, families, rewrite, role, user_of
from named_sts import NamedSts
from principals import ADMIN, BOB, PEOPLE
from setups import Setup
from side_by_side import running
from tally import Tally

from kube_iam.sandbox.processes import wait_until
from listening import LOOPBACK, listening

pytestmark = pytest.mark.reference

MODE_FILE = "  dynamicBackendModePath: HOME/mode.json\n"


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), {**PEOPLE, CANARY.key: CANARY})
    yield running_sts
    running_sts.stop()


def dynamic(username: str) -> str:
    updated = {"LastUpdatedDateTime": "1700000000", "Version": username}
    return json.dumps(
        {**updated, "mapRoles": [entry(f"{IAM}:role/Admin", username)], "mapUsers": [entry(CANARY.arn, "c")]}
    )


def test_a_dynamic_file_is_followed_and_its_deletion_drops_its_mappings(
    tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally
) -> None:
    setup = Setup("dynamic", BOTH, files={"dynamic.json": dynamic("first")})
    with running(tmp_path, reference, sts, setup) as pair:
        await_canary(pair)
        await_both(pair, lambda server: user_of(server, ADMIN) == "first")
        rewrite(pair, "dynamic.json", dynamic("second"))
        await_both(pair, lambda server: user_of(server, ADMIN) == "second")
        name = "aws_iam_authenticator_dynamic_e2e_latency_seconds"
        await_both(pair, lambda server: bool(families(server.get("/metrics")).get(name, Family("")).samples))
        for found in [families(server.get("/metrics"))[name] for server in both_of(pair)]:
            assert (found.kind, found.labels) == ("histogram", {"type", "le"})
            bounds = {key.split("('le', '")[1].split("'")[0] for key in found.samples if "_bucket" in key}
            assert bounds == {"1", "3", "5", "10", "15", "20", "30", "60", "+Inf"}
        for server in both_of(pair):
            (server.home / "dynamic.json").unlink()
        await_both(pair, lambda server: user_of(server, ADMIN) is None)
        tally.same()


def test_the_backends_are_swapped_while_they_run(tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally) -> None:
    mounted = f"{BOTH}{MODE_FILE}  mapRoles:\n{role('Admin', 'mounted')}"
    modes = {
        name: json.dumps({"backendMode": name}) for name in ("DynamicFile", "MountedFile", "DynamicFile MountedFile")
    }
    setup = Setup("swap", mounted, files={"dynamic.json": dynamic("dynamic"), "mode.json": modes["DynamicFile"]})
    with running(tmp_path, reference, sts, setup) as pair:
        await_both(pair, lambda server: user_of(server, ADMIN) == "dynamic")
        rewrite(pair, "mode.json", modes["MountedFile"])
        await_both(pair, lambda server: user_of(server, ADMIN) == "mounted")
        rewrite(pair, "mode.json", modes["DynamicFile MountedFile"])
        await_both(pair, lambda server: user_of(server, ADMIN) == "dynamic")
        for server in both_of(pair):
            (server.home / "mode.json").unlink()
        await_both(pair, lambda server: user_of(server, ADMIN) == "mounted")
        tally.same()


def test_a_file_of_backends_that_is_broken_at_the_start(
    tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally
) -> None:
    setup = Setup("broken", f"{MODE_FILE}  mapRoles:\n{role('Admin', 'mounted')}", files={"mode.json": "{"})
    with running(tmp_path, reference, sts, setup) as pair:
        assert [user_of(server, ADMIN) for server in both_of(pair)] == ["mounted", None]
        tally.shown("M14")


def test_the_mounted_file_is_followed_by_us_alone(tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally) -> None:
    setup = Setup("mounted", f"  mapRoles:\n{role('Admin', 'before')}")
    with running(tmp_path, reference, sts, setup) as pair:
        theirs, ours = both_of(pair)
        for server in (theirs, ours):
            assert user_of(server, ADMIN) == "before"
            server.config.write_text(server.config.read_text().replace("before", "after"))
        assert wait_until(lambda: user_of(ours, ADMIN) == "after", 10)
        assert user_of(theirs, ADMIN) == "before"
        tally.shown("M10")
        ours.config.write_text("garbage: [")
        assert wait_until(lambda: "the last good ones stay in force" in ours.log(), 10)
        assert user_of(ours, ADMIN) == "after"


def test_health_and_the_end(tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally) -> None:
    with running(tmp_path, reference, sts, Setup("end")) as pair:
        theirs, ours = both_of(pair)
        open_to = {
            server.name: {address for _, address, _ in listening(server.process.pid())} for server in (theirs, ours)
        }
        assert open_to["ours"] == {LOOPBACK}
        # Another server's health may have the reference's one port for it.
        assert open_to["reference"] != {LOOPBACK} or "healthz server exited" in theirs.log()
        tally.shown("A7")
        for server in (theirs, ours):
            assert user_of(server, BOB) is None
            server.process.signal(signal.SIGTERM)
        assert wait_until(lambda: ours.process.pid() is None, 6)
        assert theirs.is_up()
        tally.shown("A6")
