"""One small ClusterAccess, and levels to put into it."""

from __future__ import annotations

from typing import Any

from fake_account import FakeAccount

from kube_iam.access.apply import apply_plan
from kube_iam.access.changes import Plan
from kube_iam.access.levels import Bind, ClusterAccess, Level, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import Ports

NODES = MappingEntry("arn:aws:iam::123456789012:role/nodes", "system:node:{{EC2PrivateDNSName}}", ("system:nodes",))


def level(name: str, *bind: Bind, **more: Any) -> Level:
    """Return a level of cluster `prod` with its defaults. `more` replaces fields."""
    fields: dict[str, Any] = {
        "username": "awsiam:{{SessionNameRaw}}",
        "groups": (f"kube-iam:{name}",),
        "role_name": f"prod-{name}",
        "policy_name": f"prod-{name}",
        "group_name": f"prod-{name}",
        "path": "/kube-iam/prod/",
    }
    return Level(name=name, bind=bind, **{**fields, **more})


ADMIN = level("admin", Bind("cluster-admin"))
EDITOR = level("editor", Bind("edit", "", ("shop", "blog")), Bind("view"))
VIEWER = level("viewer", Bind("view"))


def access(*levels: Level, **more: Any) -> ClusterAccess:
    """Cluster `prod` with these levels (default: admin, editor, viewer)."""
    fields: dict[str, Any] = {
        "source": "access.yaml",
        "cluster_id": "prod.example.com",
        "name": "prod",
        "account": "123456789012",
        "partition": "aws",
        "region": "eu-central-1",
        "endpoint": "https://api.prod.example.com",
        "certificate_authority": "",
        "mapping": MappingTarget(TargetKind.CONFIG_FILE),
    }
    return ClusterAccess(levels=levels or (ADMIN, EDITOR, VIEWER), **{**fields, **more})


def run(account: FakeAccount, plan: Plan, ports: Ports | None = None) -> None:
    """Apply the plan; everything in it must succeed."""
    applied = apply_plan(plan, ports or account.ports, lambda position: None)
    assert applied.error is None, applied
    assert applied.done == plan.changes
