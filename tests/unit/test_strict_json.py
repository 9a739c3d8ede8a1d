"""JSON that readers understand differently is refused, and no error quotes the text."""

from __future__ import annotations

import pytest

from kube_iam.core.strict_json import DuplicateKey, InvalidJson, read_json


def test_json_is_read_as_usual() -> None:
    assert read_json('{"a": [1, 0.5, true, null], "b": {"a": "x"}}') == {"a": [1, 0.5, True, None], "b": {"a": "x"}}
    assert read_json(b'"\xc3\xa4"') == "ä"
    assert read_json("[0.10]", parse_float=str) == ["0.10"]


@pytest.mark.parametrize("text", ['{"secret": 1, "secret": 1}', '[{"b": {"a": 1, "b": 2, "a": 3}}]'])
def test_an_object_with_a_key_twice_is_refused(text: str) -> None:
    with pytest.raises(DuplicateKey, match=r"^a key stands twice in one object$"):
        read_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "NaN",
        "[Infinity]",
        '{"secret": -Infinity}',
        "\ufeff{}",
        b"\xff\xfe\xfd",
        "[" * 100_000,
        "9" * 5000,
        "{} secret",
    ],
)
def test_what_is_not_json_is_refused_without_a_quote(text: str | bytes) -> None:
    with pytest.raises(InvalidJson) as caught:
        read_json(text)
    assert "secret" not in str(caught.value)
