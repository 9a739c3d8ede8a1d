"""Edits of mapRoles: our entry changes, every other byte stays."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from examples import examples
from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.config.mounted_versions import MountedVersions
from kube_iam.core.arns import Sso
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import ConfigError, Conflict, KubeError, KubeIamError
from kube_iam.kube.files import edit_text
from kube_iam.kube.mapping_list import MappingList
from kube_iam.kube.mapping_store import make_store

OURS = MappingEntry(
    "arn:aws:iam::012345670123:role/shop-viewer", "awsiam:{{SessionNameRaw}}", ("kube-iam:shop:viewer", "yes")
)
CONFIG = MappingList(("server", "mapRoles"), "config.yaml")
LIST = MappingList((), "ConfigMap kube-system/aws-auth", "mapRoles")

KOPS = """\
# a unique-per-cluster identifier
clusterID: my-dev-cluster.example.com   # do not change
server:
    # each mapRoles entry maps an IAM role
    mapRoles:
    # cluster admins
    - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin
      username:   'kubernetes-admin'
      groups: [ "system:masters" ]     # careful
    # nodes
    -   rolearn: "arn:aws:iam::000000000000:role/team/Node"
        username: >-
            aws:{{AccountID}}:instance:{{SessionName}}
        groups:
            - system:bootstrappers

            - aws:instances
    # end of roles

    # mapUsers follow
    mapUsers:
    - userARN: arn:aws:iam::000000000000:user/Alice
      username: alice
"""


def test_entries_are_read_in_any_letter_case_and_without_path() -> None:
    assert CONFIG.entries(KOPS) == (
        MappingEntry("arn:aws:iam::000000000000:role/KubernetesAdmin", "kubernetes-admin", ("system:masters",)),
        MappingEntry(
            "arn:aws:iam::000000000000:role/Node",
            "aws:{{AccountID}}:instance:{{SessionName}}",
            ("system:bootstrappers", "aws:instances"),
        ),
    )


def test_an_added_entry_leaves_every_other_line_alone() -> None:
    added = """\
    - rolearn: arn:aws:iam::012345670123:role/shop-viewer
      username: "awsiam:{{SessionNameRaw}}"
      groups:
      - kube-iam:shop:viewer
      - "yes"
"""
    new = CONFIG.put(KOPS, OURS)
    assert new == KOPS.replace("    # end of roles\n", added + "    # end of roles\n")
    assert CONFIG.put(new, OURS) == new
    assert CONFIG.remove(new, OURS) == KOPS


def test_an_entry_is_changed_where_it_stands() -> None:
    changed = MappingEntry("arn:aws:iam::000000000000:role/KubernetesAdmin", "awsiam:{{SessionNameRaw}}", ("admins",))
    new = CONFIG.put(KOPS, changed)
    assert CONFIG.entries(new) == (changed, CONFIG.entries(KOPS)[1])
    assert new.splitlines()[:6] == KOPS.splitlines()[:6]
    assert new.endswith(KOPS[KOPS.index("    # nodes") :])


@pytest.mark.parametrize(
    "role_arn",
    [
        "arn:aws:iam::000000000000:role/Node",
        "arn:aws:iam::000000000000:role/another/path/Node",
        "ARN:aws:iam::000000000000:role/NODE",
    ],
)
def test_a_role_is_recognised_without_path_and_letter_case(role_arn: str) -> None:
    left = CONFIG.remove(KOPS, MappingEntry(role_arn, "", ()))
    assert [entry.username for entry in CONFIG.entries(left)] == ["kubernetes-admin"]
    assert "    # nodes\n    # end of roles\n" in left


def test_one_of_several_entries_for_a_role_is_kept() -> None:
    text = (
        "- rolearn: arn:aws:iam::012345670123:role/shop-viewer\n  username: old\n"
        "- rolearn: arn:aws:iam::1:role/foreign\n  username: foreign\n"
        "- roleARN: arn:aws:iam::012345670123:role/path/Shop-Viewer\n  username: older\n  groups: [system:masters]\n"
    )
    entries = LIST.entries(LIST.put(text, OURS))
    assert entries == (OURS, MappingEntry("arn:aws:iam::1:role/foreign", "foreign", ()))
    assert [entry.username for entry in LIST.entries(LIST.remove(text, OURS))] == ["foreign"]


WORDS = ("null", "Null", "~", '""', "''", "{}", "[]")
RESTORED = {
    "nothing": (LIST, ""),
    "an empty list": (LIST, "[]\n"),
    "only a comment": (LIST, "# who may enter"),
    "a document marker": (LIST, "---\n# who\n"),
    "a list on one line": (LIST, "[{rolearn: 'arn:aws:iam::1:role/a', groups: []}, ]  # tail\n"),
    "JSON": (LIST, '[\n  {"rolearn": "arn:aws:iam::1:role/a", "username": "a"}\n]\n'),
    "JSON config": (CONFIG, '{"clusterID": "c", "server": {"mapRoles": []}}'),
    "no server": (CONFIG, "clusterID: c"),
    "no mapRoles": (CONFIG, "server:\n    port: 21362 # default\n\n# the end\nclusterID: c\n"),
    "empty server": (CONFIG, "server:   # nothing yet\n# and\nclusterID: c\n"),
    "empty mapRoles": (CONFIG, "Server:\n  maproles:\n  # - roleARN: commented out\n  port: 1\n"),
    "empty flow mapRoles": (CONFIG, "server:\n  mapRoles: [] # none\n  port: 1\n"),
    "windows line ends": (
        CONFIG,
        "clusterID: c\r\nserver:\r\n  mapRoles:\r\n  - rolearn: arn:aws:iam::1:role/a\r\nx: y\r\n",
    ),
    "block scalars that keep their end": (LIST, "- rolearn: a\n  note: |+\n    keep\n\n\n# end\n"),
    "a block scalar without a final newline": (LIST, "- rolearn: a\n- rolearn: b\n  note: |\n    keep"),
    "a folded scalar without a final newline": (LIST, "# b\n  -  rolearn: >\n          b"),
    "an item that is nothing": (LIST, "- rolearn: a\n-\n\n# end\n"),
    "an anchor and an alias": (
        LIST,
        "- &a\n  rolearn: arn:aws:iam::1:role/a\n  groups: &g [x]\n- groups: *g\n  <<: *a\n",
    ),
    "byte order mark": (LIST, "\ufeff- rolearn: a\n"),
    "byte order mark before a list that is indented": (LIST, "\ufeff  - rolearn: a\n  # b\n"),
    "an empty block scalar": (CONFIG, "server:\n  mapRoles: |\n  port: 1\n"),
    "a document mark at the end": (LIST, "- rolearn: a\n# who\n---\n"),
    "nothing but document marks": (LIST, "---\n# who\n---\n"),
    "a document mark without a newline": (LIST, "---"),
    "an end of the document": (LIST, "- rolearn: a\n...\n# more\n"),
    "tabs": (LIST, "- rolearn:\ta\t# who\n  groups: [b,\tc]\t\n"),
    "an escaped pair": (LIST, '[{"rolearn": "a\\ud83d\\ude00", "username": "b\\/"}]'),
    "an escaped pair before an entry": (LIST, '- rolearn: "a\\ud83d\\ude00\\ud83d\\ude00" # "\n- rolearn: b\n'),
    "spaces": (LIST, " \n\n"),
    "a comment behind an item": (LIST, "- rolearn: a\n  groups:\n  - b\n  #- c\n# fin\n"),
    "null after a comment": (LIST, "# none\nnull # yet\n"),
    "server is null": (CONFIG, "server: ~ # nothing\nclusterID: c"),
    "server is empty text": (CONFIG, "clusterID: c\nserver: ''\n"),
    "server is an empty list": (CONFIG, "server: []\nclusterID: c\n"),
    "server is an empty mapping": (CONFIG, "server: {}  # none\nclusterID: c\n"),
    **{f"mapRoles is {word}": (CONFIG, f"server:\n  mapRoles: {word}\n  port: 1\n") for word in WORDS},
    **{f"mapRoles is {word} at the end": (CONFIG, f"server:\n  mapRoles: {word}") for word in WORDS},
    **{
        f"mapRoles is {word}, on Windows": (CONFIG, f"server:\r\n  mapRoles: {word}  # none\r\nx: y\r\n")
        for word in WORDS
    },
    **{f"the text is {word}": (LIST, word) for word in (*WORDS, "``", " `` \n")},
}


@pytest.mark.parametrize(("where", "text"), RESTORED.values(), ids=RESTORED.keys())
def test_put_then_remove_gives_back_the_text(where: MappingList, text: str) -> None:
    new = where.put(text, OURS)
    assert OURS in where.entries(new)[-2:]
    assert where.remove(new, OURS) == text


@pytest.mark.parametrize("added", ["\n  - rolearn: arn:aws:iam::1:role/hand\n", ""])
def test_keys_that_somebody_else_wrote_into_meanwhile_stay_when_the_list_is_emptied(added: str) -> None:
    text = CONFIG.put("server: null\n", OURS).replace("# kube-iam: instead of null", "# ours" + added.rstrip("\n"))
    assert CONFIG.entries(CONFIG.remove(text.replace(added, "", 1), OURS)) == ()
    kept = CONFIG.put("server: null\n", OURS).replace("{", '{"port": 1, ', 1)
    assert CONFIG.remove(kept, OURS) == 'server: {"port": 1}  # kube-iam: instead of null\n'


# A text, and the line that a new entry of mapRoles goes in front of; empty where it goes to the end.
TRAILING = {
    "a group": (LIST, "- rolearn: a\n  groups:\n  - b\n  #- payments:write\n", ""),
    "a group of a list that is not indented": (LIST, "- rolearn: a\n  groups:\n  - b\n#  - payments:write\n", ""),
    "a group behind a blank line": (LIST, "- rolearn: a\n  groups: [b]\n\n    # - payments:write\n\n", ""),
    "a whole entry": (LIST, "- rolearn: a\n#- rolearn: b\n#  groups:\n#  - payments:write\n", ""),
    "a remark": (LIST, "- rolearn: a\n# fin", ""),
    "a comment deep in config.yaml": (
        CONFIG,
        "server:\n  mapRoles:\n  - rolearn: a\n    groups:\n    - b\n    #- payments:write\n  # users\n  mapUsers: []\n",
        "  # users",
    ),
    "a comment at column nought in config.yaml": (
        CONFIG,
        "server:\n  mapRoles:\n  - rolearn: a\n    groups:\n    - b\n#    - payments:write\n  mapUsers: []\n",
        "  mapUsers: []",
    ),
    "an indented list": (
        CONFIG,
        "server:\n  mapRoles:\n    - rolearn: a\n      groups: [b]\n    # - rolearn: old\n\n  # users\n  mapUsers: []\n",
        "",
    ),
    "the next section's comment": (CONFIG, "server:\n  mapRoles:\n  - rolearn: a\n\n  # users\n  mapUsers: []\n", ""),
    "an empty key": (
        CONFIG,
        "server:\n  mapRoles:\n    # - rolearn: old\n    #   username: x\n  port: 1\n",
        "  port: 1",
    ),
    "a list before the new key": (
        CONFIG,
        "server:\n  mapUsers:\n  - userarn: a\n    #- payments:write\nclusterID: c\n",
        "clusterID: c",
    ),
    "Windows": (LIST, "- rolearn: a\r\n  groups:\r\n  - b\r\n  #- payments:write\r\n", ""),
    "before a document mark": (LIST, "- rolearn: a\n  #- payments:write\n---\n", "---"),
}


@pytest.mark.parametrize(("where", "text", "before"), TRAILING.values(), ids=TRAILING.keys())
def test_a_new_entry_goes_behind_the_comments_of_the_last(where: MappingList, text: str, before: str) -> None:
    new = where.put(text, OURS)
    head = new[: new.index("rolearn: arn:aws:iam::012345670123")]
    for line in text.splitlines():
        if "payments" in line or "old" in line or "fin" in line:
            assert line in head
    if before:
        assert f"{before}\n" in new[len(head) :].replace("\r", "") + "\n"
    assert where.remove(new, OURS) == text


def test_a_byte_order_mark_stays_when_the_first_entry_is_changed_or_removed() -> None:
    other = "- rolearn: arn:aws:iam::1:role/b\n"
    text = "\ufeff" + LIST.put("", OURS) + other
    assert LIST.put(text, replace(OURS, username="new")).startswith("\ufeff- rolearn: ")
    assert LIST.remove(text, OURS) == "\ufeff" + other


def test_account_ids_and_words_stay_strings_for_every_parser() -> None:
    entry = MappingEntry(
        "arn:aws:iam::012345670123:role/x", "012345670123", ("no", "1:30", "null", "a: b", "# c", "ü\u2028")
    )
    read = YAML(typ="safe", pure=True).load(LIST.put("", entry))
    assert read == [{"rolearn": entry.role_arn, "username": entry.username, "groups": list(entry.groups)}]


BY_GROUP = MappingEntry("", "awsiam:{{UserName}}", ("kube-iam:viewer",), "shop-viewer", "viewer")
BY_MEMBERSHIP = replace(OURS, iam_group="shop-viewer", level="viewer")
CAROL = TemporaryGrant("carol", "AIDACAROL", "2026-11-24T14:00:00Z", 'on call: "yes" # no')


def test_an_entry_names_the_iam_group_and_the_level() -> None:
    text = CONFIG.put("server: {}\n", BY_MEMBERSHIP)
    entry = YAML(typ="safe", pure=True).load(text)["server"]["mapRoles"][0]
    assert list(entry) == ["rolearn", "username", "groups", "iamGroup", "level"]
    assert (entry["iamGroup"], entry["level"]) == ("shop-viewer", "viewer")
    assert CONFIG.entries(text) == (BY_MEMBERSHIP,)


@pytest.mark.parametrize(("where", "text"), RESTORED.values(), ids=RESTORED.keys())
def test_groups_are_mapped_beside_roles(where: MappingList, text: str) -> None:
    groups = replace(where, path=("server", "mapGroups") if where.path else (), principal="iamGroup")
    new = groups.put(text, BY_GROUP)
    assert BY_GROUP in groups.entries(new)[-2:]
    assert BY_GROUP not in where.entries(new)
    left = groups.remove(new, replace(BY_GROUP, iam_group="SHOP-viewer"))
    assert left.replace(', "mapGroups": []', "") == text  # on one line there is no room for a note that the key is ours


def add_temporary(text: str, *who: TemporaryGrant) -> str:
    return CONFIG.change_temporary(text, BY_MEMBERSHIP, lambda _: who)


def test_temporary_grant_stays_while_the_entry_changes() -> None:
    text = add_temporary(CONFIG.put(KOPS, BY_MEMBERSHIP), CAROL)
    read = YAML(typ="safe", pure=True).load(text)["server"]["mapRoles"][-1]["temporary"]
    assert read == [
        {"userName": "carol", "userId": "AIDACAROL", "until": CAROL.until, "reason": 'on call: "yes" # no'},
    ]
    assert CONFIG.put(text, BY_MEMBERSHIP) == text
    changed = CONFIG.put(text, replace(BY_MEMBERSHIP, username="viewer"))
    assert CONFIG.entries(changed)[-1].temporary == (CAROL,)
    assert CONFIG.remove(add_temporary(text), BY_MEMBERSHIP) == KOPS
    assert CONFIG.remove(text, BY_MEMBERSHIP) == KOPS


@pytest.mark.parametrize("now", [replace(BY_MEMBERSHIP, iam_group=""), replace(BY_MEMBERSHIP, level="admin")])
def test_temporary_grant_ends_when_the_entry_loses_its_group_or_changes_its_level(now: MappingEntry) -> None:
    text = CONFIG.put(add_temporary(CONFIG.put(KOPS, BY_MEMBERSHIP), CAROL), now)
    assert CONFIG.entries(text)[-1] == now


def test_an_end_that_cannot_be_read_is_long_ago() -> None:
    assert TemporaryGrant("a", "b", "1970-01-01T00:00:01Z").ends == 1
    assert TemporaryGrant("a", "b", "tomorrow").ends == 0


BROKEN = {
    "not YAML": "- rolearn: 'a\n",
    "a tab": "server:\n\tmapRoles: []\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "not a mapping": "- a\n",
    "mapRoles twice": "server:\n  mapRoles: []\n  maproles: []\n",
    "mapRoles is no list": "server:\n  mapRoles: {a: b}\n",
    "server is no mapping": "server: [1]\n",
    "server is an alias": "x: &x {}\nserver: *x\n",
    "mapRoles is an alias": "x: &x []\nserver:\n  mapRoles: *x\n",
    "mapRoles is merged in": "x: &x {mapRoles: []}\nserver:\n  <<: *x\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_text_that_cannot_be_edited_is_named_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MappingList(("server", "mapRoles"), "ConfigMap kube-system/auth", "config.yaml").put(text, OURS)
    assert "ConfigMap kube-system/auth" in str(caught.value)
    assert "config.yaml" in str(caught.value)
    assert caught.value.problems[0].line is not None


def test_removing_what_others_refer_to_is_refused_and_not_half_done() -> None:
    text = f"- &base\n  rolearn: {OURS.role_arn}\n  groups: [a]\n- <<: *base\n  rolearn: arn:aws:iam::1:role/b\n"
    with pytest.raises(ConfigError, match="nothing was written"):
        LIST.remove(text, OURS)


# Random lists as people write them: comments anywhere, blank lines, quotes, deeper indentation, block scalars, flow entries.
comments = st.sampled_from(
    ["", "", "# note", "    # deep note", "#- rolearn: arn:aws:iam::012345670123:role/shop-viewer", "\n"]
)
names = st.text("abcXYZ019-_", min_size=1, max_size=6)
SHAPES = (
    "- rolearn: {arn}\n  username: {name}",
    "- roleARN: '{arn}' # who\n  groups:\n  - {name}\n  # in between\n  - \"b c\"",
    "-   username: |\n        {name}\n        more\n\n    rolearn: {arn}\n    groups: []",
    "- {{rolearn: \"{arn}\", groups: [a, 'b', {name}]}}",
    "-\n  # first\n  username:   >-\n    {name}\n\n    folded\n  rolearn: {arn}",
    "- rolearn: {arn}\n  username:\n  groups:\n      - {name}\n      -  x",
    '- sso: {{permissionSetName: {name}}}\n  username: "{{{{SessionName}}}}"',
    "- plain {name}",
    "- &a{name}\n  rolearn: {arn}",
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[MappingList, str, list[int]]:
    """Generate a list and its place, its text, and the number of lines of each entry that names a role."""
    indent = draw(st.sampled_from(["", "", "  ", "    "]))
    lines: list[str] = []
    sizes: list[int] = []
    for number in range(draw(st.integers(1, 5))):
        lines.append(draw(comments))
        arn = f"arn:aws:iam::{number:012}:role/{draw(names)}"
        shape = draw(st.sampled_from(SHAPES))
        sizes += [shape.count("\n") + 1] if "{arn}" in shape else []
        lines.append(shape.format(arn=arn, name=f"n{number}{draw(names)}"))
    lines.append(draw(comments))
    body = "\n".join(line for line in lines if line)
    where = draw(st.sampled_from([LIST, CONFIG]))
    if where is CONFIG:
        head = draw(st.sampled_from(["clusterID: c\nserver:\n", "server:\n  port: 1\n", "# top\nServer: # s\n"]))
        inner = "\n".join(indent + "  " + line if line else line for line in body.split("\n"))
        tail = draw(st.sampled_from(["", "\n  # tail\n  mapUsers: []", "\nother: [1,\n  2]\n# end"]))
        body = f"{head}  mapRoles: # roles\n{inner}{tail}"
    else:
        body = "\n".join(indent + line if line else line for line in body.split("\n"))
    text = body + draw(st.sampled_from(["", "\n", "\n\n"]))
    return where, text.replace("\n", "\r\n") if draw(st.integers(0, 9)) == 0 else text, sizes


@settings(max_examples=examples(300), deadline=None)
@given(documents())
def test_put_then_remove_gives_back_any_text(document: tuple[MappingList, str, list[int]]) -> None:
    where, text, _ = document
    new = where.put(text, OURS)
    assert where.entries(new) == (*where.entries(text), OURS)
    assert where.remove(new, OURS) == text


@settings(max_examples=examples(300), deadline=None)
@given(documents(), st.integers(0, 4))
def test_every_foreign_line_survives_a_change_and_a_removal(
    document: tuple[MappingList, str, list[int]], which: int
) -> None:
    where, text, sizes = document
    entries = where.entries(text)
    if not entries:
        return
    which %= len(entries)
    target = entries[which]
    others = [entry for entry in entries if entry is not target]
    removed = where.remove(text, target)
    assert list(where.entries(removed)) == others
    assert _is_subsequence(removed.splitlines(), text.splitlines())
    assert text.count("\n") - removed.count("\n") == sizes[which] - (text.count("\n") < sizes[which])
    changed = where.put(text, MappingEntry(target.role_arn, "new name", ("new group",)))
    assert [entry for entry in where.entries(changed) if entry.username != "new name"] == others
    kept = [line for line in removed.splitlines() if line.strip()]
    assert _is_subsequence(kept, changed.splitlines())


def _is_subsequence(short: list[str], long: list[str]) -> bool:
    rest = iter(long)
    return all(line in rest for line in short)


@settings(max_examples=examples(200), deadline=None)
@given(st.text(max_size=60), st.sampled_from([LIST, CONFIG]))
@example("- a: b\r- c", LIST)
@example("server: !!map\n", CONFIG)
@example("? a\n: b", CONFIG)
def test_any_text_is_edited_truly_or_refused(text: str, where: MappingList) -> None:
    try:
        before = where.entries(text)
        new = where.put(text, OURS)
    except ConfigError:
        return
    assert where.entries(new) == (*before, OURS)


def access(path: Path, kind: TargetKind = TargetKind.FILE) -> ClusterAccess:
    target = MappingTarget(kind, path=str(path))
    return ClusterAccess(
        "access.yaml", "shop.example.com", "shop", "012345670123", "aws", "eu-west-1", "", "", target, ()
    )


def test_a_missing_file_is_created_with_cluster_id_and_list(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    store = make_store(access(path), None)
    assert store.entries() == ()
    store.remove(OURS)
    assert not path.exists()
    store.put(OURS)
    assert store.entries() == (OURS,)
    read = YAML(typ="safe", pure=True).load(path.read_text())
    assert read["clusterID"] == "shop.example.com"
    assert [entry["rolearn"] for entry in read["server"]["mapRoles"]] == [OURS.role_arn]


def test_both_lists_of_a_file_are_one_store(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(KOPS)
    store = make_store(access(path), None)
    store.put(BY_GROUP)
    store.put(OURS)
    assert store.entries() == (*CONFIG.entries(KOPS), OURS, BY_GROUP)
    store.remove(OURS)
    store.remove(BY_GROUP)
    assert path.read_text() == KOPS


def test_a_file_keeps_its_mode_and_stays_a_symbolic_link(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text(KOPS)
    real.chmod(0o640)
    link = tmp_path / "config.yaml"
    link.symlink_to(real)
    store = make_store(access(link), None)
    store.put(OURS)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert link.is_symlink()
    store.remove(OURS)
    assert real.read_text() == KOPS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "real.yaml"]


def test_a_broken_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("server:\n  mapRoles: [\n")
    store = make_store(access(path), None)
    for attempt in (store.entries, lambda: store.put(OURS), lambda: store.remove(OURS)):
        with pytest.raises(ConfigError, match=r"config\.yaml"):
            attempt()
    assert path.read_text() == "server:\n  mapRoles: [\n"


def test_a_file_edited_by_someone_else_meanwhile_keeps_both_edits(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    meanwhile = ["a: 1\nb: 2\n"]

    def edit(text: str | None) -> str:
        if meanwhile:
            path.write_text(meanwhile.pop())
        return (text or "") + "c: 3\n"

    edit_text(path, edit)
    assert path.read_text() == "a: 1\nb: 2\nc: 3\n"


def test_a_file_that_never_stands_still_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    def edit(text: str | None) -> str:
        path.write_text((text or "") + "x")
        return "ours"

    with pytest.raises(Conflict, match="keeps changing"):
        edit_text(path, edit)


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KubeIamError, match="cannot"):
        make_store(access(tmp_path / "file" / "config.yaml"), None).put(OURS)


def test_a_target_in_the_cluster_needs_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(KubeError, match="no connection"):
        make_store(access(tmp_path, TargetKind.AWS_AUTH), None)


OPS = MappingEntry("", "sso:{{SessionNameRaw}}", ("kube-iam:ops",), level="ops", sso=Sso("Ops", "012345670123"))
OPS_TEXT = """\
    - sso:
        permissionSetName: Ops
        accountID: "012345670123"
"""


def test_an_entry_of_a_permission_set_is_added_changed_and_removed() -> None:
    text = CONFIG.put(KOPS, OPS)
    assert OPS_TEXT in text
    assert "level: ops" in text
    (found,) = [entry for entry in CONFIG.entries(text) if entry.sso is not None]
    assert found == OPS
    assert CONFIG.put(text, OPS) == text
    changed = CONFIG.put(text, replace(OPS, groups=("other",)))
    assert [entry.groups for entry in CONFIG.entries(changed) if entry.sso is not None] == [("other",)]
    assert CONFIG.remove(text, OPS) == KOPS


@pytest.mark.parametrize(
    "written",
    [
        "{SSO: {permissionsetname: oPS, AccountID: '012345670123', partition: aws}, username: u}",
        "{sso: {permissionSetName: Ops, accountID: '012345670123'}, username: u, groups: [a]}",
    ],
)
def test_an_entry_of_a_permission_set_is_found_in_any_spelling(written: str) -> None:
    text = f"server:\n  mapRoles:\n  - {written}\n"
    (found,) = CONFIG.entries(text)
    assert found.key == OPS.key
    assert len(CONFIG.entries(CONFIG.put(text, OPS))) == 1


def test_an_entry_of_a_permission_set_in_another_partition_is_written_with_it() -> None:
    china = replace(OPS, sso=Sso("Ops", "012345670123", "aws-cn"))
    text = CONFIG.put(CONFIG.put(KOPS, OPS), china)
    assert "partition: aws-cn" in text
    assert [entry.sso for entry in CONFIG.entries(text) if entry.sso is not None] == [OPS.sso, china.sso]


@pytest.mark.parametrize(
    "sso", ["Ops", "{permissionSetName: Ops}", "{permissionSetName: Ops, accountID: 12}", "[]", "null"]
)
def test_what_the_server_takes_for_no_permission_set_is_no_entry(sso: str) -> None:
    assert CONFIG.entries(f"server:\n  mapRoles:\n  - {{sso: {sso}, username: u}}\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "clusterID: c\n",
        "clusterID: c\nserver:\n  port: 1\n",
        "clusterID: c\nserver: {port: 1}\n",
        "clusterID: c\nserver:\n  mapRoles:\n",
        '{"clusterID": "c"}',
        "clusterID: c\nserver:\n  port: 1",
    ],
)
def test_removing_the_last_entry_leaves_a_list_that_ends_the_mappings_of_a_server(tmp_path: Path, text: str) -> None:
    """A server takes a config.yaml without any list of mappings for one that is cut off, and keeps the mappings in force."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    target = MappingTarget(TargetKind.FILE, path=str(path))
    store = make_store(ClusterAccess("access.yaml", "c", "c", "1" * 12, "aws", "eu-west-1", "", "", target, ()), None)
    for entry in (OPS, OURS):
        store.put(entry)
        server = MountedVersions(path, {}, "c")
        assert server.read()[0].entries == 1
        store.remove(entry)
        mappings, problems = server.read()
        assert (mappings.entries, problems) == (0, [])
    left = path.read_text()
    assert YAML(typ="safe").load(left)["server"]["mapRoles"] == []
    store.remove(OURS)
    assert path.read_text() == left
