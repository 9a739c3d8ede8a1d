"""`kube-iam sandbox`: up, status, env, review and down, and what it leaves behind, also after a crash."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import forks
from kube_iam.sandbox.processes import Process, wait_until
from kube_iam.sandbox.state import CLUSTER_ID, Home
from kube_iam.sandbox.up import down
from kube_iam.sandbox.users import put_server_policy

pytestmark = pytest.mark.integration
in_shared_sandbox = pytest.mark.xdist_group("shared-sandbox")
BIN = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Yield the directory of a sandbox that this test may start."""
    found = Home(tmp_path / "box")
    yield found
    down(found)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    found = Home(tmp_path_factory.mktemp("shared") / "box")
    started = sandbox(found, "up")
    assert started.returncode == 0, started.stderr
    yield found
    down(found)


@pytest.fixture
def running(shared: Home) -> Iterator[Home]:
    """Yield a running sandbox with the access file of its start. Others have used it: a test that changes a level adds its own."""
    before = shared.access.read_text()
    yield shared
    shared.access.write_text(before)


def add_level(home: Home, name: str, method: str = "role") -> None:
    with home.access.open("a") as file:
        file.write(f"  - {{name: {name}, method: {method}}}\n")


def sandbox(home: Home, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a machine without a control plane, with AWS settings of its own that must not matter."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home.root.parent),
        "AWS_PROFILE": "not-there",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        **variables,
    }
    command = ["sandbox", *arguments, "--dir", str(home.root)]
    return forks.run(command, environment, text=stdin, timeout=120)


def pids(home: Home) -> dict[str, int | None]:
    return {name: home.process(name).pid() for name in ("account", "webhook")}


def test_up_is_idempotent_and_down_leaves_nothing(home: Home) -> None:
    first = sandbox(home, "up")
    assert first.returncode == 0, first.stderr
    assert "make control-plane" in first.stderr
    assert f'next: eval "$(kube-iam sandbox env --dir {home.root})"' in first.stderr
    running = pids(home)
    assert all(running.values())
    assert "up already" in sandbox(home, "up").stderr
    assert pids(home) == running
    facts = json.loads(sandbox(home, "status").stdout)
    assert facts["processes"] == {"account": True, "webhook": True}
    remembered = Path(shutil.copytree(home.root / "run", home.root.parent / "run"))
    assert sandbox(home, "down").returncode == 0
    assert not home.root.exists()
    for name in running:
        assert Process(name, remembered / f"{name}.json", remembered / "log").pid() is None
    assert sandbox(home, "status").returncode == 1
    assert "nothing was running" in sandbox(home, "down").stderr


@in_shared_sandbox
def test_everything_in_it_is_for_its_owner_only(running: Home) -> None:
    assert stat.S_IMODE(running.root.stat().st_mode) == 0o700
    for name in ("sandbox.json", "access.yaml", "tls/account-key.pem", "run/account.json", "mount/config.yaml"):
        assert stat.S_IMODE((running.root / name).stat().st_mode) == 0o600, name


def test_after_a_crash_up_replaces_nothing_that_runs_and_down_cleans_up(home: Home) -> None:
    sandbox(home, "up")
    before = pids(home)
    home.process("account").signal(signal.SIGKILL)
    assert wait_until(lambda: home.process("account").pid() is None, 10)
    assert sandbox(home, "status").returncode == 1
    assert "no sandbox is up" in sandbox(home, "env").stderr
    refused = sandbox(home, "up")
    assert refused.returncode == 1
    assert "is not complete: webhook runs, without account" in refused.stderr
    assert pids(home)["webhook"] == before["webhook"]
    home.process("webhook").signal(signal.SIGKILL)
    assert wait_until(lambda: home.process("webhook").pid() is None, 10)
    again = sandbox(home, "up")
    assert "had ended: starting anew" in again.stderr
    assert all(pid and pid != before[name] for name, pid in pids(home).items())
    home.process("webhook").signal(signal.SIGKILL)
    assert sandbox(home, "down").returncode == 0
    assert not home.root.exists()


def test_a_process_that_got_the_id_of_one_of_ours_is_left_alone(home: Home) -> None:
    home.create()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        home.process("account").record.write_text(json.dumps({"pid": other.pid, "started": "1"}))
        assert "nothing was running" in sandbox(home, "down").stderr
        assert other.poll() is None
    finally:
        other.communicate(b"\n")


def test_a_directory_that_is_no_sandbox_is_left_alone(home: Home) -> None:
    home.root.mkdir()
    (home.root / "letter.txt").write_text("mine")
    for command in ("up", "down"):
        done = sandbox(home, command)
        assert done.returncode == 1
        assert "not a sandbox" in done.stderr
    assert [path.name for path in home.root.iterdir()] == ["letter.txt"]
    (home.root / "letter.txt").unlink()


def test_a_start_that_fails_leaves_nothing_running_and_says_where_it_failed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / "assets" / name).write_text("#!/bin/sh\necho broken on purpose; exit 1\n")
        (tmp_path / "assets" / name).chmod(0o755)
    done = sandbox(home, "up", KUBEBUILDER_ASSETS=str(tmp_path / "assets"))
    assert done.returncode == 1
    assert "kube-apiserver ended" in done.stderr
    assert "broken on purpose" in done.stderr
    assert pids(home) == {"account": None, "webhook": None}


def test_kubebuilder_assets_without_the_binaries_is_an_error(home: Home, tmp_path: Path) -> None:
    done = sandbox(home, "up", KUBEBUILDER_ASSETS=str(tmp_path))
    assert done.returncode == 1
    assert "does not hold etcd and kube-apiserver" in done.stderr


def in_shell(home: Home, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    exports = sandbox(home, "env", *options).stdout
    return subprocess.run(
        ["/bin/sh", "-c", f"{exports}\n{script}"],
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(home.root.parent), "AWS_PROFILE": "not-there"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@in_shared_sandbox
def test_a_shell_in_the_sandbox_can_plan_and_a_user_can_ask_for_a_review(running: Home) -> None:
    add_level(running, "planned")
    plan = in_shell(running, "kube-iam plan")
    assert plan.returncode == 0, plan.stderr
    assert "sandbox-planned" in plan.stdout
    review = in_shell(
        running, f"kube-iam token -i {CLUSTER_ID} | kube-iam sandbox review --dir {running.root}", "--user", "carol"
    )
    assert review.returncode == 1
    assert json.loads(review.stdout)["status"]["authenticated"] is False
    assert "k8s-aws-v1." not in review.stdout + review.stderr
    same = [sandbox(running, "env", "--user", "carol").stdout for _ in range(2)]
    assert same[0] == same[1]
    assert "KUBECONFIG=" not in same[0]
    assert sandbox(running, "env", "--user", "not a user").returncode == 1
    assert "no token" in sandbox(running, "review").stderr
    assert "no ExecCredential" in sandbox(running, "review", stdin='{"status": {}}').stderr


@in_shared_sandbox
@pytest.mark.parametrize("method", ["role", "group"])
def test_level_added_later_admits_its_members_without_new_server_rights(running: Home, method: str) -> None:
    level = f"audit-by-{method}"
    add_level(running, level, method)
    sandbox(running, "env", "--user", "carol")
    added = in_shell(running, f"kube-iam apply --yes && kube-iam grant carol {level}")
    assert added.returncode == 0, added.stderr
    assert "warning: level" not in added.stderr
    assert "note:" not in added.stderr  # the server was asked
    role = f" -r arn:aws:iam::111122223333:role/sandbox-{level}" if method == "role" else ""
    review = f"kube-iam token -i {CLUSTER_ID}{role} | kube-iam sandbox review --dir {running.root}"
    seen: list[str] = []

    def is_admitted() -> bool:
        seen.append(in_shell(running, review, "--user", "carol").stdout)
        return json.loads(seen[-1])["status"].get("authenticated", False) is True

    assert wait_until(is_admitted, 30), seen[-1]
    assert json.loads(seen[-1])["status"]["user"]["groups"] == [f"kube-iam:{level}"]


@in_shared_sandbox
def test_who_says_that_the_server_may_not_read_iam(running: Home) -> None:
    state = running.load()
    assert state is not None
    assert in_shell(running, "kube-iam apply --yes").returncode == 0
    nothing = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    put_server_policy(running, state, {"Version": "2012-10-17", "Statement": [nothing]})
    said = "warning: level viewer: IAM does not let the server read IAM group sandbox-viewer"
    assert wait_until(lambda: said in in_shell(running, "kube-iam who").stderr, 30)
    sandbox(running, "up")  # gives the server its rights again
    assert wait_until(lambda: said not in in_shell(running, "kube-iam who").stderr, 30)


DELETE_GROUP = """\
from botocore.session import Session
iam, group = Session().create_client("iam", "us-east-1"), {"GroupName": "sandbox-gone"}
for user in iam.get_group(**group)["Users"]:
    iam.remove_user_from_group(UserName=user["UserName"], **group)
for policy in iam.list_attached_group_policies(**group)["AttachedPolicies"]:
    iam.detach_group_policy(PolicyArn=policy["PolicyArn"], **group)
iam.delete_group(**group)
"""


@in_shared_sandbox
def test_server_sees_that_a_group_was_deleted_under_its_own_policy(running: Home) -> None:
    add_level(running, "gone")
    assert in_shell(running, "kube-iam apply --yes").returncode == 0
    script = running.root / "delete_group.py"
    script.write_text(DELETE_GROUP)
    deleted = in_shell(running, f"python {script}")
    assert deleted.returncode == 0, deleted.stderr
    said = "warning: level gone: IAM group sandbox-gone does not exist"
    seen: list[str] = []

    def is_said() -> bool:
        seen.append(in_shell(running, "kube-iam plan").stderr)
        return said in seen[-1]

    assert wait_until(is_said, 30), seen[-1]


MAKE_GROUP = """\
from botocore.session import Session
iam, group = Session().create_client("iam", "us-east-1"), {"GroupName": "sandbox-older"}
iam.create_group(Path="/older/", **group)
iam.add_user_to_group(UserName="carol", **group)
print(iam.get_group(**group)["Group"]["GroupId"])
"""
SHOW_GROUP = """\
from botocore.session import Session
found = Session().create_client("iam", "us-east-1").get_group(GroupName="sandbox-older")
print(found["Group"]["GroupId"], found["Group"]["Path"], *(user["UserName"] for user in found["Users"]))
"""


@in_shared_sandbox
def test_adopt_moves_a_group_and_keeps_its_members_and_unique_id(running: Home) -> None:
    add_level(running, "older")
    sandbox(running, "env", "--user", "carol")
    scripts = {"make.py": MAKE_GROUP, "show.py": SHOW_GROUP}
    for name, text in scripts.items():
        (running.root / name).write_text(text)
    made = in_shell(running, f"python {running.root}/make.py")
    assert made.returncode == 0, made.stderr
    refused = in_shell(running, "kube-iam apply --yes")
    assert refused.returncode != 0
    assert "sandbox-older" in refused.stderr
    adopted = in_shell(running, "kube-iam apply --yes --adopt")
    assert adopted.returncode == 0, adopted.stderr
    shown = in_shell(running, f"python {running.root}/show.py").stdout.split()
    assert shown == [made.stdout.strip(), "/kube-iam/sandbox/", "carol"]
