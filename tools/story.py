#!/usr/bin/env python3
"""Counts the files of src/kube_iam that three stories enter, and the moves between them. A reader of the code makes the same moves.

    .venv/bin/python tools/story.py                the table
    .venv/bin/python tools/story.py --json         the same for programs
    .venv/bin/python tools/story.py --list token   the moves of one story in order; tools/story.py --pairs token counts them by pair

The stories run in this process on stand-ins of the tests: a fake STS, a fake Kubernetes API and an account in memory.

- token: a token through the webhook, from the request to the response, in a server that has answered another token before
- deny: `kube-iam deny alice --for 1h --no-wait` and then her refused sign-in, both in the command and in the server
- apply: `kube-iam apply --yes` of three levels, none of which exists

A file is entered when a function in it is called. A move is a call of a function in another file than its caller's. The caller is the
nearest frame of src/kube_iam on the stack; a call without such a frame is no move. Returns, and generators and coroutines that go on,
are no calls. Code that runs at import is not counted, and neither is the server's watch over its connections, which runs beside every
story. Each story runs several times and the shortest run counts, because other background tasks may fall into a run.

`LIMITS` are the figures that tests/unit/test_story.py permits.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dis
import io
import json
import os
import ssl
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
SOURCES = str(ROOT / "src" / "kube_iam") + os.sep
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("", "unit", "contract")]

from fake_account import FakeAccount  # noqa: E402
from fake_sts import FakeSts, identity_answer  # noqa: E402
from prepared_session import PreparedSession  # noqa: E402
from running_server import SESSION_ARN, USER_ID, RunningServer, wait_until  # noqa: E402

import fake_kube  # noqa: E402
from kube_iam.cli.root import run_command  # noqa: E402
from kube_iam.cli.session import AdminSession  # noqa: E402
from kube_iam.config.server import load_server_config  # noqa: E402
from kube_iam.server.app import serve  # noqa: E402
from kube_iam.server.log import Log  # noqa: E402
from kube_iam.server.ports import open_ports  # noqa: E402

RUNS = 5
LIMITS = {"token": (20, 40), "deny": (52, 212), "apply": (45, 400)}
"""Files and moves that a story may have at most. tests/unit/test_story.py fails beyond them: lower them with the figures."""
BACKGROUND = frozenset({"server/connection_watch.py"})
"""Files whose calls are counted in no story, with all that they call in turn."""
_RESUMABLE = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
_FUNCTION = 0x1  # CO_OPTIMIZED: functions have it, modules and class bodies do not
NAME = "alice@example.com"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
CONFIG_MAPS, DENIED = "/api/v1/namespaces/kube-system/configmaps", "kube-iam-denied"
LEVELS = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
levels:
  - {name: admin, bind: [{clusterRole: cluster-admin}]}
  - {name: editor, bind: [{clusterRole: edit, namespaces: [shop, blog]}, {clusterRole: view}]}
  - {name: viewer, bind: [{clusterRole: view}], sessionDuration: 2h}
"""


@dataclass(frozen=True, slots=True)
class Move:
    """A call from one file into another. Both are paths below src/kube_iam."""

    caller: str
    caller_function: str
    file: str
    function: str


@dataclass(slots=True)
class Run:
    """The files entered and the moves of one run, in order."""

    files: set[str] = field(default_factory=set)
    moves: list[Move] = field(default_factory=list)

    def pairs(self) -> list[tuple[tuple[str, str], int]]:
        """Return the pairs of caller and called file with their number of moves, the most frequent first."""
        return Counter((move.caller, move.file) for move in self.moves).most_common()


class Tracer:
    """Records the calls of this thread, and of those that start while it is installed, into an open `recording`."""

    def __init__(self) -> None:
        self._run: Run | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[Tracer]:
        """Trace until the context ends."""
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @contextlib.contextmanager
    def recording(self) -> Iterator[Run]:
        """Record into the run that is returned, until the context ends."""
        run = self._run = Run()
        try:
            yield run
        finally:
            self._run = None

    def _on_event(self, frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG002
        run = self._run
        if run is None or event != "call":
            return
        code = frame.f_code
        file = _our_file(code)
        if not file or frame.f_lasti > _start(code):
            return
        callers = [each for each in _callers(frame) if _our_file(each.f_code)]
        if file in BACKGROUND or any(_our_file(each.f_code) in BACKGROUND for each in callers):
            return
        run.files.add(file)
        if callers and (origin := _our_file(callers[0].f_code)) != file:
            run.moves.append(Move(origin, callers[0].f_code.co_qualname, file, code.co_qualname))


def _callers(frame: FrameType) -> Iterator[FrameType]:
    caller = frame.f_back
    while caller is not None:
        yield caller
        caller = caller.f_back


@cache
def _our_file(code: CodeType) -> str:
    """Return the path below src/kube_iam of a function's code; empty for other files, modules and class bodies."""
    if not code.co_flags & _FUNCTION or not code.co_filename.startswith(SOURCES):
        return ""
    return code.co_filename.removeprefix(SOURCES).replace(os.sep, "/")


@cache
def _start(code: CodeType) -> int:
    """Return the offset up to which an entry of the code is a call; a generator or coroutine that goes on is entered beyond it."""
    if not code.co_flags & _RESUMABLE:
        return sys.maxsize
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")


class Kubernetes(fake_kube.FakeKube):
    """The fake API server of the tests with TLS, which also stores ConfigMaps of clients and passes TokenReviews to our server."""

    server: RunningServer

    def __init__(self, sts: FakeSts) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(sts.ca, sts.ca.parent / "key.pem")
        super().__init__()
        address = {"endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "https", "port": self.port}]}
        self.put(SLICES, "kubernetes", {"addressType": "IPv4", **address})

    def _listen(self, port: int) -> ThreadingHTTPServer:
        listening = super()._listen(port)
        listening.RequestHandlerClass = type("Handler", (_Requests,), {"fake": self})
        listening.socket = self._tls.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
        return listening

    def write_kubeconfig(self, path: Path, authority: Path) -> None:
        """Write a kubeconfig for it."""
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters: [{name: prod, cluster: "
            f"{{server: 'https://127.0.0.1:{self.port}', certificate-authority: '{authority}'}}}}]\n"
            "users: [{name: root, user: {token: t0ken}}]\n"
            "contexts: [{name: prod, context: {cluster: prod, user: root}}]\n"
        )

    def find(self, path: str) -> dict[str, Any] | None:
        """Return the object at the path, or None."""
        collection, _, name = path.rpartition("/")
        return self._objects.get(collection, {}).get(name)


class _Requests(fake_kube._Handler):
    fake: Kubernetes

    def do_GET(self) -> None:
        found = self.fake.find(urlsplit(self.path).path)
        if found is not None:
            self.answer(200, found)
        elif "fieldSelector" in self.path:
            super().do_GET()
        else:
            self.answer(404, {"kind": "Status", "code": 404, "message": "not found"})

    def do_POST(self) -> None:
        body, path = self._sent(), urlsplit(self.path).path
        if path.endswith("/tokenreviews"):
            body["status"] = self.fake.server.review(body["spec"]["token"]).review["status"]
        elif path.endswith("/subjectaccessreviews"):
            asked = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": body["spec"]}
            body["status"] = self.fake.server.request("POST", "/authorize", json.dumps(asked).encode()).review["status"]
        elif path.endswith("/selfsubjectreviews"):
            body["status"] = {"userInfo": {"username": "root"}}
        elif path == CONFIG_MAPS:
            self.fake.put(path, body["metadata"]["name"], body)
        self.answer(201, body)

    def do_PATCH(self) -> None:
        body, path = self._sent(), urlsplit(self.path).path
        collection, _, name = path.rpartition("/")
        found = self.fake.find(path) or {}
        data = {**(found.get("data") or {}), **body["data"]}
        self.fake.put(
            collection, name, {**found, "data": {key: text for key, text in data.items() if text is not None}}
        )
        self.answer(200, self.fake.find(path) or {})


class _Loop(asyncio.SelectorEventLoop):
    """An event loop of another thread than the main one, where no signal can be handled: `handlers` holds what signals would call."""

    def __init__(self) -> None:
        super().__init__()
        self.handlers: dict[int, Callable[[], object]] = {}

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        self.handlers[sig] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self.handlers.pop(sig, None) is not None


@contextlib.contextmanager
def running_server(directory: Path, sts: FakeSts, settings: str = "") -> Iterator[RunningServer]:
    """Run our server in a thread of this process."""
    server = RunningServer(directory / "server", sts, settings=settings)
    loop = _Loop()
    with mock.patch.dict(os.environ, {"AWS_CA_BUNDLE": str(sts.ca)}):
        config, _ = load_server_config(server.config, {})
        lines = io.StringIO()
        task = serve(config, open_ports(config, {}), Log(lines, "info", "text"), dict(os.environ), {})
        thread = threading.Thread(target=loop.run_until_complete, args=(task,))
        thread.start()
        try:
            wait_until(lambda: "msg=listening" in lines.getvalue() or not thread.is_alive())
            server.trust()
            yield server
        finally:
            for handler in loop.handlers.copy().values():
                loop.call_soon_threadsafe(handler)
            thread.join()
            loop.close()


@contextlib.contextmanager
def running_sts(directory: Path) -> Iterator[FakeSts]:
    """Run a fake STS that answers every request with one session of the role `Admin`."""
    sts = FakeSts(directory / "sts")
    sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    try:
        yield sts
    finally:
        sts.stop()


def tell_token(tracer: Tracer, directory: Path) -> Iterator[Run]:
    """Yield runs of the story of a token: each takes another key, so that no answer of STS is remembered."""
    with running_sts(directory) as sts, running_server(directory, sts) as server:
        for number in range(RUNS + 1):
            token = server.token(key=f"ASIAEXAMPLEEXAMPLE0{number}")
            with tracer.recording() as run:
                reply = server.review(token)
            assert reply.review["status"]["authenticated"] is True, reply.body
            if number:
                yield run


def tell_deny(tracer: Tracer, directory: Path) -> Iterator[Run]:
    """Yield runs of the story of a denial. The deny list is empty before each."""
    kubeconfig = directory / "kubeconfig"
    settings = f"  denyList: kube-system/{DENIED}\n  kubeconfig: {kubeconfig}\n"
    arguments = ["deny", NAME, "--for", "1h", "--no-wait", "--yes", "--kubeconfig", str(kubeconfig)]
    with contextlib.ExitStack() as stack:
        sts = stack.enter_context(running_sts(directory))
        kubernetes = Kubernetes(sts)
        stack.callback(kubernetes.stop)
        kubernetes.write_kubeconfig(kubeconfig, sts.ca)
        server = stack.enter_context(running_server(directory, sts, settings))
        stack.enter_context(contextlib.chdir(directory))
        kubernetes.server = server
        for number in range(RUNS + 1):
            kubernetes.put(CONFIG_MAPS, DENIED, {"data": {}})
            token = server.token(key=f"ASIAEXAMPLEEXAMPLE0{number}")
            wait_until(lambda token=token: server.review(token).review["status"]["authenticated"])  # type: ignore[misc]
            with tracer.recording() as run:
                assert _kube_iam(*arguments) == 0
                reply = server.review(token)
            assert "on the deny list" in reply.error, reply.error
            if number:
                yield run


def tell_apply(tracer: Tracer, directory: Path) -> Iterator[Run]:
    """Yield runs of the story of three levels that are applied to an empty account."""
    (directory / "access.yaml").write_text(LEVELS)
    with contextlib.chdir(directory):
        for number in range(RUNS + 1):
            account = FakeAccount()
            session = PreparedSession(account)
            with tracer.recording() as run:
                assert _kube_iam("apply", "--yes", session=session) == 0
            assert account.world.writes > 0
            if number:
                yield run


STORIES: dict[str, Callable[[Tracer, Path], Iterator[Run]]] = {
    "token": tell_token,
    "deny": tell_deny,
    "apply": tell_apply,
}


def shortest(story: str) -> Run:
    """Return the run of the story with the fewest moves. Raises AssertionError where a run does not end as it should."""
    for name in BACKGROUND:
        assert Path(SOURCES, name).exists(), f"BACKGROUND names {name}, which is not there"
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(mock.patch.dict(os.environ, _environment(directory), clear=True))
        tracer = stack.enter_context(Tracer().installed())
        return min(STORIES[story](tracer, Path(directory)), key=lambda run: (len(run.moves), len(run.files)))


def _environment(directory: str) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KUBE"))}
    missing = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG"), f"{directory}/none")
    own = {"HOME": directory, "NO_PROXY": "127.0.0.1", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    return {**variables, **missing, **own}


def _kube_iam(*arguments: str, session: AdminSession | None = None) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return run_command("kube-iam", arguments, {}, session)


def main() -> None:
    """Print the figures of all stories, or the moves of one."""
    parser = argparse.ArgumentParser(description="Count files and moves of three stories.")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--list", choices=STORIES, metavar="STORY", help="print the moves of a story in order")
    parser.add_argument("--pairs", choices=STORIES, metavar="STORY", help="print the pairs of files by number of moves")
    options = parser.parse_args()
    if options.list:
        for move in shortest(options.list).moves:
            print(f"{move.caller} {move.caller_function} -> {move.file} {move.function}")
    elif options.pairs:
        for (caller, file), count in shortest(options.pairs).pairs():
            print(f"{count:5} {caller} -> {file}")
    else:
        runs = {story: shortest(story) for story in STORIES}
        figures = {story: {"files": len(run.files), "moves": len(run.moves)} for story, run in runs.items()}
        if options.json:
            print(json.dumps(figures))
        else:
            print("story   files  moves")
            for story, figure in figures.items():
                print(f"{story:7} {figure['files']:5}  {figure['moves']:5}")


if __name__ == "__main__":
    main()
