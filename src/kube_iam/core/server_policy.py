"""The least IAM policy with which the server can follow memberships. Pure."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_MANAGED = 6144
"""How many characters AWS takes in a managed policy, white space not counted."""


def server_policy(
    groups: Iterable[str], roles: Iterable[str], *, nodes: bool = False, node_role: str = ""
) -> dict[str, object]:
    """The document that allows to read these groups' members and these roles' trust policies (ARNs), and nothing else.

    `nodes`: the mappings hold {{EC2PrivateDNSName}}, for which EC2 is asked, as `node_role` where that is set.
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
    """The ARNs of a group or role (`kind`) whose path is not known: without one, and below any. An empty account is any."""
    stem = f"arn:{partition}:iam::{account or '*'}:{kind}"
    return f"{stem}/{name}", f"{stem}/*/{name}"


def literal(text: str) -> str:
    """Return the text as a policy names exactly it: IAM paths may hold the characters of wildcards and variables.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
    """
    return "".join(f"${{{character}}}" if character in "*?$" else character for character in text)


def _allow(sid: str, action: str, resources: list[str]) -> dict[str, object]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}
