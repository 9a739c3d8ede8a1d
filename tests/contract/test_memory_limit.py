"""The memory limit that docs/install.md names is enough: the server runs in a cgroup that ends it beyond."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl

import pytest
from fake_sts import Answer, Asked, FakeSts, identity_answer
from running_server import V1BETA1, RunningServer

from https_server import HttpsServer, Request
from memory_cgroup import MemoryCgroup, linux_only, memory_cgroup

pytestmark = [pytest.mark.thorough, linux_only, pytest.mark.slow, pytest.mark.process]

LIMIT_MIB = 64
ROLES, GROUPS, SIGN_INS, CLIENTS = 100, 20, 10_000, 4
ACCOUNT = "123456789012"
MAPPINGS = (
    "  mapRoles:\n"
    + "".join(
        f'  - rolearn: arn:aws:iam::{ACCOUNT}:role/team-{number}\n    username: "awsiam:{{{{SessionNameRaw}}}}"\n'
        f"    groups: [team-{number}, developers]\n"
        for number in range(ROLES)
    )
    + "  mapGroups:\n"
    + "".join(
        f'  - iamGroup: group-{number}\n    username: "awsiam:{{{{UserName}}}}"\n    groups: [group-{number}]\n'
        for number in range(GROUPS)
    )
)


def identified(asked: Asked) -> Answer:
    """Answer as a fake STS: each tenth signer is a user in a group, the others have a role. The access key id numbers them."""
    key = parse_qs(asked.target.partition("?")[2])["X-Amz-Credential"][0]
    number = int(key[4:20], 10)
    if number % 10 == 0:
        user = f"user-{number // 10 % GROUPS}"
        return identity_answer(f"arn:aws:iam::{ACCOUNT}:user/{user}", f"AIDA{user}")
    role, session = f"team-{number % ROLES}", f"person{number % 1000}@example.com"
    return identity_answer(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}", f"AROA{role}:{session}")


@pytest.fixture
def iam(tmp_path: Path) -> Iterator[HttpsServer]:
    """Yield a fake IAM. Each group has the user of its number and 99 others."""

    def answer(request: Request) -> tuple[int, str, bytes]:
        name = dict(parse_qsl(request.body.decode()))["GroupName"]
        names = [f"user-{name.removeprefix('group-')}", *(f"{name}-member-{number}" for number in range(99))]
        members = "".join(f"<member><UserName>{each}</UserName><UserId>AIDA{each}</UserId></member>" for each in names)
        text = (
            '<GetGroupResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetGroupResult>'
            f"<Group><Path>/</Path><GroupName>{name}</GroupName><GroupId>AGPA{name}</GroupId>"
            f"<Arn>arn:aws:iam::{ACCOUNT}:group/{name}</Arn></Group><Users>{members}</Users>"
            "<IsTruncated>false</IsTruncated></GetGroupResult></GetGroupResponse>"
        )
        return 200, "text/xml", text.encode()

    server = HttpsServer(tmp_path / "iam", answer)
    yield server
    server.stop()


@pytest.fixture
def cgroup() -> Iterator[MemoryCgroup]:
    with memory_cgroup() as made:
        yield made


def test_64_mebibytes_are_enough_for_100_roles_20_groups_and_10_000_sign_ins(
    cgroup: MemoryCgroup, make_server: Callable[..., RunningServer], sts: FakeSts, iam: HttpsServer
) -> None:
    cgroup.limit(LIMIT_MIB)
    sts.play = identified
    variables = {
        "AWS_ENDPOINT_URL_IAM": f"https://{iam.authority}",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    server = make_server(mappings=MAPPINGS, settings="  membershipRefresh: 1s\n", **variables)
    for name in ("cert.pem", "key.pem"):  # the server makes its own, in a second process that the limit counts too
        (server.directory / "state" / name).unlink()
    server.start(cgroup=cgroup.members)
    assert sign_in_by_several_clients(server) == SIGN_INS
    assert server.metric('kube_iam_token_lookups_total{source="sts"}') == SIGN_INS
    print(f"peak {cgroup.peak():.0f} MiB, anonymous now {cgroup.anonymous():.0f} MiB")  # noqa: T201
    assert server.stop() == 0


def sign_in_by_several_clients(server: RunningServer) -> int:
    """Sign in with so many different tokens, each client on one connection. Return how many were admitted."""
    admitted = [0] * CLIENTS

    def sign_in(client: int) -> None:
        connection = http.client.HTTPSConnection("localhost", server.port, context=server.context, timeout=30)
        for number in range(client, SIGN_INS, CLIENTS):
            token = server.token(key=f"ASIA{number:016}")
            question = {"apiVersion": V1BETA1, "kind": "TokenReview", "spec": {"token": token}}
            connection.request("POST", "/authenticate", json.dumps(question))
            admitted[client] += bool(json.loads(connection.getresponse().read())["status"].get("authenticated"))
        connection.close()

    clients = [threading.Thread(target=sign_in, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return sum(admitted)
