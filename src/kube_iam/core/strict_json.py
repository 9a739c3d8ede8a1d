"""The one JSON reader for texts that decide about access: it refuses what readers understand differently.

RFC 8259, section 4: a name that appears twice makes an object unpredictable. Some readers take the first value, some the last.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn


class InvalidJson(ValueError):
    """The text is not JSON. The message gives the cause and the place, and quotes nothing from the text."""


class DuplicateKey(InvalidJson):
    """An object has a key twice."""


def read_json(text: str | bytes, *, parse_float: Callable[[str], Any] = float) -> Any:
    """Return the value of a JSON text. `parse_float` makes the value of a number with a fraction or an exponent.

    Raises DuplicateKey for an object that has a key twice. Raises InvalidJson for other texts that are not JSON, NaN and Infinity
    included, and for nesting that is too deep.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=parse_float)
    except InvalidJson:
        raise
    except json.JSONDecodeError as error:
        raise InvalidJson(str(error)) from error
    except UnicodeError:
        raise InvalidJson("it is not Unicode text") from None
    except RecursionError:
        raise InvalidJson("it is nested too deep") from None
    except ValueError:  # such as a number of more digits than Python converts
        raise InvalidJson("a value cannot be read") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateKey("a key stands twice in one object")
    return found


def _refuse(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not JSON")
