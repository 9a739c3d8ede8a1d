"""The mapRoles list as text: what it says, and the text with one role's entry put in or taken out.

Keys are matched in any letter case, as the authenticator's configuration reader does (`roleARN`, `rolearn`). Two role ARNs are the
same when they agree without path and letter case, since that is how the authenticator compares what STS shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.access.ports import MappingEntry
from kube_iam.core.arns import strip_role_path
from kube_iam.kube.yaml_edit import ListEdit
from kube_iam.kube.yaml_tree import Node

SERVER_MAP_ROLES = ("server", "mapRoles")  # in the server's config.yaml
WHOLE_DOCUMENT = ()  # in the ConfigMap aws-auth, whose key mapRoles holds just the list
ADDED = "added by kube-iam"


@dataclass(frozen=True, slots=True)
class MapRoles:
    """Where the list is inside its text (`path`), and what to call that text in errors (`source`, `key`)."""

    path: tuple[str, ...]
    source: str
    key: str = ""

    def entries(self, text: str) -> tuple[MappingEntry, ...]:
        """All entries that name a role, in order, ARNs without path. Raises ConfigError where the text cannot be read."""
        return tuple(entry for item in self._edit(text).items() if (entry := _entry(item)) is not None)

    def put(self, text: str, entry: MappingEntry) -> str:
        """The text in which exactly one entry names the role, and says what `entry` says. Unchanged where that is so already.

        Further entries of the same role go: which of several the reference would pick is random.
        """
        key = role_key(entry.role_arn)
        value = {"rolearn": entry.role_arn, "username": entry.username, "groups": list(entry.groups)}
        edit = self._edit(text)
        places = _places(edit, key)
        if not places:
            return edit.append(value)
        for index in reversed(places[1:]):
            text = self._edit(text).remove(index)
        present = _entry(edit.items()[places[0]])
        if present is not None and (present.username, present.groups) == (entry.username, entry.groups):
            return text
        return self._edit(text).replace(places[0], value)

    def remove(self, text: str, role_arn: str) -> str:
        """The text without any entry of that role; unchanged where there is none."""
        for index in reversed(_places(self._edit(text), role_key(role_arn))):
            text = self._edit(text).remove(index)
        return text

    def _edit(self, text: str) -> ListEdit:
        return ListEdit(text, self.path, self.source, self.key, ADDED)


def role_key(role_arn: str) -> str:
    """What role ARNs are compared by: no path, no letter case."""
    return strip_role_path(role_arn.strip().casefold())


def _places(edit: ListEdit, key: str) -> list[int]:
    return [at for at, item in enumerate(edit.items()) if role_key(_text(item.resolved().get("rolearn"))) == key]


def _entry(item: Node) -> MappingEntry | None:
    item = item.resolved()
    role_arn = _text(item.get("rolearn")).strip()
    if not role_arn:
        return None
    groups = item.get("groups")
    if groups is None or groups.is_null:
        names: tuple[str, ...] = ()
    elif groups.kind == "sequence":
        names = tuple(_text(group.resolved()) for group in groups.items)
    else:
        # The reference's configuration reader splits a plain string at commas.
        names = tuple(_text(groups).split(","))
    return MappingEntry(strip_role_path(role_arn), _text(item.get("username")), names)


def _text(node: Node | None) -> str:
    return node.value if node is not None and node.kind == "scalar" and not node.is_null else ""
