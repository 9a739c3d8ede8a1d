"""Edits of one list inside a YAML text. An edit replaces exactly the bytes of the entry.

A list is named by its path of keys (`("server", "mapRoles")`; `()` is the document itself), matched in any letter case unless `exact`.
Every edit is checked before it is returned: the new text is parsed, the edited list must hold the requested items, and everything
else must be equal. Otherwise (aliases, rare layouts) ConfigError is raised, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from kube_iam.config.config_map import NOTHING
from kube_iam.errors import ConfigError, Problem
from kube_iam.kube.yaml.layout import behind_comments, cut_from_flow, insert_lines, newline_of
from kube_iam.kube.yaml.notes import ABSENT, NO_VALUE, is_covered, new_note, notes_at
from kube_iam.kube.yaml.text import Value, block, flow
from kube_iam.kube.yaml.tree import Node, Shape, column, dash_of, line_end, next_line, parse_document

Path = tuple[str, ...]
Document = tuple[Node | None, int]
"""The root of a document, and the offset at which it ends."""


def parse(text: str, path: Path, source: str, key: str = "") -> Document:
    """Return the document of a text with a list at `path`. Raises ConfigError as `parse_document` does."""
    # Readers of aws-auth accept this text, which editors leave that show code in backquotes.
    return parse_document(text.replace("``", "''") if not path and text.strip() in NOTHING else text, source, key)


class ListEdit:
    """One list in one text. `source` and `key` name the text in errors. `note` is the comment of keys that an edit adds.

    `document` is the result of `parse` for the same text and path, for texts with several lists. Without it the text is parsed.
    With `follow` the list is also found through aliases and merge keys. Then it can only be read: an edit could change other values.
    """

    def __init__(
        self,
        text: str,
        path: Path,
        source: str,
        key: str = "",
        note: str = "",
        *,
        exact: bool = False,
        document: Document | None = None,
        follow: bool = False,
    ) -> None:
        self.text = text
        self.path = path
        self.source = source
        self.key = key
        self.note = f"  # {note}" if note else ""
        self.exact = exact
        self.root, self.end = document or parse(text, path, source, key)
        self.found, self.node = self._locate(follow=follow)

    def items(self) -> list[Node]:
        """Return the list's items, aliases unresolved, none without a list."""
        return self.node.items if self.node is not None else []

    def append(self, value: Value) -> str:
        """Return the text with the value as the list's last item. Missing keys of the path are added.

        A text can end without a newline in a block scalar, to which a newline would be added. Then the new lines are inserted before
        the last item or key.
        """
        wanted: list[Shape | None] = [item.shape() for item in self.items()]
        try:
            added = self._append_to(self.node, value) if self.node is not None else self._with_keys([value])
            return self._proved(added, [*wanted, None], value)
        except ConfigError:
            if self.text.endswith("\n"):
                raise
        return self._proved(self._in_front_of_last(value), [*wanted[:-1], None, *wanted[-1:]], value)

    def with_list(self) -> str:
        """Return the text with an empty list where there is none. Missing keys of the path are added."""
        return self.text if self.node is not None else self._proved(self._with_keys([]), [])

    def replace(self, index: int, value: Value) -> str:
        """Return the text with one item replaced by the value."""
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
        """Return the text without one item. After the last item, keys that an edit of ours added are removed too."""
        items = self.items()
        assert self.node is not None
        spans = [(item.start, item.end) for item in items]
        cuts = (
            [cut_from_flow(self.text, spans, index)]
            if self.node.flow
            else self._cuts(self._dash(index), items[index].end)
        )
        wanted: list[Shape | None] = [item.shape() for at, item in enumerate(items) if at != index]
        new = self._first_proved(cuts, wanted)
        return self._as_before(self._without_added_keys(new)) if self.note and not wanted else new

    def _locate(self, *, follow: bool) -> tuple[int, Node | None]:
        """Return the number of existing keys of the path, and the list at its end."""
        node = self.root
        for depth, name in enumerate(self.path):
            node = node.resolved() if node is not None and follow else node
            if node is None or (node.is_empty and node.kind != "mapping"):
                return depth, None
            if node.kind != "mapping":
                raise self._problem(f"{'.'.join(self.path[:depth]) or 'the document'} is not a mapping", node.line)
            pairs = self._own_pairs(node, name)
            if len(pairs) > 1:
                raise self._problem(f"{'.'.join(self.path[: depth + 1])} stands there twice", pairs[1][0].line)
            merged = node.get(name, exact=self.exact) if not pairs else None
            if merged is not None and not follow:
                raise self._problem(f"{name} comes from a YAML merge key", node.line)
            if not pairs and merged is None:
                return depth, None
            node = pairs[0][1] if pairs else merged
        node = node.resolved() if node is not None and follow else node
        if node is None or (node.is_empty and node.kind != "sequence"):
            return len(self.path), None
        if node.kind != "sequence":
            shown = ".".join(self.path) or "the document"
            alias = "is a YAML alias" if node.kind == "alias" else "is not a list"
            raise self._problem(f"{shown} {alias}", node.line)
        return len(self.path), node

    def _with_keys(self, items: list[Value]) -> str:
        """Return the text with the list of the items, and with missing keys of the path."""
        missing = self.path[self.found :]
        nested = self._nested(items)
        owner, holder = self._chain()[-1]
        if holder is None:
            return insert_lines(self.text, self.end, block(nested, self.note), "")
        if holder.is_empty and not (missing and holder.kind == "mapping"):
            in_line = not (missing or items)  # an empty list has no item to stand on a line of its own
            if in_line or holder.end > holder.start or owner is None or self._outermost_flow() is not None:
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

    def _in_front_of_last(self, value: Value) -> str:
        """Return the text with the value before the list's last item, or with its keys before the last key beside them."""
        holder = self._chain()[-1][1]
        if holder is None or holder.flow or not (holder.items or holder.pairs):
            raise self._unsafe()
        lines = block(self._nested([value]), self.note)
        first = holder.pairs[0][0].start if holder.pairs else self._dash(0) + len(self._indent(self._dash(0)))
        indent = " " * column(self.text, first)
        ends = [inner.end for _, inner in holder.pairs] or [item.end for item in holder.items]
        if len(ends) > 1:
            return self._insert_block(ends[-2], lines, indent)
        at = first - len(indent)
        newline = newline_of(self.text)
        return self.text[:at] + "".join(indent + line + newline for line in lines) + self.text[at:]

    def _nested(self, items: list[Value]) -> Value:
        """Return the list of the items inside of the missing keys."""
        nested: Value = items
        for name in reversed(self.path[self.found :]):
            nested = {name: nested}
        return nested

    def _chain(self) -> list[tuple[Node | None, Node | None]]:
        """Return the document's root, and each existing key of the path with its value. The root has no key."""
        chain: list[tuple[Node | None, Node | None]] = [(None, self.root)]
        for name in self.path[: self.found]:
            holder = chain[-1][1]
            assert holder is not None
            chain.append(self._own_pairs(holder, name)[0])
        return chain

    def _insert_block(self, end: int, lines: list[str], indent: str) -> str:
        at = behind_comments(self.text, end, len(indent), self.end, item=lines[0].startswith("- "))
        return insert_lines(self.text, at, lines, indent)

    def _instead_of(self, holder: Node, new: str) -> str:
        """Replace an empty value, with a note of the old one where there is room."""
        old = self.text[holder.start : holder.end]
        if "\n" in old:  # there can be a comment in it
            raise self._unsafe()
        gap = "" if old or self.text[holder.end - 1].isspace() else " "
        return self._spliced(holder.start, holder.end, gap + new, old or NO_VALUE, self.path[: self.found])

    def _insert_pair(self, holder: Node, pair: str) -> str:
        path = self.path[: self.found + 1]
        if not holder.pairs:
            at = self.text.index("{", holder.start) + 1
            return self._spliced(at, at, pair, ABSENT, path)
        last = holder.pairs[-1][1]
        outer = self._outermost_flow()
        notes = notes_at(self.text, outer.end) if outer is not None else []
        # A comma just behind a colon would be part of a word, now or after a later edit removes the value.
        if last.start == last.end or any(note.old == NO_VALUE for note in notes):
            at = holder.pairs[0][0].start
            return self._spliced(at, at, f"{pair}, ", ABSENT, path)
        return self._spliced(last.end, last.end, f", {pair}", ABSENT, path)

    def _spliced(self, start: int, end: int, new: str, old: str, path: Path) -> str:
        """Return the text with `new` from start to end, and a note of `old` behind the outermost flow value."""
        outer = self._outermost_flow()
        stop = max(outer.end, end) if outer is not None else end
        inside = ".".join(path) if outer is not None and outer.flow and outer.start < start else ""
        noted = bool(inside) and is_covered(notes_at(self.text, stop), inside)
        note = new_note(self.text, stop, old, inside) if self.note and not noted else ""
        return self.text[:start] + new + self.text[end:stop] + note + self.text[stop:]

    def _outermost_flow(self) -> Node | None:
        """Return the first value in flow style on the path, None where all are in block style."""
        return next((node for _, node in self._chain() if node is not None and node.flow), None)

    def _cuts(self, start: int, end: int) -> Iterable[str]:
        """Yield the text without those lines. At its end, yield it first without the newline before them, for block scalars."""
        stop = next_line(self.text, end)
        if stop == len(self.text) and not self.text.endswith("\n"):
            yield self.text[:start].removesuffix("\n").removesuffix("\r")
        yield self.text[:start] + self.text[stop:]

    def _without_added_keys(self, text: str) -> str:
        """Remove keys with our note that have no value any more, the innermost first."""
        for depth in range(len(self.path), 0, -1):
            edit = ListEdit(text, self.path, self.source, self.key, exact=self.exact)
            if edit.found < depth or edit.root is None:
                continue
            owner, holder = edit._chain()[depth]
            assert owner is not None
            assert holder is not None
            line = text[owner.start : line_end(text, owner.start)].rstrip("\r")
            if not holder.is_null or not line.endswith(self.note) or holder.end > holder.start:
                break
            text = edit._first_proved(edit._cuts(owner.start - column(text, owner.start), owner.end), [])
        return self._proved(text, [])

    def _as_before(self, text: str) -> str:
        """Restore the noted values of the emptied list and of the keys of its path, the innermost first."""
        for depth in range(len(self.path), -1, -1):
            edit = ListEdit(text, self.path, self.source, self.key, exact=self.exact)
            text = edit._restored(depth)
        return self._proved(text, [])

    def _restored(self, depth: int) -> str:
        """Return the text with the noted value at that depth of the path. Unchanged without a note, or with other values inside."""
        chain, outer = self._chain(), self._outermost_flow()
        node = chain[depth][1] if depth < len(chain) else None
        if outer is None or node is None or not node.flow or _rest(node, self.path[depth:], self.exact):
            return self.text
        path, notes = ".".join(self.path[:depth]), notes_at(self.text, outer.end)
        own = next((note for note in notes if (note.path == path if note.path else node is outer)), None)
        holder = chain[depth - 1][1] if node is not outer else None
        text = self.text[: own.start] + self.text[own.end :] if own is not None else self.text
        if own is not None and own.old != ABSENT:
            gap = own.old == NO_VALUE and text.endswith(": ", 0, node.start)
            return text[: node.start - gap] + ("" if own.old == NO_VALUE else own.old) + text[node.end :]
        if holder is None or (own is None and not is_covered(notes, path)):
            return self.text
        # A key inside of a value that did not exist did not exist either.
        index = next(at for at, (_, value) in enumerate(holder.pairs) if value is node)
        cut = cut_from_flow(self.text, [(key.start, max(key.end, value.end)) for key, value in holder.pairs], index)
        return cut[: own.start - len(self.text) + len(cut)] + cut[own.end - len(self.text) + len(cut) :] if own else cut

    def _first_proved(self, texts: Iterable[str], wanted: list[Shape | None]) -> str:
        """Return the first of the texts that `_proved` accepts. Raises ConfigError where it accepts none."""
        for text in texts:
            with suppress(ConfigError):
                return self._proved(text, wanted)
        raise self._unsafe()

    def _proved(self, new: str, wanted: list[Shape | None], value: Value = "") -> str:
        """Return the new text after the check of its content (`None` in `wanted` stands for `value`). Raises ConfigError."""
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
        """Return the end of the item's last line, without its newline."""
        stop = next_line(self.text, item.end)
        return stop - len(newline_of(self.text)) if self.text[:stop].endswith(newline_of(self.text)) else stop

    def _own_pairs(self, node: Node, name: str) -> list[tuple[Node, Node]]:
        return node.own_pairs(name, exact=self.exact)

    def _problem(self, message: str, line: int | None = None, hint: str = "") -> ConfigError:
        return ConfigError(self.source, [Problem(self.key, message, hint, line)])

    def _unsafe(self) -> ConfigError:
        shown = ".".join(self.path) or "the list"
        return self._problem(f"{shown} cannot be edited safely; nothing was written", hint="edit it by hand once")


def _rest(node: Node | None, path: Path, exact: bool) -> Shape:
    """Return the content of the document apart from the list at `path`, and apart from keys that hold only that list."""
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
