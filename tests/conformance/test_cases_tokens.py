"""Tokens, their hosts and answers of STS (docs/protocol.md, sections 1 and 2), rule by rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from named_sts import EVIL_HOSTS, HOSTS, NamedSts, Principal, hosts_of
from principals import (
    ADMIN,
    ANSWERS,
    AUTO,
    AUTO_ROLE,
    BOB,
    CHINESE,
    EVE,
    EVERYBODY,
    FEDERATED,
    LONG,
    ODD,
    PEOPLE,
    RESERVED,
    ROOT,
    SCRIPTED,
    SCRUB,
    STRANGER,
    TOKENED,
)
from setups import Setup
from side_by_side import Pair, Question, running
from tally import Case, Tally
from tokens import PREFIX, Signed, token_of, url_in

from kube_iam.core.partitions import DNS_SUFFIX, partition_of_region

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance-tokens")]

GOOD = Signed(ADMIN)
UNKNOWN = Principal("ASIAUNKNOWNUNKNOWN00")


def replaced(old: str, new: str) -> Callable[[], str]:
    def make() -> str:
        url = GOOD.url()
        assert old in url
        return token_of(url.replace(old, new, 1))

    return make


def appended(text: str) -> Callable[[], str]:
    return lambda: token_of(GOOD.url() + text)


def expires(value: str) -> Callable[[], str]:
    return GOOD.but(expires=value).token


def not_canonical() -> str:
    """Return another token with the same bytes: its last character has bits that decoders ignore."""
    token = next(found for zeros in range(3) if len(found := GOOD.but(expires="0" * zeros + "60").token()[11:]) % 4)
    return PREFIX + token[:-1] + chr(ord(token[-1]) + 1)


BY_HAND: dict[str, tuple[Callable[[], str], str]] = {
    "1: over 4096 bytes": (Signed(LONG).token, "T1"),
    "1: over 16 KiB": (lambda: GOOD.token() + "A" * 17000, ""),
    "2: no prefix": (lambda: GOOD.token().removeprefix(PREFIX), ""),
    "2: the prefix in capitals": (lambda: GOOD.token().replace("k8s", "K8S", 1), ""),
    "2: another version": (lambda: GOOD.token().replace("v1", "v2", 1), ""),
    "2: nothing else": (lambda: PREFIX, ""),
    "3: padded": (lambda: token_of(GOOD.url() + "x" * (-len(GOOD.url()) % 3 + 1)) + "=", ""),
    "3: the other alphabet": (lambda: GOOD.token() + "+/", ""),
    "3: unused bits": (not_canonical, "T16"),
    "3: a line end": (lambda: GOOD.token() + "\n", "T14"),
    "3: a space before": (lambda: " " + GOOD.token(), ""),
    "4: not a URL": (lambda: token_of("garbage"), ""),
    "4: no authority": (replaced("https://", "https:"), ""),
    "4: a space in it": (replaced("/?", "/ ?"), ""),
    "4: a control character": (appended("\x7f"), ""),
    "5: http": (replaced("https:", "http:"), ""),
    "5: in capitals": (replaced("https:", "HTTPS:"), ""),
    "5: another": (replaced("https:", "ftp:"), ""),
    "6: a port": (replaced(".com/", ".com:443/"), ""),
    "6: an empty port": (replaced(".com/", ".com:/"), ""),
    "6: userinfo": (replaced("https://", "https://a:b@"), "T11"),
    "6: empty userinfo": (replaced("https://", "https://@"), "T11"),
    "6: in capitals": (replaced("sts.us-east-1", "STS.US-EAST-1"), ""),
    "6: a final dot": (replaced(".com/", ".com./"), ""),
    "6: escaped": (replaced("sts.us", "sts%2eus"), ""),
    "6: no host": (replaced("sts.us-east-1.amazonaws.com", ""), ""),
    "7: a path": (replaced("/?", "/x?"), ""),
    "7: two slashes": (replaced("/?", "//?"), ""),
    "7: no path": (replaced("/?", "?"), ""),
    "7: an escaped slash": (replaced("/?", "/%2f?"), ""),
    "7: a path that leads back": (replaced("/?", "/x/..?"), ""),
    "7: a fragment": (appended("#x"), "T11"),
    "8: no query": (lambda: token_of(GOOD.url().partition("?")[0]), ""),
    "8: repeated": (appended("&Action=GetCallerIdentity"), ""),
    "8: repeated in capitals": (appended("&ACTION=GetCallerIdentity"), ""),
    "8: repeated in another letter case with another action": (appended("&action=AssumeRole"), ""),
    "8: another letter case": (replaced("X-Amz-Expires", "x-amz-expires"), ""),
    "8: unknown": (appended("&Foo=Bar"), ""),
    "8: unknown and empty": (appended("&X-Amz-Foo="), ""),
    "8: a semicolon": (appended(";Foo=Bar"), ""),
    "8: half an escape": (appended("%"), ""),
    "8: no escape": (replaced("%3B", "%3g"), ""),
    "8: escapes in small letters": (replaced("%3B", "%3b"), ""),
    "8: an escaped letter in a value": (replaced("GetCaller", "%47etCaller"), ""),
    "8: an escaped key": (replaced("Action=", "%41ction="), "T4"),
    "8: an empty pair": (appended("&"), "T4"),
    "8: an empty pair first": (replaced("/?", "/?&"), "T4"),
    "8: an empty value": (appended("&X-Amz-Security-Token="), ""),
    "8: a character that has to be escaped": (lambda: token_of(Signed(ODD).url().replace("%2C", ",")), "T4"),
    "8: a plus for an escaped one": (lambda: token_of(Signed(TOKENED).url().replace("%2B", "+")), ""),
    "8: no signature": (lambda: token_of(re.sub("&X-Amz-Signature=.*", "", GOOD.url())), ""),
    "8: no credential": (lambda: token_of(re.sub("&X-Amz-Credential=[^&]*", "", GOOD.url())), ""),
    "9: another action": (GOOD.but(action="GetSessionToken").token, ""),
    "9: the action in small letters": (GOOD.but(action="getcalleridentity").token, ""),
    "9: another version": (GOOD.but(version="2012-01-01").token, "T6"),
    "9: another region's scope": (GOOD.but(region="eu-central-1").token, "T6"),
    "9: another algorithm": (replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), ""),
    "10: unsigned": (GOOD.but(header="x-other").token, ""),
    "10: another cluster": (GOOD.but(cluster="other").token, ""),
    "10: a header that we send": (GOOD.but(extra=(("accept", "application/json"),)).token, ""),
    "10: a header that only the reference sends": (GOOD.but(extra=(("accept-encoding", "gzip"),)).token, "T3"),
    "10: a header that nobody sends": (GOOD.but(extra=(("x-more", "1"),)).token, ""),
    "10: in capitals": (replaced("host%3Bx-k8s-aws-id", "host%3BX-K8s-Aws-Id"), ""),
    **{f"11: {value or 'empty'}": (expires(value), "") for value in ("0", "900", "901", "-1", "060", "+60", "-0", "")},
    **{f"11: {value}": (expires(value), "") for value in ("60.0", "6e1", "0x3c", " 60", "99999999999999999999")},
    "11: missing": (lambda: token_of(re.sub("&X-Amz-Expires=60", "", GOOD.url())), ""),
    "12: fourteen minutes old": (GOOD.but(age=14 * 60).token, ""),
    "12: sixteen minutes old": (GOOD.but(age=16 * 60).token, ""),
    "12: four minutes ahead": (GOOD.but(age=-4 * 60).token, ""),
    "12: ten minutes ahead": (GOOD.but(age=-10 * 60).token, "T5"),
    "12: malformed": (lambda: token_of(re.sub("Date=[0-9TZ]+", "Date=today", GOOD.url())), ""),
    "12: a day that is none": (lambda: token_of(re.sub("Date=[0-9]+", "Date=20260231", GOOD.url())), ""),
    "12: missing": (lambda: token_of(re.sub("&X-Amz-Date=[0-9TZ]+", "", GOOD.url())), ""),
    "an unknown key": (Signed(UNKNOWN).token, ""),
    "another's session token": (lambda: token_of(Signed(TOKENED).url().replace("c%3D%3D", "d%3D%3D")), ""),
    "a spoiled signature": (lambda: token_of(GOOD.url()[:-1] + ("0" if GOOD.url()[-1] != "0" else "1")), ""),
    "no token": (str, ""),
    "a JWT": (lambda: "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", ""),
}
"""The number in docs/protocol.md, section 2.1, the token, and the row of docs/compatibility.md where the two differ on purpose."""


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, reference: Path, sts: NamedSts) -> Iterator[Pair]:
    with running(tmp_path_factory.mktemp("everybody"), reference, sts, EVERYBODY) as both:
        yield both


def case(name: str, token: str, who: Principal, setup: Setup = EVERYBODY) -> Case:
    return Case(name, "tokens", Question.about(token), setup, token, url_in(token), who)


@pytest.mark.parametrize("rule", BY_HAND)
def test_every_check_of_a_token(pair: Pair, tally: Tally, rule: str) -> None:
    make, row = BY_HAND[rule]
    tally.ask(pair, case(rule, make(), ADMIN), row)


@pytest.mark.parametrize(
    "who",
    [ADMIN, TOKENED, BOB, EVE, ROOT, FEDERATED, STRANGER, AUTO, AUTO_ROLE, SCRUB, RESERVED, CHINESE],
    ids=lambda who: who.arn,
)
def test_every_kind_of_identity(pair: Pair, tally: Tally, who: Principal) -> None:
    tally.ask(pair, case(who.arn, Signed(who).token(), who))


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_of_sts(pair: Pair, tally: Tally, name: str) -> None:
    tally.ask(pair, case(f"STS answers {name}", Signed(SCRIPTED[name]).token(), SCRIPTED[name]), ANSWERS[name][1])


def region_of(host: str) -> str:
    return "us-east-1" if host in ("sts.amazonaws.com", *EVIL_HOSTS) else host.split(".")[1]


@pytest.mark.parametrize("partition", DNS_SUFFIX)
def test_every_host_in_every_partition(
    tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally, partition: str
) -> None:
    """Every region's four forms in the region's own partition; of the other partitions one region each, and what is no STS."""
    setup = Setup(partition, f"  partition: {partition}\n{EVERYBODY.text}")
    own = {*hosts_of(partition)}
    some: dict[str, list[str]] = {}
    for host in HOSTS:
        if host not in own and host not in EVIL_HOSTS:
            some.setdefault(partition_of_region(region_of(host)), []).append(host)
    others = [host for hosts in some.values() for host in hosts[:4]]
    with running(tmp_path, reference, sts, setup) as pair:
        for host in (*own, *others, *EVIL_HOSTS, "sts.amazonaws.com"):
            token = GOOD.but(host=host, region=region_of(host)).token()
            tally.ask(pair, case(f"{host} in {partition}", token, ADMIN, setup))
