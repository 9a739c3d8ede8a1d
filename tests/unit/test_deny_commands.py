"""`deny`, `undeny` and `revoke --now` from the command line down to a cluster that is not there: what is done whatever else fails."""

from __future__ import annotations

import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deny_commands import FILE, ROLE, Cluster, applied, kube_iam, prepared
from fake_account import FakeAccount

from kube_iam.cli.revocation import RevocationOptions
from kube_iam.cli.revoke_now import ImmediateRevocation
from kube_iam.cli.session import DENY_LIST
from kube_iam.denylist.entry import format_denial
from kube_iam.denylist.propagation import Clock, Propagation
from kube_iam.errors import KubeError, KubeIamError, NotFound, UsageError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    cluster = Cluster()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (tmp_path / "access.yaml").write_text(FILE)
    return cluster


@pytest.fixture
def account(cluster: Cluster) -> FakeAccount:
    cluster.account = FakeAccount()
    return cluster.account


def test_deny_says_who_is_out_until_when_and_what_was_measured(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(cluster, "deny", "alice", ROLE, "--for", "90m", "--reason", "lost laptop") == 0
    out = capsys.readouterr().out
    assert [(each.kind, each.value, each.reason, each.actor) for each in cluster.denied] == [
        ("userName", "alice", "lost laptop", "root"),
        ("arn", ROLE, "lost laptop", "root"),
    ]
    assert all(each.until - each.at == pytest.approx(5400, abs=1) for each in cluster.denied)
    ends = [f"The denial ends {each.end}." for each in cluster.denied]
    assert out.splitlines() == [
        f"alice is out (1 of 1 servers confirmed). {ends[0]}",
        f"every session of {ROLE} is out (1 of 1 servers confirmed). {ends[1]}",
        "Open watches, execs and port-forwards go on: kube-apiserver checks them no more.",
    ]


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_revoke_now_of_a_listed_member_says_that_the_file_still_lists_them(
    cluster: Cluster, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str], dry_run: tuple[str, ...]
) -> None:
    (tmp_path / "access.yaml").write_text(FILE.replace("{name: admin,", "{name: admin, members: [alice, bob],"))
    assert kube_iam(cluster, "apply", "--yes") == 0
    assert kube_iam(cluster, "revoke", "alice", "admin", "--now", "--no-wait", *dry_run) == 0
    assert [each.value for each in cluster.denied] == ([] if dry_run else ["alice"])
    assert account.directory.group_members["prod-admin"] == ({"alice", "bob"} if dry_run else {"bob"})
    assert (
        "note: access.yaml, line 7, still lists alice: the next `kube-iam apply` makes them members again, and a denial ends by"
        " itself; remove them there"
    ) in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a b",),
        ("alice", "--list"),
        ("alice", "--for", "0s"),
        ("alice", "--for", "tomorrow"),
        ("arn:aws:s3:::x",),
        ("alice", "--deny-list", "denied"),
        ("alice", "--deny-list", "a/b/c"),
    ],
)
def test_deny_refuses_what_can_mean_nobody(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        kube_iam(cluster, "deny", *arguments)
    assert cluster.denied == []


def test_denial_that_no_server_applies_is_an_error(cluster: Cluster) -> None:
    cluster.closed = Propagation(error=KubeError("no server answers", "set server.denyList"))
    for output in ("table", "json"):
        with pytest.raises(KubeIamError, match="the denial is written, but whether it is in force is not known"):
            kube_iam(cluster, "deny", "alice", "-o", output)


UNREACHED = Propagation(0.2, ["https://a"], {"https://b": "no way", "https://c": "no way"}, {"1"}, last_sign_in=300.0)
UNLISTED = Propagation(0.2, servers={"1"}, last_sign_in=300.0, listing_error="may not list EndpointSlices")


@pytest.mark.parametrize(("closed", "why"), [(UNREACHED, "2 of 3 API servers"), (UNLISTED, "may not list Endpoint")])
@pytest.mark.parametrize("arguments", [("deny", "alice"), ("revoke", "alice", "admin", "--now")])
def test_where_not_every_api_server_was_asked_nobody_is_said_to_be_out(
    cluster: Cluster,
    account: FakeAccount,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    closed: Propagation,
    why: str,
) -> None:
    applied(cluster, "alice")
    cluster.closed = closed
    for output in ("table", "json"):
        capsys.readouterr()
        with pytest.raises(KubeIamError, match=f"whether it is in force is not known: .*{why}"):
            kube_iam(cluster, *arguments, "-o", output)
        out, err = capsys.readouterr()
        assert all(f"not asked: {address}: no way" in err for address in closed.unreachable)
        for words in ("is out", "is refused", "confirmed"):
            assert words not in out + err
    data = json.loads(out)
    assert (data["inForce"], data["complete"]) == (False, False)


def test_with_a_single_address_the_result_names_the_servers_that_answered(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.closed = Propagation(0.2, servers={"c0ffee"}, last_sign_in=300.0)
    assert kube_iam(cluster, "deny", "alice") == 0
    said = "alice is out, if there is no other server (1 confirmed; the cluster lists none). The denial ends "
    assert capsys.readouterr().out.startswith(said)
    cluster.closed.cached_for = 42.0
    assert kube_iam(cluster, "deny", "alice", "--no-wait") == 0
    said = said.replace("is out,", "is out in at most 42 s,")
    assert capsys.readouterr().out.startswith(said)
    cluster.closed.cached_for = 0.0
    assert kube_iam(cluster, "deny", "alice", "-o", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["inForce"], data["complete"]) == (True, False)


def test_revoke_now_denies_the_level_and_takes_out_of_the_group(
    cluster: Cluster, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(cluster, "alice")
    capsys.readouterr()
    assert kube_iam(cluster, "revoke", "alice", "admin", "--now", "-o", "json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["users"] == [{"name": "alice", "result": "revoked"}]
    assert (data["denialsWritten"], data["inForce"], data["denials"][0]["role"]) == (True, True, ROLE)
    assert [(each.value, each.role) for each in cluster.denied] == [("alice", ROLE)]
    # Longer than any session of any role, since nobody knows how long one from yesterday was to last.
    assert cluster.denied[0].until - cluster.denied[0].at == pytest.approx(12 * 3600, abs=1)


def test_revoke_now_of_a_level_without_a_role_denies_who_comes_by_its_group(
    cluster: Cluster, account: FakeAccount, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text(FILE.replace("{name: admin,", "{name: admin, method: group,"))
    applied(cluster, "alice")
    capsys.readouterr()
    assert kube_iam(cluster, "revoke", "alice", "admin", "--now") == 0
    assert [(each.value, each.role, each.iam_group) for each in cluster.denied] == [("alice", "", "prod-admin")]
    out = capsys.readouterr().out
    assert "admin has no role: the users are refused while the IAM group prod-admin" in out
    assert "alice is out of admin (1 of 1 servers confirmed).\n" in out


def test_revoke_now_takes_out_of_the_group_although_the_cluster_cannot_be_reached(
    cluster: Cluster, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(cluster, "alice")
    cluster.error = KubeError("gone")
    with pytest.raises(KubeIamError, match="the denial could not be written: gone"):
        kube_iam(cluster, "revoke", "alice", "admin", "--now")
    assert "alice: revoked admin" in capsys.readouterr().out


def test_revoke_now_of_an_unknown_user_denies_and_names_the_command_that_undoes_it(
    cluster: Cluster, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(cluster, "alice")
    with pytest.raises(NotFound) as raised:
        kube_iam(cluster, "revoke", "alicia", "admin", "--now")
    (denial,) = cluster.denied
    assert denial.value == "alicia"
    line = f"alicia is out of admin (1 of 1 servers confirmed). The denial ends {denial.end}.\n"
    assert line in capsys.readouterr().err
    assert raised.value.message == (
        "no IAM user alicia in this account; "
        f"the denial in admin stays in the deny list until {denial.end}, and nothing else was changed"
    )
    assert raised.value.hint == (
        "alicia: did you mean 'alice'?; if IAM had the user until now, keep the denial; "
        f"if the name is misspelt: `kube-iam undeny {denial.name}` removes it"
    )


def test_the_command_in_the_error_of_an_unknown_user_removes_the_denial(
    cluster: Cluster, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(cluster, "alice")
    for deny_list in ((), ("--deny-list", "kube-system/other")):
        with pytest.raises(NotFound) as raised:
            kube_iam(cluster, "revoke", "alicia", "admin", "--now", *deny_list)
        name = deny_list[1] if deny_list else DENY_LIST
        cluster.memory.put_config_map(name, {each.name: format_denial(each) for each in cluster.denied})
        found = re.search("`kube-iam (undeny .*)` removes it", raised.value.hint)
        assert found is not None
        capsys.readouterr()
        assert kube_iam(cluster, *found[1].split()) == 0
        assert "alicia: denial removed (" in capsys.readouterr().out


def test_revoke_now_of_a_known_and_an_unknown_user_states_what_was_changed(
    cluster: Cluster, account: FakeAccount
) -> None:
    applied(cluster, "alice")
    with pytest.raises(NotFound) as raised:
        kube_iam(cluster, "revoke", "alice", "alicia", "admin", "--now")
    denial = next(each for each in cluster.denied if each.value == "alicia")
    assert f"in the deny list until {denial.end}, and the others are out of the level" in raised.value.message
    assert denial.name in raised.value.hint
    assert next(each for each in cluster.denied if each.value == "alice").name not in raised.value.hint


def test_an_unknown_user_whose_denial_was_not_written_gets_no_remedy_for_it(
    cluster: Cluster, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    applied(cluster, "alice")
    cluster.error = KubeError("gone")
    with pytest.raises(NotFound, match="nothing was changed") as raised:
        kube_iam(cluster, "revoke", "alicia", "admin", "--now")
    assert "undeny" not in raised.value.hint
    assert "the denial could not be written: gone" in capsys.readouterr().err


def test_the_result_of_a_revocation_is_there_as_soon_as_it_is_made(cluster: Cluster, account: FakeAccount) -> None:
    session = prepared(cluster)
    level = session.access.levels[0]
    options = RevocationOptions(DENY_LIST, "", 120, wait=False)
    revocation = ImmediateRevocation(session, level, ["alice"], options, session.audit)
    assert revocation.data()["denialsWritten"] is True


def test_a_dry_run_denies_nobody(cluster: Cluster, account: FakeAccount) -> None:
    applied(cluster, "alice")
    assert kube_iam(cluster, "revoke", "alice", "admin", "--now", "--dry-run") == 0
    assert cluster.denied == []


def test_a_grant_succeeds_and_says_that_a_denial_may_still_stand(
    cluster: Cluster, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.memory.status["GET", "/api/v1/namespaces/kube-system/configmaps/kube-iam-denied"] = 503
    applied(cluster, "alice")
    assert "a denial by `revoke --now` may still stand" in capsys.readouterr().err


class FakeTime:
    """Seconds that pass by waiting alone."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_sleep: Callable[[float], None] = lambda now: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep(self.now)


@pytest.fixture
def clock(cluster: Cluster) -> FakeTime:
    cluster.closed.cached_for = 3.4
    clock = FakeTime()
    cluster.clock = Clock(lambda: clock.now, clock.sleep)
    return clock


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 120) -> Iterator[Callable[[], str]]:
    """Make stderr a pseudo-terminal of that width; the answer reads what was written to it."""
    fcntl, pty, termios, tty = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios", "tty"))
    master, slave = pty.openpty()
    tty.setraw(slave)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.set_blocking(master, False)
    with os.fdopen(slave, "w") as stderr, os.fdopen(master, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", stderr)

        def read() -> str:
            stderr.flush()
            return (screen.read() or b"").decode()

        yield read


def shown(written: str) -> list[str]:
    """Return the lines as they stand on a terminal in the end, where a carriage return leads to overwriting."""
    lines = []
    for line in written.split("\n"):
        row = ""
        for part in line.split("\r"):
            row = part + row[len(part) :]
        lines.append(row.rstrip())
    return lines


@pytest.mark.parametrize("arguments", [("deny", "alice", "--yes"), ("revoke", "alice", "admin", "--now")])
@pytest.mark.parametrize("columns", [120, 30])
def test_seconds_count_down_on_a_terminal_in_one_line_that_is_erased(
    cluster: Cluster,
    account: FakeAccount,
    clock: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    columns: int,
) -> None:
    applied(cluster, "alice")
    capsys.readouterr()
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal(monkeypatch, columns) as read:
        assert kube_iam(cluster, *arguments) == 0
        written = read()
    assert re.findall(r"\rWaiting up to (\d+) s", written) == ["4", "3", "2", "1"]
    assert not any("Waiting" in line for line in shown(written))
    assert "\x1b" not in written
    assert all(
        len(row) < columns for row in re.findall(r"\r([^\r\n]*)", written) if "Waiting" in row or not row.strip()
    )
    assert re.search(r"^alice is out[^(]* \(1 of 1 servers confirmed\)\.", capsys.readouterr().out, re.MULTILINE)
    assert clock.now == pytest.approx(3.4)


def test_elsewhere_the_wait_is_one_line(cluster: Cluster, clock: FakeTime, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(cluster, "deny", "alice") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "Waiting" in line]
    assert lines == [
        "Waiting up to 4 s for the end of kube-apiserver's cache; Ctrl-C ends the waiting, not the denial."
    ]


def test_ctrl_c_erases_the_line_of_the_wait(
    cluster: Cluster, clock: FakeTime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(now: float) -> None:
        if now >= 2:
            raise KeyboardInterrupt

    clock.on_sleep = interrupt
    with terminal(monkeypatch) as read:
        with pytest.raises(KeyboardInterrupt):
            kube_iam(cluster, "deny", "alice", "--yes")
        written = read()
    assert "is out" not in capsys.readouterr().out
    assert "\rWaiting up to 3 s" in written
    assert not any("Waiting" in line for line in shown(written))


def test_details_are_printed_on_demand(cluster: Cluster, clock: FakeTime, capsys: pytest.CaptureFixture[str]) -> None:
    for more, expected in ((), False), (("-v", "debug"), True):
        assert kube_iam(cluster, "deny", "alice", "--no-wait", *more) == 0
        out, err = capsys.readouterr()
        assert out.startswith("alice is out in at most 4 s (1 of 1 servers confirmed).")
        assert ("0.2 s until the last answer; 1 of 1 API servers asked at their own address" in err) is expected
        assert ("last sign-in 3.0 s ago; kube-apiserver caches a sign-in for 2m and 10 s: 3 s left" in err) is expected
