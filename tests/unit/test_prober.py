"""Addresses that the administrator's credentials are sent to when API servers are asked about a denial, and their answers."""

from __future__ import annotations

import re

import pytest
from api_in_memory import AUTHORITY, SLICES, ApiInMemory, endpoint_slice

from kube_iam.denylist.prober import HERE, Prober
from kube_iam.denylist.status_query import IN_FORCE, StatusAnswer, parse_question
from kube_iam.errors import KubeError, Unreachable

LABELS = {"metadata": {"name": "x", "labels": {"kubernetes.io/service-name": "kubernetes"}}}
DENIAL = "alice-0123456789"


def in_force(host: str, token: str) -> str:
    question = parse_question(token)
    assert question is not None
    assert question.denial == DENIAL
    return f"[invalid bearer token, {StatusAnswer(question.nonce, 'c0ffee', IN_FORCE, 9.0).text}]"


@pytest.fixture
def memory() -> ApiInMemory:
    memory = ApiInMemory()
    memory.objects[f"{SLICES}/kubernetes"] = LABELS | endpoint_slice("10.0.0.1", "fd00::1", "10.0.0.1")
    memory.answer = in_force
    return memory


def prober(memory: ApiInMemory, cluster: dict[str, object] | None = None) -> Prober:
    return Prober(memory.api(cluster=cluster))


def test_the_api_servers_are_those_of_the_slice_that_kube_apiserver_writes(memory: ApiInMemory) -> None:
    assert prober(memory).addresses() == ("https://10.0.0.1:6443", "https://[fd00::1]:6443")


@pytest.mark.parametrize("name", ["kubernetes-x", "planted", "kubernetes2"])
def test_a_slice_that_only_carries_the_label_is_no_api_server(memory: ApiInMemory, name: str) -> None:
    memory.objects[f"{SLICES}/{name}"] = LABELS | endpoint_slice("203.0.113.9")
    assert prober(memory).addresses() == ("https://10.0.0.1:6443", "https://[fd00::1]:6443")
    del memory.objects[f"{SLICES}/kubernetes"]
    assert prober(memory).addresses() == ()


@pytest.mark.parametrize("text", ["evil.example.com", "10.0.0.1@evil.example.com", "10.0.0.1/x", "", "10.0.0.1:1#"])
def test_what_is_no_ip_address_is_not_contacted(memory: ApiInMemory, text: str) -> None:
    memory.objects[f"{SLICES}/kubernetes"] = LABELS | endpoint_slice(text, "10.0.0.2")
    assert prober(memory).addresses() == ("https://10.0.0.2:6443",)


def test_addresses_that_may_not_be_read_are_an_error(memory: ApiInMemory) -> None:
    memory.status["GET", f"{SLICES}/kubernetes"] = 403
    with pytest.raises(KubeError, match="cannot read the addresses of the API servers"):
        prober(memory).addresses()


def test_the_answer_comes_from_the_address_that_was_asked(memory: ApiInMemory) -> None:
    answer = prober(memory).ask("https://10.0.0.1:6443", DENIAL)
    assert (answer.server, answer.state, answer.until) == ("c0ffee", IN_FORCE, 9.0)
    assert memory.asked == [("10.0.0.1:6443", "Bearer t0ken")]


@pytest.mark.parametrize(
    "cluster",
    [
        {},
        {"insecure-skip-tls-verify": True},
        {"insecure-skip-tls-verify": "true", **AUTHORITY},
        {"certificate-authority-data": "", "certificate-authority": ""},
    ],
)
def test_no_credentials_go_to_an_address_that_cannot_be_verified(
    memory: ApiInMemory, cluster: dict[str, object]
) -> None:
    with pytest.raises(Unreachable, match=re.escape("no credentials are sent to https://10.0.0.1:6443, since context")):
        prober(memory, cluster).ask("https://10.0.0.1:6443", DENIAL)
    assert memory.asked == []
    # The address of the kubeconfig is its owner's choice, as with kubectl.
    assert prober(memory, cluster).ask(HERE, DENIAL).state == IN_FORCE


@pytest.mark.parametrize("said", ["", "Unauthorized", StatusAnswer("f" * 16, "c0ffee", IN_FORCE, 9.0).text])
def test_a_server_that_answers_nothing_or_another_question_is_an_error(memory: ApiInMemory, said: str) -> None:
    memory.answer = lambda host, token: said
    with pytest.raises(KubeError, match="no kube-iam server with a deny list answers behind https"):
        prober(memory).ask("https://10.0.0.1:6443", DENIAL)
