"""The server's own credentials: each source, its order, renewal, and the child process that asks the AWS SDK."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aws_stand_ins import AGENT_AUTHORIZATION, StandIns
from tls_sts import TlsSts

from kube_iam.aws.sdk_process import ask_sdk
from kube_iam.aws.server_credentials import RENEWAL_SECONDS, ServerCredentials
from kube_iam.core.credentials import Credentials
from kube_iam.errors import CredentialsError, KubeIamError

ROLE = "arn:aws:iam::123456789012:role/server"
KEYS = "aws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\n"


@dataclass
class Pod:
    """The environment of a server, the services that give it credentials, and a clock."""

    home: Path
    sts: TlsSts
    services: StandIns
    patch: pytest.MonkeyPatch
    ahead: float = 0.0
    asked: list[str] = field(default_factory=list)

    def set(self, **variables: str) -> Pod:
        for name, value in variables.items():
            self.patch.setenv(name, value)
        return self

    def config(self, text: str) -> Pod:
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws" / "config").write_text(text)
        return self

    def credentials(self) -> ServerCredentials:
        import time

        return ServerCredentials("eu-west-1", os.environ, lambda: time.time() + self.ahead)

    def web_identity(self) -> Pod:
        (self.home / "jwt").write_text("the.web.identity\n")
        return self.set(AWS_ROLE_ARN=ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(self.home / "jwt"))

    def agent(self) -> Pod:
        (self.home / "authorization").write_text(AGENT_AUTHORIZATION)
        return self.set(
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{self.services.url}/agent",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(self.home / "authorization"),
        )

    def instance(self) -> Pod:
        return self.set(AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=self.services.url)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    with TlsSts(tmp_path / "sts").serving() as sts, StandIns().serving() as services:
        services.length = 3600
        made = Pod(tmp_path, sts, services, monkeypatch)
        yield made.set(HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true", **sts.environment())


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record questions to the SDK, which fail."""
    asked: list[str] = []

    def refuse(service: str, *_: object) -> object:
        asked.append(service)
        raise CredentialsError("the SDK was asked")

    monkeypatch.setattr("kube_iam.aws.server_credentials.ask_sdk", refuse)
    return asked


@pytest.mark.parametrize(
    ("prepare", "key_id"),
    [
        (lambda pod: pod.set(AWS_ACCESS_KEY_ID="AKIDENVIRONMENT", AWS_SECRET_ACCESS_KEY="s"), "AKIDENVIRONMENT"),
        (lambda pod: pod.config(f"[default]\n{KEYS}"), "AKIDPROFILE"),
        (lambda pod: pod.web_identity(), f"ASIA{1:012}"),
        (lambda pod: pod.web_identity().config("[default]\nregion = eu-west-1\n"), f"ASIA{1:012}"),
        (lambda pod: pod.agent(), "ASIACONTAINER"),
        (lambda pod: pod.instance(), "ASIAINSTANCE"),
        # The SDK's order where several are there.
        (lambda pod: pod.instance().agent(), "ASIACONTAINER"),
        (lambda pod: pod.instance().agent().web_identity(), f"ASIA{1:012}"),
        (
            lambda pod: pod.agent().web_identity().set(AWS_ACCESS_KEY_ID="AKIDENVIRONMENT", AWS_SECRET_ACCESS_KEY="s"),
            "AKIDENVIRONMENT",
        ),
        (lambda pod: pod.instance().agent().config(f"[default]\n{KEYS}"), "AKIDPROFILE"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_source_is_read_as_the_sdk_reads_it(prepare, key_id: str, pod: Pod, sdk: list[str]) -> None:  # type: ignore[no-untyped-def]
    prepare(pod)
    assert pod.credentials().get().access_key_id == key_id
    assert sdk == []
    answer = ask_sdk("sts", "eu-west-1", os.environ).credentials
    assert answer.access_key_id[:8] == key_id[:8]


def test_web_identity_is_exchanged_without_a_signature(pod: Pod) -> None:
    pod.web_identity().set(AWS_ROLE_SESSION_NAME="node-7").credentials().get()
    (call,) = pod.sts.asked
    assert (call["RoleArn"], call["RoleSessionName"], call["WebIdentityToken"]) == (ROLE, "node-7", "the.web.identity")
    assert pod.sts.signers == []


@pytest.mark.parametrize("source", ["web_identity", "agent", "instance"])
def test_session_is_kept_until_it_is_due(source: str, pod: Pod) -> None:
    credentials = getattr(pod, source)().credentials()
    first = credentials.get()
    calls = (len(pod.sts.asked), len(pod.services.asked))
    assert credentials.get() == first
    pod.ahead = 3600 - RENEWAL_SECONDS - 60
    assert credentials.get() == first
    assert (len(pod.sts.asked), len(pod.services.asked)) == calls
    pod.ahead = 3600 - RENEWAL_SECONDS + 60
    credentials.get()
    assert (len(pod.sts.asked), len(pod.services.asked)) > calls


def test_session_serves_to_its_end_while_it_cannot_be_renewed(pod: Pod, sdk: list[str]) -> None:
    credentials = pod.web_identity().credentials()
    first = credentials.get()
    pod.sts.refusal = (403, "AccessDenied", "no")
    pod.ahead = 3500
    assert credentials.get() == first
    pod.ahead = 3700
    with pytest.raises(KubeIamError):
        credentials.get()


def test_refused_credentials_are_found_again(pod: Pod) -> None:
    credentials = pod.agent().credentials()
    credentials.get()
    asked = len(pod.services.asked)
    credentials.discard()
    credentials.get()
    assert len(pod.services.asked) == 2 * asked


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "not json",
        '{"AccessKeyId": "ASIA", "SecretAccessKey": "hunter2", "Token": "t"}',
        '{"AccessKeyId": "ASIA", "SecretAccessKey": "", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}',
        '{"AccessKeyId": "ASIA", "SecretAccessKey": "a\\nhunter2", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}',
        '{"AccessKeyId": 7, "SecretAccessKey": "hunter2", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}',
    ],
)
def test_agents_answer_without_credentials_is_an_error_that_repeats_nothing(body: str, pod: Pod) -> None:
    pod.services.agent_body = body
    with pytest.raises(CredentialsError) as caught:
        pod.agent().credentials().get()
    assert "hunter2" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://198.51.100.7/agent", "http://agent.example.com/", "ftp://127.0.0.1/", "http:///x", "://"]
)
def test_agents_beyond_this_machine_need_tls(url: str, pod: Pod) -> None:
    with pytest.raises(CredentialsError, match="no container's agent"):
        pod.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=url).credentials().get()


@pytest.mark.parametrize("variable", ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
def test_token_file_that_cannot_be_read_is_named(variable: str, pod: Pod) -> None:
    (pod.web_identity() if variable.startswith("AWS_WEB") else pod.agent()).set(**{variable: "/none/such"})
    with pytest.raises(CredentialsError, match=rf"/none/such \({variable}\) cannot be read"):
        pod.credentials().get()


SDK_PROFILES: Mapping[str, tuple[str, str]] = {
    "role on static keys": (
        f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n[profile base]\n{KEYS}",
        f"ASIA{1:012}",
    ),
    "credential_process": ("[default]\ncredential_process = cat HOME/keys.json\n", "ASIATOOL"),
}


@pytest.mark.parametrize("name", SDK_PROFILES)
def test_other_profiles_are_left_to_the_sdk_in_a_child_process(name: str, pod: Pod) -> None:
    text, key_id = SDK_PROFILES[name]
    answer = {"Version": 1, "AccessKeyId": "ASIATOOL", "SecretAccessKey": "s", "SessionToken": "t"}
    (pod.home / "keys.json").write_text(json.dumps({**answer, "Expiration": "2099-01-01T00:00:00Z"}))
    credentials = pod.config(text.replace("HOME", str(pod.home))).credentials()
    found = credentials.get()
    assert (found.access_key_id, found.expires is not None) == (key_id, True)
    assert credentials.get() is found


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[default]\ncredential_process = sh -c 'echo hunter2 >&2; exit 1'\n", "credential_process"),
        ("[default]\nrole_arn = x\n", "role_arn"),
        ("", "there are none"),
        ("[default\n", "config"),
    ],
)
def test_error_of_the_sdk_reaches_the_server_without_secrets(config: str, says: str, pod: Pod) -> None:
    with pytest.raises(CredentialsError, match=says) as caught:
        pod.config(config).credentials().get()
    assert "hunter2" not in str(caught.value)


def test_child_that_prints_no_answer_is_an_error(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(CredentialsError, match="AWS SDK could not be asked"):
        ask_sdk("sts", "eu-west-1", os.environ)


def test_child_finds_endpoints_of_variants(pod: Pod) -> None:
    pod.set(AWS_ACCESS_KEY_ID="AKIDENVIRONMENT", AWS_SECRET_ACCESS_KEY="s", AWS_USE_FIPS_ENDPOINT="true")
    answer = ask_sdk("iam", "eu-west-1", os.environ)
    assert answer.credentials == Credentials("AKIDENVIRONMENT", "s")
    assert answer.endpoint == ("https://iam-fips.amazonaws.com", "us-east-1")
