"""Generated configurations, which both servers load, and many identities that they are asked about."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import CANARY, CANARY_ENTRY, await_canary
from generation import CONFIGS, NOTE, SEED, generated
from hypothesis import given, seed
from hypothesis import strategies as st
from named_sts import NamedSts, Principal
from principals import session, user
from setups import SSO_FEATURE_GATE, Setup
from side_by_side import Question, running
from tally import Case, Tally
from tokens import Signed

pytestmark = pytest.mark.reference

ACCOUNTS = ("123456789012", "012345678901", "210987654321")
HEX = "0123456789abcdef"
ROLES = (
    "Admin",
    "Dev_Ops",
    "a+b=c,d.e@f",
    f"AWSReservedSSO_Ops_{HEX}",
    f"AWSReservedSSO_Ops_RO_{HEX}",
    "AWSReservedSSO_Ops_12",
)
USERS = ("bob", "Eve", "x+y=z,1.2@3-4_5", "team/Tom")
SESSIONS = ("alice@example.com", "i-0123456789abcdef0", "system", "a=b,c.d+e_f-g")


def everyone() -> list[Principal]:
    """Roles with sessions, users, root and a federated user, of every account."""
    found: list[Principal] = []
    for account in ACCOUNTS:
        for number, role in enumerate(ROLES):
            for name in (SESSIONS[number % 4], SESSIONS[(number + 1) % 4]):
                found.append(session(1000 + len(found), role, name, account=account))
        found += [user(2000 + len(found) + at, name, account=account) for at, name in enumerate(USERS)]
        key = 3000 + len(found)
        found.append(Principal(f"AKIACONFORMANCE{key:05}", f"arn:aws:iam::{account}:root", account, account))
        federated = f"arn:aws:sts::{account}:federated-user/fred"
        found.append(Principal(f"ASIACONFORMANCE{key:05}", federated, f"{account}:fred", account))
    return found


EVERYONE = everyone()
ARNS = sorted({who.canonical for who in EVERYONE})

words = st.sampled_from(["ops", "team:", "x-", "Ünï", "system:", "system:node:", "arn:", "a b", "", "7", "{", "}}"])
templates = st.sampled_from(
    [
        *("{{SessionName}}", "{{SessionNameRaw}}", "{{AccountID}}", "{{AccessKeyID}}") * 4,
        "{{Nope}}",
        "{{ SessionName }}",
        "{{",
    ]
)
names = st.one_of(
    st.sampled_from(["admin", "dev", "view"]),
    st.builds(lambda a, b, c: a + b + c, words, templates, words),
    st.lists(st.one_of(words, templates), min_size=1, max_size=3).map("".join),
)


@st.composite
def arns(draw: st.DrawFn) -> str:
    """Mostly somebody's, in some spelling; sometimes with a path, or nobody's."""
    arn = draw(st.sampled_from(ARNS))
    kind, _, name = arn.partition("/")
    if not name:
        return arn
    if kind.endswith(":role") and draw(st.integers(0, 5)) == 0:
        name = f"some/path/{name}"
    return f"{kind}/{draw(st.sampled_from([name, name.title(), name.upper()]))}"


@st.composite
def entries(draw: st.DrawFn, key: str) -> dict[str, Any]:
    shown = draw(st.sampled_from([key, key.upper(), key.replace("arn", "ARN")]))
    found: dict[str, Any] = {shown: draw(arns()), "username": draw(names)}
    if draw(st.integers(0, 3)):
        found["groups"] = draw(st.lists(names, max_size=3))
    return found


@st.composite
def permission_sets(draw: st.DrawFn) -> dict[str, Any]:
    sso = {
        "permissionSetName": draw(st.sampled_from(["Ops", "ops", "Ops_RO", "O"])),
        "accountID": draw(st.sampled_from(ACCOUNTS)),
    }
    if draw(st.integers(0, 4)) == 0:
        sso["partition"] = draw(st.sampled_from(["aws", "aws-cn"]))
    return {"sso": sso, "username": draw(names), "groups": draw(st.lists(names, max_size=2))}


accounts = st.lists(st.sampled_from(ACCOUNTS), max_size=1)
reserved = st.lists(
    st.builds(
        lambda backend, prefixes: {"backendMode": backend, "usernamePrefixReserveList": prefixes},
        st.sampled_from(["MountedFile", "DynamicFile", "CRD"]),
        st.lists(st.sampled_from(["team:", "ops", "arn:", "system:", ""]), max_size=2),
    ),
    max_size=2,
)


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    """Generate a server section. Its values are JSON, which is YAML."""
    server: dict[str, Any] = {
        "mapRoles": [
            *draw(st.lists(entries("rolearn"), min_size=4, max_size=16)),
            *draw(st.lists(permission_sets(), max_size=2)),
        ],
        "mapUsers": draw(st.lists(entries("userarn"), min_size=2, max_size=10)),
        "mapAccounts": draw(accounts),
        "scrubbedAccounts": draw(accounts),
        "reservedPrefixConfig": draw(reserved),
    }
    files = {}
    if draw(st.booleans()):
        server["backendMode"] = draw(st.permutations(["MountedFile", "DynamicFile"]))
        server["dynamicfilepath"] = "HOME/dynamic.json"
        dynamic = {
            "mapRoles": draw(st.lists(entries("rolearn"), min_size=2, max_size=8)),
            "mapUsers": [*draw(st.lists(entries("userarn"), max_size=4)), CANARY_ENTRY],
            "mapAccounts": draw(accounts),
        }
        files["dynamic.json"] = json.dumps(dynamic)
    text = "".join(f"  {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in server.items())
    return Setup("generated", text, draw(st.sampled_from([SSO_FEATURE_GATE, ()])), files)


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), {who.key: who for who in (*EVERYONE, CANARY)})
    yield running_sts
    running_sts.stop()


@seed(SEED)
@generated(CONFIGS, shrink=False)
@given(setups())
def test_generated_mappings(sts: NamedSts, reference: Path, tally: Tally, setup: Setup) -> None:
    if NOTE not in tally.notes:
        tally.notes.append(NOTE)
    with tempfile.TemporaryDirectory() as directory, running(Path(directory) / "x", reference, sts, setup) as pair:
        if setup.files:
            await_canary(pair)
        for who in EVERYONE:
            token = Signed(who).token()
            name = f"{who.arn} with {setup.text} {setup.files}"
            tally.ask(pair, Case(name, "generated mappings", Question.about(token), setup, token, "", who))
