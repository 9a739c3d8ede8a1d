"""Objects of others in the IAM of a fake account, beside those of kube-iam, to compare them before and after."""

from typing import Any

from fake_account import ACCOUNT, FakeAccount

from kube_iam.access.ports import GroupState, PolicyState, RoleState

TEAM = "platform-team"
BILLING = f"arn:aws:iam::{ACCOUNT}:policy/billing/billing"
SHARED = "shared-operator"
PINNED = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "Own",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}},
        }
    ],
}
OPEN = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ],
}


def add_group(account: FakeAccount, *members: str, name: str = TEAM, path: str = "/teams/") -> None:
    """Add a group of others, with a managed and an inline policy and members."""
    directory = account.directory
    directory.policy_states[BILLING] = PolicyState(BILLING, "billing", "/billing/", {"Statement": []}, {"Owner": "cfo"})
    directory.group_states[name] = GroupState(f"arn:aws:iam::{ACCOUNT}:group{path}{name}", name, path, (BILLING,))
    directory.group_members[name] = set(members)
    directory.group_policies[name] = ("read-logs",)


def add_role(account: FakeAccount, name: str = SHARED, path: str = "/ops/", **more: Any) -> None:
    """Add a role of others, with a permission, tags and a boundary."""
    fields: dict[str, Any] = {
        "trust": PINNED,
        "tags": {"Owner": "ops"},
        "max_session_seconds": 7200,
        "description": "Operators",
        "policies": ("arn:aws:iam::aws:policy/ReadOnlyAccess",),
        "boundary": f"arn:aws:iam::{ACCOUNT}:policy/ops-boundary",
    }
    arn = f"arn:aws:iam::{ACCOUNT}:role{path}{name}"
    account.directory.role_states[name] = RoleState(arn, name, path, **{**fields, **more})


def foreign(account: FakeAccount) -> object:
    """Return what others have: without the policies of kube-iam, on groups too."""
    directory = account.directory
    groups = {
        name: (group.arn, group.path, [arn for arn in group.attached if ":policy/kube-iam/" not in arn])
        for name, group in directory.group_states.items()
        if "/kube-iam/" not in group.path
    }
    members = {name: sorted(directory.group_members[name]) for name in groups}
    policies = {arn: policy for arn, policy in directory.policy_states.items() if "/kube-iam/" not in policy.path}
    roles = {name: role for name, role in directory.role_states.items() if "kube-iam.dev/cluster" not in role.tags}
    return groups, members, policies, roles, dict(directory.group_policies)
