"""The sandbox's certificate authority and the certificates that it signs: 30 days, ECDSA P-256, keys in PKCS#8 PEM."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kube_iam.files import write_file

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_LIFETIME = timedelta(days=30)
_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A new certificate authority. Its key is in memory only: after the object is gone, nothing more can be signed."""

    def __init__(self, directory: Path) -> None:
        """Write `ca.pem` to the directory. The pairs are written there too."""
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("kube-iam sandbox", "")
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(certificates=True), critical=True)
        self.path = directory / "ca.pem"
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        write_file(self.path, self.pem.encode())

    def server(self, file_name: str, hosts: Iterable[str], key: Key | None = None) -> Pair:
        """Issue a server certificate for these DNS names and IP addresses, with a new key unless one is given."""
        return self._issue(file_name, _name(file_name, ""), [ExtendedKeyUsageOID.SERVER_AUTH], [*hosts], key)

    def member(self, file_name: str, hosts: Iterable[str]) -> Pair:
        """Issue a certificate for a server that is also a client: etcd, whose clients present the same kind of certificate."""
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(file_name, _name(file_name, ""), both, [*hosts])

    def client(self, file_name: str, user: str, group: str) -> Pair:
        """Issue a client certificate that kube-apiserver reads as this user in this group."""
        return self._issue(file_name, _name(user, group), [ExtendedKeyUsageOID.CLIENT_AUTH], [])

    def _issue(
        self,
        file_name: str,
        subject: x509.Name,
        usages: list[x509.ObjectIdentifier],
        hosts: list[str],
        key: Key | None = None,
    ) -> Pair:
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        pair = Pair(self._directory / f"{file_name}.pem", self._directory / f"{file_name}-key.pem")
        certificate = builder.sign(self._key, hashes.SHA256())
        write_file(pair.certificate, certificate.public_bytes(Encoding.PEM))
        write_file(pair.key, _key_pem(key).encode())
        return pair


def service_account_keys(directory: Path) -> Pair:
    """Create the key pair with which kube-apiserver signs and checks service account tokens. `certificate` is the public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pair = Pair(directory / "service-account.pem", directory / "service-account-key.pem")
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_file(pair.certificate, public)
    write_file(pair.key, _key_pem(key).encode())
    return pair


def _builder(subject: x509.Name, issuer: x509.Name, key: PublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _name(common: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: Key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
