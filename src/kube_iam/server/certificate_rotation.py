"""A new certificate for the server in two steps, between which kube-apiserver trusts the old one and the new one.

kube-apiserver trusts exactly the certificates in the webhook kubeconfig, and reads that file when it starts:

1. `begin` makes a new pair beside the one in use, and writes a kubeconfig that trusts both. kube-apiserver is restarted.
2. `finish` puts the new pair into use, which the server loads within seconds, and writes a kubeconfig that trusts it alone.
   kube-apiserver forgets the old certificate at its next start.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kube_iam.config.server import ServerConfig
from kube_iam.errors import ConfigError, Problem
from kube_iam.files import write_file
from kube_iam.kube.authorizer import KUBECONFIG_FILE
from kube_iam.server.certificates import CERTIFICATE_FILE, KEY_FILE, TlsPair, ensure_pair, load_pair
from kube_iam.server.webhook_kubeconfig import webhook_kubeconfig, write_webhook_kubeconfig

NEXT_DIRECTORY = "next"
"""Directory of the new pair, in the state directory."""
_AUTHORITY = re.compile(r"(certificate-authority-data: *)(\S+)")


@dataclass(frozen=True)
class CertificateStatus:
    """One certificate: its role (in use, next), its SHA-256 fingerprint, its end, and whether the webhook kubeconfig trusts it."""

    role: str
    fingerprint: str
    not_after: datetime
    trusted: bool


def status(config: ServerConfig, now: datetime) -> list[CertificateStatus]:
    """Return the certificate in use, and the next one after `begin`. Raises ConfigError as `load_pair` does."""
    pairs = {"in use": load_pair(config.state_dir, now)}
    if (config.state_dir / NEXT_DIRECTORY / CERTIFICATE_FILE).exists():
        pairs["next"] = load_pair(config.state_dir / NEXT_DIRECTORY, now)
    return [
        CertificateStatus(role, _fingerprint(pair), pair.not_after, _is_trusted(config, pair))
        for role, pair in pairs.items()
    ]


def begin(config: ServerConfig, now: datetime) -> None:
    """Make the next pair, unless there is one, and have both trusted.

    Raises ConfigError, also where kube-apiserver does not trust the certificate in use itself: an authority signed it, whose owner
    renews it.
    """
    current = load_pair(config.state_dir, now)
    if not _is_trusted(config, current):
        hint = "if an authority signed it, as with kOps, its owner renews it; else set generateKubeconfig to kube-apiserver's file"
        problem = Problem("", "does not hold the certificate in use", hint)
        raise ConfigError(str(config.generate_kubeconfig), [problem])
    directory = config.state_dir / NEXT_DIRECTORY
    ensure_pair(directory, config.hostname, config.address, now)
    following = load_pair(directory, now)
    _trust(config, current.certificate_pem.rstrip() + b"\n" + following.certificate_pem)


def finish(config: ServerConfig, now: datetime) -> None:
    """Put the next pair into use, and write the kubeconfig that trusts it alone. Repeated after a failure, it goes on.

    Raises ConfigError where there is no next pair, or the webhook kubeconfig does not trust it.
    """
    directory = config.state_dir / NEXT_DIRECTORY
    if not (directory / CERTIFICATE_FILE).exists():
        raise ConfigError(str(directory), [Problem("", "holds no certificate", "begin with `kube-iam cert rotate`")])
    following = load_pair(directory, now)
    if not _is_trusted(config, following):
        hint = "repeat `kube-iam cert rotate`, and restart kube-apiserver"
        raise ConfigError(str(config.generate_kubeconfig), [Problem("", "does not trust the next certificate", hint)])
    owner = (config.state_dir / CERTIFICATE_FILE).stat()
    try:
        # The key first, as the server does: it uses no certificate whose key is another, and looks again.
        for name, mode in ((KEY_FILE, 0o600), (CERTIFICATE_FILE, 0o644)):
            _put(config.state_dir / name, (directory / name).read_bytes(), mode, owner)
    except OSError as error:
        raise ConfigError(
            str(config.state_dir),
            [Problem("", f"cannot be written: {error.strerror}", "run it as the owner or as root")],
        ) from error
    _trust(config, following.certificate_pem)
    shutil.rmtree(directory)


def _put(path: Path, content: bytes, mode: int, owner: os.stat_result) -> None:
    """Write a file for the owner of the certificate that was in use: the server's user, where root runs this."""

    def prepare(descriptor: int) -> None:
        if not hasattr(os, "fchmod"):
            return  # on Windows a file is as private as its directory
        os.fchmod(descriptor, mode)
        if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    write_file(path, content, mode, prepare=prepare)


def _trust(config: ServerConfig, certificates: bytes) -> None:
    """Write the webhook kubeconfig, and the files of the authorizer beside it where there are any. Raises ConfigError."""
    text = webhook_kubeconfig(config.hostname, config.port, certificates)
    write_webhook_kubeconfig(config.generate_kubeconfig, text)
    for path in _authorizer_files(config):
        if path.name == CERTIFICATE_FILE:
            write_webhook_kubeconfig(path, certificates.decode("latin-1"))
        else:
            data = base64.b64encode(certificates).decode()
            write_webhook_kubeconfig(path, _AUTHORITY.sub(rf"\g<1>{data}", path.read_text("utf-8")))


def _is_trusted(config: ServerConfig, pair: TlsPair) -> bool:
    """Return whether all files that kube-apiserver reads hold the certificate. An authority that signed it is not looked for."""
    files = (config.generate_kubeconfig, *_authorizer_files(config))
    return all(pair.certificate_pem.decode("latin-1").strip() in _certificates(path) for path in files)


def _authorizer_files(config: ServerConfig) -> list[Path]:
    """Return the authorizer's kubeconfig with a certificate in it, or the file that it names (`kube-iam manifest authorizer`)."""
    kubeconfig = config.generate_kubeconfig.with_name(KUBECONFIG_FILE)
    try:
        text = kubeconfig.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [kubeconfig if _AUTHORITY.search(text) else kubeconfig.with_name(CERTIFICATE_FILE)]


def _certificates(path: Path) -> str:
    """Return the PEM text in a file or in its certificate-authority-data, empty if there is none."""
    try:
        text = path.read_text("utf-8")
        found = _AUTHORITY.search(text)
        return base64.b64decode(found[2]).decode("ascii") if found else text
    except (OSError, ValueError):
        return ""


def _fingerprint(pair: TlsPair) -> str:
    """Return the SHA-256 of the first certificate, as openssl prints it but without colons."""
    text = pair.certificate_pem.decode("latin-1")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : end])).hexdigest()
