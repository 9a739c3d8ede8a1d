"""Starts a sandbox, reports its processes, and stops it."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from kube_iam.access.server_policy import server_document
from kube_iam.config.access import load_access
from kube_iam.core.partitions import sts_host
from kube_iam.errors import SandboxError
from kube_iam.files import write_file
from kube_iam.sandbox import account, mount
from kube_iam.sandbox.access_file import NAMESPACE, access_file
from kube_iam.sandbox.account_eks import CLUSTER_FILE
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.control_plane import BUILD_COMMAND, Binaries, find_binaries, start_apiserver, start_etcd
from kube_iam.sandbox.processes import free_ports
from kube_iam.sandbox.server_rbac import create_definition, grant_server_rbac
from kube_iam.sandbox.state import ACCOUNT, AUTHENTICATOR, LOOPBACK, PROCESSES, REGION, Home, State
from kube_iam.sandbox.users import create_administrator, ensure_user, is_account_ready, put_server_policy
from kube_iam.sandbox.webhook import REFRESH, await_kubeconfig, await_webhook, config, launch_webhook, write_authorizer

Say = Callable[[str], None]
KUBERNETES_CACHE_TTL = 120.0
"""kube-apiserver's own default of --authentication-token-webhook-cache-ttl, in seconds."""
SHORT_CACHE_TTL = 2.0
_TIMEOUT_SECONDS = 60.0
_ENDING_SECONDS = 3.0  # kube-apiserver would wait for all watches; a sandbox keeps no data
_WITHOUT_CONTROL_PLANE = ("account", "webhook")


def up(
    home: Home,
    environ: Mapping[str, str],
    say: Say,
    cache_ttl_seconds: float | None = None,
    membership_refresh: str = REFRESH,
    iam_delay_seconds: float = 0.0,
    mapping: str = "configFile",
    *,
    authorizer: bool = True,
) -> State:
    """Start the sandbox, or leave a running one as it is. Return its state. A failed start leaves no process behind.

    `say` receives a line for each part. `environ` names the binaries. kube-apiserver caches the webhook's answers for
    `cache_ttl_seconds`, and the server reads IAM again every `membership_refresh`. IAM shows changes `iam_delay_seconds` late.
    The mappings are in the place of `mapping` (configFile or crd). With `authorizer` kube-apiserver asks the server before each
    request of its users, and the TTL is by default kube-apiserver's own, else one that shows changes at once.
    Raises SandboxError, also where only some parts run: a new start would delete the contents of the account and the cluster.
    """
    home.create()
    state = home.load()
    running = [name for name, runs in status(home).items() if runs]
    missing = _missing(home, state)
    if running and (missing or state is None):
        raise SandboxError(
            f"the sandbox in {home.root} is not complete: {', '.join(running)} run{'s' * (len(running) == 1)}, "
            f"without {', '.join(missing)}",
            f"to delete its contents and start again: {home.command('down')} && {home.command('up')}",
        )
    if running and state is not None:
        say(f"the sandbox in {home.root} is up already, and nothing was changed")
        _put_server_policy(home, state)
        return state
    binaries = find_binaries(environ)
    if mapping == "crd" and binaries is None:
        raise SandboxError("IAMIdentityMapping objects need a kube-apiserver", f"build one: {BUILD_COMMAND}")
    if state is not None:
        say(f"the sandbox in {home.root} had ended: starting anew, with an empty account")
    down(home)
    home.create()
    if cache_ttl_seconds is None:
        cache_ttl_seconds = KUBERNETES_CACHE_TTL if authorizer else SHORT_CACHE_TTL
    try:
        return _start(
            home,
            binaries,
            say,
            cache_ttl_seconds,
            membership_refresh,
            iam_delay_seconds,
            mapping,
            authorizer=authorizer,
        )
    except BaseException:
        for name in reversed(PROCESSES):
            home.process(name).stop()
        raise


def down(home: Home) -> tuple[str, ...]:
    """Stop all processes, the last started first, and remove the directory. Return the names of the processes that ran.

    It also removes the remains of a crash. A recorded process is left alone unless it is provably this sandbox's. Raises SandboxError
    for a directory that is not a sandbox, and where `Home.check` does.
    """
    home.check()
    if not home.marker.is_file():
        if home.root.is_dir() and any(home.root.iterdir()):
            raise SandboxError(f"{home.root} is not a sandbox", "name its directory with --dir")
        return ()
    ran = tuple(name for name in reversed(PROCESSES) if home.process(name).pid() is not None)
    for name in reversed(PROCESSES):
        home.process(name).stop(_ENDING_SECONDS)
    home.remove()
    return ran


def status(home: Home) -> dict[str, bool]:
    """Return by name whether each started process runs. Raises SandboxError where `Home.check` does."""
    home.check()
    return {name: home.process(name).pid() is not None for name in PROCESSES if home.process(name).record.exists()}


def start_account(home: Home, authority: Authority, say: Say, iam_delay_seconds: float = 0.0) -> State:
    """Start the AWS account and create its administrator. IAM shows changes that many seconds late. Raises SandboxError."""
    key = (f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))
    first, second, third = free_ports(3)
    state = State(first, second, third, root_key=key)
    pair = authority.server("account", [LOOPBACK, "localhost", sts_host(REGION)])
    process = home.process("account")
    process.start(
        account.command(state.account_port, REGION, pair.certificate, pair.key, key[0], iam_delay_seconds),
        account.environment(ACCOUNT, REGION, *key, home.root),
        home.root,
    )
    process.await_ready(lambda: is_account_ready(home, state), _TIMEOUT_SECONDS)
    say(f"AWS account {ACCOUNT} (IAM and STS) on {state.account_url}")
    return ensure_user(home, create_administrator(home, state), AUTHENTICATOR)


def default_directory(environ: Mapping[str, str]) -> Path:
    """Return $XDG_STATE_HOME/kube-iam/sandbox where that is an absolute path, else ~/.local/state/kube-iam/sandbox."""
    named = environ.get("XDG_STATE_HOME", "")
    base = Path(named) if named.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return base / "kube-iam" / "sandbox"


def _start(
    home: Home,
    binaries: Binaries | None,
    say: Say,
    cache_ttl_seconds: float,
    refresh: str,
    iam_delay_seconds: float,
    mapping: str,
    *,
    authorizer: bool,
) -> State:
    began = time.monotonic()
    authority = Authority(home.tls)
    etcd = start_etcd(home, authority, binaries) if binaries else None
    state = start_account(home, authority, say, iam_delay_seconds)
    text = config(home, state, cluster=binaries is not None, refresh=refresh, objects=mapping == "crd")
    if binaries:
        mount.project(home.server_config.parent, {home.server_config.name: text})
    else:
        write_file(home.server_config, text.encode())
    server = launch_webhook(home, state)
    await_kubeconfig(home, server)
    say(f"kube-iam server, the webhook, on {state.webhook_url}")
    if binaries and etcd:
        say(f"starting kube-apiserver ({binaries.apiserver})")
        webhook = home.webhook_kubeconfig
        flags = write_authorizer(home, state) if authorizer else {}
        api = start_apiserver(
            home, authority, binaries, etcd, webhook=webhook, cache_ttl_seconds=cache_ttl_seconds, extra_args=flags
        )
        api.ensure("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        api.ensure(mount.CONFIG_MAPS, {"metadata": {"name": mount.NAME}, "data": {home.server_config.name: text}})
        home.process("mount").start(mount.command(api, home.server_config.parent), {}, home.root)
        if mapping == "crd":
            create_definition(api)
        grant_server_rbac(api, authority, home.server_kubeconfig)
        state = replace(state, api_port=api.port)
        describe_cluster(home, state)
        asks = ", which it also asks before each request" if authorizer else ""
        say(f"kube-apiserver on {state.api_url}, signing in through the webhook{asks}")
    else:
        say(f"no kube-apiserver and etcd found: without a control plane (`{BUILD_COMMAND}` builds one)")
    await_webhook(server, state)
    home.save(state)
    write_file(home.access, access_file(home, state, mapping).encode())
    _put_server_policy(home, state)
    say(f"up in {time.monotonic() - began:.1f} s in {home.root}; access file: {home.access}")
    return state


def describe_cluster(home: Home, state: State) -> None:
    """Let the account's EKS name the sandbox's API server as that of every EKS cluster."""
    authority = base64.b64encode(home.ca.read_bytes()).decode()
    cluster = {"endpoint": state.api_url, "certificateAuthority": authority}
    write_file(home.root / CLUSTER_FILE, json.dumps(cluster).encode())


def _put_server_policy(home: Home, state: State) -> None:
    """Give the server the policy that `kube-iam policy server` prints for the access file. Raises ConfigError, SandboxError."""
    put_server_policy(home, state, server_document(load_access(home.access)))


def _missing(home: Home, state: State | None) -> list[str]:
    """Return the processes and files that are missing for the sandbox to be up."""
    if state is None:
        return [f"a readable {home.marker.name}"]
    expected = PROCESSES if state.api_port else _WITHOUT_CONTROL_PLANE
    ended = [name for name in expected if home.process(name).pid() is None]
    return ended + ([] if home.access.is_file() else [home.access.name])


def describe(home: Home, state: State) -> str:
    """Return the sandbox as JSON for scripts: addresses, files and users, without keys."""
    facts = {
        "directory": str(home.root),
        "account": ACCOUNT,
        "region": REGION,
        "endpoint": state.account_url,
        "webhook": state.webhook_url,
        "apiServer": state.api_url,
        "accessFile": str(home.access),
        "users": sorted(state.keys),
        "processes": status(home),
    }
    return json.dumps(facts, indent=2)
