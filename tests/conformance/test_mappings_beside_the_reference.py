"""Generated mappings, which both servers load, and identities that they are asked about: the same users come out."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest
from both import running
from named_sts import NamedSts
from tokens import Signed

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance")]

ACCOUNTS = ("123456789012", "012345678901", "210987654321")
ROLES = (
    "Admin",
    "admin-2",
    "Dev_Ops",
    "a+b=c,d.e@f",
    "AWSReservedSSO_Ops_0123456789abcdef",
    "AWSReservedSSO_Ops_00000000000000ff",
)
USERS = ("bob", "Eve", "x+y=z,1.2@3-4_5")
SESSIONS = ("alice", "alice@example.com", "i-0123456789abcdef0", "a=b,c.d+e_f-g")
TEMPLATES = ("{{SessionName}}", "{{SessionNameRaw}}", "{{AccountID}}", "{{AccessKeyID}}")


def identities() -> dict[str, tuple[str, str, str]]:
    """Every role with every session, every user, root and a federated user, of every account."""
    found = []
    for account in ACCOUNTS:
        for role in ROLES:
            for session in SESSIONS:
                found.append(
                    (f"arn:aws:sts::{account}:assumed-role/{role}/{session}", f"AROA{role[:4]}:{session}", account)
                )
        found += [(f"arn:aws:iam::{account}:user/{user}", f"AIDA{user[:3]}", account) for user in USERS]
        found.append((f"arn:aws:iam::{account}:root", account, account))
        found.append((f"arn:aws:sts::{account}:federated-user/fred", f"{account}:fred", account))
    return {f"ASIAGENERATED{number:07}": identity for number, identity in enumerate(found)}


def name(chance: random.Random, *, role: bool) -> str:
    """A user name or group: text, and for roles perhaps templates. Rows M6 to M8 say what else would differ."""
    parts = [
        chance.choice(["ops", "team:", "x-", "Ünï"]),
        chance.choice(TEMPLATES) if role else "",
        chance.choice(["", "-z"]),
    ]
    return "".join(parts)


def entry(chance: random.Random, key: str, who: str, *, role: bool) -> str:
    groups = ", ".join(f'"{name(chance, role=role)}"' for _ in range(chance.randrange(3)))
    shown = chance.choice([key, key.upper(), key.replace("arn", "ARN")])
    return f'  - {shown}: "{who}"\n    username: "{name(chance, role=role)}"\n    groups: [{groups}]\n'


def settings(chance: random.Random) -> str:
    """One server section. Each ARN stands once (row M2), and without a role's path (row M3)."""

    def case(arn: str) -> str:
        """Any letter case of the name; the reference wants `arn:aws:iam` in lower case for roles."""
        head, slash, tail = arn.partition("/")
        return head + slash + chance.choice([tail, tail.lower(), tail.upper()])

    roles = [f"arn:aws:iam::{account}:role/{role}" for account in ACCOUNTS for role in ROLES if "SSO" not in role]
    users = [
        f"arn:aws:iam::{account}:{user}" for account in ACCOUNTS for user in (*(f"user/{u}" for u in USERS), "root")
    ]
    text = "  mapRoles:\n" + "".join(
        entry(chance, "rolearn", case(arn), role=True) for arn in chance.sample(roles, chance.randint(1, len(roles)))
    )
    text += "  mapUsers:\n" + "".join(
        entry(chance, "userarn", case(arn), role=False) for arn in chance.sample(users, chance.randint(1, len(users)))
    )
    if chance.random() < 0.5:
        text += f'  mapAccounts: ["{chance.choice(ACCOUNTS)}"]\n'
    if chance.random() < 0.5:
        text += f'  scrubbedAccounts: ["{chance.choice(ACCOUNTS)}"]\n'
    if chance.random() < 0.3:
        text += '  reservedPrefixConfig:\n  - backendMode: MountedFile\n    usernamePrefixReserveList: ["team:"]\n'
    return text


def test_generated_mappings(tmp_path: Path, reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("KUBE_IAM_CONFORMANCE_SEED", "0")) or int(time.time())
    count = int(os.environ.get("KUBE_IAM_CONFORMANCE_CONFIGS", "10"))
    chance = random.Random(seed)
    people = identities()
    sts = NamedSts(tmp_path / "sts", people)
    others: list[str] = []
    let_in = 0
    for number in range(count):
        text = settings(chance)
        with running(tmp_path / str(number), reference, sts, text) as servers:
            for key, identity in people.items():
                token = Signed(key).token()
                theirs, ours = (server.ask(token) for server in servers)
                let_in += ours.user is not None
                if theirs != ours:
                    others.append(f"{identity[0]}\n  reference {theirs}\n  ours {ours}\n{text}")
    sts.stop()
    with capsys.disabled():
        sys.stdout.write(
            f"\nconformance: {count} generated configurations (seed {seed}), {count * len(people)} sign-ins, {let_in} let in;"
            f" other differences: {len(others)}\n"
        )
    assert let_in > 0
    assert not others, "\n".join(others[:3])
