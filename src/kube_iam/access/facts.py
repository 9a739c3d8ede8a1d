"""What a plan shows of bindings, mapping entries and tags."""

from __future__ import annotations

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
