"""Each numbered check of docs/protocol.md, section 2.1, by its number, and what holds for all tokens together."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.checks import CHECKS, CheckedToken, check_token
from kube_iam.core.credentials import Credentials
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_hosts import StsHosts
from kube_iam.core.tokens import mint
from kube_iam.core.utc import basic_timestamp

SIGNED_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z
HOST = "sts.eu-west-1.amazonaws.com"
HOSTS = StsHosts("aws", ["eu-west-1", "us-east-1"])
SIGNATURE = "0123456789abcdef" * 4
SESSION_TOKEN = "IQoJb3JpZ2luX2VjE+a/b//c++=="
PARAMETERS = {
    "Action": "GetCallerIdentity",
    "Version": "2011-06-15",
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": "ASIAIOSFODNN7EXAMPLE/20260101/eu-west-1/sts/aws4_request",
    "X-Amz-Date": "20260101T000000Z",
    "X-Amz-Expires": "60",
    "X-Amz-Security-Token": SESSION_TOKEN,
    "X-Amz-SignedHeaders": "host;x-k8s-aws-id",
    "X-Amz-Signature": SIGNATURE,
}
QUERY = "&".join(f"{key}={quote(value, safe='')}" for key, value in PARAMETERS.items())
URL = f"https://{HOST}/?{QUERY}"


def token_of(url: str | bytes) -> str:
    raw = url.encode() if isinstance(url, str) else url
    return "k8s-aws-v1." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def check(token: str, *, now: float = SIGNED_AT) -> CheckedToken | Refusal:
    return check_token(token, hosts=HOSTS, now=now)


def reason_of(url: str | bytes, *, now: float = SIGNED_AT) -> Reason | None:
    result = check(token_of(url), now=now)
    return result.reason if isinstance(result, Refusal) else None


def checked(url: str) -> CheckedToken:
    result = check(token_of(url))
    assert isinstance(result, CheckedToken), result
    return result


def swap(old: str, new: str) -> str:
    assert old in URL
    return URL.replace(old, new)


def without(key: str) -> str:
    return f"https://{HOST}/?" + "&".join(pair for pair in QUERY.split("&") if not pair.startswith(f"{key}="))


def with_value(key: str, value: str) -> str:
    pairs = PARAMETERS | {key: value}
    return f"https://{HOST}/?" + "&".join(f"{name}={quote(given, safe='')}" for name, given in pairs.items())


def test_the_checks_are_the_twelve_of_the_protocol_in_order() -> None:
    assert [number for number, _ in CHECKS] == list(range(1, 13))


def test_a_good_token_gives_its_parts() -> None:
    token = checked(URL)
    assert (token.host, token.region, token.access_key_id) == (HOST, "eu-west-1", "ASIAIOSFODNN7EXAMPLE")
    assert token.signed_at == SIGNED_AT
    assert token.request_url() == URL


TOKEN_CASES: list[tuple[int, str, Reason]] = [
    (1, "k8s-aws-v1." + "A" * (16 * 1024), Reason.TOKEN_TOO_LONG),
    (1, "x" * (16 * 1024 + 1), Reason.TOKEN_TOO_LONG),
    (2, "", Reason.TOKEN_PREFIX),
    (2, "k8s-aws-v2." + token_of(URL)[11:], Reason.TOKEN_PREFIX),
    (2, " " + token_of(URL), Reason.TOKEN_PREFIX),
    (2, "K8S-AWS-V1." + token_of(URL)[11:], Reason.TOKEN_PREFIX),
    (3, "k8s-aws-v1.", Reason.TOKEN_ENCODING),
    (3, token_of(URL) + "\n", Reason.TOKEN_ENCODING),
    (3, token_of(URL + "xx")[:-1] + "==", Reason.TOKEN_ENCODING),
    (3, "k8s-aws-v1.aHR0+Ly/", Reason.TOKEN_ENCODING),
    (3, "k8s-aws-v1.aHR0cHM6Ly９", Reason.TOKEN_ENCODING),
    (3, "k8s-aws-v1.abcde", Reason.TOKEN_ENCODING),
]


@pytest.mark.parametrize(("number", "token", "reason"), TOKEN_CASES)
def test_a_token_that_is_no_token_is_refused(number: int, token: str, reason: Reason) -> None:
    assert check(token) == Refusal(reason)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("more", ["", "x", "xx"])
def test_only_the_canonical_token_of_a_url_passes(more: str) -> None:
    url = with_value("X-Amz-Security-Token", "token" + more)
    good = token_of(url)
    padding = "=" * (-len(good[11:]) % 4)
    same = [
        good[:-1] + last for last in ALPHABET if base64.urlsafe_b64decode(good[11:-1] + last + padding) == url.encode()
    ]
    assert len(same) == {"": 1, "=": 4, "==": 16}[padding]
    assert [token for token in same if not isinstance(check(token), Refusal)] == [good]
    assert {check(token) for token in same if token != good} <= {Refusal(Reason.TOKEN_ENCODING)}


def test_every_length_of_url_has_a_canonical_token_that_passes() -> None:
    for length in range(1, 40):
        url = with_value("X-Amz-Security-Token", "a" * length)
        assert not isinstance(check(token_of(url)), Refusal)


def test_a_token_of_sixteen_kib_is_not_too_long() -> None:
    # Sessions with many tags have long tokens: the reference's 4096 locks them out.
    url = with_value("X-Amz-Security-Token", "a" * 11_500)
    assert 15_000 < len(token_of(url)) <= 16 * 1024
    assert reason_of(url) is None


URL_CASES: list[tuple[int, str | bytes, Reason]] = [
    (4, b"\x00\xff", Reason.NOT_A_URL),
    (4, "hello", Reason.NOT_A_URL),
    (4, f"//{HOST}/?{QUERY}", Reason.NOT_A_URL),
    (4, f"https:{HOST}/?{QUERY}", Reason.NOT_A_URL),
    (4, " " + URL, Reason.NOT_A_URL),
    (4, URL + "\r\nx: y", Reason.NOT_A_URL),
    (4, URL + "\n", Reason.NOT_A_URL),
    (4, f"https://{HOST}\\@evil.example/?{QUERY}", Reason.NOT_A_URL),
    (4, f"https://sts.eu-west-1.amazonaws。com/?{QUERY}", Reason.NOT_A_URL),
    (4, URL + "&x=é", Reason.NOT_A_URL),
    (5, f"http://{HOST}/?{QUERY}", Reason.URL_SCHEME),
    (5, f"file://{HOST}/?{QUERY}", Reason.URL_SCHEME),
    (6, f"https:///?{QUERY}", Reason.URL_HOST),
    (6, f"https://evil.example/?{QUERY}", Reason.URL_HOST),
    (6, f"https://STS.eu-west-1.amazonaws.com/?{QUERY}", Reason.URL_HOST),
    (6, f"https://{HOST}./?{QUERY}", Reason.URL_HOST),
    (6, f"https://{HOST}:443/?{QUERY}", Reason.URL_HOST),
    (6, f"https://user:password@{HOST}/?{QUERY}", Reason.URL_HOST),
    (6, f"https://{HOST}@evil.example/?{QUERY}", Reason.URL_HOST),
    (6, f"https://{HOST}%2eevil.example/?{QUERY}", Reason.URL_HOST),
    (6, f"https://sts.cn-north-1.amazonaws.com.cn/?{QUERY}", Reason.URL_HOST),
    (7, f"https://{HOST}?{QUERY}", Reason.URL_PATH),
    (7, f"https://{HOST}//?{QUERY}", Reason.URL_PATH),
    (7, f"https://{HOST}/x?{QUERY}", Reason.URL_PATH),
    (7, f"https://{HOST}/.?{QUERY}", Reason.URL_PATH),
    (7, f"https://{HOST}/%2f?{QUERY}", Reason.URL_PATH),
    (7, URL + "#", Reason.URL_PATH),
    (7, f"https://{HOST}/#?{QUERY}", Reason.URL_PATH),
    (8, f"https://{HOST}/", Reason.QUERY_MALFORMED),
    (8, f"https://{HOST}/?", Reason.QUERY_MALFORMED),
    (8, URL + "&", Reason.QUERY_MALFORMED),
    (8, swap("&Version", "&&Version"), Reason.QUERY_MALFORMED),
    (8, swap("&Version", ";Version"), Reason.QUERY_MALFORMED),
    (8, swap("host%3Bx-k8s", "host;x-k8s"), Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "+a"), Reason.QUERY_MALFORMED),
    (8, URL + "&=x", Reason.QUERY_MALFORMED),
    (8, URL + "&Action", Reason.QUERY_MALFORMED),
    (8, swap("Action=GetCallerIdentity", "Action="), Reason.QUERY_MALFORMED),
    (8, swap("Action=GetCallerIdentity", "Action"), Reason.QUERY_MALFORMED),
    (8, URL + "&%41ction=GetCallerIdentity", Reason.QUERY_MALFORMED),
    (8, URL + "&X-Amz%2DDate=20260101T000000Z", Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "%2"), Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "%zz"), Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "%00"), Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "%0A"), Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "%7f"), Reason.QUERY_MALFORMED),
    (8, swap("%2Ba", "%C3%A9"), Reason.QUERY_MALFORMED),
    (8, URL + "?x", Reason.QUERY_MALFORMED),
    (8, URL + "&Action=GetCallerIdentity", Reason.QUERY_REPEATED),
    (8, URL + "&action=GetCallerIdentity", Reason.QUERY_REPEATED),
    (8, URL + "&x-amz-credential=AKIAVICTIM/20260101/eu-west-1/sts/aws4_request", Reason.QUERY_REPEATED),
    (8, URL + "&X-AMZ-SIGNEDHEADERS=host", Reason.QUERY_REPEATED),
    (8, URL + "&RoleArn=x", Reason.QUERY_UNKNOWN),
    (8, URL + "&X-Amz-Content-Sha256=x", Reason.QUERY_UNKNOWN),
    (9, with_value("Action", "AssumeRole"), Reason.URL_ACTION),
    (9, with_value("Action", "getcalleridentity"), Reason.URL_ACTION),
    (9, with_value("Action", "GetCallerIdentity "), Reason.URL_ACTION),
    (9, without("Action"), Reason.URL_ACTION),
    (9, with_value("Version", "2011-06-16"), Reason.URL_VERSION),
    (9, without("Version"), Reason.URL_VERSION),
    (9, with_value("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256"), Reason.URL_ALGORITHM),
    (9, without("X-Amz-Algorithm"), Reason.URL_ALGORITHM),
    (9, without("X-Amz-Credential"), Reason.CREDENTIAL_SCOPE),
    (9, swap("ASIAIOSFODNN7EXAMPLE", "ASIA"), Reason.CREDENTIAL_SCOPE),
    (9, swap("ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAM%2FE"), Reason.CREDENTIAL_SCOPE),
    (9, swap("20260101%2F", "20260102%2F"), Reason.CREDENTIAL_SCOPE),
    (9, swap("%2Feu-west-1%2F", "%2Fus-east-1%2F"), Reason.CREDENTIAL_SCOPE),
    (9, swap("%2Fsts%2F", "%2Fs3%2F"), Reason.CREDENTIAL_SCOPE),
    (9, swap("aws4_request", "aws4_request%2F"), Reason.CREDENTIAL_SCOPE),
    (9, without("X-Amz-Signature"), Reason.SIGNATURE_MALFORMED),
    (9, swap(SIGNATURE, SIGNATURE[1:]), Reason.SIGNATURE_MALFORMED),
    (9, swap(SIGNATURE, SIGNATURE.upper()), Reason.SIGNATURE_MALFORMED),
    (10, without("X-Amz-SignedHeaders"), Reason.CLUSTER_HEADER_UNSIGNED),
    (10, with_value("X-Amz-SignedHeaders", "host"), Reason.CLUSTER_HEADER_UNSIGNED),
    (10, with_value("X-Amz-SignedHeaders", "host;x-k8s-aws-id2"), Reason.CLUSTER_HEADER_UNSIGNED),
    (10, with_value("X-Amz-SignedHeaders", "host;X-K8s-Aws-Id"), Reason.CLUSTER_HEADER_UNSIGNED),
    (10, with_value("X-Amz-SignedHeaders", "x-k8s-aws-id"), Reason.SIGNED_HEADERS),
    (10, with_value("X-Amz-SignedHeaders", "x-k8s-aws-id;host"), Reason.SIGNED_HEADERS),
    (10, with_value("X-Amz-SignedHeaders", "host;user-agent;x-k8s-aws-id"), Reason.SIGNED_HEADERS),
    (10, with_value("X-Amz-SignedHeaders", "host;x-k8s-aws-id;x-k8s-aws-id"), Reason.SIGNED_HEADERS),
    (11, without("X-Amz-Expires"), Reason.URL_EXPIRES),
    (11, with_value("X-Amz-Expires", "901"), Reason.URL_EXPIRES),
    (11, with_value("X-Amz-Expires", "-1"), Reason.URL_EXPIRES),
    (11, with_value("X-Amz-Expires", "1" * 19), Reason.URL_EXPIRES),
    (11, with_value("X-Amz-Expires", "6e1"), Reason.URL_EXPIRES),
    (11, with_value("X-Amz-Expires", "60.0"), Reason.URL_EXPIRES),
    (11, with_value("X-Amz-Expires", "6_0"), Reason.URL_EXPIRES),
    (12, without("X-Amz-Date"), Reason.DATE_MISSING),
    (12, with_value("X-Amz-Date", "2026-01-01T00:00:00Z"), Reason.DATE_MALFORMED),
    (12, with_value("X-Amz-Date", "20260101T000000"), Reason.DATE_MALFORMED),
    (12, with_value("X-Amz-Date", "20260101T240000Z"), Reason.DATE_MALFORMED),
    (12, with_value("X-Amz-Date", "20260101T000060Z"), Reason.DATE_MALFORMED),
    (12, swap("20260101", "20260230"), Reason.DATE_MALFORMED),
    (12, swap("20260101", "00000101"), Reason.DATE_MALFORMED),
]


@pytest.mark.parametrize(("number", "url", "reason"), URL_CASES)
def test_each_check_refuses_with_its_own_reason(number: int, url: str | bytes, reason: Reason) -> None:
    assert reason_of(url) is reason


OF_REVIEWS = (Reason.EXTRA_MALFORMED, Reason.USER_CHANGED)
"""Reasons of the authorizer, which sees no token."""


def test_every_reason_of_the_checks_is_tested_under_its_number() -> None:
    tested = {reason for _, _, reason in TOKEN_CASES} | {reason for _, _, reason in URL_CASES}
    of_checks = {reason for reason in Reason if reason.metric == "invalid_token"} - {Reason.STATUS_QUERY, *OF_REVIEWS}
    assert of_checks - tested == {Reason.TOKEN_EXPIRED, Reason.DATE_IN_FUTURE}
    assert {number for number, _, _ in TOKEN_CASES + URL_CASES} == set(range(1, 13))


def test_the_first_failing_check_speaks() -> None:
    # Everything is wrong with this URL; each repair uncovers the next check's complaint.
    repairs: list[tuple[Callable[[str], str], Reason]] = [
        (lambda url: url, Reason.URL_SCHEME),
        (lambda url: url.replace("http:", "https:"), Reason.URL_HOST),
        (lambda url: url.replace("evil.example", HOST), Reason.URL_PATH),
        (lambda url: url.replace("#x", ""), Reason.QUERY_UNKNOWN),
        (lambda url: url.replace("&Evil=1", ""), Reason.URL_ACTION),
        (lambda url: url.replace("=Get", "=GetCallerIdentity"), Reason.CLUSTER_HEADER_UNSIGNED),
        (lambda url: url.replace("SignedHeaders=host", "SignedHeaders=host%3Bx-k8s-aws-id"), Reason.URL_EXPIRES),
        (lambda url: url.replace("Expires=901", "Expires=900"), Reason.TOKEN_EXPIRED),
    ]
    url = (
        URL.replace(f"https://{HOST}", "http://evil.example")
        .replace("=GetCallerIdentity", "=Get")
        .replace("%3Bx-k8s-aws-id", "")
        .replace("Expires=60", "Expires=901")
    ) + "&Evil=1#x"
    for repair, reason in repairs:
        url = repair(url)
        assert reason_of(url, now=SIGNED_AT + 901) is reason


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (SIGNED_AT + 900, None),
        (SIGNED_AT + 901, Reason.TOKEN_EXPIRED),
        (SIGNED_AT - 300, None),
        (SIGNED_AT - 301, Reason.DATE_IN_FUTURE),
    ],
)
def test_a_token_is_good_from_five_minutes_before_to_fifteen_after_its_date(now: float, reason: Reason | None) -> None:
    assert reason_of(URL, now=now) is reason


@pytest.mark.parametrize("minutes", [20, -20])
def test_a_clock_that_is_off_is_named_with_the_remedy(minutes: int) -> None:
    refusal = check(token_of(URL), now=SIGNED_AT + minutes * 60)
    assert isinstance(refusal, Refusal)
    assert "clock skew" in refusal.message
    assert "NTP" in refusal.message
    assert "20 minutes" in refusal.message


def test_a_scheme_in_capitals_is_a_scheme_and_the_request_has_it_in_small_letters() -> None:
    assert checked(URL.replace("https:", "HTTPS:")).request_url() == URL


@pytest.mark.parametrize("expires", ["0", "60", "060", "900", "+60", "-0"])
def test_expires_may_be_any_whole_number_to_900_and_is_kept_as_it_was_signed(expires: str) -> None:
    url = with_value("X-Amz-Expires", expires)
    assert checked(url).request_url() == url


def test_keys_in_another_case_are_refused_since_sts_would_not_find_them() -> None:
    refusal = check(token_of(swap("X-Amz-Date=", "x-amz-date=")))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.QUERY_MALFORMED


def test_unescaped_slashes_and_another_order_become_the_canonical_url() -> None:
    pairs = QUERY.replace("%2F", "/").split("&")
    assert checked(f"https://{HOST}/?{'&'.join(reversed(pairs))}").request_url() == URL


def test_accept_may_be_signed_since_it_is_sent() -> None:
    url = with_value("X-Amz-SignedHeaders", "accept;host;x-k8s-aws-id")
    assert checked(url).request_url() == url


def test_the_global_host_is_signed_for_us_east_1() -> None:
    url = swap(HOST, "sts.amazonaws.com").replace("%2Feu-west-1%2F", "%2Fus-east-1%2F")
    assert checked(url).region == "us-east-1"
    assert reason_of(swap(HOST, "sts.amazonaws.com")) is Reason.CREDENTIAL_SCOPE


def test_nothing_of_a_token_is_in_its_repr_or_in_a_refusal() -> None:
    assert repr(checked(URL)) == "CheckedToken(hidden)"
    for _, url, _ in URL_CASES:
        refusal = check(token_of(url))
        assert isinstance(refusal, Refusal)
        for secret in (SIGNATURE, SESSION_TOKEN, "password", token_of(url)):
            assert secret not in refusal.message
            assert secret not in repr(refusal)


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=200)


@given(printable)
def test_any_printable_session_token_round_trips_exactly(session_token: str) -> None:
    url = with_value("X-Amz-Security-Token", session_token)
    assert checked(url).request_url() == url


@given(
    secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
    session_token=st.from_regex(r"[A-Za-z0-9+/]{0,80}={0,2}", fullmatch=True),
    region=st.sampled_from(["eu-west-1", "us-east-1"]),
    cluster_id=st.from_regex(r"[a-z0-9.-]{1,40}", fullmatch=True),
)
def test_a_minted_token_is_rebuilt_to_the_url_that_was_signed(
    secret: str, session_token: str, region: str, cluster_id: str
) -> None:
    token = mint(
        Credentials("ASIAIOSFODNN7EXAMPLE", secret, session_token),
        cluster_id=cluster_id,
        region=region,
        host=f"sts.{region}.amazonaws.com",
        timestamp=basic_timestamp(SIGNED_AT),
    )
    result = check(token)
    assert isinstance(result, CheckedToken)
    assert token_of(result.request_url()) == token


def test_a_url_of_botocore_passes_and_keeps_its_parameters() -> None:
    request = AWSRequest(
        "GET", f"https://{HOST}/?Action=GetCallerIdentity&Version=2011-06-15", headers={"x-k8s-aws-id": "c"}
    )
    credentials = BotocoreCredentials("ASIAIOSFODNN7EXAMPLE", "secret", SESSION_TOKEN)
    SigV4QueryAuth(credentials, "sts", "eu-west-1", expires=60).add_auth(request)
    signed = str(request.url)
    date = dict(parse_qsl(urlsplit(signed).query))["X-Amz-Date"]
    now = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    result = check(token_of(signed), now=now)
    assert isinstance(result, CheckedToken)
    assert result.signed_at == now
    assert sorted(urlsplit(result.request_url()).query.split("&")) == sorted(urlsplit(signed).query.split("&"))


# They decide the host and the action of the request. STS checks the signer by the signature.
PINNED = ("Action", "Version", "X-Amz-Algorithm", "X-Amz-SignedHeaders")


def assert_refused_or_same_request(url: str) -> None:
    result = check(token_of(url.encode("latin-1")))
    if isinstance(result, Refusal):
        return
    rebuilt = urlsplit(result.request_url())
    assert (rebuilt.scheme, rebuilt.netloc, rebuilt.path, rebuilt.fragment) == ("https", HOST, "/", "")
    sent = dict(parse_qsl(rebuilt.query, strict_parsing=True))
    meant = parse_qsl(urlsplit(url).query, strict_parsing=True)
    assert {key: sent[key] for key in PINNED} == {key: PARAMETERS[key] for key in PINNED}
    # An independent parser finds exactly what we send: nothing repeated, dropped or added.
    assert sorted((key.lower(), value) for key, value in meant) == sorted((k.lower(), v) for k, v in sent.items())


@given(st.integers(0, len(URL) - 1), st.integers(0, 255))
def test_changing_any_byte_is_refused_or_still_the_request_that_was_checked(position: int, byte: int) -> None:
    assert_refused_or_same_request(URL[:position] + chr(byte) + URL[position + 1 :])


@given(st.integers(0, len(URL)), st.text(st.characters(max_codepoint=0xFF), min_size=1, max_size=12))
def test_inserting_anything_is_refused_or_still_the_request_that_was_checked(position: int, text: str) -> None:
    assert_refused_or_same_request(URL[:position] + text + URL[position:])


@given(st.integers(0, len(URL)), st.integers(0, len(URL)))
def test_cutting_anything_out_is_refused_or_still_the_request_that_was_checked(start: int, end: int) -> None:
    assert_refused_or_same_request(URL[:start] + URL[max(start, end) :])


@given(st.text())
def test_no_text_makes_the_checks_raise(text: str) -> None:
    assert isinstance(check(text), Refusal)
    assert isinstance(check("k8s-aws-v1." + text), Refusal)


@given(st.binary(max_size=300))
def test_no_content_makes_the_checks_raise(content: bytes) -> None:
    assert isinstance(check(token_of(content)), Refusal)


@given(st.integers(11, len(token_of(URL)) - 1), st.characters(max_codepoint=0x17F))
def test_changing_any_character_of_the_token_is_refused_or_still_a_request_to_sts(position: int, char: str) -> None:
    token = token_of(URL)
    result = check(token[:position] + char + token[position + 1 :])
    if isinstance(result, CheckedToken):
        assert result.request_url().startswith(f"https://{HOST}/?Action=GetCallerIdentity&Version=2011-06-15&")
