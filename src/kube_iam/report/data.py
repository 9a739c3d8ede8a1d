"""Data as JSON or YAML, for programs."""

from __future__ import annotations

import io
import json
import re
from typing import Any

from kube_iam.core.printable import escaped, is_visible

# What readers of YAML 1.1, such as CloudFormation and PyYAML, take for a boolean or a number.
_OTHER_TYPE = re.compile(r"y|n|yes|no|on|off|true|false|[-+]?[0-9][0-9_:.]*", re.ASCII | re.IGNORECASE)


def as_json(data: object) -> str:
    """Return indented JSON, ending in a newline. What is not visible in a string stands there as an escape."""
    return escaped(json.dumps(data, indent=2, ensure_ascii=False), "\n") + "\n"


def as_yaml(data: object) -> str:
    """Return block-style YAML in the order of the data. What is not visible in a string stands there as an escape."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Quotes values that need escapes, and writes no anchors: readers need not support them."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            """Return True: no value is shared."""
            return True

    def text_node(writer: Any, value: str) -> Any:
        style = ("'" if _OTHER_TYPE.fullmatch(value) else None) if _is_visible(value) else '"'
        if value.endswith("\n") and not value.startswith((" ", "\n")) and _is_visible(value.replace("\n", "")):
            style = "|"
        return writer.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Representer.add_representer(str, text_node)
    writer: Any = YAML(typ="safe", pure=True)
    writer.Representer = Representer
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.width = 10_000
    text = io.StringIO()
    writer.dump(data, text)
    return "".join(map(_yaml_escaped, text.getvalue()))


def _is_visible(text: str) -> bool:
    return all(map(is_visible, text))


def _yaml_escaped(character: str) -> str:
    """Return the character as it may stand within double quotes. The writer leaves some invisible ones as they are."""
    if is_visible(character) or character == "\n":
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
