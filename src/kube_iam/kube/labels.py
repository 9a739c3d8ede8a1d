"""How kube-iam marks what it owns in a cluster."""

from __future__ import annotations

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "kube-iam"
CLUSTER = "kube-iam.dev/cluster"
LEVEL = "kube-iam.dev/level"
