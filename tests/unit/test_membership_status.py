"""Status queries about memberships: what a server answers, how it is read, and what `plan`, `apply` and `who` say of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from access_commands import kube_iam
from api_in_memory import ApiInMemory
from decisions import Backends, Memberships
from fake_account import FakeAccount
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.authn.decide import Authenticator, Denied
from kube_iam.core.identity import Identity
from kube_iam.core.mapping_entries import MembershipRequirement
from kube_iam.core.membership_status import (
    MOST_ASKED,
    MembershipAnswer,
    MembershipQuestion,
    MembershipState,
    MembershipStatus,
    read_membership_answer,
    read_membership_question,
    requirement_name,
)
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.denylist.prober import Prober
from kube_iam.denylist.propagation import Clock
from kube_iam.kube.membership_query import ask_memberships
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupSnapshot, RoleSnapshot

NONCE = "0123456789abcdef"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod-admin"
WALL = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ADMIN, VIEWERS = requirement_name("prod-admin", ROLE), requirement_name("viewers")
HOUR = 3600


class Server:
    """The memberships that one server has read, and its clock."""

    def __init__(self) -> None:
        self.uptime = 1000.0
        self.cache = MembershipCache(300, lambda: self.uptime, lambda: WALL + self.uptime - 1000.0, "c0ffee")
        self.cache.set_tracked(("viewers",), [MembershipRequirement("prod-admin", ROLE, "prod-admin")])

    def group(self, name: str = "prod-admin", account: str = ACCOUNT) -> Server:
        self.cache.update_group(name, GroupSnapshot(self.uptime, account, {"alice": "AIDAALICE"} if account else {}))
        return self

    def role(self, role_id: str = "AROAADMIN", problem: str = "", *, exists: bool = True) -> Server:
        self.cache.update_role(ROLE, RoleSnapshot(self.uptime, role_id, HOUR, problem, exists, WALL))
        return self

    def read(self) -> Server:
        return self.group().role()

    def status(self, requirement: str = ADMIN) -> MembershipStatus:
        refusal = self.cache.answer_status_query(MembershipQuestion(NONCE, (requirement,)).token)
        assert refusal is not None
        assert refusal.reason is Reason.STATUS_QUERY
        answer = read_membership_answer(f"[invalid bearer token, {refusal.message}]", NONCE)
        assert answer is not None
        assert answer.server == "c0ffee"
        return answer.states[requirement]


def forbidden(kind: str, name: str, *, known: bool = True, denied: bool = True) -> Callable[[Server], None]:
    def story(server: Server) -> None:
        if known:
            server.read()
        server.uptime += 100
        server.cache.record_failure(kind, name, forbidden=denied)

    return story


def stale(server: Server) -> None:
    server.read()
    server.uptime += 301
    server.cache.record_failure("group", "prod-admin", forbidden=False)


def forbidden_for_too_long(server: Server) -> None:
    forbidden("group", "prod-admin")(server)
    server.uptime += 201


def forbidden_group_of_unread_role(server: Server) -> None:
    server.group()
    server.cache.record_failure("group", "prod-admin", forbidden=True)


def repaired(server: Server) -> None:
    server.group()
    server.role(problem="open")
    server.role()


def recreated(server: Server) -> None:
    server.read()
    server.role("AROANEW")


def refresh(server: Server) -> None:
    forbidden("group", "prod-admin")(server)
    server.read()


STORIES: list[tuple[Callable[[Server], object], MembershipState, float]] = [
    (lambda server: None, MembershipState.NOT_READ, 0),
    (lambda server: server.group(), MembershipState.NOT_READ, 0),
    (lambda server: server.read(), MembershipState.ADMITS, 0),
    (forbidden("group", "prod-admin"), MembershipState.GROUP_FORBIDDEN, WALL + 300),
    (forbidden("group", "prod-admin", known=False), MembershipState.GROUP_FORBIDDEN, 0),
    (forbidden("role", ROLE), MembershipState.ROLE_FORBIDDEN, WALL + 300),
    (forbidden_for_too_long, MembershipState.GROUP_FORBIDDEN, 0),
    (forbidden_group_of_unread_role, MembershipState.GROUP_FORBIDDEN, 0),
    (forbidden("group", "viewers"), MembershipState.ADMITS, 0),
    (forbidden("group", "prod-admin", denied=False), MembershipState.ADMITS, 0),  # the last read counts still
    (forbidden("group", "prod-admin", known=False, denied=False), MembershipState.UNREADABLE, 0),
    (stale, MembershipState.UNREADABLE, 0),
    (refresh, MembershipState.ADMITS, 0),
    (lambda server: server.read().group(account=""), MembershipState.GROUP_MISSING, 0),
    (lambda server: server.group().role("", "absent", exists=False), MembershipState.ROLE_MISSING, 0),
    (lambda server: server.group().role(problem="open"), MembershipState.SESSION_NAME_UNRESTRICTED, 0),
    (repaired, MembershipState.SUSPENDED, WALL + HOUR),
    (recreated, MembershipState.RECREATED, WALL + HOUR),
    (lambda server: server.cache.set_tracked((), []), MembershipState.NOT_MAPPED, 0),
]


@pytest.mark.parametrize(("story", "state", "until"), STORIES)
def test_server_answers_the_state_of_a_level(
    story: Callable[[Server], object], state: MembershipState, until: float
) -> None:
    server = Server()
    story(server)
    assert server.status() == MembershipStatus(state, until)


def test_server_answers_about_entries_of_whole_groups() -> None:
    server = Server()
    assert server.status(VIEWERS).state is MembershipState.NOT_READ
    server.group("viewers")
    assert server.status(VIEWERS).state is MembershipState.ADMITS
    server.cache.record_failure("group", "viewers", forbidden=True)
    assert server.status(VIEWERS) == MembershipStatus(MembershipState.GROUP_FORBIDDEN, WALL + 300)


@pytest.mark.parametrize(("story", "role_id"), [(repaired, "AROAADMIN"), (recreated, "AROANEW")])
def test_suspension_and_former_sessions_end_at_the_time_of_the_answer(
    story: Callable[[Server], object], role_id: str
) -> None:
    server = Server()
    story(server)
    server.uptime += HOUR
    assert server.group().role(role_id).status().state is MembershipState.ADMITS


def test_answer_names_no_group_role_or_account() -> None:
    server = Server().read()
    refusal = server.cache.answer_status_query(MembershipQuestion(NONCE, (ADMIN, "0" * 16)).token)
    assert refusal is not None
    assert not any(name in refusal.message for name in ("prod-admin", "viewers", ACCOUNT, "alice", "AROAADMIN"))
    assert server.status("0" * 16).state is MembershipState.NOT_MAPPED


def test_status_query_signs_nobody_in() -> None:
    @dataclasses.dataclass
    class Verifier:
        async def verify(self, token: str) -> Identity | Refusal:
            return Refusal(Reason.TOKEN_PREFIX)

    server = Server().read()
    authenticator = Authenticator(Verifier(), Backends(), memberships=Memberships(server.cache))
    decision = asyncio.run(authenticator.authenticate(MembershipQuestion(NONCE, (ADMIN,)).token))
    assert isinstance(decision, Denied)
    assert decision.refusal.reason is Reason.STATUS_QUERY
    plain = asyncio.run(authenticator.authenticate("k8s-aws-v2.x"))
    assert plain == Denied(Refusal(Reason.TOKEN_PREFIX))


NAMES = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")
STATUSES = st.builds(MembershipStatus, st.sampled_from(MembershipState), st.integers(0, 4 * 10**9).map(float))


@given(st.dictionaries(NAMES, STATUSES, max_size=MOST_ASKED))
def test_answer_is_found_in_whatever_the_api_server_puts_around_it(states: dict[str, MembershipStatus]) -> None:
    answer = MembershipAnswer(NONCE, "c0ffee", states)
    other = MembershipAnswer("f" * 16, "bad", {name: MembershipStatus(MembershipState.ADMITS) for name in states})
    assert read_membership_answer(f"[invalid bearer token, {other.text}, x: {answer.text}, y]", NONCE) == answer
    assert read_membership_answer(other.text, NONCE) is None


@pytest.mark.parametrize("until", ["9" * 12, "9" * 400, "-1", "1e9", "inf", ""])
def test_time_that_no_server_answers_is_no_answer(until: str) -> None:
    text = f"kube-iam-membership-status-v1 nonce={NONCE} server=c0ffee {ADMIN}=suspended@{until}"
    assert read_membership_answer(text, NONCE) == MembershipAnswer(NONCE, "c0ffee", {})


@given(st.lists(NAMES, min_size=1, max_size=MOST_ASKED).map(tuple))
def test_question_is_read_back(names: tuple[str, ...]) -> None:
    question = MembershipQuestion(NONCE, names)
    assert read_membership_question(question.token) == question
    assert len(question.token) < 4096


@pytest.mark.parametrize(
    "token",
    [
        "kube-iam-membership-status-v1.",
        f"kube-iam-membership-status-v1.{NONCE}",
        f"kube-iam-membership-status-v1.{NONCE}.",
        f"kube-iam-membership-status-v1.{NONCE}.short",
        f"kube-iam-membership-status-v1.{NONCE}.{'a' * 16}.{'g' * 16}",
        f"kube-iam-membership-status-v1.{NONCE}" + f".{'a' * 16}" * (MOST_ASKED + 1),
        f"kube-iam-membership-status-v2.{NONCE}.{'a' * 16}",
        f"kube-iam-deny-status-v1.{NONCE}.{'a' * 16}",
    ],
)
def test_anything_else_is_no_question(token: str) -> None:
    assert read_membership_question(token) is None
    assert Server().cache.answer_status_query(token) is None


# The commands


FILE = f"""\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {{id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}}
account: "{ACCOUNT}"
region: eu-central-1
levels:
  - {{name: admin, bind: [{{clusterRole: cluster-admin}}]}}
"""


class Site:
    """An account, an API server that passes status queries on, and the server behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.account, self.server, self.memory = FakeAccount(), Server(), ApiInMemory()
        self.memory.answer = self._answer
        self._capsys = capsys
        self.asked = 0
        self.clock = Clock(lambda: self._now, self._sleep)
        self._now = 0.0
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
        (tmp_path / "access.yaml").write_text(FILE)
        self.run("apply", "--yes")

    def _sleep(self, seconds: float) -> None:
        self._now += seconds
        self.settles()

    def settles(self) -> None:
        """Make the change that happens while `apply` waits."""

    def _answer(self, host: str, token: str) -> str:
        self.asked += 1
        refusal = self.server.cache.answer_status_query(token)
        return f"[invalid bearer token, {refusal.message}]" if refusal is not None else "Unauthorized"

    def run(self, *arguments: str) -> list[str]:
        """Return the lines about the server on stderr."""
        kube_iam(self.account, *arguments, kube=self.memory.api("https://api.prod.example.com"), clock=self.clock)
        lines = self._capsys.readouterr().err.splitlines()
        return [line for line in lines if line.startswith(("warning: level", "note: whether the server"))]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(monkeypatch, tmp_path, capsys)


COMMANDS = [("plan",), ("apply",), ("who",), ("who", "admin"), ("plan", "-o", "json"), ("who", "-o", "yaml")]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_say_that_the_server_may_not_read_a_group(site: Site, arguments: tuple[str, ...]) -> None:
    forbidden("group", "prod-admin")(site.server)
    (line,) = site.run(*arguments)
    assert line.startswith("warning: level admin: IAM does not let the server read IAM group prod-admin")
    assert "what it read before counts until 2027-01-15T08:05:00Z" in line
    assert "kube-iam policy server" in line


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_say_until_when_a_level_is_suspended_and_how_to_end_that(
    site: Site, arguments: tuple[str, ...]
) -> None:
    repaired(site.server)
    (line,) = site.run(*arguments)
    assert line.startswith("warning: level admin: suspended until 2027-01-15T09:00:00Z")
    assert "`aws iam delete-role --role-name prod-admin`, then `kube-iam apply`" in line
    assert "`kube-iam logout admin`" in line


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (recreated, "role prod-admin was created again"),
        (stale, "cannot read IAM"),
        (forbidden("role", ROLE, known=False), "IAM does not let the server read role prod-admin"),
        (lambda server: server.cache.set_tracked((), []), "the server has no such mapping"),
        (lambda server: server.group().role(problem="open"), "run `kube-iam apply`"),
        (lambda server: server.group(), "has not read IAM group prod-admin and role prod-admin yet"),
        (forbidden_for_too_long, "nobody is admitted; attach the policy"),
    ],
)
def test_who_shows_other_reasons_that_refuse_members(site: Site, story: Callable[[Server], object], words: str) -> None:
    story(site.server)
    (line,) = site.run("who")
    assert words in line


def test_commands_say_nothing_where_members_are_admitted(site: Site) -> None:
    site.server.read()
    assert [site.run(*arguments) for arguments in COMMANDS] == [[]] * len(COMMANDS)


@pytest.mark.parametrize("arguments", COMMANDS)
@pytest.mark.parametrize("way", ["reference", "forbidden", "unreachable"])
def test_commands_say_that_the_server_could_not_be_asked(site: Site, arguments: tuple[str, ...], way: str) -> None:
    if way == "reference":
        site.memory.answer = lambda host, token: "token missing prefix"
    else:
        code = 403 if way == "forbidden" else 503
        site.memory.status["POST", "/apis/authentication.k8s.io/v1/tokenreviews"] = code
    (line,) = site.run(*arguments)
    assert line.startswith("note: whether the server can read IAM for admin is not known: ")


@pytest.mark.parametrize("states", ["", f" {ADMIN}=of-a-later-version@0", f" {ADMIN}=suspended@{'9' * 400}"])
def test_commands_say_that_the_answer_names_no_state_of_a_level(site: Site, states: str) -> None:
    site.memory.answer = lambda host, token: (
        f"kube-iam-membership-status-v1 nonce={token.split('.')[1]} server=c0ffee{states}"
    )
    (line,) = site.run("who")
    assert line == "note: whether the server can read IAM for admin is not known: its answer does not say so"


def test_plan_does_not_ask_about_a_level_that_it_would_add(site: Site) -> None:
    site.server.read()
    with Path("access.yaml").open("a") as file:
        file.write("  - {name: audit, bind: [{clusterRole: view}]}\n")
    assert site.run("plan") == []
    (line,) = site.run("apply", "--yes")
    assert line.startswith("warning: level audit: the server has no such mapping")


def test_apply_waits_until_the_server_has_read_what_was_applied(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.server.read()
    with Path("access.yaml").open("a") as file:
        file.write("  - {name: ops, method: group, bind: [{clusterRole: view}]}\n")
    steps = iter(
        [
            lambda: site.server.cache.set_tracked(
                ("prod-ops",), [MembershipRequirement("prod-admin", ROLE, "prod-admin")]
            )
        ]
    )

    def settles() -> None:
        next(steps, lambda: site.server.group("prod-ops"))()

    monkeypatch.setattr(site, "settles", settles)
    assert site.run("apply", "--yes") == []


def test_levels_that_the_server_does_not_look_up_are_not_asked_about(site: Site) -> None:
    with Path("access.yaml").open("a") as file:
        file.write("membershipCheck: assumeRole\n")
    site.asked = 0
    assert site.run("apply", "--yes", "--force") == []
    assert site.asked == 0


def test_more_levels_than_one_question_holds_are_asked_about_in_several() -> None:
    memory, server = ApiInMemory(), Server()
    names = [requirement_name(f"group-{number}") for number in range(2 * MOST_ASKED + 1)]
    server.cache.set_tracked([f"group-{number}" for number in range(2 * MOST_ASKED + 1)], [])
    asked: list[str] = []

    def answer(host: str, token: str) -> str:
        asked.append(token)
        refusal = server.cache.answer_status_query(token)
        assert refusal is not None
        return refusal.message

    memory.answer = answer
    states = ask_memberships(Prober(memory.api()).review, names).states
    assert set(states) == set(names)
    assert len(asked) == 3


def test_failure_of_what_is_no_longer_read_is_forgotten() -> None:
    server = Server().read()
    server.cache.record_failure("group", "prod-admin", forbidden=True)
    server.cache.record_failure("role", ROLE, forbidden=True)
    server.cache.set_tracked((), [])
    server.cache.set_tracked((), [MembershipRequirement("prod-admin", ROLE, "prod-admin")])
    assert server.status().state is MembershipState.NOT_READ
    assert server.read().status().state is MembershipState.ADMITS


def test_former_role_of_what_is_no_longer_read_is_forgotten() -> None:
    server = Server()
    recreated(server)
    server.cache.set_tracked((), [])
    server.cache.set_tracked((), [MembershipRequirement("prod-admin", ROLE, "prod-admin")])
    assert server.group().role("AROANEW").status().state is MembershipState.ADMITS
