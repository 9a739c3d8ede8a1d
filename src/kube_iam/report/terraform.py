"""The IAM side of the levels for Terraform, as HCL or as JSON: roles, policies, groups and attachments as `apply` makes them.

https://developer.hashicorp.com/terraform/language/expressions/strings: `${` and `%{` begin a template in every string, keys included,
and `$${` and `%%{` are these characters themselves. Policy variables of IAM such as `${aws:username}` need that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from kube_iam.access.desired import DesiredLevel, DesiredRole
from kube_iam.core.printable import escaped
from kube_iam.report.distinct_names import distinct

Arguments = dict[str, object]
Block = tuple[str, str, str, Arguments]
"""`resource` or `data`, the type, the name, the arguments."""


class _Reference(str):
    """An expression that names an attribute of another block."""

    __slots__ = ()


class _Document(dict[str, object]):
    """A policy document, which arguments take as JSON text."""


def terraform_hcl(levels: Iterable[DesiredLevel]) -> str:
    """Return the blocks as HCL, formatted as `terraform fmt` does."""
    return "\n".join("\n".join(_hcl_block(block)) + "\n" for block in _blocks(levels))


def terraform_json(levels: Iterable[DesiredLevel]) -> str:
    """Return the blocks in Terraform's JSON syntax, for a file `*.tf.json`."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for kind, of_type, name, arguments in _blocks(levels):
        found.setdefault(kind, {}).setdefault(of_type, {})[name] = {
            key: _json_value(value) for key, value in arguments.items()
        }
    return escaped(json.dumps(found, indent=2, ensure_ascii=False), "\n") + "\n"


def _names(levels: Iterable[DesiredLevel]) -> Iterator[str]:
    """Yield the name of each level's blocks. Identifiers have no dots, and begin with no digit."""
    bases = (re.sub(r"[^A-Za-z0-9_-]", "_", level.name) for level in levels)
    return distinct((base if base[0].isalpha() else f"level_{base}" for base in bases), "{name}_{number}")


def _blocks(levels: Iterable[DesiredLevel]) -> Iterator[Block]:
    levels = tuple(levels)
    for level, name in zip(levels, _names(levels), strict=True):
        policy, group = level.policy, level.group
        if level.role is not None and not level.role.existing:
            yield "resource", "aws_iam_role", name, _role(level.role)
        yield (
            "resource",
            "aws_iam_policy",
            name,
            {
                "name": policy.name,
                "path": policy.path,
                "description": policy.description,
                "policy": _Document(policy.document),
                "tags": policy.tags,
            },
        )
        if group.existing:
            yield "data", "aws_iam_group", name, {"group_name": group.name}
            reference = f"data.aws_iam_group.{name}.group_name"
        else:
            yield "resource", "aws_iam_group", name, {"name": group.name, "path": group.path}
            reference = f"aws_iam_group.{name}.name"
        yield (
            "resource",
            "aws_iam_group_policy_attachment",
            name,
            {
                "group": _Reference(reference),
                "policy_arn": _Reference(f"aws_iam_policy.{name}.arn"),
            },
        )


def _role(role: DesiredRole) -> Arguments:
    return {
        "name": role.name,
        "path": role.path,
        "description": role.description,
        "max_session_duration": role.max_session_seconds,
        **({"permissions_boundary": role.boundary} if role.boundary else {}),
        "assume_role_policy": _Document(role.trust),
        "tags": role.tags,
    }


def _hcl_block(block: Block) -> Iterator[str]:
    kind, of_type, name, arguments = block
    yield f'{kind} "{of_type}" "{name}" {{'
    for has_one_line, group in groupby(arguments.items(), lambda item: not isinstance(item[1], Mapping)):
        items = [(key, _hcl_value(value)) for key, value in group]
        width = max(len(key) for key, _ in items) if has_one_line else 0
        for key, text in items:
            first, *rest = text.split("\n")
            yield f"  {key:{width}} = {first}"
            yield from (f"  {line}" for line in rest)
    yield "}"


def _hcl_value(value: object) -> str:
    """Return a value as an expression. JSON is one, apart from templates in strings."""
    if isinstance(value, _Reference):
        return value
    text = escaped(json.dumps(_literal(value), indent=2, ensure_ascii=False, separators=(",", " : ")), "\n")
    return f"jsonencode({text})" if isinstance(value, _Document) else text


def _json_value(value: object) -> object:
    if isinstance(value, _Reference):
        return f"${{{value}}}"
    return _literal(json.dumps(value, ensure_ascii=False) if isinstance(value, _Document) else value)


def _literal(value: object) -> object:
    """Return a value whose strings Terraform reads as they are."""
    if isinstance(value, str):
        return re.sub(r"([$%])\{", r"\1\1{", value)
    if isinstance(value, Mapping):
        return {_literal(str(key)): _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value
