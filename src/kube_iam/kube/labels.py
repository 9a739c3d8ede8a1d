"""Labels of the objects that kube-iam owns in a cluster."""

from __future__ import annotations

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "kube-iam"
CLUSTER = "kube-iam.dev/cluster"
LEVEL = "kube-iam.dev/level"
ROLE_ARN = "kube-iam.dev/role-arn"
USERNAME = "kube-iam.dev/username"
"""Annotations of a binding that `kube-iam sync` keeps, beside those of the IAM group and of temporary grants."""
