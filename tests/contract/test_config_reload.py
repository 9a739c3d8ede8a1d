"""The mounted file, followed while the server runs: replaced whole or not at all, the last good one kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_sts import identity_answer
from running_server import MAPPINGS, SESSION_ARN, USER_ID, RunningServer, wait_until

pytestmark = pytest.mark.xdist_group("reload")

Make = Callable[..., RunningServer]
RENAMED = MAPPINGS.replace("shop-admins", "renamed-admins")
BROKEN = MAPPINGS.replace("arn:aws:iam::123456789012:role/team/Admin", "not-an-arn")
FAILURES = 'kube_iam_mapping_reload_failures_total{backend="MountedFile"}'


@pytest.fixture
def server(make_server: Make) -> RunningServer:
    server = make_server()
    server.sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    return server


def groups(server: RunningServer) -> list[str]:
    return list(server.review(server.token()).review["status"]["user"]["groups"])


def loads(server: RunningServer) -> int:
    return server.log().count('msg="mappings loaded"')


def test_an_edit_in_place_comes_into_force(server: RunningServer) -> None:
    server.start()
    assert groups(server) == ["shop-admins"]
    server.write_config(RENAMED)
    wait_until(lambda: loads(server) == 2)
    assert groups(server) == ["renamed-admins"]


def test_a_file_put_in_its_place_comes_into_force(server: RunningServer) -> None:
    server.start()
    beside = server.config.with_name(".config.yaml.tmp")
    beside.write_text(server.text(RENAMED))
    beside.replace(server.config)
    wait_until(lambda: loads(server) == 2)
    assert groups(server) == ["renamed-admins"]


def test_a_configmap_mount_that_swaps_its_symlink_comes_into_force(server: RunningServer) -> None:
    as_configmap(server, MAPPINGS, "..2026_01")
    server.start()
    assert groups(server) == ["shop-admins"]
    as_configmap(server, RENAMED, "..2026_02")
    wait_until(lambda: loads(server) == 2)
    assert groups(server) == ["renamed-admins"]


def as_configmap(server: RunningServer, mappings: str, version: str) -> None:
    """Lay the file out as kubelet does: config.yaml -> ..data/config.yaml, ..data -> a directory per version, renamed over."""
    mount = server.config.parent
    (mount / version).mkdir()
    (mount / version / "config.yaml").write_text(server.text(mappings))
    (mount / "..data_tmp").symlink_to(version)
    before = (mount / "..data").resolve() if (mount / "..data").is_symlink() else None
    (mount / "..data_tmp").rename(mount / "..data")
    if not server.config.is_symlink():
        server.config.unlink()
        server.config.symlink_to(Path("..data") / "config.yaml")
    if before is not None:
        shutil.rmtree(before)


def test_a_broken_file_leaves_the_last_good_one_in_force_and_says_so(server: RunningServer) -> None:
    server.start()
    for broken in (BROKEN, "  mapRoles: [", "  mapUsers: 3\n"):
        failures = server.metric(FAILURES)
        server.write_config(broken)
        wait_until(lambda failures=failures: server.metric(FAILURES) > failures)  # type: ignore[misc]
        assert groups(server) == ["shop-admins"]
        assert server.health("/readyz").status == 200
    assert "the last good ones stay in force" in server.log()
    assert "server.mapRoles[0].roleARN: 'not-an-arn' is not an ARN" in server.log()
    server.write_config(RENAMED)
    wait_until(lambda: groups(server) == ["renamed-admins"])


def test_a_deleted_file_leaves_the_last_good_one_in_force(server: RunningServer) -> None:
    server.start()
    server.config.unlink()
    wait_until(lambda: server.metric(FAILURES) == 1)
    assert groups(server) == ["shop-admins"]
    server.write_config(RENAMED)
    wait_until(lambda: groups(server) == ["renamed-admins"])


def test_a_directory_made_anew_is_followed_again(server: RunningServer) -> None:
    server.start()
    shutil.rmtree(server.config.parent)
    wait_until(lambda: server.metric(FAILURES) == 1)
    server.config.parent.mkdir()
    server.write_config(RENAMED)
    wait_until(lambda: groups(server) == ["renamed-admins"])


def test_server_with_a_broken_file_at_the_start_is_live_not_ready_and_admits_nobody(server: RunningServer) -> None:
    server.write_config(BROKEN)
    server.start()
    assert server.health("/healthz").status == 200
    assert server.request("GET", "/healthz").status == 200
    ready = server.health("/readyz")
    assert (ready.status, ready.body) == (503, b"no mappings yet: MountedFile")
    assert "have not been loaded" in server.review(server.token()).error
    server.write_config(MAPPINGS)
    wait_until(lambda: server.health("/readyz").status == 200)
    assert groups(server) == ["shop-admins"]


EMPTIED = 'kube_iam_mappings_emptied_total{backend="MountedFile"}'


def test_a_truncated_file_locks_nobody_out(server: RunningServer) -> None:
    server.start()
    whole = server.text(MAPPINGS)
    for cut in ("", "# a comment\n", whole[: whole.index("  mapRoles:")], whole[: whole.index("    username")]):
        failures = server.metric(FAILURES)
        server.config.write_text(cut)
        wait_until(lambda failures=failures: server.metric(FAILURES) > failures)  # type: ignore[misc]
        assert groups(server) == ["shop-admins"]
    assert server.metric(EMPTIED) == 0
    assert "level=error" in server.log()
    server.write_config(RENAMED)
    wait_until(lambda: groups(server) == ["renamed-admins"])


def test_a_truncated_version_behind_a_swapped_symlink_locks_nobody_out(server: RunningServer) -> None:
    as_configmap(server, MAPPINGS, "..2026_01")
    server.start()
    as_configmap(server, "", "..2026_02")
    wait_until(lambda: server.metric(FAILURES) == 1)
    assert groups(server) == ["shop-admins"]
    as_configmap(server, RENAMED, "..2026_03")
    wait_until(lambda: groups(server) == ["renamed-admins"])


def test_empty_lists_remove_all_mappings_with_an_error_and_a_metric(server: RunningServer) -> None:
    server.start()
    server.write_config("  mapRoles: []\n")
    wait_until(lambda: server.metric(EMPTIED) == 1)
    assert "no mapping admits" in server.review(server.token()).error
    (line,) = [line for line in server.log().splitlines() if "all mappings of the backend are gone" in line]
    assert "level=error" in line
    assert server.metric('kube_iam_mapping_entries{backend="MountedFile"}') == 0


def test_the_file_of_another_cluster_changes_no_mappings(server: RunningServer) -> None:
    server.start()
    server.config.write_text(server.text(RENAMED).replace("clusterID: contract-test", "clusterID: other"))
    wait_until(lambda: server.metric(FAILURES) == 1)
    assert groups(server) == ["shop-admins"]
    assert "a file of another cluster than 'contract-test'" in server.log()


def test_flags_that_a_server_runs_with_count_for_its_file(server: RunningServer) -> None:
    """The file has no clusterID and an impossible port; with its flags the server starts, and follows it."""

    def text(mappings: str) -> str:
        plain = server.text(mappings).replace("clusterID: contract-test\n", "")
        return plain.replace(f"port: {server.port}", "port: none")

    server.config.write_text(text(MAPPINGS))
    server.start("-i", "contract-test", "--port", str(server.port))
    assert groups(server) == ["shop-admins"]
    server.config.write_text(text(RENAMED))
    wait_until(lambda: groups(server) == ["renamed-admins"])


def test_a_half_written_file_is_never_in_force(server: RunningServer) -> None:
    """The entry before the cut is good YAML by itself; the cut entry is not, and the file is taken whole or not at all."""
    server.start()
    whole = server.text(RENAMED)
    server.config.write_text(whole[: whole.index("    groups: [renamed-admins]")] + "    groups: [renamed-adm")
    wait_until(lambda: server.metric(FAILURES) >= 1)
    assert groups(server) == ["shop-admins"]
