"""Step 1: the kubeconfig, its context, the exec entry, and the program that it names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kube_iam.access.desired import role_arn
from kube_iam.access.levels import Method
from kube_iam.core.redaction import shown_url
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.outcomes import Failed, Outcome, Passed
from kube_iam.doctor.sign_in import SignIn
from kube_iam.errors import ConfigError, KubeError, KubeIamError
from kube_iam.kube.client import KubeApi, refuse_unsupported
from kube_iam.kube.context import Context, NoContext, NoKubeconfig
from kube_iam.kube.exec_plugin import VERSIONS
from kube_iam.kube.kubeconfig_merge import entries_in_use
from kube_iam.kube.kubeconfig_owner import PROGRAMS, program_of, same_server, sign_in

_VERSION_SECONDS = 20


def check_kubeconfig(state: SignIn) -> Outcome:
    """Check that the kubeconfig has the context: the given one, that of the level, else the current one."""
    machine = state.machine
    try:
        name = machine.context or (context_of_level(state) if machine.level else "")
        state.api = KubeApi(environ=machine.environ, kubeconfig=machine.kubeconfig, context=name)
        state.context = context = state.api.context
        refuse_unsupported(context)
    except (ConfigError, KubeError) as error:
        return context_failure(error, is_read=state.context is not None)
    return Passed(f"context {context.name}, API server {shown_url(context.server)}")


def context_failure(error: KubeIamError, *, is_read: bool) -> Failed:
    """Return the failure of a kubeconfig, or of a context that was read and cannot be used."""
    match error:
        case NoKubeconfig():
            return Failed(Cause.KUBECONFIG_MISSING, error.message, error.hint)
        case NoContext():
            return Failed(Cause.CONTEXT_MISSING, error.message, error.hint)
        case ConfigError():
            return Failed(Cause.KUBECONFIG_INVALID, "; ".join(error.lines))
    return Failed(Cause.CONTEXT_UNSUPPORTED if is_read else Cause.KUBECONFIG_INVALID, error.message, error.hint)


def context_of_level(state: SignIn) -> str:
    """Return the name of the level's context: `<cluster>-<level>`, or the level's own name. Raises NoContext and ConfigError."""
    machine, level = state.machine, state.machine.level
    entries = entries_in_use(machine.environ, machine.kubeconfig)
    found = [
        name
        for (section, name), entry in entries.items()
        if section == "contexts" and level in (name, name.removeprefix(f"{entry.text('cluster')}-"))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise NoContext(f"several contexts are of a level {level}: {', '.join(found)}", "choose one with --context")
    if machine.access is not None and machine.access.level(level) is None:
        raise NoContext(
            f"no context of the kubeconfig is of a level {level}, and {machine.access.source} has no such level",
            f"an administrator names a user and a level: `kube-iam doctor {level} LEVEL`",
        )
    raise NoContext(
        f"no context of the kubeconfig is of a level {level}",
        f"`kube-iam kubeconfig {level} --merge` adds it; or choose a context with --context",
    )


def check_plugin(state: SignIn) -> Outcome:
    """Check the exec entry: that there is one, that its program is found and runs, its arguments, and its cluster id."""
    machine, context = state.machine, state.context
    assert context is not None
    spec = context.user.get("exec")
    if not spec:
        return Failed(Cause.NO_EXEC_PLUGIN, f"the user of context {context.name} has no exec section")
    if not isinstance(spec, dict) or not spec.get("command"):
        return Failed(Cause.PLUGIN_INVALID, f"the exec section of context {context.name} names no command")
    version = str(spec.get("apiVersion") or "")
    if version not in VERSIONS:
        found = f"the exec section of context {context.name} has the apiVersion {version!r:.80}"
        return Failed(Cause.PLUGIN_INVALID, found, f"set apiVersion: {VERSIONS[0]}")
    command = str(spec["command"])
    path = _path_of(command, context, state)
    if not path:
        hint = str(spec.get("installHint") or "")
        return Failed(Cause.PLUGIN_MISSING, f"{command!r:.200} is not found, or may not be run", hint)
    pairs = [pair for pair in spec.get("env") or [] if isinstance(pair, dict)]
    state.environ = machine.use_environment({str(pair.get("name")): str(pair.get("value") or "") for pair in pairs})
    if program_of(command) not in PROGRAMS:
        return Passed(f"{path}, which is neither kube-iam nor aws-iam-authenticator")
    state.program = _program(path, state.environ)
    if not state.program:
        return Failed(Cause.PLUGIN_INVALID, f"`{path} version` prints no version", "Install the program again")
    return _check_arguments(state, path, [str(argument) for argument in spec.get("args") or []])


def _check_arguments(state: SignIn, path: str, arguments: list[str]) -> Outcome:
    assert state.context is not None
    shown = f"{path} ({state.program})"
    if arguments[:1] != ["token"]:
        first = arguments[0] if arguments else ""
        return Failed(Cause.PLUGIN_INVALID, f"the first argument of the exec plugin is {first!r:.80}, not `token`")
    try:
        state.request = state.machine.read_arguments(arguments[1:], state.environ)
    except KubeIamError as error:
        return Failed(Cause.PLUGIN_INVALID, f"the arguments of the exec plugin: {error.message}", error.hint)
    state.request.interactive = state.machine.interactive
    return _differs_from_access_file(state) or Passed(f"{shown}, cluster id {state.request.cluster_id}")


def _differs_from_access_file(state: SignIn) -> Failed | None:
    """Return the failure where the access file is about this API server and gives another cluster id or role."""
    access, request, context = state.machine.access, state.request, state.context
    if access is None or request is None or context is None or not same_server(access.endpoint, context.server):
        return None
    if request.cluster_id != access.cluster_id:
        found = f"-i is {request.cluster_id}, and {access.place('cluster.id')} says {access.cluster_id}"
        return Failed(Cause.CLUSTER_ID_DIFFERS, found)
    level = next((each for each in access.levels if each.name == state.machine.level), None)
    if level is None or level.method is not Method.ROLE or level.existing_role:
        return None
    wanted = role_arn(access, level)
    if request.role != wanted:
        return Failed(
            Cause.ROLE_INVALID, f"-r is {request.role or 'missing'}, and the role of level {level.name} is {wanted}"
        )
    return None


def other_cluster_id(state: SignIn) -> str:
    """Return the name and the cluster id of another context for the same API server that signs in with another id; else empty."""
    context, request = state.context, state.request
    if context is None or request is None:
        return ""
    try:
        entries = entries_in_use(state.machine.environ, state.machine.kubeconfig)
        for (section, name), entry in entries.items():
            user, cluster = entries.get(("users", entry.text("user"))), entries.get(("clusters", entry.text("cluster")))
            if section != "contexts" or user is None or cluster is None:
                continue
            found = sign_in(user)
            other = found.own.get("id", "") if found is not None else ""
            if other and other != request.cluster_id and same_server(cluster.text("server"), context.server):
                return f"context {name} signs in to the same API server with the cluster id {other}"
    except KubeIamError:
        return ""
    return ""


def _path_of(command: str, context: Context, state: SignIn) -> str:
    """Return the path of the program, as kubectl finds it: a relative path counts from the kubeconfig's directory."""
    if os.path.dirname(command) and not os.path.isabs(command):  # noqa: PTH117, PTH120  (Path drops a leading ./)
        command = str(Path(context.directory) / command)
    return state.machine.find_program(command)


def _program(path: str, environ: Mapping[str, str]) -> str:
    """Return the program and its version: `kube-iam 0.1.0`, `aws-iam-authenticator v0.7.18`; empty where it says none."""
    try:
        done = subprocess.run(  # noqa: S603  (the command that the user's own kubeconfig names)
            [path, "version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout)
        version = str(found["Version"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return ""
    # Both print JSON; only the reference prints its commit too.
    return f"{'aws-iam-authenticator' if 'Commit' in found else 'kube-iam'} {version:.40}"
