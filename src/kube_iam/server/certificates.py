"""The webhook's certificate: `cert.pem` and `key.pem` in the state directory, created at the first start or issued by an installer.

An existing pair is checked and used as it is. A pair that we create is self-signed and valid for 100 years, as the reference's is:
kube-apiserver trusts exactly this certificate and reads it once, so an early end would only stop all sign-ins.

Every reader of the key can answer kube-apiserver in the server's place. So a key that others can read is refused, as ssh does it.

A pair that an installer renews while the server runs is used without a restart.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from kube_iam.errors import ConfigError, KubeIamError, Problem
from kube_iam.files import write_file
from kube_iam.server.log import Log
from kube_iam.server.pem_subprocess import NO_CERTIFICATE, NO_KEY, OTHER_KEY, ask
from kube_iam.server.process import own_user

CERTIFICATE_FILE = "cert.pem"
KEY_FILE = "key.pem"
LOOK_SECONDS = 5.0
SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class TlsPair:
    """A checked certificate and its key. `key_pem` is PKCS#8 and unencrypted. `repr` shows neither."""

    certificate_pem: bytes
    key_pem: bytes
    not_after: datetime

    def __repr__(self) -> str:
        return f"TlsPair(not_after={self.not_after.isoformat()})"


def ensure_pair(state_dir: Path, hostname: str, address: str, now: datetime) -> bool:
    """Create a self-signed pair where there is no certificate. Return whether one was created. An existing key is kept and used.

    Raises ConfigError when the directory cannot be written, or holds a certificate without its key, or a key that others can read.
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
            write_file(key_path, _answer({})["key"].encode(), 0o600)
        # The certificate is written last: after a crash in between, the next start uses the key.
        question = {"hostname": hostname, "address": address, "now": now.isoformat(), "key": _text(_read_key(key_path))}
        made = _answer(question)
        if "problem" in made:
            raise _error(made["problem"], certificate_path, key_path)
        write_file(certificate_path, made["certificate"].encode(), 0o644)
    except OSError as error:
        hint = f"the server runs as {own_user()}; let it write there, or set stateDir"
        raise ConfigError(str(state_dir), [Problem("", f"cannot be used: {error.strerror}", hint)]) from error
    return True


def load_pair(state_dir: Path, now: datetime) -> TlsPair:
    """Return the pair in the state directory.

    Raises ConfigError when the files are unreadable, readable by others, no pair, expired or not valid yet.
    """
    certificate_path, key_path = state_dir / CERTIFICATE_FILE, state_dir / KEY_FILE
    certificate_pem = _read(certificate_path)
    found = _read_pair(certificate_pem, _read_key(key_path))
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


@lru_cache(maxsize=1)
def _read_pair(certificate_pem: bytes, key_pem: bytes) -> dict[str, str]:
    # Cached, because the server looks every few seconds for a pair that changes once in months.
    return _answer({"certificate": _text(certificate_pem), "key": _text(key_pem)})


def _answer(question: dict[str, str]) -> dict[str, str]:
    """Return the answer of `pem.answer`, from a child process, or from this process where no child can run."""
    answer = ask(question)
    if answer is None:
        from kube_iam.server import pem

        return pem.answer(question)
    return answer


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


def _read_key(path: Path) -> bytes:
    """Return the content of the key's file. Raises ConfigError when it is unreadable, or others than its owner can read it."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if _is_private(status):
                return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    mode = stat.S_IMODE(status.st_mode)
    # kubelet presents a Secret's file as a link. Its mode is the volume's and cannot be changed with chmod.
    volume = "set defaultMode: 0400 in the Secret's volume, or 0440 with securityContext.fsGroup"
    hint = volume if path.is_symlink() else f"chmod 600 {shlex.quote(str(path))}"
    problem = f"can be used by others than its owner (mode {mode:04o}), so it is not used as the server's key"
    raise ConfigError(str(path), [Problem("", problem, f"{hint}; issue a new pair if somebody may have read it")])


def _is_private(status: os.stat_result) -> bool:
    """Return whether a key file with that owner and mode is private: mode 0600 or less.

    One exception: kubelet gives the files of a Secret to root and to the pod's `fsGroup`, with mode 0640 or 0440. The group may read
    where the owner is root and the group is a supplementary one of this process.
    """
    if not hasattr(os, "getegid"):
        return True  # on Windows a file is as private as its directory
    mode = stat.S_IMODE(status.st_mode)
    by_group = status.st_uid == 0 and status.st_gid != os.getegid() and status.st_gid in os.getgroups()
    return mode & 0o077 == 0 or (by_group and mode & 0o037 == 0)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        str(path), [Problem("", f"cannot be read: {error.strerror}", f"the server runs as {own_user()}")]
    )


async def follow_certificate(
    state_dir: Path, current: TlsPair, renew: Callable[[TlsPair], Awaitable[None]], log: Log
) -> None:
    """Load the pair every few seconds until cancelled, and call `renew` with a new one.

    A pair that cannot be used is logged once, and the one in use stays.
    """
    failed = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            pair = await asyncio.to_thread(load_pair, state_dir, datetime.now(UTC))
            if pair.certificate_pem != current.certificate_pem or pair.key_pem != current.key_pem:
                await renew(pair)
                log.info("certificate renewed", notafter=pair.not_after.isoformat())
                current = pair
            failed = ""
        except KubeIamError as error:
            if str(error) != failed:
                failed = str(error)
                log.error("certificate not usable; the one in use stays", error=failed)


def warn_of_end(pair: TlsPair, now: datetime, log: Log) -> None:
    """Log a warning when the certificate ends within 30 days."""
    if pair.not_after - now < SOON:
        log.warning("certificate ends soon", notafter=pair.not_after.isoformat())
