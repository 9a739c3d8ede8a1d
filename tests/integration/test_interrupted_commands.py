"""Ctrl-C during commands that wait for an IAM that never answers, as separate processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="not applicable here: sends SIGINT to one process")

ACCESS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod}
account: "123456789012"
region: eu-central-1
mapping: {file: mapping.yaml}
levels:
  - {name: admin, groups: [admins]}
  - {name: viewer, groups: [viewers]}
  - {name: auditor, groups: [auditors]}
"""
CALLER = """\
<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ann</Arn><UserId>AIDAEXAMPLE</UserId>
<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"""
# A shell starts its background jobs, perhaps this test run, with SIGINT ignored, and children inherit that.
HEEDED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
ENTRY = f"""{HEEDED}
import sys; from kube_iam.cli.main import entry_point; sys.argv[0] = "kube-iam"; sys.exit(entry_point())
"""
STUCK = f"""{HEEDED}
import sys, threading, click
from kube_iam.cli import main, root
def wait():
    print("waits", flush=True)
    threading.Event().wait()
@click.command("who")
def command():
    try:
        wait()
    finally:
        wait()
root.LazyGroup.get_command = lambda self, ctx, name: root.prepare(command, name, "kube-iam", records=True)
sys.argv[0] = "kube-iam"
sys.exit(main.entry_point())
"""


class SilentAws:
    """An AWS endpoint that answers `answered` actions of STS and keeps all other requests waiting."""

    def __init__(self, *answered: str) -> None:
        self.asked = threading.Semaphore(0)
        self.release = threading.Event()
        aws = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                action = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["Action"][0]
                if action in answered:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(CALLER)))
                    self.end_headers()
                    self.wfile.write(CALLER.encode())
                    return
                aws.asked.release()
                aws.release.wait()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def iam_is_silent() -> Iterator[SilentAws]:
    aws = SilentAws("GetCallerIdentity")
    yield aws
    aws.stop()


@pytest.fixture
def sts_is_silent() -> Iterator[SilentAws]:
    aws = SilentAws()
    yield aws
    aws.stop()


def interrupted(program: str, folder: Path, aws: SilentAws, *arguments: str, calls: int) -> tuple[int, str, str]:
    """Run, send SIGINT when the endpoint has that many calls waiting, and return exit code, stdout and stderr."""
    (folder / "access.yaml").write_text(ACCESS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KUBE"))}
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": aws.url}
    keys |= {"HOME": str(folder), "KUBECONFIG": str(folder / "none"), "AWS_REGION": "eu-central-1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**kept, **keys},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(calls):
        if not aws.asked.acquire(timeout=30):
            process.kill()
            pytest.fail(f"it did not ask: {process.communicate()}")
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=20)  # the endpoint answers later than that: never
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (("who",), 3),
        (("who", "admin"), 1),
        (("plan",), 1),
        (("apply", "--yes"), 1),
        (("destroy", "--yes"), 1),
        (("grant", "bob", "admin"), 1),
        (("revoke", "bob", "admin"), 1),
    ],
)
def test_ctrl_c_ends_a_command_that_waits_for_iam(
    iam_is_silent: SilentAws, tmp_path: Path, arguments: tuple[str, ...], calls: int
) -> None:
    code, out, err = interrupted(ENTRY, tmp_path, iam_is_silent, *arguments, calls=calls)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1:] == ["kube-iam: stopped: nothing was changed"]
    assert "Traceback" not in err


def test_ctrl_c_ends_a_command_that_waits_for_sts(sts_is_silent: SilentAws, tmp_path: Path) -> None:
    code, out, err = interrupted(ENTRY, tmp_path, sts_is_silent, "who", calls=1)
    assert (code, out, err) == (130, "", "kube-iam: stopped: nothing was changed\n")


def test_ctrl_c_ends_a_command_that_does_not_end_by_itself(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, "who"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "waits\n", "kube-iam: stopped: nothing was changed\n")
