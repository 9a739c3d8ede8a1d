"""The emulated account refuses what AWS refuses. Real requests to a real process."""

from __future__ import annotations

import json
import signal
import ssl
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulated_account import Account
from kube_iam.cli.sandbox_exec import run_as
from kube_iam.core.credentials import Credentials
from kube_iam.core.identity import interpret_sts_response
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.tokens import PREFIX, mint, presign
from kube_iam.core.utc import basic_timestamp
from kube_iam.errors import SandboxError
from kube_iam.sandbox.processes import wait_until
from kube_iam.sandbox.state import ACCOUNT, REGION
from listening import LOOPBACK, listening
from required import linux_only

pytestmark = pytest.mark.integration
CLUSTER = "a.example.com"


@pytest.fixture(scope="session")  # as the account: a worker may run tests of other modules in between
def role(account: Account) -> str:
    arn: str = account.make_level("demo-admin")
    account.user("alice")
    account.administrator.add_user_to_group(GroupName="demo-admin", UserName="alice")
    return arn


def host_of(account: Account) -> str:
    return account.url.removeprefix("https://")


def url_of(account: Account, who: Credentials, **more: Any) -> str:
    options: dict[str, Any] = {
        "cluster_id": CLUSTER,
        "region": REGION,
        "host": host_of(account),
        "timestamp": basic_timestamp(time.time()),
    }
    token = mint(who, **{**options, **more})
    text = token.removeprefix(PREFIX)
    return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def ask(
    account: Account, url: str, *, cluster_id: str | None = CLUSTER, body: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Send the request as the webhook does: status and body."""
    asked = urllib.request.Request(url, data=body, headers={"accept": "application/json", **headers})
    if cluster_id is not None:
        asked.add_header("x-k8s-aws-id", cluster_id)
    trust = ssl.create_default_context(cafile=str(account.home.ca))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(asked, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def refused(account: Account, url: str, code: str, **more: Any) -> bool:
    status, body = ask(account, url, **more)
    assert "GetCallerIdentityResult" not in body
    return status >= 400 and f"<Code>{code}</Code>" in body


def reason_of(account: Account, who: Credentials, **more: Any) -> Reason | None:
    """Return the reason for which the server refuses a token of these keys; None if it does not."""
    status, body = ask(account, url_of(account, who, **more))
    content_type = "text/xml" if body.startswith("<") else "application/json"
    found = interpret_sts_response(
        status,
        body.encode(),
        content_type,
        access_key_id=who.access_key_id,
        sts_host=host_of(account),
        cluster_id=CLUSTER,
    )
    return found.reason if isinstance(found, Refusal) else None


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_a_token_of_a_user_and_of_a_session_is_verified(account: Account, role: str) -> None:
    status, body = ask(account, url_of(account, account.user("alice")))
    assert status == 200
    assert json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]["Arn"].endswith(":user/alice")
    status, body = ask(account, url_of(account, account.assume("alice", role, "alice")))
    found = json.loads(body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
    assert (status, found["Account"]) == (200, ACCOUNT)
    assert found["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/demo-admin/alice"
    assert found["UserId"].startswith("AROA")
    assert found["UserId"].endswith(":alice")


def test_sts_answers_in_xml_unless_json_is_asked_for(account: Account) -> None:
    status, body = ask(account, url_of(account, account.user("alice")), accept="*/*")
    assert status == 200
    assert "<Arn>" in body


def test_a_wrong_signature_is_refused(account: Account) -> None:
    url = url_of(account, account.user("alice"))
    changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert refused(account, changed, "SignatureDoesNotMatch")
    stranger = Credentials(account.user("alice").access_key_id, "A" * 40)
    assert refused(account, url_of(account, stranger), "SignatureDoesNotMatch")
    assert refused(account, url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), "SignatureDoesNotMatch")


def test_a_token_for_another_cluster_is_refused(account: Account) -> None:
    url = url_of(account, account.user("alice"), cluster_id="b.example.com")
    assert refused(account, url, "SignatureDoesNotMatch")


def test_a_cluster_id_that_was_not_signed_is_refused_when_the_token_says_that_it_was(account: Account) -> None:
    unsigned = presign(
        account.user("alice"),
        region=REGION,
        service="sts",
        host=host_of(account),
        path="/",
        parameters={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        headers={},
        timestamp=basic_timestamp(time.time()),
        expires=60,
    )
    claimed = unsigned.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id")
    assert refused(account, claimed, "SignatureDoesNotMatch")
    signed = url_of(account, account.user("alice"))
    assert refused(account, signed, "SignatureDoesNotMatch", cluster_id=None)


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_is_far_off_is_refused(account: Account, minutes: int) -> None:
    url = url_of(account, account.user("alice"), timestamp=basic_timestamp(time.time() + 60 * minutes))
    assert refused(account, url, "RequestTimeTooSkewed") or refused(account, url, "SignatureDoesNotMatch")


def test_each_mistake_in_a_token_has_a_reason_of_its_own(account: Account, role: str) -> None:
    who = account.user("ursula")
    session = account.assume("alice", role, "alice")
    wrong = Credentials(who.access_key_id, "A" * 40)
    past, future = (basic_timestamp(time.time() + 60 * minutes) for minutes in (-16, 16))
    assert reason_of(account, who) is reason_of(account, session) is None
    assert reason_of(account, who, cluster_id="b.example.com") is Reason.STS_SIGNATURE_MISMATCH
    assert reason_of(account, wrong) is Reason.STS_SIGNATURE_MISMATCH
    assert reason_of(account, who, timestamp=past) is Reason.STS_TOKEN_EXPIRED
    assert reason_of(account, who, timestamp=future) is Reason.STS_DATE_IN_FUTURE
    assert reason_of(account, Credentials("AKIAUNKNOWNUNKNOWN00", "x")) is Reason.STS_UNKNOWN_KEY
    crossed = Credentials(session.access_key_id, session.secret_access_key, "other")
    assert reason_of(account, crossed) is Reason.STS_UNKNOWN_KEY
    account.administrator.update_access_key(UserName="ursula", AccessKeyId=who.access_key_id, Status="Inactive")
    assert reason_of(account, who) is Reason.STS_UNKNOWN_KEY


@pytest.mark.parametrize("key", ["test", ACCOUNT, "", "AKIAUNKNOWNUNKNOWN00"])
@pytest.mark.parametrize("secret", ["test", ""])
def test_the_emulators_built_in_keys_are_worth_nothing(account: Account, key: str, secret: str) -> None:
    status, body = ask(account, url_of(account, Credentials(key, secret or "x")))
    assert status >= 400, body
    assert code_of(account.client("iam", Credentials(key or "-", secret or "x")).list_users)


def test_the_root_has_to_sign_like_everybody(account: Account, role: str) -> None:
    root = account.state.root
    assert ask(account, url_of(account, root))[0] == 200
    assert refused(account, url_of(account, Credentials(root.access_key_id, "x")), "SignatureDoesNotMatch")
    assert code_of(lambda: account.assume(root, role, "root")) == "AccessDenied"


def test_a_deactivated_access_key_is_refused_and_a_deleted_one_too(account: Account) -> None:
    who = account.user("dave")
    url = url_of(account, who)
    assert ask(account, url)[0] == 200
    account.administrator.update_access_key(UserName="dave", AccessKeyId=who.access_key_id, Status="Inactive")
    assert refused(account, url, "InvalidClientTokenId")
    account.administrator.delete_access_key(UserName="dave", AccessKeyId=who.access_key_id)
    assert refused(account, url, "InvalidClientTokenId")


def test_a_session_needs_its_own_session_token(account: Account, role: str) -> None:
    session, other = account.assume("alice", role, "alice"), account.assume("alice", role, "alice")
    for token in ("", other.session_token):
        crossed = Credentials(session.access_key_id, session.secret_access_key, token)
        assert ask(account, url_of(account, crossed))[0] >= 400


def test_an_expired_session_is_refused(account: Account, role: str) -> None:
    session = account.assume("alice", role, "alice")
    url = url_of(account, session)
    assert ask(account, url)[0] == 200
    account.home.process("account").signal(signal.SIGUSR1)
    assert wait_until(lambda: ask(account, url)[0] != 200, 10)
    status, body = ask(account, url)
    assert status >= 400
    assert "Expired" in body
    assert reason_of(account, session) is Reason.STS_SESSION_EXPIRED
    assert ask(account, url_of(account, account.user("alice")))[0] == 200


def test_only_members_of_the_group_may_assume_the_role(account: Account, role: str) -> None:
    assert code_of(lambda: account.assume("carol", role, "carol")) == "AccessDenied"
    account.user("erin")
    account.administrator.add_user_to_group(GroupName="demo-admin", UserName="erin")
    assert account.assume("erin", role, "erin").access_key_id.startswith("ASIA")
    account.administrator.remove_user_from_group(GroupName="demo-admin", UserName="erin")
    assert code_of(lambda: account.assume("erin", role, "erin")) == "AccessDenied"


@pytest.mark.parametrize("session_name", ["bob", "Alice", "alice.", "${aws:username}", "a*", "alice*"])
def test_nobody_may_call_the_session_as_somebody_else(account: Account, role: str, session_name: str) -> None:
    assert code_of(lambda: account.assume("alice", role, session_name)) in ("AccessDenied", "ValidationError")


@pytest.mark.parametrize("seconds", [1, 899, 3601, 43201])
def test_a_session_can_be_neither_shorter_nor_longer_than_its_role_says(
    account: Account, role: str, seconds: int
) -> None:
    assert code_of(lambda: account.assume("alice", role, "alice", DurationSeconds=seconds)) == "ValidationError"
    assert account.assume("alice", role, "alice", DurationSeconds=900)


def test_a_role_is_known_by_its_whole_arn(account: Account, role: str) -> None:
    elsewhere = role.replace("role/", "role/other/")
    assert code_of(lambda: account.assume("alice", elsewhere, "alice")) in ("AccessDenied", "ValidationError")


def test_a_user_has_no_other_rights_in_the_account(account: Account) -> None:
    iam = account.client("iam", account.user("alice"))
    calls = (iam.list_users, lambda: iam.add_user_to_group(GroupName="demo-admin", UserName="carol"))
    assert {code_of(call) for call in calls} == {"AccessDenied"}


def test_session_policies_and_tags_do_not_widen_a_role(account: Account, role: str) -> None:
    tags = [{"Key": "team", "Value": "shop"}]
    assert code_of(lambda: account.assume("alice", role, "alice", Tags=tags)) == "AccessDenied"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/_ministack/reset", {}),
        ("/_ministack/config", {}),
        ("/_ministack/health", {}),
        ("/_localstack/health", {}),
        ("//", {}),
        ("/bucket/key", {}),
        ("/", {"host": "iam.amazonaws.com"}),
        ("/", {"x-amz-target": "AWSSecurityTokenServiceV20110615.GetCallerIdentity"}),
    ],
)
def test_nothing_but_iam_and_sts_can_be_reached(account: Account, path: str, headers: dict[str, str]) -> None:
    assert refused(account, account.url + path, "AccessDenied", **headers)
    assert refused(account, account.url + path, "AccessDenied", body=b"Action=ListUsers&Version=2010-05-08", **headers)
    assert ask(account, url_of(account, account.user("alice")))[0] == 200


@pytest.mark.parametrize(
    "action", ["AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetWebIdentityToken", "ListUsers"]
)
def test_sts_knows_no_action_that_would_trust_an_unsigned_claim(account: Account, action: str) -> None:
    url = url_of(account, account.user("alice")).replace("GetCallerIdentity", action)
    assert refused(account, url, "AccessDenied")


def test_a_request_has_one_meaning(account: Account) -> None:
    url = url_of(account, account.user("alice"))
    assert refused(account, url + "&action=AssumeRole", "AccessDenied")
    assert refused(account, url + "&Action=GetCallerIdentity", "AccessDenied")
    assert refused(account, url, "AccessDenied", body=b"Action=AssumeRole&Version=2011-06-15")
    assert refused(account, url.replace("/sts/", "/iam/").replace("%2Fsts%2F", "%2Fiam%2F"), "AccessDenied")
    assert ask(account, url.replace("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""))[0] >= 400
    assert refused(account, url_of(account, account.user("alice"), region="us-east-1"), "AccessDenied")


@linux_only
def test_it_listens_on_one_loopback_port_only(account: Account) -> None:
    found = listening(account.home.process("account").pid())
    assert found == [("tcp", LOOPBACK, account.state.account_port)]


def test_no_secret_and_no_signed_url_is_in_its_log(account: Account) -> None:
    url = url_of(account, account.user("alice"))
    ask(account, url)
    ask(account, url + "0")
    log = account.home.process("account").log.read_text()
    for word in ("X-Amz-", account.state.root.secret_access_key, account.user("alice").secret_access_key):
        assert word not in log


def test_user_in_another_letter_case_is_named_as_iam_writes_it(account: Account) -> None:
    account.user("zoe")
    with pytest.raises(SandboxError, match="the IAM user is written zoe, not Zoe"):
        account.user("Zoe")


@pytest.mark.parametrize("name", [".", ".."])
def test_user_whose_directory_would_be_another_one_is_refused(account: Account, name: str) -> None:
    with pytest.raises(SandboxError, match="cannot be the name of an IAM user here"):
        account.user(name)


def test_program_without_a_name_does_not_exist(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_as(account.home, "administrator", "", [""]) == 127
    assert "cannot run ''" in capsys.readouterr().err
