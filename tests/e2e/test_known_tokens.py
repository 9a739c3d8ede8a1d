"""Tokens that kube-apiserver has cached, with the authorizer: refused after a denial and a revocation, whatever the user does."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from whole_sandbox import ROLE, Sandbox

from kube_iam.sandbox.state import CLUSTER_ID

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
CONFIG_MAPS = "/api/v1/namespaces/shop/configmaps"
ACTIONS = {
    "read": ("GET", CONFIG_MAPS, "", 200),
    "write": ("POST", f"{CONFIG_MAPS}?dryRun=All", '{"metadata": {"name": "made"}}', 201),
    # kube-apiserver authorizes before it looks for the pod.
    "exec": ("POST", "/api/v1/namespaces/shop/pods/none/exec?command=true&stdout=true", "", 404),
}


@contextmanager
def requested(
    levels: Sandbox, token: str, method: str, path: str, body: str = ""
) -> Iterator[http.client.HTTPResponse]:
    """Send a request with the token. Yield the response, whose body may go on."""
    trust = ssl.create_default_context(cafile=str(levels.home.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", levels.state.api_port, timeout=30, context=trust)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body, headers)
        yield connection.getresponse()
    finally:
        connection.close()


def answers(levels: Sandbox, token: str) -> dict[str, tuple[int, str]]:
    """Return the status and the message of each action."""
    found = {}
    for action, (method, path, body, _) in ACTIONS.items():
        with requested(levels, token, method, path, body) as response:
            found[action] = (response.status, json.loads(response.read()).get("message", ""))
    return found


def known_token(levels: Sandbox, name: str) -> str:
    """Return a token of a new developer that kube-apiserver has cached."""
    person = levels.member(name, "developer")
    token = person.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}developer", "--token-only").strip()
    assert {action: status for action, (status, _) in answers(levels, token).items()} == {
        action: status for action, (_, _, _, status) in ACTIONS.items()
    }
    return token


def sign_ins(levels: Sandbox, name: str) -> int:
    log = levels.home.process("webhook").log.read_text()
    return len(re.findall(rf'msg="access granted".* session={name} ', log))


def test_denied_user_is_refused_every_action_with_the_known_token(levels: Sandbox) -> None:
    token = known_token(levels, "dina")
    before = sign_ins(levels, "dina")
    said = levels.administrator.works("kube-iam", "deny", "dina")
    assert re.match(
        r"dina is out after \d+\.\d s, .*kube-apiserver refuses known tokens too\)\. The denial ends ", said
    )
    for action, (status, message) in answers(levels, token).items():
        assert (status, "on the deny list (request " in message) == (403, True), (action, message)
    assert sign_ins(levels, "dina") == before, "the token was verified anew"
    levels.administrator.works("kube-iam", "undeny", "dina")
    assert answers(levels, token)["read"][0] == 200


def test_revoked_user_is_refused_every_action_with_the_known_token(levels: Sandbox) -> None:
    token = known_token(levels, "doug")
    before = sign_ins(levels, "doug")
    said = levels.administrator.works("kube-iam", "revoke", "doug", "developer")
    assert re.search(r"^doug is out of developer after \d+\.\d s \(1 API server asked: ", said, re.MULTILINE)
    for action, (status, message) in answers(levels, token).items():
        assert (status, "for members of an IAM group" in message) == (403, True), (action, message)
    assert sign_ins(levels, "doug") == before, "the token was verified anew"


def test_open_watch_goes_on_after_a_denial_and_a_new_one_is_refused(levels: Sandbox) -> None:
    token = known_token(levels, "dirk")
    watch = f"{CONFIG_MAPS}?watch=1&timeoutSeconds=60&fieldSelector=metadata.name%3Dwatched"
    with requested(levels, token, "GET", watch) as response:
        assert response.status == 200
        levels.administrator.works("kube-iam", "deny", "dirk")
        levels.administrator.works("kubectl", "-n", "shop", "create", "configmap", "watched")
        assert json.loads(response.readline())["object"]["metadata"]["name"] == "watched"
    with requested(levels, token, "GET", watch) as response:
        assert response.status == 403
