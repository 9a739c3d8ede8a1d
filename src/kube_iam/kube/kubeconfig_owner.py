"""Ownership of kubeconfig entries: this cluster's own, written by `kube-iam kubeconfig`, or another cluster's.

An entry is recognized by its effect, not by a marker. A marker in `extensions` would still be there after `server` was changed, would
be missing in older files, and is dropped by some tools. The destination of tokens decides:

- a cluster is ours if its `server` and its certificate authority are this cluster's. It is ours too if every context that uses it
  signs in with our exec plugin for this cluster id, so that a change of address or authority affects no other context;
- a user is ours if it runs our exec plugin (`token -i ID`) for this cluster id;
- a context is ours if its user and its cluster are ours.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kube_iam.errors import ConfigError, Problem
from kube_iam.kube.yaml.fields import RepeatedKey, lookup
from kube_iam.kube.yaml.tree import Node

PROGRAMS = ("kube-iam", "aws-iam-authenticator", "kubectl-iam")
_OPTIONS = {"-i": "id", "--cluster-id": "id", "-r": "role", "--role": "role", "--region": "region"}
_PORTS = {"https": 443, "http": 80}
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One named entry. `file` and `index` are its place, `fields` is its `cluster`, `user` or `context`."""

    section: str
    name: str
    file: Path
    index: int
    fields: Node | None = field(repr=False)

    def get(self, *path: str) -> Node | None:
        """Return the value at that path, or None. Raises ConfigError where a key of the path is repeated."""
        node = self.fields
        for key in path:
            try:
                node = lookup(node, key)
            except RepeatedKey as error:
                problem = Problem(f"{self.section}[{self.index}]", str(error), line=error.line)
                raise ConfigError(str(self.file), [problem]) from error
        return node

    def text(self, *path: str) -> str:
        """Return the scalar at that path as text, or an empty text. Raises ConfigError as `get` does."""
        return scalar(self.get(*path))


@dataclass(frozen=True, slots=True)
class SignIn:
    """Arguments of an exec plugin of ours: `own` has the cluster id, role and region, `rest` the other arguments."""

    program: str
    own: Mapping[str, str]
    rest: tuple[str, ...]


Entries = Mapping[tuple[str, str], Entry]
"""Entries by section and name. Of each name it is the one that kubectl uses."""


def scalar(node: Node | None) -> str:
    """Return a scalar's text, empty for null and for other nodes."""
    return node.value if node is not None and node.kind == "scalar" and not node.is_null else ""


def program_of(command: str) -> str:
    """Return the program of `PROGRAMS` that a command runs, by its file name in any directory, else the command itself."""
    name = command.replace("\\", "/").rpartition("/")[2].removesuffix(".exe")
    return name if name in PROGRAMS else command


def sign_in(user: Entry, also: str = "") -> SignIn | None:
    """Return the arguments of this user's exec plugin if it is ours or the command `also`, else None."""
    arguments = user.get("exec", "args")
    program = program_of(user.text("exec", "command"))
    if program not in (*PROGRAMS, *filter(None, [also])) or arguments is None or arguments.kind != "sequence":
        return None
    return parse_arguments(program, [scalar(item.resolved()) for item in arguments.items])


def parse_arguments(program: str, arguments: Sequence[str]) -> SignIn | None:
    """Split the arguments of `token` into ours and others. Return None for another command, or a repeated option of ours."""
    if not arguments or arguments[0] != "token":
        return None
    own: dict[str, str] = {}
    rest: list[str] = []
    left = iter(arguments[1:])
    for argument in left:
        name, equals, value = argument.partition("=")
        key = _OPTIONS.get(name)
        if key is None:
            rest.append(argument)
        elif key in own:
            return None
        else:
            own[key] = value if equals else next(left, "")
    return SignIn(program, own, tuple(rest))


def same_server(one: str, other: str) -> bool:
    """Return whether two URLs have the same address. Letter case of the host, a default port and a final slash do not matter."""
    return _address(one) == _address(other)


def certificates(cluster: Entry) -> frozenset[str] | None:
    """Return the certificate authority of a cluster entry (`certificates_of`), or None without one.

    An unreadable one is an empty set, which is equal to no authority of ours.
    """
    data, path = cluster.text("certificate-authority-data"), cluster.text("certificate-authority")
    if data:
        return certificates_of(data)
    try:
        return _pem_bodies((cluster.file.parent / path).read_bytes()) if path else None
    except OSError:
        return frozenset()


def certificates_of(data: str) -> frozenset[str]:
    """Return the certificates of a base64 text of PEM, each as base64 without white space, so that line breaks do not matter."""
    try:
        return _pem_bodies(b64decode(data))
    except ValueError:
        return frozenset()


def _pem_bodies(pem: bytes) -> frozenset[str]:
    return frozenset("".join(body.split()) for body in _CERTIFICATE.findall(pem.decode("latin-1")))


def _address(url: str) -> tuple[object, ...]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return (url,)
    login = parts.netloc.rpartition("@")[0]
    return (parts.scheme.lower(), login, parts.hostname, port, parts.path.rstrip("/"), parts.query)
