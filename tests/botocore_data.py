"""botocore's own data files, parsed once per process.

It parses 1 MiB of JSON for each client: most of the time of a test that makes one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


def parse_once() -> None:
    """Make all of botocore's loaders share what they parse of the files of its package. Clients of one session share it as well."""
    import botocore
    from botocore.loaders import JSONFileLoader

    parse: Any = JSONFileLoader.load_file
    own = str(Path(botocore.__file__).parent)
    parsed = cache(lambda path: parse(JSONFileLoader(), path))

    def load_file(self: JSONFileLoader, file_path: str) -> Any:
        return parsed(file_path) if str(file_path).startswith(own) else parse(self, file_path)

    JSONFileLoader.load_file = load_file  # type: ignore[method-assign]
