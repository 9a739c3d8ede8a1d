"""A list of mappings as text: its entries, and the text with one entry added, changed or removed.

Keys are matched in any letter case, as the authenticator's configuration reader does (`roleARN`, `rolearn`). Two role ARNs are the
same if they are equal without path and letter case, because the authenticator compares ARNs of STS in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from kube_iam.access.mapping import MappingEntry, kept_grants
from kube_iam.core.arns import Sso, canonical_arn, strip_role_path
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.kube.yaml.edit import Document, ListEdit, parse
from kube_iam.kube.yaml.text import Value, block, flow
from kube_iam.kube.yaml.tree import Node

SERVER = ("server",)  # the section of the server's config.yaml that holds the lists
ADDED = "added by kube-iam"
NAMES = {"rolearn": "mapRoles", "userarn": "mapUsers", "iamGroup": "mapGroups"}

Items = tuple[TemporaryGrant, ...]
Place = tuple[str, int]
"""The name of a list and an index in it: `("mapRoles", 3)`."""


@dataclass(frozen=True, slots=True)
class MappingList:
    """A list in a text: its `path` inside the text (empty where the text is the list), and its name in errors (`source`, `key`).

    `principal` is the key by which an entry names its principal: rolearn (mapRoles), userarn (mapUsers) or iamGroup (mapGroups).
    """

    path: tuple[str, ...]
    source: str
    key: str = ""
    principal: str = "rolearn"

    def parse(self, text: str) -> Document:
        """Return the text's document, for `entries` of each list in it. Raises ConfigError where it cannot be read."""
        return parse(text, self.path, self.source, self.key)

    def entries(
        self, text: str, problems: Mapping[Place, tuple[str, ...]] | None = None, document: Document | None = None
    ) -> tuple[MappingEntry, ...]:
        """Return all entries that name a principal, in order, ARNs without path. Raises ConfigError where the text cannot be read.

        `problems` are the server's reports by place. They are left out for an entry that is written as `put` would write it.
        `document` is the result of `parse` for the text. Without it the text is parsed.
        """
        found = []
        read = ListEdit(text, self.path, self.source, self.key, document=document, follow=True)
        for index, item in enumerate(read.items()):
            entry = self._entry(item)
            if entry is None:
                continue
            reported = (*(problems or {}).get((self.name, index), ()), *_oddities(item.resolved()))
            if reported and _is_written(item, entry):
                reported = ()
            found.append(replace(entry, where=f"{self.name}[{index}]", problems=reported))
        return tuple(found)

    @property
    def name(self) -> str:
        """Return the list's name: mapRoles, mapUsers or mapGroups."""
        return NAMES[self.principal]

    def put(self, text: str, entry: MappingEntry) -> str:
        """Return the text in which exactly one entry has the key of `entry`, and is equal to it. Unchanged where it is so already.

        Items of `temporary` stay, unless no server would read them or they belong to another level. Further entries of the same key
        are removed: the server would use the first of several, and the reference another one.
        """
        edit = self._edit(text)
        places = self._places(edit, entry)
        if not places:
            return edit.append(_value(replace(entry, temporary=())))
        items = edit.items()
        present = filter(None, (self._entry(items[index]) for index in places))
        wanted = replace(entry, temporary=kept_grants(present, entry))
        if len(places) == 1 and _is_written(items[places[0]], wanted):
            return text
        for index in reversed(places[1:]):
            text = self._edit(text).remove(index)
        return self._edit(text).replace(places[0], _value(wanted))

    def change_temporary(self, text: str, entry: MappingEntry, change: Callable[[Items], Items]) -> str:
        """Return the text in which `temporary` of the entry with that key is the result of `change`. Unchanged without an entry."""
        edit = self._edit(text)
        for index in self._places(edit, entry)[:1]:
            present = self._entry(edit.items()[index])
            if present is not None and (new := change(present.temporary)) != present.temporary:
                return edit.replace(index, _value(replace(present, temporary=new)))
        return text

    def remove(self, text: str, entry: MappingEntry) -> str:
        """Return the text without entries of that key. Unchanged without such an entry."""
        for index in reversed(self._places(self._edit(text), entry)):
            text = self._edit(text).remove(index)
        return text

    def with_list(self, text: str) -> str:
        """Return the text with an empty list where there is none."""
        return self._edit(text).with_list()

    def _edit(self, text: str) -> ListEdit:
        # The reference reads a file of that name with a JSON parser, which accepts no comments.
        as_json = (self.key or self.source).lower().endswith(".json")
        return ListEdit(text, self.path, self.source, self.key, "" if as_json else ADDED)

    def _places(self, edit: ListEdit, entry: MappingEntry) -> list[int]:
        found = enumerate(map(self._entry, edit.items()))
        return [at for at, present in found if present is not None and present.key == entry.key]

    def _entry(self, item: Node) -> MappingEntry | None:
        item = item.resolved()
        named, group = _word(item, self.principal), _word(item, "iamGroup")
        if not named and self.principal == "rolearn":
            return _permission_set_entry(item)
        if not named:
            return None
        return MappingEntry(
            shown_role_arn(named) if self.principal == "rolearn" else "",
            _text(item.get("username")),
            _groups(item.get("groups")),
            group,
            _word(item, "level"),
            tuple(_temporary(inner.resolved()) for inner in _items(item.get("temporary"))),
            named if self.principal == "userarn" else "",
        )


def _permission_set_entry(item: Node) -> MappingEntry | None:
    """Return an entry of mapRoles by its `sso`, or None if the server takes it for no permission set."""
    node = item.get("sso")
    if node is None or node.kind != "mapping":
        return None
    partition = _word(node, "partition") or "aws"
    try:
        sso = Sso(_word(node, "permissionSetName"), _word(node, "accountID"), partition)
    except ValueError:
        return None
    username, groups = _text(item.get("username")), _groups(item.get("groups"))
    return MappingEntry("", username, groups, level=_word(item, "level"), sso=sso)


def shown_role_arn(text: str) -> str:
    """Return the role's ARN without path, also for the ARN of a session. A text that is no ARN loses only a path."""
    try:
        return strip_role_path(canonical_arn(text))
    except ValueError:
        return strip_role_path(text)


def _is_written(item: Node, entry: MappingEntry) -> bool:
    """Return whether an item is written as this module writes the entry, apart from layout and comments."""
    value = _value(entry)
    texts = ("\n".join(block([value])), flow([value]))
    return item.shape() in [ListEdit(text, (), "").items()[0].shape() for text in texts]


def _oddities(item: Node) -> Iterator[str]:
    """Yield problems that the server may accept, and that other readers read in another way."""
    groups = item.get("groups")
    if groups is not None and groups.kind == "scalar" and not groups.is_empty:
        yield "groups is text, not a list"


def _value(entry: MappingEntry) -> dict[str, Value]:
    """Return the entry as it is written: by role, user or group, without empty fields."""
    who: dict[str, Value] = {"rolearn": entry.role_arn} if entry.role_arn else {"iamGroup": entry.iam_group}
    who = {"userarn": entry.principal} if entry.principal else who
    who = {"sso": _sso(entry.sso)} if entry.sso is not None else who
    value = {**who, "username": entry.username, "groups": list(entry.groups)}
    value |= {"iamGroup": entry.iam_group} if entry.iam_group else {}
    value |= {"level": entry.level} if entry.level else {}
    items: list[Value] = [dict(grant.item) for grant in entry.temporary]
    return value | ({"temporary": items} if items else {})


def _sso(sso: Sso) -> dict[str, Value]:
    value: dict[str, Value] = {"permissionSetName": sso.permission_set_name, "accountID": sso.account_id}
    return value if sso.partition == "aws" else {**value, "partition": sso.partition}


def _temporary(item: Node) -> TemporaryGrant:
    return TemporaryGrant(_word(item, "userName"), _word(item, "userId"), _word(item, "until"), _word(item, "reason"))


def _groups(node: Node | None) -> tuple[str, ...]:
    if node is None or node.is_empty:
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
