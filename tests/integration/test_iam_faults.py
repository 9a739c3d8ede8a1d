"""The IAM directory when IAM throttles, denies, or does not show yet what it was just told.

The account is moto's. A fault is an answer that the test puts in IAM's place for a few calls of one operation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto import mock_aws

from kube_iam.aws.iam import IamDirectory
from kube_iam.aws.iam_wait import IamWaiter
from kube_iam.errors import AccessDenied, AwsError, KubeIamError, NotFound, Throttled

ACCOUNT = "123456789012"
PATH = "/kube-iam/shop/"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ],
}
DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}
MISSING = ("NoSuchEntity", 404, "The entity with name x cannot be found.")
INVALID_PRINCIPAL = (
    "MalformedPolicyDocument",
    400,
    'Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/new"',
)


Answer = tuple[str, int, str] | dict[str, Any]  # an error's code, status and message; or stale content


class Account:
    """moto's account behind one client, with faults, a count of calls and a clock that only sleeping moves."""

    def __init__(self) -> None:
        from botocore.config import Config
        from botocore.session import Session

        self.client: Any = Session().create_client(
            "iam",
            region_name="us-east-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="wJalrXUtnFEMI",
            config=Config(retries={"mode": "standard", "max_attempts": 1}),
        )
        self.calls: dict[str, int] = {}
        self.said: list[str] = []
        self.now = 0.0
        self.client.meta.events.register("before-call.iam", self._before)
        self._faults: dict[str, list[Answer | None]] = {}

    def fails(self, operation: str, *answers: Answer | None) -> None:
        """Give these answers to the next calls of the operation. None passes a call on."""
        self._faults[operation] = list(answers)

    def directory(self) -> IamDirectory:
        waiter = IamWaiter(clock=lambda: self.now, sleep=self._sleep, jitter=lambda: 1.0)
        return IamDirectory(lambda _: self.client, self.said.append, waiter=waiter)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _before(self, model: Any, **_: Any) -> Any:
        self.calls[model.name] = self.calls.get(model.name, 0) + 1
        queue = self._faults.get(model.name)
        answer = queue.pop(0) if queue else None
        if answer is None:
            return None
        if isinstance(answer, dict):
            return type("Answer", (), {"status_code": 200, "headers": {}})(), answer
        code, status, message = answer
        response = type("Answer", (), {"status_code": status, "headers": {}})()
        return response, {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.fixture
def account() -> Iterator[Account]:
    with mock_aws():
        yield Account()


def test_a_role_that_reads_do_not_show_yet_is_waited_for(account: Account) -> None:
    account.fails("GetRole", MISSING, MISSING, MISSING)
    arn = account.directory().create_role("shop-viewer", "/", TRUST, {}, 3600, "")
    assert arn.endswith(":role/shop-viewer")
    assert account.calls["GetRole"] == 4
    assert account.said == ["waiting for IAM to show role shop-viewer"] * 3
    assert account.now == 0.25 + 0.5 + 1.0


def test_a_role_that_never_shows_ends_in_an_error_after_a_minute(account: Account) -> None:
    account.fails("GetRole", *[MISSING] * 1000)
    with pytest.raises(AwsError, match="does not show role shop-viewer after 60 s"):
        account.directory().create_role("shop-viewer", "/", TRUST, {}, 3600, "")
    assert account.now == 60.0
    # What was made is there all the same, and the next run takes it for its own.
    account.fails("GetRole")
    account.directory().create_role("shop-viewer", "/", TRUST, {}, 3600, "")


def test_a_principal_that_iam_does_not_know_yet_is_waited_out(account: Account) -> None:
    account.fails("CreateRole", INVALID_PRINCIPAL, INVALID_PRINCIPAL)
    account.directory().create_role("shop-viewer", "/", TRUST, {}, 3600, "")
    assert account.calls["CreateRole"] == 3


def test_a_policy_that_is_malformed_otherwise_fails_at_once(account: Account) -> None:
    account.fails("CreateRole", ("MalformedPolicyDocument", 400, "Syntax errors in policy."))
    with pytest.raises(AwsError, match="Syntax errors"):
        account.directory().create_role("shop-viewer", "/", TRUST, {}, 3600, "")
    assert account.calls["CreateRole"] == 1


def test_attaching_a_policy_that_iam_does_not_know_yet_is_repeated(account: Account) -> None:
    directory = account.directory()
    arn = directory.create_policy("p", PATH, DOCUMENT, {}, "")
    directory.create_group("g", PATH)
    account.fails("AttachGroupPolicy", MISSING, MISSING)
    directory.attach("g", arn)
    assert account.calls["AttachGroupPolicy"] == 3
    group = directory.group("g")
    assert group is not None
    assert group.attached == (arn,)


def test_attaching_to_what_never_comes_ends_with_not_found(account: Account) -> None:
    with pytest.raises(NotFound):
        account.directory().attach("none", f"arn:aws:iam::{ACCOUNT}:policy/none")
    assert account.now == 60.0


def test_a_member_that_reads_still_show_is_waited_for_until_it_is_out(account: Account) -> None:
    directory = account.directory()
    directory.create_group("g", PATH)
    account.client.create_user(UserName="alice")
    directory.add_member("g", "alice")
    group = {"GroupName": "g", "Path": PATH, "Arn": f"arn:aws:iam::{ACCOUNT}:group{PATH}g"}
    account.fails("ListGroupsForUser", *[{"Groups": [group], "IsTruncated": False}] * 2)
    directory.remove_member("g", "alice")
    assert account.said == ["waiting for IAM to show user alice outside group g"] * 2


def test_an_update_is_waited_for_until_the_new_document_is_read(account: Account) -> None:
    directory = account.directory()
    arn = directory.create_policy("p", PATH, DOCUMENT, {}, "")
    account.fails("GetPolicy", MISSING)
    directory.update_policy(arn, {**DOCUMENT, "Id": "new"})
    assert account.said == [f"waiting for IAM to show the new version of policy {arn}"]


Write = Callable[[IamDirectory], object]
WRITES: list[tuple[str, Write]] = [
    ("CreateRole", lambda iam: iam.create_role("r", "/", TRUST, {}, 3600, "")),
    ("CreatePolicy", lambda iam: iam.create_policy("p", PATH, DOCUMENT, {}, "")),
    ("CreateGroup", lambda iam: iam.create_group("g", PATH)),
    ("UpdateGroup", lambda iam: iam.move_group("g", PATH)),
    ("AddUserToGroup", lambda iam: iam.add_member("g", "alice")),
    ("RemoveUserFromGroup", lambda iam: iam.remove_member("g", "alice")),
    ("DeleteRole", lambda iam: iam.delete_role("r")),
    ("ListUsers", lambda iam: list(iam.users())),
    ("GetRole", lambda iam: iam.role("r")),
]


@pytest.mark.parametrize(("operation", "write"), WRITES, ids=[name for name, _ in WRITES])
@pytest.mark.parametrize("told", [True, False], ids=["as AWS words it", "without the action"])
def test_a_missing_permission_is_named(account: Account, operation: str, write: Write, told: bool) -> None:
    caller = f"arn:aws:iam::{ACCOUNT}:user/admin"
    message = f"User: {caller} is not authorized to perform: iam:{operation} on resource: x" if told else "no"
    account.fails(operation, ("AccessDenied", 403, message))
    with pytest.raises(AccessDenied) as caught:
        write(account.directory())
    assert f"iam:{operation}" in caught.value.hint
    assert account.now == 0


def test_throttling_that_does_not_end_is_said_with_what_to_do(account: Account) -> None:
    account.fails("ListGroups", *[("Throttling", 400, "Rate exceeded")] * 10)
    with pytest.raises(Throttled) as caught:
        account.directory().groups(PATH)
    assert caught.value.hint


def test_botocore_repeats_a_throttled_call_by_itself() -> None:
    """The retries are botocore's own, below our faults: an answer of the wire is throttled once and the call succeeds."""
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    throttled = [
        "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>",
        "<ListUsersResponse><ListUsersResult><Users/><IsTruncated>false</IsTruncated></ListUsersResult></ListUsersResponse>",
    ]

    def answer(request: Any, **_: Any) -> AWSResponse:
        body = throttled.pop(0).encode()
        raw = type("Raw", (), {"stream": staticmethod(lambda **_: iter([body]))})()
        return AWSResponse(request.url, 400 if b"Throttling" in body else 200, HTTPHeaders(), raw)

    from kube_iam.aws.client import make_client

    client = make_client("iam", "us-east-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret")
    client.meta.events.register("before-send.iam", answer)
    assert list(IamDirectory(lambda _: client).users()) == []
    assert throttled == []


def test_a_document_that_arrives_url_encoded_is_read(account: Account) -> None:
    from urllib.parse import quote

    from kube_iam.aws.iam_calls import document_of

    assert document_of(quote(json.dumps(DOCUMENT))) == DOCUMENT
    assert document_of(DOCUMENT) == DOCUMENT


def test_no_error_repeats_the_secret_key(account: Account) -> None:
    account.fails(
        "CreateRole", ("SignatureDoesNotMatch", 403, "The Canonical String was ... x-amz-security-token:SECRET")
    )
    with pytest.raises(KubeIamError) as caught:
        account.directory().create_role("r", "/", TRUST, {}, 3600, "")
    assert "SECRET" not in str(caught.value)
    assert "wJalrXUtnFEMI" not in str(caught.value)
