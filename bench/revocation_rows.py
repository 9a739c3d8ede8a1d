"""Rows about how long somebody stays in who is taken out: on the real kube-apiserver, with a session that is alive all the while.

Every cluster is a sandbox of its own: an account that evaluates policies, kube-apiserver, the server. The reference's server gets the
same mappings, account and sessions. Everybody asks with kubectl once a second; what is counted begins when the command is started.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.context import Bench
from bench.figures import Part, Row, part
from bench.figures import ours as own
from kube_iam.core.partitions import sts_host
from kube_iam.sandbox.connect_proxy import connect_proxy
from kube_iam.sandbox.processes import free_port, wait_until
from kube_iam.sandbox.shell import environment
from kube_iam.sandbox.state import ACCOUNT, ADMINISTRATOR, CLUSTER_ID, LOOPBACK, REGION, Home, State
from kube_iam.sandbox.up import down, up
from kube_iam.sandbox.users import ensure_user, put_server_policy
from kube_iam.sandbox.webhook import await_webhook, launch_webhook, server_environment

BIN = Path(sys.executable).parent
REFRESH = "15s"  # the default, which a sandbox shortens
PEOPLE = 3
REFERENCE_SECONDS = 45.0
"""How long the reference is watched: longer than anybody stays in with ours."""


@dataclass
class Site:
    """One cluster, with its people and the level `viewer`."""

    home: Home
    state: State
    proxy: str = ""
    """Leads the names of STS to the account: the reference takes no tokens that were signed for another host."""

    def run(self, who: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command at that person's shell."""
        credentials = self.state.user(who)
        assert credentials is not None
        own = environment(self.home, self.state, who, credentials)
        if self.proxy and who != ADMINISTRATOR:
            own = {name: value for name, value in own.items() if not name.startswith("AWS_ENDPOINT_URL")}
            own |= {"HTTPS_PROXY": self.proxy, "NO_PROXY": LOOPBACK}
        caches = {"HOME": str(self.home.root), "KUBE_IAM_CACHE_DIR": str(self.home.root / "cache" / who)}
        return subprocess.run(  # noqa: S603
            [str(each) for each in command],
            env={"PATH": f"{BIN}:/usr/bin:/bin", **own, **caches},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def works(self, *command: str | Path) -> str:
        """Run a command of the administrator. Return what it prints. Raises RuntimeError where it fails."""
        done = self.run(ADMINISTRATOR, *command)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
        return done.stdout

    def is_admitted(self, who: str) -> bool:
        """Return whether kubectl is authenticated as that person, by the cached session."""
        return self.run(who, "kubectl", "--kubeconfig", self.home.root / "viewer.yaml", "get", "ns").returncode == 0

    def admit(self, people: list[str]) -> None:
        """Make them members, and have each begin a session."""
        for who in people:
            self.state = ensure_user(self.home, self.state, who)
        self.works("kube-iam", "grant", *people, "viewer")
        for who in people:
            if not wait_until(lambda who=who: self.is_admitted(who), 60):  # type: ignore[misc]
                raise RuntimeError(f"{who} is not admitted")

    def seconds_until_out(self, who: str, start: float, patience: float) -> float | None:
        """Return the seconds from `start` to the first refused kubectl, or None if none was refused in time."""
        while time.monotonic() - start < patience:
            asked = time.monotonic()
            if not self.is_admitted(who):
                return asked - start
            time.sleep(max(0.0, asked + 1 - time.monotonic()))
        return None


def by_the_cache(bench: Bench) -> list[Row]:
    """Measure what the caches of kube-apiserver decide, side by side: these rows wait for seconds and work little."""
    with ThreadPoolExecutor() as pool:
        return [row for rows in pool.map(lambda measure: measure(bench), (revocation, no_cache)) for row in rows]


def revocation(bench: Bench) -> list[Row]:
    """From `revoke` to the first refused kubectl, with and without --now, where kube-apiserver caches answers for 10 s."""
    patience = bench.seconds(REFERENCE_SECONDS)
    with ExitStack() as stack:
        bench.say("revocation: starting two clusters")
        site = stack.enter_context(applied_site(bench, "ours", 10.0))
        reference = stack.enter_context(applied_site(bench, "reference", 10.0))
        people = [f"person{number}" for number in range(bench.times(PEOPLE, 1))]
        site.admit([*people, *(f"{who}-now" for who in people)])
        stack.enter_context(_reference_server(bench, reference))
        reference.admit(people[:1])
        bench.say(f"revocation: everybody is in; taking them out and watching for {patience:.0f} s at most")
        with ThreadPoolExecutor() as pool:
            theirs = pool.submit(_taken_out, reference, people[:1], [], patience)
            plain, now = _taken_out(site, people, ["--now", "--no-wait"], patience)
            still = theirs.result()[0]
    against = "reference, still in at the end" if still.count(None) else "reference"
    its = [patience if each is None else each for each in still]
    parts: list[Part] = []
    for label, seconds in (("revoke", plain), ("revoke --now", now)):
        out = [each for each in seconds if each is not None]
        if len(out) != len(seconds):
            raise RuntimeError(f"{label}: somebody is still in after {patience:.0f} s")
        parts.append(part(f"{label}, cache 10 s", "s", out, its, None, against))
    what = "from `revoke` to the first refused kubectl, for a person with a live session"
    notes = (
        f"membershipRefresh {REFRESH}; everybody asks once a second, so a figure is up to a second too high; kube-apiserver keeps a"
        " granted answer for the cache's time and ten seconds more of its own",
        f"the reference was watched for {patience:.0f} s, with kube-apiserver's cache at 10 s",
    )
    return [Row("revocation", what, tuple(parts), notes)]


def _taken_out(
    site: Site, people: list[str], options: list[str], patience: float
) -> tuple[list[float | None], list[float | None]]:
    """Return the seconds until each is refused: those who are revoked only, and (if there are options) those with the options."""
    with ThreadPoolExecutor(2 * len(people)) as pool:

        def out(who: str, *more: str) -> float | None:
            start = time.monotonic()
            revoking = threading.Thread(target=site.works, args=("kube-iam", "revoke", who, "viewer", *more))
            revoking.start()
            seconds = site.seconds_until_out(who, start, patience)
            revoking.join()
            return seconds

        plain = [pool.submit(out, who) for who in people]
        now = [pool.submit(out, f"{who}-now", *options) for who in people] if options else []
        return [each.result() for each in plain], [each.result() for each in now]


ACTIONS = {
    "read": ("GET", "/api/v1/namespaces/shop/configmaps", ""),
    "write": ("POST", "/api/v1/namespaces/shop/configmaps?dryRun=All", '{"metadata": {"name": "bench"}}'),
    # Authorized before the pod is looked up: 404 without a pod of that name.
    "exec": ("POST", "/api/v1/namespaces/shop/pods/none/exec?command=true&stdout=true", ""),
}
KNOWN_TTL = 120.0
"""kube-apiserver's own default. The token is used until it is refused, so that kube-apiserver has it cached."""


def known_tokens(bench: Bench) -> list[Row]:
    """From the start of the command to the first refused request with a token in kube-apiserver's cache, with the authorizer."""
    limits = {"deny": 1.0, "revoke": float(REFRESH.removesuffix("s")) + 1}
    with applied_site(bench, "authorizer", KNOWN_TTL, authorizer=True) as site:
        parts = _refusals(bench, site, "revocation-authorizer", "developer", limits)
    notes = (
        f"membershipRefresh {REFRESH}, cache TTL {KNOWN_TTL:.0f} s; each action is asked every 10 ms with the same token, and"
        " the server's log shows no further sign-in",
        "the start of the command is included; exec is authorized by a real kube-apiserver, and there is no pod behind it",
    )
    what = "from the start of the command to the first refused request with a token that kube-apiserver has cached"
    return [Row("revocation-authorizer", what, parts, notes)]


def synced(bench: Bench) -> list[Row]:
    """Measure the same as on EKS: bindings name the members, and the authenticator checks no membership and no deny list."""
    with applied_site(bench, "rbac", KNOWN_TTL) as site, _sync(site):
        parts = _refusals(bench, site, "revocation-rbac", "ops", dict.fromkeys(("deny", "revoke", "revoke --now"), 1.0))
    notes = (
        f"membershipCheck: rbac and `kube-iam sync`, cache TTL {KNOWN_TTL:.0f} s; our server stands in for EKS's authenticator; asked"
        " as for revocation-authorizer",
        "the start of the command is included; sessions go on, without the rights of the level",
    )
    what = "from the start of the command to the first refused request with a token that kube-apiserver has cached"
    return [Row("revocation-rbac", what, parts, notes)]


def no_cache(bench: Bench) -> list[Row]:
    """Measure the same without the authorizer and with cache TTL 0, and how often kube-apiserver asks about one token meanwhile."""
    seconds = bench.seconds(26)
    with applied_site(bench, "ttl-0", 0.0) as site:
        limits: dict[str, float | None] = dict.fromkeys(("deny", "revoke"))
        parts = _refusals(bench, site, "revocation-ttl-0", "developer", limits)
        ((who, token),) = _known_tokens(site, ["steady"], "developer").items()
        asking, before, end = _Asking(site, token, "read"), _sign_ins(site, who), time.monotonic() + seconds
        while time.monotonic() < end:
            asking.status()
            time.sleep(0.1)
        reviews = _sign_ins(site, who) - before
    parts = (*parts, part("seconds a TokenReview of one token", "s", [seconds / max(reviews, 1)], None))
    notes = (
        f"membershipRefresh {REFRESH}; kube-apiserver's own cache of 10 s, which no flag changes, is what is left",
    )
    what = "from the start of the command to the first refused request with a token that has just been used"
    return [Row("revocation-ttl-0", what, parts, notes)]


LEVELS = "membershipCheck: rbac\nlevels: [{name: ops, bind: [{clusterRole: edit}]}]\n"


@contextmanager
def _sync(site: Site) -> Iterator[None]:
    """Change the site to one level whose bindings name its members, without a deny list in the server, and run the sync."""
    home, state = site.home, site.state
    home.access.write_text(home.access.read_text().partition("levels:")[0] + LEVELS)
    webhook, sync = home.process("webhook"), home.process("sync")
    webhook.stop()
    lines = home.server_config.read_text().splitlines()
    home.server_config.write_text("".join(f"{line}\n" for line in lines if "denyList" not in line))
    put_server_policy(home, state, json.loads(site.works("kube-iam", "policy", "sync")))
    await_webhook(launch_webhook(home, state), state)
    site.works("kube-iam", "apply", "--yes", "--force")
    if not wait_until(lambda: "entries=1" in webhook.log.read_text(), 90):
        raise RuntimeError(f"the server has not read the mapping: {webhook.log_tail()}")
    command = [str(BIN / "kube-iam"), "sync", "--kubeconfig", str(home.kubeconfig), "--port", str(free_port())]
    sync.start(command, server_environment(home, state), home.root)
    try:
        if not wait_until(lambda: "this process is the leader" in sync.log.read_text(), 30):
            raise RuntimeError(f"the sync does not lead: {sync.log_tail()}")
        yield
    finally:
        sync.stop()


def _refusals(bench: Bench, site: Site, row: str, level: str, limits: Mapping[str, float | None]) -> tuple[Part, ...]:
    """Run each command for several people. Return the seconds to the first refusal by command and action, with the limits.

    Without a limit people may have to sign in again before they are refused.
    """
    parts: list[Part] = []
    people = [f"person{number}" for number in range(bench.times(PEOPLE, 1))]
    for command, limit in limits.items():
        tokens = _known_tokens(site, [f"{who}-{command.replace(' --', '-')}" for who in people], level)
        bench.say(f"{row}: {command}")
        found = [
            _refused_after(site, command, who, token, level, known=limit is not None) for who, token in tokens.items()
        ]
        target = own("<=", limit) if limit is not None else None
        for action in ACTIONS:
            parts.append(part(f"{command}, {action}", "s", [each[action] for each in found], None, target))
    return tuple(parts)


def _known_tokens(site: Site, people: list[str], level: str) -> dict[str, str]:
    """Make them members of the level. Return a token of each by which kube-apiserver allows all actions."""
    for who in people:
        site.state = ensure_user(site.home, site.state, who)
    site.works("kube-iam", "grant", *people, level)
    role = f"arn:aws:iam::{ACCOUNT}:role/sandbox-{level}"
    tokens: dict[str, str] = {}

    def is_known(who: str) -> bool:
        done = site.run(who, "kube-iam", "token", "-i", CLUSTER_ID, "-r", role, "--token-only")
        tokens[who] = done.stdout.strip()
        refused = (401, 403)
        return done.returncode == 0 and all(
            _Asking(site, tokens[who], each).status() not in refused for each in ACTIONS
        )

    for who in people:
        if not wait_until(lambda who=who: is_known(who), 60):  # type: ignore[misc]
            raise RuntimeError(f"{who} is not admitted")
    return tokens


def _sign_ins(site: Site, who: str) -> int:
    """Return how many lines of the server's log are about sessions of that name."""
    return site.home.process("webhook").log.read_text().count(f"session={who} ")


def _refused_after(site: Site, command: str, who: str, token: str, level: str, *, known: bool) -> dict[str, float]:
    """Run the command. Return the seconds from its start to the first refusal of each action.

    Raises RuntimeError where the token should be `known` to kube-apiserver all the time, and was verified again.
    """
    sign_ins = _sign_ins(site, who)
    verb, *more = command.split()
    options = ("--no-wait", "--yes") if verb == "deny" else (level, *more)
    with ThreadPoolExecutor(len(ACTIONS) + 1) as pool:
        asking = {action: pool.submit(_Asking(site, token, action).refused_at) for action in ACTIONS}
        time.sleep(0.3)  # all of them ask by now
        start = time.monotonic()
        running = pool.submit(site.works, "kube-iam", verb, who, *options)
        seconds = {action: each.result() - start for action, each in asking.items()}
        running.result()
    if min(seconds.values()) < 0:
        raise RuntimeError(f"{who} was refused before the command: {seconds}")
    if known and _sign_ins(site, who) != sign_ins:
        raise RuntimeError(f"{who} signed in again: the token was not in kube-apiserver's cache")
    return seconds


class _Asking:
    """Requests for one action with one token, on one connection."""

    def __init__(self, site: Site, token: str, action: str) -> None:
        trust = ssl.create_default_context(cafile=str(site.home.ca))
        self._connection = http.client.HTTPSConnection(LOOPBACK, site.state.api_port, timeout=30, context=trust)
        self._request = ACTIONS[action]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def status(self) -> int:
        """Return the status of one request."""
        method, path, body = self._request
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def refused_at(self, patience: float = 60.0) -> float:
        """Return the monotonic time at which the first refused request was sent. Raises RuntimeError if none is in time."""
        began = time.monotonic()
        while time.monotonic() - began < patience:
            asked = time.monotonic()
            if self.status() in (401, 403):
                return asked
            time.sleep(0.01)
        raise RuntimeError(f"{self._request[:2]} is still admitted")


@contextmanager
def applied_site(bench: Bench, name: str, ttl: float, *, authorizer: bool = False) -> Iterator[Site]:
    """Yield a sandbox with a real kube-apiserver, in which the levels are applied. `ttl` is in seconds."""
    home = Home(bench.directory / f"site-{name}")
    try:
        site = Site(home, up(home, os.environ, lambda _: None, ttl, REFRESH, authorizer=authorizer))
        if not site.state.api_url:
            raise RuntimeError("there is no kube-apiserver: make control-plane")
        site.works("kube-iam", "apply", "--yes")
        (home.root / "viewer.yaml").write_text(site.works("kube-iam", "kubeconfig", "viewer"))
        yield site
    finally:
        down(home)


@contextmanager
def _reference_server(bench: Bench, site: Site) -> Iterator[None]:
    """Run the reference in the place of our server: same port, certificate, mappings, account."""
    process = site.home.process("webhook")
    process.stop()
    with connect_proxy([sts_host(REGION)], site.state.account_port) as proxy:
        site.proxy = proxy.url
        variables = {
            "HTTPS_PROXY": proxy.url,
            "SSL_CERT_FILE": str(site.home.ca),
            "AWS_REGION": REGION,
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        }
        command = [bench.programs.reference, "server", "-c", str(site.home.server_config), "--kubeconfig-pregenerated"]
        process.start(command, {"HOME": str(site.home.root), **variables}, site.home.root)
        yield
