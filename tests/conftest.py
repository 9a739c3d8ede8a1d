"""Parts of the sandbox, and all of it, as fixtures that are started once per worker.

Nothing is imported before a test asks for it: unit tests have no use for botocore or a certificate.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from binaries import control_plane_binaries
from botocore_data import work_out_once
from examples import FEW, examples
from required import missing, pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401 - pytest finds its hooks here

if TYPE_CHECKING:
    from installed import Site
    from whole_sandbox import Sandbox

    from chart import Chart
    from emulated_account import Account
    from kube_iam.sandbox.api_server import ApiServer


# Tests run as the program does without the extra `login`; those of that extra start processes which do not have this variable.
os.environ.setdefault("BOTO_DISABLE_CRT", "true")
# How long an example takes says more about the machine than about us.
_known = settings.get_profile("ci" if os.environ.get("CI") else "default")
settings.register_profile("patient", _known, deadline=None, max_examples=examples(_known.max_examples))
settings.load_profile("patient")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let each worker of xdist import a share of the test modules before it collects all of them.

    pytest compiles test modules slowly the first time, and each worker would compile all: four took 32 s of processor time together,
    and take 25 s. A module that cannot be imported fails when it is collected. Modules and tests are no garbage: looking for
    some in them made collection a third longer.
    """
    gc.disable()
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if count == 1:
        return
    folders = [path for path in map(Path, session.config.args) if path.is_dir()]
    modules = sorted({module for folder in folders for module in folder.resolve().rglob("test_*.py")})
    for module in modules[int(worker.removeprefix("gw")) :: count]:
        if str(module.parent) not in sys.path:
            sys.path.insert(0, str(module.parent))
        with suppress(Exception):
            import_module(module.stem)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked `thorough` where a fifth of the examples is to be run."""
    left = [item for item in items if item.get_closest_marker("thorough")] if FEW else []
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def pytest_collection_finish() -> None:
    """Work out what botocore needs, once, and leave modules and tests out of all later garbage collections."""
    if "botocore" in sys.modules:
        work_out_once()
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def unchanged_environment() -> Iterator[None]:
    """Fail a test that leaves another environment behind: a later test of the same worker would fail, and not in every order."""
    before = _environment()
    yield
    changed = _restore(before)
    assert not changed, f"the test left other values of {', '.join(changed)}"


@pytest.fixture
def own_environment() -> Iterator[None]:
    """Restore the environment after a command that runs in this process: it may change its own environment."""
    before = _environment()
    yield
    _restore(before)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _restore(before: dict[str, str]) -> list[str]:
    """Give the variables these values again. Return the names of those that had others."""
    after = _environment()
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    for name in changed:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]
    return changed


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Yield the AWS account of a sandbox, with nothing else running."""
    from emulated_account import Account
    from kube_iam.sandbox.certificates import Authority
    from kube_iam.sandbox.state import Home
    from kube_iam.sandbox.up import down, start_account

    home = Home(tmp_path_factory.mktemp("account") / "sandbox")
    home.create()
    try:
        yield Account(home, start_account(home, Authority(home.tls), lambda _: None))
    finally:
        down(home)


@dataclass(frozen=True)
class ControlPlane:
    """A real kube-apiserver with RBAC and no webhook; `kubeconfig` is its administrator's."""

    api: ApiServer
    kubeconfig: Path


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Yield a control plane for tests of the Kubernetes API. Mark them xdist_group("control_plane"), so that one is enough."""
    from kube_iam.sandbox.certificates import Authority
    from kube_iam.sandbox.control_plane import start_control_plane
    from kube_iam.sandbox.state import Home
    from kube_iam.sandbox.up import down

    binaries = control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("control-plane") / "sandbox")
    home.create()
    try:
        yield ControlPlane(start_control_plane(home, Authority(home.tls), binaries), home.kubeconfig)
    finally:
        down(home)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Yield a whole sandbox with a real kube-apiserver. Nothing is applied yet."""
    from whole_sandbox import Sandbox

    from kube_iam.sandbox.state import Home
    from kube_iam.sandbox.up import down, up

    control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("e2e") / "sandbox")
    try:
        yield Sandbox(home, up(home, os.environ, lambda _: None))
    finally:
        down(home)


@pytest.fixture(scope="session")
def levels(sandbox: Sandbox) -> Sandbox:
    """Apply the three levels of the sandbox, and return it when the webhook has loaded them."""
    from kube_iam.sandbox.processes import wait_until

    sandbox.administrator.works("kube-iam", "apply", "--yes")
    log = sandbox.home.process("webhook").log
    assert wait_until(lambda: "entries=3" in log.read_text(), 10), log.read_text()
    return sandbox


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a cluster to be installed by the tests of one module, which belong in one xdist_group."""
    from container import own_network
    from installed import Site

    from kube_iam.sandbox.state import Home
    from kube_iam.sandbox.up import down

    binaries = control_plane_binaries()
    home = Home(tmp_path_factory.mktemp("installed") / "sandbox")
    home.create()
    with own_network():
        try:
            made = Site(home, binaries)
            yield made
            made.close()
        finally:
            down(home)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Return the reference's binary, of the version that tools/reference.sh builds."""
    from kube_iam.sandbox.control_plane import cache_directory

    version = (Path(__file__).parents[1] / "tools" / "reference-version").read_text().strip()
    name = f"aws-iam-authenticator-{version}"
    built = cache_directory(os.environ) / "reference" / name / "aws-iam-authenticator"
    return built if built.exists() else missing(f"the reference, {name},", "make reference")


@pytest.fixture(scope="session")
def chart() -> Chart:
    """Return the chart in deploy/chart, rendered with the helm that tools/helm.sh builds."""
    from chart import Chart
    from kube_iam.sandbox.control_plane import cache_directory

    version = (Path(__file__).parents[1] / "tools" / "helm-version").read_text().strip()
    built = cache_directory(os.environ) / "helm" / f"helm-{version}" / "helm"
    return Chart(built) if built.exists() else missing(f"helm {version}", "make helm")


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Return the promtool that tools/promtool.sh takes from Debian."""
    from kube_iam.sandbox.control_plane import cache_directory

    kept = cache_directory(os.environ) / "promtool" / "promtool"
    return kept if kept.exists() else missing("promtool", "make helm")


@pytest.fixture(scope="session")
def image() -> Path:
    """Return the OCI layout of the image that tools/image.py builds of these sources."""
    from image import built_from, source_digest
    from kube_iam.sandbox.control_plane import cache_directory

    layout = cache_directory(os.environ) / "image"
    return layout if built_from(layout) == source_digest() else missing("the image of these sources", "make image")
