"""Check of a parsed YAML file against a JSON Schema. It finds wrong types, unknown and missing keys, wrong patterns and sizes.

Only the keywords that our schemas use are supported. `oneOf` and `not` are for editors: `access_checks` checks the same with better
messages.
"""

from __future__ import annotations

import re
from typing import Any

from kube_iam.config.durations import with_unit
from kube_iam.config.yaml_file import KeyPath, YamlFile
from kube_iam.errors import Problem

_TYPES: dict[str, tuple[type, str]] = {
    "object": (dict, "a mapping of keys to values"),
    "array": (list, "a list"),
    "string": (str, "text"),
    "boolean": (bool, "true or false"),
}

_ADD_ITEM = "add an item, which begins with `- `"

Schema = dict[str, Any]


def check_structure(file: YamlFile, schema: Schema) -> list[Problem]:
    """Return all violations of the schema, in the order of the schema."""
    return _check(file, schema, file.data, ())


def _check(file: YamlFile, schema: Schema, value: object, path: KeyPath, *, required: bool = False) -> list[Problem]:
    if "const" in schema:
        return [] if value == schema["const"] else [file.problem(path, f"must be {schema['const']}")]
    if "enum" in schema:
        known = [_scalar(each) for each in schema["enum"]]
        hint = file.suggestion(_scalar(value), known) or f"one of {', '.join(known)}"
        # By type too: Python takes 1 for True.
        is_known = any(value == each and type(value) is type(each) for each in schema["enum"])
        return [] if is_known else [file.problem(path, f"{_scalar(value)!r} is not known", hint)]
    wanted, called = _TYPES[schema["type"]]
    if not isinstance(value, wanted):
        return [_wrong_type(file, schema, value, called, path, required=required)]
    if isinstance(value, dict):
        return _check_object(file, schema, value, path)
    if isinstance(value, list):
        return _check_list(file, schema, value, path, required=required)
    return _check_text(file, schema, value, path, required=required) if isinstance(value, str) else []


def _scalar(value: object) -> str:
    """Return a scalar as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong_type(
    file: YamlFile, schema: Schema, value: object, called: str, path: KeyPath, *, required: bool
) -> Problem:
    written = file.text(*path)
    if schema.get("numberErrorMessage") and isinstance(value, (int, float)):
        whole = value if isinstance(value, int) and not isinstance(value, bool) else 0
        return file.problem(path, f"{written} {schema['numberErrorMessage']}", with_unit(whole))
    if schema.get("minItems") and not value:
        return file.problem(path, "is empty", _ADD_ITEM)
    if called == "a list" and isinstance(value, dict):
        return file.problem(path, "must be a list, not a mapping of keys to values", "begin each item with `- `")
    if called == "text" and isinstance(value, (int, float)):
        kind = "true or false" if isinstance(value, bool) else "a number"
        return file.problem(path, f"YAML reads {written} as {kind}", f'quote it: "{written}"')
    return file.problem(path, f"must be {called}, not {_called(value)}", _give(required, path) if value is None else "")


def _give(required: bool, path: KeyPath) -> str:
    if required:
        return "give a value"
    return (
        "give a value, or leave the item out"
        if path and isinstance(path[-1], int)
        else "give a value, or leave the key out"
    )


def _add(key: str, schema: Schema) -> str:
    """Return the edit that adds a missing key, and the key's description."""
    edit = f"add `{key}:` and below it an item, which begins with `- `" if "items" in schema else f"add `{key}: …`"
    described = schema.get("description", "")
    return f"{edit}; {described}" if described else edit


def _called(value: object) -> str:
    if value is None:
        return "empty"
    return next((called for kind, called in _TYPES.values() if isinstance(value, kind)), "a number")


def _check_object(file: YamlFile, schema: Schema, value: dict[str, object], path: KeyPath) -> list[Problem]:
    properties: dict[str, Schema] = schema["properties"]
    problems = []
    for key in value:
        if key not in properties and schema["additionalProperties"] is False:
            said = "is not a key that is known here"
            problems.append(file.problem((*path, key), said, file.suggestion(key, properties)))
        elif key not in properties:
            problems += _check(file, schema["additionalProperties"], value[key], (*path, key))
    for key in schema.get("required", ()):
        if key not in value:
            problems.append(file.problem(path, f"{key} is missing", _add(key, properties[key])))
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        problems.append(file.problem(path, f"takes exactly one of {', '.join(properties)}"))
    for key, part in properties.items():
        if key in value:
            problems += _check(file, part, value[key], (*path, key), required=key in schema.get("required", ()))
    return problems


def _check_list(file: YamlFile, schema: Schema, value: list[object], path: KeyPath, *, required: bool) -> list[Problem]:
    problems = []
    if len(value) < schema.get("minItems", 0):
        problems.append(
            file.problem(path, "is an empty list", _ADD_ITEM if required else f"{_ADD_ITEM}, or leave the key out")
        )
    before: set[str] = set()
    for index, item in enumerate(value):
        problems += _check(file, schema["items"], item, (*path, index))
        if schema.get("uniqueItems") and repr(item) in before:
            problems.append(file.problem((*path, index), f"{item!r} is repeated"))
        before.add(repr(item))
    return problems


def _check_text(file: YamlFile, schema: Schema, value: str, path: KeyPath, *, required: bool) -> list[Problem]:
    if len(value) < schema.get("minLength", 0):
        return [file.problem(path, "is empty", _give(required, path))]
    limit = schema.get("maxLength", len(value))
    if len(value) > limit:
        return [file.problem(path, f"has {len(value)} characters, at most {limit} are allowed")]
    pattern = schema.get("pattern", "")
    if pattern and re.search(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, value) is None:
        return [file.problem(path, f"{value!r} is not allowed", schema["patternErrorMessage"])]
    return []
