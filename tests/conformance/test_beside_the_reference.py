"""Ours and the reference, asked the same: by hand, rule by rule, and with thousands of spoiled tokens.

A case that the two answer differently names the row of docs/compatibility.md that says why; no other difference is let by, and a row
that is named has to show a difference. KUBE_IAM_CONFORMANCE_CASES and _SEED choose how many generated tokens, and which.
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from both import Server, Verdict, running
from named_sts import NamedSts
from tokens import PREFIX, Signed, token_of

from kube_iam.aws.regions import regions_of
from kube_iam.core.checks import check_token
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.sts_hosts import StsHosts

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance")]

ACCOUNT = "123456789012"
ADMIN, PATHED, SSO, SSO_OTHER, BOB, EVE = (f"ASIACONFORMANCE00{number:03}" for number in range(6))
ROOT, FEDERATED, STRANGER, AUTO, TWICE, SYSTEM = (f"ASIACONFORMANCE01{number:03}" for number in range(6))
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"
IDENTITIES = {
    ADMIN: (f"{SESSION}/Admin/alice@example.com", "AROAADMIN:alice@example.com", ACCOUNT),
    PATHED: (f"{SESSION}/Pathed/carl", "AROAPATHED:carl", ACCOUNT),
    SSO: (f"{SESSION}/AWSReservedSSO_Ops_0123456789abcdef/olga", "AROASSO:olga", ACCOUNT),
    SSO_OTHER: (f"{SESSION}/AWSReservedSSO_Ops_ReadOnly_0123456789abcdef/ron", "AROASSORO:ron", ACCOUNT),
    BOB: (f"arn:aws:iam::{ACCOUNT}:user/bob", "AIDABOB", ACCOUNT),
    EVE: (f"arn:aws:iam::{ACCOUNT}:user/team/Eve", "AIDAEVE", ACCOUNT),
    ROOT: (f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ACCOUNT),
    FEDERATED: (f"arn:aws:sts::{ACCOUNT}:federated-user/fred", f"{ACCOUNT}:fred", ACCOUNT),
    STRANGER: (f"{SESSION}/Nobody/nick", "AROANOBODY:nick", ACCOUNT),
    AUTO: ("arn:aws:iam::210987654321:user/auto", "AIDAAUTO", "210987654321"),
    TWICE: (f"{SESSION}/Scrub/tina", "AROASCRUB:tina", "999999999999"),
    SYSTEM: (f"{SESSION}/Reserved/rita", "AROARESERVED:rita", ACCOUNT),
}
IDENTITIES[TWICE] = ("arn:aws:sts::999999999999:assumed-role/Scrub/tina", "AROASCRUB:tina", "999999999999")

SETTINGS = f"""\
  scrubbedAccounts: ["999999999999"]
  reservedPrefixConfig:
  - backendMode: MountedFile
    usernamePrefixReserveList: ["reserved:"]
  mapRoles:
  - roleARN: arn:aws:iam::{ACCOUNT}:role/ADMIN
    username: "{{{{AccountID}}}}:{{{{SessionName}}}}:{{{{SessionNameRaw}}}}:{{{{AccessKeyID}}}}"
    groups: [admins, "of-{{{{SessionName}}}}"]
  - rolearn: arn:aws:iam::{ACCOUNT}:role/team/Pathed
    username: pathed
  - sso: {{permissionSetName: Ops, accountID: "{ACCOUNT}"}}
    username: "ops:{{{{SessionNameRaw}}}}"
    groups: []
  - rolearn: arn:aws:iam::999999999999:role/Scrub
    username: scrubbed
    groups: [a, b]
  - rolearn: arn:aws:iam::{ACCOUNT}:role/Reserved
    username: "reserved:{{{{SessionName}}}}"
  mapUsers:
  - userarn: arn:aws:iam::{ACCOUNT}:user/bob
    username: bob
    groups: [users]
  - userARN: ARN:AWS:IAM::{ACCOUNT}:USER/TEAM/EVE
    username: eve
  - userarn: arn:aws:iam::{ACCOUNT}:root
    username: root
  - userarn: arn:aws:sts::{ACCOUNT}:federated-user/fred
    username: fred
  mapAccounts: ["210987654321"]
"""
GOOD = Signed(ADMIN)
LONG = "s" * 4000

# The rule, the token, and the row of docs/compatibility.md where the two differ on purpose.
BY_HAND: dict[str, tuple[Callable[[], str], str]] = {
    "a role session": (GOOD.token, ""),
    "with a session token": (GOOD.but(session_token="a+b/c==").token, ""),
    "another region": (GOOD.but(host="sts.eu-central-1.amazonaws.com", region="eu-central-1").token, ""),
    "the global host": (GOOD.but(host="sts.amazonaws.com").token, ""),
    "FIPS": (GOOD.but(host="sts-fips.us-east-1.amazonaws.com").token, ""),
    "dual-stack": (GOOD.but(host="sts.us-east-1.api.aws").token, ""),
    "another partition's host": (GOOD.but(host="sts.cn-north-1.amazonaws.com.cn", region="cn-north-1").token, ""),
    "a role with a path": (Signed(PATHED).token, "M3"),
    "a permission set": (Signed(SSO).token, "M1"),
    "another permission set": (Signed(SSO_OTHER).token, ""),
    "a user": (Signed(BOB).token, ""),
    "a user with a path, in capitals": (Signed(EVE).token, ""),
    "root": (Signed(ROOT).token, ""),
    "a federated user": (Signed(FEDERATED).token, ""),
    "nobody's role": (Signed(STRANGER).token, ""),
    "an account": (Signed(AUTO).token, ""),
    "a scrubbed account": (Signed(TWICE).token, ""),
    "a reserved prefix": (Signed(SYSTEM).token, ""),
    "an unknown key": (Signed("ASIAUNKNOWNUNKNOWN00").token, ""),
    "another cluster": (GOOD.but(cluster="other").token, ""),
    "1: too long for both": (lambda: GOOD.token() + "A" * 17000, ""),
    "1: over 4096 bytes": (GOOD.but(session_token=LONG).token, "T1"),
    "2: no prefix": (lambda: GOOD.token().removeprefix(PREFIX), ""),
    "2: another version": (lambda: GOOD.token().replace("v1", "v2", 1), ""),
    "3: padded": (lambda: GOOD.token() + "=", ""),
    "3: not base64url": (lambda: GOOD.token() + "+/", ""),
    "4: not a URL": (lambda: token_of("nonsense"), ""),
    "5: http": (lambda: token_of(GOOD.url().replace("https:", "http:")), ""),
    "6: not STS": (GOOD.but(host="sts.us-east-1.amazonaws.com.example.com").token, ""),
    "6: another service": (GOOD.but(host="iam.us-east-1.amazonaws.com").token, ""),
    "6: a port": (lambda: token_of(GOOD.url().replace(".com/", ".com:443/")), ""),
    "6: userinfo": (lambda: token_of(GOOD.url().replace("https://", "https://a:b@")), "T11"),
    "7: a path": (lambda: token_of(GOOD.url().replace("/?", "/x?")), ""),
    "7: a fragment": (lambda: token_of(GOOD.url() + "#x"), "T11"),
    "8: repeated": (lambda: token_of(GOOD.url() + "&Action=GetCallerIdentity"), ""),
    "8: repeated in capitals": (lambda: token_of(GOOD.url() + "&ACTION=GetCallerIdentity"), ""),
    "8: another letter case": (lambda: token_of(GOOD.url().replace("X-Amz-Expires", "x-amz-expires")), ""),
    "8: unknown": (lambda: token_of(GOOD.url() + "&Foo=Bar"), ""),
    "8: semicolon": (lambda: token_of(GOOD.url() + ";Foo=Bar"), ""),
    "8: empty pair": (lambda: token_of(GOOD.url() + "&"), "T4"),
    "9: another action": (GOOD.but(action="GetSessionToken").token, ""),
    "9: another version": (GOOD.but(version="2012-01-01").token, "T6"),
    "9: another region's scope": (GOOD.but(region="eu-central-1").token, "T6"),
    "10: cluster id unsigned": (GOOD.but(header="x-other").token, ""),
    "11: 900 seconds": (GOOD.but(expires=900).token, ""),
    "11: 901 seconds": (GOOD.but(expires=901).token, ""),
    "11: no number": (lambda: token_of(GOOD.url().replace("Expires=60", "Expires=x")), ""),
    "12: fourteen minutes old": (GOOD.but(age=14 * 60).token, ""),
    "12: sixteen minutes old": (GOOD.but(age=16 * 60).token, ""),
    "12: four minutes ahead": (GOOD.but(age=-4 * 60).token, ""),
    "12: ten minutes ahead": (GOOD.but(age=-10 * 60).token, "T5"),
    "12: malformed": (lambda: token_of(re.sub("Date=[0-9TZ]+", "Date=today", GOOD.url())), ""),
}

# Which row explains that ours refuses, by the check that did.
ROW_OF = {
    Reason.NOT_A_URL: "T4",
    Reason.QUERY_MALFORMED: "T4",
    Reason.SCHEME: "T11",
    Reason.HOST: "T11",
    Reason.PATH: "T11",
    Reason.SIGNED_HEADERS: "T3",
    Reason.DATE_IN_FUTURE: "T5",
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[tuple[Server, Server]]:
    directory = tmp_path_factory.mktemp("conformance")
    sts = NamedSts(directory, IDENTITIES)
    with running(directory, reference, sts, SETTINGS) as both:
        yield both
    sts.stop()


@pytest.mark.parametrize("rule", BY_HAND)
def test_every_rule_by_hand(servers: tuple[Server, Server], rule: str) -> None:
    make, row = BY_HAND[rule]
    token = make()
    theirs, ours = (server.ask(token) for server in servers)
    if row:
        assert theirs != ours, f"row {row} of docs/compatibility.md says that these differ"
    else:
        assert theirs == ours


def test_thousands_of_spoiled_tokens(servers: tuple[Server, Server], capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("KUBE_IAM_CONFORMANCE_SEED", "0")) or int(time.time())
    count = int(os.environ.get("KUBE_IAM_CONFORMANCE_CASES", "5000"))
    chance, hosts = random.Random(seed), StsHosts("aws", regions_of("aws"))
    rows: Counter[str] = Counter()
    others: list[str] = []
    for _ in range(count):
        url = spoiled(chance)
        token = token_of(url)
        theirs, ours = (server.ask(token) for server in servers)
        row = "" if theirs == ours else explained(token, hosts, theirs, ours)
        rows[row] += 1
        if row == "other":
            others.append(url)
    said = ", ".join(f"{row} {number}" for row, number in sorted(rows.items()) if row not in ("", "other")) or "none"
    with capsys.disabled():
        sys.stdout.write(
            f"\nconformance: {len(BY_HAND)} cases by hand; {count} generated (seed {seed}): {rows['']} agreed,"
            f" deliberate differences: {said}; other differences: {len(others)}\n"
        )
    assert not others, "\n".join(others[:10])


def explained(token: str, hosts: StsHosts, theirs: Verdict, ours: Verdict) -> str:
    """The row that says why ours refuses what the reference takes; nothing explains that ours takes what it refuses."""
    if ours.user is not None or theirs.user is None:
        return "other"
    checked = check_token(token, hosts=hosts, now=time.time())
    return ROW_OF.get(checked.reason, "other") if isinstance(checked, Refusal) else "other"


def spoiled(chance: random.Random) -> str:
    """A good URL with one to three small changes. Half of the changes keep what the URL means."""
    key = chance.choice([ADMIN, BOB, AUTO, STRANGER])
    url = GOOD.but(key=key, session_token=chance.choice(["", "a+b/c=="]), age=chance.choice([0, 60, 600])).url()
    for _ in range(chance.randint(1, 3)):
        url = chance.choice(SPOILS)(url, chance)
    return url


def _any_character(url: str, chance: random.Random) -> str:
    place = chance.randrange(len(url))
    return url[:place] + chance.choice('aZ09-_.~%&=;+/:?#@[] \t\\"<é') + url[place + chance.randint(0, 1) :]


def _pairs(url: str, change: Callable[[list[str]], object]) -> str:
    head, _, query = url.partition("?")
    pairs = query.split("&")
    change(pairs)
    return f"{head}?{'&'.join(pairs)}"


def _shuffled(url: str, chance: random.Random) -> str:
    return _pairs(url, chance.shuffle)


def _repeated(url: str, chance: random.Random) -> str:
    return _pairs(url, lambda pairs: pairs.append(chance.choice(pairs)))


def _missing(url: str, chance: random.Random) -> str:
    return _pairs(url, lambda pairs: pairs.pop(chance.randrange(len(pairs))))


def _letter_case(url: str, chance: random.Random) -> str:
    def change(pairs: list[str]) -> None:
        place = chance.randrange(len(pairs))
        name, equals, value = pairs[place].partition("=")
        pairs[place] = chance.choice([name.lower(), name.upper()]) + equals + value

    return _pairs(url, change)


def _escaped(url: str, chance: random.Random) -> str:
    place = chance.randrange(len(url))
    return f"{url[:place]}%{ord(url[place]):02{chance.choice('xX')}}{url[place + 1 :]}"


def _escape_case(url: str, chance: random.Random) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), url, count=chance.randint(1, 4))


def _authority(url: str, chance: random.Random) -> str:
    host = url.split("/")[2]
    other = [
        f"{host}.",
        host.upper(),
        f"user@{host}",
        f"{host}:443",
        f"{host}:",
        f"{host}.example.com",
        "sts.amazonaws.com",
    ]
    return url.replace(host, chance.choice(other), 1)


def _expires(url: str, chance: random.Random) -> str:
    return url.replace("Expires=60", f"Expires={chance.choice(['0', '900', '901', '-1', '060', '+60', '1e2', ''])}")


SPOILS = (_any_character, _shuffled, _repeated, _missing, _letter_case, _escaped, _escape_case, _authority, _expires)
