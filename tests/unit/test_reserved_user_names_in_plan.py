"""`plan` knows the server's reservedPrefixConfig, where the mapping is in the server's own file."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_account import FakeAccount
from levels_for_tests import ADMIN, VIEWER, access, run

from kube_iam.access.changes import Plan
from kube_iam.access.levels import Level, MappingTarget, Method, TargetKind
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Ports
from kube_iam.kube.mapping_store import make_store

LEGACY = replace(VIEWER, username="iam:{{SessionNameRaw}}")
RESERVED = "  reservedPrefixConfig:\n  - {backendMode: MountedFile, usernamePrefixReserveList: ['system:', 'iam:']}\n"


class Site:
    """An account, and a config.yaml that the server reads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.yaml"
        self.account = FakeAccount()
        self.write("  mapRoles: []\n")

    def write(self, server: str) -> None:
        self.path.write_text(f"clusterID: prod.example.com\nserver:\n{server}")

    def ports(self, *levels: Level) -> Ports:
        target = MappingTarget(TargetKind.FILE, "", "", "", path=str(self.path))
        store = make_store(access(*levels, mapping=target), None)
        return Ports(self.account.directory, self.account.cluster, store)

    def plan(self, *levels: Level) -> Plan:
        target = MappingTarget(TargetKind.FILE, "", "", "", path=str(self.path))
        return plan_apply(access(*levels, mapping=target), self.ports(*levels))

    def run(self, *levels: Level) -> None:
        run(self.account, self.plan(*levels), self.ports(*levels))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize(
    "level",
    [
        LEGACY,
        replace(LEGACY, username="iam:viewers"),
        replace(LEGACY, username="iam:{{UserName}}", method=Method.GROUP),
    ],
    ids=lambda level: level.username,
)
def test_an_entry_with_a_reserved_user_name_would_fail(site: Site, level: Level) -> None:
    site.write(RESERVED)
    (failure,) = site.plan(ADMIN, level).failures
    assert failure.startswith("create mapping ")
    assert "refuses user names that begin with iam: (server.reservedPrefixConfig)" in failure
    assert f"write another username than {level.username} for level viewer" in failure


def test_a_prefix_that_is_reserved_later_is_a_warning(site: Site) -> None:
    site.run(ADMIN, LEGACY)
    text = site.path.read_text()
    site.path.write_text(text.replace("server:\n", f"server:\n{RESERVED}"))
    plan = site.plan(ADMIN, LEGACY)
    assert not plan.failures
    assert not plan.changes
    (warning,) = plan.warnings
    assert warning.startswith("level viewer admits nobody: ")
    assert "refuses user names that begin with iam: (server.reservedPrefixConfig)" in warning
    mended = site.plan(ADMIN, VIEWER)
    assert mended.failures == mended.warnings == ()


@pytest.mark.parametrize(
    "server",
    [
        "",
        RESERVED.replace("'iam:'", "'aws:'"),
        RESERVED.replace("MountedFile", "EKSConfigMap"),  # of another backend than this file's
        RESERVED.replace("'iam:'", "'iam:x'"),  # some users only
    ],
)
def test_other_prefixes_of_the_server_refuse_nothing(site: Site, server: str) -> None:
    site.write(f"{server}  mapRoles: []\n")
    plan = site.plan(ADMIN, LEGACY)
    assert plan.failures == plan.warnings == ()


def test_a_broken_reserved_prefix_config_keeps_servers_from_loading_the_file(site: Site) -> None:
    site.write(RESERVED.replace("MountedFile", "MountedFle") + "  mapRoles: []\n")
    (warning,) = site.plan(ADMIN).warnings
    assert "servers cannot load" in warning
    assert "reservedPrefixConfig[0].backendMode" in warning
