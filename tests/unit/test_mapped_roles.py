"""Levels of roles that others manage: a mapping entry and bindings, and nothing in IAM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from access_commands import FILE, denying, kube_iam
from access_commands import account as account
from fake_account import ACCOUNT, FakeAccount

from kube_iam.access.desired import mapped_levels
from kube_iam.access.guards import signed_in_through
from kube_iam.access.levels import ClusterAccess
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import Subject
from kube_iam.config.access import load_access
from kube_iam.errors import ConfigError, NotOwned, UsageError

ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/operator"
LEVEL = f"""\
  - name: operator
    method: mappedRole
    mappedRole: {ROLE}
    username: op
    groups: [ops]
    bind: [{{clusterRole: edit}}]
"""
ENTRY = MappingEntry(f"arn:aws:iam::{ACCOUNT}:role/operator", "op", ("ops",))


@pytest.fixture
def access(account: FakeAccount) -> ClusterAccess:
    Path("access.yaml").write_text(FILE[: FILE.index("  - {name")] + LEVEL)
    return load_access("access.yaml")


def names(account: FakeAccount, access: ClusterAccess, *, adopt: bool = False) -> list[str]:
    changes = plan_apply(access, account.ports, adopt=adopt).changes
    return [f"{change.verb.value} {change.kind.value}" for change in changes]


def test_a_missing_entry_is_created_and_nothing_in_iam(account: FakeAccount, access: ClusterAccess) -> None:
    plan = plan_apply(access, account.ports)
    assert [f"{change.verb.value} {change.kind.value}" for change in plan.changes] == [
        "create binding",
        "create mapping",
    ]
    assert any("everybody who can assume" in warning for warning in plan.warnings)
    assert not {"role", "group", "policy"} & set(account.world.log)
    assert kube_iam(account, "apply", "--yes") == 0
    assert account.store.all_entries == [replace(ENTRY, level="operator")]
    assert names(account, access) == []


@pytest.mark.parametrize("extra", [{}, {"problems": ("has a path",)}])
def test_an_equal_entry_of_others_stays_as_it_is(
    extra: dict[str, tuple[str, ...]], account: FakeAccount, access: ClusterAccess
) -> None:
    account.store.all_entries = [replace(ENTRY, **extra)]  # type: ignore[arg-type]
    assert names(account, access) == ["create binding"]
    assert names(account, access, adopt=True) == ["create binding", "adopt mapping"]


@pytest.mark.parametrize(
    "entries",
    [
        [replace(ENTRY, groups=("system:masters",))],
        [replace(ENTRY, username="other")],
        [replace(ENTRY, iam_group="people")],
        [ENTRY, replace(ENTRY, groups=("more",), where="mapRoles[4]")],
    ],
)
def test_another_entry_of_others_stops_the_plan(
    entries: list[MappingEntry], account: FakeAccount, access: ClusterAccess
) -> None:
    account.store.all_entries = entries
    with pytest.raises(NotOwned, match="is mapped already"):
        plan_apply(access, account.ports)


def test_destroy_deletes_an_entry_of_kube_iam_and_no_other(account: FakeAccount, access: ClusterAccess) -> None:
    account.store.all_entries = [ENTRY]
    assert plan_destroy(access, account.ports).changes == ()
    account.store.all_entries = [replace(ENTRY, level="operator")]
    (change,) = plan_destroy(access, account.ports).changes
    assert change.item == replace(ENTRY, level="operator")


def test_grant_and_revoke_are_refused(account: FakeAccount, access: ClusterAccess) -> None:
    for words in (
        ("grant", "alice", "operator"),
        ("grant", "alice", "operator", "--for", "1h"),
        ("revoke", "alice", "operator"),
    ):
        with pytest.raises(UsageError, match="who may assume it is managed in IAM"):
            kube_iam(account, *words)


def test_who_shows_the_role(account: FakeAccount, access: ClusterAccess, capsys: pytest.CaptureFixture[str]) -> None:
    account.store.all_entries = [ENTRY]
    assert kube_iam(account, "who", kube=denying()) == 0
    assert f"{ROLE}   (managed elsewhere)" in capsys.readouterr().out
    kube_iam(account, "who", "-o", "json", kube=denying())
    assert '"managedIn": "elsewhere"' in capsys.readouterr().out


def test_kubeconfig_assumes_the_role_with_its_path(
    account: FakeAccount, access: ClusterAccess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kube_iam(account, "kubeconfig", "operator") == 0
    assert ROLE in capsys.readouterr().out


def test_the_caller_is_known_by_the_role(access: ClusterAccess) -> None:
    (level,) = access.levels
    assert signed_in_through(access, level, Subject("op", ("ops",), ENTRY.role_arn))
    assert not signed_in_through(access, level, Subject("op", ("ops",), ENTRY.role_arn + "s"))
    assert [each.entry.role_arn for each in mapped_levels(access)] == [ENTRY.role_arn]


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("{name: a, method: mappedRole}", "takes the ARN of the role"),
        (f"{{name: a, mappedRole: '{ROLE}'}}", "goes with method mappedRole"),
        (f"{{name: a, method: mappedRole, mappedRole: '{ROLE}', mfa: true}}", "means nothing with method mappedRole"),
        (
            f"{{name: a, method: mappedRole, mappedRole: '{ROLE}', members: [bob]}}",
            "means nothing with method mappedRole",
        ),
        ("{name: a, method: mappedRole, mappedRole: operator}", "the ARN of a role"),
        (f"{{name: a, method: mappedRole, mappedRole: '{ROLE.replace('team/', '')}'}}", "is also level operator's"),
        ("{name: a, iam: {role: Operator, existing: true}}", "the IAM role operator is also level operator's"),
        ("{name: a, iam: {role: operator}}", "the IAM role operator is also level operator's"),
    ],
)
def test_problems_are_named(level: str, message: str, access: ClusterAccess) -> None:
    with Path("access.yaml").open("a") as file:
        file.write(f"  - {level}\n")
    with pytest.raises(ConfigError, match=message):
        load_access("access.yaml")
