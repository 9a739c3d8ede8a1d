from __future__ import annotations

import os
import shutil
import stat
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from kube_iam.errors import ConfigError
from kube_iam.server import certificates, pem
from kube_iam.server.certificates import ensure_pair, load_pair

NOW = datetime(2026, 1, 1, tzinfo=UTC)
own_child = pytest.mark.process
"""The test is about the child process that handles keys. The others handle them in their own process, which costs a tenth of it."""


@pytest.fixture(autouse=True)
def no_child(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("process") is None:
        monkeypatch.setattr(certificates, "ask", pem.answer)


def leaf(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())


@own_child
def test_a_pair_is_made_where_there_is_none_with_the_reference_s_names(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    assert ensure_pair(state, "authenticator.local", "127.0.0.1", NOW)
    certificate = leaf(state)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "aws-iam-authenticator"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["authenticator.local"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert stat.S_IMODE((state / "key.pem").stat().st_mode) == 0o600
    assert b"BEGIN PRIVATE KEY" in (state / "key.pem").read_bytes()
    assert {path.name for path in state.iterdir()} == {"cert.pem", "key.pem"}


def test_all_addresses_is_no_name_and_an_address_may_be_the_host_name(tmp_path: Path) -> None:
    ensure_pair(tmp_path, "10.0.0.1", "0.0.0.0", NOW)
    names = leaf(tmp_path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.1")]


def test_a_pair_that_is_there_is_kept(tmp_path: Path) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    before = (tmp_path / "cert.pem").read_bytes(), (tmp_path / "key.pem").read_bytes()
    assert not ensure_pair(tmp_path, "other", "127.0.0.2", NOW)
    assert before == ((tmp_path / "cert.pem").read_bytes(), (tmp_path / "key.pem").read_bytes())


def test_start_killed_between_key_and_certificate_is_completed_with_the_same_key(tmp_path: Path) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    key = (tmp_path / "key.pem").read_bytes()
    (tmp_path / "cert.pem").unlink()
    assert ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    assert (tmp_path / "key.pem").read_bytes() == key
    assert load_pair(tmp_path, NOW).key_pem == key


def test_a_certificate_without_its_key_is_an_error_and_nothing_is_overwritten(tmp_path: Path) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(ConfigError, match="has no key beside it"):
        ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)


@pytest.mark.parametrize("form", [serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8])
def test_issued_keys_of_either_form_are_read(tmp_path: Path, form: serialization.PrivateFormat) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.pem").chmod(0o600)
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    assert b"BEGIN PRIVATE KEY" in load_pair(tmp_path, NOW).key_pem


def test_a_key_of_another_certificate_is_an_error(tmp_path: Path) -> None:
    ensure_pair(tmp_path / "a", "localhost", "127.0.0.1", NOW)
    ensure_pair(tmp_path / "b", "localhost", "127.0.0.1", NOW)
    (tmp_path / "a" / "key.pem").write_bytes((tmp_path / "b" / "key.pem").read_bytes())
    with pytest.raises(ConfigError, match="is not the key of"):
        load_pair(tmp_path / "a", NOW)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificates, "ask", pem.answer)
        ensure_pair(directory, "localhost", "127.0.0.1", NOW)
    return directory


@pytest.fixture
def pair_of(tmp_path: Path, made: Path) -> Path:
    for name in ("cert.pem", "key.pem"):
        shutil.copy(made / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o660, 0o666, 0o440])
def test_a_key_that_others_can_use_is_refused_with_the_command_that_helps(pair_of: Path, mode: int) -> None:
    key = pair_of / "key.pem"
    key.chmod(mode)
    with pytest.raises(ConfigError, match=f"key.pem: can be used by others.*mode {mode:04o}.*chmod 600 {key}"):
        load_pair(pair_of, NOW)
    key.chmod(0o600)
    assert load_pair(pair_of, NOW).not_after > NOW


def test_no_certificate_is_made_for_a_key_that_others_can_read(pair_of: Path) -> None:
    (pair_of / "cert.pem").unlink()
    (pair_of / "key.pem").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        ensure_pair(pair_of, "localhost", "127.0.0.1", NOW)
    assert not (pair_of / "cert.pem").exists()


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_of_its_owner_alone_is_used(pair_of: Path, mode: int) -> None:
    (pair_of / "key.pem").chmod(mode)
    assert load_pair(pair_of, NOW).not_after > NOW


def secret_volume(directory: Path, mode: int) -> None:
    """Write the files as kubelet mounts them: links through `..data`."""
    (directory / "..data").mkdir()
    for name in ("cert.pem", "key.pem"):
        (directory / name).rename(directory / "..data" / name)
        (directory / name).symlink_to(Path("..data") / name)
    (directory / "..data" / "key.pem").chmod(mode)


def test_the_key_of_a_secret_may_be_read_by_the_pods_fs_group(pair_of: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_volume(pair_of, 0o640)
    owner = os.stat_result((0o100640, 0, 0, 1, 0, 2000, 0, 0, 0, 0))  # root and fsGroup
    monkeypatch.setattr(os, "fstat", lambda _: owner)
    monkeypatch.setattr(os, "getgroups", lambda: [10000])
    with pytest.raises(ConfigError, match="defaultMode: 0400"):
        load_pair(pair_of, NOW)
    monkeypatch.setattr(os, "getgroups", lambda: [10000, 2000])
    assert load_pair(pair_of, NOW).not_after > NOW


def test_the_default_mode_of_a_secrets_volume_is_refused(pair_of: Path) -> None:
    secret_volume(pair_of, 0o644)
    with pytest.raises(ConfigError, match=r"mode 0644.*defaultMode: 0400 in the Secret's volume"):
        load_pair(pair_of, NOW)


def test_an_expired_certificate_and_one_of_the_future_are_errors(tmp_path: Path) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    with pytest.raises(ConfigError, match="expired on 2125"):
        load_pair(tmp_path, NOW + timedelta(days=365 * 101))
    with pytest.raises(ConfigError, match="not valid before 2025-12-31"):
        load_pair(tmp_path, NOW - timedelta(days=1))


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_files_that_hold_something_else_are_errors(tmp_path: Path, name: str) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    (tmp_path / name).write_text("invalid")
    with pytest.raises(ConfigError, match=f"{name}: holds no PEM"):
        load_pair(tmp_path, NOW)


def test_a_state_directory_that_cannot_be_written_is_an_error_that_names_the_uid(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="uid"):
        ensure_pair(tmp_path / "file" / "state", "localhost", "127.0.0.1", NOW)


def test_the_key_does_not_show(tmp_path: Path) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    assert "PRIVATE" not in repr(load_pair(tmp_path, NOW))


@own_child
def test_keys_reach_the_process_that_handles_them_through_pipes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, interpreter = tmp_path / "seen", tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\n(echo "$@"; env) >> {seen}\nexec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    state = tmp_path / "state"
    ensure_pair(state, "localhost", "127.0.0.1", NOW)
    pair = load_pair(state, NOW)
    key_lines = pair.key_pem.decode().splitlines()
    assert seen.read_text().count("kube_iam.server.pem import") == 3
    assert not [line for line in key_lines if line in seen.read_text()]
    assert {path.name for path in state.iterdir()} == {"cert.pem", "key.pem"}


@own_child
@pytest.mark.parametrize("interpreter", ["", "/nonexistent", "/bin/false", "/bin/echo"])
def test_where_no_such_process_can_be_had_the_server_does_without(
    interpreter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    assert load_pair(tmp_path, NOW).not_after > NOW
    (tmp_path / "key.pem").write_text("invalid")
    with pytest.raises(ConfigError, match="holds no PEM private key"):
        load_pair(tmp_path, NOW)


def test_a_pair_that_did_not_change_is_looked_into_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_pair(tmp_path, "localhost", "127.0.0.1", NOW)
    before = load_pair(tmp_path, NOW)
    monkeypatch.setattr(certificates, "ask", None)
    assert load_pair(tmp_path, NOW) == before
    with pytest.raises(ConfigError, match="expired on 2125"):
        load_pair(tmp_path, NOW + timedelta(days=365 * 101))
