"""Our evaluator of trust policies beside another one, @cloud-copilot/iam-simulate, on generated policies and requests.

Both get what IAM would store; what is malformed fails closed here by our own rule (tests/unit/test_iam_policy.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube_iam.sandbox.iam_policy.evaluate import AssumeRequest, evaluate_trust
from required import missing

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("policy-oracle")]

ACCOUNT = "111122223333"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-7"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-admin"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Oracle:
    """The other evaluator, in a process of its own."""

    def __init__(self, directory: Path, node: str) -> None:
        self._process = subprocess.Popen(
            [node, str(Path(__file__).with_name("iam_simulate.mjs"))],
            env={"IAM_SIMULATE": str(directory), "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def allows(self, asked: AssumeRequest, identity: list[Any], trust: Any) -> bool:
        """Whether the call is allowed by the caller's policies and the role's trust policy together."""
        names = {"aws:username": asked.principal.rsplit("/", 1)[1]} if ":user/" in asked.principal else {}
        context = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.context.items()}
        simulation = {
            "request": {
                "principal": asked.principal,
                "action": asked.action,
                "resource": {"resource": asked.role, "accountId": ACCOUNT},
                "contextVariables": {**context, **names, "sts:RoleSessionName": asked.session_name},
            },
            "identityPolicies": [{"name": str(number), "policy": policy} for number, policy in enumerate(identity)],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            "resourcePolicy": trust,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(simulation) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["outcome"] != "error", answer["errors"]
        return bool(answer["outcome"] == "Allowed")

    def stop(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    from kube_iam.sandbox.control_plane import cache_directory

    installed = sorted((cache_directory(os.environ) / "iam-simulate").glob("iam-simulate-*"))
    node = shutil.which("node", path=os.pathsep.join([os.environ["PATH"], str(Path(sys.executable).parent)]))
    if not installed or node is None:
        missing("Node, or @cloud-copilot/iam-simulate", "make oracle")
    made = Oracle(installed[-1], node)
    yield made
    made.stop()


VARIABLES = ("aws:username", "aws:PrincipalTag/team")
NAMES = st.sampled_from(["alice", "bob", "run-7", "al*", "a?ice", "*", "${aws:username}", "${aws:PrincipalTag/team}"])
VALUES = st.one_of(NAMES, st.lists(NAMES, min_size=1, max_size=3))
TEXT_KEYS = st.sampled_from(["sts:RoleSessionName", "aws:username", "aws:PrincipalTag/team", "STS:roleSESSIONname"])
TEXT = st.sampled_from(
    [
        *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
        *("StringLike", "StringNotLike", "StringEqualsIfExists", "StringLikeIfExists"),
    ]
)
CONDITIONS = st.one_of(
    st.just({}),
    st.dictionaries(TEXT, st.dictionaries(TEXT_KEYS, VALUES, min_size=1, max_size=2), min_size=1, max_size=2),
    st.sampled_from(
        [
            {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
            {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
            {"Null": {"aws:PrincipalTag/team": "true"}},
            {"Null": {"aws:username": "false"}},
            {"DateLessThan": {"aws:CurrentTime": "2026-06-01T00:00:00Z"}},
            {"DateGreaterThan": {"aws:CurrentTime": "2026-06-01T00:00:00Z"}},
            {"NumericLessThan": {"aws:MultiFactorAuthAge": "300"}},
            {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}},
            {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
            {"ForAnyValue:StringEquals": {"aws:TagKeys": ["team", "shop"]}},
            {"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "shop"]}},
        ]
    ),
)
ACTIONS = st.sampled_from(
    ["sts:AssumeRole", "sts:*", "*", "STS:assume*", "sts:TagSession", ["sts:TagSession", "sts:A*"]]
)
PRINCIPALS = st.sampled_from(
    [
        "*",
        *(
            {"AWS": name}
            for name in ("*", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ALICE, "arn:aws:iam::999900001111:root")
        ),
        {"AWS": [f"arn:aws:iam::{ACCOUNT}:user/bob", SESSION]},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:role/ci"},
        {"Service": "ec2.amazonaws.com"},
    ]
)
EFFECTS = st.sampled_from(["Allow", "Allow", "Deny"])


def statement(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    built = st.fixed_dictionaries({"Effect": EFFECTS, "Action": ACTIONS, "Condition": CONDITIONS, **parts})
    return built.map(lambda found: {name: part for name, part in found.items() if part != {}})


def document(statements: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    # The other evaluator takes ${…} for a variable in any version; IAM, and ours, in this one only.
    return st.fixed_dictionaries(
        {"Version": st.just("2012-10-17"), "Statement": st.lists(statements, min_size=1, max_size=3)}
    )


REQUESTS = st.builds(
    lambda caller, name, context: AssumeRequest(caller, ACCOUNT, ROLE, name, context),
    st.sampled_from([ALICE, SESSION]),
    st.sampled_from(["alice", "Alice", "bob", "run-7", "al*"]),
    st.fixed_dictionaries(
        {"aws:CurrentTime": st.just("2026-01-02T03:04:05Z"), "aws:SourceIp": st.just("192.0.2.7")},
        optional={
            "aws:PrincipalTag/team": st.sampled_from(["alice", "bob", "*"]),
            "aws:MultiFactorAuthPresent": st.sampled_from(["true", "false"]),
            "aws:MultiFactorAuthAge": st.sampled_from(["20", "300"]),
            "aws:TagKeys": st.lists(st.sampled_from(["team", "shop", "other"]), min_size=1, unique=True).map(tuple),
        },
    ),
)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def agree(ours: bool, theirs: bool, asked: AssumeRequest, policies: Any) -> bool:
    """Return whether the two say the same. Ours may be stricter where IAM documents nothing.

    That is a variable without a value, and a condition key or operator that stands twice, in different letter case.
    """
    written, keys = json.dumps(policies), asked.keys()
    unknown = any(f"${{{name}}}" in written and name.lower() not in keys for name in VARIABLES)
    return ours is theirs or ((unknown or repeats(policies)) and not ours)


def repeats(part: Any) -> bool:
    """Return whether any mapping has a key twice, in different letter case."""
    if isinstance(part, list):
        return any(map(repeats, part))
    return isinstance(part, dict) and (
        len({key.lower() for key in part}) != len(part) or any(map(repeats, part.values()))
    )


@MANY
@given(trust=document(statement(Principal=PRINCIPALS)), asked=REQUESTS)
def test_trust_policies(oracle: Oracle, trust: Any, asked: AssumeRequest) -> None:
    assert agree(evaluate_trust(trust, asked).allowed, oracle.allows(asked, [ANYTHING], trust), asked, trust)
