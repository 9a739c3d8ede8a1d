"""RBAC as kube-apiserver evaluates it. tests/integration/test_rbac_on_cluster.py compares with a real one."""

from __future__ import annotations

import pytest

from kube_iam.core.rbac import (
    GROUP,
    MASTERS,
    USER,
    Grant,
    Rbac,
    RbacBinding,
    RbacSubject,
    Request,
    RoleKey,
    Rule,
    is_allowed,
)

PODS = Rule(("get", "list"), ("",), ("pods",))
READER = RoleKey("ClusterRole", "reader")
ALICE, OPS = RbacSubject(USER, "alice"), RbacSubject(GROUP, "ops")


@pytest.mark.parametrize(
    ("rule", "request_", "allowed"),
    [
        (PODS, Request("get", "pods"), True),
        (PODS, Request("get", "pods", "apps"), False),
        (PODS, Request("delete", "pods"), False),
        (PODS, Request("get", "pods", subresource="log"), False),
        (PODS, Request("*", "pods"), False),
        (Rule(("*",), ("*",), ("*",)), Request("get", "pods", "apps", "log"), True),
        (Rule(("*",), ("*",), ("*",)), Request("get", path="/metrics"), False),
        (Rule(("*",), ("",), ("*",)), Request("*", "*"), True),
        (Rule(("*",), ("",), ("*",)), Request("*", "*", "*"), False),
        (Rule(("create",), ("",), ("*/exec",)), Request("create", "pods", subresource="exec"), True),
        (Rule(("create",), ("",), ("*/exec",)), Request("create", "pods"), False),
        (Rule(("get",), ("",), ("secrets",), ("web",)), Request("get", "secrets", name="web"), True),
        (Rule(("get",), ("",), ("secrets",), ("web",)), Request("get", "secrets", name="db"), False),
        (Rule(("list",), ("",), ("secrets",), ("web",)), Request("list", "secrets"), False),
        (Rule(("escalate",), ("",), ("*",)), Request("get", "pods"), False),
        (Rule(("get",), paths=("/healthz/*",)), Request("get", path="/healthz/etcd"), True),
        (Rule(("get",), paths=("/healthz/*",)), Request("get", path="/healthz"), False),
        (Rule(("get",), paths=("*",)), Request("get", path="/x"), True),
        (Rule(("get",), paths=("/logs/**",)), Request("get", path="/logs/x"), True),
    ],
)
def test_rules_match_literally_and_by_wildcards(rule: Rule, request_: Request, allowed: bool) -> None:
    assert rule.allows(request_) is allowed


def test_role_bindings_count_in_their_namespace_alone() -> None:
    binding = RbacBinding("b", READER, (ALICE,), "shop")
    rbac = Rbac({READER: (PODS, Rule(("get",), paths=("/x",)))}, (binding,))
    masters = Grant(RbacSubject(GROUP, MASTERS))
    assert rbac.grants(Request("get", "pods", namespace="shop")) == (masters, Grant(ALICE, binding))
    for other in (Request("get", "pods", namespace="x"), Request("get", "pods"), Request("get", path="/x")):
        assert rbac.grants(other) == (masters,)


def test_bindings_to_roles_that_do_not_exist_allow_nothing() -> None:
    rbac = Rbac({}, (RbacBinding("b", READER, (ALICE,)),))
    assert not is_allowed(rbac.grants(Request("get", "pods")), "alice", ())


def test_subjects_are_users_groups_and_service_accounts() -> None:
    robot = RbacSubject("ServiceAccount", "robot", "shop")
    grants = [Grant(ALICE), Grant(OPS), Grant(robot)]
    assert is_allowed(grants, "alice", ())
    assert is_allowed(grants, "x", ("ops",))
    assert is_allowed(grants, "system:serviceaccount:shop:robot", ())
    assert not is_allowed(grants, "ops", ("alice", "robot"))
    assert not is_allowed([Grant(RbacSubject("ServiceAccount", "robot"))], "system:serviceaccount::robot", ())
