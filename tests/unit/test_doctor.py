"""`kube-iam doctor`: faults that a working sandbox cannot show, the texts of AWS, the table of causes, and the run of checks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubeconfigs import ROLE, config
from tls_sts import TlsSts

import reference
from https_server import HttpsServer, Request
from kube_iam.aws.assume_refusal import PolicyKind, refusing_policy
from kube_iam.cli.doctor import read_arguments
from kube_iam.core.reasons import Reason
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.outcomes import Check, Failed, Outcome, Passed, Result, Skipped, run_checks
from kube_iam.doctor.report import results_data, results_text
from kube_iam.doctor.sign_in import Machine, SignIn
from kube_iam.doctor.user_checks import USER_CHECKS
from kube_iam.errors import KubeIamError
from kube_iam.server import pem

PACKAGE = Path(__file__).parents[2] / "src" / "kube_iam"
DENIED = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: sts:AssumeRole"


@pytest.fixture
def sts(tmp_path: Path) -> Iterator[TlsSts]:
    (tmp_path / "sts").mkdir()
    with TlsSts(tmp_path / "sts").serving() as sts:
        yield sts


@pytest.fixture
def machine(sts: TlsSts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a machine with keys in the environment. Its AWS is `sts`, and its plugin prints a token of another kind."""
    plugin = tmp_path / "kube-iam"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}
    plugin.write_text(f"""#!/bin/sh\n[ $1 = version ] && echo '{{"Version": "0"}}' || echo '{json.dumps(answer)}'\n""")
    plugin.chmod(0o755)
    (tmp_path / "config").write_text(yaml.safe_dump(config(command=str(plugin))))
    for name, value in sts.environment().items():
        monkeypatch.setenv(name, value)
    variables = {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "KUBE_IAM_CACHE_DIR": str(tmp_path / "cache"),
        "KUBECONFIG": str(tmp_path / "config"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return machine_of(monkeypatch)


def machine_of(monkeypatch: pytest.MonkeyPatch) -> Machine:
    import os
    import time

    def use(variables: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return os.environ

    return Machine(os.environ, time.time, use, read_arguments, lambda name: name)


def outcomes(machine: Machine, last: str) -> dict[str, Outcome]:
    """Run the checks up to the last one. Return their outcomes by code."""
    codes = [check.code for check in USER_CHECKS]
    results = run_checks(USER_CHECKS[: codes.index(last) + 1], SignIn(machine))
    return {result.code: result.outcome for result in results}


def cause(outcome: Outcome) -> Cause | None:
    return outcome.cause if isinstance(outcome, Failed) else None


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(0, None), (290, None), (880, None), (-240, None), (910, Cause.CLOCK_SKEW), (-310, Cause.CLOCK_SKEW)],
)
def test_limits_of_tokens_decide_which_clock_is_wrong(
    ahead: float, expected: Cause | None, machine: Machine, sts: TlsSts
) -> None:
    sts.ahead = ahead
    outcome = outcomes(machine, "clock")["clock"]
    assert cause(outcome) is expected
    assert ahead == 0 or str(abs(int(ahead)))[:1] in str(outcome)


def test_a_clock_that_lags_by_minutes_shortens_tokens(machine: Machine, sts: TlsSts) -> None:
    sts.ahead = 600
    outcome = outcomes(machine, "clock")["clock"]
    assert isinstance(outcome, Passed)
    assert "tokens are valid for" in outcome.detail


def test_without_a_date_the_clock_is_not_checked(machine: Machine) -> None:
    assert isinstance(outcomes(machine, "clock")["clock"], Skipped)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ExpiredToken", "The security token included in the request is expired", Cause.CREDENTIALS_EXPIRED),
        ("InvalidClientTokenId", "The security token included in the request is invalid", Cause.ACCESS_KEY_UNKNOWN),
        ("SignatureDoesNotMatch", "The request signature we calculated does not match", Cause.SECRET_KEY_WRONG),
        ("SignatureDoesNotMatch", "Signature expired: 20260101T000000Z is now earlier than …", Cause.CLOCK_SKEW),
        ("SignatureDoesNotMatch", "Signature not yet current: 20260101T000000Z is still later", Cause.CLOCK_SKEW),
    ],
)
def test_refusals_of_credentials(code: str, message: str, expected: Cause, machine: Machine, sts: TlsSts) -> None:
    sts.caller_refusal, sts.ahead = (403, code, message), 1200
    found = outcomes(machine, "token")
    assert cause(found["credentials"]) is expected
    assert all(isinstance(found[each], Skipped) for each in ("clock", "role", "session", "token"))
    assert expected is not Cause.CLOCK_SKEW or "behind that of AWS" in str(found["credentials"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{DENIED} on resource: {ROLE}", PolicyKind.UNKNOWN),
        (f"{DENIED} because no identity-based policy allows the sts:AssumeRole action", PolicyKind.IDENTITY),
        (
            f"{DENIED} on resource: {ROLE} because no role trust policy allows the sts:AssumeRole action",
            PolicyKind.TRUST,
        ),
        (f"{DENIED} with an explicit deny in the role trust policy", PolicyKind.TRUST),
        (f"{DENIED} because no resource-based policy allows the sts:AssumeRole action", PolicyKind.TRUST),
        (f"{DENIED} with an explicit deny in an identity-based policy: {ROLE}", PolicyKind.IDENTITY),
        (f"{DENIED} because no permissions boundary allows the sts:AssumeRole action", PolicyKind.BOUNDARY),
        (f"{DENIED} with an explicit deny in a permissions boundary", PolicyKind.BOUNDARY),
        (f"{DENIED} because no service control policy allows the sts:AssumeRole action", PolicyKind.ORGANIZATION),
        (f"{DENIED} with an explicit deny in a service control policy", PolicyKind.ORGANIZATION),
        (f"{DENIED} with an explicit deny in a resource control policy", PolicyKind.ORGANIZATION),
        (f"{DENIED} because no session policy allows the sts:AssumeRole action", PolicyKind.SESSION),
        (f"{DENIED} because no VPC endpoint policy allows the sts:AssumeRole action", PolicyKind.SESSION),
        ("because no", PolicyKind.UNKNOWN),
        ("", PolicyKind.UNKNOWN),
    ],
)
def test_the_policy_that_the_text_of_aws_names(text: str, kind: PolicyKind) -> None:
    assert refusing_policy(text) is kind


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", Cause.ROLE_REFUSED),
        (" because no role trust policy allows the sts:AssumeRole action", Cause.TRUST_POLICY),
        (" because no permissions boundary allows the sts:AssumeRole action", Cause.PERMISSIONS_BOUNDARY),
        (" with an explicit deny in a service control policy", Cause.ORGANIZATION_POLICY),
        (" with an explicit deny in a session policy", Cause.SESSION_POLICY),
    ],
)
def test_a_refused_role_is_attributed(reason: str, expected: Cause, machine: Machine, sts: TlsSts) -> None:
    sts.refusal = (403, "AccessDenied", f"{DENIED} on resource: {ROLE}{reason}")
    found = outcomes(machine, "role")["role"]
    assert cause(found) is expected
    assert "user/alice" in str(found)


def test_a_session_of_a_role_cannot_take_a_role_of_kube_iam(machine: Machine, sts: TlsSts) -> None:
    sts.caller = "arn:aws:sts::123456789012:assumed-role/dev/alice"
    sts.refusal = (403, "AccessDenied", f"{DENIED} on resource: {ROLE}")
    found = outcomes(machine, "role")["role"]
    assert isinstance(found, Failed)
    assert "for IAM users" in found.advice


def test_a_wrong_region_of_sts_is_a_failed_role(machine: Machine, sts: TlsSts) -> None:
    sts.refusal = (403, "RegionDisabledException", "STS is not activated in this region")
    found = outcomes(machine, "role")["role"]
    assert cause(found) is Cause.ROLE_FAILED
    assert "not activated" in str(found)


# --- the API server


def serve(directory: Path, name: str, *, early: bool = False) -> HttpsServer:
    """Return an API server that answers 401, with a certificate for that name."""
    directory.mkdir()
    key = pem.answer({})["key"]
    now = datetime.now(UTC) + timedelta(days=400 if early else 0)
    made = pem.answer({"key": key, "hostname": name, "address": "127.0.0.9", "now": now.isoformat()})
    (directory / "cert.pem").write_text(made["certificate"])
    (directory / "key.pem").write_text(key)
    status = json.dumps({"kind": "Status", "code": 401, "message": "Unauthorized"}).encode()
    pair = directory / "cert.pem", directory / "key.pem"
    return HttpsServer(directory, lambda request: (401, "application/json", status), pair)


def api_server(machine: Machine, url: str, ca: Path, **fields: Any) -> Outcome:
    entries = config()
    entries["clusters"][0]["cluster"] = {"server": url, "certificate-authority": str(ca), **fields}
    Path(machine.environ["KUBECONFIG"]).write_text(yaml.safe_dump(entries))
    checks = tuple(check for check in USER_CHECKS if check.code in ("kubeconfig", "api-server"))
    return [result.outcome for result in run_checks(checks, SignIn(machine))][-1]


@pytest.mark.parametrize(
    ("name", "early", "expected"),
    [
        ("localhost", False, None),
        ("api.example.com", False, Cause.CERTIFICATE_NAME),
        ("localhost", True, Cause.CERTIFICATE_TIME),
    ],
)
def test_certificates_of_api_servers(
    name: str, early: bool, expected: Cause | None, machine: Machine, tmp_path: Path
) -> None:
    server = serve(tmp_path / "api", name, early=early)
    try:
        found = api_server(machine, f"https://localhost:{server.port}", tmp_path / "api" / "cert.pem")
    finally:
        server.stop()
    assert cause(found) is expected, found


def test_a_certificate_that_is_not_verified_is_not_called_trusted(machine: Machine, tmp_path: Path) -> None:
    server = serve(tmp_path / "api", "api.example.com")
    try:
        url = f"https://localhost:{server.port}"
        entries = config()
        entries["clusters"][0]["cluster"] = {"server": url, "insecure-skip-tls-verify": True}
        Path(machine.environ["KUBECONFIG"]).write_text(yaml.safe_dump(entries))
        checks = tuple(check for check in USER_CHECKS if check.code in ("kubeconfig", "api-server"))
        found = [result.outcome for result in run_checks(checks, SignIn(machine))][-1]
    finally:
        server.stop()
    assert isinstance(found, Passed)
    assert "not verified" in found.detail


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("incomplete", [False, True])
def test_no_permissions_are_named_where_the_user_is_not(
    incomplete: bool, status: int, machine: Machine, tmp_path: Path
) -> None:
    """With a webhook among the authorizers, such as kube-iam's, the rules are never complete."""

    def answer(request: Request) -> tuple[int, str, bytes]:
        if "selfsubjectaccessreviews" in request.target:
            return 201, "application/json", json.dumps({"spec": {}, "status": {"allowed": False}}).encode()
        if "selfsubjectrulesreviews" in request.target:
            rules = {"resourceRules": [], "nonResourceRules": [], "incomplete": incomplete}
            return 201, "application/json", json.dumps({"spec": {}, "status": rules}).encode()
        return status, "application/json", json.dumps({"kind": "Status", "code": status}).encode()

    server = HttpsServer(tmp_path, answer)
    try:
        entries = config()
        entries["clusters"][0]["cluster"] = {
            "server": f"https://{server.authority}",
            "certificate-authority": str(server.ca),
        }
        Path(machine.environ["KUBECONFIG"]).write_text(yaml.safe_dump(entries))
        checks = tuple(check for check in USER_CHECKS if check.code in ("kubeconfig", "sign-in", "permissions"))
        found = {result.code: result.outcome for result in run_checks(checks, SignIn(machine))}
    finally:
        server.stop()
    assert isinstance(found["sign-in"], Skipped)
    assert cause(found["permissions"]) is Cause.NO_PERMISSIONS, found


# --- the run of checks and its report


def check(code: str, outcome: Outcome, *needs: str) -> Check[None]:
    return Check(code, 1, code.title(), lambda state: outcome, needs)


def test_checks_behind_a_failure_do_not_run_and_others_do() -> None:
    checks = (
        check("one", Failed(Cause.CLOCK_SKEW, "late")),
        check("two", Passed("never"), "one"),
        check("three", Passed("never"), "two"),
        check("four", Skipped("no right")),
        check("five", Passed("runs"), "four"),
    )
    found = [result.outcome for result in run_checks(checks, None)]
    assert found[1:] == [Skipped("needs: One"), Skipped("needs: Two"), Skipped("no right"), Passed("runs")]


def test_a_check_that_ends_with_an_error_is_skipped_and_others_run() -> None:
    def fails(state: None) -> Outcome:
        raise KubeIamError("no answer", "try again")

    found = [each.outcome for each in run_checks((Check("one", 1, "One", fails), check("two", Passed("runs"))), None)]
    assert found == [Skipped("no answer: try again"), Passed("runs")]


def test_values_cannot_forge_lines_of_the_report() -> None:
    results = [Result("one", 1, "One", Failed(Cause.CLOCK_SKEW, "a\nb\x1b[31m", "c\rd"))]
    text = results_text(results)
    assert text.splitlines() == [
        "clock_skew: a\\u000ab\\u001b[31m",
        "remedy: c\\u000dd",
        "",
        "1  One  FAILED   clock_skew: a\\u000ab\\u001b[31m",
    ]
    assert results_data(results)["cause"] == "clock_skew"


def test_codes_of_checks_are_different_and_their_needs_come_before_them() -> None:
    codes = [check.code for check in USER_CHECKS]
    assert len(set(codes)) == len(codes)
    assert all(set(each.needs) <= set(codes[:at]) for at, each in enumerate(USER_CHECKS))
    assert [each.step for each in USER_CHECKS] == sorted(each.step for each in USER_CHECKS)


# --- the table of causes


def test_each_cause_is_on_the_page_once_with_all_its_texts() -> None:
    page = reference.troubleshooting()
    assert len({each.code for each in Cause}) == len(Cause)
    for each in Cause:
        assert page.count(f"| `{each.code}` |") == 1, each
        assert all(str(text).strip() for text in each.value)
        assert each.value.step in reference.STEPS


def test_log_lines_name_reasons_that_the_server_has() -> None:
    named = {reason for each in Cause for reason in re.findall(r"`(?:reason=)?([a-z_]+)`", each.value.log)}
    assert named <= {reason.value for reason in Reason}
    assert len(named) > 5


def test_each_cause_is_named_by_a_check() -> None:
    named = {
        node.attr
        for path in (PACKAGE / "doctor").glob("*_checks.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Cause"
    }
    assert named == {each.name for each in Cause}
