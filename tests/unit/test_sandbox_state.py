"""State, reports and refusals of the sandbox, without starting anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kube_iam.cli.root import run_command
from kube_iam.config.access import load_access
from kube_iam.core.credentials import Credentials
from kube_iam.errors import SandboxError
from kube_iam.sandbox import mount, processes
from kube_iam.sandbox.access_file import access_file
from kube_iam.sandbox.account_requests import refusal_reason
from kube_iam.sandbox.aggregation import summed
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import cache_directory, find_binaries
from kube_iam.sandbox.processes import Process
from kube_iam.sandbox.running import Running, look_at
from kube_iam.sandbox.shell import environment, exports
from kube_iam.sandbox.state import ADMINISTRATOR, Home, State
from kube_iam.sandbox.up import default_directory, down, status, up
from kube_iam.sandbox.webhook import config, token_of
from required import linux_only

STATE = State(1, 2, 3, api_port=4, root_key=("AKIAROOT", "root-secret"), keys={"alice": ("AKIAALICE", "alice-secret")})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "box")
    found.create()
    return found


def test_the_state_survives_being_saved(home: Home) -> None:
    home.save(STATE)
    assert home.load() == STATE
    assert home.marker.stat().st_mode & 0o777 == 0o600


def test_a_state_shows_no_secret() -> None:
    assert "secret" not in repr(STATE)
    assert "secret" not in repr(STATE.root)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"account_port": 1}', '{"keys": {"a": []}, "root_key": ["", ""]}']
)
def test_a_damaged_state_counts_as_none(home: Home, text: str) -> None:
    home.marker.write_text(text)
    assert home.load() is None
    with pytest.raises(SandboxError, match="no sandbox is up"):
        home.require()


def test_a_directory_with_other_things_in_it_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    for action in (Home(tmp_path).create, lambda: down(Home(tmp_path))):
        with pytest.raises(SandboxError, match="not a sandbox"):
            action()
    assert (tmp_path / "letter.txt").read_text() == "mine"


def test_a_record_of_a_process_that_is_not_ours_finds_nothing(tmp_path: Path) -> None:
    process = Process("x", tmp_path / "x.json", tmp_path / "x.log")
    for record in (
        "",
        "{}",
        "7",
        json.dumps({"pid": os.getpid(), "started": "1"}),
        json.dumps({"pid": "?", "started": "1"}),
    ):
        process.record.write_text(record)
        assert process.pid() is None
        process.stop()


SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process of this user that is no part of any sandbox."""
    process = subprocess.Popen(SLEEP, stdin=subprocess.PIPE, cwd=tmp_path, start_new_session=True)
    yield process
    process.communicate()


def record_of(pid: int, **changes: object) -> str:
    found = look_at(pid)
    assert found is not None
    return json.dumps({"pid": pid, "started": found.started, "executable": found.executable, **changes})


def sleeper(home: Home) -> Process:
    """Start a background process of the sandbox that runs until it is stopped."""
    process = home.process("account")
    process.start([sys.executable, "-c", "import time; time.sleep(600)"], {}, home.root)
    return process


def test_a_process_of_the_sandbox_is_found_and_stopped(home: Home) -> None:
    process = sleeper(home)
    assert process.pid() is not None
    assert Home(home.root).process("account").pid() == process.pid()
    assert down(home) == ("account",)
    assert process.pid() is None
    assert not home.root.exists()


@pytest.mark.parametrize("changes", [{}, {"executable": ""}, {"executable": "/bin/false"}], ids=str)
def test_a_record_of_a_foreign_process_stops_nothing(
    home: Home, victim: subprocess.Popen[bytes], changes: dict[str, object]
) -> None:
    home.process("webhook").record.write_text(record_of(victim.pid, **changes))
    assert home.process("webhook").pid() is None
    home.process("webhook").signal(signal.SIGTERM)
    assert down(home) == ()
    assert victim.poll() is None


@linux_only
def test_a_process_in_the_directory_with_another_program_is_not_ours(home: Home) -> None:
    process = sleeper(home)
    pid = process.pid()
    assert pid is not None
    recorded = process.record.read_text()
    process.record.write_text(record_of(pid, executable="/bin/sh"))
    assert process.pid() is None
    process.record.write_text(recorded)
    process.stop()
    assert process.pid() is None


def test_a_process_of_another_user_is_not_ours(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    process = sleeper(home)
    monkeypatch.setattr(processes, "look_at", lambda pid: replace(look_at(pid), uid=4242))  # type: ignore[type-var]
    assert process.pid() is None
    monkeypatch.undo()
    process.stop()
    assert process.pid() is None


@pytest.mark.parametrize("pid", [0, 1, -1, True, 2.5, "7", None])
def test_ids_that_mean_several_processes_are_no_ids(home: Home, pid: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "look_at", lambda pid: Running("1", os.geteuid(), "", str(home.root), ""))
    home.process("etcd").record.write_text(json.dumps({"pid": pid, "started": "1"}))
    assert home.process("etcd").pid() is None


def test_a_record_that_others_could_have_written_is_not_believed(home: Home, tmp_path: Path) -> None:
    process = sleeper(home)
    process.record.chmod(0o622)
    assert process.pid() is None
    process.record.chmod(0o600)
    process.record.rename(tmp_path / "elsewhere")
    process.record.symlink_to(tmp_path / "elsewhere")
    assert process.pid() is None
    process.record.unlink()
    (tmp_path / "elsewhere").rename(process.record)
    process.stop()
    assert process.pid() is None


@pytest.mark.parametrize("action", [down, Home.create, Home.load, Home.require, status], ids=lambda each: each.__name__)
def test_a_directory_of_another_user_is_refused(home: Home, action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    process = sleeper(home)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(SandboxError, match="belongs to another user"):
        action(home)
    monkeypatch.undo()
    assert process.pid() is not None
    down(home)


@pytest.mark.parametrize("part", ["", "run"])
@pytest.mark.parametrize("mode", [0o722, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_refused(home: Home, part: str, mode: int) -> None:
    process = sleeper(home)
    (home.root / part).chmod(mode)
    for action in (down, Home.create, Home.load):
        with pytest.raises(SandboxError, match=f"others can write .*chmod 700 {home.root / part}"):
            action(home)
    assert process.pid() is not None
    (home.root / part).chmod(0o700)
    assert down(home) == ("account",)


def test_an_empty_directory_that_others_may_write_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box").chmod(0o777)
    Home(tmp_path / "box").create()
    assert (tmp_path / "box").stat().st_mode & 0o777 == 0o700


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot start x"):
        Process("x", tmp_path / "x.json", tmp_path / "x.log").start([str(tmp_path / "none")], {}, tmp_path)


def test_where_the_sandbox_is_kept() -> None:
    assert default_directory({"HOME": "/home/ann"}) == Path("/home/ann/.local/state/kube-iam/sandbox")
    assert default_directory({"HOME": "/home/ann", "XDG_STATE_HOME": "/var/s"}) == Path("/var/s/kube-iam/sandbox")
    assert default_directory({"HOME": "/home/ann", "XDG_STATE_HOME": "rel"}).is_relative_to("/home/ann")


def binaries_in(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name in ("etcd", "kube-apiserver"):
        (directory / name).write_text("")
        (directory / name).chmod(0o755)
    return directory


def test_binaries_are_found_where_people_put_them(tmp_path: Path) -> None:
    nowhere = {"PATH": "", "HOME": str(tmp_path)}
    assert find_binaries(nowhere) is None
    cached = binaries_in(tmp_path / ".cache" / "kube-iam" / "control-plane" / "kubernetes-1-etcd-1")
    found = find_binaries(nowhere)
    assert found is not None
    assert found.etcd == cached / "etcd"
    on_path = binaries_in(tmp_path / "bin")
    found = find_binaries({**nowhere, "PATH": str(on_path)})
    assert found is not None
    assert found.apiserver == on_path / "kube-apiserver"
    assets = binaries_in(tmp_path / "assets")
    found = find_binaries({**nowhere, "PATH": str(on_path), "KUBEBUILDER_ASSETS": str(assets)})
    assert found is not None
    assert found.etcd == assets / "etcd"
    with pytest.raises(SandboxError, match="KUBEBUILDER_ASSETS"):
        find_binaries({**nowhere, "KUBEBUILDER_ASSETS": str(tmp_path)})


def test_the_cache_is_where_the_build_script_puts_it() -> None:
    assert cache_directory({"KUBE_IAM_CACHE": "/c", "HOME": "/h"}) == Path("/c")
    assert cache_directory({"XDG_CACHE_HOME": "/x", "HOME": "/h"}) == Path("/x/kube-iam")
    assert cache_directory({"HOME": "/h"}) == Path("/h/.cache/kube-iam")


@pytest.mark.parametrize("api_port", [0, 4])
def test_the_ready_access_file_is_a_valid_one(home: Home, api_port: int) -> None:
    Authority(home.tls)
    home.access.write_text(access_file(home, State(1, 2, 3, api_port=api_port)))
    access = load_access(home.access)
    assert [level.name for level in access.levels] == ["admin", "developer", "viewer"]
    assert all(bool(level.bind) is bool(api_port) for level in access.levels)
    assert (access.mapping.path == str(home.server_config)) is (api_port == 0)


def test_a_shell_gets_what_it_needs_and_loses_what_is_in_the_way(home: Home) -> None:
    admin = environment(home, STATE, ADMINISTRATOR, Credentials("AKIA", "it's"))
    assert admin["KUBECONFIG"] == str(home.kubeconfig)
    alice = environment(home, STATE, "alice", Credentials("AKIA", "it's"))
    assert "KUBECONFIG" not in alice
    lines = exports(alice).splitlines()
    assert "export AWS_SECRET_ACCESS_KEY='it'\"'\"'s'" in lines
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "KUBECONFIG"):
        assert name in lines[0].split()


OTHER_SETTINGS = {
    "AWS_REGION": "us-west-2",
    "AWS_DEFAULT_REGION": "us-west-2",
    "AWS_SECURITY_TOKEN": "other-token",
    "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
    "AWS_MFA_SERIAL": "arn:aws:iam::111122223333:mfa/other",
    "AWS_ENDPOINT_URL_IAM": "https://iam.example.com",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
}


def test_shell_has_the_sandboxs_region_and_no_aws_settings_of_its_user(home: Home) -> None:
    lines = exports(environment(home, STATE, "alice", Credentials("AKIA", "secret")))
    script = f"{lines}\nenv"
    done = subprocess.run(["/bin/sh", "-c", script], env=OTHER_SETTINGS, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert (found["AWS_REGION"], found["AWS_DEFAULT_REGION"]) == ("eu-central-1", "eu-central-1")
    assert not set(OTHER_SETTINGS) & set(found) - {"AWS_REGION", "AWS_DEFAULT_REGION"}


@pytest.mark.parametrize("parts", ["process ended", "state unreadable", "access file missing"])
def test_up_refuses_to_replace_a_sandbox_of_which_a_part_runs(home: Home, parts: str) -> None:
    home.save(STATE if parts != "process ended" else replace(STATE, api_port=0))
    process = sleeper(home)
    if parts == "state unreadable":
        home.marker.write_text("{}")
    elif parts == "access file missing":
        home.save(replace(STATE, api_port=0))
        record = process.record.read_text()
        home.process("webhook").record.write_text(record)
    try:
        with pytest.raises(SandboxError) as caught:
            up(home, {}, lambda _: None)
        assert process.pid() is not None
        assert home.marker.is_file()
    finally:
        down(home)
    missing = {"process ended": "webhook", "state unreadable": "sandbox.json", "access file missing": "access.yaml"}
    assert missing[parts] in str(caught.value).partition("without")[2]
    assert f"kube-iam sandbox down --dir {home.root} && kube-iam sandbox up --dir {home.root}" in caught.value.hint


def test_hints_repeat_the_directory_quoted_unless_it_is_the_default(tmp_path: Path) -> None:
    spaced = Home(tmp_path / "a b; c")
    with pytest.raises(SandboxError) as caught:
        spaced.require()
    assert caught.value.hint == f"start one: kube-iam sandbox up --dir '{tmp_path}/a b; c'"
    assert Home(tmp_path, is_default=True).command("env") == "kube-iam sandbox env"


@pytest.mark.parametrize("named_by", ["option", "variable", "default"])
def test_status_names_the_directory_and_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named_by: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBE_IAM_SANDBOX", raising=False)
    if named_by == "variable":
        monkeypatch.setenv("KUBE_IAM_SANDBOX", str(tmp_path / "box"))
    options = ["--dir", str(tmp_path / "box")] if named_by == "option" else []
    assert run_command("kube-iam", ["sandbox", "status", *options], {}) == 1
    root = tmp_path / ("kube-iam/sandbox" if named_by == "default" else "box")
    again = "kube-iam sandbox up" + ("" if named_by == "default" else f" --dir {root}")
    assert capsys.readouterr().err == f"sandbox: no sandbox is up in {root}: start one: {again}\n"


def test_a_token_is_taken_bare_or_in_an_exec_credential() -> None:
    assert token_of(" k8s-aws-v1.x\n") == "k8s-aws-v1.x"
    assert token_of('{"status": {"token": "k8s-aws-v1.x"}}') == "k8s-aws-v1.x"
    for nothing in ("", "{", "{}", '{"status": {"token": 7}}', '{"status": []}'):
        with pytest.raises(SandboxError):
            token_of(nothing)


def test_the_mount_switches_all_files_over_in_one_step(tmp_path: Path) -> None:
    mount.project(tmp_path, {"config.yaml": "one", "other": "x"})
    first = (tmp_path / "..data").resolve()
    assert (tmp_path / "config.yaml").is_symlink()
    mount.project(tmp_path, {"config.yaml": "one", "other": "x"})
    assert (tmp_path / "..data").resolve() == first
    mount.project(tmp_path, {"config.yaml": "two"})
    assert (tmp_path / "config.yaml").read_text() == "two"
    assert (tmp_path / "..data").resolve() != first
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["config.yaml"]
    assert not first.exists()


def test_the_mount_takes_the_place_of_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("plain")
    mount.project(tmp_path, {"config.yaml": "one"})
    assert (tmp_path / "config.yaml").read_text() == "one"


def role(name: str, rules: list[Any], labels: dict[str, str], selects: list[dict[str, str]]) -> dict[str, Any]:
    rule = {"clusterRoleSelectors": [{"matchLabels": each} for each in selects]}
    return {"metadata": {"name": name, "labels": labels}, "rules": rules, "aggregationRule": rule if selects else None}


def test_an_aggregated_role_is_the_sum_of_what_it_selects() -> None:
    target = role("sum", [], {"to": "a"}, [{"to": "a"}, {}])
    parts = [
        role("p", ["r1", "r2"], {"to": "a", "x": "y"}, []),
        role("q", ["r2", "r3"], {"to": "a"}, []),
        role("n", ["no"], {}, []),
    ]
    assert summed(target, [target, *parts]) == ["r1", "r2", "r3"]


GOOD = (
    b"Action=GetCallerIdentity&Version=2011-06-15"
    b"&X-Amz-Credential=AKIA%2F20260101%2Feu-central-1%2Fsts%2Faws4_request&X-Amz-Signature=0"
)


def asked(**changes: Any) -> str:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": GOOD,
        "headers": [(b"host", b"127.0.0.1:1")],
        **{name: value for name, value in changes.items() if name != "body"},
    }
    return refusal_reason(scope, changes.get("body", b""), hosts=frozenset({"127.0.0.1:1"}), region="eu-central-1")


def test_the_filter_passes_what_an_sdk_sends() -> None:
    assert asked() == ""
    form = [(b"host", b"127.0.0.1:1"), (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")]
    scope = b"AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"
    post: dict[str, Any] = {"method": "POST", "query_string": b"", "headers": [*form, (b"authorization", scope)]}
    assert asked(**post, body=b"Action=ListUsers&Version=2010-05-08") == ""
    assert "another service" in asked(**post, body=b"Action=AssumeRole&Version=2011-06-15")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"path": "/_ministack/reset"}, "path"),
        ({"raw_path": b"/%2e"}, "path"),
        ({"headers": []}, "host"),
        ({"headers": [(b"host", b"127.0.0.1:1"), (b"host", b"127.0.0.1:1")]}, "host"),
        ({"headers": [(b"host", b"evil.example.com")]}, "host"),
        ({"headers": [(b"host", b"127.0.0.1:1"), (b"x-amz-target", b"x")]}, "protocol"),
        ({"body": None}, "long"),
        ({"body": b"x"}, "neither"),
        ({"method": "HEAD"}, "neither"),
        ({"method": "POST"}, "neither"),
        ({"method": "POST", "query_string": b""}, "form"),
        ({"query_string": GOOD + b"&action=AssumeRole"}, "repeats"),
        ({"query_string": GOOD.replace(b"2011-06-15", b"2012-11-05")}, "neither IAM nor STS"),
        ({"query_string": GOOD.replace(b"GetCallerIdentity", b"AssumeRoleWithSAML")}, "action"),
        ({"query_string": GOOD.replace(b"%2Fsts", b"%2Fs3")}, "another service"),
        ({"query_string": GOOD.replace(b"eu-central-1", b"us-east-1")}, "another region"),
        ({"query_string": b"Action=GetCallerIdentity&Version=2011-06-15"}, "not signed"),
        ({"headers": [(b"host", b"127.0.0.1:1"), (b"authorization", b"AWS4-HMAC-SHA256 Credential=x")]}, "twice"),
    ],
)  # fmt: skip
def test_the_filter_refuses_what_no_sdk_sends(changes: dict[str, Any], why: str) -> None:
    assert why in asked(**changes)


def test_the_levels_of_a_sandbox_are_in_its_config_map_or_in_objects(home: Home) -> None:
    assert "mapping:\n  configFile: {}" in access_file(home, STATE)
    assert "mapping:\n  crd: {}" in access_file(home, STATE, "crd")
    assert "backendMode" not in config(home, STATE, cluster=True)
    assert "backendMode: [CRD]" in config(home, STATE, cluster=True, objects=True)


def test_a_sandbox_of_objects_needs_an_api_server(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_iam.sandbox.up.find_binaries", lambda environ: None)
    with pytest.raises(SandboxError, match="need a kube-apiserver"):
        up(home, {}, lambda line: None, mapping="crd")
