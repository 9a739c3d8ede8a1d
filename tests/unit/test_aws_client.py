from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import botocore.exceptions as known
import pytest
from botocore.exceptions import ClientError

from kube_iam.aws import time_limits
from kube_iam.aws.client import aws_errors, iam_client, make_client, make_session
from kube_iam.aws.errors import is_clock_skew, translate
from kube_iam.errors import (
    AccessDenied,
    AwsError,
    Conflict,
    CredentialsError,
    KubeIamError,
    NotFound,
    Throttled,
    Unreachable,
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def answer(code: str, message: str = "words of AWS", status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "CreateRole")


def test_clients_retry_time_out_and_introduce_themselves() -> None:
    config = make_client("iam").meta.config
    assert config.retries["mode"] == "standard"
    assert (config.connect_timeout, config.read_timeout) == (4, 4)
    assert config.user_agent.rpartition(" ")[2].startswith("kube-iam/")


def test_a_clients_region_is_the_argument_then_the_environment_then_the_profile(
    clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert make_client("sts").meta.region_name == "us-east-1"
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-west-3\n[profile other]\nregion = eu-west-4\n")
    assert make_client("sts").meta.region_name == "eu-west-3"
    assert make_client("sts", profile="other").meta.region_name == "eu-west-4"
    clean.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert make_client("sts").meta.region_name == "eu-west-2"
    clean.setenv("AWS_REGION", "eu-west-1")
    assert make_client("sts").meta.region_name == "eu-west-1"
    assert make_client("sts", "eu-central-1").meta.region_name == "eu-central-1"


class Listener:
    """A port whose connections are accepted and never answered, or closed at once. Counts them."""

    def __init__(self, *, closes: bool) -> None:
        self._closes = closes
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                if self._closes:
                    connection.close()
                else:
                    self._held.append(connection)

    def close(self) -> None:
        for each in (self._socket, *self._held):
            each.close()


@pytest.mark.parametrize("service", ["sts", "iam"])
@pytest.mark.parametrize("closes", [False, True], ids=["silent", "closes"])
def test_call_without_an_answer_is_not_repeated(closes: bool, service: str, clean: pytest.MonkeyPatch) -> None:
    """Three attempts of 30 s each let `who` hang for a minute and a half where packets are dropped."""
    clean.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    clean.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    clean.setattr("kube_iam.aws.time_limits.READ_SECONDS", 0.2)
    listener = Listener(closes=closes)
    try:
        clean.setenv(f"AWS_ENDPOINT_URL_{service.upper()}", listener.url)
        session = make_session()
        client = iam_client("eu-west-1", session) if service == "iam" else make_client("sts", session=session)
        with pytest.raises(Unreachable), aws_errors("ask"):
            (client.list_users if service == "iam" else client.get_caller_identity)()
    finally:
        listener.close()
    assert listener.connections == 1 if not closes else listener.connections > 1


def test_roles_of_profiles_are_assumed_within_the_same_limits(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setattr("kube_iam.aws.time_limits.READ_SECONDS", 0.2)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = s\n"
        "[profile top]\nrole_arn = arn:aws:iam::123456789012:role/top\nsource_profile = base\nregion = eu-west-1\n"
    )
    listener = Listener(closes=False)
    try:
        clean.setenv("AWS_ENDPOINT_URL_STS", listener.url)
        with pytest.raises(Unreachable), aws_errors("find AWS credentials"):
            make_session("top").get_credentials().get_frozen_credentials()
    finally:
        listener.close()
    assert listener.connections == 1


def test_failing_connections_are_tried_again_for_five_seconds_at_most() -> None:
    failure = known.EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com")
    now = time.monotonic()
    for ago, raises in ((0.0, False), (4.0, False), (6.0, True)):
        request = {"context": {time_limits._BEGUN: now - ago}}
        with pytest.raises(known.EndpointConnectionError) if raises else nullcontext():
            time_limits._give_up(failure, request)


def test_an_unknown_profile_or_a_broken_file_is_said_at_once(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="nobody"):
        make_session("nobody")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("invalid\n")
    with pytest.raises(CredentialsError, match="config"):
        make_session()


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            answer("AccessDenied", "User: u is not authorized to perform: iam:CreateRole on x"),
            AccessDenied,
            "iam:CreateRole",
        ),
        (answer("AccessDenied", "no"), AccessDenied, "CreateRole"),
        (
            answer("AccessDenied", "u may not perform: iam:TagRole with an explicit deny in a policy"),
            AccessDenied,
            "denies iam:Tag",
        ),
        (answer("UnauthorizedOperation"), AccessDenied, "permission"),
        (answer("Throttling"), Throttled, "wait"),
        (answer("RequestLimitExceeded"), Throttled, "wait"),
        (answer("ExpiredToken"), CredentialsError, "aws sso login"),
        (answer("InvalidClientTokenId"), CredentialsError, "access key"),
        (answer("SignatureDoesNotMatch"), CredentialsError, "secret access key"),
        (answer("SignatureDoesNotMatch", "Signature expired: a is now earlier than b"), CredentialsError, "clock"),
        (answer("RequestTimeTooSkewed"), CredentialsError, "clock"),
        (answer("NoSuchEntity"), NotFound, "words of AWS"),
        (answer("EntityAlreadyExists"), Conflict, "words of AWS"),
        (answer("LimitExceeded"), AwsError, "quota"),
        (answer("InternalFailure", "", 500), Unreachable, "InternalFailure"),
        (answer("MalformedPolicyDocument"), AwsError, "MalformedPolicyDocument"),
        (known.NoCredentialsError(), CredentialsError, "AWS_PROFILE"),
        (
            known.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            CredentialsError,
            "AWS_SECRET_ACCESS_KEY",
        ),
        (known.ProfileNotFound(profile="nobody"), CredentialsError, "nobody"),
        (known.UnauthorizedSSOTokenError(), CredentialsError, "aws sso login"),
        (known.SSOTokenLoadError(error_msg="x"), CredentialsError, "aws sso login"),
        (known.TokenRetrievalError(provider="sso", error_msg="x"), CredentialsError, "aws sso login"),
        (
            known.CredentialRetrievalError(provider="container-role", error_msg="it failed"),
            CredentialsError,
            "container's credentials service failed",
        ),
        (known.EndpointConnectionError(endpoint_url="https://x"), Unreachable, "network"),
        (known.ConnectTimeoutError(endpoint_url="https://x"), Unreachable, "network"),
        (known.ReadTimeoutError(endpoint_url="https://x"), Unreachable, "network"),
        (known.ProxyConnectionError(proxy_url="http://p"), Unreachable, "HTTPS_PROXY"),
        (known.SSLError(endpoint_url="https://x", error=OSError("bad")), Unreachable, "AWS_CA_BUNDLE"),
        (known.NoRegionError(), CredentialsError, "--region"),
        (known.ConfigParseError(path="/x"), CredentialsError, "/x"),
        (known.InvalidConfigError(error_msg="role_arn without source"), CredentialsError, "role_arn without source"),
        (known.DataNotFoundError(data_path="x"), AwsError, "DataNotFoundError"),
    ],
)
def test_every_error_says_what_failed_and_what_to_do(error: Exception, kind: type[KubeIamError], says: str) -> None:
    with pytest.raises(KubeIamError) as caught, aws_errors("create role X"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.message.startswith("cannot create role X: ")
    assert says in str(caught.value)
    assert caught.value.__cause__ is error


def test_the_canonical_request_that_aws_quotes_is_never_repeated() -> None:
    error = translate(
        answer("SignatureDoesNotMatch", "The Canonical String should have been 'x-amz-security-token:abc'"), "x"
    )
    assert "abc" not in str(error)


def test_errors_of_ours_pass_unchanged() -> None:
    mine = NotFound("no such level")
    with pytest.raises(NotFound) as caught, aws_errors("anything"):
        raise mine
    assert caught.value is mine


def test_only_time_errors_blame_the_clock() -> None:
    assert is_clock_skew(answer("SignatureDoesNotMatch", "Signature not yet current: x"))
    assert not is_clock_skew(answer("SignatureDoesNotMatch", "x"))
    assert not is_clock_skew(answer("AccessDenied", "Signature expired"))
    assert not is_clock_skew(ValueError("Signature expired"))


def test_an_answer_that_is_no_answer_is_not_repeated_in_the_error() -> None:
    from botocore.parsers import ResponseParserError

    with pytest.raises(Unreachable) as caught, aws_errors("assume the role"):
        raise ResponseParserError("invalid XML received: b'<SecretAccessKey>canary'")
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
