"""The image that tools/image.py builds: its root file system as kOps runs it, and what its layout says for both platforms."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from container import CONTAINED, ENTRYPOINT, UID, Container
from installed import CONFIG_DIR, STATE_DIR, Site, kops_files, mounted, whoami

import image as builder
from kube_iam.sandbox.processes import Process, wait_until

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.xdist_group("image"),
    pytest.mark.skipif(not CONTAINED, reason="only root makes containers"),
]
DEPLOY = Path(__file__).parents[2] / "deploy"
ARGS = [
    *("server", f"--config={CONFIG_DIR}/config.yaml", f"--state-dir={STATE_DIR}", "--kubeconfig-pregenerated=true"),
]
"""Those of kOps's addon authentication.aws."""
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def root(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the image's root file system for this machine."""
    unpacked = tmp_path_factory.mktemp("image") / "root"
    builder.unpack(image, builder.native(), unpacked)
    unpacked.chmod(0o755)
    return unpacked


def output(root: Path, directory: Path, *command: str) -> str:
    """Run a command in a container of the image, without mounts and variables. Return what it prints."""
    process = Process("image", directory / "process.json", directory / "image.log")
    container = Container(process, directory, {}, {}, image=root)
    started = container.command([])
    process.start(
        [*started[: started.index(ENTRYPOINT)], *command], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, directory
    )
    assert wait_until(lambda: process.pid() is None, 60)
    return process.log.read_text()


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_layout_has_both_platforms_with_the_settings_of_the_dockerfile(image: Path, arch: str, tmp_path: Path) -> None:
    found = builder.configuration(image, arch)
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert (found["os"], found["architecture"]) == ("linux", arch)
    assert found["config"]["User"] == f"{UID}:{UID}"
    assert f"USER {UID}:{UID}\n" in dockerfile
    assert found["config"]["Entrypoint"] == [ENTRYPOINT]
    assert f'ENTRYPOINT ["{ENTRYPOINT}"]\n' in dockerfile
    assert "PATH=/opt/kube-iam/bin:" in found["config"]["Env"][0]
    builder.unpack(image, arch, tmp_path)
    # ELF header: the machine, e_machine.
    machines = {"amd64": 0x3E, "arm64": 0xB7}
    libraries = [path for path in tmp_path.rglob("*.so*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    assert {int.from_bytes(path.read_bytes()[18:20], "little") for path in libraries} == {machines[arch]}
    assert len(libraries) > 50


def test_image_holds_no_shell_and_no_file_that_gives_rights(root: Path) -> None:
    programs = {path.name for folder in ("bin", "usr/bin", "usr/sbin") for path in (root / folder).glob("*")}
    assert programs == {"python3.11"}
    assert [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o6000] == []


@pytest.mark.parametrize("program", [ENTRYPOINT, "/aws-iam-authenticator", "/opt/kube-iam/bin/kube-iam"])
def test_program_answers_under_each_of_its_names(root: Path, tmp_path: Path, program: str) -> None:
    assert "0.1.0" in output(root, tmp_path, program, "version")


def test_all_modules_are_there_and_compiled(root: Path, tmp_path: Path) -> None:
    """Import every module but those of the sandbox, whose package is not part of the image."""
    assert output(root, tmp_path, "/opt/kube-iam/bin/python", "-c", IMPORT_ALL).strip() == "imported"
    sources = list((root / builder.SITE_PACKAGES / "kube_iam").rglob("*.py"))
    assert all((path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc").exists() for path in sources)


def test_interpreter_trusts_the_public_roots(root: Path, tmp_path: Path) -> None:
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)"
    assert output(root, tmp_path, "/opt/kube-iam/bin/python", "-c", code).strip() == "True"


IMPORT_ALL = """
import importlib, pkgutil, kube_iam
for each in pkgutil.walk_packages(kube_iam.__path__, "kube_iam."):
    if ".sandbox" not in each.name and "login_source" not in each.name:
        importlib.import_module(each.name)
print("imported")
"""


@pytest.fixture(scope="module")
def kops(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the node's state directory, with kube-apiserver as kOps starts it."""
    state, kubeconfig = kops_files(site, tmp_path_factory.mktemp("kops"))
    args = {"config-file": kubeconfig, "cache-ttl": "1s"}
    site.start_api_server({f"authentication-token-webhook-{name}": value for name, value in args.items()})
    site.put_config_map("aws-iam-authenticator", {"config.yaml": site.server_config()})
    site.apply("configFile: {}")
    return state


@pytest.fixture
def pod(site: Site, kops: Path, root: Path, tmp_path: Path) -> Iterator[Container]:
    """Yield kOps's pod with the image, which is not started."""
    with mounted(site, tmp_path / "config") as config:
        yield replace(site.container(tmp_path, {CONFIG_DIR: config, STATE_DIR: kops}), image=root)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """Yield a control group for memory."""
    version_1 = Path("/sys/fs/cgroup/memory")
    made = (version_1 if version_1.is_dir() else Path("/sys/fs/cgroup")) / f"kube-iam-test-{os.getpid()}"
    made.mkdir()
    yield made
    assert wait_until(lambda: not (made / "cgroup.procs").read_text(), 10)
    made.rmdir()


def limit(cgroup: Path, size: int) -> None:
    old = cgroup / "memory.limit_in_bytes"
    (old if old.exists() else cgroup / "memory.max").write_text(str(size))


@pytest.mark.control_plane
def test_person_signs_in_within_the_limit_of_memory(site: Site, pod: Container, cgroup: Path) -> None:
    daemon_set = (DEPLOY / "daemonset.yaml").read_text()
    limit(cgroup, int(re.findall(r"limits:\n +memory: (\d+)Mi", daemon_set)[0]) * MIB)
    with site.running(replace(pod, cgroup=cgroup), ARGS):
        user = whoami(site.member("ida", "viewer"), site.kubeconfig("viewer"))
        assert user["username"] == "awsiam:ida", pod.process.log.read_text()
        status = pod.status()
    assert status["Uid"].split() == [str(UID)] * 4
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"


@pytest.mark.control_plane
def test_default_limit_of_kops_ends_the_server_with_an_empty_log(site: Site, pod: Container, cgroup: Path) -> None:
    """As docs/install.md says: 20Mi is the default of kOps, and nobody finds a reason in the log."""
    limit(cgroup, 20 * MIB)
    limited = replace(pod, cgroup=cgroup)
    limited.start(ARGS)
    assert wait_until(lambda: limited.process.pid() is None, 60)
    assert limited.process.log.read_text() == ""
