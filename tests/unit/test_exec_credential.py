from __future__ import annotations

import json

import pytest

from kube_iam.cli.token_run import V1, V1BETA1, ExecInfo, api_version_of, exec_credential


def exec_info(version: str, **spec: object) -> str:
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "spec": spec}, separators=(",", ":")) + "\n"


@pytest.mark.parametrize("version", [V1, V1BETA1])
@pytest.mark.parametrize("interactive", [True, False])
def test_what_kubectl_sends_is_understood(version: str, interactive: bool) -> None:
    assert api_version_of(exec_info(version, interactive=interactive)) == ExecInfo(version, interactive)


def test_what_kubectl_sends_with_cluster_info_is_understood_too() -> None:
    sent = exec_info(V1, cluster={"server": "https://10.0.0.1", "config": None}, interactive=True)
    assert api_version_of(sent) == ExecInfo(V1, True)


@pytest.mark.parametrize("sent", ["", " \n", "{", "[]", "null", '"x"', "{}", '{"apiVersion": ""}', "[" * 100_000])
def test_without_a_usable_request_the_answer_is_v1beta1(sent: str) -> None:
    assert api_version_of(sent) == ExecInfo(V1BETA1, None)


@pytest.mark.parametrize("version", ["client.authentication.k8s.io/v1alpha1", "v1", 7, ["x"], '"}{'])
def test_a_version_that_is_not_served_is_an_error(version: object) -> None:
    with pytest.raises(ValueError, match="apiVersion"):
        api_version_of(json.dumps({"apiVersion": version}))


@pytest.mark.parametrize("interactive", [None, "true", 1])
def test_interactive_is_a_boolean_or_unknown(interactive: object) -> None:
    assert api_version_of(json.dumps({"apiVersion": V1, "spec": {"interactive": interactive}})).interactive is None


def test_the_answer_is_one_json_line_in_the_order_of_the_reference() -> None:
    line = exec_credential("k8s-aws-v1.abc", 1795507669.9, V1)
    assert "\n" not in line
    assert list(json.loads(line).items()) == [
        ("kind", "ExecCredential"),
        ("apiVersion", V1),
        ("spec", {"interactive": False}),
        ("status", {"expirationTimestamp": "2026-11-24T08:07:49Z", "token": "k8s-aws-v1.abc"}),
    ]
