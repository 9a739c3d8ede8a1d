"""Odd texts of `mapRoles` in aws-auth, with what the reference 0.7.18 reads in them (its `configmap.ParseMap`): all our readers agree.

None is a text that the reference does not read. An edit and its removal give back every byte.
"""

from __future__ import annotations

import pytest

from kube_iam.access.mapping import MappingEntry
from kube_iam.config.config_map import read_config_map
from kube_iam.errors import ConfigError
from kube_iam.kube.mapping_list import SERVER, MappingList
from kube_iam.kube.mapping_view import principal_of, view_aws_auth, view_config

ROLE = "arn:aws:iam::111122223333:role/"
OURS = MappingEntry(
    "arn:aws:iam::012345670123:role/ours", "awsiam:{{SessionName}}", ("g: 1", "\u00fc"), "ours", "viewer"
)
AWS_AUTH = MappingList((), "ConfigMap kube-system/aws-auth", "mapRoles")
CONFIG = MappingList((*SERVER, "mapRoles"), "config.yaml")
Read = list[tuple[str, str, list[str]]]

# `ROLE/` stands for the beginning of an ARN. An entry is the role's name, the user name, and the groups.
TEXTS: dict[str, tuple[str, Read | None]] = {
    "json one line": ('[{"rolearn":"ROLE/a","username":"a","groups":["g"]}]', [("a", "a", ["g"])]),
    "json newline crlf": ('[\r\n {"rolearn": "ROLE/a", "username": "a",\r\n "groups": []}\r\n]\r\n', [("a", "a", [])]),
    "tab indent json": ('[\n\t{\n\t\t"rolearn": "ROLE/a",\n\t\t"username": "a"\n\t}\n]\n', [("a", "a", [])]),
    "tab flow": ("[{rolearn:\tROLE/a,\tusername: a}]", [("a", "a", [])]),
    "tab after dash": ("-\trolearn: ROLE/a\n", None),
    "tab trailing": ("- rolearn: ROLE/a\t\n  username: a \t \n  groups:\t\n  - g\t# c\n", [("a", "a", ["g"])]),
    "tab only line": ("- rolearn: ROLE/a\n\t\n  username: a\n", None),
    "tab comment line": ("- rolearn: ROLE/a\n\t# c\n  username: a\n", None),
    "comment no space": ("- rolearn: ROLE/a#x\n  username: a #x\n", [("a#x", "a", [])]),
    "quoted keys": (
        "- 'rolearn': \"ROLE/a\"\n  \"username\": 'a'\n  'groups': ['g', \"h\"]\n",
        [("a", "a", ["g", "h"])],
    ),
    "block username literal": (
        "- rolearn: ROLE/a\n  username: |\n    a\n  groups:\n  - |-\n    g\n",
        [("a", "a\n", ["g"])],
    ),
    "folded arn": ("- rolearn: >-\n    ROLE/a\n  username: >\n    a\n    b\n", [("a", "a b\n", [])]),
    "keep plus": ("- rolearn: ROLE/a\n  username: |+\n    a\n\n\n", [("a", "a\n\n\n", [])]),
    "block no nl": ("- rolearn: ROLE/a\n  username: |\n    a", [("a", "a", [])]),
    "block keep no nl": ("- rolearn: ROLE/a\n  username: |+\n    a", [("a", "a", [])]),
    "anchor": (
        "- &x\n  rolearn: ROLE/a\n  username: a\n  groups: &g [g]\n- rolearn: ROLE/b\n  username: b\n  groups: *g\n",
        [("a", "a", ["g"]), ("b", "b", ["g"])],
    ),
    "merge": (
        "- &x\n  rolearn: ROLE/a\n  username: a\n  groups: [g]\n- <<: *x\n  rolearn: ROLE/b\n",
        [("a", "a", ["g"]), ("b", "a", ["g"])],
    ),
    "merge list": ("- &x {username: a}\n- &y {groups: [g]}\n- <<: [*x, *y]\n  rolearn: ROLE/b\n", [("b", "a", ["g"])]),
    "alias item": ("- &x {rolearn: ROLE/a, username: a}\n- *x\n", [("a", "a", []), ("a", "a", [])]),
    "bom": ("\ufeff- rolearn: ROLE/a\n  username: a\n", [("a", "a", [])]),
    "bom crlf": ("\ufeff- rolearn: ROLE/a\r\n  username: a\r\n", [("a", "a", [])]),
    "doc start": ("---\n- rolearn: ROLE/a\n  username: a\n", [("a", "a", [])]),
    "doc start inline": ("--- # x\n- rolearn: ROLE/a\n  username: a\n", [("a", "a", [])]),
    "doc start flow": ("--- [{rolearn: ROLE/a, username: a}]\n", [("a", "a", [])]),
    "doc end": ("- rolearn: ROLE/a\n  username: a\n...\n", [("a", "a", [])]),
    "doc end no nl": ("- rolearn: ROLE/a\n  username: a\n...", [("a", "a", [])]),
    "doc both": ("---\n- rolearn: ROLE/a\n  username: a\n---\n", [("a", "a", [])]),
    "comment then docs": ("# c\n---\n# d\n- rolearn: ROLE/a\n  username: a\n", [("a", "a", [])]),
    "yaml directive": ("%YAML 1.1\n---\n- rolearn: ROLE/a\n  username: a\n", [("a", "a", [])]),
    "case": ("- ROLEARN: ROLE/a\n  UserName: a\n  Groups: [g]\n", [("a", "a", ["g"])]),
    "empty username": ("- rolearn: ROLE/a\n  username:\n  groups:\n", [("a", "", [])]),
    "empty username text": ('- rolearn: ROLE/a\n  username: ""\n  groups: []\n', [("a", "", [])]),
    "null groups": ("- rolearn: ROLE/a\n  username: a\n  groups: ~\n", [("a", "a", [])]),
    "item null": ("- rolearn: ROLE/a\n  username: a\n-\n- ~\n", [("a", "a", [])]),
    "item text": ("- rolearn: ROLE/a\n  username: a\n- abc\n", [("a", "a", [])]),
    "item list": ("- rolearn: ROLE/a\n  username: a\n- [x]\n", [("a", "a", [])]),
    "map not list": ("rolearn: ROLE/a\nusername: a\n", None),
    "empty": ("", []),
    "blank": (" \n\n", []),
    "comment only": ("# nothing\n", []),
    "null": ("null\n", []),
    "tilde": ("~", []),
    "emptylist": ("[]", []),
    "backticks": ("``", []),
    "dq": ('""', []),
    "sq": ("''", []),
    "dashes": ("---\n", []),
    "dots": ("...\n", None),
    "trailing comma": ("[{rolearn: ROLE/a, username: a,},]\n", [("a", "a", [])]),
    "flow comments": ("[ # x\n  {rolearn: ROLE/a, # y\n   username: a}, # z\n # end\n]\n", [("a", "a", [])]),
    "flow colon adj": ('[{"rolearn":"ROLE/a","username":a}]', [("a", "a", [])]),
    "flow multi": (
        "- {rolearn: ROLE/a,\n   username: a,\n   groups: [g,\n h]}\n- {rolearn: ROLE/b, username: b}",
        [("a", "a", ["g", "h"]), ("b", "b", [])],
    ),
    "flow indent zero": ('[\n{"rolearn": "ROLE/a",\n"username": "a"\n}\n]', [("a", "a", [])]),
    "escape u": ('[{"rolearn":"ROLE/a","username":"\\u0061"}]', [("a", "a", [])]),
    "escape lone": ('[{"rolearn":"ROLE/a","username":"\\ud83d"}]', None),
    "escape x": ('- rolearn: "ROLE/a"\n  username: "\\x61\\t\\e"\n', [("a", "a\t\x1b", [])]),
    "single quote esc": ("- rolearn: 'ROLE/a'\n  username: 'it''s'\n", [("a", "it's", [])]),
    "multi line dq": ('- rolearn: "ROLE/a"\n  username: "a\n    b \\\n    c"\n', [("a", "a b c", [])]),
    "multi line plain": ("- rolearn: ROLE/a\n  username: a\n    b\n", [("a", "a b", [])]),
    "explicit key": ("- ? rolearn\n  : ROLE/a\n  ? username\n  : a\n", [("a", "a", [])]),
    "tagged": ("- rolearn: !!str ROLE/a\n  username: !!str 12\n", [("a", "12", [])]),
    "indented list": ("    - rolearn: ROLE/a\n      username: a\n", [("a", "a", [])]),
    "mixed indent": ("- rolearn: ROLE/a\n  username: a\n -  rolearn: ROLE/b\n", None),
    "deeper dash": (
        "-   rolearn: ROLE/a\n    username: a\n-  rolearn: ROLE/b\n   username: b\n",
        [("a", "a", []), ("b", "b", [])],
    ),
    "mixed nl": (
        "- rolearn: ROLE/a\r\n  username: a\n- rolearn: ROLE/b\r\n  username: b\n",
        [("a", "a", []), ("b", "b", [])],
    ),
    "nel": ('- rolearn: ROLE/a\n  username: "a\x85b"\n', [("a", "a b", [])]),
    "ls": ("- rolearn: ROLE/a\n  username: a\u2028b\n", None),
    "nbsp": ("- rolearn: ROLE/a\n  username:\xa0a\n", None),
    "nbsp indent": ("- rolearn: ROLE/a\n\xa0 username: a\n", None),
    "emoji": ("- rolearn: ROLE/a\n  username: \U0001f600\n", [("a", "😀", [])]),
    "nul": ("- rolearn: ROLE/a\n  username: a\x00\n", None),
    "ctrl": ("- rolearn: ROLE/a\n  username: a\x07\n", None),
    "del": ("- rolearn: ROLE/a\n  username: a\x7f\n", None),
    "at": ("- rolearn: ROLE/a\n  username: @a\n", None),
    "backquote": ("- rolearn: ROLE/a\n  username: `a`\n", None),
    "percent": ("- rolearn: ROLE/a\n  username: %a\n", None),
    "braces q": ('- rolearn: ROLE/a\n  username: "{{SessionName}}"\n', [("a", "{{SessionName}}", [])]),
    "colon": (
        "- rolearn: ROLE/a\n  username: system:node:{{EC2PrivateDNSName}}\n",
        [("a", "system:node:{{EC2PrivateDNSName}}", [])],
    ),
    "colon space": ("- rolearn: ROLE/a\n  username: a: b\n", None),
    "hash": ("- rolearn: ROLE/a\n  username: '#a'\n", [("a", "#a", [])]),
    "trailing spaces": ("- rolearn: ROLE/a   \n  username: a   \n   \n", [("a", "a", [])]),
    "spaces final": ("- rolearn: ROLE/a\n  username: a\n    ", [("a", "a", [])]),
    "question": ("- rolearn: ROLE/a\n  username: ?a\n", [("a", "?a", [])]),
    "dash value": ('- rolearn: ROLE/a\n  username: -a\n  groups:\n  - -b\n  - "-"\n', [("a", "-a", ["-b", "-"])]),
    "num account key": ("- rolearn: ROLE/a\n  username: a\n  1: 2\n  true: x\n", [("a", "a", [])]),
    "path": ("- rolearn: ROLE/p/q/a\n  username: a\n", [("a", "a", [])]),
    "userid": ("- rolearn: ROLE/a\n  username: a\n  userid: AROA\n", [("a", "a", [])]),
    "very deep comment": ("- rolearn: ROLE/a\n  username: a\n            # deep\n# shallow\n", [("a", "a", [])]),
    "json null groups": ('[{"rolearn":"ROLE/a","username":"a","groups":null}]', [("a", "a", [])]),
    "json nl in braces": ('[{"rolearn"\n:"ROLE/a","username":"a"}]', None),
    "unclosed": ("[{rolearn: ROLE/a, username: a}\n", None),
}
readable = pytest.mark.parametrize(
    ("text", "expected"),
    [pytest.param(text, read, id=name) for name, (text, read) in TEXTS.items() if read is not None],
)


def in_config_yaml(text: str) -> str:
    """Return a config.yaml that holds the list; empty where it begins with a mark that cannot stand inside of a text."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(newline)
    if any(line.startswith(("---", "...", "%", "\ufeff")) for line in lines) or (
        len(newline) == 2 and "\n" in text.replace(newline, "")
    ):
        return ""
    inner = newline.join(f"    {line}" if line.strip() else line for line in lines)
    return f"clusterID: c{newline}server:{newline}  mapRoles:{newline}{inner}"


@readable
def test_server_and_editor_read_what_the_reference_reads(text: str, expected: Read) -> None:
    text = text.replace("ROLE/", ROLE)
    served = read_config_map({"mapRoles": text}, {})
    viewed = view_aws_auth({"mapRoles": text}, "aws-auth").mappings.roles
    found = [(principal_of(e).rpartition("/")[2], e.username.text, [g.text for g in e.groups]) for e in viewed]
    assert sorted(found) == sorted(expected)
    assert served.entries == len(expected)
    edited = [(e.role_arn.rpartition("/")[2], e.username, list(e.groups)) for e in AWS_AUTH.entries(text)]
    assert sorted(edited) == sorted(expected)


@readable
def test_an_edit_and_its_removal_give_back_every_byte(text: str, expected: Read) -> None:
    text = text.replace("ROLE/", ROLE)
    new = AWS_AUTH.put(text, OURS)
    assert len(view_aws_auth({"mapRoles": new}, "aws-auth").mappings.roles) == len(expected) + 1
    assert AWS_AUTH.remove(new, OURS) == text
    config = in_config_yaml(text)
    if config and text.strip() != "``":  # which aws-auth alone takes for nothing
        new = CONFIG.put(config, OURS)
        assert len(view_config(new, "config.yaml").mappings.roles) == len(expected) + 1
        assert CONFIG.remove(new, OURS) == config


@pytest.mark.parametrize("text", [text for text, read in TEXTS.values() if read is None])
def test_a_text_that_the_reference_does_not_read_is_named_by_all_readers(text: str) -> None:
    text = text.replace("ROLE/", ROLE)
    assert any(
        "none of its entries serve" in problem.message for problem in read_config_map({"mapRoles": text}, {}).problems
    )
    for read in (
        AWS_AUTH.entries,
        lambda each: AWS_AUTH.put(each, OURS),
        lambda each: view_aws_auth({"mapRoles": each}, "a"),
    ):
        with pytest.raises(ConfigError):
            read(text)
