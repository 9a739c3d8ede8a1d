"""`kubeconfig --merge` and kubectl never edit a kubeconfig at the same time: both hold FILE.lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kubeconfigs import config, kubeconfig

from kube_iam.errors import ConfigError, Conflict, NotOwned
from kube_iam.kube.kubeconfig import dump
from kube_iam.kube.kubeconfig_lock import ATTEMPTS, kubectl_locks
from kube_iam.kube.kubeconfig_merge import merge_into
from required import missing


def lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def never(seconds: float) -> None:
    raise AssertionError(f"waits for {seconds} s")


@pytest.mark.parametrize("locked", ["first", "second"])
def test_a_locked_file_is_waited_for_and_then_merged(locked: str, tmp_path: Path) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    files[0].write_text("kind: Config\n")
    lock = lock_of(tmp_path / locked)
    lock.touch()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            files[0].write_text("kind: Config\nclusters: [{name: kubectl, cluster: {}}]\n")
            lock.unlink()

    merge_into(files, config(), sleep)
    assert len(pauses) == 3
    assert "kubectl" in files[0].read_text()
    assert "shop-viewer" in files[0].read_text()
    assert list(tmp_path.iterdir()) == [files[0]]


def test_a_lock_that_stays_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    files[0].write_text("kind: Config\n")
    lock = lock_of(files[1])
    lock.touch()
    pauses: list[float] = []
    with pytest.raises(Conflict, match=f"{files[1]} is locked: {lock} exists; nothing was written") as caught:
        merge_into(files, config(), pauses.append)
    assert f"remove {lock}" in caught.value.hint
    assert 1 < len(pauses) < ATTEMPTS
    assert sorted(tmp_path.iterdir()) == [files[0], lock]
    assert files[0].read_text() == "kind: Config\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [("clusters: [", ConfigError), (kubeconfig(user="{token: x}"), NotOwned)],
    ids=["broken", "taken"],
)
def test_no_lock_is_left_behind(text: str, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(error):
        merge_into([path], config(), never)
    assert list(tmp_path.iterdir()) == [path]


def test_the_lock_stands_beside_a_link_and_not_beside_its_target(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    link, target = tmp_path / "config", tmp_path / "dotfiles" / "kube"
    target.write_text("kind: Config\n")
    link.symlink_to(target)
    with kubectl_locks([link], never):
        assert lock_of(link).exists()
        assert not lock_of(target).exists()


def test_one_file_under_two_names_is_locked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    merge_into([Path("config"), tmp_path / "config", tmp_path / "." / "config"], config(), never)
    assert [each.name for each in tmp_path.iterdir()] == ["config"]


def test_a_directory_that_is_missing_is_made_by_the_merge_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config"
    with kubectl_locks([path], never):
        assert not path.parent.exists()
    merge_into([path], config(), never)
    assert list(path.parent.iterdir()) == [path]


def test_kubectl_refuses_to_edit_meanwhile(tmp_path: Path) -> None:
    kubectl = Path(sys.executable).with_name("kubectl")
    if not kubectl.exists():
        missing("kubectl", "make venv")
    path = tmp_path / "config"
    path.write_text(dump(config()))
    command = [
        str(kubectl),
        "--kubeconfig",
        str(path),
        "config",
        "set-cluster",
        "new",
        "--server=https://new.example.com",
    ]
    with kubectl_locks([path], never):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert f"{lock_of(path)}: file exists" in done.stderr
    subprocess.run(command, capture_output=True, check=True)
    assert "new.example.com" in path.read_text()
