"""Edits of the deny list while others edit it too: no concurrent denial or removal is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from api_in_memory import ApiInMemory

from kube_iam.denylist.denial import Denial, denial_of, matches
from kube_iam.denylist.editor import CLOCK_SKEW, REMOVED, DenyListEditor
from kube_iam.denylist.entry import format_denial, parse_entry
from kube_iam.denylist.propagation import Clock
from kube_iam.errors import Conflict, KubeError

NAME = "kube-system/kube-iam-denied"
PATH = "/api/v1/namespaces/kube-system/configmaps"
NOW = 1795507200.0
END = NOW + 3600
ALICE, BOB = (denial_of(name, until=END, actor="root", at=NOW) for name in ("alice", "bob"))


@pytest.fixture
def memory() -> ApiInMemory:
    return ApiInMemory()


@pytest.fixture
def store(memory: ApiInMemory) -> DenyListEditor:
    return DenyListEditor(memory.api(), NAME, Clock(time.monotonic, lambda _: None))


def another(memory: ApiInMemory) -> DenyListEditor:
    return DenyListEditor(memory.api(), NAME, Clock(time.monotonic, lambda _: None))


def once(memory: ApiInMemory, write: Callable[[], object]) -> None:
    """Let somebody else write first, one time."""

    def before_write() -> None:
        memory.before_write = lambda: None
        write()

    memory.before_write = before_write


def write(memory: ApiInMemory, **texts: str) -> None:
    memory.put_config_map(NAME, texts)


def denied(memory: ApiInMemory) -> set[str]:
    found = (each for ident, text in memory.data(NAME).items() for each in parse_entry(ident, text).denials)
    return {denial.value for denial in found if denial.until > NOW}


def is_alice(denial: Denial) -> bool:
    return matches(denial, "alice")


def test_a_denial_is_written_and_creates_the_list(memory: ApiInMemory, store: DenyListEditor) -> None:
    store.add([ALICE], NOW)
    assert memory.data(NAME) == {ALICE.name: format_denial(ALICE)}
    store.add([BOB], NOW)
    assert denied(memory) == {"alice", "bob"}
    assert store.read().data == memory.data(NAME)


def test_a_second_denial_of_the_same_replaces_the_first(memory: ApiInMemory, store: DenyListEditor) -> None:
    store.add([ALICE], NOW)
    store.add([denial_of("alice", until=END + 60, reason="again")], NOW)
    assert [json.loads(text)["reason"] for text in memory.data(NAME).values()] == ["again"]


@pytest.mark.parametrize("others", ['["alice", "bob"]', '[{"value": "bob"}]', "value: [bob, alice]"])
def test_a_denial_leaves_who_else_was_written_into_its_entry_denied(
    memory: ApiInMemory, store: DenyListEditor, others: str
) -> None:
    write(memory, **{ALICE.name: others})
    store.add([ALICE], NOW)
    assert denied(memory) >= {"alice", "bob"}
    # So that a probe of the entry is about this denial and its end alone.
    assert parse_entry(ALICE.name, memory.data(NAME)[ALICE.name]).denials == (ALICE,)


def test_entries_that_ended_long_ago_are_removed_and_odd_ones_stay(memory: ApiInMemory, store: DenyListEditor) -> None:
    over = denial_of("carol", until=NOW - CLOCK_SKEW - 1)
    recent = denial_of("dave", until=NOW - CLOCK_SKEW + 1)
    write(memory, odd="{}", **{each.name: format_denial(each) for each in (over, recent)})
    store.add([ALICE], NOW)
    assert set(memory.data(NAME)) == {"odd", recent.name, ALICE.name}


@pytest.mark.parametrize("text", ['["alice", "bob", "carol"]', '["bob", "alice"]', "value: [bob, alice]", '["alice"]'])
def test_removal_of_one_value_keeps_the_other_denials_of_its_entry(
    memory: ApiInMemory, store: DenyListEditor, text: str
) -> None:
    write(memory, x=text, y='{"kind": "userName", "value": "dave"}')
    before = denied(memory)
    assert [denial.value for denial in store.remove(is_alice, "root", NOW)] == ["alice"]
    assert denied(memory) == before - {"alice"}
    assert store.remove(is_alice, "root", NOW) == ()


def test_removed_denial_is_kept_as_an_ended_entry(memory: ApiInMemory, store: DenyListEditor) -> None:
    store.add([ALICE, BOB], NOW)
    assert store.remove(is_alice, "carol", NOW) == (ALICE,)
    (left,) = parse_entry(ALICE.name, memory.data(NAME)[ALICE.name]).denials
    assert (left.value, left.until, left.actor, left.reason) == ("alice", REMOVED, "carol", "removed")


SHARED = json.dumps([json.loads(format_denial(each)) for each in (ALICE, BOB)])


@pytest.mark.parametrize(
    ("before", "meanwhile", "left"),
    [
        # Somebody adds a value to the entry that is being removed.
        ({"x": "alice"}, {"x": '["alice", "bob"]'}, {"bob"}),
        # Somebody denies another person.
        ({"x": "alice"}, {"x": "alice", "y": "bob"}, {"bob"}),
        # Somebody denies the same person under another name.
        ({"x": "alice"}, {"x": "alice", "y": '{"kind": "userName", "value": "alice"}'}, set()),
        # Somebody removes it first, and uses the name again.
        ({"x": "alice"}, {"x": "bob"}, {"bob"}),
        # Somebody takes one of two out of the entry.
        ({"x": SHARED}, {"x": format_denial(BOB)}, {"bob"}),
        # Somebody deletes all and begins anew.
        ({"x": SHARED}, {"z": "carol"}, {"carol"}),
    ],
)
def test_removal_after_a_conflict_keeps_what_was_written_meanwhile(
    memory: ApiInMemory, store: DenyListEditor, before: dict[str, str], meanwhile: dict[str, str], left: set[str]
) -> None:
    write(memory, **before)
    once(memory, lambda: write(memory, **meanwhile))
    store.remove(is_alice, "root", NOW)
    assert denied(memory) == left


def test_removal_that_finds_nothing_after_a_conflict_reports_nothing(
    memory: ApiInMemory, store: DenyListEditor
) -> None:
    store.add([ALICE], NOW)
    once(memory, lambda: another(memory).remove(is_alice, "bob", NOW))
    assert store.remove(is_alice, "root", NOW) == ()


def test_a_denial_that_loses_a_race_keeps_the_other_one(memory: ApiInMemory, store: DenyListEditor) -> None:
    once(memory, lambda: another(memory).add([BOB], NOW))
    store.add([ALICE], NOW)
    assert denied(memory) == {"alice", "bob"}


def test_an_entry_renewed_while_it_is_cleared_away_stays(memory: ApiInMemory, store: DenyListEditor) -> None:
    over = denial_of("bob", until=NOW - CLOCK_SKEW - 1)
    store.add([over], NOW - 2 * CLOCK_SKEW)
    once(memory, lambda: another(memory).add([BOB], NOW))
    store.add([ALICE], NOW)
    assert denied(memory) == {"alice", "bob"}


def test_ended_entry_of_a_removal_does_not_replace_a_new_denial(memory: ApiInMemory, store: DenyListEditor) -> None:
    write(memory)
    tombstone = denial_of("alice", until=REMOVED, reason="removed")
    once(memory, lambda: another(memory).add([ALICE], NOW))
    # A removal of alice then removes the new denial.
    assert store.remove(is_alice, "root", NOW, [tombstone]) == (ALICE,)
    assert denied(memory) == set()
    assert store.remove(lambda denial: matches(denial, "bob"), "root", NOW, [denial_of("bob", until=REMOVED)]) == ()
    assert parse_entry("x", memory.data(NAME)[BOB.name]).denials[0].until == REMOVED


@pytest.mark.parametrize("edit", ["put", "remove"])
def test_an_edit_that_loses_every_race_is_an_error(memory: ApiInMemory, store: DenyListEditor, edit: str) -> None:
    write(memory, x="alice")
    memory.before_write = lambda: write(memory, x="alice")
    with pytest.raises(Conflict, match="ConfigMap kube-system/kube-iam-denied was not changed"):
        store.add([BOB], NOW) if edit == "put" else store.remove(is_alice, "root", NOW)
    assert memory.data(NAME) == {"x": "alice"}


def test_a_list_that_may_not_be_written_is_an_error(memory: ApiInMemory, store: DenyListEditor) -> None:
    memory.status["POST", PATH] = 403
    with pytest.raises(KubeError, match="cannot create ConfigMap kube-system/kube-iam-denied"):
        store.add([ALICE], NOW)
