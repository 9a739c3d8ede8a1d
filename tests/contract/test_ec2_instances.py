"""botocore's side of EC2 node names, against a fake EC2 over TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_ec2 import Call, FakeEc2, error
from kube_iam.aws import ec2_instances
from kube_iam.aws.ec2_instances import Ec2Instances, Instance
from kube_iam.errors import AccessDenied, CredentialsError, KubeIamError, NotFound, Throttled, Unreachable

FIRST, SECOND, GONE = "i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2"
OWNER = "111122223333"
ROLE = "arn:aws:iam::111122223333:role/describer"
SOURCE = "arn:aws:eks:eu-central-1:444455556666:cluster/shop"


@pytest.fixture
def ec2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEc2]:
    fake = FakeEc2(tmp_path / "ec2", {FIRST: ("ip-1.internal", OWNER), SECOND: ("", OWNER)})
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    yield fake
    fake.stop()


def test_instances_are_described_with_their_owner(ec2: FakeEc2) -> None:
    found = Ec2Instances("eu-central-1").describe([FIRST, SECOND])
    assert found == {FIRST: Instance("ip-1.internal", OWNER), SECOND: Instance("", OWNER)}
    assert ec2.calls[0].ids == [FIRST, SECOND]
    assert "/eu-central-1/ec2/aws4_request" in ec2.calls[0].headers["authorization"]


@pytest.mark.parametrize("code", ["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"])
def test_an_unknown_instance_fails_describe_but_not_search(ec2: FakeEc2, code: str) -> None:
    instances = Ec2Instances("eu-central-1")
    ec2.fault = lambda call: None if call.by_filter else error(code)
    with pytest.raises(NotFound):
        instances.describe([FIRST, GONE])
    assert instances.search([FIRST, GONE]) == {FIRST: Instance("ip-1.internal", OWNER)}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error("RequestLimitExceeded", status=503), Throttled),
        (error("Throttling"), Throttled),
        (error("UnauthorizedOperation", status=403), AccessDenied),
        (error("AuthFailure", status=401), CredentialsError),
        (error("InternalError", status=500), Unreachable),
        ((200, "<DescribeInstancesResponse><reservationSet><item><instan"), Unreachable),
        ((200, ""), Unreachable),
        ((0, ""), Unreachable),
    ],
)
def test_each_failure_has_its_kind(ec2: FakeEc2, answer: tuple[int, str], kind: type[KubeIamError]) -> None:
    ec2.fault = lambda _: answer
    with pytest.raises(kind):
        Ec2Instances("eu-central-1").describe([FIRST])
    assert 1 <= len(ec2.calls) <= 2


def test_one_throttled_attempt_is_made_up_for(ec2: FakeEc2) -> None:
    ec2.fault = lambda _: error("RequestLimitExceeded", status=503) if len(ec2.calls) == 1 else None
    assert Ec2Instances("eu-central-1").describe([FIRST])[FIRST].private_dns_name == "ip-1.internal"


def test_an_ec2_that_does_not_answer_is_given_up(ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ec2_instances, "_READ_SECONDS", 0.1)
    ec2.may_answer.clear()
    with pytest.raises(Unreachable):
        Ec2Instances("eu-central-1").describe([FIRST])


def test_a_role_is_assumed_once_with_the_signed_source_headers(ec2: FakeEc2) -> None:
    instances = Ec2Instances("eu-central-1", ROLE, SOURCE)
    instances.describe([FIRST])
    instances.describe([SECOND])
    assert [call.action for call in ec2.calls] == ["AssumeRole", "DescribeInstances", "DescribeInstances"]
    assume = ec2.calls[0]
    assert assume.parameters["RoleArn"] == ROLE
    assert assume.headers["x-amz-source-arn"] == SOURCE
    assert assume.headers["x-amz-source-account"] == "444455556666"
    assert {"x-amz-source-arn", "x-amz-source-account"} <= set(assume.signed_headers)
    assert assume.signer == "AKIASERVERSERVERSERV"
    assert {call.signer for call in ec2.described()} == {"ASIAROLEROLEROLEROLE"}
    assert "x-amz-source-arn" not in ec2.described()[0].headers


def test_without_a_source_no_source_is_named(ec2: FakeEc2) -> None:
    Ec2Instances("eu-central-1", ROLE).describe([FIRST])
    assert "x-amz-source-arn" not in ec2.calls[0].headers


def test_a_role_that_may_not_be_assumed_is_a_denial(ec2: FakeEc2) -> None:
    def refuse(call: Call) -> tuple[int, str] | None:
        denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        return (403, denied) if call.action == "AssumeRole" else None

    ec2.fault = refuse
    with pytest.raises(AccessDenied):
        Ec2Instances("eu-central-1", ROLE).describe([FIRST])


def test_credentials_that_come_later_are_found(ec2: FakeEc2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    for role in ("", ROLE):
        instances = Ec2Instances("eu-central-1", role)
        with pytest.raises(CredentialsError):
            instances.describe([FIRST])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASERVERSERVERSERV")
        assert instances.describe([FIRST])
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")


def test_pages_are_followed(ec2: FakeEc2) -> None:
    def paged(call: Call) -> tuple[int, str]:
        if "NextToken" in call.parameters:
            return ec2._describe(call)
        return (
            200,
            "<DescribeInstancesResponse><reservationSet/><nextToken>more</nextToken></DescribeInstancesResponse>",
        )

    ec2.fault = paged
    assert list(Ec2Instances("eu-central-1").search([FIRST])) == [FIRST]
