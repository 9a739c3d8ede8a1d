"""kubeconfig files: one for a person of a level, made of public data only, and its merge into a file that holds others.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from kube_iam.errors import ConfigError, Problem
from kube_iam.kube.context import default_path
from kube_iam.kube.files import edit_text
from kube_iam.kube.yaml_edit import ListEdit, set_key
from kube_iam.kube.yaml_text import Value, block

__all__ = ["build_kubeconfig", "default_path", "dump", "merge_into"]

NEW_FILE_MODE = 0o600
_SECTIONS = ("clusters", "users", "contexts")
_FIRST_TEXT = "apiVersion: v1\nkind: Config\n"


def build_kubeconfig(
    *,
    cluster_name: str,
    endpoint: str,
    ca_pem: str,
    user_name: str,
    context_name: str,
    command: str,
    args: Sequence[str],
    env: Mapping[str, str],
    api_version: str,
    interactive_mode: str,
    install_hint: str,
    namespace: str = "",
) -> dict[str, Value]:
    """A kubeconfig with one cluster, one user that signs in through an exec plugin, and one context, which is the current one.

    `ca_pem` is the cluster's CA as PEM text; empty leaves it to the machine's own trusted roots. Nothing in it is a secret.
    """
    cluster: dict[str, Value] = {"server": endpoint}
    if ca_pem:
        cluster["certificate-authority-data"] = b64encode(ca_pem.encode()).decode()
    plugin: dict[str, Value] = {"apiVersion": api_version, "command": command, "args": list(args)}
    if env:
        plugin["env"] = [{"name": name, "value": value} for name, value in env.items()]
    plugin |= {"interactiveMode": interactive_mode, "installHint": install_hint}
    context: dict[str, Value] = {"cluster": cluster_name, "user": user_name}
    if namespace:
        context["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster_name, "cluster": cluster}],
        "users": [{"name": user_name, "user": {"exec": plugin}}],
        "contexts": [{"name": context_name, "context": context}],
        "current-context": context_name,
    }


def dump(config: Mapping[str, Value]) -> str:
    """The kubeconfig as YAML text."""
    return "\n".join(block(config)) + "\n"


def merge_into(path: Path, config: Mapping[str, Value]) -> None:
    """Put the kubeconfig's entries into the file and make its context the current one.

    Entries of the same names are replaced; all others, their order and comments stay byte for byte. The replacement is atomic; a
    new file gets mode 0600. Raises ConfigError for a file that is no kubeconfig, which is left as it is.
    """
    edit_text(path, lambda text: merged(text or "", config, str(path)), NEW_FILE_MODE)


def merged(text: str, config: Mapping[str, Value], source: str) -> str:
    """The text of a kubeconfig with the entries of another put in. Raises ConfigError, naming `source`."""
    if not text.strip():
        text = _FIRST_TEXT
    for section in _SECTIONS:
        for entry in cast("Sequence[Mapping[str, Value]]", config[section]):
            text = _with_entry(text, section, entry, source)
    return set_key(text, "current-context", str(config["current-context"]), source)


def _with_entry(text: str, section: str, entry: Mapping[str, Value], source: str) -> str:
    edit = ListEdit(text, (section,), source)
    places = []
    for index, item in enumerate(edit.items()):
        name = item.resolved().get("name")
        if name is None or name.kind != "scalar":
            raise ConfigError(source, [Problem(f"{section}[{index}]", "has no name", line=item.line)])
        if name.value == entry["name"]:
            places.append(index)
    if len(places) > 1:
        raise ConfigError(source, [Problem(section, f"holds {entry['name']!r} twice", "remove one of the two")])
    if not places:
        return edit.append(entry)
    return text if edit.items()[places[0]].data() == entry else edit.replace(places[0], entry)
