"""Roles of sign-ins by the names that people give them: levels of an access file, users and contexts of the kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kube_iam.cli.session import STANDARD_INPUT, read_access


def roles_by_name(file: str, environ: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the roles by level, and by the users and contexts of the kubeconfig that sign in with them. Raises ConfigError.

    Without `file`, and where there is none, only the kubeconfig is read.
    """
    found: dict[str, set[str]] = {}
    if file == STANDARD_INPUT or (file and Path(file).exists()):
        from kube_iam.access.desired import role_arn
        from kube_iam.access.levels import Method

        access = read_access(file)
        for level in access.levels:
            if level.method is Method.ROLE:
                found.setdefault(level.name, set()).add(role_arn(access, level))
    for name, cluster, role in _roles_in_kubeconfig(environ):
        # `kube-iam kubeconfig` names users and contexts <cluster>-<level>.
        for known in {name, name.removeprefix(f"{cluster}-")}:
            found.setdefault(known, set()).add(role)
    return found


def _roles_in_kubeconfig(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of a context, its cluster's name and its role, and the same of the user; only where `token -r` signs in."""
    from kube_iam.kube.context import kubeconfig_files
    from kube_iam.kube.files import read_text
    from kube_iam.kube.kubeconfig_merge import read_entries
    from kube_iam.kube.kubeconfig_owner import sign_in

    entries = read_entries({path: read_text(path) or "" for path in kubeconfig_files(environ) if path.is_file()})
    for (section, name), context in entries.items():
        user = entries.get(("users", context.text("user"))) if section == "contexts" else None
        found = sign_in(user) if user is not None else None
        role = found.own.get("role", "") if found is not None else ""
        if user is not None and role:
            yield name, context.text("cluster"), role
            yield user.name, context.text("cluster"), role
