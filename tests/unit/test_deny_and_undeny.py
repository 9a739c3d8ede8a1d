"""`deny` and `undeny` against an API server and a kube-iam server in memory: what is written, asked, printed and recorded."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from api_in_memory import REVIEWS, SLICES, ApiInMemory, endpoint_slice
from click.exceptions import Abort
from deny_commands import FILE
from fake_account import FakeAccount
from prepared_session import PreparedSession, Terminal

from kube_iam.access.mapping import MappingEntry
from kube_iam.cli.root import run_command
from kube_iam.cli.session import AdminSession
from kube_iam.denylist.denial import Denial, denial_of
from kube_iam.denylist.entry import format_denial, parse_entry
from kube_iam.denylist.propagation import Clock
from kube_iam.denylist.status_query import IN_FORCE, NOT_IN_FORCE, StatusAnswer, parse_question
from kube_iam.errors import KubeIamError, Throttled, UsageError

NAME = "kube-system/kube-iam-denied"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/prod-admin"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/prod-admin"
KEY = "AKIA0000000000000001"


class Site:
    """A cluster with one API server. Its kube-iam server reads the list anew for each question, and keeps `remembered`."""

    def __init__(self, account: FakeAccount) -> None:
        self.account = account
        self.memory = ApiInMemory()
        self.memory.objects[f"{SLICES}/kubernetes"] = endpoint_slice("10.0.0.1")
        self.memory.answer = self.answer
        self.remembered: dict[str, Denial] = {}
        self.last_known = True
        self.unseen: set[str] = set()
        self.session: Callable[[], AdminSession] = lambda: PreparedSession(
            account, self.memory.api("https://api.prod.example.com")
        )

    def answer(self, host: str, token: str) -> str:
        question = parse_question(token)
        if question is None:  # a status query about memberships
            return ""
        text = self.data.get(question.denial)
        read = list(parse_entry(question.denial, text).denials) if text is not None else []
        if text is None and question.denial in self.remembered:
            read = [self.remembered[question.denial]]
        until = min((each.until for each in read), default=0.0)
        state = IN_FORCE if until > time.time() else NOT_IN_FORCE
        known = self.last_known and question.denial not in self.unseen
        return StatusAnswer(question.nonce, "c0ffee", state, until, 300.0, known).text

    @property
    def data(self) -> dict[str, str]:
        try:
            return self.memory.data(NAME)
        except KeyError:
            return {}

    @property
    def denied(self) -> list[str]:
        found = (each for ident, text in self.data.items() for each in parse_entry(ident, text).denials)
        return [each.value for each in found if each.until > time.time()]

    @property
    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.memory.events]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    account = FakeAccount()
    site = Site(account)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBE_IAM_ACCESS", raising=False)
    (tmp_path / "access.yaml").write_text(FILE)
    assert kube_iam(site, "apply", "--yes") == 0
    account.directory.add_member("prod-admin", "alice")
    site.memory.events.clear()
    capsys.readouterr()
    return site


def kube_iam(site: Site, *arguments: str) -> int:
    return run_command("kube-iam", arguments, {}, site.session())


def test_who_is_denied_is_denied_everywhere_and_recorded(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert kube_iam(site, "deny", "alice") == 0
    out, err = capsys.readouterr()
    assert out.startswith("alice is out (1 of 1 servers confirmed). The denial ends ")
    assert err == ""
    assert (site.denied, site.reasons) == (["alice"], ["AccessDenied"])


NOBODY = [
    f"{SESSION}/*",
    ROLE.replace("prod-admin", "prod-*"),
    f"arn:aws:iam::{ACCOUNT}:user/*",
    f"arn:aws:iam::{ACCOUNT}:user/alice;",
    f"arn:aws:iam::{ACCOUNT}:group/prod-admin",
    f"{ROLE}/",
    f"{SESSION}/",
    "arn:aws-moon:iam::123456789012:user/alice",
    "role/prod-*",
    "user/*",
    "alice, bob",
    "ａｌｉｃｅ",
    "*",
    "",
    "AGPA0000000000000001",
    "AIDA0000000000000001:alice",
    "akia0000000000000001",
    "aidajqabltzs4a3qdu576",
    "agpajqabltzs4a3qdu576",
]


@pytest.mark.parametrize("name", NOBODY)
@pytest.mark.parametrize("more", [(), ("--yes",), ("alice",)])
def test_what_can_be_nobodys_name_is_refused_before_anything_is_written(
    site: Site, capsys: pytest.CaptureFixture[str], name: str, more: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as raised:
        kube_iam(site, "deny", name, *more)
    assert raised.value.hint
    assert (site.data, site.memory.events, capsys.readouterr().out) == ({}, [], "")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("alcie", "did you mean 'alice'?"),
        ("ALCIE", "did you mean 'alice'?"),
        ("mallory", "nothing like it"),
        ("alice,bob", ""),
        (ROLE.replace("admin", "amdin"), "did you mean 'prod-admin'?"),
        (f"{SESSION}/alcie", "did you mean 'alice'?"),
        (f"{SESSION.replace('admin', 'amdin')}/alice", "did you mean 'prod-admin'?"),
        (f"arn:aws:iam::{ACCOUNT}:user/alcie", "did you mean 'alice'?"),
        ("arn:aws:iam::999999999999:user/alice", ""),
        ("AIDA0000000000000001", ""),
        ("prod-admin", f"did you mean the role {ROLE}?"),
        ("arn:aws:iam::999999999999:root", ""),
    ],
)
def test_a_name_that_no_level_knows_is_refused_with_a_near_match(site: Site, name: str, near: str) -> None:
    with pytest.raises(UsageError, match="nor IAM knows") as raised:
        kube_iam(site, "deny", name)
    assert near in raised.value.hint
    assert "Add --yes" in raised.value.hint
    assert (site.data, site.memory.events) == ({}, [])
    assert kube_iam(site, "deny", name, "--yes") == 0
    assert site.denied == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("alice", "Alice", "carol", ROLE, f"{SESSION}/alice", f"arn:aws:iam::{ACCOUNT}:user/bob", KEY),
        *(f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:sts::{ACCOUNT}:federated-user/dave"),
    ],
)
def test_a_name_that_a_level_or_iam_knows_gets_no_question(site: Site, name: str) -> None:
    # carol and bob are users of the account who are in no level: somebody who has just been revoked is one.
    assert kube_iam(site, "deny", name) == 0
    assert site.denied == [name]


@pytest.mark.parametrize("name", ["zoe", "arn:aws:iam::999999999999:user/zoe"])
def test_a_user_of_another_account_who_is_mapped_gets_no_question(site: Site, name: str) -> None:
    principal = "arn:aws:iam::999999999999:user/zoe"
    site.account.store.all_entries.append(MappingEntry("", "zoe", (), principal=principal))
    assert kube_iam(site, "deny", name) == 0
    assert site.denied == [name]


def test_the_question_is_asked_on_a_terminal_and_no_means_no(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    asked: list[str] = []

    def confirm(answer: bool) -> None:
        def ask(text: str, *, abort: bool, err: bool) -> None:
            asked.append(text)
            assert abort
            assert err
            if not answer:
                raise Abort

        monkeypatch.setattr("click.confirm", ask)

    confirm(False)
    assert kube_iam(site, "deny", "alcie") != 0
    assert site.data == {}
    confirm(True)
    assert kube_iam(site, "deny", "alcie", "--no-wait") == 0
    assert site.denied == ["alcie"]
    assert "alcie: did you mean 'alice'?" in asked[0]
    assert len(asked) == 2


@pytest.mark.parametrize("how", ["no file", "iam", "a bug", "broken file"])
def test_a_denial_does_not_wait_for_what_cannot_look_names_up(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    if how == "no file":
        (tmp_path / "access.yaml").unlink()
    elif how == "iam":
        site.account.world.errors["members"] = Throttled("slow down")
    elif how == "a bug":
        site.account.world.errors["members"] = cast("KubeIamError", RuntimeError("unforeseen"))
    else:
        (tmp_path / "access.yaml").write_text("levels: [")
    site.last_known = False
    assert kube_iam(site, "deny", "alcie") == 0
    out, err = capsys.readouterr()
    assert site.denied == ["alcie"]
    assert "a misspelt one denies nobody" in err
    assert " is out" not in out
    assert out.startswith("alcie is refused (1 of 1 servers confirmed). ")


def test_several_names_in_one_are_refused_where_names_cannot_be_looked_up(site: Site, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").unlink()
    with pytest.raises(
        UsageError, match="several names in one denies nobody: alice,bob, so none was written"
    ) as raised:
        kube_iam(site, "deny", "alice,bob")
    assert raised.value.hint.startswith("name each by itself")
    assert site.data == {}
    assert kube_iam(site, "deny", "alice,bob", "--yes") == 0
    assert site.denied == ["alice,bob"]


def test_a_denial_does_not_ask_for_an_mfa_code(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_text(
        f"[default]\nrole_arn = {ROLE}\nsource_profile = base\nmfa_serial = arn:aws:iam::{ACCOUNT}:mfa/me\n"
        "[profile base]\naws_access_key_id = AKID\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    session = site.session()
    del session.iam_without_prompts
    site.session = lambda: session
    assert kube_iam(site, "deny", "alice") == 0
    assert "the names were not looked up" in (err := capsys.readouterr().err)
    assert "an MFA code is needed" in err
    assert site.denied == ["alice"]


def test_an_access_file_that_was_named_must_be_there(site: Site) -> None:
    (Path("access.yaml")).unlink()
    with pytest.raises(UsageError, match=r"there is no elsewhere\.yaml"):
        kube_iam(site, "deny", "alice", "-f", "elsewhere.yaml")
    assert site.data == {}


def test_the_access_file_can_come_from_standard_input(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("access.yaml").unlink()
    for name in ("alice", "alcie"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FILE.encode())))
        if name == "alice":
            assert kube_iam(site, "deny", name, "-f", "-") == 0
        else:
            with pytest.raises(UsageError, match="nor IAM knows alcie"):
                kube_iam(site, "deny", name, "-f", "-")
    assert site.denied == ["alice"]


@pytest.mark.parametrize(
    ("name", "covered", "goes_on"),
    [
        (KEY, f"access key {KEY} is refused", "role sessions of its owner go on"),
        (
            "ASIA0000000000000001",
            "access key ASIA0000000000000001 is refused",
            "other sessions of its owner go on",
        ),
        (
            "AIDA0000000000000001",
            "the user's own access keys of AIDA0000000000000001 are refused",
            "role sessions of this user go on",
        ),
        (
            f"arn:aws:iam::{ACCOUNT}:user/bob",
            f"arn:aws:iam::{ACCOUNT}:user/bob and sessions of the account under that user's name are refused",
            "sessions named bob in roles of other accounts go on",
        ),
        (f"{SESSION}/alice", f"{SESSION}/alice is refused", "in another role"),
        (
            f"arn:aws:iam::{ACCOUNT}:root",
            f"arn:aws:iam::{ACCOUNT}:root is refused",
            "other users and roles of the account",
        ),
        (ROLE, f"every session of {ROLE} is out", ""),
        ("AROA0000000000000001", "every session of AROA0000000000000001 is out", ""),
    ],
)
def test_what_goes_on_although_something_is_denied_is_said_with_the_remedy(
    site: Site, capsys: pytest.CaptureFixture[str], name: str, covered: str, goes_on: str
) -> None:
    assert kube_iam(site, "deny", name, "--yes") == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{covered} (1 of 1 servers confirmed). The denial ends ")
    assert goes_on in err
    assert (" is out" in out) is not bool(goes_on)
    if goes_on and "root" not in name and "user/" not in name:
        assert "`kube-iam deny USER`" in err
    assert kube_iam(site, "deny", name, "--yes", "-o", "json") == 0
    assert (goes_on in json.loads(capsys.readouterr().out)["notDenied"].get(name, "")) is True


def test_the_id_of_a_member_is_said_with_the_name_that_denies_the_person(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    ident = "AIDA0000000000000009"
    site.account.directory.all_users["alice"] = site.account.directory.all_users["alice"].__class__(
        "alice", f"arn:aws:iam::{ACCOUNT}:user/alice", ident
    )
    assert kube_iam(site, "deny", ident) == 0
    assert "`kube-iam deny alice` (the user's name) denies those too" in capsys.readouterr().err


def test_what_is_not_known_to_be_in_force_is_not_said_to_be(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.memory.answer = lambda host, token: "Unauthorized"
    with pytest.raises(KubeIamError, match="whether it is in force is not known"):
        kube_iam(site, "deny", "alice")
    out, err = capsys.readouterr()
    assert out == ""
    assert "confirmed" not in err


def test_ctrl_c_during_the_wait_states_that_the_servers_confirmed_the_denial(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    api = site.memory.api("https://api.prod.example.com")
    site.session = lambda: PreparedSession(site.account, api, clock=Clock(lambda: 0.0, interrupt))
    with pytest.raises(KeyboardInterrupt):
        kube_iam(site, "deny", "alice", "--cache-ttl", "10m")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(
        r"stopped: 1 of 1 changes done \(write the denial of alice\); "
        r"the servers confirmed it; kube-apiserver's cache may admit a sign-in until 2\S+Z\n$",
        err,
    )
    assert (site.denied, site.reasons) == (["alice"], ["AccessDenied"])


def test_of_several_names_only_those_that_a_server_has_seen_are_said_to_be_out(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").unlink()
    site.unseen = {denial_of("alcie", until=1).name}
    assert kube_iam(site, "deny", "alice", "alcie") == 0
    lines = [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["alice is out", "alcie is refused"]


def test_undeny_removes_the_denial_and_records_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(site, "deny", "alice", "carol")
    site.memory.events.clear()
    assert kube_iam(site, "undeny", "alice") == 0
    assert "alice: denial removed (alice-" in capsys.readouterr().out
    assert (site.denied, site.reasons) == (["carol"], ["DenialRemoved"])


@pytest.mark.parametrize(
    "name", ["mallory", "by-hand", "alice-0123456789", ROLE, KEY, "AIDA0000000000000001", f"{SESSION}/x1"]
)
def test_undeny_of_nobody_writes_nothing_records_nothing_and_says_so(
    site: Site, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for data in ({}, {"x": format_denial(denial_of("alice", until=4e9))}):
        if data:
            site.memory.put_config_map(NAME, data)
        assert kube_iam(site, "undeny", name) == 0
        out, err = capsys.readouterr()
        assert f"{name}: nothing to remove" in err
        assert "removed" not in out
        assert (site.data, site.memory.events) == (data, [])


def test_undeny_of_a_misspelt_name_says_who_is_denied(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(site, "deny", "alice")
    assert kube_iam(site, "undeny", "alcie") == 0
    assert "did you mean 'alice'?" in capsys.readouterr().err
    assert site.denied == ["alice"]


def test_undeny_lists_the_removed_denials_as_json(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    kube_iam(site, "deny", "alice")
    capsys.readouterr()
    assert kube_iam(site, "undeny", "alice", "-o", "json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["asked"], [each["value"] for each in result["removed"]]) == ("alice", ["alice"])
    assert site.data == {} or site.denied == []


def test_second_undeny_removes_nothing(site: Site) -> None:
    kube_iam(site, "deny", "alice")
    site.memory.events.clear()
    kube_iam(site, "undeny", "alice")
    kube_iam(site, "undeny", "alice")
    assert site.reasons == ["DenialRemoved"]


@pytest.mark.parametrize("by_name", [False, True])
def test_undeny_removes_a_denial_that_a_server_keeps_from_a_deleted_list(
    site: Site, capsys: pytest.CaptureFixture[str], by_name: bool
) -> None:
    denial = denial_of("alice", until=4e9)
    site.remembered[denial.name] = denial
    assert kube_iam(site, "undeny", denial.name if by_name else "alice") == 0
    assert "denial removed" in capsys.readouterr().out
    (left,) = parse_entry(denial.name, site.data[denial.name]).denials
    assert left.until == 0
    assert site.reasons == ["DenialRemoved"]


def test_undeny_removes_by_name_an_entry_by_hand_that_a_server_keeps(site: Site) -> None:
    site.remembered["by-hand"] = denial_of("alice", until=4e9)
    assert kube_iam(site, "undeny", "by-hand") == 0
    assert list(site.data) == ["by-hand"]
    assert site.denied == []


def test_undeny_claims_nothing_where_servers_cannot_be_asked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.memory.status["POST", REVIEWS] = 403
    assert kube_iam(site, "undeny", "mallory") == 0
    out, err = capsys.readouterr()
    assert "Not every server could be asked" in err
    assert out == ""
    assert site.memory.events == []


def test_undeny_leaves_what_was_written_meanwhile(site: Site) -> None:
    """A denial of another person, written between the two reads of undeny, stays."""
    site.memory.status["POST", REVIEWS] = 403
    bob = denial_of("bob", until=4e9)

    def faster() -> None:
        site.memory.before_write = lambda: None
        site.memory.put_config_map(NAME, {bob.name: format_denial(bob)})

    site.memory.before_write = faster
    kube_iam(site, "undeny", "mallory")
    assert site.denied == ["bob"]


def test_the_list_names_entries_that_name_nobody(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"a": "{}", "b": '{"kind": "userName", "value": "AGPA0000000000000001"}', "c": "alice, bob"}
    site.memory.put_config_map(NAME, texts, binaryData={"d": "AAAA"})
    assert kube_iam(site, "deny", "--list") == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["a", "b", "c", "d"]
    assert err.count("names nobody") == 3
    assert "alice" in out
    assert "bob" in out
    site.memory.put_config_map(NAME, {})
    assert kube_iam(site, "deny", "--list") == 0
    assert capsys.readouterr().out == f"ConfigMap {NAME} denies nobody now.\n"
