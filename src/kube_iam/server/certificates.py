"""The webhook's certificate: `cert.pem` and `key.pem` in the state directory, made on first start, or issued by an installer.

A pair that is there is used as it is, after it was checked. One that we make signs itself and lives as long as the reference's
(100 years): kube-apiserver trusts exactly this certificate and reads it once, so an early end would only lock everybody out.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kube_iam.errors import ConfigError, Problem
from kube_iam.server.process import own_user

CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"
COMMON_NAME = "aws-iam-authenticator"
LIFETIME = timedelta(days=365 * 100)


@dataclass(frozen=True, slots=True)
class TlsPair:
    """A checked certificate and its key. `key_pem` is PKCS#8 and unencrypted; it never shows in `repr`."""

    certificate_pem: bytes
    key_pem: bytes
    not_after: datetime

    def __repr__(self) -> str:
        return f"TlsPair(not_after={self.not_after.isoformat()})"


def ensure_pair(state_dir: Path, hostname: str, address: str, now: datetime) -> bool:
    """Make a self-signed pair where there is none; whether one was made. A key that is there is kept and used.

    Raises ConfigError when the directory cannot be written, or holds a certificate without its key.
    """
    certificate_path, key_path = state_dir / CERTIFICATE_FILE, state_dir / KEY_FILE
    try:
        if certificate_path.exists():
            if not key_path.exists():
                hint = f"put the key at {key_path}, or remove {certificate_path} so that a new pair is made"
                raise ConfigError(str(certificate_path), [Problem("", "has no key beside it", hint)])
            return False
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not key_path.exists():
            write_file(key_path, _key_bytes(ec.generate_private_key(ec.SECP256R1())), 0o600)
        key = _load_key(key_path)
        # The certificate comes last: a crash in between leaves a key, which the next start uses.
        write_file(certificate_path, _self_signed(key, hostname, address, now), 0o644)
    except OSError as error:
        hint = f"the server runs as {own_user()}; let it write there, or set stateDir"
        raise ConfigError(str(state_dir), [Problem("", f"cannot be used: {error.strerror}", hint)]) from error
    return True


def load_pair(state_dir: Path, now: datetime) -> TlsPair:
    """The pair in the state directory. Raises ConfigError: unreadable, not a pair, expired or not valid yet."""
    certificate_path, key_path = state_dir / CERTIFICATE_FILE, state_dir / KEY_FILE
    certificate_pem = _read(certificate_path)
    key = _load_key(key_path)
    try:
        leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError as error:
        raise ConfigError(str(certificate_path), [Problem("", "holds no PEM certificate")]) from error
    if _public_bytes(leaf.public_key()) != _public_bytes(key.public_key()):
        raise ConfigError(
            str(key_path), [Problem("", f"is not the key of {certificate_path}", "issue the two together")]
        )
    if leaf.not_valid_after_utc <= now:
        ended = f"expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        hint = (
            "issue a new one, or remove cert.pem and key.pem and restart kube-apiserver with the new webhook kubeconfig"
        )
        raise ConfigError(str(certificate_path), [Problem("", ended, hint)])
    if leaf.not_valid_before_utc > now:
        begins = f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise ConfigError(str(certificate_path), [Problem("", begins, "check this machine's clock")])
    return TlsPair(certificate_pem, _key_bytes(key), leaf.not_valid_after_utc)


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Put the content at the path in one step, with exactly this mode. Raises OSError.

    Windows has no such modes: there a file is as private as its directory, and those that we make are the user's alone.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _self_signed(key: PrivateKeyTypes, hostname: str, address: str, now: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)])
    usage = dict.fromkeys(
        [
            "content_commitment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(minutes=5))
        .not_valid_after(now.astimezone(UTC) + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_names(hostname, address)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_encipherment=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def _names(hostname: str, address: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for text in dict.fromkeys((address, hostname)):
        ip = _ip(text)
        if ip is None:
            names.append(x509.DNSName(text))
        elif not ip.is_unspecified:
            names.append(x509.IPAddress(ip))
    return names


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _load_key(path: Path) -> PrivateKeyTypes:
    pem = _read(path)
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = "PKCS#8, PKCS#1 and SEC1 are read, none of them encrypted"
        raise ConfigError(str(path), [Problem("", "holds no PEM private key that can be used", hint)]) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = f"the server runs as {own_user()}"
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror}", hint)]) from error


def _key_bytes(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_bytes(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
