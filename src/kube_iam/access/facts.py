"""What a plan shows of bindings, mapping entries and tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kube_iam.access.changes import Field, differing
from kube_iam.access.ports import BindingState, MappingEntry, PolicyState, RoleState


def tag_fields(have: PolicyState | RoleState, want: dict[str, str]) -> tuple[Field, ...]:
    """The tags that the plan would add or overwrite."""
    return differing((f"tag {key}", have.tags.get(key), value) for key, value in want.items())


def binding_name(binding: BindingState) -> str:
    """The binding as a person would name it."""
    return f"{binding.namespace}/{binding.name}" if binding.namespace else binding.name


def binding_fields(binding: BindingState) -> dict[str, object]:
    """What a binding grants, and to whom."""
    return {
        "grants": f"{binding.role_kind} {binding.role_name}",
        "where": f"namespace {binding.namespace}" if binding.namespace else "the whole cluster",
        "groups": sorted(binding.groups),
        "level": binding.level,
    }


def entry_fields(entry: MappingEntry) -> dict[str, object]:
    """Whom a mapping entry lets in, and what it makes of them."""
    return {
        "username": entry.username,
        "groups": list(entry.groups),
        "iamGroup": entry.iam_group,
        "level": entry.level,
    }


def given(entry: MappingEntry) -> str:
    """Return the user name and groups of an entry, in one line."""
    return f"user name {entry.username or 'none'}, groups {', '.join(entry.groups) or 'none'}"


def drift_fields(present: Sequence[MappingEntry]) -> Iterator[Field]:
    """Return fields for all that an edit of the first entry mends besides its values: its spelling, and entries of the same key.

    Of several entries the server takes the first and the reference the last.
    """
    for entry in present[:1]:
        if entry.problems:
            yield Field("written", "; ".join(entry.problems), "as apply writes it")
    for entry in present[1:]:
        yield Field(f"also at {entry.where or 'another place'}", given(entry), None)


def is_removable(rival: MappingEntry) -> bool:
    """Return whether an entry beside a level's can be removed: one of mapUsers, which applies to that role alone."""
    return rival.where.startswith("mapUsers[")
