"""An AWS account in a box, a kube-iam server that reads it, and a front between the two where faults can be put."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import create_default_context
from typing import Any
from urllib.parse import parse_qsl

from account_in_a_box import Account

from https_server import HttpsServer, Request
from kube_iam.core.credentials import Credentials
from kube_iam.core.mint import mint
from kube_iam.core.sigv4 import presign
from kube_iam.core.utc import basic_timestamp
from kube_iam.sandbox.files import write_private
from kube_iam.sandbox.people import let_server_read
from kube_iam.sandbox.state import AUTHENTICATOR, CLUSTER_ID, LOOPBACK, REGION
from kube_iam.sandbox.webhook import config, launch_webhook, readiness, review

Call = dict[str, str]
Fault = Callable[[Call], "tuple[int, str] | None"]


def error(code: str, status: int = 400) -> tuple[int, str]:
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>words of AWS</Message></Error>"
    return status, f"<ErrorResponse>{inner}<RequestId>r</RequestId></ErrorResponse>"


@dataclass
class FaultyIam:
    """Passes calls on to the account, signed anew as the server's own user; `fault` may answer instead, `gate` holds answers up."""

    account: Account
    directory: Path
    calls: list[Call] = field(default_factory=list)
    fault: Fault = lambda _: None
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self.server = HttpsServer(self.directory, self._answer)
        self.url = f"https://{self.server.authority}"

    def heal(self) -> None:
        self.fault = lambda _: None
        self.gate.set()

    def stop(self) -> None:
        self.heal()
        self.server.stop()

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        call = dict(parse_qsl(request.body.decode()))
        self.calls.append(call)
        self.gate.wait(30)
        status, text = self.fault(call) or self.real(call)
        return status, "text/xml", text.encode()

    def real(self, call: Call) -> tuple[int, str]:
        """What the account answers to the server's user."""
        who = self.account.state.user(AUTHENTICATOR)
        assert who is not None
        url = presign(
            who,
            region="us-east-1",
            service="iam",
            host=f"{LOOPBACK}:{self.account.state.account_port}",
            path="/",
            parameters=call,
            headers={},
            timestamp=basic_timestamp(time.time()),
            expires=60,
        )
        https = urllib.request.HTTPSHandler(context=create_default_context(cafile=str(self.account.home.ca)))
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({}), https).open(url, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()


class DoorSite:
    """Everything on loopback; `settings` are lines under `server:`, `mappings` too."""

    def __init__(self, account: Account, directory: Path) -> None:
        self.account = account
        self.home, self.state = account.home, account.state
        self.iam = FaultyIam(account, directory / "front")
        self.bundle = directory / "bundle.pem"
        self.bundle.write_text(self.home.ca.read_text() + self.iam.server.ca.read_text())

    @property
    def log(self) -> str:
        return self.home.process("webhook").log.read_text()

    def allow(self, document: dict[str, object]) -> None:
        let_server_read(self.home, self.state, document)

    def configure(self, mappings: str, settings: str = "") -> None:
        text = config(self.home, self.state, cluster=False).replace(
            "  membershipRefresh: 2s", "  membershipRefresh: 1s"
        )
        write_private(self.home.server_config, text + settings + mappings)

    def start(self, **variables: str) -> None:
        """Start the server and wait until it takes requests."""
        launch_webhook(
            self.home, self.state, AWS_ENDPOINT_URL_IAM=self.iam.url, AWS_CA_BUNDLE=str(self.bundle), **variables
        )
        wait_until(lambda: "msg=listening" in self.log, "the server listens")

    def stop(self) -> None:
        self.home.process("webhook").stop()

    def ready(self) -> str:
        return readiness(self.state)

    def token(self, who: Credentials) -> str:
        host = f"{LOOPBACK}:{self.state.account_port}"
        return mint(who, cluster_id=CLUSTER_ID, region=REGION, host=host, now=time.time())

    def sign_in(self, who: Credentials) -> dict[str, Any]:
        """The status of a TokenReview with a new token."""
        status: dict[str, Any] = review(self.home, self.state, self.token(who))[1]["status"]
        return status

    def enters(self, who: Credentials) -> bool:
        return bool(self.sign_in(who).get("authenticated"))

    def metric(self, sample: str) -> float:
        trust = create_default_context(cafile=str(self.home.webhook / "cert.pem"))
        https = urllib.request.HTTPSHandler(context=trust)
        url = self.state.webhook_url.replace("/authenticate", "/metrics")
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), https).open(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith(sample + " ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else -1.0


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not come to pass: {what}"
        time.sleep(0.05)


def entry(level: str, more: str = "") -> str:
    """A mapRoles entry of a level that `Account.make_level` made."""
    role = f"arn:aws:iam::111122223333:role/{level}"
    return (
        f"  - rolearn: {role}\n    username: iam:{{{{SessionNameRaw}}}}\n    groups: [kube-iam:{level}]\n"
        f"    iamGroup: {level}\n    level: {level}\n{more}"
    )


def as_json(document: object) -> str:
    return json.dumps(document)
