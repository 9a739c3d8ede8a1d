"""The webhook (docs/protocol.md, section 6.2), row by row, against the real server over real TLS."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from fake_sts import Answer, FakeSts, error_answer, identity_answer
from ruamel.yaml import YAML
from running_server import (
    CLUSTER,
    SECRET,
    SESSION_ARN,
    SESSION_TOKEN,
    USER_ID,
    V1,
    V1BETA1,
    Reply,
    RunningServer,
    wait_until,
)

from kube_iam.server.certificates import ensure_pair
from required import missing

# One worker: the tests share a server.
pytestmark = pytest.mark.xdist_group("webhook")

ADMIN = identity_answer(SESSION_ARN, USER_ID)
LATENCY = "aws_iam_authenticator_authenticate_latency_seconds_count"
Make = Callable[..., RunningServer]


def results(server: RunningServer, result: str) -> float:
    return server.metric(f'{LATENCY}{{result="{result}"}}')


def ask(server: RunningServer, answer: Answer, key: str) -> tuple[Reply, int]:
    """Review a token never seen before; the reply, and how often STS was asked."""
    server.sts.play = lambda _: answer
    before = len(server.sts.asked)
    reply = server.review(server.token(key=key))
    return reply, len(server.sts.asked) - before


def test_mapped_identity_is_admitted_with_user_groups_uid_and_extra(shared: RunningServer) -> None:
    before = results(shared, "success")
    reply, _ = ask(shared, ADMIN, "ASIAMAPPED0000000000")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.review == {
        "apiVersion": V1,
        "kind": "TokenReview",
        "status": {
            "authenticated": True,
            "user": {
                "username": "awsiam:alice@example.com",
                "uid": "aws-iam-authenticator:123456789012:AROAEXAMPLE",
                "groups": ["shop-admins"],
                "extra": {
                    "arn": [SESSION_ARN],
                    "canonicalArn": ["arn:aws:iam::123456789012:role/Admin"],
                    "sessionName": ["alice@example.com"],
                    "accessKeyId": ["ASIAMAPPED0000000000"],
                    "principalId": ["AROAEXAMPLE"],
                    "sigs.k8s.io/aws-iam-authenticator/principalId": ["AROAEXAMPLE"],
                },
            },
        },
    }
    assert results(shared, "success") == before + 1


def test_sts_gets_the_rebuilt_request_with_our_cluster_id_and_nothing_of_the_client(shared: RunningServer) -> None:
    ask(shared, ADMIN, "ASIAHEADERS000000000")
    asked = shared.sts.asked[-1]
    assert asked.headers == {
        "host": shared.sts.authority,
        "x-k8s-aws-id": CLUSTER,
        "accept": "application/json",
        "user-agent": "kube-iam",
    }
    assert asked.target.startswith("/?Action=GetCallerIdentity&Version=2011-06-15&")


@pytest.mark.parametrize("version", [V1, V1BETA1])
def test_an_answer_has_the_version_of_the_question_and_no_audiences(shared: RunningServer, version: str) -> None:
    shared.sts.play = lambda _: ADMIN
    reply = shared.review(shared.token(), version, ["https://kubernetes.default.svc", "other"])
    assert reply.review["apiVersion"] == version
    assert reply.review["status"]["authenticated"] is True
    assert "audiences" not in reply.review["status"]
    refused = shared.review("k8s-aws-v1.x", version).review
    assert (refused["apiVersion"], refused["status"]["authenticated"]) == (version, False)


def test_one_token_in_several_questions_is_answered_as_each_asks(shared: RunningServer) -> None:
    shared.sts.play = lambda _: ADMIN
    token = shared.token()
    for version, audiences in ((V1, ["a"]), (V1BETA1, ["a"]), (V1BETA1, ["b", "a"]), (V1, None), (V1, ["a"])):
        review = shared.review(token, version, audiences).review
        assert review["apiVersion"] == version
        assert review["status"]["authenticated"] is True
        assert "audiences" not in review["status"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_other_methods_are_refused(shared: RunningServer, method: str) -> None:
    before = results(shared, "malformed_request")
    reply = shared.request(method, "/authenticate")
    assert (reply.status, reply.headers["content-type"]) == (405, "text/plain; charset=utf-8")
    assert results(shared, "malformed_request") == before + 1


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b"not json", b'{"apiVersion":"v1","kind":"Pod"}', b"[" * 100000]
)
def test_what_is_no_token_review_is_a_bad_request(shared: RunningServer, body: bytes) -> None:
    before = results(shared, "malformed_request")
    reply = shared.request("POST", "/authenticate", body)
    assert (reply.status, reply.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert results(shared, "malformed_request") == before + 1


@pytest.mark.parametrize("headers", [{"content-length": "1048577"}, {"transfer-encoding": "chunked"}])
def test_a_body_over_one_mebibyte_is_refused(shared: RunningServer, headers: dict[str, str]) -> None:
    assert shared.context is not None
    raw = socket.create_connection(("127.0.0.1", shared.port))
    with shared.context.wrap_socket(raw, server_hostname="localhost") as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"POST /authenticate HTTP/1.1\r\nhost: localhost\r\n{head}\r\n".encode())
        if "transfer-encoding" in headers:
            connection.sendall(b"100001\r\n" + b" " * 0x100001 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_token_that_fails_a_check_is_refused_with_the_reason_and_sts_is_not_asked(shared: RunningServer) -> None:
    before, asked = results(shared, "invalid_token"), len(shared.sts.asked)
    for token in ("", "eyJhbGciOi.a.b", "k8s-aws-v1.", "k8s-aws-v1.aGk", shared.token(age=16 * 60), "x" * 20000):
        reply = shared.review(token)
        assert reply.status == 200
        assert reply.review["status"]["authenticated"] is False
        assert reply.error
    assert results(shared, "invalid_token") == before + 6
    assert len(shared.sts.asked) == asked
    assert "15 minutes" in shared.review(shared.token(age=16 * 60)).error


def test_a_clock_twenty_minutes_off_is_named_either_way(shared: RunningServer) -> None:
    assert "more than 15 minutes ago" in shared.review(shared.token(age=20 * 60)).error
    assert "clock skew" in shared.review(shared.token(age=-20 * 60)).error


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (error_answer(403, "SignatureDoesNotMatch"), "ASIAREFUSED000000000"),
        (error_answer(403, "SignatureDoesNotMatch", "Signature expired: x"), "ASIAEXPIRED000000000"),
        (error_answer(403, "ExpiredToken"), "ASIAENDED00000000000"),
        (error_answer(403, "AccessDenied"), "ASIADENIED0000000000"),
        (error_answer(403, "RegionDisabledException"), "ASIADISABLED00000000"),
        (Answer(302, headers={"location": "https://example.com/"}), "ASIAREDIRECT00000000"),
        (Answer(200, b"{}"), "ASIAINVALID000000000"),
        (Answer(200, b"x" * 100_000), "ASIATOOLONG000000000"),
        (Answer(200, ADMIN.body, {"content-type": "text/html"}), "ASIAWRONGTYPE0000000"),
        (identity_answer("arn:aws:s3:::bucket", "x"), "ASIAODDARN0000000000"),
    ],
)
def test_refusal_or_invalid_response_of_sts_is_final_and_cached(
    shared: RunningServer, answer: Answer, key: str
) -> None:
    before = results(shared, "sts_error")
    token, asked = shared.token(key=key), len(shared.sts.asked)
    shared.sts.play = lambda _: answer
    reply, again = shared.review(token), shared.review(token)
    assert len(shared.sts.asked) == asked + 1
    assert [reply.status, again.status] == [200, 200]
    assert reply.review["status"]["authenticated"] is False
    assert "retry-after" not in reply.headers
    assert results(shared, "sts_error") == before + 2


def test_a_refused_token_is_not_asked_about_again_at_once(shared: RunningServer) -> None:
    token = shared.token(key="ASIAREMEMBERED000000")
    shared.sts.play = lambda _: error_answer(403, "InvalidClientTokenId")
    first, asked = shared.review(token), len(shared.sts.asked)
    shared.sts.play = lambda _: ADMIN
    again = shared.review(token)
    assert again.error.partition(" (request ")[0] == first.error.partition(" (request ")[0]
    assert again.error != first.error
    assert len(shared.sts.asked) == asked


def test_id_in_the_answer_leads_to_the_line_of_the_log(shared: RunningServer) -> None:
    faults = [ADMIN, error_answer(403, "ExpiredToken"), Answer(0), Answer(429)]
    tokens = [shared.token(key=f"ASIAREQUESTID000000{number}") for number in range(len(faults))]
    answers = [shared.review("k8s-aws-v1.aGk")]
    for fault, token in zip(faults, tokens, strict=True):
        shared.sts.play = lambda _, fault=fault: fault  # type: ignore[misc]
        answers.append(shared.review(token))
    refused = [answer for answer in answers if not answer.review["status"]["authenticated"]]
    assert [answer.status for answer in refused] == [200, 200, 504, 429]
    for answer in refused:
        message, _, rest = answer.error.rpartition(" (request ")
        wanted = f" requestid={rest.removesuffix(')')}"
        wait_until(lambda wanted=wanted: wanted in shared.log())  # type: ignore[misc]
        (line,) = [line for line in shared.log().splitlines() if wanted in line]
        assert f'error="{message}"' in line
        assert " reason=" in line


def test_sts_that_cannot_be_reached_is_asked_twice_and_nothing_is_remembered(shared: RunningServer) -> None:
    region = '{StsRegion="us-east-1"}'
    failures = shared.metric(f"aws_iam_authenticator_sts_connection_failures_total{region}")
    token = shared.token(key="ASIAUNREACHABLE00000")
    shared.sts.play = lambda _: Answer(0)
    before = len(shared.sts.asked)
    reply = shared.review(token)
    assert reply.status == 504
    assert "retry-after" not in reply.headers
    assert reply.review["status"]["authenticated"] is False
    assert "could not be reached" in reply.error
    assert len(shared.sts.asked) == before + 2
    assert shared.metric(f"aws_iam_authenticator_sts_connection_failures_total{region}") == failures + 1
    shared.sts.play = lambda _: ADMIN
    assert shared.review(token).review["status"]["authenticated"] is True


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_fault_of_sts_is_asked_about_again_and_then_answered_with_504(shared: RunningServer, status: int) -> None:
    reply, asked = ask(shared, Answer(status, b"<html>bad gateway</html>"), f"ASIAFAULT0000000{status}0")
    assert (reply.status, asked) == (504, 2)
    assert "retry-after" not in reply.headers
    assert f"HTTP {status}" in reply.error


def test_one_fault_of_sts_fails_no_sign_in(shared: RunningServer) -> None:
    answers = iter([Answer(503), ADMIN])
    shared.sts.play = lambda _: next(answers)
    assert shared.review(shared.token(key="ASIAONEFAULT00000000")).review["status"]["authenticated"] is True


def test_silent_sts_is_waited_for_once_and_answered_with_200(make_server: Make) -> None:
    server = make_server()
    server.start()
    server.sts.may_answer.clear()
    for number, detail in enumerate(["no answer within 5 seconds", "has just not answered other requests"]):
        reply = server.review(server.token(key=f"ASIASILENT000000000{number}"))
        assert (reply.status, reply.review["status"]["authenticated"]) == (200, False)
        assert detail in reply.error
        assert "retry-after" not in reply.headers
    server.sts.play = lambda _: ADMIN
    server.sts.may_answer.set()
    wait_until(lambda: "STS answers again" in server.log())
    assert server.review(server.token(key="ASIASILENT0000000002")).review["status"]["authenticated"] is True


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (error_answer(400, "Throttling"), "ASIATHROTTLED0000000"),
        (Answer(503, b"<Error><Code>ThrottlingException</Code></Error>"), "ASIATHROTTLED0000001"),
        (Answer(429), "ASIATHROTTLED0000002"),
        (Answer(502, b"<html>upstream said: ThrottledRequest</html>"), "ASIATHROTTLED0000003"),
        (Answer(403, b'{"message": "Request was throttled"}'), "ASIATHROTTLED0000004"),
    ],
)
def test_throttling_is_passed_on_as_such(shared: RunningServer, answer: Answer, key: str) -> None:
    before = results(shared, "sts_throttling")
    throttled = 'aws_iam_authenticator_sts_throttling_total{StsRegion="us-east-1"}'
    counted = shared.metric(throttled)
    reply, asked = ask(shared, answer, key)
    assert (reply.status, asked) == (429, 1)
    assert "retry-after" not in reply.headers
    assert reply.review["status"]["authenticated"] is False
    assert results(shared, "sts_throttling") == before + 1
    assert shared.metric(throttled) == counted + 1


@pytest.mark.parametrize(
    ("answer", "key", "reason"),
    [
        (identity_answer("arn:aws:iam::123456789012:user/carol", "AIDACAROL"), "AKIACAROL00000000000", "no mapping"),
        (identity_answer("arn:aws:iam::123456789012:user/bob", "AIDABOB"), "AKIABOB0000000000000", "reserved prefix"),
    ],
)
def test_an_identity_without_a_user_is_refused_with_the_reason(
    shared: RunningServer, answer: Answer, key: str, reason: str
) -> None:
    before = results(shared, "uknown_user")
    reply, _ = ask(shared, answer, key)
    assert reply.status == 200
    assert reply.review["status"] == {"authenticated": False, "error": reply.error}
    assert reason in reply.error
    assert results(shared, "uknown_user") == before + 1


def test_an_account_that_is_mapped_as_a_whole_gets_its_arn_as_name(shared: RunningServer) -> None:
    answer = identity_answer("arn:aws:sts::210987654321:assumed-role/ci/build", "AROACI:build", "210987654321")
    reply, _ = ask(shared, answer, "ASIAACCOUNT000000000")
    assert reply.review["status"]["user"]["username"] == "arn:aws:iam::210987654321:role/ci"
    assert not reply.review["status"]["user"].get("groups")


def test_a_scrubbed_account_leaves_no_arn_behind(shared: RunningServer) -> None:
    arn = "arn:aws:sts::999999999999:assumed-role/Hidden/who"
    reply, _ = ask(shared, identity_answer(arn, "AROAHIDDEN:who", "999999999999"), "ASIAHIDDEN0000000000")
    user = reply.review["status"]["user"]
    assert user["uid"] == "aws-iam-authenticator:administrative:hidden"
    assert not user.get("extra")
    wait_until(lambda: "username=hidden" in shared.log())
    assert "assumed-role/Hidden" not in shared.log()
    assert "AROAHIDDEN" not in shared.log()


def test_every_decision_is_one_line_that_says_who_and_why(shared: RunningServer) -> None:
    ask(shared, ADMIN, "ASIALOGGED0000000000")
    ask(shared, identity_answer("arn:aws:iam::123456789012:user/dave", "AIDADAVE"), "AKIADAVE000000000000")
    wait_until(lambda: "AKIADAVE000000000000" in shared.log())
    granted = next(line for line in shared.log().splitlines() if "ASIALOGGED0000000000" in line)
    denied = next(line for line in shared.log().splitlines() if "AKIADAVE000000000000" in line)
    for part in ('level=info msg="access granted"', 'arn="arn:aws:iam::123456789012:role/Admin"', "latency="):
        assert part in granted
    for part in ('username="awsiam:alice@example.com"', "groups=", "shop-admins", 'client="127.0.0.1:'):
        assert part in granted
    for part in ('level=warning msg="access denied"', "reason=not_mapped", 'arn="arn:aws:iam::123456789012:user/dave"'):
        assert part in denied


def test_foreign_bearer_tokens_are_no_news(shared: RunningServer) -> None:
    shared.review("eyJhbGciOiJSUzI1NiJ9.foreign.token")
    wait_until(lambda: "reason=token_prefix" in shared.log())
    lines = [line for line in shared.log().splitlines() if "reason=token_prefix" in line]
    assert all("level=debug" in line for line in lines)


def test_health_metrics_and_nothing_else_are_there(shared: RunningServer) -> None:
    assert shared.request("GET", "/healthz").body == b"ok"
    assert shared.request("GET", "/nothing").status == 404
    assert shared.health("/healthz").body == b"ok"
    assert (shared.health("/readyz").status, shared.health("/readyz").body) == (200, b"ok")
    reply = shared.request("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken_and_http_2_is_offered(shared: RunningServer, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=shared.directory / "state" / "cert.pem")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    raw = socket.create_connection(("127.0.0.1", shared.port))
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        assert connection.selected_alpn_protocol() == "h2"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_tls_is_refused(shared: RunningServer) -> None:
    context = ssl.create_default_context(cafile=shared.directory / "state" / "cert.pem")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    raw = socket.create_connection(("127.0.0.1", shared.port))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_a_hundred_requests_for_one_token_make_one_call_to_sts(shared: RunningServer) -> None:
    shared.sts.play = lambda _: ADMIN
    shared.sts.may_answer.clear()
    before = len(shared.sts.asked)
    waiting = shared.metric('kube_iam_token_lookups_total{source="shared"}')
    token = shared.token(key="ASIAHUNDRED000000000")
    with ThreadPoolExecutor(100) as pool:
        replies = [pool.submit(shared.review, token) for _ in range(100)]
        try:
            wait_until(lambda: shared.metric('kube_iam_token_lookups_total{source="shared"}') == waiting + 99)
        finally:
            shared.sts.may_answer.set()
        assert all(reply.result().review["status"]["authenticated"] for reply in replies)
    assert len(shared.sts.asked) == before + 1
    assert shared.review(token).review["status"]["authenticated"]
    assert len(shared.sts.asked) == before + 1


def test_a_client_that_goes_away_does_not_take_the_others_answer_with_it(shared: RunningServer) -> None:
    shared.sts.play = lambda _: ADMIN
    shared.sts.may_answer.clear()
    before = len(shared.sts.asked)
    token = shared.token(key="ASIAGONE000000000000")
    body = json.dumps({"apiVersion": V1, "kind": "TokenReview", "spec": {"token": token}}).encode()
    assert shared.context is not None
    raw = socket.create_connection(("127.0.0.1", shared.port))
    impatient = shared.context.wrap_socket(raw, server_hostname="localhost")
    impatient.sendall(b"POST /authenticate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    wait_until(lambda: len(shared.sts.asked) == before + 1)
    waiting = shared.metric('kube_iam_token_lookups_total{source="shared"}')
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(shared.review, token)
        wait_until(lambda: shared.metric('kube_iam_token_lookups_total{source="shared"}') == waiting + 1)
        impatient.close()
        shared.sts.may_answer.set()
        assert patient.result().review["status"]["authenticated"]
    assert len(shared.sts.asked) == before + 1


def test_no_secret_is_ever_said(shared: RunningServer) -> None:
    """Search the output that earlier tests of the shared server caused, too."""
    tokens = [shared.token(key="ASIACANARY0000000000"), shared.token(key="ASIACANARY0000000001", region="eu-west-1")]
    said = [shared.request("GET", "/metrics").body.decode()]
    for answer in (error_answer(403, "SignatureDoesNotMatch"), Answer(0), ADMIN):
        shared.sts.play = lambda _, answer=answer: answer  # type: ignore[misc]
        said += [shared.review(token).body.decode() for token in tokens]
        said += [shared.review(token + "A").body.decode() for token in tokens]
    signatures = [asked.target.rpartition("X-Amz-Signature=")[2][:64] for asked in shared.sts.asked]
    assert len(signatures) >= 6
    everything = "\n".join([*said, shared.log()])
    for canary in (SECRET, SESSION_TOKEN, "X-Amz-Signature", "k8s-aws-v1.aHR0", *tokens, *signatures):
        assert canary not in everything


def test_sigterm_ends_requests_under_way_and_then_the_server(make_server: Make) -> None:
    server = make_server()
    server.start()
    server.sts.play = lambda _: ADMIN
    server.sts.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(server.review, server.token())
        wait_until(lambda: server.sts.asked)
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.health("/readyz").status == 503)
        server.sts.may_answer.set()
        assert reply.result().review["status"]["authenticated"] is True
    assert server.process.wait(5) == 0


def test_sigterm_does_not_wait_for_requests_that_never_end(make_server: Make) -> None:
    server = make_server()
    server.start()
    server.sts.may_answer.clear()
    held = threading.Thread(target=_review_and_forget, args=(server,))
    held.start()
    wait_until(lambda: server.sts.asked)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == 0
    server.sts.may_answer.set()
    held.join()


def _review_and_forget(server: RunningServer) -> None:
    try:
        server.review(server.token())
    except OSError:
        return


def test_a_port_in_use_is_a_clear_error(make_server: Make) -> None:
    server = make_server()
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
        other.listen()
        assert server.launch().wait(20) == 1
    assert f"127.0.0.1:{server.port} cannot be listened on: Address already in use" in server.log()


def test_a_renewed_certificate_comes_into_use_without_a_restart(make_server: Make) -> None:
    server = make_server()
    server.start()
    state = server.directory / "state"
    (state / "cert.pem").write_text("half written")
    wait_until(lambda: "certificate not usable" in server.log())
    assert server.request("GET", "/healthz").body == b"ok"
    (state / "cert.pem").unlink()
    (state / "key.pem").unlink()
    assert ensure_pair(state, "localhost", "127.0.0.1", datetime.now(UTC))
    server.trust()
    wait_until(lambda: "certificate renewed" in server.log())
    assert server.request("GET", "/healthz").body == b"ok"


def test_a_running_server_has_not_loaded_what_only_certificates_need(make_server: Make) -> None:
    """`cryptography` would stay in memory for good; what makes and checks the certificate has it, and has ended."""
    server = make_server()
    server.start(launched=True)
    assert server.process is not None
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "/pyreqwest/" in loaded
    assert "/cryptography/" not in loaded


def test_it_starts_as_kops_starts_it_with_the_pair_that_kops_issued(make_server: Make) -> None:
    server = make_server()
    state = server.directory / "state"
    issue_pair(state)
    server.start(
        f"--state-dir={state}",
        "--kubeconfig-pregenerated=true",
        f"--cluster-id={CLUSTER}",
        "--backend-mode=MountedFile",
    )
    server.context = ssl.create_default_context(cafile=state / "ca.pem")
    server.sts.play = lambda _: ADMIN
    assert server.review(server.token(), V1BETA1).review["status"]["authenticated"] is True
    assert not (server.directory / "kubeconfig.yaml").exists()


def issue_pair(state: Path) -> None:
    """Write a CA, and a certificate of it whose key is PKCS#1, as kOps writes them."""
    state.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    ca_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes-ca")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aws-iam-authenticator")])
    base = x509.CertificateBuilder().issuer_name(ca_name).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    ca = (
        base.subject_name(ca_name)
        .public_key(ca_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        base.subject_name(name)
        .public_key(key.public_key())
        .serial_number(2)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (state / "ca.pem").write_bytes(ca.public_bytes(pem))
    (state / "cert.pem").write_bytes(leaf.public_bytes(pem))
    pkcs1 = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (state / "key.pem").write_bytes(pkcs1)
    (state / "key.pem").chmod(0o600)


def test_the_extra_sts_endpoint_is_announced_loudly(make_server: Make) -> None:
    server = make_server()
    server.start("-l", "json")
    warning = next(json.loads(line) for line in server.log().splitlines() if "server.stsEndpoint is set" in line)
    assert (warning["level"], warning["stsendpoint"]) == ("warning", server.sts.authority)


def test_endpoint_of_iam_is_announced_as_loudly(make_server: Make, sts: FakeSts) -> None:
    server = make_server(AWS_ENDPOINT_URL_IAM=f"https://user:canary@{sts.authority}")
    server.start("-l", "json")
    warning = next(json.loads(line) for line in server.log().splitlines() if "AWS_ENDPOINT_URL_IAM is set" in line)
    assert (warning["level"], warning["endpoint"]) == ("warning", f"https://{sts.authority}")
    assert "In production it may only name a host of AWS" in warning["msg"]
    assert "canary" not in server.log()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_IAM", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_server_does_not_start_with_an_endpoint_over_http_beyond_this_machine(make_server: Make, variable: str) -> None:
    server = make_server(**{variable: "http://iam.example.com"})
    assert server.launch().wait(20) == 1
    assert f"{variable} is http://iam.example.com, which is neither https nor http on this machine" in server.log()


def test_server_starts_although_its_aws_settings_cannot_be_read(make_server: Make) -> None:
    server = make_server(AWS_PROFILE="not-there", AWS_ENDPOINT_URL_IAM="http://iam.example.com")
    server.start()
    assert "AWS settings cannot be read" in server.log()


def test_without_the_extra_endpoint_no_other_host_is_asked(make_server: Make, sts: FakeSts) -> None:
    server = make_server()
    server.config.write_text(server.text("").replace(f"  stsEndpoint: https://{sts.authority}\n", ""))
    server.start()
    assert "not an STS host" in server.review(server.token()).error
    assert not sts.asked


def test_kube_apiserver_finds_the_webhook_through_the_kubeconfig(make_server: Make) -> None:
    server = make_server()
    server.start()
    config = YAML(typ="safe").load(server.directory / "kubeconfig.yaml")
    assert config["current-context"] == "webhook"
    assert config["contexts"] == [
        {"name": "webhook", "context": {"cluster": "aws-iam-authenticator", "user": "apiserver"}}
    ]
    assert config["users"] == [{"name": "apiserver"}]
    cluster = config["clusters"][0]
    assert (cluster["name"], cluster["cluster"]["server"]) == (
        "aws-iam-authenticator",
        f"https://localhost:{server.port}/authenticate",
    )


def test_a_pregenerated_kubeconfig_is_not_written(make_server: Make) -> None:
    server = make_server()
    server.start("--kubeconfig-pregenerated=true")
    assert not (server.directory / "kubeconfig.yaml").exists()


def test_curl_speaks_http_2_with_it(shared: RunningServer) -> None:
    command = ["curl", "-s", "--http2", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_version}"]
    ca = str(shared.directory / "state" / "cert.pem")
    try:
        done = subprocess.run(
            [*command, "--cacert", ca, f"https://127.0.0.1:{shared.port}/healthz"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        missing("curl", "install curl")
    assert done.stdout == "2"
