"""Single settings of the server by their key: a flag, else the configuration file, else a default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kube_iam.config.section import Section, kind_of
from kube_iam.errors import Problem


class Settings:
    """Settings by their key: the flag, else the file, else the default."""

    def __init__(self, top: Section, server: Section, flags: Mapping[str, object]) -> None:
        self.top = top
        self.server = server
        self._flags = flags

    def value(self, name: str) -> object:
        """Return the value of the flag, else of the file, or None where neither is set."""
        flag = self._flags.get(f"server.{name}".lower())
        return flag if flag is not None else self.server.value(name)

    def error(self, name: str, message: str, hint: str = "") -> None:
        """Report that the setting cannot be used, and name its flag or its key in the file."""
        if self._flags.get(f"server.{name}".lower()) is not None:
            self.server.found.errors.append(Problem(f"flag {name}", message, hint))
        else:
            self.server.error(self.server.at(name), message, hint)

    def text(self, name: str, default: str) -> str:
        """Return a text setting. An empty text counts as not set."""
        value = self.value(name)
        if value is None or value == "":
            return default
        if not isinstance(value, str):
            self.error(name, f"must be text, not {kind_of(value)}")
            return default
        return value

    def path(self, name: str) -> Path | None:
        """Return a file path, or None where none is set."""
        text = self.text(name, "").strip()
        return Path(text) if text else None

    def port(self, name: str, default: int) -> int:
        """Return a port number from 1 to 65535. Report another value and return the default."""
        value = self.value(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
            self.error(name, "must be a port number from 1 to 65535")
            return default
        return value

    def number(self, name: str, default: int) -> int:
        """Return a whole number from 0. Report another value and return the default."""
        value = self.value(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.error(name, "must be a whole number, 0 or more")
            return default
        return value

    def switch(self, name: str, default: bool) -> bool:
        """Return true or false. Report another value and return the default."""
        value = self.value(name)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if value is not None and not isinstance(value, bool):
            self.error(name, f"must be true or false, not {kind_of(value)}")
        return value if isinstance(value, bool) else default

    def cluster_id(self) -> object:
        """Return the value of the flag, else of the top-level key `clusterID`. An empty flag counts as set."""
        flag = self._flags.get("clusterid")
        return flag if flag is not None else self.top.value("clusterID")
