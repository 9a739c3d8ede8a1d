"""Users, entries of aws-auth, specs of objects and questions about everyone, shared by the tests of the backends in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from cases import CANARY, IAM, MAIL, MASTERS, OPS, OPS_READ, OPS_SHORT, SYSTEM, await_both, user_of
from named_sts import Principal
from principals import ADMIN, AUTO, BOB, EVE, FEDERATED, NODE, PATHED, ROOT, SCRUB, STRANGER, user
from setups import Setup
from side_by_side import Pair, Question
from tally import Case, Tally
from tokens import Signed

# In an account of their own, which no test maps as a whole.
OBJECT_CANARY = user(111, "object-canary", account="555555555555")
FILE_CANARY = user(112, "file-canary", account="555555555555")
EVERYONE = (
    *(ADMIN, AUTO, BOB, EVE, FEDERATED, NODE, PATHED, ROOT, SCRUB, STRANGER),
    *(OPS, OPS_READ, OPS_SHORT, MASTERS, SYSTEM, MAIL),
)
ANY = (MASTERS, SYSTEM, MAIL)
PEOPLE = {who.key: who for who in (*EVERYONE, CANARY, OBJECT_CANARY, FILE_CANARY)}
KUBECONFIG = ("--kubeconfig", "HOME/kubeconfig")
GENERATIONS = count()


def ask_everyone(
    pair: Pair, setup: Setup, tally: Tally, differ: Mapping[str, tuple[Principal, ...]], part: str
) -> None:
    rows = {who.key: number for number, people in differ.items() for who in people}
    for who in EVERYONE:
        token = Signed(who).token()
        case = Case(f"{setup.name}: {who.arn}", part, Question.about(token), setup, token, "", who)
        tally.ask(pair, case, rows.get(who.key, ""))


def shows(pair: Pair, who: Principal, name: str | None) -> None:
    """Wait until both know that user under the name: what was written before has arrived then."""
    await_both(pair, lambda server: user_of(server, who) == name)


def role(name: str, username: str = "r", groups: str = "[]") -> str:
    return f'- {{rolearn: "{IAM}:role/{name}", username: "{username}", groups: {groups}}}\n'


def bob(username: str = "b") -> str:
    return f"- {{userarn: {BOB.arn}, username: {username}}}\n"


def spec(arn: str, username: str = "o", *groups: str) -> dict[str, Any]:
    return {"arn": arn, "username": username, "groups": list(groups)}


def admin(username: str = "o", *groups: str) -> dict[str, Any]:
    return spec(f"{IAM}:role/Admin", username, *groups)


def any_role(username: str = "o", *groups: str) -> dict[str, Any]:
    return spec(f"{IAM}:role/Any", username, *groups)
