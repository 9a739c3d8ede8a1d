"""The webhook's certificate: `cert.pem` and `key.pem` in the state directory, made on first start, or issued by an installer.

A pair that is there is used as it is, after it was checked. One that we make signs itself and lives as long as the reference's
(100 years): kube-apiserver trusts exactly this certificate and reads it once, so an early end would only lock everybody out.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from kube_iam.errors import ConfigError, Problem
from kube_iam.server.key_process import NO_CERTIFICATE, NO_KEY, OTHER_KEY, ask
from kube_iam.server.process import own_user

CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"


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
            write_file(key_path, ask({})["key"].encode(), 0o600)
        # The certificate comes last: a crash in between leaves a key, which the next start uses.
        question = {"hostname": hostname, "address": address, "now": now.isoformat(), "key": _text(_read(key_path))}
        made = ask(question)
        if "problem" in made:
            raise _error(made["problem"], certificate_path, key_path)
        write_file(certificate_path, made["certificate"].encode(), 0o644)
    except OSError as error:
        hint = f"the server runs as {own_user()}; let it write there, or set stateDir"
        raise ConfigError(str(state_dir), [Problem("", f"cannot be used: {error.strerror}", hint)]) from error
    return True


def load_pair(state_dir: Path, now: datetime) -> TlsPair:
    """The pair in the state directory. Raises ConfigError: unreadable, not a pair, expired or not valid yet."""
    certificate_path, key_path = state_dir / CERTIFICATE_FILE, state_dir / KEY_FILE
    certificate_pem = _read(certificate_path)
    found = _looked_into(certificate_pem, _read(key_path))
    if "problem" in found:
        raise _error(found["problem"], certificate_path, key_path)
    not_before, not_after = (datetime.fromisoformat(found[name]) for name in ("not_before", "not_after"))
    if not_after <= now:
        ended = f"expired on {not_after:%Y-%m-%d %H:%M} UTC"
        hint = (
            "issue a new one, or remove cert.pem and key.pem and restart kube-apiserver with the new webhook kubeconfig"
        )
        raise ConfigError(str(certificate_path), [Problem("", ended, hint)])
    if not_before > now:
        begins = f"is not valid before {not_before:%Y-%m-%d %H:%M} UTC"
        raise ConfigError(str(certificate_path), [Problem("", begins, "check this machine's clock")])
    return TlsPair(certificate_pem, found["key"].encode(), not_after)


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


@lru_cache(maxsize=1)
def _looked_into(certificate_pem: bytes, key_pem: bytes) -> dict[str, str]:
    # Remembered, since the server looks every few seconds for a pair that changes once in months.
    return ask({"certificate": _text(certificate_pem), "key": _text(key_pem)})


def _error(problem: str, certificate_path: Path, key_path: Path) -> ConfigError:
    forms = "PKCS#8, PKCS#1 and SEC1 are read, none of them encrypted"
    where, text, hint = {
        NO_CERTIFICATE: (certificate_path, "holds no PEM certificate", ""),
        NO_KEY: (key_path, "holds no PEM private key that can be used", forms),
        OTHER_KEY: (key_path, f"is not the key of {certificate_path}", "issue the two together"),
    }[problem]
    return ConfigError(str(where), [Problem("", text, hint)])


def _text(pem: bytes) -> str:
    return pem.decode("latin-1")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = f"the server runs as {own_user()}"
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror}", hint)]) from error
