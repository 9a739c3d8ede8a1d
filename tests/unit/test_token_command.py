"""`kube-iam token` from the command line to its output, against a small STS over TLS where a role is assumed."""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls_sts import TlsSts, _result

from kube_iam.aws.assume_role import own_session_name
from kube_iam.cli.main import main
from kube_iam.cli.token_run import parse
from kube_iam.errors import CredentialsError

ROLE = "arn:aws:iam::123456789012:role/shop-admin"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "own-secret", "AWS_REGION": "eu-central-1"}


@dataclass
class Ran:
    code: int
    out: str
    err: str

    def url(self) -> str:
        text = json.loads(self.out)["status"]["token"] if self.out.startswith("{") else self.out.strip()
        body = text.removeprefix("k8s-aws-v1.")
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()

    def parameter(self, name: str) -> str:
        return parse_qs(urlsplit(self.url()).query)[name][0]


@dataclass
class Shell:
    """A clean home and environment in which commands run, inside this process."""

    home: Path
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def set(self, **variables: str) -> Shell:
        for name, value in variables.items():
            self.patch.setenv(name, value)
        return self

    def run(self, *arguments: str) -> Ran:
        self.patch.setattr(sys, "argv", ["/bin/kube-iam", *arguments])
        code = main()
        captured = self.capture.readouterr()
        return Ran(code, captured.out, captured.err)

    def fails(self, *arguments: str) -> str:
        """Return the one line that a command prints which cannot go on."""
        ran = self.run(*arguments)
        assert ran.code == 1
        assert ran.out == ""
        assert ran.err.count("\n") == 1
        assert ran.err.startswith("kube-iam: error: ")
        assert "secret" not in ran.err
        assert "Traceback" not in ran.err
        return ran.err


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name in list(os.environ):
        if name.startswith(("AWS_", "KUBE", "XDG_", "DEFAULT_ROLE")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def shell(bare: Shell) -> Shell:
    return bare.set(**KEYS)


@pytest.fixture
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSts]:
    with TlsSts(tmp_path_factory.mktemp("sts")).serving() as serving:
        yield serving


@pytest.fixture
def aws(shell: Shell, sts: TlsSts) -> TlsSts:
    shell.set(**sts.environment())
    return sts


def test_the_answer_is_an_exec_credential_for_the_cluster(shell: Shell) -> None:
    ran = shell.run("token", "-i", "shop")
    answer = json.loads(ran.out)
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1)
    assert list(answer) == ["kind", "apiVersion", "spec", "status"]
    assert answer["apiVersion"] == "client.authentication.k8s.io/v1beta1"
    assert urlsplit(ran.url()).netloc == "sts.eu-central-1.amazonaws.com"
    assert ran.parameter("X-Amz-Credential").startswith("AKIDEXAMPLE/")


def test_the_version_that_kubectl_asks_for_is_echoed(shell: Shell) -> None:
    version = "client.authentication.k8s.io/v1"
    shell.set(
        KUBERNETES_EXEC_INFO=json.dumps(
            {"kind": "ExecCredential", "apiVersion": version, "spec": {"interactive": True}}
        )
    )
    assert json.loads(shell.run("token", "-i", "shop").out)["apiVersion"] == version


def test_a_version_that_is_not_served_is_an_error(shell: Shell) -> None:
    shell.set(KUBERNETES_EXEC_INFO='{"apiVersion":"client.authentication.k8s.io/v1alpha1"}')
    assert "apiVersion" in shell.fails("token", "-i", "shop")


def test_the_token_alone_on_request(shell: Shell) -> None:
    assert shell.run("token", "-i", "shop", "--token-only").out.startswith("k8s-aws-v1.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "--token-only", "-i", "shop"],
        ["token", "--token-only", "-ishop"],
        ["token", "--token-only", "-i=shop"],
        ["token", "--token-only", "--cluster-id=shop"],
        ["token", "--token-only=true", "--cluster-id", "shop", "--cache=false"],
        ["token", "--token-only", "-i", "other", "-i", "shop"],
        ["-i", "shop", "token", "--token-only"],
        ["-i", "other", "token", "--token-only", "-i", "shop"],
        ["-l", "json", "-v", "debug", "token", "-i=shop", "--token-only=1", "--feature-gates", "AllAlpha=true"],
    ],
)
def test_every_spelling_of_the_flags_means_the_same(arguments: list[str], shell: Shell) -> None:
    shell.patch.setattr("time.time", lambda: 1795507669.0)
    assert shell.run(*arguments).out == shell.run("token", "-i", "shop", "--token-only").out


def test_flags_come_before_the_environment_and_that_before_the_file(shell: Shell) -> None:
    shell.patch.setattr("time.time", lambda: 1795507669.0)
    config = shell.home / "config.yaml"
    config.write_text("clusterid: from-file\nserver: {port: 1}\n")
    by_name = {name: shell.run("token", "-i", name).out for name in ("from-file", "from-env", "from-flag")}
    assert len(set(by_name.values())) == 3
    assert shell.run("token", "-c", str(config)).out == by_name["from-file"]
    shell.set(KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID="from-env")
    assert shell.run("token").out == by_name["from-env"]
    assert shell.run("-c", str(config), "token").out == by_name["from-env"]
    assert shell.run("token", "-c", str(config), "-i", "from-flag").out == by_name["from-flag"]


def test_the_default_role_comes_from_the_environment_or_the_file(shell: Shell, aws: TlsSts) -> None:
    config = shell.home / "config.yaml"
    config.write_text(f"clusterID: shop\ndefaultRole: {ROLE}\n")
    shell.run("token", "-c", str(config))
    assert aws.asked[-1]["RoleArn"] == ROLE
    shell.set(DEFAULT_ROLE=ROLE + "-env")
    shell.run("token", "-i", "shop")
    assert aws.asked[-1]["RoleArn"] == ROLE + "-env"
    before = len(aws.asked)
    shell.run("token", "-i", "shop", "-r", "")
    assert len(aws.asked) == before


def test_the_file_may_say_whatever_the_flags_say(shell: Shell, aws: TlsSts) -> None:
    config = shell.home / "config.yaml"
    config.write_text(
        f"clusterid: shop\nrole: {ROLE}\ndefaultRole: {ROLE}-not-this\nexternalID: contract-7\nsessionName: from-file\n"
        "Region: eu-west-3\ntokenOnly: true\ncache: 'true'\nserver: {port: 1}\n"
    )
    ran = shell.run("token", "-c", str(config))
    assert ran.out.startswith("k8s-aws-v1.")
    assert "/eu-west-3/sts/" in ran.parameter("X-Amz-Credential")
    asked = aws.asked[-1]
    assert (asked["RoleArn"], asked["ExternalId"], asked["RoleSessionName"]) == (ROLE, "contract-7", "from-file")
    shell.run("token", "-c", str(config), "-s", "from-flag", "-r", f"{ROLE}-flag")
    assert (aws.asked[-1]["RoleSessionName"], aws.asked[-1]["RoleArn"]) == ("from-flag", f"{ROLE}-flag")
    config.write_text("clusterID: shop\ntokenOnly: perhaps\n")
    assert "tokenOnly: is not true or false" in shell.fails("token", "-c", str(config))


@pytest.mark.parametrize("text", ["clusterID: 7\n", "- a\n", "clusterID: [\n", "clusterID: {a: 1}\n"])
def test_a_config_file_that_cannot_be_used_is_an_error(text: str, shell: Shell) -> None:
    config = shell.home / "config.yaml"
    config.write_text(text)
    assert str(config) in shell.fails("token", "-c", str(config))
    assert "No such file" in shell.fails("token", "-i", "x", "-c", str(shell.home / "missing.yaml"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["token"], "-i"),
        (["token", "-i", ""], "-i"),
        (["token", "-i"], "requires an argument"),
        (["token", "-i", "x", "--rol", "y"], "--role"),
        (["token", "-i", "x", "surplus"], "surplus"),
        (["token", "-i", "a\nb"], "cluster id contains a line break"),
        (["token", "-i", "x", "-s", "me", "--forward-session-name"], "exclude each other"),
        (["token", "-i", "x", "-r", "admin"], "arn:aws:iam::123456789012:role/NAME"),
        (["token", "-i", "x", "-r", "arn:aws:iam::123:role/x"], "not the ARN"),
        (["token", "-i", "x", "-r", "arn:aws:sts::123456789012:assumed-role/a/b"], "give the role itself"),
        (["token", "-i", "x", "-r", "arn:aws-cn:iam::123456789012:role/x"], "partition"),
        (["token", "-i", "x", "-r", ROLE, "-s", "a b"], "session"),
        (["token", "-i", "x", "--region", "Frankfurt/"], "region"),
        (["token", "-i", "x", "--cache=perhaps"], "--cache"),
    ],
)
def test_mistakes_are_told_in_one_line_before_any_call(
    arguments: list[str], says: str, shell: Shell, aws: TlsSts
) -> None:
    assert says in shell.fails(*arguments)
    assert aws.asked == []


def test_without_credentials_the_line_says_how_to_get_some(bare: Shell) -> None:
    assert "AWS_PROFILE" in bare.fails("token", "-i", "x", "--region", "eu-central-1")


def test_half_a_key_is_an_error(bare: Shell) -> None:
    bare.set(AWS_ACCESS_KEY_ID="AKIDEXAMPLE")
    assert "incomplete" in bare.fails("token", "-i", "x", "--region", "eu-central-1")


def test_a_profile_that_does_not_exist_is_an_error_even_with_keys(shell: Shell) -> None:
    shell.set(AWS_PROFILE="nobody")
    assert "nobody" in shell.fails("token", "-i", "x")


def test_a_role_is_assumed_in_the_users_name_once(shell: Shell, aws: TlsSts) -> None:
    first = shell.run("token", "-i", "shop", "-r", ROLE)
    assert first.code == 0
    assert aws.actions() == ["GetCallerIdentity", "AssumeRole"]
    assert aws.asked[1]["RoleSessionName"] == "alice"
    assert first.parameter("X-Amz-Credential").startswith("ASIA")
    assert first.parameter("X-Amz-Security-Token") == "session-token-of-alice"
    assert urlsplit(first.url()).netloc == aws.authority
    second = shell.run("token", "-i", "shop", "-r", ROLE)
    assert second.parameter("X-Amz-Credential") == first.parameter("X-Amz-Credential")
    assert len(aws.asked) == 2
    (kept,) = (shell.home / ".cache" / "kube-iam" / "sessions").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_token_of_a_role_is_reused_for_seven_minutes(shell: Shell, aws: TlsSts) -> None:
    def token_at(seconds: float, *more: str) -> str:
        shell.patch.setattr("time.time", lambda: now + seconds)
        ran = shell.run("token", "-i", "shop", "-r", ROLE, *more)
        assert (ran.code, ran.err) == (0, "")
        return ran.out

    now = float(int(time.time()))
    first = token_at(0)
    assert token_at(420) == first
    assert token_at(421) != first
    assert token_at(2) != first, "a token from the future is not believed"
    bare = token_at(3, "--token-only")
    assert bare.strip() not in first + token_at(3), "a caller that cannot ask again gets the whole lifetime"
    assert token_at(4, "--token-only") != bare
    shell.set(KUBE_IAM_TOKEN_CACHE="0")
    assert token_at(5) != token_at(6)


def test_a_kept_token_answers_in_the_version_that_is_asked_for(shell: Shell, aws: TlsSts) -> None:
    answers = []
    for version in ("v1", "v1beta1"):
        info = {"kind": "ExecCredential", "apiVersion": f"client.authentication.k8s.io/{version}", "spec": {}}
        shell.set(KUBERNETES_EXEC_INFO=json.dumps(info))
        answers.append(json.loads(shell.run("token", "-i", "shop", "-r", ROLE).out))
    assert [answer["apiVersion"].rpartition("/")[2] for answer in answers] == ["v1", "v1beta1"]
    assert answers[0]["status"] == answers[1]["status"]


def test_own_keys_leave_no_token_on_disk(shell: Shell) -> None:
    assert shell.run("token", "-i", "shop").code == 0
    assert shell.run("token", "-i", "shop", "--cache").code == 0
    assert not (shell.home / ".cache").exists()


def test_sessions_of_other_people_roles_ids_names_and_regions_are_not_shared(shell: Shell, aws: TlsSts) -> None:
    def assumed(*more: str) -> int:
        assert shell.run("token", "-i", "shop", "-r", ROLE, *more).code == 0
        return aws.actions().count("AssumeRole")

    assert assumed() == 1
    assert assumed("-e", "external") == 2
    assert aws.asked[-1]["ExternalId"] == "external"
    assert assumed("-s", "somebody") == 3
    assert assumed("--region", "eu-west-1") == 4
    assert assumed("-r", ROLE + "2") == 5
    shell.set(AWS_ACCESS_KEY_ID="AKIDOTHER")
    assert assumed() == 6
    assert assumed() == 6


def test_an_assumed_role_hands_on_its_own_session_name(shell: Shell, aws: TlsSts) -> None:
    aws.caller = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Dev_0123456789abcdef/alice@example.com"
    shell.run("token", "-i", "shop", "-r", ROLE, "--forward-session-name")
    assert aws.asked[-1]["RoleSessionName"] == "alice@example.com"


def test_a_session_that_ends_soon_is_renewed_and_the_token_ends_with_it(shell: Shell, aws: TlsSts) -> None:
    aws.length = 300
    ran = shell.run("token", "-i", "shop", "-r", ROLE)
    end = json.loads(ran.out)["status"]["expirationTimestamp"]
    (kept,) = (shell.home / ".cache" / "kube-iam" / "sessions").iterdir()
    issued, expires = (int(line) for line in kept.read_text().split("\n")[4:6])
    from kube_iam.core.utc import parse_rfc3339

    assert parse_rfc3339(end) == expires
    shell.patch.setattr("time.time", lambda: issued + 290.0)
    shell.run("token", "-i", "shop", "-r", ROLE)
    assert aws.actions().count("AssumeRole") == 2


def test_a_session_that_is_still_alive_serves_when_aws_cannot_be_reached(shell: Shell, aws: TlsSts) -> None:
    first = shell.run("token", "-i", "shop", "-r", ROLE)
    (kept,) = (shell.home / ".cache" / "kube-iam" / "sessions").iterdir()
    late = int(kept.read_text().split("\n")[5]) - 60.0
    shell.set(AWS_MAX_ATTEMPTS="1")
    shell.patch.setattr("time.time", lambda: late)
    aws.refusal = (500, "InternalFailure", "")
    assert (
        shell.run("token", "-i", "shop", "-r", ROLE)
        .parameter("X-Amz-Credential")
        .startswith(first.parameter("X-Amz-Credential").partition("/")[0])
    )
    aws.refusal = (403, "AccessDenied", "no")
    assert "may not assume" in shell.fails("token", "-i", "shop", "-r", ROLE)


def test_a_kept_session_that_others_can_read_is_refused_aloud_and_replaced(shell: Shell, aws: TlsSts) -> None:
    shell.set(KUBE_IAM_TOKEN_CACHE="0")
    shell.run("token", "-i", "shop", "-r", ROLE)
    (kept,) = (shell.home / ".cache" / "kube-iam" / "sessions").iterdir()
    kept.chmod(0o644)
    ran = shell.run("token", "-i", "shop", "-r", ROLE)
    assert ran.code == 0
    assert "others could read" in ran.err
    assert aws.actions().count("AssumeRole") == 2
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_damaged_kept_session_is_replaced(shell: Shell, aws: TlsSts) -> None:
    shell.set(KUBE_IAM_TOKEN_CACHE="0")
    shell.run("token", "-i", "shop", "-r", ROLE)
    (kept,) = (shell.home / ".cache" / "kube-iam" / "sessions").iterdir()
    kept.write_bytes(kept.read_bytes()[:-10])
    assert shell.run("token", "-i", "shop", "-r", ROLE).err == ""
    assert aws.actions().count("AssumeRole") == 2


def test_a_refusal_says_who_tried_what_and_why_it_may_be(shell: Shell, aws: TlsSts) -> None:
    aws.refusal = (403, "AccessDenied", "User is not authorized to perform: sts:AssumeRole")
    line = shell.fails("token", "-i", "shop", "-r", ROLE, "-s", "bob")
    assert ROLE in line
    assert "'bob'" in line
    assert "group" in line
    assert aws.caller in shell.fails("token", "-i", "shop", "-r", ROLE)
    assert not (shell.home / ".cache" / "kube-iam" / "sessions").exists()


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        ("SignatureDoesNotMatch", "Signature expired: 20261124T080000Z is now earlier than 20261124T090000Z", "clock"),
        ("SignatureDoesNotMatch", "Signature not yet current: 20261124T090000Z is still later than", "clock"),
        ("RequestTimeTooSkewed", "x", "clock"),
        (
            "SignatureDoesNotMatch",
            "The Canonical String should have been x-amz-security-token:own-secret",
            "secret access key",
        ),
        ("InvalidClientTokenId", "The security token included in the request is invalid", "does not know"),
        ("ExpiredToken", "The security token included in the request is expired", "expired"),
        ("ValidationError", "1 validation error detected", "validation error"),
    ],
)
def test_what_sts_refuses_is_explained(code: str, message: str, says: str, shell: Shell, aws: TlsSts) -> None:
    aws.refusal = (403, code, message)
    ran = shell.run("token", "-i", "shop", "-r", ROLE, "-s", "alice")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert says in ran.err
    assert "own-secret" not in ran.err


@pytest.mark.parametrize("action", ["GetCallerIdentity", "AssumeRole"])
@pytest.mark.parametrize("result", ["", "<Credentials></Credentials>", "<Arn></Arn>", "<Credentials>x</Credentials>"])
def test_an_answer_of_sts_without_what_was_asked_is_told_as_such(
    action: str, result: str, shell: Shell, aws: TlsSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = aws.answer

    def answer(call: dict[str, str]) -> tuple[int, str]:
        return (200, _result(action, result)) if call["Action"] == action else whole(call)

    monkeypatch.setattr(aws, "answer", answer)
    line = shell.fails("token", "-i", "shop", "-r", ROLE)
    assert "the answer of STS has no" in line
    assert "a bug" not in line


def test_an_unreachable_sts_is_told_as_such(shell: Shell) -> None:
    shell.set(AWS_ENDPOINT_URL_STS="https://127.0.0.1:1", AWS_MAX_ATTEMPTS="1", NO_PROXY="127.0.0.1")
    assert "network" in shell.fails("token", "-i", "shop", "-r", ROLE, "-s", "alice")


@pytest.mark.parametrize(
    ("variables", "flags", "source"),
    [
        ({"AWS_REGION": "us-esat-1"}, [], "AWS_REGION"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-esat-1"}, [], "AWS_DEFAULT_REGION"),
        ({}, ["--region", "us-esat-1"], "--region"),
        ({"AWS_REGION": "", "AWS_PROFILE": "typo"}, [], "the AWS profile, or the instance"),
    ],
)
def test_an_unknown_region_is_one_line_on_stderr_beside_the_token(
    variables: dict[str, str], flags: list[str], source: str, shell: Shell
) -> None:
    (shell.home / ".aws").mkdir()
    (shell.home / ".aws" / "config").write_text(
        "[profile typo]\nregion = us-esat-1\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = own-secret\n"
    )
    if "AWS_PROFILE" in variables:
        shell.set(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    ran = shell.set(**variables).run("token", "-i", "prod", *flags)
    assert ran.code == 0
    assert urlsplit(ran.url()).hostname == "sts.us-esat-1.amazonaws.com"
    assert ran.err == (
        "kube-iam: warning: region us-esat-1 is not known to this version of kube-iam"
        f" (set by {source}): did you mean 'us-east-1'?\n"
    )


@pytest.mark.parametrize("region", ["eu-central-1", "us-iso-east-1", "eusc-de-east-1"])
def test_known_regions_print_nothing_beside_the_token(region: str, shell: Shell) -> None:
    ran = shell.set(AWS_REGION=region).run("token", "-i", "prod")
    assert (ran.code, ran.err) == (0, "")


def test_the_region_does_not_matter_where_an_endpoint_is_set(shell: Shell) -> None:
    ran = shell.set(AWS_REGION="local-1", AWS_ENDPOINT_URL_STS="https://sts.example.com").run("token", "-i", "prod")
    assert (ran.code, ran.err) == (0, "")


def test_a_role_in_an_unknown_region_fails_with_the_region_and_what_names_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_host(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    said = shell.set(AWS_REGION="us-esat-1", AWS_MAX_ATTEMPTS="1").fails("token", "-i", "prod", "-r", ROLE)
    assert "sts.us-esat-1.amazonaws.com" in said
    assert "(set by AWS_REGION): did you mean 'us-east-1'? If it is one, check the network and HTTPS_PROXY" in said


@dataclass(frozen=True)
class SlowProfile:
    """The profile `slow`, whose credential_process counts its runs."""

    shell: Shell

    def write(self, expiration: str | None, *settings: str) -> None:
        keys = {"Version": 1, "AccessKeyId": "ASIASLOW", "SecretAccessKey": "s", "SessionToken": "t"}
        answer = json.dumps({**keys, **({"Expiration": expiration} if expiration else {})})
        program = self.shell.home / "keys.sh"
        program.write_text(f"#!/bin/sh\necho run >> {self.shell.home}/runs\necho '{answer}'\n")
        program.chmod(0o700)
        (self.shell.home / ".aws").mkdir(exist_ok=True)
        lines = ("[profile slow]", "region = eu-west-1", f"credential_process = {program}", *settings, "")
        (self.shell.home / ".aws" / "config").write_text("\n".join(lines))
        self.shell.set(AWS_PROFILE="slow")

    def runs_after(self, *arguments: str) -> int:
        """Return how often the program has run after one more `token`."""
        ran = self.shell.run("token", "-i", "shop", *arguments)
        assert ran.parameter("X-Amz-Credential").startswith("ASIASLOW")
        return (self.shell.home / "runs").read_text().count("run")


@pytest.fixture
def slow(bare: Shell) -> SlowProfile:
    profile = SlowProfile(bare)
    profile.write("2099-01-01T00:00:00Z")
    return profile


@pytest.mark.parametrize("arguments", [(), ("--cache",), ("--cache=true",), ("--token-only",)])
def test_temporary_credentials_of_a_profile_are_cached(arguments: tuple[str, ...], slow: SlowProfile) -> None:
    assert [slow.runs_after(*arguments) for _ in range(3)] == [1, 1, 1]


def test_edited_profile_gets_new_credentials(slow: SlowProfile) -> None:
    assert slow.runs_after() == 1
    slow.write("2099-01-01T00:00:00Z", "output = json")
    assert slow.runs_after() == 2


def test_variables_that_a_credential_process_may_read_tell_callers_apart(slow: SlowProfile) -> None:
    slow.shell.set(VAULT_USER="alice")
    assert slow.runs_after() == 1
    slow.shell.set(VAULT_USER="bob")
    assert slow.runs_after() == 2
    slow.shell.set(PWD="/elsewhere", SHLVL="7")
    assert slow.runs_after() == 2


def test_credentials_without_an_end_are_cached_for_a_quarter_of_an_hour_at_most(slow: SlowProfile) -> None:
    slow.write(None)
    now = time.time()
    slow.shell.patch.setattr("time.time", lambda: now)
    assert [slow.runs_after(), slow.runs_after()] == [1, 1]
    slow.shell.patch.setattr("time.time", lambda: now + 15 * 60)
    assert slow.runs_after() == 2


@pytest.mark.parametrize("arguments", [("--no-cache",), ("--cache=false",)])
def test_no_cache_neither_reads_nor_writes(arguments: tuple[str, ...], slow: SlowProfile) -> None:
    assert [slow.runs_after(*arguments), slow.runs_after(*arguments)] == [1, 2]
    assert not (slow.shell.home / ".cache").exists()
    assert slow.runs_after() == 3
    assert slow.runs_after(*arguments) == 4


def test_session_cache_is_turned_off_by_variable_and_file(slow: SlowProfile) -> None:
    config = slow.shell.home / "config.yaml"
    config.write_text("cache: false\n")
    assert [slow.runs_after("-c", str(config)) for _ in range(2)] == [1, 2]
    slow.shell.set(KUBE_IAM_SESSION_CACHE="0")
    assert [slow.runs_after() for _ in range(2)] == [3, 4]
    assert not (slow.shell.home / ".cache").exists()
    assert [slow.runs_after("--cache") for _ in range(2)] == [5, 5]


def test_no_cache_keeps_no_role_session_and_no_token(shell: Shell, aws: TlsSts) -> None:
    for _ in range(2):
        assert shell.run("token", "-i", "shop", "-r", ROLE, "--no-cache").code == 0
    assert aws.actions().count("AssumeRole") == 2
    assert not (shell.home / ".cache").exists()


def test_cache_and_no_cache_exclude_each_other(shell: Shell) -> None:
    assert "exclude each other" in shell.fails("token", "-i", "shop", "--cache", "--no-cache")


def test_a_failing_credential_process_is_told_in_one_line(bare: Shell) -> None:
    (bare.home / ".aws").mkdir()
    (bare.home / ".aws" / "config").write_text("[profile slow]\ncredential_process = KEY=very-secret /bin/program\n")
    bare.set(AWS_PROFILE="slow")
    line = bare.fails("token", "-i", "shop", "--region", "eu-west-1")
    assert "credential_process of profile slow failed: the command was not found" in line


def test_help_and_nothing_else_goes_to_stdout(shell: Shell) -> None:
    ran = shell.run("token", "--help")
    assert ran.code == 0
    assert "--forward-session-name" in ran.out


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:iam::123456789012:user/alice", "alice"),
        ("arn:aws:iam::123456789012:user/a/b/alice", "alice"),
        ("arn:aws:sts::123456789012:assumed-role/role/session@x", "session@x"),
    ],
)
def test_sessions_are_named_after_people(arn: str, name: str) -> None:
    assert own_session_name(arn) == name


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::123456789012:root",
        "arn:aws:iam::123456789012:user/x",
        "arn:aws:sts::123456789012:federated-user/bob",
        "no-arn",
        "",
    ],
)
def test_principal_without_a_session_name_is_an_error(arn: str) -> None:
    with pytest.raises(CredentialsError):
        own_session_name(arn)


WORDS = st.sampled_from(
    ["-i", "-r", "--role=x", "--cache", "--cache=true", "-ix", "x", "--", "-", "", "-h", "-c", "--token-only"]
)


@given(st.lists(WORDS | st.text(max_size=5), max_size=6))
def test_the_hand_parser_answers_or_leaves_it_to_click_and_agrees_with_it(arguments: list[str]) -> None:
    import click

    from kube_iam.cli.token import command

    ours = parse(arguments)
    if ours is None:
        return
    context = command.make_context("token", list(arguments))
    assert not isinstance(context, click.exceptions.Exit)
    from kube_iam.cli.shared_options import global_options_of

    theirs = {name: value for name, value in context.params.items() if value is not None}
    if global_options_of(context).cluster_id_given:
        theirs["cluster_id"] = global_options_of(context).cluster_id
    assert ours == theirs


def test_a_profile_that_wants_an_mfa_code_never_speaks_on_stdout(bare: Shell) -> None:
    (bare.home / ".aws").mkdir()
    (bare.home / ".aws" / "config").write_text(
        "[profile mfa]\nregion = eu-west-1\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/alice\n"
        "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = s\n"
    )
    bare.set(AWS_PROFILE="mfa")
    program = "import sys; from kube_iam.cli.main import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", program, "token", "-i", "shop"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # without a terminal to ask on
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "an MFA code is needed" in ran.stderr.splitlines()[-1]
