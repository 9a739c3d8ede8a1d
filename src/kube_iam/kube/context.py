"""The cluster and credentials of a command, chosen as by kubectl: --kubeconfig, KUBECONFIG, ~/.kube/config, or the pod it runs in.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kube_iam.config.suggestions import suggestion
from kube_iam.core.redaction import shown_url
from kube_iam.errors import ConfigError, KubeError, Problem
from kube_iam.kube.files import read_text
from kube_iam.kube.yaml.tree import parse_tree

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LISTED = 20
_CLUSTER_FILES = ("certificate-authority",)
_USER_FILES = ("client-certificate", "client-key", "tokenFile")

Fields = dict[str, object]


class NoKubeconfig(KubeError):
    """There is no kubeconfig where one is looked for."""


class NoContext(KubeError):
    """The kubeconfig has no context of that name, or no current one."""


@dataclass(frozen=True, slots=True)
class Context:
    """One cluster with one user. File names in `cluster` and `user` are absolute; `directory` is the kubeconfig's own."""

    name: str
    cluster: Fields = field(repr=False)
    user: Fields = field(repr=False)
    namespace: str = "default"
    directory: str = ""

    @property
    def server(self) -> str:
        """Return the API server's URL."""
        return str(self.cluster.get("server") or "")


def kubeconfig_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that kubectl reads: those of KUBECONFIG, each once, else ~/.kube/config. They need not exist."""
    named = [Path(part).expanduser() for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return list(dict.fromkeys(named)) or [(Path(home) if home else Path.home()) / ".kube" / "config"]


def writable_file(files: Sequence[Path]) -> Path:
    """Return the file that kubectl writes new entries to: the first one that exists, else the last."""
    return next((path for path in files if path.exists()), files[-1])


def load_context(kubeconfig: str, name: str, environ: Mapping[str, str], pod: Path = SERVICE_ACCOUNT) -> Context:
    """Return the context of that name (empty: the current one). Raises ConfigError or KubeError that name the file."""
    if kubeconfig:
        path = Path(kubeconfig).expanduser()
        if not path.is_file():
            hint = "name one that exists with --kubeconfig, or leave the option out"
            raise NoKubeconfig(f"there is no kubeconfig at {path}", hint)
        return _select([path], name)
    named = kubeconfig_files(environ)
    paths = [path for path in named if path.is_file()]
    if paths:
        return _select(paths, name)
    if not name and "KUBERNETES_SERVICE_HOST" in environ and (pod / "token").is_file():
        return in_cluster(environ, pod)
    looked_at = os.pathsep.join(map(str, named))
    raise NoKubeconfig("no kubeconfig found", f"give --kubeconfig, or set KUBECONFIG (looked at {looked_at})")


def _select(paths: list[Path], name: str) -> Context:
    """Merge files as kubectl does: the first entry of each name, and the first current-context, count."""
    clusters: dict[str, Fields] = {}
    users: dict[str, Fields] = {}
    contexts: dict[str, Fields] = {}
    origin: dict[str, str] = {}
    current = ""
    for path in paths:
        document = _read(path)
        current = current or str(document.get("current-context") or "")
        for into, section, inner, files in (
            (clusters, "clusters", "cluster", _CLUSTER_FILES),
            (users, "users", "user", _USER_FILES),
            (contexts, "contexts", "context", ()),
        ):
            for key, fields in _named(document, section, inner, path).items():
                if key not in into:
                    into[key] = _absolute(fields, files, path.parent)
                    if section == "users":
                        origin[key] = str(path.parent.absolute())
    shown = ", ".join(str(path) for path in paths)
    name = name or current
    if not name:
        raise NoContext(f"{shown} has no current context", f"choose one with --context; {_known('', list(contexts))}")
    if name not in contexts:
        raise NoContext(f"there is no context {name!r} in {shown}", _known(name, list(contexts)))
    chosen = contexts[name]
    cluster, user = str(chosen.get("cluster") or ""), str(chosen.get("user") or "")
    if cluster not in clusters or not clusters[cluster].get("server"):
        raise KubeError(f"context {name!r} names the cluster {cluster!r}, which {shown} does not describe")
    if not _is_address(server := str(clusters[cluster]["server"])):
        raise KubeError(
            f"cluster {cluster!r} in {shown} has no address of an API server: {shown_url(server)}",
            "correct its `server`",
        )
    if user and user not in users:
        raise KubeError(f"context {name!r} names the user {user!r}, which {shown} does not describe")
    namespace = str(chosen.get("namespace") or "default")
    return Context(name, clusters[cluster], users.get(user, {}), namespace, origin.get(user, ""))


def _is_address(url: str) -> bool:
    """Return whether the URL has a host and a port that exist. kubectl takes `host:port`, too."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _known(name: str, contexts: list[str]) -> str:
    """Return a suggestion and the names that there are."""
    if not contexts:
        return "it has no contexts: choose another file with --kubeconfig"
    more = f" and {len(contexts) - _LISTED} more" if len(contexts) > _LISTED else ""
    listed = f"contexts: {', '.join(sorted(contexts)[:_LISTED])}{more}"
    hint = suggestion(name, contexts)
    return f"{hint} {listed}" if hint else listed


def _read(path: Path) -> Fields:
    text = read_text(path)
    root = parse_tree(text or "", str(path))
    data = root.data() if root is not None else {}
    if not isinstance(data, dict):
        raise ConfigError(str(path), [Problem("", "is not a kubeconfig: not a mapping")])
    return data


def _named(document: Fields, section: str, inner: str, path: Path) -> dict[str, Fields]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        raise ConfigError(str(path), [Problem(section, "is not a list of entries with names")])
    found: dict[str, Fields] = {}
    for entry in entries:
        fields = entry.get(inner)
        found.setdefault(str(entry["name"]), fields if isinstance(fields, dict) else {})
    return found


def _absolute(fields: Fields, files: tuple[str, ...], directory: Path) -> Fields:
    located = {key: str((directory / str(fields[key])).absolute()) for key in files if fields.get(key)}
    return {**fields, **located}


def in_cluster(environ: Mapping[str, str], pod: Path) -> Context:
    """Return the cluster of the pod that this process runs in, with the pod's service account."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    namespace = read_text(pod / "namespace") or "default"
    cluster: Fields = {"server": server, "certificate-authority": str(pod / "ca.crt")}
    return Context("in-cluster", cluster, {"tokenFile": str(pod / "token")}, namespace.strip(), str(pod))
