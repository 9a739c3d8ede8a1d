"""A configuration for both servers, and what it says, read by YAML's plainest rules: no code of ours takes part."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

SSO_FEATURE_GATE = ("--feature-gates", "SSORoleMatch=true")


@dataclass(frozen=True)
class Entry:
    """One mapping: its place, its principal, and the user and groups that it gives."""

    backend: str
    key: str
    arn: str
    sso: dict[str, str]
    username: str
    groups: tuple[str, ...]
    user_id: str = ""

    @property
    def plain_arn(self) -> str:
        """In small letters, without a role's path."""
        head, role, path = self.arn.lower().partition(":role/")
        return head + role + path.rpartition("/")[2]

    @property
    def has_path(self) -> bool:
        return "/" in self.arn.lower().partition(":role/")[2]


@dataclass(frozen=True)
class Setup:
    """`text` are lines below `server:`, in which HOME is the server's own directory, as in `flags`; `files` stand in it.

    In its cluster are the data of aws-auth, and specs of IAMIdentityMappings by name; `statuses` are canonical ARNs that objects have
    in their status and not in their spec. `instances` are what EC2 knows: private DNS name and owner by id.
    """

    name: str
    text: str = ""
    flags: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    config_map: dict[str, str] = field(default_factory=dict)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    instances: dict[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def server(self) -> dict[str, Any]:
        """The section, its keys in small letters and every value as written."""
        read = yaml.load("server:\n" + self.text, yaml.BaseLoader)
        return {key.lower(): value for key, value in (read["server"] or {}).items()}

    @property
    def backends(self) -> list[str]:
        return self.server.get("backendmode") or ["MountedFile"]

    @cached_property
    def dynamic(self) -> dict[str, Any]:
        """The DynamicFile, empty where it cannot be read."""
        try:
            return dict(json.loads(self.files.get("dynamic.json", "{}")))
        except ValueError:
            return {}

    @cached_property
    def entries(self) -> list[Entry]:
        """All explicit mappings in the order of the backends, roles before users."""
        found = []
        for backend in self.backends:
            source = self._source(backend)
            for key in ("maproles", "mapusers"):
                found += [
                    _entry(backend, key, _lowered(item)) for item in source.get(key) or [] if isinstance(item, dict)
                ]
        return found

    def accounts(self, backend: str) -> list[str]:
        return [str(account) for account in self._source(backend).get("mapaccounts") or []]

    @property
    def unreadable(self) -> list[str]:
        """The keys of aws-auth that are no list in YAML."""
        return [key for key, text in self.config_map.items() if _list_in(text) is None]

    def _source(self, backend: str) -> dict[str, Any]:
        if backend in ("MountedFile", "File"):
            return self.server
        if backend in ("EKSConfigMap", "ConfigMap"):
            return {key.lower(): _list_in(text) for key, text in self.config_map.items()}
        if backend == "CRD":
            return {"mapusers": [{**spec, "userarn": spec.get("arn")} for spec in self.objects.values()]}
        return _lowered(self.dynamic)

    @property
    def reserved(self) -> list[dict[str, Any]]:
        return [_lowered(item) for item in self.server.get("reservedprefixconfig") or []]


def _list_in(text: str) -> list[Any] | None:
    """Return the list under a key of aws-auth, every value as written, or None if it is no list."""
    try:
        read = yaml.load("" if text.strip() in ("``", "''", '""') else text, yaml.BaseLoader) or []
    except yaml.YAMLError:
        return None
    return read if isinstance(read, list) else None


def _lowered(item: dict[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in item.items()}


def _entry(backend: str, key: str, item: dict[str, Any]) -> Entry:
    groups = item.get("groups") or []
    return Entry(
        backend,
        key,
        str(item.get("rolearn") or item.get("userarn") or ""),
        _lowered(item.get("sso") or {}),
        str(item.get("username") or ""),
        tuple(groups.split(",") if isinstance(groups, str) else map(str, groups)),
        str(item.get("userid") or ""),
    )
