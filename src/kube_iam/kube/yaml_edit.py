"""Edits of one list inside a YAML text, made by replacing exactly the bytes of the entry: nothing else moves.

A list is named by the path of keys that leads to it (`("server", "mapRoles")`; `()` is the document itself), matched in any letter
case unless `exact`. Every edit is proved before it is given back: the new text is parsed, the edited list must hold what was asked
for, and everything else must say what it said. Where that fails (aliases, exotic layouts) ConfigError is raised, and nothing is
changed.
"""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.config.config_map import NOTHING
from kube_iam.errors import ConfigError, Problem
from kube_iam.kube.yaml_layout import behind_comments, insert_lines, newline_of, note_of, noted
from kube_iam.kube.yaml_text import Value, block, flow
from kube_iam.kube.yaml_tree import Node, Shape, column, dash_of, line_end, line_start, next_line, parse_document

Path = tuple[str, ...]


class ListEdit:
    """One list in one text. `source` and `key` name the text in errors; `note` marks keys that an edit had to add."""

    def __init__(
        self, text: str, path: Path, source: str, key: str = "", note: str = "", *, exact: bool = False
    ) -> None:
        self.text = text
        self.path = path
        self.source = source
        self.key = key
        self.note = f"  # {note}" if note else ""
        self.exact = exact
        # As readers of aws-auth do: an editor that shows code in backquotes left such a text.
        readable = text.replace("``", "''") if not path and text.strip() in NOTHING else text
        self.root, self.end = parse_document(readable, source, key)
        self.found, self.node = self._locate()

    def items(self) -> list[Node]:
        """The list's items, aliases unresolved; empty where there is no list."""
        return self.node.items if self.node is not None else []

    def append(self, value: Value) -> str:
        """Return the text with the value as the list's last item; keys that lead to the list are added where they are missing.

        It is the last but one where the text ends without a newline in a block scalar, of which a newline would become a part.
        """
        wanted: list[Shape | None] = [item.shape() for item in self.items()]
        try:
            return self._proved(self._appended(value), [*wanted, None], value)
        except ConfigError:
            if self.node is None or self.node.flow or not wanted or self.text.endswith("\n"):
                raise
        at = self._dash(len(wanted) - 1)
        lines = [self._indent(at) + line + newline_of(self.text) for line in block([value])]
        return self._proved(self.text[:at] + "".join(lines) + self.text[at:], [*wanted[:-1], None, wanted[-1]], value)

    def replace(self, index: int, value: Value) -> str:
        """The text with the value in the place of one item."""
        items = self.items()
        assert self.node is not None
        if self.node.flow:
            new = self.text[: items[index].start] + flow(value) + self.text[items[index].end :]
        else:
            start = self._dash(index)
            indent = self._indent(start)
            lines = newline_of(self.text).join(indent + line for line in block([value]))
            new = self.text[:start] + lines + self.text[self._content_end(items[index]) :]
        wanted = [None if at == index else item.shape() for at, item in enumerate(items)]
        return self._proved(new, wanted, value)

    def remove(self, index: int) -> str:
        """The text without one item. With the last one the key returns to what it was: keys that an edit of ours added go."""
        items = self.items()
        assert self.node is not None
        new = self._cut_flow(index) if self.node.flow else self._cut_lines(self._dash(index), items[index].end)
        wanted: list[Shape | None] = [item.shape() for at, item in enumerate(items) if at != index]
        new = self._proved(new, wanted)
        return self._as_before(self._without_added_keys(new)) if self.note and not wanted else new

    def _locate(self) -> tuple[int, Node | None]:
        """How many keys of the path are there, and the list at its end."""
        node = self.root
        for depth, name in enumerate(self.path):
            if node is None or (node.is_empty and node.kind != "mapping"):
                return depth, None
            if node.kind != "mapping":
                raise self._problem(f"{'.'.join(self.path[:depth]) or 'the document'} is not a mapping", node.line)
            pairs = self._own_pairs(node, name)
            if len(pairs) > 1:
                raise self._problem(f"{'.'.join(self.path[: depth + 1])} stands there twice", pairs[1][0].line)
            if not pairs:
                if node.get(name, exact=self.exact) is not None:
                    raise self._problem(f"{name} comes from a YAML merge key", node.line)
                return depth, None
            node = pairs[0][1]
        if node is None or (node.is_empty and node.kind != "sequence"):
            return len(self.path), None
        if node.kind != "sequence":
            shown = ".".join(self.path) or "the document"
            alias = "is a YAML alias" if node.kind == "alias" else "is not a list"
            raise self._problem(f"{shown} {alias}", node.line)
        return len(self.path), node

    def _appended(self, value: Value) -> str:
        if self.node is not None:
            return self._append_to(self.node, value)
        missing = self.path[self.found :]
        nested: Value = [value]
        for name in reversed(missing):
            nested = {name: nested}
        holder, owner = self.root, None
        for name in self.path[: self.found]:
            assert holder is not None
            owner, holder = self._own_pairs(holder, name)[0]
        if holder is None:
            return insert_lines(self.text, self.end, block(nested, self.note), "")
        if holder.is_empty and not (missing and "\n" in self.text[holder.start : holder.end]):
            if holder.end > holder.start or owner is None or self._inside_flow():
                return self._instead_of(holder, flow(nested))
            indent = " " * (column(self.text, owner.start) + (2 if missing else 0))
            return self._insert_block(holder.end, block(nested, self.note), indent)
        assert isinstance(nested, Mapping)
        if holder.flow:
            return self._insert_pair(holder, flow(nested)[1:-1])
        first = holder.pairs[0][0].start
        return self._insert_block(holder.end, block(nested, self.note), " " * column(self.text, first))

    def _append_to(self, node: Node, value: Value) -> str:
        if not node.flow:
            return self._insert_block(node.end, block([value]), self._indent(self._dash(0)))
        if node.items:
            at = node.items[-1].end
            return self.text[:at] + ", " + flow(value) + self.text[at:]
        at = self.text.index("[", node.start) + 1
        return self.text[:at] + flow(value) + self.text[at:]

    def _insert_block(self, end: int, lines: list[str], indent: str) -> str:
        at = behind_comments(self.text, end, len(indent), self.end, item=lines[0].startswith("- "))
        return insert_lines(self.text, at, lines, indent)

    def _instead_of(self, holder: Node, new: str) -> str:
        """Put a value in the place of one that says nothing, with a comment about the old one where a comment can stand."""
        old, rest = self.text[holder.start : holder.end], self.text[holder.end :]
        if "\n" in old:  # there can be a comment in it
            raise self._unsafe()
        gap = "" if old or self.text[holder.end - 1].isspace() else " "
        note = note_of(old, rest) if self.note and not self._inside_flow() else ""
        return self.text[: holder.start] + gap + new + note + rest

    def _insert_pair(self, holder: Node, pair: str) -> str:
        at = holder.pairs[-1][1].end if holder.pairs else self.text.index("{", holder.start) + 1
        return self.text[:at] + (", " if holder.pairs else "") + pair + self.text[at:]

    def _cut_lines(self, start: int, end: int) -> str:
        stop = next_line(self.text, end)
        if stop == len(self.text) and not self.text.endswith("\n"):
            return self.text[:start].removesuffix("\n").removesuffix("\r")
        return self.text[:start] + self.text[stop:]

    def _cut_flow(self, index: int) -> str:
        """Removes the item and one comma; a comment that stands between the two stays."""
        items = self.items()
        start, end = items[index].start, items[index].end
        if index > 0:
            comma = self._comma(items[index - 1].end)
            between = self.text[comma + 1 : start]
            if not between.strip():
                return self.text[:comma] + self.text[end:]
            return self.text[:comma] + between + self.text[end:]
        if len(items) > 1:
            comma = self._comma(end)
            rest = self.text[comma + 1 :]
            return self.text[:start] + self.text[end:comma] + rest[len(rest) - len(rest.lstrip(" ")) :]
        return self.text[:start] + self.text[end:]

    def _comma(self, offset: int) -> int:
        """The next comma that is not inside a comment; between two flow items nothing else can stand."""
        while self.text[offset] != ",":
            offset = line_end(self.text, offset) if self.text[offset] == "#" else offset + 1
        return offset

    def _without_added_keys(self, text: str) -> str:
        """Takes out the keys that carry our note and lead to nothing any more, the innermost first."""
        for depth in range(len(self.path), 0, -1):
            edit = ListEdit(text, self.path, self.source, self.key, exact=self.exact)
            if edit.found < depth or edit.root is None:
                continue
            owner, holder = edit.root, edit.root
            for name in self.path[:depth]:
                owner, holder = self._own_pairs(holder, name)[0]
            line = text[owner.start : line_end(text, owner.start)].rstrip("\r")
            if not holder.is_null or not line.endswith(self.note) or holder.end > holder.start:
                break
            text = edit._cut_lines(line_start(text, owner.start), owner.end)
        return self._proved(text, [])

    def _as_before(self, text: str) -> str:
        """Put back the value that `_instead_of` replaced, if one was noted."""
        edit = ListEdit(text, self.path, self.source, self.key, exact=self.exact)
        node = edit.root
        for depth, name in enumerate((*self.path[: edit.found], None)):
            if node is None:
                break
            leads_nowhere = node.flow and not _rest(node, self.path[depth:], self.exact)
            found = noted(text, node.end) if leads_nowhere else None
            if found is not None:
                return self._proved(text[: node.start] + found[0] + text[found[1] :], [])
            if name is not None:
                node = self._own_pairs(node, name)[0][1]
        return text

    def _proved(self, new: str, wanted: list[Shape | None], value: Value = "") -> str:
        """The new text, after checking that it says what it should (`None` in `wanted` stands for `value`)."""
        try:
            after = ListEdit(new, self.path, self.source, self.key, exact=self.exact)
        except ConfigError as error:
            raise self._unsafe() from error
        items = after.items()
        same = len(items) == len(wanted) and all(
            item.data() == value if shape is None else item.shape() == shape
            for item, shape in zip(items, wanted, strict=True)
        )
        if not same or _rest(after.root, self.path, self.exact) != _rest(self.root, self.path, self.exact):
            raise self._unsafe()
        return new

    def _dash(self, index: int) -> int:
        assert self.node is not None
        try:
            return dash_of(self.text, self.node, index, self.node.items[index].start)
        except ValueError as error:
            raise self._unsafe() from error

    def _indent(self, dash_line: int) -> str:
        line = self.text[dash_line : line_end(self.text, dash_line)]
        return line[: len(line) - len(line.lstrip(" "))]

    def _content_end(self, item: Node) -> int:
        """Where the item's last line ends, its newline excluded."""
        stop = next_line(self.text, item.end)
        return stop - len(newline_of(self.text)) if self.text[:stop].endswith(newline_of(self.text)) else stop

    def _inside_flow(self) -> bool:
        node = self.root
        for name in self.path[: self.found]:
            if node is None or node.flow:
                return node is not None
            node = self._own_pairs(node, name)[0][1]
        return False

    def _own_pairs(self, node: Node, name: str) -> list[tuple[Node, Node]]:
        return node.own_pairs(name, exact=self.exact)

    def _problem(self, message: str, line: int | None = None, hint: str = "") -> ConfigError:
        return ConfigError(self.source, [Problem(self.key, message, hint, line)])

    def _unsafe(self) -> ConfigError:
        shown = ".".join(self.path) or "the list"
        return self._problem(f"{shown} cannot be edited safely; nothing was written", hint="edit it by hand once")


def _rest(node: Node | None, path: Path, exact: bool) -> Shape:
    """What the document says apart from the list at `path`; keys that lead to nothing but that list do not count."""
    if node is None or not path or node.kind != "mapping":
        return ()
    kept: list[object] = []
    leading = [key for key, _ in node.own_pairs(path[0], exact=exact)]
    for key, value in node.pairs:
        if any(key is each for each in leading):
            inner = _rest(value, path[1:], exact)
            if inner:
                kept.append((key.shape(), inner))
        else:
            kept.append((key.shape(), value.shape()))
    return tuple(kept)
