"""Principals, mapping entries and waits that several test modules with cases written by hand share."""

from __future__ import annotations

import re
from collections.abc import Callable

from named_sts import Principal
from principals import (
    ACCOUNT,
    OTHER,
    session,
    user,
)
from side_by_side import Pair, Question, Server
from tokens import Signed

from kube_iam.sandbox.processes import wait_until

IAM = f"arn:aws:iam::{ACCOUNT}"
HEX = "0123456789abcdef"
OPS = session(101, f"AWSReservedSSO_Ops_{HEX}", "olga")
OPS_READ = session(102, f"AWSReservedSSO_Ops_ReadOnly_{HEX}", "ron")
OPS_SHORT = session(103, "AWSReservedSSO_Ops_1234", "sid")
OPS_OTHER = session(104, f"AWSReservedSSO_Ops_{HEX}", "otto", account=OTHER)
OPS_CHINA = session(105, f"AWSReservedSSO_Ops_{HEX}", "chen", partition="aws-cn")
OPS_PLUS = session(106, f"AWSReservedSSO_a+b=c,d.e@f_{HEX}", "pia")
MASTERS = session(107, "Any", "masters")
SYSTEM = session(108, "Any", "system")
MAIL = session(109, "Any", "a@b@c")
CANARY = user(110, "canary")


def role(name: str, username: str = "r", groups: str = "[]") -> str:
    return f'  - {{rolearn: "{IAM}:role/{name}", username: "{username}", groups: {groups}}}\n'


def entry(arn: str, username: str = "d", **more: object) -> dict[str, object]:
    key = "userarn" if ":user/" in arn else "rolearn"
    return {key: arn, "username": username, **more}


OPS_SET = f'permissionSetName: Ops, accountID: "{ACCOUNT}"'
EMPTY_GROUP = '[b, c, ""]'
BOTH = "  backendMode: [MountedFile, DynamicFile]\n  dynamicfilepath: HOME/dynamic.json\n"
CANARY_ENTRY = entry(CANARY.arn, "canary", userid="AIDAcanary")


def await_canary(pair: Pair) -> None:
    """Wait for a dynamic file, which the reference reads after its start, or up to a second after that."""
    question = Question.about(Signed(CANARY).token())
    for server in (pair.reference, pair.ours):
        assert server is not None
        assert wait_until(lambda server=server: server.ask(question).user is not None, 10), server.log()  # type: ignore[misc]


def both_of(pair: Pair) -> tuple[Server, Server]:
    assert pair.reference is not None
    assert pair.ours is not None
    return pair.reference, pair.ours


def user_of(server: Server, who: Principal) -> str | None:
    user = server.ask(Question.about(Signed(who).token())).user
    return user["username"] if user is not None else None


def await_both(pair: Pair, holds: Callable[[Server], bool]) -> None:
    """Both take a change up by themselves, the reference within some seconds."""
    for server in both_of(pair):
        assert wait_until(lambda server=server: holds(server), 15), (server.name, server.log())  # type: ignore[misc]


def rewrite(pair: Pair, name: str, text: str) -> None:
    """In place, as the reference needs it: it takes the first half of a file that is put in another's place for its end."""
    for server in both_of(pair):
        (server.home / name).write_text(text)


class Family:
    """One metric of Prometheus' text format."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.labels: set[str] = set()
        self.samples: dict[str, float] = {}


def families(text: str) -> dict[str, Family]:
    found = {name: Family(kind) for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)}
    for name, labels, value in re.findall(r"^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE):
        family = found[name if name in found else re.sub("_(bucket|sum|count)$", "", name)]
        pairs = sorted(re.findall(r'(\w+)="([^"]*)"', labels))
        family.labels |= {label for label, _ in pairs}
        family.samples[f"{name}{pairs}"] = float(value)
    return found
