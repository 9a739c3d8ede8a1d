"""The emulated AWS account for tests."""

from __future__ import annotations

import json
from typing import Any

from botocore.config import Config
from botocore.session import Session

from kube_iam.core.credentials import Credentials
from kube_iam.sandbox.state import ACCOUNT, ADMINISTRATOR, REGION, Home, State
from kube_iam.sandbox.users import ensure_user


class Account:
    """An emulated AWS account: botocore clients for it, and levels of access created as kube-iam creates them."""

    def __init__(self, home: Home, state: State) -> None:
        self.home = home
        self.state = state
        self.url = state.account_url
        self._session = Session()
        self._clients: dict[tuple[str, Credentials], Any] = {}
        self.administrator = self.client("iam", self.user(ADMINISTRATOR))

    def user(self, name: str) -> Credentials:
        self.state = ensure_user(self.home, self.state, name)
        found = self.state.user(name)
        assert found is not None
        return found

    def client(self, service: str, who: Credentials) -> Any:
        """Return the client of these credentials, always the same: making one and its connection takes as long as ten calls."""
        if (service, who) not in self._clients:
            self._clients[service, who] = self._make_client(service, who)
        return self._clients[service, who]

    def _make_client(self, service: str, who: Credentials) -> Any:
        return self._session.create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            verify=str(self.home.ca),
            aws_access_key_id=who.access_key_id,
            aws_secret_access_key=who.secret_access_key,
            aws_session_token=who.session_token or None,
            config=Config(retries={"max_attempts": 0}, proxies={}, parameter_validation=False),
        )

    def make_level(self, name: str, *, max_session: int = 3600) -> str:
        """Role, policy and group of a level; the role's ARN."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
                }
            ],
        }
        role: str = self.administrator.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=max_session
        )["Role"]["Arn"]
        allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role}
        policy = self.administrator.create_policy(
            PolicyName=name, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        )["Policy"]["Arn"]
        self.administrator.create_group(GroupName=name)
        self.administrator.attach_group_policy(GroupName=name, PolicyArn=policy)
        return role

    def assume(self, who: str | Credentials, role: str, session_name: str, **more: Any) -> Credentials:
        client = self.client("sts", self.user(who) if isinstance(who, str) else who)
        keys = client.assume_role(RoleArn=role, RoleSessionName=session_name, **more)["Credentials"]
        return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
