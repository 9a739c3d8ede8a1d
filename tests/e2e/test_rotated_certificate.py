"""`cert rotate` on a real kube-apiserver: people sign in with new tokens before, between and after its steps."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from container import CONTAINED, UID, Container, give
from installed import CONFIG_DIR, STATE_DIR, Site, comes_in_as, mounted, name_of

from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import CLUSTER_ID

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("certificates")]
ARGS = ["server", f"--config={CONFIG_DIR}/config.yaml", f"--state-dir={STATE_DIR}", "--kubeconfig-pregenerated=true"]


class Node:
    """A control-plane node with the files of `init`, and a config.yaml that names them for commands on the node."""

    def __init__(self, site: Site, root: Path) -> None:
        self._site = site
        self.state, self.kubeconfig, self._config = root / "state", root / "kubeconfig.yaml", root / "config.yaml"
        places = [f"stateDir: {self.state}", f"generateKubeconfig: {self.kubeconfig}"]
        self._config.write_text(site.server_config(*places))
        self.run("init", "--feature-gates", "ConfiguredInitDirectories=true")
        if CONTAINED:
            os.chown(self.state, UID, UID)
        give(self.state / "cert.pem", self.state / "key.pem")

    def run(self, *words: str) -> str:
        return self._site.administrator.works("kube-iam", *words, "-c", self._config, "-i", CLUSTER_ID)


@pytest.fixture(scope="module")
def node(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Node:
    made = Node(site, tmp_path_factory.mktemp("node"))
    flags = {"config-file": made.kubeconfig, "version": "v1", "cache-ttl": "1s"}
    site.start_api_server({f"authentication-token-webhook-{name}": value for name, value in flags.items()})
    site.put_config_map("aws-iam-authenticator", {"config.yaml": site.server_config()})
    site.apply("configFile: {}")
    return made


@pytest.fixture
def server(site: Site, node: Node, tmp_path: Path) -> Iterator[Container]:
    with mounted(site, tmp_path / "config") as config:
        container = site.container(tmp_path, {CONFIG_DIR: config, STATE_DIR: node.state})
        with site.running(container, ARGS, node.state / "cert.pem"):
            yield container


def test_sign_ins_go_on_through_both_steps_without_a_restart_of_the_server(
    site: Site, node: Node, server: Container
) -> None:
    kim, kubeconfig = site.member("kim", "viewer"), site.kubeconfig("viewer")
    assert comes_in_as(kim, kubeconfig, "awsiam:kim"), server.process.log.read_text()
    old, running = (node.state / "cert.pem").read_bytes(), server.process.pid()

    assert "Restart kube-apiserver on this node" in node.run("cert", "rotate")
    assert [line.split(":")[0] for line in node.run("cert", "status").splitlines()] == ["in use", "next"]
    assert "not trusted" not in node.run("cert", "status")
    assert name_of(kim, kubeconfig) == "awsiam:kim"
    site.restart_api_server()
    assert name_of(kim, kubeconfig) == "awsiam:kim"

    node.run("cert", "rotate", "--finish")
    assert name_of(kim, kubeconfig) == "awsiam:kim"
    assert wait_until(lambda: 'msg="certificate renewed"' in server.process.log.read_text(), 30)
    assert (node.state / "cert.pem").read_bytes() != old
    assert name_of(kim, kubeconfig) == "awsiam:kim", server.process.log.read_text()
    site.restart_api_server()  # it trusts the new certificate alone
    assert name_of(kim, kubeconfig) == "awsiam:kim"
    assert server.process.pid() == running

    key = (node.state / "key.pem").stat()
    assert stat.S_IMODE(key.st_mode) == 0o600
    assert key.st_uid == (UID if CONTAINED else os.getuid())
    assert [line.split(":")[0] for line in node.run("cert", "status").splitlines()] == ["in use"]
