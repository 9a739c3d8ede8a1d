"""The whole life of a level's IAM parts in the sandbox's account, whose IAM is not moto's."""

from __future__ import annotations

import pytest

from emulated_account import Account
from kube_iam.access.desired import same_document
from kube_iam.access.ports import Caller
from kube_iam.aws.iam import IamDirectory
from kube_iam.errors import Conflict
from kube_iam.sandbox.state import ACCOUNT, ADMINISTRATOR

PATH = "/kube-iam/box/"
TAGS = {"kube-iam.dev/cluster": "box", "kube-iam.dev/level": "viewer"}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ],
}
NAME = "box-viewer"


def document(resource: str) -> object:
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{ACCOUNT}:role/{resource}"}
    return {"Version": "2012-10-17", "Statement": [allow]}


@pytest.fixture
def directory(account: Account) -> IamDirectory:
    administrator = account.user(ADMINISTRATOR)
    return IamDirectory(lambda service: account.client(service, administrator))


@pytest.mark.integration
def test_a_level_is_made_changed_used_and_taken_down(account: Account, directory: IamDirectory) -> None:
    account.user("alice")
    assert directory.caller() == Caller(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/{ADMINISTRATOR}")
    for _ in range(2):
        role_arn = directory.create_role(NAME, "/", TRUST, TAGS, 3600, "Level viewer")
        policy_arn = directory.create_policy(NAME, PATH, document(NAME), TAGS, "Level viewer")
        group_arn = directory.create_group(NAME, PATH)
        directory.attach(NAME, policy_arn)
        directory.add_member(NAME, "alice")
    assert policy_arn == f"arn:aws:iam::{ACCOUNT}:policy{PATH}{NAME}"
    assert group_arn == f"arn:aws:iam::{ACCOUNT}:group{PATH}{NAME}"

    assert [(group.name, group.attached) for group in directory.groups(PATH)] == [(NAME, (policy_arn,))]
    assert [(member.name, member.arn) for member in directory.members(NAME)] == [
        ("alice", f"arn:aws:iam::{ACCOUNT}:user/alice")
    ]
    assert "alice" in {user.name for user in directory.users()}

    assert directory.key_owner(account.user("alice").access_key_id) == "alice"
    assert directory.role_id(NAME).startswith("AROA")
    assert (directory.key_owner("AKIAIOSFODNN7EXAMPLE"), directory.role_id("nobody")) == ("", "")

    directory.update_role(NAME, {**TRUST, "Id": "new"}, 7200, "Changed")
    directory.tag_role(NAME, {"more": "1"})
    role = directory.role(NAME)
    assert role is not None
    assert (role.arn, role.path, role.policies) == (role_arn, "/", ())
    assert same_document(role.trust, {**TRUST, "Id": "new"})
    assert (role.max_session_seconds, role.description, role.tags) == (7200, "Changed", {**TAGS, "more": "1"})

    for number in range(7):
        directory.update_policy(policy_arn, document(f"r{number}"))
    directory.tag_policy(policy_arn, {"more": "1"})
    (policy,) = directory.policies(PATH)
    assert policy == directory.policy(policy_arn)
    assert (policy.document, policy.tags) == (document("r6"), {**TAGS, "more": "1"})
    with pytest.raises(Conflict):
        directory.create_policy(NAME, PATH, document("other"), TAGS, "")

    for _ in range(2):
        directory.remove_member(NAME, "alice")
        directory.detach(NAME, policy_arn)
        directory.delete_group(NAME)
        directory.delete_policy(policy_arn)
        directory.delete_role(NAME)
    assert (directory.groups(PATH), directory.policies(PATH), directory.role(NAME)) == ((), (), None)
    assert directory.group(NAME) is None
    assert directory.policy(policy_arn) is None
