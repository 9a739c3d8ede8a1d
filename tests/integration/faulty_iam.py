"""A front before the IAM of an emulated account, where faults can be put, and which cuts answers into pages as IAM does."""

from __future__ import annotations

import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import create_default_context
from urllib.parse import parse_qsl

from emulated_account import Account
from https_server import HttpsServer, Request
from kube_iam.core.tokens import presign
from kube_iam.core.utc import basic_timestamp
from kube_iam.sandbox.state import AUTHENTICATOR, LOOPBACK

Call = dict[str, str]
Fault = Callable[[Call], "tuple[int, str] | None"]
_PAGE = 100  # what IAM gives at once where nothing is said, and may give where more is asked for
_USERS = re.compile(r"<Users>(.*)</Users><IsTruncated>false</IsTruncated>", re.DOTALL)


def error(code: str, status: int = 400) -> tuple[int, str]:
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>words of AWS</Message></Error>"
    return status, f"<ErrorResponse>{inner}<RequestId>r</RequestId></ErrorResponse>"


@dataclass
class FaultyIam:
    """Passes calls on to the account, signed anew as the server's own user. `fault` may answer instead; answers wait for `may_answer`.

    The emulator gives all members of a group at once; here they come in pages. `crowd` adds made-up ones before a group's own.
    """

    account: Account
    directory: Path
    calls: list[Call] = field(default_factory=list)
    fault: Fault = lambda _: None
    may_answer: threading.Event = field(default_factory=threading.Event)
    crowd: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.may_answer.set()
        self.server = HttpsServer(self.directory, self._answer)
        self.url = f"https://{self.server.authority}"

    def heal(self) -> None:
        self.fault = lambda _: None
        self.may_answer.set()

    def stop(self) -> None:
        self.heal()
        self.server.stop()

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        call = dict(parse_qsl(request.body.decode()))
        self.calls.append(call)
        self.may_answer.wait(30)
        status, text = self.fault(call) or self.paged(call)
        return status, "text/xml", text.encode()

    def paged(self, call: Call) -> tuple[int, str]:
        """Return the account's answer to the server's user, in pages as IAM cuts them."""
        asked = {name: value for name, value in call.items() if name not in ("Marker", "MaxItems")}
        status, text = self.real(asked)
        found = _USERS.search(text)
        if found is None:
            return status, text
        members = [_member(number) for number in range(self.crowd.get(call.get("GroupName", ""), 0))]
        members += re.findall("<member>.*?</member>", found[1], re.DOTALL)
        begin = int(call.get("Marker", "0"))
        end = begin + _PAGE
        more = f"true</IsTruncated><Marker>{end}</Marker>" if end < len(members) else "false</IsTruncated>"
        return status, _USERS.sub(f"<Users>{''.join(members[begin:end])}</Users><IsTruncated>{more}", text)

    def real(self, call: Call) -> tuple[int, str]:
        """Return the account's whole answer to the server's user."""
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


def _member(number: int) -> str:
    name, user_id = f"crowd{number:04}", f"AIDACROWD{number:012}"
    arn = f"<Arn>arn:aws:iam::111122223333:user/{name}</Arn><Path>/</Path><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
    return f"<member><UserName>{name}</UserName><UserId>{user_id}</UserId>{arn}</member>"
