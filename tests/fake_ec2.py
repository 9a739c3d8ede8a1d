"""A fake EC2 (and the AssumeRole of an STS) for contract tests: a real HTTPS server on loopback in the query protocol.

It answers as the API reference of DescribeInstances says: an unknown id among InstanceIds fails the call, one in a filter does not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

from https_server import HttpsServer, Request

DOCUMENT = "http://ec2.amazonaws.com/doc/2016-11-15/"
STS_DOCUMENT = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True)
class Call:
    """One call as it arrived. `signer` is the access key id that signed it."""

    parameters: dict[str, str]
    headers: dict[str, str]

    @property
    def action(self) -> str:
        return self.parameters["Action"]

    @property
    def ids(self) -> list[str]:
        listed = [value for name, value in self.parameters.items() if name.startswith("InstanceId.")]
        return listed or [value for name, value in self.parameters.items() if name.startswith("Filter.1.Value.")]

    @property
    def by_filter(self) -> bool:
        return self.parameters.get("Filter.1.Name") == "instance-id"

    @property
    def signer(self) -> str:
        return self.headers["authorization"].partition("Credential=")[2].partition("/")[0]

    @property
    def signed_headers(self) -> list[str]:
        return self.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")


@dataclass
class FakeEc2:
    """`instances` maps an id to its private DNS name and owner. `fault` may answer instead. Answers wait for `may_answer`."""

    directory: Path
    instances: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    fault: Callable[[Call], tuple[int, str] | None] = lambda _: None
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()
        self.server = HttpsServer(self.directory, self._answer)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead an SDK here, with credentials."""
        url = f"https://{self.server.authority}"
        return {
            "AWS_ENDPOINT_URL_EC2": url,
            "AWS_ENDPOINT_URL_STS": url,
            "AWS_CA_BUNDLE": str(self.server.ca),
            "NO_PROXY": "127.0.0.1",
            "AWS_ACCESS_KEY_ID": "AKIASERVERSERVERSERV",
            "AWS_SECRET_ACCESS_KEY": "canaryServerSecret0123456789abcdefghijkl",
            "AWS_REGION": "eu-central-1",
        }

    def described(self) -> list[Call]:
        return [call for call in self.calls if call.action == "DescribeInstances"]

    def stop(self) -> None:
        self.may_answer.set()
        self.server.stop()

    def _answer(self, request: Request) -> tuple[int, str, bytes]:
        call = Call(dict(parse_qsl(request.body.decode())), request.headers)
        self.calls.append(call)
        self.may_answer.wait(30)
        status, text = self.fault(call) or (self._describe(call) if call.action == "DescribeInstances" else _assume())
        return status, "text/xml", text.encode()

    def _describe(self, call: Call) -> tuple[int, str]:
        unknown = [name for name in call.ids if name not in self.instances]
        if unknown and not call.by_filter:
            return error("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")
        reservations = "".join(_reservation(name, *self.instances[name]) for name in call.ids if name in self.instances)
        return 200, (
            f'<DescribeInstancesResponse xmlns="{DOCUMENT}"><requestId>r</requestId>'
            f"<reservationSet>{reservations}</reservationSet></DescribeInstancesResponse>"
        )


def error(code: str, message: str = "words of AWS", status: int = 400) -> tuple[int, str]:
    inner = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    return status, f"<Response>{inner}<RequestID>r</RequestID></Response>"


def _reservation(instance_id: str, name: str, owner: str) -> str:
    # A terminated instance has an empty name.
    return (
        f"<item><reservationId>r-1</reservationId><ownerId>{owner}</ownerId><instancesSet><item>"
        f"<instanceId>{instance_id}</instanceId><privateDnsName>{name}</privateDnsName></item></instancesSet></item>"
    )


def _assume() -> tuple[int, str]:
    end = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = "<AccessKeyId>ASIAROLEROLEROLEROLE</AccessKeyId><SecretAccessKey>canaryRoleSecret</SecretAccessKey>"
    keys += f"<SessionToken>canaryRoleToken</SessionToken><Expiration>{end}</Expiration>"
    return 200, (
        f'<AssumeRoleResponse xmlns="{STS_DOCUMENT}"><AssumeRoleResult><Credentials>{keys}</Credentials>'
        "</AssumeRoleResult></AssumeRoleResponse>"
    )
