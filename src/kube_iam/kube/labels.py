"""Labels of the objects that kube-iam owns in a cluster."""

from __future__ import annotations

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "kube-iam"
CLUSTER = "kube-iam.dev/cluster"
LEVEL = "kube-iam.dev/level"
