"""Roles that are assumed without botocore are compared with botocore: calls, sessions and errors are the same.

Both ways run in this process against an STS that verifies signatures, for generated profiles and variables.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.httpsession import create_urllib3_context, get_cert_path
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from signed_sts import SignedSts, error, result

import kube_iam.aws.mfa
import kube_iam.aws.profile_sources
import kube_iam.aws.sts_calls
from examples import examples
from https_server import HttpsServer, Request
from kube_iam.aws import time_limits
from kube_iam.aws.credential_provider import CredentialProvider, issue_token
from kube_iam.aws.environment import normalize
from kube_iam.aws.static_credentials import Profile, read_profile
from kube_iam.aws.sts_calls import GIVE_UP_SECONDS, SECONDS, StsCalls, _CutOff, sts_calls
from kube_iam.aws.token_cache import TokenRequest
from kube_iam.core.credentials import VARIABLES as VARIABLES_OF_SDK
from kube_iam.core.credentials import Credentials
from kube_iam.core.partitions import Endpoint
from kube_iam.errors import KubeIamError, Unreachable

ROLE = "arn:aws:iam::123456789012:role/"
DEVICE = "arn:aws:iam::123456789012:mfa/alice"
STS_NAMES = [
    "sts.eu-central-1.amazonaws.com",
    "sts.us-east-1.amazonaws.com",
    "sts-fips.us-east-1.amazonaws.com",
    "sts.us-east-1.api.aws",
    "sts-fips.us-east-1.api.aws",
    "sts.us-gov-west-1.amazonaws.com",
    "sts.example.com",
]
Outcome = tuple[str, ...]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedSts]:
    with SignedSts(tmp_path_factory.mktemp("sts") / "s", STS_NAMES).serving() as serving:
        yield serving


class Machine:
    """A home directory, variables, and both ways to a token. `ours` counts the runs that made their calls without botocore."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, sts: SignedSts) -> None:
        self.home = home
        self.patch = patch
        self.sts = sts
        self.ours = 0
        self.codes = 0
        (home / ".aws").mkdir()

    def files(self, config: str, credentials: str = "") -> None:
        (self.home / ".aws" / "config").write_text(config)
        (self.home / ".aws" / "credentials").write_text(credentials)

    def both(
        self, environ: Mapping[str, str], role: str = "", answer: tuple[int, str] | None = None, **flags: Any
    ) -> Outcome:
        """Return the outcome, after checking that both ways lead to it by the same calls."""
        now = time.time()  # one time for both ways: it decides when a token ends
        found = []
        for botocore in (False, True):
            self.sts.begin(now + 600)
            self.sts.answer = answer
            outcome = self._run(environ, TokenRequest("shop", role=role, cache=False, **flags), now, botocore=botocore)
            found.append((outcome, [(call.host, call.scope, call.signer, _form(call.form)) for call in self.sts.calls]))
        assert found[0] == found[1]
        return found[0][0]

    def _run(self, environ: Mapping[str, str], request: TokenRequest, now: float, *, botocore: bool) -> Outcome:
        with self.patch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
                patch.delenv(name)
            variables = {
                "HOME": str(self.home),
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CA_BUNDLE": str(self.sts.ca),
                "HTTPS_PROXY": self.sts.proxy_url,
                **environ,
            }
            for name, value in variables.items():
                patch.setenv(name, value)
            normalize(os.environ)
            patch.setattr(kube_iam.aws.mfa, "has_terminal", lambda: True)
            patch.setattr("getpass.getpass", self._code)
            patch.setattr(kube_iam.aws.sts_calls, "sts_calls", self._none if botocore else self._counted)
            self.codes = 0
            try:
                token = issue_token(request, os.environ, lambda: now)
            except KubeIamError as raised:
                return type(raised).__name__, raised.message, raised.hint
        body = token.token.removeprefix("k8s-aws-v1.")
        query = parse_qs(urlsplit(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()).query)
        session = query.get("X-Amz-Security-Token", [""])[0]
        return (
            "token",
            query["X-Amz-Credential"][0].partition("/")[0],
            session,
            str(int(token.expires)),
            token.complaint,
        )

    def _code(self, question: str) -> str:
        """Return another code for each question, as a device shows."""
        self.codes += 1
        return f"{self.codes}{'1' if DEVICE in question else '2'}0000"

    @staticmethod
    def _none(*_: object) -> None:
        return None

    def _counted(self, *arguments: Any) -> StsCalls | None:
        found = sts_calls(*arguments)
        self.ours += found is not None
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: SignedSts) -> Machine:
    return Machine(tmp_path, monkeypatch, served)


def _form(form: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters with the time left out of the session's name."""
    return {name: re.sub(r"^botocore-session-[0-9]{10}$", "botocore-session-N", value) for name, value in form.items()}


KEYS = "aws_access_key_id = AKIDBASE\naws_secret_access_key = base/secret+=\n"
BASE = f"[profile base]\n{KEYS}"
TOP = f"{BASE}[profile top]\nrole_arn = {ROLE}top\nsource_profile = base\n"

NAMES = ("top", "middle", "base")
PROFILE_SETTINGS = {
    "role_arn": st.sampled_from([f"{ROLE}a", f"{ROLE}path/b", f"{ROLE}c", "arn:short", ""]),
    "source_profile": st.sampled_from(["base", "base", "middle", "top", "missing", ""]),
    "role_session_name": st.sampled_from(["alice", "a.b@c=d,e+f_-", "x", ""]),
    "external_id": st.sampled_from(["contract-7", "a b:c/d", "x", ""]),
    "mfa_serial": st.sampled_from([DEVICE, "GAHT12345678", "short", ""]),
    "duration_seconds": st.sampled_from(["900", "3600", "0900", "899", "+900", "9_00", "hour", "", "43200 # long"]),
    "credential_source": st.sampled_from(["Environment", "Ec2InstanceMetadata", "none"]),
    "region": st.sampled_from(["eu-central-1", "us-gov-west-1", "us-east-1"]),
    "sts_regional_endpoints": st.sampled_from(["legacy", "regional"]),
    "output": st.just("json"),
    "retry_mode": st.sampled_from(["standard", "none"]),
    "max_attempts": st.sampled_from(["2", "none"]),
    "aws_access_key_id": st.sampled_from(["AKIDBASE", "AKIDOTHER", ""]),
    "aws_secret_access_key": st.sampled_from(["base/secret+=", "wrong"]),
    "aws_session_token": st.sampled_from(["token", ""]),
    "sso_session": st.just("corp"),
    "credential_process": st.just("false"),
}
USUAL = st.fixed_dictionaries(
    {"role_arn": st.sampled_from([f"{ROLE}a", f"{ROLE}path/b"]), "source_profile": st.sampled_from(["base", "middle"])},
    optional={
        "role_session_name": st.sampled_from(["alice", "a.b@c=d,e+f_-"]),
        "external_id": st.sampled_from(["contract-7", "a b:c/d"]),
        "mfa_serial": st.sampled_from([DEVICE, "GAHT12345678"]),
        "duration_seconds": st.sampled_from(["900", "3600", "0900", "43200 # long"]),
        "region": PROFILE_SETTINGS["region"],
        "output": st.just("json"),
    },
)
ODD = st.fixed_dictionaries({}, optional=PROFILE_SETTINGS)
WITH_KEYS = st.fixed_dictionaries(
    {"aws_access_key_id": st.just("AKIDBASE"), "aws_secret_access_key": st.sampled_from(["base/secret+=", "wrong"])}
)
PROFILES = st.tuples(USUAL, USUAL | WITH_KEYS, WITH_KEYS) | st.tuples(USUAL | ODD, USUAL | ODD, WITH_KEYS | ODD)
VARIABLES = st.fixed_dictionaries(
    {"AWS_PROFILE": st.sampled_from(["top", "middle", "base", "missing"])},
    optional={
        "AWS_REGION": st.sampled_from(["eu-central-1", "us-east-1"]),
        "AWS_STS_REGIONAL_ENDPOINTS": st.sampled_from(["legacy", "regional"]),
        "AWS_MFA_SERIAL": st.just(DEVICE),
        "AWS_ROLE_SESSION_NAME": st.just("build"),
        "AWS_SECRET_ACCESS_KEY": st.just("half"),
    },
)


@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    PROFILES,
    st.sampled_from(["", "", f"{ROLE}admin"]),
    st.booleans(),
    VARIABLES,
)
def test_generated_profiles_lead_to_the_calls_and_errors_of_botocore(
    machine: Machine, profiles: tuple[dict[str, str], ...], role: str, in_credentials: bool, environ: dict[str, str]
) -> None:
    texts = ["".join(f"{setting} = {value}\n" for setting, value in chosen.items()) for chosen in profiles]
    config = "".join(f"[profile {name}]\n{text}" for name, text in zip(NAMES[:2], texts[:2], strict=True))
    base = f"[base]\n{texts[2]}" if in_credentials else ""
    machine.files(config + ("" if base else f"[profile base]\n{texts[2]}"), base)
    before = machine.ours
    outcome = machine.both(environ, role)
    event(f"{'without' if machine.ours > before else 'with'} botocore: {outcome[0]}")


CHAIN = (
    f"{BASE}[profile middle]\nrole_arn = {ROLE}middle\nsource_profile = base\nexternal_id = contract-7\nmfa_serial = {DEVICE}\n"
    f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = middle\nrole_session_name = alice\nduration_seconds = 900\n"
    "mfa_serial = GAHT12345678\n"
)
COVERED = {
    "source profile": (TOP, {"AWS_PROFILE": "top"}, ""),
    "chain with codes": (CHAIN, {"AWS_PROFILE": "top"}, ""),
    "keys in the same profile": (f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = top\n{KEYS}", {"AWS_PROFILE": "top"}, ""),
    "default profile": (f"[default]\nrole_arn = {ROLE}top\nsource_profile = base\n{BASE}", {}, ""),
    "role on a profile with a role": (TOP, {"AWS_PROFILE": "top"}, f"{ROLE}admin"),
    "role on keys of a profile": (BASE, {"AWS_PROFILE": "base"}, f"{ROLE}admin"),
    "role on keys of the environment": (
        "",
        {"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "other/secret+="},
        f"{ROLE}admin",
    ),
    "FIPS": (TOP, {"AWS_PROFILE": "top", "AWS_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"}, ""),
    "dual stack": (TOP, {"AWS_PROFILE": "top", "AWS_REGION": "us-east-1", "AWS_USE_DUALSTACK_ENDPOINT": "true"}, ""),
    "both": (
        TOP,
        {
            "AWS_PROFILE": "top",
            "AWS_REGION": "us-east-1",
            "AWS_USE_DUALSTACK_ENDPOINT": "true",
            "AWS_USE_FIPS_ENDPOINT": "true",
        },
        "",
    ),
    "GovCloud": (TOP, {"AWS_PROFILE": "top", "AWS_REGION": "us-gov-west-1"}, ""),
    "aws-global": (TOP, {"AWS_PROFILE": "top", "AWS_REGION": "aws-global"}, ""),
    "legacy endpoints": (TOP, {"AWS_PROFILE": "top", "AWS_REGION": "us-east-1", "AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, ""),
    "named endpoint": (TOP, {"AWS_PROFILE": "top", "AWS_ENDPOINT_URL_STS": "https://sts.example.com"}, ""),
    "named endpoint of all services": (TOP, {"AWS_PROFILE": "top", "AWS_ENDPOINT_URL": "https://sts.example.com"}, ""),
    "endpoints ignored": (
        TOP,
        {
            "AWS_PROFILE": "top",
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": "https://sts.example.com",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        },
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COVERED)
def test_usual_profiles_take_no_botocore_and_make_its_calls(name: str, machine: Machine) -> None:
    config, environ, role = COVERED[name]
    machine.files(config)
    assert machine.both({"AWS_REGION": "eu-central-1", **environ}, role)[0] == "token"
    assert machine.ours >= 1


def test_the_endpoint_of_a_profile_is_found_by_botocore_and_used_without_it(machine: Machine) -> None:
    services = "[services own]\nsts =\n  endpoint_url = https://sts.example.com\n"
    machine.files(f"{TOP}services = own\n{services}")
    assert machine.both({"AWS_PROFILE": "top", "AWS_REGION": "eu-central-1"})[0] == "token"
    assert [call.host for call in machine.sts.calls] == ["sts.example.com"]


def test_the_first_code_is_that_of_the_profile_in_use(machine: Machine) -> None:
    machine.files(CHAIN)
    machine.both({"AWS_PROFILE": "top", "AWS_REGION": "eu-central-1"})
    asked = [(call.form["SerialNumber"], call.form["TokenCode"]) for call in machine.sts.calls]
    assert asked == [(DEVICE, "210000"), ("GAHT12345678", "120000")]


@pytest.mark.parametrize(
    "flags",
    [{"external_id": "e-1"}, {"session_name": "bob"}, {"mfa_serial": DEVICE}, {"region": "us-east-1"}],
    ids=str,
)
def test_flags_of_a_role_are_sent_as_by_botocore(flags: dict[str, Any], machine: Machine) -> None:
    machine.files(BASE)
    assert machine.both({"AWS_PROFILE": "base", "AWS_REGION": "eu-central-1"}, f"{ROLE}admin", **flags)[0] == "token"
    assert machine.ours == 1


CUT_OFF = result("AssumeRole", "<Credentials>")[:120]
ANSWERS = {
    "denied": (403, error("AccessDenied", "User: arn:aws:iam::1:user/a is not authorized to perform: sts:AssumeRole")),
    "denied explicitly": (403, error("AccessDenied", "not authorized: sts:AssumeRole with an explicit deny in a policy")),
    "wrong code": (403, error("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.")),
    "unknown key": (403, error("InvalidClientTokenId", "The security token included in the request is invalid.")),
    "ended": (403, error("ExpiredToken", "The security token included in the request is expired")),
    "skewed": (403, error("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than …")),
    "signature": (403, error("SignatureDoesNotMatch", "The Canonical String for this request should have been secret")),
    "disabled region": (403, error("RegionDisabledException", "STS is not activated in this region")),
    "wrong value": (400, error("ValidationError", "1 error: Value '1 2' at 'roleSessionName' failed")),
    "new code of AWS": (400, error("SomethingNew", "a text")),
    "odd code": (400, error("a b/c", "a text")),
    "a page": (403, "<html><body>Forbidden</body></html>"),
    "no XML": (400, "Bad Request"),
    "nothing": (400, ""),
    "cut off": (200, CUT_OFF),
    "cut off error": (403, error("AccessDenied", "x")[:60]),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("role", ["", f"{ROLE}admin"], ids=["profile", "-r"])
def test_refusals_are_told_in_the_words_of_botocores_errors(name: str, role: str, machine: Machine) -> None:
    machine.files(BASE if role else TOP)
    environ = {"AWS_PROFILE": "base" if role else "top", "AWS_REGION": "eu-central-1"}
    outcome = machine.both(environ, role, ANSWERS[name])
    assert outcome[0] != "token"
    assert machine.ours == 1
    assert "Canonical" not in str(outcome)
    assert "1 2" not in str(outcome)


@pytest.mark.parametrize("name", ["throttled", "failing", "a page"])
def test_what_may_pass_is_asked_three_times(name: str, machine: Machine) -> None:
    answers = {
        "throttled": (400, error("Throttling", "Rate exceeded")),
        "failing": (500, error("InternalFailure", "x")),
        "a page": (503, "<html><body>Service Unavailable</body></html>"),
    }
    machine.files(TOP)
    outcome = machine.both({"AWS_PROFILE": "top", "AWS_REGION": "eu-central-1"}, "", answers[name])
    assert outcome[0] in ("Throttled", "Unreachable")
    assert len(machine.sts.calls) == 3


@pytest.mark.parametrize("body", ["", "<Credentials/>", "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>"])
@pytest.mark.parametrize("role", ["", f"{ROLE}admin"], ids=["profile", "-r"])
def test_an_answer_without_a_session_is_no_session(body: str, role: str, machine: Machine) -> None:
    machine.files(BASE if role else TOP)
    machine.sts.begin(0)
    machine.sts.answer = (200, result("AssumeRole", body))
    environ = {"AWS_PROFILE": "base" if role else "top", "AWS_REGION": "eu-central-1"}
    outcome = machine._run(environ, TokenRequest("shop", role=role, cache=False), time.time(), botocore=False)
    assert outcome[0] == "Unreachable"
    assert "has no session" in outcome[1]


def test_a_session_that_has_ended_already_is_told_as_by_botocore(machine: Machine) -> None:
    keys = "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    ended = result("AssumeRole", f"<Credentials>{keys}<Expiration>2001-01-01T00:00:00Z</Expiration></Credentials>")
    machine.files(TOP)
    outcome = machine.both({"AWS_PROFILE": "top", "AWS_REGION": "eu-central-1"}, "", (200, ended))
    assert "has given credentials that have ended" in outcome[1]


UNSENT = {
    "no server": {"AWS_ENDPOINT_URL_STS": "https://127.0.0.1:1", "NO_PROXY": "127.0.0.1"},
    "no name": {"AWS_ENDPOINT_URL_STS": "https://sts.invalid", "NO_PROXY": "sts.invalid"},
    "no proxy": {"HTTPS_PROXY": "http://127.0.0.1:1"},
    "proxy refuses": {"AWS_ENDPOINT_URL_STS": "https://sts.elsewhere.example"},
    "another kind of proxy": {"HTTPS_PROXY": "ftp://u:pass-word@127.0.0.1:1"},
    "no file of roots": {"AWS_CA_BUNDLE": "/nonexistent/ca.pem"},
    "untrusted": {"AWS_CA_BUNDLE": ""},
    "no roots in the file": {"AWS_CA_BUNDLE": __file__},
}  # fmt: skip


@pytest.mark.parametrize("name", UNSENT)
def test_what_cannot_be_sent_is_told_in_the_words_of_botocores_errors(name: str, machine: Machine) -> None:
    machine.files(TOP)
    outcome = machine.both({"AWS_PROFILE": "top", "AWS_REGION": "eu-central-1", **UNSENT[name]})
    assert outcome[0] in ("Unreachable", "UsageError", "CredentialsError")
    assert "pass-word" not in str(outcome)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("form", ["{url}", "{host}", "http://u:p%40ss@{host}"])
def test_http_proxies_are_used_in_each_form(variable: str, form: str, machine: Machine) -> None:
    machine.files(TOP)
    host = machine.sts.proxy_url.partition("://")[2]
    proxy = form.format(url=machine.sts.proxy_url, host=host)
    environ = {"AWS_PROFILE": "top", "AWS_REGION": "eu-central-1", "HTTPS_PROXY": "", variable: proxy}
    assert machine.both(environ)[0] == "token"
    assert machine.ours == 1


def test_a_session_is_cached_for_the_profile_that_it_was_made_with(machine: Machine) -> None:
    """The key of the cached session is computed of the files as they are then, so that the profile has to be as new."""
    variables = {
        "HOME": str(machine.home),
        "AWS_PROFILE": "top",
        "AWS_REGION": "eu-central-1",
        "AWS_CA_BUNDLE": str(machine.sts.ca),
        "HTTPS_PROXY": machine.sts.proxy_url,
    }
    for name, value in variables.items():
        machine.patch.setenv(name, value)
    machine.files(TOP)
    machine.sts.begin(time.time() + 600)
    endpoint = Endpoint("eu-central-1", "sts.eu-central-1.amazonaws.com")
    provider = CredentialProvider(TokenRequest("shop"), variables, time.time, read_profile(variables), endpoint)
    machine.files(TOP.replace("AKIDBASE", "AKIDOTHER").replace("base/secret", "other/secret"))
    provider.own_credentials()
    assert [call.signer for call in machine.sts.calls] == ["AKIDOTHER"]


def test_trusted_roots_are_those_of_botocore(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    own, other = tmp_path / "own.pem", tmp_path / "other.pem"
    own.write_text("x")
    other.write_text("x")
    roots = kube_iam.aws.sts_calls._trusted_roots
    plain, named = Profile("p", {}, {}, b""), Profile("p", {"ca_bundle": str(own)}, {}, b"")
    assert roots(environ, plain) == get_cert_path(True)
    assert roots({"REQUESTS_CA_BUNDLE": str(other)}, plain) == str(other)
    assert roots({"REQUESTS_CA_BUNDLE": str(other)}, named) == str(own)
    assert roots({"AWS_CA_BUNDLE": str(other)}, named) == str(other)
    assert roots({"AWS_CA_BUNDLE": str(tmp_path)}, plain) == "", "a directory is left to botocore"


def test_tls_is_as_strict_as_that_of_botocore() -> None:
    theirs, ours = create_urllib3_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert (ours.verify_mode, ours.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (ours.verify_flags, ours.minimum_version) == (theirs.verify_flags, theirs.minimum_version)


def test_time_limits_are_those_of_calls_through_botocore() -> None:
    assert (SECONDS, GIVE_UP_SECONDS) == (time_limits.CONNECT_SECONDS, time_limits.GIVE_UP_SECONDS)
    assert time_limits.READ_SECONDS == SECONDS


WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello, more",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",
    "no length": b"HTTP/1.0 200 OK\nContent-Type: text/xml\n\nhello",
}
BROKEN = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-x\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "no end of headers": b"HTTP/1.1 200 OK\r\nA: b\r\n",
    "odd header": b"HTTP/1.1 200 OK\r\nwhat\r\n\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    "too long": b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
    "too long without length": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70000,
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
    "another encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "odd chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n",
    "last chunk missing": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    "chunks without end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"8000\r\n"
    + b"x" * 32768
    + b"\r\n" * 3,
}


def read(raw: bytes) -> bytes:
    file = BytesIO(raw)
    status, headers = kube_iam.aws.sts_calls._read_head(file)
    assert status == 200
    return kube_iam.aws.sts_calls._read_body(file, headers)


@pytest.mark.parametrize("form", WHOLE)
def test_each_form_of_an_answer_is_read(form: str) -> None:
    assert read(WHOLE[form]) == b"hello"


@pytest.mark.parametrize("form", BROKEN)
def test_an_answer_that_is_not_whole_is_none(form: str) -> None:
    with pytest.raises(_CutOff):
        read(BROKEN[form])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no XML",
        b"<a><b>",
        b"<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>",
        b"<a><b>1</b><b>2</b></a>",
        b"\xff<a/>",
    ],
)
def test_what_is_no_document_of_sts_has_no_root(body: bytes) -> None:
    assert kube_iam.aws.sts_calls._parsed(body) == ("", {})


def test_a_call_that_gets_no_answer_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def silent(_: Request) -> tuple[int, str, bytes]:
        asked.append(time.monotonic())
        time.sleep(1)
        return 200, "text/xml", b""

    monkeypatch.setattr(kube_iam.aws.sts_calls, "SECONDS", 0.3)
    server = HttpsServer(tmp_path, silent)
    try:
        calls = StsCalls(server.authority, str(server.ca), "")
        with pytest.raises(Unreachable, match="does not answer in time"):
            calls.assume({"RoleArn": f"{ROLE}a"}, Credentials("AKID", "s"), "eu-central-1", "assume it")
    finally:
        server.stop()
    assert len(asked) == 1


def test_a_connection_that_is_cut_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(200, "<Arn>a</Arn>"), (0, ""), (200, "<Arn>b</Arn>")]

    def cut(_: Request) -> tuple[int, str, bytes]:
        status, body = answers.pop(0)
        return status, "text/xml", result("GetCallerIdentity", body).encode()

    monkeypatch.setattr("random.random", lambda: 0.0)
    server = HttpsServer(tmp_path, cut)
    try:
        calls = StsCalls(server.authority, str(server.ca), "")
        assert [calls.caller_arn(Credentials("AKID", "s"), "eu-central-1") for _ in range(2)] == ["a", "b"]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("environ", "config"),
    [
        ({"AWS_MAX_ATTEMPTS": "2"}, {}),
        ({"AWS_RETRY_MODE": "adaptive"}, {}),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/f"}, {}),
        ({"AWS_ROLE_ARN": f"{ROLE}a"}, {}),
        ({"SSLKEYLOGFILE": "/f"}, {}),
        ({"HTTPS_PROXY": "https://proxy.example.com"}, {}),
        ({}, {"retry_mode": "adaptive"}),
        ({}, {"something_new": "x"}),
        ({}, {"region": "a\tb"}),
    ],
)
def test_settings_that_are_not_covered_are_left_to_botocore(environ: dict[str, str], config: dict[str, str]) -> None:
    endpoint = Endpoint("eu-central-1", "sts.eu-central-1.amazonaws.com")
    plain = Profile("p", {"region": "eu-central-1", "x_of_mine": "y"}, {}, b"")
    assert sts_calls({}, plain, endpoint) is not None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        assert sts_calls(environ, Profile("p", config, {}, b""), endpoint) is None


@pytest.mark.parametrize("host", ["[::1]:8443", "sts.example.com:port", "sts.example.com:70000", "sts.exämple.com"])
def test_hosts_that_are_not_plain_are_left_to_botocore(host: str) -> None:
    assert sts_calls({}, Profile("p", {}, {}, b""), Endpoint("eu-central-1", host)) is None
    assert sts_calls({}, Profile("p", {}, {}, b""), Endpoint("eu-central-1", "sts.example.com:8443")) is not None


def test_every_variable_of_the_sdk_is_handled_or_left_to_it() -> None:
    assert kube_iam.aws.profile_sources._HANDLED <= VARIABLES_OF_SDK
