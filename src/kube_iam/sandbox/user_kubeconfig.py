"""The kubeconfig of one IAM user of the sandbox: a context for each level of the sandbox's access file."""

from __future__ import annotations

from pathlib import Path

from kube_iam.access.desired import role_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.config.access import load_access
from kube_iam.config.yaml_file import read_yaml
from kube_iam.errors import ConfigError, SandboxError
from kube_iam.files import write_file
from kube_iam.kube.kubeconfig import build_kubeconfig, dump, entry_name, token_arguments
from kube_iam.kube.yaml.text import Value
from kube_iam.sandbox.state import Home, State
from kube_iam.sandbox.users import groups_of


def write_user_kubeconfig(home: Home, state: State, user: str, program: str, level: str = "") -> tuple[Path, str]:
    """Write the kubeconfig of the user, who signs in by `program`. Return its path, and why it has no current context, if so.

    The current context is that of `level`. Without `level` it is the one chosen with kubectl, else that of the only level that
    the user is a member of, else that of the only level. Raises ConfigError and SandboxError.
    """
    access = load_access(home.access)
    levels = {each.name: each for each in access.levels}
    if level and level not in levels:
        raise SandboxError(f"{home.access} has no level {level!r}", f"levels: {', '.join(levels)}")
    path = home.root / "kubeconfigs" / user / (f"{level}.yaml" if level else "config")
    held: list[str] = []
    current = level or _current(path, access)
    if not current:
        held = _held(home, state, user, access)
        current = _only(held) or _only([*levels])
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(path, dump(_kubeconfig(access, program, current)).encode())
    if current:
        return path, ""
    said = f"{user} is in {' and '.join(held)}" if held else f"{user} is in no level"
    return path, f"{said}, so kubectl has no current context: choose one of {', '.join(levels)} with --level"


def _kubeconfig(access: ClusterAccess, program: str, current: str) -> dict[str, Value]:
    """Return one kubeconfig with the users and contexts of all levels."""
    parts = [_of_level(access, level, program) for level in access.levels]
    whole: dict[str, Value] = {**parts[0], "current-context": entry_name(access.name, current) if current else ""}
    for section in ("users", "contexts"):
        whole[section] = [entry for part in parts for entry in part[section]]
    return whole


def _of_level(access: ClusterAccess, level: Level, program: str) -> dict[str, Value]:
    name = entry_name(access.name, level.name)
    role = role_arn(access, level) if level.method is Method.ROLE else ""
    return build_kubeconfig(
        cluster_name=access.name,
        endpoint=access.endpoint,
        ca_pem=access.certificate_authority,
        user_name=name,
        context_name=name,
        command=program,
        args=token_arguments(access.cluster_id, role, access.region),
        env={},
        api_version="client.authentication.k8s.io/v1",
        interactive_mode="IfAvailable",
        install_hint="",
    )


def _current(path: Path, access: ClusterAccess) -> str:
    """Return the level of the current context of an earlier file, empty without one."""
    try:
        data = read_yaml(path).data if path.is_file() else {}
    except ConfigError:
        return ""
    current = data.get("current-context") if isinstance(data, dict) else ""
    return next((level.name for level in access.levels if entry_name(access.name, level.name) == current), "")


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ""


def _held(home: Home, state: State, user: str, access: ClusterAccess) -> list[str]:
    """Return the levels that the user is a member of."""
    groups = groups_of(home, state, user)
    return [level.name for level in access.levels if level.group_name in groups]
