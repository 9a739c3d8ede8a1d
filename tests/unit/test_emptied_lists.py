"""Keys that an edit added or filled return to what they were when their last entry goes, in block and flow texts."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import yaml

from examples import examples
from kube_iam.access.mapping import MappingEntry
from kube_iam.errors import ConfigError
from kube_iam.kube.mapping_list import NAMES, SERVER, MappingList

ROLE = MappingEntry(
    "arn:aws:iam::012345670123:role/shop-viewer", "awsiam:{{SessionName}}", ("g",), "shop-viewer", "viewer"
)
GROUP = MappingEntry("", "awsiam:{{UserName}}", ("g",), "shop-viewer", "viewer")
USER = MappingEntry("", "alice", ("g",), principal="arn:aws:iam::012345670123:user/alice")
ENTRIES = {"mapRoles": ROLE, "mapGroups": GROUP, "mapUsers": USER}
LISTS = {name: MappingList((*SERVER, name), "config.yaml", principal=principal) for principal, name in NAMES.items()}

EMPTY = ("null", "Null", "NULL", "~", '""', "''", "{}", "[]")
FLOW = {
    "no server": '{"clusterID": "c"}',
    "no mapRoles": '{"clusterID": "c", "server": {"port": 1}}',
    "an empty server": '{"clusterID": "c", "server": {}}',
    "nothing at all": "{}",
    "spaces inside": '{ "clusterID" : "c" , "server" : { "port" : 1 } }  ',
    "an empty server with spaces": "{server: { }}",
    "a list of another": '{"server": {"mapUsers": [], "mapAccounts": ["000000000000"]}}',
    "commas at the ends": "{clusterID: c, server: {port: 1, }, }",
    "indented JSON": '{\n  "clusterID": "c",\n  "server": {\n    "port": 1\n  }\n}\n',
    "indented JSON with an empty server": '{\n  "clusterID": "c",\n  "server": {\n  }\n}\n',
    "a comment at the end": "{server: {port: 1}} # the end",
    "comments inside": "{server: { # here\n  port: 1 # default\n  }, # there\n clusterID: c}\n# fin\n",
    "a flow server in block text": "clusterID: c\nserver: {port: 1} # on one line\nx: y\n",
    "a flow server without a final newline": "clusterID: c\nserver: {port: 1}",
    "Windows": '{"clusterID": "c",\r\n "server": {"port": 1}}\r\n',
    "a byte order mark": '\ufeff{"clusterID": "c"}',
    "document marks": '--- {"server": {}}\n...\n',
    "other letter case": '{"Server": {"MapRoles": null, "mapgroups": ~}}',
    "the key's value left away": "{server: {mapRoles: , mapUsers: }}",
    "server's value left away": "{clusterID: c, server: }",
    "values left away with blanks": "{server: { mapRoles:  , 'mapUsers' :   }}",
    "all values left away": '{"clusterID":, "server" : }',
    **{f"server is {word}": f'{{"server": {word}, "x": 1}}' for word in EMPTY},
    **{f"mapRoles is {word}": f'{{"server": {{"mapRoles": {word}}}}}' for word in EMPTY},
    **{f"all are {word}": f"server: {{mapRoles: {word}, mapUsers: {word}, mapGroups: {word}}}\n" for word in EMPTY},
    **{f"server is {word} in block text": f"server: {word}  # none\nx: y\n" for word in EMPTY},
}
ORDERS = tuple(permutations(("mapRoles", "mapGroups", "mapUsers")))


@pytest.mark.parametrize("text", FLOW.values(), ids=FLOW.keys())
def test_the_last_entry_leaves_the_key_as_it_was_before_the_first(text: str) -> None:
    for name, where in LISTS.items():
        new = where.put(text, ENTRIES[name])
        assert where.entries(new)[-1].key == ENTRIES[name].key
        assert where.remove(new, ENTRIES[name]) == text


@pytest.mark.parametrize("text", FLOW.values(), ids=FLOW.keys())
def test_several_lists_are_restored_in_any_order(text: str) -> None:
    full = text
    for name, where in LISTS.items():
        full = where.put(full, ENTRIES[name])
    assert yaml.safe_load(full.removeprefix("\ufeff")) is not None
    for order in ORDERS[: examples(len(ORDERS))]:
        left = full
        for name in order:
            left = LISTS[name].remove(left, ENTRIES[name])
        assert left == text, order


@pytest.mark.parametrize("text", FLOW.values(), ids=FLOW.keys())
def test_a_second_entry_and_a_change_do_not_lose_what_was_there(text: str) -> None:
    where = LISTS["mapRoles"]
    other = replace(ROLE, role_arn="arn:aws:iam::012345670123:role/shop-admin", level="admin")
    full = where.put(where.put(where.put(text, ROLE), other), replace(ROLE, username="changed"))
    assert where.remove(where.remove(full, ROLE), other) == text
    assert where.remove(where.remove(full, other), ROLE) == text


def test_what_somebody_wrote_beside_the_list_meanwhile_stays() -> None:
    where = LISTS["mapRoles"]
    full = where.put('{"clusterID": "c"}', ROLE).replace('"server": {', '"server": {"port": 1, ')
    left = where.remove(full, ROLE)
    assert yaml.safe_load(left) == {"clusterID": "c", "server": {"port": 1}}
    full = where.put('{"server": {}}', ROLE).replace("]}", '], "port": 1}')
    assert yaml.safe_load(where.remove(full, ROLE)) == {"server": {"port": 1}}


def test_a_list_that_somebody_emptied_or_began_is_left_as_it_is() -> None:
    where = LISTS["mapRoles"]
    text = '{"server": {"mapRoles": []}, "clusterID": "c"}'
    assert where.remove(where.put(text, ROLE), ROLE) == text
    # Without the note the text does not say what was there.
    bare = where.put('{"server": {"port": 1}}', ROLE).partition("  #")[0]
    assert where.remove(bare, ROLE) == '{"server": {"port": 1, "mapRoles": []}}'


def test_a_file_that_is_read_as_json_gets_no_comment() -> None:
    import json

    where = MappingList((*SERVER, "mapRoles"), "/etc/kube-iam/config.json")
    for text in ('{"clusterID": "c"}', "{}", '{"server": {"mapRoles": null}}'):
        new = where.put(text, ROLE)
        assert len(json.loads(new)["server"]["mapRoles"]) == 1
        assert json.loads(where.remove(new, ROLE))["server"]["mapRoles"] == []


# Texts that end in a block scalar without a newline: one behind it would become a part of the scalar, unless it says `-`.
SCALARS = (
    "|\n{0}hello",
    ">\n{0}hello\n{0}there",
    "|+\n{0}hello",
    "|-\n{0}hello",
    ">2\n{0}hello",
    "|\n{0}hello\n\n{0}x ",
)
SCALAR_ENDS = {
    "the last key of server": ("server:\n  port: 1\n  note: {}", "    "),
    "the only key of server": ("clusterID: c\nserver:\n  note: {}", "    "),
    "a key below server": ("server:\n  a: 1\n  # why\n  inner:\n    note: {}", "      "),
    "the last key of the document": ("clusterID: c\n# why\nnote: {}", "  "),
    "the only key of the document": ("note: {}", "  "),
    "the only key behind a byte order mark": ("\ufeffnote: {}", "  "),
    "behind a document mark": ("---\n# top\nnote: {}", "  "),
    "behind a list": ("server:\n  mapAccounts:\n  - '1'\n  # - '2'\n  note: {}", "    "),
    "an item of another list": ("server:\n  port: 1\n  mapAccounts:\n  - {}", "    "),
    "an item of the document's list": ("clusterID: c\nx:\n- a\n- {}", "  "),
}


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["Unix", "Windows"])
@pytest.mark.parametrize(("frame", "indent"), SCALAR_ENDS.values(), ids=SCALAR_ENDS.keys())
def test_a_key_is_added_to_a_text_that_ends_in_a_block_scalar(
    frame: str, indent: str, newline: str, scalar: str
) -> None:
    text = frame.replace("{}", scalar.format(indent)).replace("\n", newline)
    before = yaml.safe_load(text.removeprefix("\ufeff"))
    for name, where in LISTS.items():
        new = where.put(text, ENTRIES[name])
        after = yaml.safe_load(new.removeprefix("\ufeff"))
        assert len(after["server"].pop(name)) == 1
        assert after == before or {key: value for key, value in after.items() if value} == before
        assert where.remove(new, ENTRIES[name]) == text


@pytest.mark.parametrize("text", ["- rolearn: a\n  note: |\n    keep\n", "- rolearn: a\n  note: >+\n    keep\n\n"])
def test_removing_the_last_line_keeps_the_newline_that_is_part_of_a_block_scalar(text: str) -> None:
    where = MappingList((), "aws-auth", "mapRoles")
    full = where.put(text, ROLE).removesuffix("\n")
    assert where.remove(full, ROLE) == text


def test_a_key_that_cannot_be_added_is_still_refused() -> None:
    with pytest.raises(ConfigError, match="nothing was written"):
        LISTS["mapRoles"].put("? |\n  a", ROLE)
