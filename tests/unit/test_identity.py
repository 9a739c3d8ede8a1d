import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.identity import Identity, interpret_sts_response, parse_sts_response
from kube_iam.core.reasons import Reason, Refusal

ACCOUNT = "111122223333"
ROLE_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice@example.com"
ROLE_ID = "AROAEXAMPLEEXAMPLEEX:alice@example.com"
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def parse(body: bytes | str, content_type: str = "application/json") -> Identity | Refusal:
    raw = body.encode() if isinstance(body, str) else body
    return parse_sts_response(raw, content_type, access_key_id="ASIAEXAMPLE", sts_host="sts.eu-west-1.amazonaws.com")


def json_answer(arn: Any = ROLE_ARN, user_id: Any = ROLE_ID, account: Any = ACCOUNT) -> str:
    result = {"Account": account, "Arn": arn, "UserId": user_id}
    return json.dumps(
        {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "r"}}}
    )


def xml_answer(arn: str = ROLE_ARN, user_id: str = ROLE_ID, account: str = ACCOUNT) -> str:
    return (
        f'<GetCallerIdentityResponse xmlns="{NAMESPACE}">\n  <GetCallerIdentityResult>\n    <Arn>{arn}</Arn>\n'
        f"    <UserId>{user_id}</UserId>\n    <Account>{account}</Account>\n  </GetCallerIdentityResult>\n"
        "  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\n</GetCallerIdentityResponse>\n"
    )


EXPECTED = Identity(
    arn=ROLE_ARN,
    canonical_arn=f"arn:aws:iam::{ACCOUNT}:role/Admin",
    account_id=ACCOUNT,
    user_id="AROAEXAMPLEEXAMPLEEX",
    session_name="alice@example.com",
    access_key_id="ASIAEXAMPLE",
    sts_host="sts.eu-west-1.amazonaws.com",
)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_the_json_that_sts_sends_gives_the_identity(content_type: str) -> None:
    assert parse(json_answer(), content_type) == EXPECTED


@pytest.mark.parametrize("content_type", ["text/xml", "application/xml; charset=UTF-8"])
@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="UTF-8"?>'])
def test_the_xml_that_gateways_and_emulators_send_gives_the_same(content_type: str, declaration: str) -> None:
    assert parse(declaration + xml_answer(), content_type) == EXPECTED


@pytest.mark.parametrize(
    ("arn", "given_id", "user_id", "session_name"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/people/alice", "AIDAEXAMPLE", "AIDAEXAMPLE", ""),
        (f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ACCOUNT, ""),
        # The account id alone would be indistinguishable from the account root's user id.
        (f"arn:aws:sts::{ACCOUNT}:federated-user/bob", f"{ACCOUNT}:bob", f"{ACCOUNT}:bob", ""),
        (f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/Node/i-0abc", "AROAEXAMPLE:i-0abc", "AROAEXAMPLE", "i-0abc"),
    ],
)
def test_only_an_assumed_roles_user_id_splits(arn: str, given_id: str, user_id: str, session_name: str) -> None:
    for answer, content_type in (
        (json_answer(arn, given_id), "application/json"),
        (xml_answer(arn, given_id), "text/xml"),
    ):
        identity = parse(answer, content_type)
        assert isinstance(identity, Identity)
        assert (identity.user_id, identity.session_name) == (user_id, session_name)
        assert identity.arn == arn


USER = f"arn:aws:iam::{ACCOUNT}:user/people/alice"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
FEDERATED = f"arn:aws:sts::{ACCOUNT}:federated-user/bob"


@pytest.mark.parametrize(
    ("arn", "user_id"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", "AROAEXAMPLE:carol"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", "AROAEXAMPLE:Bob"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", "AROAEXAMPLE:bob:bob"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", "AROAEXAMPLE"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", "AROAEXAMPLE:"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", "AIDAEXAMPLE:bob"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/bob", f"{ACCOUNT}:bob"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/path/Admin/bob", "AROAEXAMPLE:Admin"),
        (USER, "AIDAEXAMPLE:alice"),
        (USER, "AIDAEXAMPLE:"),
        (USER, ":AIDAEXAMPLE"),
        (USER, "AROAEXAMPLE"),
        (USER, "AROAEXAMPLE:alice"),
        (USER, ACCOUNT),
        (USER, f"{ACCOUNT}:alice"),
        (ROOT, "AIDAEXAMPLE"),
        (ROOT, "444455556666"),
        (ROOT, f"{ACCOUNT}:root"),
        (FEDERATED, f"{ACCOUNT}:carol"),
        (FEDERATED, "444455556666:bob"),
        (FEDERATED, ACCOUNT),
        (FEDERATED, "AROAEXAMPLE:bob"),
        (FEDERATED, f"{ACCOUNT}:bob:bob"),
    ],
)
def test_an_answer_whose_arn_and_user_id_disagree_is_refused(arn: str, user_id: str) -> None:
    for answer, content_type in (
        (json_answer(arn, user_id), "application/json"),
        (xml_answer(arn, user_id), "text/xml"),
    ):
        refusal = parse(answer, content_type)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is Reason.STS_INVALID_RESPONSE
        assert user_id not in refusal.message


RESULT = {"Account": ACCOUNT, "Arn": ROLE_ARN, "UserId": ROLE_ID}
TWO_RESULTS = [
    f"<GetCallerIdentityResult><Arn>{ROLE_ARN}</Arn></GetCallerIdentityResult>"
    f"<GetCallerIdentityResult><UserId>{ROLE_ID}</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>",
    f"<GetCallerIdentityResult><Arn>{ROLE_ARN}</Arn><UserId>{ROLE_ID}</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><GetCallerIdentityResult/>",
    f"<GetCallerIdentityResult/><GetCallerIdentityResult><Arn>{ROLE_ARN}</Arn><UserId>{ROLE_ID}</UserId>"
    f"<Account>{ACCOUNT}</Account></GetCallerIdentityResult>",
]


@pytest.mark.parametrize("results", TWO_RESULTS)
def test_an_answer_with_two_results_is_refused_whatever_they_hold(results: str) -> None:
    refusal = parse(f'<GetCallerIdentityResponse xmlns="{NAMESPACE}">{results}</GetCallerIdentityResponse>', "text/xml")
    assert refusal == Refusal(Reason.STS_INVALID_RESPONSE, "the answer has two results")


@pytest.mark.parametrize("name", ["GetCallerIdentityResponse", "GetCallerIdentityResult", "Account", "Arn", "UserId"])
def test_a_json_answer_with_a_part_twice_is_refused(name: str) -> None:
    body = json_answer()
    start = body.index(f'"{name}"')
    value = json.JSONDecoder().raw_decode(body[start + len(name) + 4 :])[0]
    twice = body[:start] + f'"{name}": {json.dumps(value)}, ' + body[start:]
    assert json.loads(twice) == json.loads(body)
    assert parse(twice) == Refusal(Reason.STS_INVALID_RESPONSE, "a field repeats in the answer")


INVALID_JSON = [
    "",
    "null",
    "[]",
    "{",
    "[" * 50_000,
    '"GetCallerIdentityResponse"',
    json.dumps({"GetCallerIdentityResponse": None}),
    json.dumps({"GetCallerIdentityResponse": []}),
    json.dumps({"GetCallerIdentityResponse": RESULT}),
    json.dumps({"GetCallerIdentityResponse": {"GetCallerIdentityResult": [RESULT]}}),
    json.dumps({"GetCallerIdentityResult": RESULT}),
    json.dumps({"AssumeRoleResponse": {"GetCallerIdentityResult": RESULT}}),
    json.dumps({"GetCallerIdentityResponse": {"AssumeRoleResult": {"AssumedRoleUser": RESULT}}}),
    json.dumps({"GetCallerIdentityResponse": {"GetCallerIdentityResult": RESULT}, "Error": {}}),
    json_answer(account=None),
    json_answer(account=int(ACCOUNT)),
    json_answer(account=""),
    json_answer(account="444455556666"),
    json_answer(arn=[ROLE_ARN]),
    json_answer(arn="arn:aws:s3:::bucket"),
    json_answer(arn=f"arn:evil:sts::{ACCOUNT}:assumed-role/Admin/alice"),
    json_answer(user_id=""),
    json_answer(user_id="AROAEXAMPLE"),
    json_answer(user_id="AROAEXAMPLE:"),
    json_answer(user_id=":alice"),
    json_answer(user_id="AROAEXAMPLE:system:masters"),
    json_answer(user_id="AROAEXAMPLE:ali ce"),
    json_answer(user_id="AROAEXAMPLE:ali\nce"),
    json_answer(user_id="AROAEXAMPLE:älice"),
    json_answer().replace('{"Account"', '{"Arn": "arn:aws:iam::111122223333:root", "Account"'),
    json_answer().replace('{"Account"', '{"\\u0041rn": "arn:aws:iam::111122223333:root", "Account"'),
    json_answer().replace('"RequestId": "r"', '"RequestId": NaN'),
    json_answer() + json_answer(),
    json_answer() + " " * 70_000,
    xml_answer(),
]


@pytest.mark.parametrize("body", INVALID_JSON)
def test_json_of_another_shape_is_an_invalid_response(body: str) -> None:
    refusal = parse(body)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.STS_INVALID_RESPONSE


INVALID_XML = [
    "",
    "<a/>",
    "<GetCallerIdentityResponse/>",
    xml_answer().replace(NAMESPACE, "https://evil.example/"),
    xml_answer().replace(f' xmlns="{NAMESPACE}"', ""),
    xml_answer().replace("GetCallerIdentityResponse", "AssumeRoleResponse"),
    xml_answer().replace("GetCallerIdentityResult", "AssumeRoleResult"),
    f"<wrapper>{xml_answer()}</wrapper>",
    xml_answer().replace("<Account>", "<Account>111122223333</Account><Account>"),
    xml_answer().replace(
        "<ResponseMetadata>",
        f"<GetCallerIdentityResult><Arn>{ROLE_ARN}</Arn></GetCallerIdentityResult><ResponseMetadata>",
    ),
    xml_answer().replace("<Arn>", "<Arn><b/>"),
    xml_answer().replace("<Arn>", "<!-- x --><Arn>"),
    xml_answer(arn=ROLE_ARN.replace("alice", "ali<!---->ce")),
    xml_answer(arn=ROLE_ARN.replace("alice", "<![CDATA[al ice]]>")),
    xml_answer(arn=ROLE_ARN.replace("alice", "<?x y?>")),
    xml_answer().replace("<Arn>", "<Ern>").replace("</Arn>", "</Ern>"),
    xml_answer().replace("</GetCallerIdentityResponse>", ""),
    xml_answer() + "<a/>",
    "<!DOCTYPE GetCallerIdentityResponse>" + xml_answer(),
    '<!DOCTYPE x [<!ENTITY e "x">]>' + xml_answer(arn=ROLE_ARN.replace("alice", "&e;")),
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + xml_answer(arn="&e;"),
    xml_answer(arn="&e;"),
    xml_answer(account="444455556666"),
    xml_answer() + " " * 70_000,
    "<a>" * 10_000,
    json_answer(),
]


@pytest.mark.parametrize("body", INVALID_XML)
def test_xml_of_another_shape_is_an_invalid_response(body: str) -> None:
    refusal = parse(body, "text/xml")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.STS_INVALID_RESPONSE


def test_a_declared_encoding_does_not_change_how_bytes_are_read() -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-7"?>' + xml_answer(arn=ROLE_ARN + "+AGE-", user_id=ROLE_ID + "+AGE-")
    ).encode()
    identity = parse(body, "text/xml")
    assert isinstance(identity, Identity)
    assert identity.arn.endswith("+AGE-")
    assert isinstance(parse(xml_answer().encode("utf-16"), "text/xml"), Refusal)


@pytest.mark.parametrize("content_type", ["", "text/html", "text/plain", "application/octet-stream", "json"])
def test_an_answer_of_another_content_type_is_an_invalid_response(content_type: str) -> None:
    refusal = parse(json_answer(), content_type)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.STS_INVALID_RESPONSE


def test_a_new_field_in_the_result_locks_nobody_out() -> None:
    assert parse(json_answer().replace('{"Account"', '{"New": {"a": 1}, "Account"')) == EXPECTED
    assert parse(xml_answer().replace("<Arn>", "<New><a>1</a></New><Arn>"), "text/xml") == EXPECTED


@given(st.binary(max_size=200), st.sampled_from(["application/json", "text/xml"]))
def test_no_body_makes_parsing_raise(body: bytes, content_type: str) -> None:
    assert isinstance(parse(body, content_type), Refusal)


@given(st.integers(0, len(xml_answer()) - 1), st.text(max_size=3), st.sampled_from(["application/json", "text/xml"]))
def test_a_damaged_answer_names_only_principals_of_its_own_account(position: int, text: str, content_type: str) -> None:
    body = json_answer() if content_type == "application/json" else xml_answer()
    identity = parse(body[:position] + text + body[position + len(text) :], content_type)
    if isinstance(identity, Identity):
        assert identity.arn.split(":")[4] == identity.account_id
        assert identity.canonical_arn.startswith("arn:")


def interpret(
    status: int, body: str, content_type: str = "application/json", key: str = "ASIAEXAMPLE"
) -> Identity | Refusal:
    return interpret_sts_response(
        status,
        body.encode(),
        content_type,
        access_key_id=key,
        sts_host="sts.eu-west-1.amazonaws.com",
        cluster_id="prod.example.com",
    )


def error(code: str, message: str = "canonical string: GET / X-Amz-Signature") -> str:
    return json.dumps({"Error": {"Code": code, "Message": message, "Type": "Sender"}, "RequestId": "r"})


def xml_error(code: str, message: str) -> str:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <Error>\n    <Type>Sender</Type>\n'
        f"    <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n</ErrorResponse>"
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, error("Throttling"), Reason.STS_THROTTLED),
        (503, error("ThrottlingException"), Reason.STS_THROTTLED),
        (400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", Reason.STS_THROTTLED),
        (429, "", Reason.STS_THROTTLED),
        (403, error("SignatureDoesNotMatch"), Reason.STS_SIGNATURE_MISMATCH),
        (403, error("ExpiredToken"), Reason.STS_SESSION_EXPIRED),
        (403, error("MissingAuthenticationToken"), Reason.STS_REFUSED),
        (400, "garbage", Reason.STS_REFUSED),
        (500, error("InternalFailure"), Reason.STS_UNREACHABLE),
        (502, "<html>bad gateway</html>", Reason.STS_UNREACHABLE),
        (302, "", Reason.STS_INVALID_RESPONSE),
        (204, "", Reason.STS_INVALID_RESPONSE),
        (200, "{}", Reason.STS_INVALID_RESPONSE),
    ],
)
def test_an_answer_without_an_identity_says_whose_fault_it_is(status: int, body: str, reason: Reason) -> None:
    refusal = interpret(status, body)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert "X-Amz-Signature" not in refusal.message


MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing"
    " method. Consult the service documentation for details."
)
EXPIRED = "Signature expired: 20261126T100000Z is now earlier than 20261126T100100Z (20261126T101600Z - 15 min.)"
NOT_YET = (
    "Signature not yet current: 20261126T104000Z is still later than 20261126T103000Z (20261126T101500Z + 15 min.)"
)
INVALID = "The security token included in the request is invalid"


@pytest.mark.parametrize("as_text", [error, xml_error])
@pytest.mark.parametrize(
    ("code", "message", "reason", "parts"),
    [
        (
            "SignatureDoesNotMatch",
            MISMATCH,
            Reason.STS_SIGNATURE_MISMATCH,
            ["another cluster id", "secret access key", "checked for cluster id prod.example.com"],
        ),
        (
            "SignatureDoesNotMatch",
            EXPIRED,
            Reason.STS_TOKEN_EXPIRED,
            ["make a new", "signed at 20261126T100000Z, refused at 20261126T101600Z by AWS's clock"],
        ),
        (
            "SignatureDoesNotMatch",
            NOT_YET,
            Reason.STS_DATE_IN_FUTURE,
            ["NTP", "signed at 20261126T104000Z, refused at 20261126T101500Z by AWS's clock"],
        ),
        ("InvalidSignatureException", MISMATCH, Reason.STS_SIGNATURE_MISMATCH, ["another cluster id"]),
        ("InvalidSignatureException", EXPIRED, Reason.STS_TOKEN_EXPIRED, ["20261126T101600Z"]),
        ("SignatureDoesNotMatch", "Request has expired", Reason.STS_TOKEN_EXPIRED, ["make a new"]),
        (
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region, not 'us-east-1'. ",
            Reason.STS_REFUSED,
            ["the token was signed for another region than that of sts.eu-west-1.amazonaws.com"],
        ),
        (
            "RequestExpired",
            "Request has expired.",
            Reason.STS_TOKEN_EXPIRED,
            ["make a new"],
        ),
        ("RequestTimeTooSkewed", "x", Reason.STS_REFUSED, ["too far apart", "NTP"]),
        (
            "ExpiredToken",
            "The security token included in the request is expired",
            Reason.STS_SESSION_EXPIRED,
            ["sign in"],
        ),
        ("ExpiredTokenException", "x", Reason.STS_SESSION_EXPIRED, ["sign in"]),
        ("InvalidClientTokenId", INVALID, Reason.STS_UNKNOWN_KEY, ["temporary credentials", "session token", "region"]),
        ("AccessDenied", "x", Reason.STS_ACCESS_DENIED, ["VPC endpoint"]),
        ("AccessDeniedException", "x", Reason.STS_ACCESS_DENIED, ["VPC endpoint"]),
        ("RegionDisabledException", "x", Reason.STS_REGION_DISABLED, ["not activated"]),
        ("OptInRequired", "x", Reason.STS_REFUSED, ["HTTP 403 OptInRequired"]),
    ],
)
def test_each_refusal_of_sts_has_the_reason_of_its_cause(
    as_text: Callable[[str, str], str], code: str, message: str, reason: Reason, parts: list[str]
) -> None:
    refusal = interpret(403, as_text(code, message))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert reason.metric == "sts_error"
    for part in parts:
        assert part in refusal.message


def test_key_of_a_user_that_is_unknown_is_deleted_or_inactive() -> None:
    refusal = interpret(403, error("InvalidClientTokenId", INVALID), key="AKIAEXAMPLE")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.STS_UNKNOWN_KEY
    assert "deleted, deactivated" in refusal.message
    assert "session token" not in refusal.message


@pytest.mark.parametrize(
    "message",
    [
        "Signature expired: X-Amz-Signature=canary is now earlier than 1 (2 - 15 min.)",
        "Signature expired: canary",
        "Signature not yet current: 20261126T104000Z is still later than canary (canary + 15 min.)",
        "canary Signature expired: 20261126T100000Z is now earlier than 1 (20261126T101600Z - 15 min.)",
        'quoted \\" Signature expired: canary',
    ],
)
def test_nothing_of_the_message_of_sts_but_times_is_repeated(message: str) -> None:
    refusal = interpret(403, error("SignatureDoesNotMatch", message))
    assert isinstance(refusal, Refusal)
    assert "canary" not in refusal.message
    assert "X-Amz-Signature" not in refusal.message


def test_an_answer_without_a_code_may_be_a_proxys() -> None:
    refusal = interpret(403, "<html>Forbidden</html>")
    assert isinstance(refusal, Refusal)
    assert refusal.message.endswith("HTTP 403 without an error code of AWS, as a proxy answers")


def test_a_success_gives_the_identity() -> None:
    assert interpret(200, json_answer()) == EXPECTED
