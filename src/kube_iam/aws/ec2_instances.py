"""ec2:DescribeInstances: owners of instances, and their private DNS names. Blocking; thread-safe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from kube_iam.aws.query_api import not_whole, text_at
from kube_iam.aws.server_api import ServerApi
from kube_iam.aws.server_credentials import RenewedCredentials, session_in
from kube_iam.core.arns import parse_arn
from kube_iam.core.credentials import Credentials
from kube_iam.errors import AwsError

BATCH = 100
"""The number of instances that one call reads."""
_DOING = "look EC2 instances up"
_CONNECT_SECONDS, _READ_SECONDS = 2, 4
_SESSION_NAME = "kube-iam"
_SESSION_SECONDS = 3600
# A search by id has one page; AWS may put empty ones before it.
_MAX_PAGES = 50


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance's private DNS name (empty once it is terminated) and the account that owns it."""

    private_dns_name: str
    account_id: str


class Ec2Instances:
    """Client that reads instances of one region, with the server's own credentials or as a role that these may assume."""

    def __init__(self, region: str, role_arn: str = "", source_arn: str = "") -> None:
        """`source_arn` is sent with AssumeRole, for trust policies that ask for aws:SourceArn and aws:SourceAccount."""
        self._region = region
        role = _RoleCredentials(region, role_arn, source_arn) if role_arn else None
        self._api = ServerApi(
            "ec2", region, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS, credentials=role
        )

    def describe(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return the instances by their ids. Raises NotFound where EC2 does not know all of them."""
        return self._ask({f"InstanceId.{number}": each for number, each in enumerate(ids, 1)})

    def search(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return those of the instances that EC2 knows. One availability zone that is down fails every search: prefer `describe`."""
        values = {f"Filter.1.Value.{number}": each for number, each in enumerate(ids, 1)}
        return self._ask({"Filter.1.Name": "instance-id", **values})

    def _ask(self, parameters: Mapping[str, str]) -> dict[str, Instance]:
        if not self._region:
            raise AwsError(f"cannot {_DOING}: the server does not know its own AWS region", "set AWS_REGION")
        found: dict[str, Instance] = {}
        following: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            page = self._api.call("DescribeInstances", {**parameters, **following}, _DOING)
            reservations = page.find("reservationSet")
            if reservations is None:
                raise not_whole(_DOING)
            found |= _instances(reservations)
            token = text_at(page, "nextToken")
            if not token:
                break
            following = {"NextToken": token}
        return found


class _RoleCredentials(RenewedCredentials):
    """Sessions of a role, assumed with the server's own credentials."""

    def __init__(self, region: str, role_arn: str, source_arn: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._role_arn = role_arn
        self._headers = _source_headers(source_arn) if source_arn else {}
        self._api = ServerApi("sts", region, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS)

    def _find(self, now: float) -> Credentials:  # noqa: ARG002
        parameters = {
            "RoleArn": self._role_arn,
            "RoleSessionName": _SESSION_NAME,
            "DurationSeconds": str(_SESSION_SECONDS),
        }
        return session_in(self._api.call("AssumeRole", parameters, f"assume {self._role_arn}", self._headers))


def _source_headers(source_arn: str) -> dict[str, str]:
    """Return the values of the condition keys aws:SourceArn and aws:SourceAccount, which the signature covers."""
    arn = parse_arn(source_arn)
    return {"x-amz-source-arn": source_arn, "x-amz-source-account": arn.account if arn is not None else ""}


def _instances(reservations: Element) -> Iterator[tuple[str, Instance]]:
    for reservation in reservations:
        for instance in reservation.iterfind("instancesSet/item"):
            found = Instance(text_at(instance, "privateDnsName"), text_at(reservation, "ownerId"))
            yield text_at(instance, "instanceId"), found
