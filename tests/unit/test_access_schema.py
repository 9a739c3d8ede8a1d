"""The JSON Schema of access.yaml: what editors get, kept equal to the published file and true to the loader."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kube_iam.config.schema import ACCESS_SCHEMA
from kube_iam.config.yaml_file import read_yaml
from kube_iam.core.partitions import PARTITIONS

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_published_schema_is_the_one_in_the_code() -> None:
    assert json.loads((EXAMPLES / "access.schema.json").read_text()) == ACCESS_SCHEMA


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(ACCESS_SCHEMA)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_the_examples_follow_the_schema(name: str) -> None:
    assert [
        error.message for error in Draft202012Validator(ACCESS_SCHEMA).iter_errors(read_yaml(EXAMPLES / name).data)
    ] == []
    assert (EXAMPLES / name).read_text().startswith("# yaml-language-server: $schema=access.schema.json\n")


def test_everything_is_described_and_every_pattern_is_explained() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        for name, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{path}.{name}"
            walk(part, f"{path}.{name}")
        if "items" in schema:
            walk(schema["items"], f"{path}[]")
        assert ("pattern" in schema) == ("patternErrorMessage" in schema), path

    walk(ACCESS_SCHEMA, "")


def test_the_schema_knows_all_partitions() -> None:
    assert tuple(ACCESS_SCHEMA["properties"]["partition"]["enum"]) == PARTITIONS
