"""The same data as JSON or YAML, for other programs."""

from __future__ import annotations

import io
import json
from typing import Any


def as_json(data: object) -> str:
    """Indented JSON, ending in a newline."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def as_yaml(data: object) -> str:
    """Block-style YAML in the order of the data."""
    from ruamel.yaml import YAML

    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.width = 10_000
    text = io.StringIO()
    writer.dump(data, text)
    return text.getvalue()
