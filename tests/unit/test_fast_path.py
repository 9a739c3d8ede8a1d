"""Every kubectl call waits for `kube-iam token`: the ways that need no botocore import next to nothing.

The entry point is run as installed scripts run it, in a fresh interpreter, and then asked what it has imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from kube_iam.aws.profiles import read_profile
from kube_iam.aws.session_cache import CachedSession, SessionCache, cache_key
from kube_iam.aws.sign_in import SignIn, _Person
from kube_iam.core.credentials import Credentials

# Beside our own modules: what the interpreter has loaded before it runs us, and these.
ALLOWED = {"__future__", "binascii", "_sha2", "_sha256", "time"}
OUR_OWN = {
    "kube_iam",
    "kube_iam.aws",
    "kube_iam.aws.credentials",
    "kube_iam.aws.profiles",
    "kube_iam.aws.region",
    "kube_iam.aws.session_cache",
    "kube_iam.aws.sign_in",
    "kube_iam.cli",
    "kube_iam.cli.main",
    "kube_iam.cli.token_flags",
    "kube_iam.cli.token_run",
    "kube_iam.core",
    "kube_iam.core.credentials",
    "kube_iam.core.exec_credential",
    "kube_iam.core.mint",
    "kube_iam.core.partitions",
    "kube_iam.core.sigv4",
    "kube_iam.core.utc",
    "kube_iam.errors",
}
PROGRAM = """
import sys
before = set(sys.modules)
sys.argv = ["kube-iam", *sys.argv[1:]]
from kube_iam.cli.main import main
code = main()
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(code)
"""
EXEC_INFO = '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":true}}\n'
ROLE = "arn:aws:iam::123456789012:role/shop-admin"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


def imported(home: Path, environ: dict[str, str], *arguments: str) -> set[str]:
    """What a successful run has imported."""
    clean = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBERNETES_EXEC_INFO": EXEC_INFO,
        "AWS_REGION": "eu-west-1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout)["status"]["token"].startswith("k8s-aws-v1.")
    return set(ran.stderr.split())


def test_keys_in_the_environment_import_next_to_nothing(tmp_path: Path) -> None:
    assert imported(tmp_path, KEYS, "token", "-i", "shop") - OUR_OWN <= ALLOWED


def test_a_static_profile_imports_next_to_nothing(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile dev]\nregion = eu-central-1\n")
    (tmp_path / ".aws" / "credentials").write_text("[dev]\naws_access_key_id = AKID\naws_secret_access_key = s\n")
    assert imported(tmp_path, {"AWS_PROFILE": "dev"}, "token", "--cluster-id", "shop") - OUR_OWN <= ALLOWED


@pytest.mark.parametrize("slow_profile", [False, True])
def test_a_kept_session_imports_next_to_nothing(
    slow_profile: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the caller's own credentials are such that only botocore can find them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"AWS_REGION": "eu-west-1", **({"AWS_PROFILE": "sso"} if slow_profile else KEYS)}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile sso]\nsso_session = s\nsso_account_id = 123456789012\n")
    assert read_profile(environ) is not None
    person = _Person(SignIn("shop", role=ROLE), environ, time.time)
    now = time.time()
    kept = CachedSession(Credentials("ASIAKEPT", "s", "t", now + 3600), now, now + 3600)
    assert person.sessions.store(person._key("role", ROLE, "", ""), kept)
    assert imported(tmp_path, environ, "token", "-i", "shop", "-r", ROLE) - OUR_OWN <= ALLOWED


def test_the_installed_commands_are_this_entry_point(tmp_path: Path) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    for name in ("kube-iam", "kubectl-iam", "aws-iam-authenticator"):
        environ = {"HOME": str(tmp_path), "AWS_REGION": "eu-west-1", **KEYS}
        ran = subprocess.run(
            [scripts / name, "token", "-i", "shop", "--token-only"],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.startswith("k8s-aws-v1.")
        assert ran.stderr == ""


def test_reading_a_kept_session_needs_no_write(tmp_path: Path) -> None:
    cache = SessionCache(str(tmp_path / "sessions"))
    assert cache.load(cache_key("x"), 0.0) is None
    assert not (tmp_path / "sessions").exists()
