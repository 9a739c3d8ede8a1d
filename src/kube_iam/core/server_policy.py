"""The IAM policy with the least permissions that the server needs for memberships. Pure."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_MANAGED = 6144
"""Limit of AWS for a managed policy, in characters other than white space."""


def server_policy(
    groups: Iterable[str], roles: Iterable[str], *, nodes: bool = False, node_role: str = ""
) -> dict[str, object]:
    """Return the policy that allows to read members of these groups and trust policies of these roles (ARNs), and nothing else.

    With `nodes` it also allows what {{EC2PrivateDNSName}} needs: to call EC2, or to assume `node_role` where that is set.
    """
    statements = [
        _allow("ReadGroupMembers", "iam:GetGroup", sorted(set(groups))),
        _allow("ReadRoleTrustPolicies", "iam:GetRole", sorted(set(roles))),
    ]
    if nodes and node_role:
        statements.append(_allow("AssumeNodeLookupRole", "sts:AssumeRole", [node_role]))
    elif nodes:
        statements.append(_allow("DescribeNodeInstances", "ec2:DescribeInstances", ["*"]))
    return {"Version": "2012-10-17", "Statement": [statement for statement in statements if statement["Resource"]]}


def arn_patterns(kind: str, name: str, partition: str, account: str) -> tuple[str, str]:
    """Return two ARN patterns of a group or role (`kind`) of unknown path: without a path, and with any. No account means any."""
    stem = f"arn:{partition}:iam::{account or '*'}:{kind}"
    return f"{stem}/{name}", f"{stem}/*/{name}"


def literal(text: str) -> str:
    """Return the text in the form in which a policy matches it literally: IAM paths may hold wildcards and `$`.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return "".join(f"${{{character}}}" if character in "*?$" else character for character in text)


def _allow(sid: str, action: str, resources: list[str]) -> dict[str, object]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}
