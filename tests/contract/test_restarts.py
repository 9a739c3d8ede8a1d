"""Starts, restarts and signals of a real server process, and what requests get meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_sts import FakeSts, identity_answer
from running_server import MAPPINGS, SESSION_ARN, USER_ID, Reply, RunningServer, wait_until

from required import linux_only

Make = Callable[..., RunningServer]


@pytest.fixture
def server(make_server: Make, sts: FakeSts) -> RunningServer:
    sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    return make_server()


def is_signed_in(reply: Reply) -> bool:
    return reply.status == 200 and bool(reply.review["status"]["authenticated"])


@contextmanager
def silent_listener() -> Iterator[int]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        yield silent.getsockname()[1]


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def connects_at_once(port: int) -> bool:
    """Return whether a connection is established at once. Raises ConnectionRefusedError."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except TimeoutError:
        return False
    return True


def is_ready(server: RunningServer) -> bool:
    try:
        return server.health("/readyz").status == 200
    except OSError:
        return False


def retried(server: RunningServer) -> Reply:
    """Return the answer to a new token, which kube-apiserver would ask for again while the server answers 504."""
    while (reply := server.review(server.token())).status == 504:
        pass
    return reply


def waits_before_import_of(module: str, file: Path) -> str:
    """Return code after which the process waits for the file when it imports the module."""
    return (
        "import os, sys, time\n"
        "class Wait:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        while name == {module!r} and not os.path.exists({str(file)!r}):\n"
        "            time.sleep(0.01)\n"
        "sys.meta_path.insert(0, Wait())\n"
    )


def launch_activated(server: RunningServer, passed: socket.socket) -> subprocess.Popen[bytes]:
    """Start the server as systemd does, with a listening socket as descriptor 3."""
    number = passed.fileno()
    before = (
        f"import os\nos.dup2({number}, 3)\nos.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        + f"os.close({number})\n" * (number != 3)
    )
    return server.launch(before=before, pass_fds=(number,))


def test_server_that_is_starting_answers_504_to_its_own_tokens_only(server: RunningServer) -> None:
    server.start()
    server.stop()
    with silent_listener() as api_server:
        server.process = server.launch("--backend-mode=EKSConfigMap", f"--master=http://127.0.0.1:{api_server}")
        wait_until(lambda: connects(server.port))
        reply = server.review(server.token())
        assert (reply.status, reply.review["status"]["authenticated"]) == (504, False)
        assert "the server is starting" in reply.error
        assert "retry-after" not in reply.headers
        assert server.review("kube-iam-membership-status-v1.x").status == 504
        foreign = server.review("eyJhbGciOiJSUzI1NiJ9.service.account")
        assert (foreign.status, foreign.review["status"]["authenticated"]) == (200, False)
        assert server.request("GET", "/healthz").body == b"ok"
        assert server.health("/readyz").status == 503
        wait_until(lambda: server.log().count("msg=listening") == 2)
        loaded = server.review(server.token())
        assert (loaded.status, "have not been loaded" in loaded.error) == (200, True)


def test_server_is_ready_only_when_it_decides(make_server: Make, sts: FakeSts) -> None:
    sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    with silent_listener() as metadata:  # the server waits there for its region, longer than for its mappings
        server = make_server(
            AWS_REGION="",
            AWS_EC2_METADATA_DISABLED="false",
            AWS_EC2_METADATA_SERVICE_ENDPOINT=f"http://127.0.0.1:{metadata}",
        )
        server.process = server.launch()
        wait_until(lambda: is_ready(server))
        server.trust()
        assert is_signed_in(server.review(server.token()))


def test_server_listens_while_its_program_is_still_being_loaded(server: RunningServer) -> None:
    server.start()
    server.stop()
    go_on = server.directory / "go-on"
    server.process = server.launch(before=waits_before_import_of("click", go_on))
    wait_until(lambda: connects(server.port))
    go_on.touch()
    assert is_signed_in(retried(server))


@linux_only
def test_no_client_is_refused_between_a_server_and_its_successor(server: RunningServer, sts: FakeSts) -> None:
    server.start()
    predecessor = server.process
    assert predecessor is not None
    sts.may_answer.clear()
    with ThreadPoolExecutor() as pool:
        under_way = pool.submit(server.review, server.token())
        wait_until(lambda: sts.asked)
        predecessor.send_signal(signal.SIGTERM)
        wait_until(lambda: not connects_at_once(server.port))
        server.process = server.launch()
        socket.create_connection(("127.0.0.1", server.port), 30).close()
        sts.may_answer.set()
        assert predecessor.wait(20) == 0
        under_way.exception()
    assert is_signed_in(retried(server))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_connections_to_a_passed_socket_wait_while_no_server_runs(server: RunningServer, number: int) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", server.port))
        passed.listen()
        server.process = launch_activated(server, passed)
        wait_until(lambda: "msg=listening" in server.log())
        server.trust()
        assert is_signed_in(server.review(server.token()))
        server.process.send_signal(number)
        with ThreadPoolExecutor() as pool:
            server.process.wait(20)
            waiting = pool.submit(server.review, server.token())
            assert connects(server.port)
            server.process = launch_activated(server, passed)
            assert waiting.result(30).status in (200, 504)
            assert is_signed_in(retried(server))


def test_passed_socket_of_another_port_is_refused(server: RunningServer) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        passed.listen()
        assert launch_activated(server, passed).wait(20) == 1
    assert "LISTEN_FDS holds sockets that listen where this server does not" in server.log()


def test_successor_takes_the_port_over_while_its_predecessor_ends(server: RunningServer) -> None:
    server.start()
    predecessor = server.process
    assert predecessor is not None
    server.process = server.launch()
    try:
        wait_until(lambda: server.log().count("msg=listening") == 2)
        assert "another server of this state directory listens on the port" in server.log()
        predecessor.send_signal(signal.SIGTERM)
        while predecessor.poll() is None:
            assert is_signed_in(server.review(server.token()))
        assert predecessor.returncode == 0
        assert is_signed_in(server.review(server.token()))
        assert server.health("/readyz").status == 200
    finally:
        predecessor.kill()
        predecessor.wait()


def test_successor_may_start_after_its_predecessor_was_told_to_stop(server: RunningServer) -> None:
    server.start()
    predecessor = server.process
    assert predecessor is not None
    predecessor.send_signal(signal.SIGTERM)
    wait_until(lambda: 'msg="stopping: requests under way end"' in server.log())
    assert is_signed_in(server.review(server.token()))
    server.process = server.launch()
    assert predecessor.wait(20) == 0
    wait_until(lambda: server.log().count("msg=listening") == 2)
    assert is_signed_in(server.review(server.token()))


@pytest.mark.parametrize("port", ["port", "health_port"])
def test_server_with_another_state_directory_does_not_get_the_port(
    server: RunningServer, make_server: Make, port: str
) -> None:
    server.start()
    other = make_server()
    shutil.rmtree(other.directory / "state")  # it makes a pair of its own
    other.start()
    other.stop()
    setattr(other, port, getattr(server, port))
    other.write_config(MAPPINGS)
    assert other.launch().wait(20) == 1
    assert f"127.0.0.1:{getattr(server, port)} cannot be listened on: Address already in use" in other.log()
    assert server.health("/readyz").status == 200


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP])
def test_signals_that_ask_for_no_end_end_nothing(server: RunningServer, number: int) -> None:
    server.start()
    assert server.process is not None
    for _ in range(3):
        server.process.send_signal(number)
    assert is_signed_in(server.review(server.token()))
    assert server.process.poll() is None


def test_sighup_reads_the_files_again(server: RunningServer) -> None:
    server.start()
    assert server.process is not None
    loaded = server.log().count('msg="mappings loaded"')
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.log().count('msg="mappings loaded"') == loaded + 1)
    assert "SIGHUP" in server.log()
    server.write_config("  mapRoles: []\n")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not is_signed_in(server.review(server.token())))


def test_address_localhost_is_the_loopback_address(server: RunningServer) -> None:
    server.settings = "  address: localhost\n  healthAddress: LocalHost\n"
    server.write_config(MAPPINGS)
    server.start()
    assert is_signed_in(server.review(server.token()))
    assert server.health("/readyz").status == 200


def test_named_pipe_as_config_is_refused_and_leaves_good_mappings_in_force(server: RunningServer) -> None:
    server.start()
    server.config.unlink()
    os.mkfifo(server.config)
    wait_until(lambda: "it is a named pipe; put a regular file there" in server.log())
    assert is_signed_in(server.review(server.token()))
    assert server.stop() == 0
    assert server.launch().wait(20) == 1
