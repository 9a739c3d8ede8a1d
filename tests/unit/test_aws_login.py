"""Profiles with `login_session`: sessions of `aws login`, used and renewed, with and without the AWS CRT."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from aws_stand_ins import ACCOUNT
from credential_home import Home
from fake_sign_in import CLIENT, FakeSignIn
from tls_sts import TlsSts

pytestmark = pytest.mark.process

ROLE = "arn:aws:iam::123456789012:role/"
SESSION = "arn:aws:iam::123456789012:user/alice"
WITHOUT_CRT = {"BOTO_DISABLE_CRT": "true"}


@pytest.fixture
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSts]:
    with TlsSts(tmp_path_factory.mktemp("sts")).serving() as serving:
        yield serving


@pytest.fixture
def sign_in() -> Iterator[FakeSignIn]:
    with FakeSignIn().serving() as serving:
        yield serving


@pytest.fixture
def home(tmp_path: Path, sts: TlsSts, sign_in: FakeSignIn) -> Home:
    home = Home.on(tmp_path, sts)
    home.environ |= {"AWS_ENDPOINT_URL_SIGNIN": sign_in.url, "AWS_PROFILE": "l"}
    home.config(f"[profile l]\nlogin_session = {SESSION}\n")
    return home


def cached(home: Home) -> Path:
    return home.path / ".aws" / "login" / "cache" / f"{sha256(SESSION.encode()).hexdigest()}.json"


def aws_login(home: Home, lasts: float, key: str = "no key", **other: object) -> str:
    """Write the files of `aws login`. Return the session's end."""
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasts))
    cached(home).parent.mkdir(parents=True, exist_ok=True)
    keys = {"accessKeyId": "ASIALOGIN", "secretAccessKey": "s3cret", "sessionToken": "t0ken", "expiresAt": end}
    token = {"accessToken": {**keys, "accountId": ACCOUNT}, "refreshToken": "refresh-1", "clientId": CLIENT}
    cached(home).write_text(json.dumps({**token, "dpopKey": key, "tokenType": "aws_sigv4", **other}))
    return end


def failure(home: Home, **environ: str) -> str:
    """Return the one line of error of a sign-in that fails, with no part of the session in it."""
    ran = home.token(**environ)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "a bug" not in ran.stderr
    assert not [secret for secret in ("s3cret", "t0ken", "refresh-1") if secret in ran.stderr]
    return ran.stderr


@pytest.mark.parametrize("crt", [{}, WITHOUT_CRT])
@pytest.mark.parametrize("lasts", [120, 800])
def test_a_session_signs_until_its_end(lasts: float, crt: dict[str, str], home: Home) -> None:
    end = aws_login(home, lasts)
    assert home.signed_by(**crt) == ("ASIALOGIN", end)


@pytest.mark.parametrize("lasts", [-60, 120])
def test_a_session_about_to_end_is_renewed_and_kept(lasts: float, home: Home, sign_in: FakeSignIn) -> None:
    aws_login(home, lasts, sign_in.pem)
    assert home.signed_by()[0] == "ASIARENEWED1"
    assert json.loads(cached(home).read_text())["refreshToken"] == "refresh-2"
    assert cached(home).stat().st_mode & 0o077 == 0
    assert home.signed_by()[0] == "ASIARENEWED1"
    assert [body["refreshToken"] for body in sign_in.asked] == ["refresh-1"]


def test_a_role_is_assumed_with_a_renewed_session(home: Home, sign_in: FakeSignIn, sts: TlsSts) -> None:
    aws_login(home, -60, sign_in.pem)
    home.config(f"[profile l]\nlogin_session = {SESSION}\n[profile r]\nrole_arn = {ROLE}r\nsource_profile = l\n")
    home.signed_by(AWS_PROFILE="r")
    assert sts.signers == ["ASIARENEWED1"]


def test_a_role_of_another_login_is_not_taken_from_the_cache(home: Home, sts: TlsSts) -> None:
    aws_login(home, 800)
    first = home.signed_by("-r", f"{ROLE}viewer", AWS_PROFILE="l")
    assert home.signed_by("-r", f"{ROLE}viewer", AWS_PROFILE="l") == first
    calls = sts.actions()
    other = json.loads(cached(home).read_text())
    other["accessToken"]["accessKeyId"] = "ASIAOTHER"
    cached(home).write_text(json.dumps(other))
    assert home.signed_by("-r", f"{ROLE}viewer", AWS_PROFILE="l") != first
    assert sts.actions() == calls * 2
    assert sts.signers[-1] == "ASIAOTHER"


def test_without_the_crt_a_session_that_has_ended_names_the_extra_and_the_command(home: Home) -> None:
    aws_login(home, -60)
    # As if it were not installed: Python runs this before the program.
    (home.path / "sitecustomize.py").write_text("import sys\nsys.modules['awscrt'] = None\n")
    says = failure(home, PYTHONPATH=str(home.path))
    assert "run `aws login --profile l`, or install the extra `login`" in says
    assert f"{sys.executable} -m pip install 'botocore[crt]'" in says


def test_a_crt_that_is_switched_off_is_not_called_missing(home: Home) -> None:
    aws_login(home, -60)
    assert "unset BOTO_DISABLE_CRT" in failure(home, **WITHOUT_CRT)


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        ((403, "TOKEN_EXPIRED"), "has ended: run `aws login --profile l`"),
        ((403, "USER_CREDENTIALS_CHANGED"), "has ended: run `aws login --profile l`"),
        ((403, "INSUFFICIENT_PERMISSIONS"), "signin:CreateOAuth2Token"),
        ((403, "SOMETHING_NEW"), "aws login --profile l"),
    ],
)
def test_a_refused_renewal_says_why(refusal: tuple[int, str], says: str, home: Home, sign_in: FakeSignIn) -> None:
    aws_login(home, -60, sign_in.pem)
    sign_in.refusal = refusal
    assert says in failure(home)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "AWS refuses the request: run `aws login --profile l`; is this machine's clock right?"),
        (429, "wait a minute and repeat the command"),
        (500, "repeat the command in a moment"),
    ],
)
def test_a_failed_renewal_names_the_session_and_the_remedy(
    status: int, says: str, home: Home, sign_in: FakeSignIn
) -> None:
    aws_login(home, -60, sign_in.pem)
    sign_in.refusal = (status, "server_error")
    error = failure(home, AWS_MAX_ATTEMPTS="1")
    assert "the session of `aws login` of profile l" in error
    assert says in error


def test_a_failed_renewal_is_no_error_before_the_sessions_end(home: Home, sign_in: FakeSignIn) -> None:
    end = aws_login(home, 120, sign_in.pem)
    sign_in.refusal = (500, "server_error")
    assert home.signed_by(AWS_MAX_ATTEMPTS="1") == ("ASIALOGIN", end)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://192.0.2.1"])
def test_a_sign_in_endpoint_that_cannot_be_used_is_named(endpoint: str, home: Home, sign_in: FakeSignIn) -> None:
    aws_login(home, -60, sign_in.pem)
    assert endpoint.partition("//")[2] in failure(home, AWS_ENDPOINT_URL_SIGNIN=endpoint, AWS_MAX_ATTEMPTS="1")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", "null", '"x"', '{"accessToken": {}, "refreshToken": "r", "dpopKey": "k", "clientId": "c"}'],
)
def test_a_damaged_session_names_the_command(content: str, home: Home) -> None:
    aws_login(home, 800)
    cached(home).write_text(content)
    assert "aws login" in failure(home)


@pytest.mark.parametrize(
    "key", ["", "k", "AAAA", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"]
)
def test_a_damaged_key_names_the_command(key: str, home: Home) -> None:
    aws_login(home, -60, key)
    assert "aws login" in failure(home)


@pytest.mark.parametrize("end", ["", "soon", "2020-01-01", "2999-01-01T00:00:00", 12])
def test_an_end_that_is_no_time_names_the_command(end: object, home: Home) -> None:
    aws_login(home, 800)
    session = json.loads(cached(home).read_text())
    session["accessToken"]["expiresAt"] = end
    cached(home).write_text(json.dumps(session))
    assert "aws login" in failure(home)


def test_without_a_session_the_command_is_named(home: Home) -> None:
    says = failure(home)
    assert "run `aws login --profile l`" in says
    assert "ended" not in says
