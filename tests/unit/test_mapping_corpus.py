"""Mappings as people and programs write them (tests/corpus): read, edited and restored, with every foreign byte in its place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from kube_iam.access.mapping import MappingEntry
from kube_iam.errors import ConfigError
from kube_iam.kube.aws_auth import appended, new_role, new_user
from kube_iam.kube.mapping_list import NAMES, SERVER, MappingList
from kube_iam.kube.mapping_view import MappingView, principal_of, view_aws_auth, view_config

CORPUS = Path(__file__).parents[1] / "corpus" / "mappings"
BROKEN = ("17-broken-indent", "mapRoles")
ROLE = MappingEntry(
    "arn:aws:iam::012345670123:role/shop-viewer", "awsiam:{{SessionNameRaw}}", ("g: 1", "ü"), "shop", "viewer"
)
ENTRIES = {
    "mapRoles": ROLE,
    "mapGroups": MappingEntry("", "awsiam:{{UserName}}", ("kube-iam:viewer",), "shop-viewer", "viewer"),
}
VARIANTS = {
    "as it is": lambda text: text,
    "no final newline": lambda text: text.rstrip("\n"),
    "blank lines at the end": lambda text: text + "\n  \n\n",
    "CRLF": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "comment at the end": lambda text: text.rstrip("\n") + "\n# the end",
    "document mark at the end": lambda text: text.rstrip("\n") + "\n---\n# nothing more\n",
}


def texts() -> Iterator[tuple[str, str, str]]:
    """Each text of the corpus: its file, its key, and itself."""
    for path in sorted(CORPUS.glob("*.yaml")):
        data = yaml.safe_load(path.read_bytes())["data"]
        keys = data if "config.yaml" in data else ("mapRoles", "mapUsers", "mapGroups", "mapAccounts")
        yield from ((path.stem, key, data.get(key, "")) for key in keys)


TEXTS = {(stem, key): text for stem, key, text in texts()}
EDITABLE = {
    place: text for place, text in TEXTS.items() if place not in (BROKEN, *((p[0], "mapAccounts") for p in TEXTS))
}
everywhere = pytest.mark.parametrize("place", EDITABLE, ids="-".join)


def lists(place: tuple[str, str]) -> dict[str, MappingList]:
    """Return the lists that an edit can find in a text, by name."""
    stem, key = place
    found = {name: MappingList((*SERVER, name), stem, key, principal) for principal, name in NAMES.items()}
    if key == "config.yaml":
        return found
    return {name: MappingList((), stem, key, principal) for principal, name in NAMES.items() if name == key}


def view(place: tuple[str, str], text: str) -> MappingView:
    return view_config(text, place[0]) if place[1] == "config.yaml" else view_aws_auth({place[1]: text}, place[0])


@everywhere
def test_server_and_editors_find_the_same_entries(place: tuple[str, str]) -> None:
    text = EDITABLE[place]
    mappings = view(place, text).mappings
    for where in (each for name, each in lists(place).items() if name == "mapRoles"):
        edited = [entry.where for entry in where.entries(text)]
        named = [entry.where for entry in mappings.roles if ":role/" in principal_of(entry)]
        assert {place.rpartition("[")[2] for place in named} <= {place.rpartition("[")[2] for place in edited}
        assert len(named) > 0


@everywhere
@pytest.mark.parametrize("vary", VARIANTS.values(), ids=VARIANTS.keys())
def test_put_and_remove_restore_every_byte(place: tuple[str, str], vary: partial[str]) -> None:
    text = vary(EDITABLE[place])
    for name, where in lists(place).items():
        if name in ENTRIES:
            before = where.entries(text)
            new = where.put(text, ENTRIES[name])
            assert where.entries(new)[:-1] == before
            assert where.put(new, ENTRIES[name]) == new
            assert where.remove(new, ENTRIES[name]) == text
            assert len(view(place, new).mappings.roles) - len(view(place, text).mappings.roles) == (name == "mapRoles")


@everywhere
def test_an_added_user_or_role_leaves_every_other_line(place: tuple[str, str]) -> None:
    entry = {
        "mapRoles": new_role("arn:aws:iam::012345670123:role/new", "new", ["g"]),
        "mapUsers": new_user("arn:aws:iam::012345670123:user/new", "new", ["g"]),
    }.get(place[1])
    if entry is None:
        return
    text = EDITABLE[place]
    new = appended(text, entry, place[0])
    before, after = view(place, text).mappings, view(place, new).mappings
    assert after.count == before.count + 1
    lines = new.splitlines()
    assert all(
        line in lines for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("[", "{", '"'))
    )


@everywhere
def test_every_entry_can_be_removed_alone(place: tuple[str, str]) -> None:
    text = EDITABLE[place]
    for where in lists(place).values():
        for entry in where.entries(text):
            try:
                new = where.remove(text, entry)
            except ConfigError as error:
                assert place[0].startswith("18-"), "only what aliases refer to cannot go"
                assert "nothing was written" in str(error)
            else:
                keys = [each.key for each in where.entries(text) if each.key != entry.key]
                assert [each.key for each in where.entries(new)] == keys


def test_a_text_with_broken_indentation_is_named_and_left_alone() -> None:
    (where,) = lists(BROKEN).values()
    for read in (where.entries, partial(where.put, entry=ROLE), partial(view, BROKEN)):
        with pytest.raises(ConfigError, match=r"17-broken-indent.*line 2: .*is not YAML"):
            read(TEXTS[BROKEN])
