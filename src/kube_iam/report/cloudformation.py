"""The IAM side of the levels as a CloudFormation template: roles, policies and groups as `apply` makes them.

Nothing in it is a `Fn::Sub`, in whose strings `${aws:username}` would have to be `${!aws:username}`. In other strings it is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kube_iam.access.desired import DesiredLevel, DesiredRole
from kube_iam.access.levels import ClusterAccess
from kube_iam.report.distinct_names import distinct

Resource = dict[str, object]


def cloudformation(access: ClusterAccess, levels: Iterable[DesiredLevel]) -> dict[str, object]:
    """Return the template as data for JSON and YAML."""
    levels = tuple(levels)
    resources: dict[str, object] = {}
    for level, name in zip(levels, _names(levels), strict=True):
        group, policy = level.group, level.policy
        if level.role is not None and not level.role.existing:
            resources[f"{name}Role"] = _resource("Role", _role(level.role))
        if not group.existing:
            resources[f"{name}Group"] = _resource("Group", {"GroupName": group.name, "Path": group.path})
        resources[f"{name}Policy"] = _resource(
            "ManagedPolicy",
            {
                "ManagedPolicyName": policy.name,
                "Path": policy.path,
                "Description": policy.description,
                "PolicyDocument": policy.document,
                "Groups": [group.name if group.existing else {"Ref": f"{name}Group"}],
            },
        )
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"IAM of the access levels of the Kubernetes cluster {access.name}",
        "Resources": resources,
    }


def _resource(kind: str, properties: Resource) -> Resource:
    return {"Type": f"AWS::IAM::{kind}", "Properties": properties}


def _role(role: DesiredRole) -> Resource:
    return {
        "RoleName": role.name,
        "Path": role.path,
        "Description": role.description,
        "MaxSessionDuration": role.max_session_seconds,
        **({"PermissionsBoundary": role.boundary} if role.boundary else {}),
        "AssumeRolePolicyDocument": role.trust,
        "Tags": [{"Key": key, "Value": value} for key, value in role.tags.items()],
    }


def _names(levels: Iterable[DesiredLevel]) -> Iterator[str]:
    """Yield the beginning of the logical ids of each level: letters and digits alone."""
    words = (re.split(r"[^A-Za-z0-9]+", level.name) for level in levels)
    return distinct(("".join(word[:1].upper() + word[1:] for word in each) for each in words), "{name}{number}x")
