"""Nodes that sign in: the whole server, with a fake STS and a fake EC2 behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_sts import FakeSts, identity_answer
from running_server import RunningServer, wait_until

from fake_ec2 import FakeEc2, error

pytestmark = pytest.mark.process

NODE = "i-0123456789abcdef0"
NAME = "ip-10-0-0-1.eu-central-1.compute.internal"
ACCOUNT = "123456789012"
MAPPINGS = """\
  mapRoles:
  - roleARN: arn:aws:iam::123456789012:role/Node
    username: system:node:{{EC2PrivateDNSName}}
    groups: [system:bootstrappers, system:nodes]
  - roleARN: arn:aws:iam::123456789012:role/Admin
    username: admin:{{SessionName}}
"""
CALLS = "aws_iam_authenticator_ec2_describe_instances_calls_total"


@pytest.fixture
def ec2(sts: FakeSts) -> Iterator[FakeEc2]:
    fake = FakeEc2(sts.ca.parent, {NODE: (NAME, ACCOUNT)})
    yield fake
    fake.stop()


@pytest.fixture
def server(tmp_path: Path, sts: FakeSts, ec2: FakeEc2) -> Iterator[RunningServer]:
    (tmp_path / "server").mkdir()
    variables = {**ec2.environment, "AWS_REGION": "us-east-1"}
    running = RunningServer(tmp_path / "server", sts, MAPPINGS, **variables)
    signed_in_as(sts, "Node", NODE)
    running.start("-v", "debug")
    yield running
    running.stop()


def signed_in_as(sts: FakeSts, role: str, session: str) -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"
    sts.play = lambda _: identity_answer(arn, f"AROANODE:{session}")


def test_a_node_signs_in_under_its_private_dns_name_and_ec2_is_asked_once(server: RunningServer, ec2: FakeEc2) -> None:
    for age in (0, 1, 2):
        user = server.review(server.token(age=age)).review["status"]["user"]
        assert user["username"] == f"system:node:{NAME}"
        assert user["groups"] == ["system:bootstrappers", "system:nodes"]
    assert [call.ids for call in ec2.calls] == [[NODE]]
    assert server.metric(CALLS) == 1
    assert "/us-east-1/ec2/" in ec2.calls[0].headers["authorization"]


def test_entry_without_a_node_name_needs_no_ec2(server: RunningServer, sts: FakeSts, ec2: FakeEc2) -> None:
    signed_in_as(sts, "Admin", NODE)
    assert server.review(server.token()).review["status"]["user"]["username"] == f"admin:{NODE}"
    assert ec2.calls == []
    assert server.metric(CALLS) == 0


def test_nodes_that_come_all_at_once_share_their_calls(server: RunningServer, sts: FakeSts, ec2: FakeEc2) -> None:
    ec2.instances |= {f"i-{number:017x}": (f"n{number}", ACCOUNT) for number in range(60)}
    keys = {f"ASIANODE{number:012}": f"i-{number:017x}" for number in range(60)}

    def as_signed(asked: object) -> object:
        target = str(getattr(asked, "target", ""))
        session = next(name for key, name in keys.items() if key in target)
        return identity_answer(f"arn:aws:sts::{ACCOUNT}:assumed-role/Node/{session}", f"AROANODE:{session}")

    sts.play = as_signed  # type: ignore[assignment]
    with ThreadPoolExecutor(60) as people:
        reviews = list(people.map(lambda key: server.review(server.token(key=key)).review, keys))
    assert [review["status"]["user"]["username"] for review in reviews] == [f"system:node:n{n}" for n in range(60)]
    assert sorted(name for call in ec2.described() for name in call.ids) == sorted(keys.values())
    assert len(ec2.described()) < 60


@pytest.mark.parametrize(
    ("session", "instance", "reason"),
    [
        ("alice", (NAME, ACCOUNT), "not_an_instance"),
        ("i-0123456789abcdef9", (NAME, ACCOUNT), "instance_unknown"),
        (NODE, ("", ACCOUNT), "instance_unknown"),
        (NODE, (NAME, "999999999999"), "instance_unknown"),
        (NODE, ("a:b", ACCOUNT), "instance_unknown"),
    ],
)
def test_a_session_that_is_no_living_instance_of_the_account_is_denied(
    server: RunningServer, sts: FakeSts, ec2: FakeEc2, session: str, instance: tuple[str, str], reason: str
) -> None:
    signed_in_as(sts, "Node", session)
    ec2.instances[NODE] = instance
    reply = server.review(server.token())
    assert (reply.status, reply.review["status"]["authenticated"]) == (200, False)
    assert reply.error
    wait_until(lambda: f"reason={reason}" in server.log())
    counted = 'aws_iam_authenticator_authenticate_latency_seconds_count{result="uknown_user"}'
    wait_until(lambda: server.metric(counted) == 1)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (error("RequestLimitExceeded", status=503), 429, "ec2_throttled"),
        (error("InternalError", status=500), 504, "ec2_unreachable"),
        ((0, ""), 504, "ec2_unreachable"),
        ((200, "<DescribeInstancesResponse><reserv"), 504, "ec2_unreachable"),
        (error("UnauthorizedOperation", "You: arn:aws:iam::1:role/server", 403), 200, "ec2_refused"),
    ],
)
def test_an_ec2_that_fails_is_told_apart_from_one_that_knows_no_such_instance(
    server: RunningServer, ec2: FakeEc2, fault: tuple[int, str], status: int, reason: str
) -> None:
    ec2.fault = lambda _: fault
    token = server.token()
    reply = server.review(token)
    assert reply.status == status
    assert "retry-after" not in reply.headers
    assert reply.review["status"]["authenticated"] is False
    assert "role/server" not in reply.error
    wait_until(lambda: f"reason={reason}" in server.log())
    assert "EC2 names no instances" in server.log()
    assert "canary" not in server.log()
    ec2.fault = lambda _: None
    assert server.review(token).review["status"]["user"]["username"] == f"system:node:{NAME}"


def test_a_slow_ec2_holds_up_nobody_else(server: RunningServer, sts: FakeSts, ec2: FakeEc2) -> None:
    ec2.may_answer.clear()
    with ThreadPoolExecutor(1) as people:
        node = people.submit(lambda: server.review(server.token()))
        wait_until(lambda: ec2.calls)
        signed_in_as(sts, "Admin", "alice")
        reply = server.review(server.token(key="ASIAOTHEROTHEROTHER0"))
        assert reply.review["status"]["user"]["username"] == "admin:alice"
        assert not node.done()
        ec2.may_answer.set()
        assert json.loads(node.result().body)["status"]["authenticated"] is True
