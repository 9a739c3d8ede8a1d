"""`who-can` against kube-apiserver: the people that it names are those that `kubectl auth can-i` answers with yes."""

from __future__ import annotations

import json

import pytest
from whole_sandbox import Sandbox

pytestmark = [pytest.mark.thorough, pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]

PEOPLE = {"nora": "admin", "omar": "developer", "pia": "viewer"}
REQUESTS = (
    "get pods -n shop",
    "get pods -n default",
    "create pods/exec -n shop",
    "get secrets -n shop",
    "get nodes",
    "get /healthz",
)


def test_the_people_named_are_those_that_kube_apiserver_allows(levels: Sandbox) -> None:
    members = {name: levels.member(name, level) for name, level in PEOPLE.items()}
    kubeconfigs = {level: levels.kubeconfig(level) for level in PEOPLE.values()}
    seen = set()
    for request in REQUESTS:
        answer = json.loads(levels.administrator.works("kube-iam", "who-can", *request.split(), "-o", "json"))
        assert answer["complete"] is True
        named = {each["person"] for each in answer["principals"]} & set(PEOPLE)
        allowed = set()
        for name, person in members.items():
            words = request.replace("pods/exec", "pods --subresource exec").replace(
                "pods/log", "pods --subresource log"
            )
            asked = person.run("kubectl", "--kubeconfig", kubeconfigs[PEOPLE[name]], "auth", "can-i", *words.split())
            allowed |= {name} if asked.stdout.startswith("yes") else set()
        assert named == allowed, request
        seen.add(frozenset(allowed))
    assert len(seen) > 3, "the requests do not tell the levels apart"
    for name, level in PEOPLE.items():
        levels.administrator.works("kube-iam", "revoke", name, level)
