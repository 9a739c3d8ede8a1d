"""`kube-iam doctor USER LEVEL`: faults that a sandbox cannot show, the token that is sent, and the command line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from access_commands import account as account
from access_commands import kube_iam
from api_in_memory import REVIEWS, SLICES, ApiInMemory, endpoint_slice
from fake_account import FakeAccount
from levels_for_tests import access, level
from prepared_session import PreparedSession
from tls_sts import TlsSts

from kube_iam.access.levels import ClusterAccess, Level, MappingTarget, Method, TargetKind
from kube_iam.core.membership_status import (
    MembershipAnswer,
    MembershipState,
    MembershipStatus,
    read_membership_question,
)
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.doctor.admin_checks import ADMIN_CHECKS
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.inspection import Inspection
from kube_iam.doctor.level_checks import check_mapping
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.doctor.server_checks import check_context, check_server_iam, check_token_review
from kube_iam.errors import UsageError
from kube_iam.kube.mapping_store import make_store

URL = "https://api.prod.example.com"
NOTHING = 'Post "https://127.0.0.1:21362/authenticate": dial tcp 127.0.0.1:21362: connect: connection refused'
Make = Callable[..., Inspection]


@pytest.fixture
def memory() -> ApiInMemory:
    return ApiInMemory()


@pytest.fixture
def sts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsSts]:
    (tmp_path / "sts").mkdir()
    with TlsSts(tmp_path / "sts").serving() as sts:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "very-secret"}
        for name, value in {**sts.environment(), **keys, "KUBE_IAM_CACHE_DIR": str(tmp_path / "cache")}.items():
            monkeypatch.setenv(name, value)
        yield sts


@pytest.fixture
def make(account: FakeAccount, memory: ApiInMemory, sts: TlsSts) -> Make:
    """Return a function that makes the state of a run whose administrator has AWS credentials."""

    def state(of: Level | None = None, url: str = URL, file: ClusterAccess | None = None) -> Inspection:
        session = PreparedSession(account, memory.api(url))
        session.access = file or access(*([of] if of else []))
        if session.access.mapping.kind is TargetKind.FILE:
            session.mapping_store = make_store(session.access, None)
        found = of or session.access.levels[0]
        made = Inspection(session, "alice", found, "kube-system/kube-iam-denied", os.environ, time.time)
        made.is_aws_known = True
        return made

    return state


def cause(outcome: Outcome) -> Cause | None:
    return outcome.cause if isinstance(outcome, Failed) else None


def refusing(reason: Reason, detail: str = "") -> Callable[[str, str], str]:
    """Return the `status.error` of a refusal, as kube-apiserver passes it on."""
    return lambda host, token: f"[invalid bearer token, {Refusal(reason, detail).message} (request 0a1b2c3d)]"


@pytest.mark.parametrize(
    ("reason", "detail", "expected"),
    [
        (Reason.STS_SIGNATURE_MISMATCH, "checked for cluster id shop.example.com", Cause.SERVER_CLUSTER_ID),
        (Reason.TOKEN_EXPIRED, "", Cause.SERVER_CLOCK),
        (Reason.DATE_IN_FUTURE, "", Cause.SERVER_CLOCK),
        (Reason.URL_HOST, "", Cause.SERVER_PARTITION),
        (Reason.STS_UNREACHABLE, "", Cause.SERVER_STS),
        (Reason.STS_REGION_DISABLED, "", Cause.SERVER_STS),
        (Reason.MAPPINGS_NOT_LOADED, "", Cause.SERVER_NOT_READY),
        (Reason.DENY_LIST_NOT_LOADED, "", Cause.SERVER_NOT_READY),
        (Reason.STS_SIGNATURE_MISMATCH, "checked for cluster id prod.example.com", None),
        (Reason.NOT_MAPPED, "arn:aws:iam::123456789012:user/root-admin", None),
        (Reason.DENIED, "", None),
        (Reason.NOT_MEMBER, "", None),
    ],
)
def test_a_refusal_of_the_own_token_shows_faults_of_the_server(
    reason: Reason, detail: str, expected: Cause | None, make: Make, memory: ApiInMemory
) -> None:
    memory.answer = refusing(reason, detail)
    found = check_token_review(make())
    assert cause(found) is expected
    assert reason.sentence in str(found)
    assert "(request 0a1b2c3d)" in str(found)
    assert "invalid bearer token" not in str(found)


def test_the_clock_of_the_administrator_is_not_taken_for_that_of_the_server(make: Make, memory: ApiInMemory) -> None:
    memory.answer = refusing(Reason.TOKEN_EXPIRED)
    state = make()
    state.clock_ahead = -3600
    assert cause(check_token_review(state)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NOTHING, Cause.WEBHOOK_DOWN),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", Cause.WEBHOOK_UNTRUSTED),
        ("x509: certificate is valid for kube-iam, not localhost", Cause.WEBHOOK_CERTIFICATE_NAME),
        ("x509: certificate has expired or is not yet valid: current time …", Cause.WEBHOOK_CERTIFICATE_TIME),
        ("http: server gave HTTP response to HTTPS client", Cause.WEBHOOK_ADDRESS),
        ("the server could not find the requested resource", Cause.WEBHOOK_ADDRESS),
        ("context deadline exceeded", Cause.WEBHOOK_TIMEOUT),
        ("an error on the server has prevented the request from succeeding", Cause.WEBHOOK_ERROR),
        ("invalid bearer token", Cause.WEBHOOK_MISSING),
        ("", Cause.WEBHOOK_MISSING),
    ],
)
def test_status_error_is_explained_and_repeated(text: str, expected: Cause, make: Make, memory: ApiInMemory) -> None:
    memory.answer = lambda host, token: text
    found = check_token_review(make())
    assert cause(found) is expected
    assert text in str(found)


def test_a_server_that_fails_for_tokens_alone_does_not_reach_sts(make: Make, memory: ApiInMemory) -> None:
    gateway = "an error on the server has prevented the request from succeeding"

    def answer(host: str, token: str) -> str:
        return gateway if token.startswith("k8s-aws-v1.") else Refusal(Reason.STATUS_QUERY, "…").message

    memory.answer = answer
    assert cause(check_token_review(make())) is Cause.SERVER_STS


def test_one_of_several_api_servers_without_its_server_is_named(make: Make, memory: ApiInMemory) -> None:
    memory.objects[f"{SLICES}/kubernetes"] = endpoint_slice("10.0.0.1", "10.0.0.2")
    fine = refusing(Reason.NOT_MAPPED)
    memory.answer = lambda host, token: NOTHING if host == "10.0.0.2:6443" else fine(host, token)
    found = check_token_review(make())
    assert cause(found) is Cause.WEBHOOK_DOWN
    assert "API server https://10.0.0.2:6443: " in str(found)


@pytest.mark.parametrize("url", [URL, "https://api.other.example.com"])
def test_a_token_is_sent_to_the_api_server_of_the_access_file_alone(url: str, make: Make, memory: ApiInMemory) -> None:
    sent: list[str] = []

    def answer(host: str, token: str) -> str:
        sent.append(token)
        return Refusal(Reason.STATUS_QUERY, "…").message

    memory.answer = answer
    found = check_token_review(make(url=url))
    assert isinstance(found, Passed)
    assert [token.startswith("k8s-aws-v1.") for token in sent] == [url == URL]
    assert ("no token was tried" in found.detail) == (url != URL)


def test_the_right_to_create_token_reviews_is_named(make: Make, memory: ApiInMemory) -> None:
    memory.status["POST", REVIEWS] = 403
    assert isinstance(check_token_review(make()), Skipped)


# --- the server's reads of IAM


def answering(*states: MembershipState, until: float = 0) -> Callable[[str, str], str]:
    def answer(host: str, token: str) -> str:
        question = read_membership_question(token)
        assert question is not None
        found = {name: MembershipStatus(states[0], until) for name in question.requirements}
        return MembershipAnswer(question.nonce, "c0ffee", found).text

    return answer


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (MembershipState.GROUP_FORBIDDEN, Cause.SERVER_RIGHTS),
        (MembershipState.ROLE_FORBIDDEN, Cause.SERVER_RIGHTS),
        (MembershipState.UNREADABLE, Cause.SERVER_IAM_UNREACHABLE),
        (MembershipState.NOT_READ, Cause.SERVER_NOT_READY),
        (MembershipState.GROUP_MISSING, Cause.SERVER_ACCOUNT),
        (MembershipState.ROLE_MISSING, Cause.SERVER_ACCOUNT),
        (MembershipState.SESSION_NAME_UNRESTRICTED, Cause.SESSION_NAME_UNRESTRICTED),
        (MembershipState.SUSPENDED, Cause.ROLE_SUSPENDED),
        (MembershipState.NOT_MAPPED, Cause.SERVER_MAPPING_OLD),
        (MembershipState.RECREATED, None),
        (MembershipState.ADMITS, None),
    ],
)
def test_states_of_the_server(
    state: MembershipState, expected: Cause | None, make: Make, memory: ApiInMemory, account: FakeAccount
) -> None:
    assert kube_iam(account, "apply", "--yes") == 0
    memory.answer = answering(state, until=4_000_000_000.0)
    found = check_server_iam(make())
    assert cause(found) is expected
    assert state is not MembershipState.SUSPENDED or "until 2096" in str(found)


@pytest.mark.parametrize(
    "state", [MembershipState.GROUP_MISSING, MembershipState.ROLE_FORBIDDEN, MembershipState.NOT_MAPPED]
)
def test_what_is_missing_for_the_administrator_too_is_left_to_the_check_of_it(
    state: MembershipState, make: Make, memory: ApiInMemory
) -> None:
    memory.answer = answering(state)
    assert isinstance(check_server_iam(make()), Skipped)


# --- levels of permission sets, of mapped roles and of IAM groups


def sso_level() -> Level:
    names = {"role_name": "", "group_name": "", "policy_name": "", "username": "sso:{{SessionNameRaw}}"}
    return level("sso", method=Method.PERMISSION_SET, permission_set="Developer", **names)


@pytest.mark.parametrize(
    ("entry", "expected", "said"),
    [
        ("rolearn: arn:aws:iam::123456789012:role/AWSReservedSSO_Developer_0123456789abcdef", False, "suffix"),
        ("sso: {permissionSetName: Developer, accountID: '444455556666'}", False, "account 444455556666"),
        ("sso: {permissionSetName: Developr, accountID: '123456789012'}", False, "permission set Developr"),
        ("sso: {permissionSetName: Developer, accountID: '123456789012'}", True, "line 4"),
    ],
)
def test_entries_of_permission_sets(entry: str, expected: bool, said: str, make: Make, tmp_path: Path) -> None:
    fields = "username: 'sso:{{SessionNameRaw}}', groups: ['kube-iam:sso'], level: sso"
    path = tmp_path / "config.yaml"
    path.write_text(f"clusterID: prod.example.com\nserver:\n  mapRoles:\n  - {{{entry}, {fields}}}\n")
    state = make(sso_level())
    file = replace(state.access, mapping=MappingTarget(TargetKind.FILE, path=str(path)))
    state = replace(make(sso_level(), file=file), has_cluster=False)
    found = check_mapping(state)
    assert cause(found) is (None if expected else Cause.MAPPING_NOT_MATCHING)
    assert said in str(found)
    assert not expected or state.names == ("sso:alice", ("kube-iam:sso",))


def test_checks_of_iam_are_skipped_for_users_that_others_manage(make: Make) -> None:
    state = make(sso_level())
    skipped = {
        each.code: each.run(state) for each in ADMIN_CHECKS if each.code in ("user", "membership", "policy", "role")
    }
    assert all(isinstance(found, Skipped) for found in skipped.values())
    assert "IAM Identity Center manages the users" in str(skipped["membership"])


# --- the context and the command line


def test_a_context_of_another_cluster_is_named(make: Make) -> None:
    found = check_context(make(url="https://api.other.example.com"))
    assert cause(found) is Cause.OTHER_CLUSTER
    assert "api.other.example.com" in str(found)


def test_without_a_cluster_its_checks_are_skipped(make: Make) -> None:
    file = access(level("viewer"), mapping=MappingTarget(TargetKind.FILE, path="config.yaml"))
    state = replace(make(file.levels[0], file=file), has_cluster=False)
    names = ("context", "api-server", "administrator", "deny-list", "bindings", "permissions")
    assert all(isinstance(each.run(state), Skipped) for each in ADMIN_CHECKS if each.code in names)


def test_codes_of_checks_are_different_and_their_needs_come_before_them() -> None:
    codes = [each.code for each in ADMIN_CHECKS]
    assert len(set(codes)) == len(codes)
    assert all(set(each.needs) <= set(codes[:at]) for at, each in enumerate(ADMIN_CHECKS))
    assert [each.step for each in ADMIN_CHECKS] == sorted(each.step for each in ADMIN_CHECKS)
    assert {each.step for each in ADMIN_CHECKS} == set(range(7, 14))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alice", "viewr"), "did you mean 'viewer'"),
        (("viewer", "alice"), "the level comes last"),
        (("a", "b", "c"), "not 3 words"),
        (("viewer", "--profile", "work"), "--profile goes with a USER and a LEVEL"),
        (("viewer", "--deny-list", "kube-system/x"), "--deny-list goes with a USER and a LEVEL"),
    ],
)
def test_words_that_mean_nothing_are_explained(words: tuple[str, ...], said: str, account: FakeAccount) -> None:
    with pytest.raises(UsageError) as raised:
        kube_iam(account, "doctor", *words)
    assert said in f"{raised.value.message} {raised.value.hint}"


def test_an_unreachable_cluster_is_the_first_fault_and_iam_is_checked_all_the_same(
    account: FakeAccount, capsys: pytest.CaptureFixture[str], sts: TlsSts
) -> None:
    assert kube_iam(account, "doctor", "alice", "viewer", "-o", "json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["cause"] == Cause.KUBECONFIG_INVALID.code
    by_code = {each["code"]: each["status"] for each in found["checks"]}
    assert by_code["token-review"] == "skipped"
    assert by_code["user"] == "passed"
    assert by_code["membership"] == "failed"
