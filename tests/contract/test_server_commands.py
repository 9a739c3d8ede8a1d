"""`server --check-config`, `init` and `verify` as people run them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from fake_sts import Answer, FakeSts, error_answer, identity_answer
from ruamel.yaml import YAML
from running_server import CLUSTER, MAPPINGS, SESSION_ARN, USER_ID, RunningServer

import forks
from kube_iam.core.reasons import Reason

pytestmark = pytest.mark.process


def run(
    *arguments: str, cwd: Path | None = None, text: str = "", environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KUBERNETES_"))}
    return forks.run(arguments, {**clean, **(environ or {})}, directory=cwd, text=text)


def test_check_config_reports_every_problem_with_its_line_and_starts_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("server:\n  stateDir: 3\n  odd: 1\n  mapAccounts: [012345670123]\n")
    done = run("server", "-c", str(config), "--check-config")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{config}: error: line 1: clusterID: is required"
        " (it must be unique to this cluster: a token is good for every server with its cluster id)",
        f"{config}: error: line 2: server.stateDir: must be text, not a number",
        f"{config}: error: line 4: server.mapAccounts[0]: must be an account id of 12 digits as text, not a number"
        " (YAML reads it as a number; quote it: '012345670123')",
        f"{config}: warning: line 3: server.odd: is not a known key and has no effect",
    ]


def test_check_config_of_a_usable_file_succeeds(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"clusterID: x\nserver:\n{MAPPINGS}")
    done = run("-c", str(config), "server", "--check-config")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{config}: usable")


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (
            "us-esat-1",
            "region us-esat-1 is not known to this version of kube-iam (set by AWS_REGION): did you mean 'us-east-1'?",
        ),
        ("us_east_1", "'us_east_1' is not the name of an AWS region: a region looks like eu-central-1"),
    ],
)
def test_check_config_warns_of_a_region_that_may_not_exist(region: str, said: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"clusterID: x\nserver:\n{MAPPINGS}")
    done = run("-c", str(config), "server", "--check-config", environ={"AWS_REGION": region})
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (
        0,
        [f"environment: warning: {said}", f"{config}: usable"],
    )


def test_verify_warns_of_a_region_that_may_not_exist() -> None:
    done = run("verify", "-i", "x", "-t", "k8s-aws-v1.x", environ={"AWS_REGION": "us-esat-1"})
    assert done.returncode == 1
    assert done.stderr.startswith(
        "warning: region us-esat-1 is not known to this version of kube-iam (set by AWS_REGION)"
    )


def test_a_server_with_settings_that_cannot_be_used_says_all_and_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("server: {port: x, partition: y}")
    done = run("server", "-c", str(config), "--backend-mode=DynamicFile")
    assert done.returncode == 1
    for part in ("clusterID: is required", "server.port: ", "server.partition: ", "DynamicFile needs dynamicfilepath"):
        assert part in done.stderr


def test_an_unknown_feature_gate_is_a_clear_error() -> None:
    done = run("server", "-i", "x", "--feature-gates", "SSORoleMach=true")
    assert done.returncode == 1
    assert "there is no feature gate 'SSORoleMach'" in done.stderr
    assert "did you mean 'SSORoleMatch'?" in done.stderr


def test_init_makes_the_files_in_the_working_directory_and_says_where_they_go(tmp_path: Path) -> None:
    done = run("init", "-i", "x", "--hostname", "authenticator.local", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"cert.pem", "key.pem", "aws-iam-authenticator.kubeconfig"}
    assert "copy cert.pem to /var/aws-iam-authenticator/cert.pem" in done.stdout
    config = YAML(typ="safe").load(tmp_path / "aws-iam-authenticator.kubeconfig")
    assert config["clusters"][0]["cluster"]["server"] == "https://authenticator.local:21362/authenticate"


def test_init_with_the_feature_gate_writes_to_the_configured_directories(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"clusterID: x\nserver: {{stateDir: {tmp_path}/state, generateKubeconfig: {tmp_path}/webhook/kc.yaml}}"
    )
    done = run("init", "-c", str(config), "--feature-gates", "ConfiguredInitDirectories=true")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "state" / "key.pem").exists()
    assert (tmp_path / "webhook" / "kc.yaml").exists()


def test_init_without_a_cluster_id_makes_nothing(tmp_path: Path) -> None:
    assert run("init", cwd=tmp_path).returncode == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def token(sts: FakeSts, tmp_path: Path) -> str:
    sts.play = lambda _: identity_answer(SESSION_ARN, USER_ID)
    return RunningServer(tmp_path, sts).token()


WRONG = "most likely the token was made for another cluster id, else with a wrong secret access key"
EXPIRED = "Signature expired: 20261126T100000Z is now earlier than 20261126T100100Z (20261126T101600Z - 15 min.)"
AT = "signed at 20261126T100000Z, refused at 20261126T101600Z by AWS's clock"


def verify(sts: FakeSts, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    environ = {"AWS_CA_BUNDLE": str(sts.ca), "NO_PROXY": "127.0.0.1"}
    return run("verify", "-i", CLUSTER, "--sts-endpoint", sts.authority, *arguments, text=text, environ=environ)


def test_verify_shows_who_signed_as_the_reference_does(sts: FakeSts, token: str) -> None:
    done = verify(sts, "-t", token, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ARN": SESSION_ARN,
        "CanonicalARN": "arn:aws:iam::123456789012:role/Admin",
        "AccountID": "123456789012",
        "UserID": "AROAEXAMPLE",
        "SessionName": "alice@example.com",
        "AccessKeyID": "ASIAEXAMPLEEXAMPLE00",
        "STSEndpoint": sts.authority,
    }
    plain = verify(sts, "-t", "-", text=token + "\n")
    assert plain.stdout.startswith(f"&{{ARN:{SESSION_ARN} CanonicalARN:arn:aws:iam::123456789012:role/Admin ")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (error_answer(403, "SignatureDoesNotMatch"), f"signature_mismatch): STS refused the signature: {WRONG}"),
        (
            error_answer(403, "SignatureDoesNotMatch", EXPIRED),
            f"token_expired): {Reason.STS_TOKEN_EXPIRED.sentence}: {AT}",
        ),
        (error_answer(403, "ExpiredToken"), f"session_expired): {Reason.STS_SESSION_EXPIRED.sentence}"),
        (error_answer(403, "InvalidClientTokenId"), f"unknown_key): {Reason.STS_UNKNOWN_KEY.sentence}"),
        (Answer(0), "unreachable): STS could not be reached"),
        (Answer(429), "throttled): STS is throttling"),
    ],
)
def test_verify_of_a_refused_token_fails_with_the_reason_and_repeats_nothing(
    sts: FakeSts, token: str, answer: Answer, cause: str
) -> None:
    sts.play = lambda _: answer
    done = verify(sts, "-t", token)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the token is refused (sts_{cause}" in done.stderr
    assert token not in done.stderr
    assert "X-Amz" not in done.stderr


def test_verify_needs_a_token_and_a_cluster_id(sts: FakeSts) -> None:
    assert "no token" in verify(sts).stderr
    assert "clusterID: is required" in run("verify", "-t", "x").stderr


def test_verify_goes_through_the_proxy_of_the_environment(sts: FakeSts, token: str) -> None:
    environ = {"AWS_CA_BUNDLE": str(sts.ca), "HTTPS_PROXY": "http://127.0.0.1:1"}
    done = run("verify", "-i", CLUSTER, "--sts-endpoint", sts.authority, "-t", token, environ=environ)
    assert "sts_unreachable" in done.stderr
    assert not sts.asked
    done = run(
        "verify",
        "-i",
        CLUSTER,
        "--sts-endpoint",
        sts.authority,
        "-t",
        token,
        environ={**environ, "NO_PROXY": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr


def test_only_certificates_of_known_roots_are_believed(sts: FakeSts, token: str) -> None:
    done = run("verify", "-i", CLUSTER, "--sts-endpoint", sts.authority, "-t", token, environ={"NO_PROXY": "127.0.0.1"})
    assert "sts_unreachable" in done.stderr
    assert not sts.asked
    trusted = {"NO_PROXY": "127.0.0.1", "SSL_CERT_FILE": str(sts.ca)}
    done = run("verify", "-i", CLUSTER, "--sts-endpoint", sts.authority, "-t", token, environ=trusted)
    assert done.returncode == 0, done.stderr


def test_a_bundle_that_holds_no_certificate_is_a_clear_error(token: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.pem").write_text("nothing")
    done = run("verify", "-i", CLUSTER, "-t", token, environ={"AWS_CA_BUNDLE": str(tmp_path / "bundle.pem")})
    assert "AWS_CA_BUNDLE" in done.stderr
    assert "holds no PEM certificate" in done.stderr


def test_a_log_level_of_the_environment_that_is_none_gets_a_near_match() -> None:
    done = run("server", "-i", CLUSTER, environ={"AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY": "inof"})
    assert done.returncode == 1
    assert "there is no log level 'inof'" in done.stderr
    assert "did you mean 'info'?" in done.stderr


def test_an_unknown_log_format_is_text_with_a_warning_as_the_references() -> None:
    done = run("-l", "xml", "server", "-i", CLUSTER, "--port", "99999")
    assert 'level=warning msg="unknown log format' in done.stderr
    assert "server.port" in done.stderr or "flag port" in done.stderr
