"""`kube-iam doctor USER LEVEL`: faults that a sandbox cannot show, the token that is sent, and the command line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import kubeconfigs
import pytest
import yaml
from access_commands import account as account
from access_commands import kube_iam
from api_in_memory import REVIEWS, SLICES, ApiInMemory, Thing, endpoint_slice
from fake_account import FakeAccount
from levels_for_tests import access, level, run
from prepared_session import PreparedSession
from tls_sts import TlsSts

from kube_iam.access.levels import ClusterAccess, Level, MappingTarget, MemberList, Method, TargetKind
from kube_iam.access.mapping import MappingSource
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Preflight, Simulation
from kube_iam.core.mapping_entries import TemporaryGrant
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
from kube_iam.doctor.server_checks import check_context, check_server_iam, check_server_pods, check_token_review
from kube_iam.errors import UsageError
from kube_iam.kube.mapping_store import make_store

PODS = "/api/v1/namespaces/kube-system/pods"
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

    def state(
        of: Level | None = None, url: str = URL, file: ClusterAccess | None = None, source: MappingSource | None = None
    ) -> Inspection:
        session = PreparedSession(account, memory.api(url))
        session.access = file or access(*([of] if of else []))
        if source is not None:
            session.ports = replace(account.ports, preflight=Preflight(None, account.store, lambda: source))
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


def test_a_role_at_another_path_is_not_called_a_missing_right_of_the_server(
    make: Make, memory: ApiInMemory, account: FakeAccount
) -> None:
    state = applied(account, make, level("viewer"), "alice")
    memory.answer = answering(MembershipState.ROLE_FORBIDDEN)
    role = account.directory.role_states["prod-viewer"]
    account.directory.role_states["prod-viewer"] = replace(role, arn=role.arn.replace("role/", "role/teams/"))
    assert isinstance(check_server_iam(state), Skipped)
    assert cause(outcome(state, "role")) is Cause.ROLE_PATH


# --- the server's pods


@pytest.mark.parametrize(
    ("statuses", "expected", "said"),
    [
        ([{"conditions": [{"type": "Ready", "status": "True"}]}], None, "1 of 1 pods are ready"),
        (
            [
                {"conditions": [{"type": "Ready", "status": "True"}]},
                {
                    "phase": "Running",
                    "containerStatuses": [
                        {
                            **dict.fromkeys(("image", "imageID", "name"), "x"),
                            "ready": False,
                            "restartCount": 3,
                            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        }
                    ],
                },
            ],
            Cause.SERVER_NOT_READY,
            "1 of 2 pods are not ready: server-1 on node cp-1 is CrashLoopBackOff",
        ),
        ([{"phase": "Pending"}], Cause.SERVER_NOT_READY, "server-0 on node cp-0 is Pending"),
    ],
)
def test_pods_that_are_not_ready_are_named(
    statuses: list[Thing], expected: Cause | None, said: str, make: Make, memory: ApiInMemory
) -> None:
    for number, status in enumerate(statuses):
        memory.objects[f"{PODS}/server-{number}"] = {
            "metadata": {"name": f"server-{number}", "namespace": "kube-system"},
            "spec": {"nodeName": f"cp-{number}", "containers": []},
            "status": status,
        }
    found = check_server_pods(make())
    assert cause(found) is expected
    assert said in str(found)


def test_a_server_that_runs_in_no_pod_is_not_called_unready(make: Make, memory: ApiInMemory) -> None:
    memory.empty.add(PODS)
    assert isinstance(check_server_pods(make()), Skipped)


# --- access entries of EKS, and a mapping in a file


def test_a_mapping_that_the_authenticator_of_eks_does_not_read_is_named(make: Make) -> None:
    target = MappingTarget(TargetKind.ACCESS_ENTRIES, "", "prod", "")
    source = MappingSource(doubt="the cluster's authentication mode is CONFIG_MAP")
    found = check_mapping(make(file=access(level("viewer"), mapping=target), source=source))
    assert cause(found) is Cause.BACKEND_MODE
    assert "CONFIG_MAP" in str(found)


def test_eks_tells_no_reasons_which_is_no_fault(make: Make, memory: ApiInMemory) -> None:
    file = access(level("viewer"), mapping=MappingTarget(TargetKind.ACCESS_ENTRIES, "", "prod", ""))
    memory.answer = lambda host, token: "invalid bearer token"
    assert cause(check_token_review(make(file=file))) is None


def test_a_server_of_this_machine_that_is_stopped_is_named(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"clusterID: prod.example.com\nserver: {{stateDir: '{tmp_path}'}}\n")
    file = access(level("viewer"), mapping=MappingTarget(TargetKind.FILE, path=str(path)))
    found = check_token_review(replace(make(file=file), has_cluster=False))
    assert cause(found) is Cause.WEBHOOK_DOWN


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


# --- IAM


def applied(account: FakeAccount, make: Make, of: Level, *users: str) -> Inspection:
    """Return the state of a level that was applied, with these users in its group."""
    state = make(of)
    run(account, plan_apply(state.access, account.ports))
    for user in users:
        account.directory.add_member(of.group_name, user)
    return state


def outcome(state: Inspection, code: str) -> Outcome:
    return next(each.run(state) for each in ADMIN_CHECKS if each.code == code)


def test_nothing_of_another_account_is_reported(make: Make, account: FakeAccount, sts: TlsSts) -> None:
    account.directory.account = "999999999999"
    state = make()
    assert isinstance(outcome(state, "aws-account"), Skipped)
    found = {code: outcome(state, code) for code in ("user", "membership", "policy", "role", "drift")}
    assert all(isinstance(each, Skipped) and "999999999999" in each.reason for each in found.values()), found


@pytest.mark.parametrize(
    ("members", "remedy"),
    [
        (None, "`kube-iam grant alice viewer`"),
        (MemberList(("bob",), line=12), "Add alice to access.yaml, line 12, then `kube-iam apply`"),
        (MemberList(("alice", "bob"), line=12), "`kube-iam apply`"),
    ],
)
def test_the_remedy_for_a_user_outside_the_group(
    members: MemberList | None, remedy: str, make: Make, account: FakeAccount
) -> None:
    state = applied(account, make, level("viewer"), "carol")
    state.level = replace(state.level, members=members)
    found = outcome(state, "membership")
    assert cause(found) is Cause.NOT_MEMBER
    assert isinstance(found, Failed)
    assert found.advice == remedy
    assert "carol" in found.detail


@pytest.mark.parametrize(
    ("grant", "has_policy", "expected"),
    [
        (TemporaryGrant("alice", "AIDAalice", "2096-01-01T00:00:00Z"), True, None),
        (TemporaryGrant("alice", "AIDAalice", "2096-01-01T00:00:00Z"), False, Cause.TEMPORARY_ENDED),
        (TemporaryGrant("alice", "AIDAformer", "2096-01-01T00:00:00Z"), True, Cause.TEMPORARY_ENDED),
        (TemporaryGrant("alice", "AIDAalice", "2020-01-01T00:00:00Z"), True, Cause.TEMPORARY_ENDED),
    ],
)
def test_temporary_access(
    grant: TemporaryGrant, has_policy: bool, expected: Cause | None, make: Make, account: FakeAccount
) -> None:
    state = applied(account, make, level("viewer"))
    account.store.add_temporary(state.wanted, grant)
    if has_policy:
        account.directory.put_user_policy("alice", "kube-iam-prod-viewer", {})
    assert cause(outcome(state, "membership")) is expected


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ("arn:aws:iam::123456789012:root", None),
        ("123456789012", None),
        ("arn:aws:iam::123456789012:user/alice", None),
        ("arn:aws:iam::123456789012:user/bob", Cause.TRUST_POLICY),
    ],
)
def test_trust_policies_of_roles_that_others_made(
    principal: str, expected: Cause | None, make: Make, account: FakeAccount
) -> None:
    own_name = {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal}, "Condition": own_name}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    account.directory.create_role("ops", "/", trust, {}, 3600, "")
    state = applied(account, make, level("ops", role_name="ops", existing_role=True), "alice")
    assert cause(outcome(state, "role")) is None
    assert cause(outcome(state, "assume-role")) is expected


def test_an_organization_that_refuses_is_named_by_the_second_opinion(make: Make, account: FakeAccount) -> None:
    state = applied(account, make, level("viewer"), "alice")
    account.directory.simulation = Simulation("implicitDeny", organization_allows=False)
    found = outcome(state, "assume-role")
    assert cause(found) is Cause.ORGANIZATION_POLICY


def test_a_trust_policy_with_free_session_names_is_named(make: Make, account: FakeAccount) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "123456789012"}}
    account.directory.create_role("ops", "/", {"Version": "2012-10-17", "Statement": [statement]}, {}, 3600, "")
    found = outcome(make(level("ops", role_name="ops", existing_role=True)), "role")
    assert cause(found) is Cause.SESSION_NAME_UNRESTRICTED


# --- the context and the command line


def test_a_user_without_a_level_is_told_how_to_ask(account: FakeAccount, capsys: pytest.CaptureFixture[str]) -> None:
    (config := Path("config")).write_text(yaml.safe_dump(kubeconfigs.config()))
    assert kube_iam(account, "doctor", "alice", "--kubeconfig", str(config)) == 1
    assert "remedy: an administrator names a user and a level: `kube-iam doctor alice LEVEL`" in capsys.readouterr().out


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
