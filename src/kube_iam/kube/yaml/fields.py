"""Set one value of a YAML text by replacing exactly its bytes: comments, order, quotes and all other values stay as they are.

A value is named by its path of keys and list indexes (`("users", 0, "user", "exec", "command")`), letter case included. Every edit
is checked before it is returned: the new text is parsed, must hold the value, and must be equal everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kube_iam.errors import ConfigError, Problem
from kube_iam.kube.yaml.layout import Splice, behind_comments, insertion, newline_of
from kube_iam.kube.yaml.text import Value, block, flow
from kube_iam.kube.yaml.tree import Node, Shape, column, dash_of, parse_tree

Step = str | int
Path = tuple[Step, ...]


class RepeatedKey(ValueError):
    """A key is repeated in one mapping. `line` is the line of the second one."""

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f"{key} stands there twice")
        self.line = line


_MAX_HOPS = 20  # of aliases and merge keys followed to find one value


def lookup(node: Node | None, key: str, hops: int = 0) -> Node | None:
    """Return the value under exactly this key, aliases and merge keys (`<<`) followed, or None. Raises RepeatedKey."""
    if node is None or node.kind != "mapping":
        return None
    own = node.own_pairs(key, exact=True)
    if len(own) > 1:
        raise RepeatedKey(key, own[1][0].line)
    if own:
        return own[0][1].resolved()
    for name, value in node.pairs if hops < _MAX_HOPS else ():
        if name.plain and name.value == "<<":
            merged = value.resolved()
            for source in merged.items if merged.kind == "sequence" else [merged]:
                found = lookup(source.resolved(), key, hops + 1)
                if found is not None:
                    return found
    return None


@dataclass(frozen=True, slots=True)
class Change:
    """A value to set, or with an index behind its last item one to append to a list."""

    path: Path
    value: Value


def set_value(text: str, path: Path, value: Value, source: str) -> str:
    """Return the text in which the value at `path` is `value`. A missing last step is added at the end.

    Raises ConfigError that names `source` and the path, where the edit is not safe.
    """
    new = set_values(text, parse_tree(text, source), (Change(path, value),))
    if new is None:
        raise _unsafe(source, path)
    return new


def set_values(text: str, root: Node | None, changes: Iterable[Change]) -> str | None:
    """Return the text with all changes, checked together by one parse; None where they are not safe, or not at once.

    `root` is the result of `parse_tree` for the text. Two changes at the same place are not made at once.
    """
    changes = tuple(changes)
    parts, done, filled = [], 0, -1
    try:
        for start, end, new in sorted(_splice(text, root, change) for change in changes):
            if start < done or start == filled:
                return None
            parts += [text[done:start], new]
            done, filled = end, start
        edited = "".join([*parts, text[done:]])
        after = parse_tree(edited, "")
        held = all(_at(after, change.path).data() == change.value for change in changes)
    except (ValueError, ConfigError):
        return None
    paths = [change.path for change in changes]
    return edited if held and _masked(root, paths) == _masked(after, paths) else None


def _splice(text: str, root: Node | None, change: Change) -> Splice:
    """Return the replacement that makes the change. Raises ValueError where it is not safe."""
    path, value = change.path, change.value
    holder = _at(root, path[:-1])
    old = _child(holder, path[-1])
    _check_not_shared(root, path)
    return _replacement(text, old, value, holder.flow) if old is not None else _addition(text, holder, path[-1], value)


def line_at(root: Node | None, path: Path) -> int | None:
    """Return the line of the value at `path`, or of its nearest existing parent. None for an empty document."""
    node, line = root, None
    for step in (*path, None):
        if node is None:
            break
        line = node.line
        try:
            node = _child(node, step) if step is not None else None
        except ValueError:
            break
    return line


def _at(root: Node | None, path: Path) -> Node:
    node = root
    for step in path:
        node = _child(node, step) if node is not None else None
    if node is None:
        raise ValueError("nothing stands there")
    return node


def _check_not_shared(root: Node | None, path: Path) -> None:
    """Raise ValueError where an alias stands for a value on the path: an edit would change the alias too."""
    targets = {id(node.target) for node in _nodes(root) if node.kind == "alias"}
    if any(id(_at(root, path[:length])) in targets for length in range(1, len(path))):
        raise ValueError("an alias stands for it elsewhere")


def _nodes(root: Node | None) -> Iterator[Node]:
    waiting = [] if root is None else [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [*node.items, *(each for pair in node.pairs for each in pair)]


def _child(node: Node, step: Step) -> Node | None:
    """Return the node's own value at that step, or None. Raises ValueError for an alias or a repeated key."""
    if isinstance(step, int):
        if node.kind != "sequence":
            raise ValueError("not a list")
        return node.items[step] if step < len(node.items) else None
    if node.kind != "mapping":
        raise ValueError("not a mapping")
    own = node.own_pairs(step, exact=True)
    if len(own) > 1:
        raise RepeatedKey(step, own[1][0].line)
    return own[0][1] if own else None


def _replacement(text: str, old: Node, value: Value, in_flow: bool) -> Splice:
    if old.kind == "sequence" and not old.flow:
        margin = newline_of(text) + " " * column(text, old.start)
        new = margin.join(block(value))
    else:
        new = block(value)[0] if isinstance(value, str) and not in_flow else flow(value)
    gap = " " if old.start == old.end and not text[old.start - 1].isspace() else ""
    return old.start, old.end, gap + new


def _addition(text: str, holder: Node, step: Step, value: Value) -> Splice:
    new: Value = {step: value} if isinstance(step, str) else [value]
    members = [pair[1] for pair in holder.pairs] or holder.items
    if holder.flow:
        at = members[-1].end if members else holder.start + 1
        return at, at, (", " if members else "") + flow(new)[1:-1]
    if isinstance(step, int):
        line = text[dash_of(text, holder, 0, holder.items[0].start) :]
        indent = len(line) - len(line.lstrip(" "))
    else:
        first = holder.pairs[0][0].start
        indent = column(text, first)
    end = behind_comments(text, holder.end, indent, len(text), item=isinstance(step, int))
    return insertion(text, end, block(new), " " * indent)


def _masked(node: Node | None, paths: Sequence[Path]) -> Shape:
    """Return the content of the document apart from the values at the paths."""
    if node is None or node.kind not in ("mapping", "sequence"):
        return (None if node is None else node.shape(),)
    inner: dict[Step, list[Path]] = {}
    for path in paths:
        inner.setdefault(path[0], []).append(path[1:])
    gone = {step for step, rests in inner.items() if () in rests}
    steps: list[tuple[object, Node]] = [
        *enumerate(node.items),
        *((key.value if key.kind == "scalar" else key.shape(), value) for key, value in node.pairs),
    ]
    inside = [
        (step, _masked(value, inner[step]) if step in inner else value.shape())
        for step, value in steps
        if step not in gone
    ]
    keys = tuple(key.shape() for key, _ in node.pairs if key.value not in gone)
    return (node.kind, node.tag, node.anchor, keys, tuple(inside))


def _unsafe(source: str, path: Path) -> ConfigError:
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return ConfigError(source, [Problem(shown, "cannot be set safely; nothing was written", "edit it by hand once")])
