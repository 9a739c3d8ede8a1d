"""ec2:DescribeInstances through botocore: owners of instances, and their private DNS names. Blocking; thread-safe.

botocore is imported with the first call: only servers whose mappings hold {{EC2PrivateDNSName}} pay its 34 MB (docs/decisions/0006).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kube_iam.aws.client import aws_errors, make_client, make_session
from kube_iam.core.arns import parse_arn
from kube_iam.errors import AwsError, CredentialsError

BATCH = 100
"""The number of instances that one call reads."""
_DOING = "look EC2 instances up"
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 2, 4, 2
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
        self._role_arn = role_arn
        self._source_arn = source_arn
        self._lock = threading.Lock()
        self._client: Any = None

    def describe(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return the instances by their ids. Raises NotFound where EC2 does not know all of them."""
        return self._ask(InstanceIds=list(ids))

    def search(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return those of the instances that EC2 knows. One availability zone that is down fails every search: prefer `describe`."""
        return self._ask(Filters=[{"Name": "instance-id", "Values": list(ids)}])

    def _ask(self, **parameters: Any) -> dict[str, Instance]:
        client = self._ready()
        try:
            with aws_errors(_DOING):
                pages = client.get_paginator("describe_instances").paginate(**parameters)
                return dict(_instances(islice(pages, _MAX_PAGES)))
        except CredentialsError:
            # A client without credentials would stay without: look for them again next time.
            self._client = None
            raise

    def _ready(self) -> Any:
        with self._lock:
            if not self._region:
                raise AwsError(f"cannot {_DOING}: the server does not know its own AWS region", "set AWS_REGION")
            if self._client is None:
                session = make_session()
                if self._role_arn:
                    session = _as_role(session, self._region, self._role_arn, self._source_arn)
                self._client = make_client("ec2", self._region, session=session, config=_limits())
            return self._client


def _limits() -> Any:
    from botocore.config import Config

    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )


def _as_role(session: Any, region: str, role_arn: str, source_arn: str) -> Any:
    """Return a session that signs as the role. It is renewed as long as it is used."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )

    def sts(service: str, **keys: Any) -> Any:
        client = make_client(service, region, session=session, config=_limits(), **keys)
        if source_arn:
            client.meta.events.register("before-call.sts.AssumeRole", _source_headers(source_arn))
        return client

    with aws_errors("find the server's own AWS credentials"):
        own = session.get_credentials()
    if own is None:
        raise CredentialsError(f"cannot assume {role_arn}: no AWS credentials found", "give the server a role")
    arguments = {"RoleSessionName": _SESSION_NAME, "DurationSeconds": _SESSION_SECONDS}
    fetcher = AssumeRoleCredentialFetcher(sts, own, role_arn, extra_args=arguments)

    class Role(CredentialProvider):  # type: ignore[misc, unused-ignore]
        METHOD = "assume-role"

        def load(self) -> Any:
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    of_role = make_session()
    of_role.register_component("credential_provider", CredentialResolver([Role()]))
    return of_role


def _source_headers(source_arn: str) -> Any:
    """Return a handler that adds the values of the condition keys aws:SourceArn and aws:SourceAccount. The signature covers them."""
    arn = parse_arn(source_arn)
    headers = {"x-amz-source-arn": source_arn, "x-amz-source-account": arn.account if arn is not None else ""}

    def add(params: dict[str, Any], **_: Any) -> None:
        params["headers"].update(headers)

    return add


def _instances(pages: Iterable[Any]) -> Iterator[tuple[str, Instance]]:
    for page in pages:
        for reservation in page.get("Reservations", ()):
            for instance in reservation.get("Instances", ()):
                found = Instance(instance.get("PrivateDnsName", ""), reservation.get("OwnerId", ""))
                yield instance.get("InstanceId", ""), found
