"""An emulated AWS account, a kube-iam server that reads it, and between the two a front where faults can be put."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import create_default_context
from typing import Any

from faulty_iam import FaultyIam

from emulated_account import Account
from kube_iam.core.credentials import Credentials
from kube_iam.core.server_policy import server_policy
from kube_iam.core.tokens import mint
from kube_iam.core.utc import basic_timestamp
from kube_iam.files import write_file
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.state import CLUSTER_ID, LOOPBACK, REGION, Home
from kube_iam.sandbox.up import down, start_account
from kube_iam.sandbox.users import put_server_policy
from kube_iam.sandbox.webhook import config, launch_webhook, readiness, review

ACCOUNT = "arn:aws:iam::111122223333"


class MembershipSite:
    """Everything on loopback; `settings` are lines under `server:`, `mappings` too."""

    def __init__(self, account: Account, directory: Path) -> None:
        self.account = account
        self.home, self.state = account.home, account.state
        self.iam = FaultyIam(account, directory / "front")
        self.policy: dict[str, object] = {}
        self.bundle = directory / "bundle.pem"
        self.bundle.write_text(self.home.ca.read_text() + self.iam.server.ca.read_text())

    @property
    def log(self) -> str:
        return self.home.process("webhook").log.read_text()

    def allow(self, document: dict[str, object]) -> None:
        put_server_policy(self.home, self.state, document)

    def configure(self, mappings: str, settings: str = "") -> None:
        text = config(self.home, self.state, cluster=False).replace(
            "  membershipRefresh: 2s", "  membershipRefresh: 1s"
        )
        write_file(self.home.server_config, (text + settings + mappings).encode())

    def start(self, **variables: str) -> None:
        """Start the server and wait until it takes requests."""
        before = self.log.count("msg=listening") if self.home.process("webhook").log.exists() else 0
        launch_webhook(
            self.home, self.state, AWS_ENDPOINT_URL_IAM=self.iam.url, AWS_CA_BUNDLE=str(self.bundle), **variables
        )
        wait_until(lambda: self.log.count("msg=listening") > before, "the server listens")

    def stop(self) -> None:
        self.home.process("webhook").stop()

    def ready(self) -> str:
        return readiness(self.state)

    def join(self, user: str, level: str) -> Credentials:
        """Put the user into the group of the level; a live session in its role."""
        self.add(user, level)
        return self.account.assume(user, f"{ACCOUNT}:role/{level}", user)

    def add(self, user: str, level: str) -> Credentials:
        """Put the user into the group; the user's own keys."""
        keys = self.account.user(user)
        self.account.administrator.add_user_to_group(GroupName=level, UserName=user)
        return keys

    def leave(self, user: str, level: str) -> None:
        self.account.administrator.remove_user_from_group(GroupName=level, UserName=user)

    def made_anew(self, user: str, level: str) -> Credentials:
        """Delete the user, with keys and membership, and make another one of the same name: its keys."""
        iam = self.account.administrator
        self.leave(user, level)
        for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName=user)
        iam.create_user(UserName=user)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def token(self, who: Credentials) -> str:
        host = f"{LOOPBACK}:{self.state.account_port}"
        return mint(who, cluster_id=CLUSTER_ID, region=REGION, host=host, timestamp=basic_timestamp(time.time()))

    def sign_in(self, who: Credentials) -> dict[str, Any]:
        """Return the status of a TokenReview with a new token."""
        status: dict[str, Any] = review(self.home, self.state, self.token(who))[1]["status"]
        return status

    def is_admitted(self, who: Credentials) -> bool:
        return bool(self.sign_in(who).get("authenticated"))

    def metric(self, sample: str) -> float:
        trust = create_default_context(cafile=str(self.home.webhook / "cert.pem"))
        https = urllib.request.HTTPSHandler(context=trust)
        url = self.state.webhook_url.replace("/authenticate", "/metrics")
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), https).open(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith(sample + " ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else -1.0


@contextmanager
def running(directory: Path, levels: tuple[str, ...], mappings: str) -> Iterator[MembershipSite]:
    """Run an account with these levels, and a server with these mappings that may read them and has begun to."""
    home = Home(directory / "sandbox")
    home.create()
    try:
        site = MembershipSite(Account(home, start_account(home, Authority(home.tls), lambda _: None)), home.root)
        for level in levels:
            site.account.make_level(level)
        site.policy = server_policy(
            [f"{ACCOUNT}:group/{name}" for name in levels], [f"{ACCOUNT}:role/{name}" for name in levels]
        )
        site.allow(site.policy)
        site.configure(mappings)
        site.start()
        yield site
        site.iam.stop()
    finally:
        down(home)


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not come to pass: {what}"
        time.sleep(0.05)


def entry(level: str, more: str = "") -> str:
    """Return a mapRoles entry of a level that `Account.make_level` made."""
    role = f"arn:aws:iam::111122223333:role/{level}"
    return (
        f"  - rolearn: {role}\n    username: awsiam:{{{{SessionNameRaw}}}}\n    groups: [kube-iam:{level}]\n"
        f"    iamGroup: {level}\n    level: {level}\n{more}"
    )


def group_entry(level: str) -> str:
    """Return a mapGroups entry."""
    return f"  - iamGroup: {level}\n    username: awsiam:{{{{UserName}}}}\n    groups: [kube-iam:{level}]\n    level: {level}\n"
