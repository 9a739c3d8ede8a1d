"""A FAKE of a ConfigMap volume: the sandbox has no kubelet, and its webhook is not a pod.

It watches one ConfigMap and shows its keys as files in a directory, as the kubelet does. The files are links into `..data`. That is a
link to a directory with a new name for each version, and is replaced atomically. A deleted ConfigMap leaves the files.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kube_iam.errors import SandboxError
from kube_iam.sandbox.api_server import ApiServer
from kube_iam.sandbox.certificates import Pair

NAMESPACE, NAME = "kube-system", "aws-iam-authenticator"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_SELECTED = f"{CONFIG_MAPS}?fieldSelector=metadata.name%3D{NAME}"
_WATCH_SECONDS = 300
_PAUSE_SECONDS = 0.5


def project(directory: Path, files: Mapping[str, str]) -> None:
    """Replace the files of the directory by these in one step. Raises OSError."""
    data = directory / "..data"
    before = data.resolve() if data.is_symlink() else None
    if before is not None and _content(before) == dict(files):
        return
    version = Path(tempfile.mkdtemp(dir=directory, prefix="..version-"))
    version.chmod(0o755)  # as the kubelet's: every user who can open the volume can read it
    for name, text in files.items():
        (version / name).write_text(text, encoding="utf-8")
    fresh = directory / "..data_tmp"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version.name)
    fresh.replace(data)
    for name in files:
        if not (directory / name).is_symlink():
            (directory / name).unlink(missing_ok=True)
            (directory / name).symlink_to(Path("..data") / name)
    for link in directory.iterdir():
        if link.is_symlink() and not link.name.startswith("..") and link.name not in files:
            link.unlink()
    if before is not None:
        shutil.rmtree(before, ignore_errors=True)


def follow(api: ApiServer, directory: Path) -> None:
    """Copy the ConfigMap into the directory, then each change until one watch ends. Raises SandboxError."""
    _, found = api.call("GET", _SELECTED)
    for config_map in found["items"]:
        project(directory, _data(config_map))
    since = found["metadata"]["resourceVersion"]
    watch = f"{_SELECTED}&watch=true&resourceVersion={since}&timeoutSeconds={_WATCH_SECONDS}"
    for event in api.watch(watch, _WATCH_SECONDS + 30):
        if event["type"] == "ERROR":
            return
        if event["type"] in ("ADDED", "MODIFIED"):
            project(directory, _data(event["object"]))


def command(api: ApiServer, directory: Path) -> list[str]:
    """Return the command line of a process that follows the ConfigMap until it is stopped."""
    files = [api.ca, api.client.certificate, api.client.key, directory]
    return [sys.executable, "-m", __spec__.name, str(api.port), *map(str, files)]


def main(arguments: list[str]) -> None:
    """Follow the ConfigMap until the process is stopped."""
    port, ca, certificate, key, directory = arguments
    api = ApiServer(int(port), Path(ca), Pair(Path(certificate), Path(key)))
    while True:
        with contextlib.suppress(SandboxError, KeyError, TypeError):
            follow(api, Path(directory))
        time.sleep(_PAUSE_SECONDS)


def _data(config_map: dict[str, Any]) -> dict[str, str]:
    return dict(config_map.get("data") or {})


def _content(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()} if directory.is_dir() else {}


if __name__ == "__main__":
    main(sys.argv[1:])
