"""A mapRoles or mapGroups list as text: what it says, and the text with one entry put in, changed or taken out.

Keys are matched in any letter case, as the authenticator's configuration reader does (`roleARN`, `rolearn`). Two role ARNs are the
same when they agree without path and letter case, since that is how the authenticator compares what STS shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kube_iam.access.ports import MappingEntry, Temporary
from kube_iam.core.arns import strip_role_path
from kube_iam.kube.yaml_edit import ListEdit
from kube_iam.kube.yaml_text import Value
from kube_iam.kube.yaml_tree import Node

SERVER = ("server",)  # the section of the server's config.yaml that holds the lists
ADDED = "added by kube-iam"

Items = tuple[Temporary, ...]


@dataclass(frozen=True, slots=True)
class MappingList:
    """Where the list is inside its text (`path`; empty where the text is the list), what to call that text in errors (`source`,
    `key`), and whether its entries go by a role (mapRoles) or by an IAM group alone (mapGroups)."""

    path: tuple[str, ...]
    source: str
    key: str = ""
    by_role: bool = True

    def entries(self, text: str) -> tuple[MappingEntry, ...]:
        """All entries that name a role or a group, in order, ARNs without path. Raises ConfigError where the text cannot be read."""
        found = (self._entry(item) for item in self._edit(text).items())
        return tuple(entry for entry in found if entry is not None)

    def put(self, text: str, entry: MappingEntry) -> str:
        """The text in which exactly one entry has the key, and says what `entry` says. Unchanged where that is so already.

        What stands in `temporary` stays, unless nobody would heed it or it is another level's. Further entries of the same key go:
        which of several the reference would pick is random.
        """
        edit = self._edit(text)
        places = self._places(edit, entry)
        if not places:
            return edit.append(_value(replace(entry, temporary=())))
        for index in reversed(places[1:]):
            text = self._edit(text).remove(index)
        present = self._entry(edit.items()[places[0]]) or entry
        keeps = entry.iam_group and present.level in ("", entry.level)
        wanted = replace(entry, temporary=present.temporary if keeps else ())
        if replace(present, role_arn=entry.role_arn) == wanted:
            return text
        return self._edit(text).replace(places[0], _value(wanted))

    def change_temporary(self, text: str, entry: MappingEntry, change: Callable[[Items], Items]) -> str:
        """The text in which `temporary` of the entry with that key is what `change` makes of it; unchanged where there is no entry."""
        edit = self._edit(text)
        for index in self._places(edit, entry)[:1]:
            present = self._entry(edit.items()[index])
            if present is not None and (new := change(present.temporary)) != present.temporary:
                return edit.replace(index, _value(replace(present, temporary=new)))
        return text

    def remove(self, text: str, entry: MappingEntry) -> str:
        """The text without any entry of that key; unchanged where there is none."""
        for index in reversed(self._places(self._edit(text), entry)):
            text = self._edit(text).remove(index)
        return text

    def _edit(self, text: str) -> ListEdit:
        return ListEdit(text, self.path, self.source, self.key, ADDED)

    def _places(self, edit: ListEdit, entry: MappingEntry) -> list[int]:
        found = enumerate(map(self._entry, edit.items()))
        return [at for at, present in found if present is not None and present.key == entry.key]

    def _entry(self, item: Node) -> MappingEntry | None:
        item = item.resolved()
        role_arn = _word(item, "rolearn") if self.by_role else ""
        group = _word(item, "iamGroup")
        if not (role_arn if self.by_role else group):
            return None
        return MappingEntry(
            strip_role_path(role_arn),
            _text(item.get("username")),
            _groups(item.get("groups")),
            group,
            _word(item, "level"),
            tuple(_temporary(inner.resolved()) for inner in _items(item.get("temporary"))),
        )


def _value(entry: MappingEntry) -> dict[str, Value]:
    """The entry as it is written: by role or by group, and nothing that is empty."""
    who: dict[str, Value] = {"rolearn": entry.role_arn} if entry.role_arn else {"iamGroup": entry.iam_group}
    value = {**who, "username": entry.username, "groups": list(entry.groups)}
    value |= {"iamGroup": entry.iam_group} if entry.iam_group else {}
    value |= {"level": entry.level} if entry.level else {}
    items = [_item(item) for item in entry.temporary]
    return value | ({"temporary": items} if items else {})


def _item(item: Temporary) -> dict[str, Value]:
    value = {"userName": item.user_name, "userId": item.user_id, "until": item.until, "reason": item.reason}
    return {key: text for key, text in value.items() if text}


def _temporary(item: Node) -> Temporary:
    return Temporary(_word(item, "userName"), _word(item, "userId"), _word(item, "until"), _word(item, "reason"))


def _groups(node: Node | None) -> tuple[str, ...]:
    if node is None or node.is_null:
        return ()
    if node.kind == "sequence":
        return tuple(_text(group.resolved()) for group in node.items)
    # The reference's configuration reader splits a plain string at commas.
    return tuple(_text(node).split(","))


def _items(node: Node | None) -> list[Node]:
    return node.items if node is not None and node.kind == "sequence" else []


def _word(node: Node, key: str) -> str:
    return _text(node.get(key)).strip()


def _text(node: Node | None) -> str:
    return node.value if node is not None and node.kind == "scalar" and not node.is_null else ""
