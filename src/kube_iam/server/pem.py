"""Creates and reads certificates and keys: all code that needs `cryptography`. `pem_subprocess` runs it outside the server process.

Questions and answers hold texts (PEM, ISO 8601 dates), because they are sent through a pipe. An answer with `problem` has no other
key.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kube_iam.server.pem_subprocess import NO_CERTIFICATE, NO_KEY, OTHER_KEY

COMMON_NAME = "aws-iam-authenticator"
LIFETIME = timedelta(days=365 * 100)


def main() -> None:
    """Read one question from standard input and write its answer to standard output, both as JSON."""
    question: dict[str, str] = json.load(sys.stdin)
    sys.stdout.write(json.dumps(answer(question)))


def answer(question: Mapping[str, str]) -> dict[str, str]:
    """Return the answer, which depends on the keys of the question.

    - none: a new `key`
    - `key`, `hostname`, `address`, `now`: a self-signed `certificate` of that key
    - `key`, `certificate`: the `key` as PKCS#8, and `not_before` and `not_after` of the certificate

    The other answer is `problem`: one of the constants of `pem_subprocess`.
    """
    if "key" not in question:
        return {"key": _pem(ec.generate_private_key(ec.SECP256R1()))}
    try:
        key = serialization.load_pem_private_key(question["key"].encode("latin-1"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return {"problem": NO_KEY}
    if "certificate" in question:
        return _read_pair(question["certificate"].encode("latin-1"), key)
    now = datetime.fromisoformat(question["now"])
    return {"certificate": _self_signed(key, question["hostname"], question["address"], now)}


def _read_pair(certificate_pem: bytes, key: PrivateKeyTypes) -> dict[str, str]:
    try:
        leaf = x509.load_pem_x509_certificates(certificate_pem)[0]
    except ValueError:
        return {"problem": NO_CERTIFICATE}
    if _public_bytes(leaf.public_key()) != _public_bytes(key.public_key()):
        return {"problem": OTHER_KEY}
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return {"key": _pem(key), "not_before": begins.isoformat(), "not_after": ends.isoformat()}


def _self_signed(key: PrivateKeyTypes, hostname: str, address: str, now: datetime) -> str:
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
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


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


def _pem(key: PrivateKeyTypes) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def _public_bytes(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
