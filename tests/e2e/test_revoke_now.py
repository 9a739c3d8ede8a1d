"""Out at once: denials on a real kube-apiserver, from the command to the refused kubectl, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from whole_sandbox import ROLE, Person, Sandbox

from backend_suite import until
from deny_suite import NAME, RecordingDenyObserver, session
from kube_iam.denylist.status_query import IN_FORCE, NOT_IN_FORCE, StatusAnswer, StatusQuestion, parse_answer
from kube_iam.denylist.watcher import DenyList
from kube_iam.kube import watch
from kube_iam.kube.endpoint import Endpoint, EndpointSource
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import CLUSTER_ID
from kube_iam.sandbox.webhook import review

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
NONCE = "0123456789abcdef"


def member(levels: Sandbox, name: str, level: str) -> Person:
    levels.person(name)
    levels.administrator.works("kube-iam", "grant", name, level)
    return levels.person(name)


def is_in(person: Person, kubeconfig: Path, **variables: str) -> bool:
    """Return whether the cached token is admitted, or the first one where none is cached."""
    done = person.whoami(kubeconfig, **variables)
    # The last one is what kubectl makes of 403: the authorizer denies a token that kube-apiserver has cached.
    refusals = ("Unauthorized", "provide credentials", "you do not have permission to call it")
    assert done.returncode == 0 or any(refusal in done.stderr for refusal in refusals), done.stderr
    return done.returncode == 0


def is_admitted(person: Person, kubeconfig: Path) -> bool:
    """Return whether the person is admitted once the server has read the membership in IAM, also with the token in the cache."""
    return wait_until(lambda: person.signs_in(kubeconfig), 20) and is_in(person, kubeconfig)


def probed(levels: Sandbox, ident: str) -> StatusAnswer:
    """Return the answer to one status query, as kubectl gets it from the API server."""
    token = StatusQuestion(NONCE, ident).token
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    command = ("kubectl", "create", "-f", "-", "-o", "json")
    status = json.loads(levels.administrator.works(*command, stdin=json.dumps(asked)))["status"]
    assert not status.get("authenticated")
    answer = parse_answer(status["error"], NONCE)
    assert answer is not None, status
    return answer


def denied(levels: Sandbox, *arguments: str) -> dict[str, Any]:
    command = ("kube-iam", *arguments, "--cache-ttl", "2s", "--no-wait", "-o", "json")
    data: dict[str, Any] = json.loads(levels.administrator.works(*command))
    return data


def test_live_session_is_refused_after_revoke_now_and_admitted_after_a_grant(levels: Sandbox) -> None:
    kate, viewer = member(levels, "kate", "viewer"), levels.kubeconfig("viewer")
    assert is_admitted(kate, viewer)
    said = levels.administrator.works(
        "kube-iam", "revoke", "kate", "viewer", "--now", "--cache-ttl", "2s", "--reason", "left"
    )
    # A kube-apiserver on loopback lists no address of its own.
    confirmed = "1 confirmed; the cluster lists none; kube-apiserver refuses known tokens too"
    assert re.search(
        rf"^kate is out of viewer after \d+\.\d s, if there is no other server \({confirmed}\)\.$", said, re.M
    )
    assert not is_in(kate, viewer)
    assert "reason=denied" in levels.home.process("webhook").log.read_text()
    listed = json.loads(levels.administrator.works("kube-iam", "deny", "--list", "-o", "json"))
    entry = next(each for each in listed if each["value"] == "kate")
    assert (entry["role"], entry["reason"], entry["actor"]) == (f"{ROLE}viewer", "left", "kubernetes-admin")
    levels.administrator.works("kube-iam", "grant", "kate", "viewer")
    assert is_admitted(kate, viewer)


def test_user_who_is_denied_one_level_keeps_the_others(levels: Sandbox) -> None:
    kim = member(levels, "kim", "viewer")
    member(levels, "kim", "developer")
    viewer, developer = levels.kubeconfig("viewer"), levels.kubeconfig("developer")
    assert is_admitted(kim, viewer)
    denied(levels, "revoke", "kim", "viewer", "--now")
    assert wait_until(lambda: not kim.signs_in(viewer), 20)
    assert is_admitted(kim, developer)


def test_status_query_is_answered_through_the_api_server_and_never_cached(levels: Sandbox) -> None:
    kurt, viewer = member(levels, "kurt", "viewer"), levels.kubeconfig("viewer")
    assert is_admitted(kurt, viewer)
    found = denied(levels, "deny", "kurt", "--for", "1h")
    assert found["inForce"] is True
    assert found["lastSignInKnown"] is True
    ident = found["denials"][0]["denial"]
    assert probed(levels, ident).state == IN_FORCE
    levels.administrator.works("kube-iam", "undeny", "kurt")
    assert wait_until(lambda: probed(levels, ident).state == NOT_IN_FORCE, 5)
    denied(levels, "deny", "kurt", "--for", "1h")
    assert probed(levels, ident).state == IN_FORCE
    token = StatusQuestion(NONCE, ident).token
    bearer = ("--server", levels.state.api_url, "--certificate-authority", str(levels.home.ca), "--token", token)
    said = kurt.refused("kubectl", "--kubeconfig", "/dev/null", *bearer, "get", "ns")
    assert "Unauthorized" in said or "provide credentials" in said


def test_denials_stay_in_force_and_are_received_after_an_api_server_restart(levels: Sandbox) -> None:
    lena = member(levels, "lena", "viewer")
    token = lena.works("kube-iam", "token", "-i", CLUSTER_ID, "-r", f"{ROLE}viewer", "--token-only").strip()

    def token_is_admitted() -> bool:
        return review(levels.home, levels.state, token)[1]["status"]["authenticated"] is True

    assert wait_until(token_is_admitted, 20)
    ident = denied(levels, "deny", "lena", "--for", "1h")["denials"][0]["denial"]
    assert not token_is_admitted()
    levels.restart_api_server()
    assert not token_is_admitted()
    assert probed(levels, ident).state == IN_FORCE
    levels.administrator.works("kube-iam", "undeny", ident)
    assert wait_until(token_is_admitted, 10)
    denied(levels, "deny", f"{ROLE}viewer", "--for", "1h")
    assert not token_is_admitted()
    levels.administrator.works("kube-iam", "undeny", f"{ROLE}viewer")
    assert wait_until(token_is_admitted, 10)


def test_410_gone_leads_back_to_the_list(levels: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first list as old as the cluster: an API server that was restarted has forgotten what came after it."""
    levels.restart_api_server()
    gone: list[str] = []
    list_of, handle = watch.Watch._list, watch.Watch._handle

    async def old(self: watch.Watch[Any], endpoint: Endpoint) -> str:
        version = await list_of(self, endpoint)
        return version if gone else "1"

    async def listening(self: watch.Watch[Any], endpoint: Endpoint, line: bytes) -> str:
        event = json.loads(line)
        if event["type"] == "ERROR" and event["object"]["code"] == 410:
            gone.append(event["object"]["message"])
        return await handle(self, endpoint, line)

    monkeypatch.setattr(watch.Watch, "_list", old)
    monkeypatch.setattr(watch.Watch, "_handle", listening)
    denials = DenyList(EndpointSource(str(levels.home.kubeconfig), "", {}), RecordingDenyObserver(), "c0ffee")

    async def story() -> None:
        following = asyncio.create_task(denials.follow())
        await until(lambda: gone)
        await asyncio.to_thread(denied, levels, "deny", "mike", "--for", "1h", "--yes")
        await until(lambda: denials.denial(session("mike")))
        following.cancel()
        await asyncio.wait({following})

    asyncio.run(story())
    assert len(gone) == 1


def test_broken_entry_by_hand_denies_its_user_and_nobody_else(levels: Sandbox) -> None:
    nora = member(levels, "nora", "viewer")
    viewer = levels.kubeconfig("viewer")
    assert is_admitted(nora, viewer)
    data = {"by-hand": "kind: userName\nvalue: nora", "broken": "{}"}
    patch = ("kubectl", "patch", "configmap", NAME, "-n", "kube-system", "--type", "merge", "-p")
    levels.administrator.works(*patch, json.dumps({"data": data}))
    assert wait_until(lambda: not nora.signs_in(viewer), 20)
    assert is_admitted(member(levels, "otto", "viewer"), viewer)
    log = levels.home.process("webhook").log.read_text()
    assert "by-hand: is not JSON" in log
    assert "broken: has no usable" in log
    levels.administrator.works(*patch, json.dumps({"data": dict.fromkeys(data)}))
    assert is_admitted(nora, viewer)
