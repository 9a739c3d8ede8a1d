"""The values in a deny-list entry that is no JSON: YAML, a damaged object, or bare names. All else that it seems to say is ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator

NAMING_KEYS = frozenset(
    (
        *("values", "username", "usernames", "user", "users", "name", "names", "userarn", "rolearn", "arn", "arns"),
        *("principal", "principals", "accesskeyid", "accesskey", "key", "userid", "uniqueid", "id"),
        *(
            "session",
            "sessions",
            "sessionname",
            "who",
            "whom",
            "subject",
            "subjects",
            "person",
            "people",
            "identity",
            "iamuser",
        ),
        *("deny", "denied", "principalarn", "sessionarn"),
    )
)
"""Keys, in lower case and without `_` and `-`, that name somebody in an entry without `value`."""

_VALUE = r"""(?:
    \[[^\]]*                                                # a list in brackets
  | (?:[|>][^\n]*)?(?:\n[ \t]+[^\n]*|\n[ \t]*-[ \t][^\n]*)+ # lines below the key: a list, or text in a block
  | "[^"\n]* | '[^'\n]*
  | [^\n]*?(?=,\s*["']?\w+["']?\s*[:=]|[ \t]\#|[\n}]|$)     # to the end of the line, to a comment or to the next key
)"""
_VALUES = re.compile(rf"""\b(?P<key>values?)["']?[ \t]*[:=][ \t]*(?P<value>{_VALUE})""", re.ASCII | re.I | re.X)
_OTHERS = re.compile(rf"""\b(?P<key>\w+)["']?[ \t]*[:=][ \t]*(?P<value>{_VALUE})""", re.ASCII | re.I | re.X)
_ANY_KEY = re.compile(r"""[{}]|^[ \t]*(?:-[ \t]+)?["']?[\w-]+["']?[ \t]*[:=](?:\s|$)""", re.ASCII | re.M)
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.M)


def naming_key(key: str) -> bool:
    """Return whether a member of that name names somebody where there is no `value`."""
    return re.sub("[_-]", "", key.lower()) in NAMING_KEYS


def values_in(text: str) -> Iterator[tuple[str, ...]]:
    """The texts that may name somebody: those of `value`, else those of other keys that name somebody, else a text without keys.

    Each is a reading of its own, the surest first; the first one in which somebody is named counts.
    """
    yield tuple(hit["value"] for hit in _VALUES.finditer(text))
    yield tuple(hit["value"] for hit in _OTHERS.finditer(text) if naming_key(hit["key"]))
    plain = _COMMENT.sub("", text)
    if not _ANY_KEY.search(plain):
        yield (plain,)
