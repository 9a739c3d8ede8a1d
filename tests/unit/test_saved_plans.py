"""Saved plans: `apply FILE` carries out the plan that was saved, or refuses and says what has changed since."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_commands import FILE, kube_iam
from access_commands import account as account
from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from levels_for_tests import NODES

from kube_iam.access.levels import Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.saved_plan import digest
from kube_iam.config.access import load_access
from kube_iam.errors import Conflict, CredentialsError, Guarded, NotOwned, UsageError, WouldFail

MEMORY = ApiInMemory()
KUBE = MEMORY.api("https://api.prod.example.com")
ELSEWHERE = MEMORY.api("https://other.example.com", {})


def run(account: FakeAccount, *arguments: str, **more: Any) -> int:
    return kube_iam(account, *arguments, **{"kube": KUBE, **more})


def refusal(account: FakeAccount, *arguments: str, **more: Any) -> str:
    """Return why `apply plan.json` is refused. Nothing is changed then."""
    before = account.state()
    with pytest.raises(Conflict) as caught:
        run(account, "apply", "plan.json", *arguments, **more)
    assert account.state() == before
    assert "nothing was changed" in str(caught.value)
    return caught.value.message


def save(account: FakeAccount, *arguments: str) -> dict[str, Any]:
    assert run(account, "plan", "--out", "plan.json", *arguments) == 0
    data: dict[str, Any] = json.loads(Path("plan.json").read_text())
    return data


def tampered(change: Callable[[dict[str, Any]], object]) -> None:
    """Change the saved plan."""
    data = json.loads(Path("plan.json").read_text())
    change(data)
    Path("plan.json").write_text(json.dumps(data))


def edit(old: str, new: str) -> None:
    Path("access.yaml").write_text(Path("access.yaml").read_text().replace(old, new))


def test_a_saved_plan_is_private_and_carried_out_without_a_question(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(account)
    said = capsys.readouterr()
    assert "kube-iam apply plan.json" in said.err
    assert "Plan: " in said.out
    assert stat.S_IMODE(Path("plan.json").stat().st_mode) == 0o600
    assert (data["version"], data["options"], data["server"]) == (1, [], "https://api.prod.example.com")
    assert "t0ken" not in Path("plan.json").read_text()
    assert run(account, "apply", "plan.json") == 0
    assert "Done: " in capsys.readouterr().out
    assert run(account, "plan", "--detailed-exitcode") == 0


def test_the_command_that_carries_it_out_has_the_options_of_the_plan(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("access.yaml").rename("my prod.yaml")
    run(account, "plan", "-f", "my prod.yaml", "--context", "prod", "--force", "--out", "plan.json")
    assert "kube-iam apply --force -f 'my prod.yaml' --context prod plan.json\n" in capsys.readouterr().err


def test_a_plan_is_the_same_document_and_exit_code_with_out(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(account, "plan", "-o", "json", "--detailed-exitcode") == 2
    without = capsys.readouterr().out
    assert run(account, "plan", "-o", "json", "--detailed-exitcode", "--out", "plan.json") == 2
    assert capsys.readouterr().out == without


def test_a_plan_without_changes_says_so(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    run(account, "apply", "--yes")
    save(account)
    capsys.readouterr()
    before = account.world.writes
    assert run(account, "apply", "plan.json") == 0
    assert "Nothing to change" in capsys.readouterr().out
    assert account.world.writes == before


def test_a_dry_run_of_a_saved_plan_changes_nothing(account: FakeAccount) -> None:
    save(account)
    assert run(account, "apply", "plan.json", "--dry-run") == 0
    assert account.world.writes == 0


def test_a_plan_is_not_carried_out_twice(account: FakeAccount) -> None:
    save(account)
    run(account, "apply", "plan.json")
    assert "no longer planned: create role prod-admin (admin)" in refusal(account)


def test_a_change_in_iam_is_named(account: FakeAccount) -> None:
    run(account, "apply", "--yes")
    edit("sessionDuration: 2h", "sessionDuration: 3h")
    save(account)
    role = account.directory.role_states["prod-viewer"]
    account.directory.role_states["prod-viewer"] = replace(role, max_session_seconds=3600)
    assert "planned in another way: update role prod-viewer (viewer)" in refusal(account)
    account.directory.role_states["prod-viewer"] = replace(role, policies=("Admin",))
    assert "a new warning: role prod-viewer should have no permissions" in refusal(account)
    account.directory.role_states["prod-viewer"] = role
    assert run(account, "apply", "plan.json") == 0


def test_a_change_in_the_cluster_and_in_the_mapping_is_named(account: FakeAccount) -> None:
    save(account)
    account.store.all_entries.append(MappingEntry("arn:aws:iam::123456789012:role/other", "other", ()))
    assert run(account, "plan") == 0
    account.cluster.rbac.discard(("ClusterRole", "", "view"))
    assert "ClusterRole view does not exist" in refusal(account)


def test_an_entry_of_others_for_a_level_stops_a_saved_plan(account: FakeAccount) -> None:
    save(account)
    account.store.all_entries.append(replace(NODES, role_arn="arn:aws:iam::123456789012:role/prod-viewer"))
    with pytest.raises(NotOwned):
        run(account, "apply", "plan.json")
    assert account.world.writes == 0


def test_a_change_of_the_access_file_is_named_even_if_the_changes_stay(account: FakeAccount) -> None:
    save(account)
    edit("region: eu-central-1", "region: eu-central-1\ninstallHint: pipx install it")
    assert refusal(account).splitlines() == [
        "plan.json is not what would be done now:",
        "  - the access file has changed",
    ]


def test_the_layout_and_the_name_of_the_access_file_do_not_count(account: FakeAccount) -> None:
    save(account)
    edit("levels:", "# the levels\nlevels:")
    Path("access.yaml").rename("other.yaml")
    assert run(account, "apply", "plan.json", "-f", "other.yaml") == 0


def test_another_cluster_account_server_or_version_is_named(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(account)
    said = refusal(account, "--context", "named", kube=ELSEWHERE)
    assert "the API server was https://api.prod.example.com, and is https://other.example.com now" in said
    with monkeypatch.context() as patch:
        patch.setattr("kube_iam.cli.saved_plan.installed_version", lambda: "9.9")
        assert "and is 9.9 now" in refusal(account)
    edit("id: prod.example.com, name: prod", "id: test.example.com, name: test")
    assert "the cluster was prod.example.com, and is test.example.com now" in refusal(account)
    account.directory.account = "999999999999"
    with pytest.raises(CredentialsError):
        run(account, "apply", "plan.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["plan"]["changes"].pop(),
        lambda data: data["plan"]["changes"].reverse(),
        lambda data: data["plan"]["changes"].append(data["plan"]["changes"][0]),
        lambda data: data["plan"]["changes"][0].update(name="another"),
        lambda data: data["plan"]["changes"][0]["fields"].update(path={"before": None, "after": "/"}),
        lambda data: data["plan"]["changes"][0].update(extra=1),
        lambda data: data["plan"]["warnings"].append("one more"),
        lambda data: data["plan"]["needsForce"].append("one more"),
        lambda data: data["plan"].update(digest="0" * 64),
        lambda data: data["plan"]["counts"].update(create=0),
        lambda data: data["plan"].update(mapping="elsewhere"),
        lambda data: data["plan"].update(extra=[]),
        lambda data: data.update(access="0" * 64),
        lambda data: data.update(server="https://elsewhere"),
        lambda data: data.update(program="0"),
    ],
)
def test_a_changed_file_is_refused(account: FakeAccount, change: Callable[[dict[str, Any]], object]) -> None:
    save(account)
    tampered(change)
    assert len(refusal(account).splitlines()) > 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no saved plan: name a plan"),
        (FILE, "is no saved plan: name a plan"),
        ("{}", "cannot be carried out: it is no saved plan"),
        ("[]", "cannot be carried out: it is no saved plan"),
        ("[" * 100_000, "is no saved plan"),
        (
            '{"format": "kube-iam saved plan", "version": 2}',
            "version 2 of the format, and this kube-iam reads version 1",
        ),
        ('{"format": "kube-iam saved plan", "version": true}', "it has version true"),
        ('{"format": "kube-iam saved plan"}', "it has version null"),
        ('{"format": "kube-iam saved plan", "version": 1}', "it is damaged"),
        ('{"format": "kube-iam saved plan", "version": 1, "version": 1}', "is no saved plan"),
    ],
)
def test_other_files_and_formats_are_named(account: FakeAccount, text: str, expected: str) -> None:
    Path("plan.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        run(account, "apply", "plan.json")
    assert expected in str(caught.value)
    assert account.world.reads == 0
    with pytest.raises(UsageError, match="exists and is no saved plan"):
        run(account, "plan", "--out", "plan.json")
    assert Path("plan.json").read_text() == text


@pytest.mark.parametrize(
    "part", ["program", "access", "server", "options", "plan", "changes", "fields", "warnings", "unknown flag"]
)
def test_a_damaged_part_is_an_error(account: FakeAccount, part: str) -> None:
    save(account)

    def damage(data: dict[str, Any]) -> None:
        if part == "unknown flag":
            data["options"] = ["--everything"]
        elif part in data:
            data[part] = 1
        elif part == "fields":
            data["plan"]["changes"][0]["fields"] = []
        else:
            data["plan"][part] = [1]

    tampered(damage)
    with pytest.raises(UsageError, match="it is damaged"):
        run(account, "apply", "plan.json")


def test_a_missing_file_is_named(account: FakeAccount) -> None:
    with pytest.raises(UsageError, match=r"there is no plan\.json.*the access file goes with -f"):
        run(account, "apply", "plan.json")
    with pytest.raises(Exception, match="cannot write"):
        run(account, "plan", "--out", "missing/plan.json")


def test_a_plan_is_replaced_by_the_next(account: FakeAccount) -> None:
    first = save(account)
    edit("sessionDuration: 2h", "sessionDuration: 3h")
    assert save(account) != first


def test_flags_of_the_plan_are_recorded_and_repeated(account: FakeAccount) -> None:
    account.store.all_entries.append(replace(NODES, role_arn="arn:aws:iam::123456789012:role/prod-viewer"))
    assert save(account, "--adopt", "--force")["options"] == ["--adopt", "--force"]
    with pytest.raises(UsageError, match=r"was made with --adopt --force.*kube-iam apply --adopt --force plan\.json"):
        run(account, "apply", "plan.json", "--force")
    assert run(account, "apply", "plan.json", "--adopt", "--force") == 0


def test_a_file_cannot_set_a_flag(account: FakeAccount) -> None:
    run(account, "apply", "--yes")
    edit("  - {name: admin, bind: [{clusterRole: cluster-admin}], iam: {role: prod-admin}}\n", "")
    assert save(account)["plan"]["needsForce"] != []
    tampered(lambda data: data.update(options=["--force"]))
    with pytest.raises(UsageError, match="was made with --force"):
        run(account, "apply", "plan.json")
    tampered(lambda data: data.update(options=[]))
    with pytest.raises(Guarded):
        run(account, "apply", "plan.json")
    assert run(account, "apply", "plan.json", "--force") == 0


def test_every_part_of_the_access_file_is_in_its_digest(account: FakeAccount) -> None:
    access = load_access("access.yaml")
    level = access.levels[0]
    others = [
        replace(access, certificate_authority="x"),
        replace(access, checks_sign_in=False),
        replace(access, mapping=replace(access.mapping, key="x")),
        replace(access, levels=access.levels[::-1]),
        replace(access, levels=(replace(level, method=Method.GROUP), *access.levels[1:])),
    ]
    assert len({digest(each) for each in (access, *others)}) == 6
    assert digest(replace(access, source="x")) == digest(access)


def test_the_lines_of_listed_members_are_not_in_the_digest(account: FakeAccount, tmp_path: Path) -> None:
    listed = FILE.replace("sessionDuration: 2h}", "sessionDuration: 2h, members: [alice, bob]}")
    digests = []
    for text in (listed, "# a comment\n" + listed, listed.replace("[alice, bob]", "[alice]"), FILE):
        (tmp_path / "access.yaml").write_text(text)
        digests.append(digest(load_access("access.yaml")))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


EXISTING = FILE.replace("sessionDuration: 2h}", "iam: {group: staff, existing: true}}")


def fail_by_member(account: FakeAccount) -> Callable[[], None]:
    edit("sessionDuration: 2h}", "sessionDuration: 2h, members: [dave]}")

    def mend() -> None:
        account.directory.all_users["dave"] = replace(account.directory.all_users["alice"], name="dave")

    return mend


def fail_by_reserved_prefix(account: FakeAccount) -> Callable[[], None]:
    prefixes = ["awsiam:"]
    account.store.reserved_prefixes = lambda: tuple(prefixes)  # type: ignore[method-assign]
    return prefixes.clear


def fail_by_existing_group(account: FakeAccount) -> Callable[[], None]:
    Path("access.yaml").write_text(EXISTING)
    account.directory.create_group("staff", "/")
    full = tuple(f"arn:aws:iam::aws:policy/p{number}" for number in range(10))
    states = account.directory.group_states
    states["staff"] = replace(states["staff"], attached=full)
    account.world.writes = 0

    def mend() -> None:
        states["staff"] = replace(states["staff"], attached=full[1:])

    return mend


FAILURES = {
    "there is no IAM user dave": fail_by_member,
    "reserve": fail_by_reserved_prefix,
    "IAM group staff has 10 managed policies": fail_by_existing_group,
}


@pytest.mark.parametrize("said", FAILURES)
def test_a_saved_plan_keeps_what_would_fail_and_is_not_carried_out(account: FakeAccount, said: str) -> None:
    mend = FAILURES[said](account)
    saved = save(account)["plan"]["wouldFail"]
    assert any(said in each for each in saved)
    for flags in ((), ("--force", "--adopt"), ("-o", "json")):
        with pytest.raises(WouldFail, match=said):
            run(account, "apply", "plan.json", *flags)
    assert account.world.writes == 0
    mend()
    assert "no longer a change that would fail" in refusal(account)


@pytest.mark.parametrize("said", FAILURES)
def test_what_would_fail_only_now_stops_a_saved_plan(account: FakeAccount, said: str) -> None:
    mend = FAILURES[said](account)
    users, groups = dict(account.directory.all_users), dict(account.directory.group_states)
    prefixes = account.store.reserved_prefixes()
    mend()
    assert save(account)["plan"]["wouldFail"] == []
    account.directory.all_users.clear()
    account.directory.all_users.update(users)
    account.directory.group_states.update(groups)
    account.store.reserved_prefixes = lambda: prefixes  # type: ignore[method-assign]
    assert "a new change that would fail" in refusal(account)


@pytest.mark.parametrize("said", FAILURES)
def test_a_saved_plan_that_leaves_out_what_would_fail_is_refused(account: FakeAccount, said: str) -> None:
    FAILURES[said](account)
    save(account)
    tampered(lambda data: data["plan"].update(wouldFail=[]))
    assert "a new change that would fail" in refusal(account)
    assert account.world.writes == 0


def test_an_existing_group_that_is_gone_stops_a_saved_plan(account: FakeAccount) -> None:
    fail_by_existing_group(account)()
    save(account)
    del account.directory.group_states["staff"]
    with pytest.raises(NotOwned, match="group staff does not exist"):
        run(account, "apply", "plan.json")
    assert account.world.writes == 0
