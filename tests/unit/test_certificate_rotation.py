"""The two steps of `cert rotate`: which files trust which certificate, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from kube_iam.config.server import ServerConfig
from kube_iam.errors import ConfigError
from kube_iam.kube.authorizer import Authorizer, Installer
from kube_iam.report.data import as_yaml
from kube_iam.server.certificate_rotation import begin, finish, status
from kube_iam.server.certificates import ensure_pair, load_pair
from kube_iam.server.webhook_kubeconfig import webhook_kubeconfig

# Certificates are made in a process of their own.
pytestmark = pytest.mark.process
NOW = datetime.now(UTC)


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    """Return the settings of a node where `init` ran."""
    made = replace(ServerConfig("c"), state_dir=tmp_path / "state", generate_kubeconfig=tmp_path / "kubeconfig.yaml")
    ensure_pair(made.state_dir, made.hostname, made.address, NOW)
    pair = load_pair(made.state_dir, NOW)
    made.generate_kubeconfig.write_text(webhook_kubeconfig(made.hostname, made.port, pair.certificate_pem))
    return made


def authorizer(certificate: str) -> str:
    return as_yaml(Authorizer(Installer.KUBEADM, certificate=certificate).kubeconfig())


@pytest.mark.parametrize("embedded", [True, False])
def test_authorizer_trusts_what_the_webhook_trusts(config: ServerConfig, embedded: bool) -> None:
    """Its kubeconfig holds the certificate, or names the file beside it. With one of them left out every request would fail."""
    directory, pem = config.generate_kubeconfig.parent, (config.state_dir / "cert.pem").read_text()
    (directory / "authorizer.yaml").write_text(authorizer(pem if embedded else ""))
    if not embedded:
        (directory / "cert.pem").write_text(pem)
    begin(config, NOW)
    assert [each.trusted for each in status(config, NOW)] == [True, True]
    finish(config, NOW)
    (left,) = status(config, NOW)
    assert left.trusted
    now = (config.state_dir / "cert.pem").read_text()
    assert now != pem
    if embedded:
        assert yaml.safe_load((directory / "authorizer.yaml").read_text()) == yaml.safe_load(authorizer(now))
    else:
        assert (directory / "cert.pem").read_text() == now
        assert (directory / "authorizer.yaml").read_text() == authorizer("")


def test_first_step_can_be_repeated(config: ServerConfig) -> None:
    begin(config, NOW)
    before = status(config, NOW)
    begin(config, NOW)
    assert status(config, NOW) == before


def test_second_step_goes_on_after_a_failure(config: ServerConfig) -> None:
    """After the key was replaced and the certificate was not, the step is repeated."""
    begin(config, NOW)
    following = config.state_dir / "next"
    (config.state_dir / "key.pem").write_bytes((following / "key.pem").read_bytes())
    finish(config, NOW)
    assert not following.exists()
    (left,) = status(config, NOW)
    assert left.trusted


def test_certificate_of_an_authority_is_left_to_its_owner(config: ServerConfig) -> None:
    config.generate_kubeconfig.write_text(webhook_kubeconfig("localhost", 21362, b"-----BEGIN CERTIFICATE-----"))
    with pytest.raises(ConfigError, match="does not hold the certificate in use"):
        begin(config, NOW)
    assert not (config.state_dir / "next").exists()


def test_next_certificate_is_used_only_where_it_is_trusted(config: ServerConfig) -> None:
    with pytest.raises(ConfigError, match="begin with `kube-iam cert rotate`"):
        finish(config, NOW)
    before, used = config.generate_kubeconfig.read_text(), (config.state_dir / "cert.pem").read_bytes()
    begin(config, NOW)
    config.generate_kubeconfig.write_text(before)
    with pytest.raises(ConfigError, match="does not trust the next certificate"):
        finish(config, NOW)
    assert (config.state_dir / "cert.pem").read_bytes() == used
