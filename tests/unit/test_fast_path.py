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
from tls_sts import TlsSts

from kube_iam.aws.credential_provider import CredentialProvider
from kube_iam.aws.static_credentials import read_profile
from kube_iam.aws.token_cache import CachedSession, IssuedToken, SessionCache, TokenCache, TokenRequest
from kube_iam.core.credentials import Credentials
from kube_iam.core.partitions import find_endpoint
from kube_iam.core.tokens import digest_of
from required import not_applicable

# Beside our own modules: what the interpreter has loaded before it runs us, and these.
ALLOWED = {"_sha2", "_sha256", "binascii"}
PACKAGES = {"kube_iam", "kube_iam.aws", "kube_iam.cli", "kube_iam.core"}
CACHED_TOKEN = {
    *PACKAGES,
    "kube_iam.aws.environment",
    "kube_iam.aws.token_cache",
    "kube_iam.cli.main",
    "kube_iam.cli.token_run",
    "kube_iam.core.tokens",
    "kube_iam.files",
}
"""At most ten, the packages among them."""
NEW_TOKEN = {
    *CACHED_TOKEN,
    "kube_iam.aws.credential_provider",
    "kube_iam.aws.static_credentials",
    "kube_iam.core.credentials",
    "kube_iam.core.partitions",
}
"""At most ten beside the packages, whose files hold a docstring and nothing else."""
ROLE_OF_PROFILE = {*NEW_TOKEN, "kube_iam.aws.profile_sources", "kube_iam.aws.sts_calls", "kube_iam.core.utc"}
"""The first run with a role of a profile: three more than for static keys, and TLS."""
TOOL_OF_PROFILE = {
    *NEW_TOKEN,
    "kube_iam.aws.credential_tool",
    "kube_iam.aws.profile_sources",
    "kube_iam.core.utc",
    "kube_iam.errors",
}
ROLE_OF_FLAG = {*ROLE_OF_PROFILE, "kube_iam.aws.assume_role", "kube_iam.aws.logins", "kube_iam.errors"}
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
    """Return the modules that a successful run has imported."""
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


def test_the_token_path_is_at_most_ten_modules() -> None:
    assert len(CACHED_TOKEN) <= 10
    assert len(NEW_TOKEN - PACKAGES) <= 10


def test_keys_in_the_environment_import_next_to_nothing(tmp_path: Path) -> None:
    assert imported(tmp_path, KEYS, "token", "-i", "shop") - NEW_TOKEN <= ALLOWED


def test_a_static_profile_imports_next_to_nothing(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile dev]\nregion = eu-central-1\n")
    (tmp_path / ".aws" / "credentials").write_text("[dev]\naws_access_key_id = AKID\naws_secret_access_key = s\n")
    assert imported(tmp_path, {"AWS_PROFILE": "dev"}, "token", "--cluster-id", "shop") - NEW_TOKEN <= ALLOWED


@pytest.mark.parametrize("slow_profile", [False, True])
def test_a_kept_session_imports_next_to_nothing(
    slow_profile: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the caller's own credentials are such that only botocore can find them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {"AWS_REGION": "eu-west-1", **({"AWS_PROFILE": "sso"} if slow_profile else KEYS)}
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile sso]\nsso_session = s\nsso_account_id = 123456789012\n")
    profile = read_profile(environ)
    assert profile is not None
    endpoint = find_endpoint("", environ, profile, str)
    provider = CredentialProvider(TokenRequest("shop", role=ROLE), environ, time.time, profile, endpoint)
    now = time.time()
    kept = CachedSession(Credentials("ASIAKEPT", "s", "t", now + 3600), now, now + 3600)
    assert provider.sessions.store(provider._key("role", ROLE, "", ""), kept)
    assert imported(tmp_path, environ, "token", "-i", "shop", "-r", ROLE) - NEW_TOKEN <= ALLOWED


def test_a_kept_token_imports_even_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    now = time.time()
    environ = {"AWS_REGION": "eu-west-1", **KEYS}
    TokenCache(TokenRequest("shop", role=ROLE), environ).store(IssuedToken("k8s-aws-v1.kept", now, now + 840))
    assert imported(tmp_path, KEYS, "token", "-i", "shop", "-r", ROLE) - CACHED_TOKEN <= ALLOWED - {"binascii"}


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a statement imports."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


COLD = {
    "role of a profile": (f"[profile p]\nrole_arn = {ROLE}\nsource_profile = base\n", (), ROLE_OF_PROFILE, "ssl"),
    "chain of roles": (
        f"[profile p]\nrole_arn = {ROLE}\nsource_profile = q\n[profile q]\nrole_arn = {ROLE}\nsource_profile = base\n",
        (),
        ROLE_OF_PROFILE,
        "ssl",
    ),
    "-r": ("[profile p]\naws_access_key_id = A\naws_secret_access_key = s\n", ("-r", ROLE), ROLE_OF_FLAG, "ssl"),
    "credential_process": (
        "[profile p]\ncredential_process = cat ~/answer\n",
        (),
        TOOL_OF_PROFILE,
        "datetime, json, subprocess",
    ),
}


@pytest.mark.parametrize("name", COLD)
@pytest.mark.process
def test_a_first_run_imports_what_it_uses_and_no_sdk(name: str, tmp_path: Path) -> None:
    """TLS and running a command are of the standard library, and they are all that is imported of it."""
    config, arguments, ours, standard = COLD[name]
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    base = "[profile base]\naws_access_key_id = A\naws_secret_access_key = s\n"
    (home / ".aws" / "config").write_text(f"{config}{base}")
    answer = {"Version": 1, "AccessKeyId": "ASIATOOL", "SecretAccessKey": "s", "SessionToken": "t"}
    (home / "answer").write_text(json.dumps(answer))
    with TlsSts(tmp_path / "sts").serving() as sts:
        variables = {name: value for name, value in sts.environment().items() if name != "NO_PROXY"}
        environ = {**variables, "AWS_PROFILE": "p", "AWS_EC2_METADATA_DISABLED": "true"}
        found = imported(home, environ, "token", "-i", "shop", *arguments)
    assert {module for module in found if module.startswith("kube_iam")} == ours
    assert {module.partition(".")[0] for module in found - ours} <= {*sys.stdlib_module_names}
    assert found - ours <= loaded_by(f"import {standard}") | ALLOWED | {
        "fcntl",
        "pyexpat",
        "pyexpat.errors",
        "pyexpat.model",
    }


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
    assert cache.load(digest_of("x"), 0.0) is None
    assert not (tmp_path / "sessions").exists()


def installed(
    tmp_path: Path, *arguments: str, stdout: int | None = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run the installed command, whose process ends without Python's own ending."""
    return subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "kube-iam", *arguments],
        env={"HOME": str(tmp_path), "AWS_REGION": "eu-west-1", **KEYS},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.process
def test_the_installed_command_says_everything_before_it_ends(tmp_path: Path) -> None:
    ran = installed(tmp_path, "token", "-i", "shop")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["status"]["token"].startswith("k8s-aws-v1.")
    failed = installed(tmp_path, "token", "-i", "shop", "--region", "no region")
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (1, "", 1)
    mistaken = installed(tmp_path, "token", "--rol", "x")
    assert (mistaken.returncode, mistaken.stdout) == (1, "")
    assert "--role" in mistaken.stderr
    assert installed(tmp_path, "token", "--help").stdout.startswith("Usage: kube-iam token ")


def test_the_installed_command_fails_where_its_answer_cannot_be_written(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    gone = installed(tmp_path, "token", "-i", "shop", stdout=writing)
    os.close(writing)
    assert (gone.returncode, gone.stderr) == (1, "")
    if Path("/dev/full").exists():
        full = os.open("/dev/full", os.O_WRONLY)
        ran = installed(tmp_path, "token", "-i", "shop", stdout=full)
        os.close(full)
        assert ran.returncode == 1
        assert "No space left" in ran.stderr
        assert "bug" not in ran.stderr


@pytest.mark.parametrize("command", ["version", "schema", "--help", "token --help", "completion bash", "manifest crd"])
@pytest.mark.process
def test_a_full_disk_is_named_by_every_command(command: str, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        not_applicable("no device that is always full")
    full = os.open("/dev/full", os.O_WRONLY)
    ran = installed(tmp_path, *command.split(), stdout=full)
    os.close(full)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "the output cannot be written: No space left on device" in ran.stderr


THREADS = """
import sys, threading, click
from kube_iam.cli import main, root
@click.command("who")
def command():
    def write():
        threading.main_thread().join()
        open(sys.argv[2], "w").write("written")
    click.echo("shown")
    threading.Thread(target=write, daemon=DAEMON).start()
sys.argv = ["kube-iam", "who", sys.argv[1]]
root.LazyGroup.get_command = lambda self, ctx, name: root.prepare(command, name, "kube-iam", records=True)
root.LazyGroup.resolve_command = lambda self, ctx, args: ("who", self.get_command(ctx, "who"), [])
sys.exit(main.entry_point())
"""


@pytest.mark.process
def test_a_command_ends_when_its_threads_have_written(tmp_path: Path) -> None:
    """It ends without taking the interpreter apart, which would wait for them."""
    file = tmp_path / "file"
    program = THREADS.replace("DAEMON", "False")
    ran = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("shown\n", "")
    assert file.read_text() == "written"


@pytest.mark.process
def test_a_command_ends_without_the_functions_that_the_interpreter_runs_at_its_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    late = f"import atexit; atexit.register(lambda: open({str(file)!r}, 'w'))\n"
    program = late + THREADS.replace("DAEMON", "True")
    ran = subprocess.run(
        [sys.executable, "-c", program, "none"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stdout == "shown\n"
    assert not file.exists()
