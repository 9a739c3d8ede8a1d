"""A small STS of our own on loopback, over TLS, that answers AssumeRole and GetCallerIdentity and remembers who asked what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

from https_server import HttpsServer, Request

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class TlsSts:
    """The service's answers, and what it was asked: `caller`, `refusal` as (status, code, message), the sessions' `length`, `role_id`.

    `signers` are the access key ids of signed calls, `ends` is when the sessions that it gave end. With `mfa`, roles are assumed
    only with that serial number and code.
    """

    def __init__(self, directory: Path) -> None:
        self.caller = "arn:aws:iam::123456789012:user/people/alice"
        self.refusal: tuple[int, str, str] | None = None
        self.length = 3600
        self.role_id = "AROAEXAMPLE"
        self.mfa: tuple[str, str] | None = None
        self.caller_refusal: tuple[int, str, str] | None = None
        self.ahead: float | None = None
        """Seconds by which the Date of answers is ahead of this machine's clock; None: answers have no Date."""
        self.asked: list[dict[str, str]] = []
        self.ends: list[str] = []
        self.signers: list[str] = []
        self._server = HttpsServer(directory, self._answer)
        self.ca, self.authority = self._server.ca, self._server.authority

    def environment(self) -> dict[str, str]:
        """Return the variables that point an SDK at this STS."""
        return {
            "AWS_ENDPOINT_URL_STS": f"https://{self.authority}",
            "AWS_CA_BUNDLE": str(self.ca),
            "NO_PROXY": "127.0.0.1",
        }

    def actions(self) -> list[str]:
        return [call["Action"] for call in self.asked]

    @contextmanager
    def serving(self) -> Iterator[TlsSts]:
        try:
            yield self
        finally:
            self._server.stop()

    def answer(self, call: dict[str, str]) -> tuple[int, str]:
        self.asked.append(call)
        if call["Action"] == "GetCallerIdentity" and self.caller_refusal is not None:
            status, code, message = self.caller_refusal
            return status, _error(code, message)
        if call["Action"] == "GetCallerIdentity":
            return 200, _result(
                call["Action"], f"<Arn>{self.caller}</Arn><Account>123456789012</Account><UserId>A</UserId>"
            )
        if self.refusal is not None:
            status, code, message = self.refusal
            return status, _error(code, message)
        if self.mfa is not None and self.mfa != (call.get("SerialNumber"), call.get("TokenCode")):
            wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
            message = wrong if "TokenCode" in call else "User is not authorized to perform: sts:AssumeRole"
            return 403, _error("AccessDenied", message)
        end = (datetime.now(UTC) + timedelta(seconds=self.length)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.ends.append(end)
        keys = f"<AccessKeyId>ASIA{len(self.asked):012}</AccessKeyId><SecretAccessKey>very-secret</SecretAccessKey>"
        keys += f"<SessionToken>session-token-of-{call['RoleSessionName']}</SessionToken><Expiration>{end}</Expiration>"
        user = f"<AssumedRoleId>{self.role_id}:{call['RoleSessionName']}</AssumedRoleId><Arn>{call['RoleArn']}</Arn>"
        answer = f"<Credentials>{keys}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>"
        return 200, _result(call["Action"], answer)

    def _answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        scope = request.headers.get("authorization", "").partition("Credential=")[2]
        self.signers += [scope.partition("/")[0]] if scope else []
        status, text = self.answer({name: values[0] for name, values in parse_qs(request.body.decode()).items()})
        headers = {"content-type": "text/xml"}
        if self.ahead is not None:
            headers["date"] = formatdate(time.time() + self.ahead, usegmt=True)
        return status, headers, text.encode()


def _error(code: str, message: str) -> str:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<ErrorResponse xmlns="{NAMESPACE}">{error}<RequestId>r</RequestId></ErrorResponse>'


def _result(action: str, body: str) -> str:
    return f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{body}</{action}Result></{action}Response>'
