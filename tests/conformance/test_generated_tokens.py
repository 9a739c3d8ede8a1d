"""Thousands of tokens with one to three small changes, about half of which keep what the token means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from generation import CASES, NOTE, SEED, generated
from hypothesis import given, seed
from hypothesis import strategies as st
from named_sts import EVIL_HOSTS, HOSTS, NamedSts
from principals import ADMIN, AUTO, BOB, EVERYBODY, FEDERATED, LONG, PEOPLE, SCRUB, STRANGER, TOKENED
from side_by_side import Pair, Question, running
from tally import Case, Tally
from tokens import PREFIX, Signed, token_of, url_in

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance-generated-tokens")]

Change = Callable[[str], str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Pair]:
    sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    with running(tmp_path_factory.mktemp("tokens"), reference, sts, EVERYBODY) as both:
        yield both
    sts.stop()


def _at(place: float, length: int) -> int:
    return min(int(place * length), length - 1)


places = st.floats(0, 1, exclude_max=True)
characters = st.sampled_from('aZ09-_.~%&=;+/:?#@[]\\"<>^`{|}, \t\n\x00\x7fé')


def character(place: float, new: str, replace: bool) -> Change:
    def change(url: str) -> str:
        at = _at(place, len(url))
        return url[:at] + new + url[at + replace :]

    return change


def escaped(place: float, capitals: bool) -> Change:
    def change(url: str) -> str:
        at = _at(place, len(url))
        return f"{url[:at]}%{ord(url[at]):02{'X' if capitals else 'x'}}{url[at + 1 :]}"

    return change


def on_pairs(change_pairs: Callable[[list[str]], list[str]]) -> Change:
    def change(url: str) -> str:
        head, _, query = url.partition("?")
        return f"{head}?{'&'.join(change_pairs(query.split('&')))}"

    return change


def letter_case(place: float, upper: bool) -> Change:
    def change(pairs: list[str]) -> list[str]:
        at = _at(place, len(pairs))
        name, equals, value = pairs[at].partition("=")
        return [*pairs[:at], (name.upper() if upper else name.lower()) + equals + value, *pairs[at + 1 :]]

    return on_pairs(change)


def dropped(place: float) -> Change:
    return on_pairs(lambda pairs: [pair for at, pair in enumerate(pairs) if at != _at(place, len(pairs))])


def repeated(place: float) -> Change:
    return on_pairs(lambda pairs: [*pairs, pairs[_at(place, len(pairs))]])


def turned(place: float) -> Change:
    def change(pairs: list[str]) -> list[str]:
        at = _at(place, len(pairs))
        return [*pairs[at:], *pairs[:at]]

    return on_pairs(change)


def value(name: str, new: str) -> Change:
    return lambda url: re.sub(rf"(?<=[?&]){name}=[^&]*", lambda _: f"{name}={new}", url)


def authority(pattern: str) -> Change:
    return lambda url: re.sub(r"(?<=//)[^/]*", lambda found: pattern.replace("HOST", found[0]), url, count=1)


def scheme(new: str) -> Change:
    return lambda url: url.replace("https:", new, 1)


VALUES = {
    "X-Amz-Expires": ("0", "900", "901", "-1", "060", "%2B60", "1e2", "", "60%20", "6%30", "9" * 30),
    "X-Amz-Date": ("", "20260101T000000Z", "today", "99991231T235959Z", "20260230T000000Z"),
    "X-Amz-Algorithm": ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "aws4-hmac-sha256", ""),
    "X-Amz-SignedHeaders": (
        *(
            "host",
            "x-k8s-aws-id",
            "host%3Bx-k8s-aws-id",
            "host;x-k8s-aws-id",
            "x-k8s-aws-id%3Bhost",
            "Host%3BX-K8s-Aws-Id",
        ),
        *("host%3Bx-k8s-aws-id%3B", "accept%3Bhost%3Bx-k8s-aws-id", "host%3Bx-k8s-aws-id%3Bx-other", ""),
    ),
    "X-Amz-Security-Token": ("", "x", "a%2Bb%2Fc%3D%3D", "a+b/c=="),
    "Action": ("GetCallerIdentity", "getcalleridentity", "AssumeRole", "%47etCallerIdentity", ""),
    "Version": ("2011-06-15", "2011-06-16", "%32011-06-15", ""),
}
AUTHORITIES = (
    *(
        "HOST.",
        "HOST:443",
        "HOST:",
        "HOST:80",
        "user@HOST",
        "user:pass@HOST",
        "@HOST",
        "HOST@example.com",
        "HOST.example.com",
    ),
    *("[::1]", "127.0.0.1", "HOST%00", "HOST%2e", "", "sts.amazonaws.com", "STS.amazonaws.com", *EVIL_HOSTS),
)
harmless: st.SearchStrategy[Change] = st.one_of(
    st.builds(turned, places),
    st.just(lambda url: re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), url)),
    st.sampled_from(["+60", "0", "900", "060", "6%30"]).map(lambda new: value("X-Amz-Expires", new)),
    st.sampled_from(["HTTPS:", "Https:"]).map(scheme),
    st.just(value("Action", "%47etCallerIdentity")),
)
changes: st.SearchStrategy[Change] = st.one_of(
    harmless,
    st.builds(character, places, characters, st.booleans()),
    st.builds(escaped, places, st.booleans()),
    st.builds(letter_case, places, st.booleans()),
    st.builds(dropped, places),
    st.builds(repeated, places),
    st.sampled_from([(name, new) for name, news in VALUES.items() for new in news]).map(lambda pair: value(*pair)),
    st.sampled_from(AUTHORITIES).map(authority),
    st.sampled_from(["HTTPS:", "Https:", "http:", "", "https:/", "ftp:"]).map(scheme),
    st.sampled_from(
        ["#", "#x", "&", "&&", ";", "?", "/", "&X-Amz-Security-Token=", "&a=b", "&Action", "&=", "&=x"]
    ).map(lambda end: lambda url: url + end),
)


def region_of(host: str) -> str:
    return "us-east-1" if host == "sts.amazonaws.com" or host in EVIL_HOSTS else host.split(".")[1]


signed = st.builds(
    lambda who, host, age, more, cluster: Signed(
        who, host, region_of(host), age=age, extra=more, **({"cluster": cluster} if cluster else {})
    ),
    st.sampled_from([ADMIN, ADMIN, BOB, AUTO, STRANGER, FEDERATED, SCRUB, TOKENED, LONG]),
    st.one_of(*(st.just("sts.us-east-1.amazonaws.com"),) * 5, st.sampled_from(HOSTS)),
    st.sampled_from([0, 1, 2, 3, 30, 60, 300, 600, 890, 905, 3600, -60, -280, -320, -3600]),
    st.sampled_from([*((),) * 20, (("accept", "application/json"),), (("accept-encoding", "gzip"),)]),
    st.sampled_from([*("",) * 9, "other"]),
)
ends: st.SearchStrategy[Change] = st.one_of(
    *(st.just(lambda token: token) for _ in range(24)),
    st.builds(character, places, st.sampled_from("aZ0-_=+/.\n "), st.booleans()),
    st.sampled_from(["=", "==", "A", "\r\n", " "]).map(lambda end: lambda token: token + end),
    st.just(lambda token: token[:-1]),
    st.just(lambda token: token.removeprefix(PREFIX)),
    st.just(lambda token: token.replace("-", "+").replace("_", "/")),
)


@seed(SEED)
@generated(CASES, shrink=True)
@given(signed, st.one_of(st.lists(harmless, max_size=2), st.lists(changes, max_size=3)), ends)
def test_generated_tokens(pair: Pair, tally: Tally, start: Signed, spoils: list[Change], end: Change) -> None:
    if NOTE not in tally.notes:
        tally.notes.append(NOTE)
    url = start.url()
    for spoil in spoils:
        url = spoil(url)
    token = end(token_of(url))
    tally.ask(
        pair, Case(repr(url), "generated tokens", Question.about(token), EVERYBODY, token, url_in(token), start.who)
    )
