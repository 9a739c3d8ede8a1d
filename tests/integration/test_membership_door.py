"""Membership at the door, by the account's real evaluation: who was taken out of the group is refused though the session lives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from account_in_a_box import Account
from door_site import DoorSite, entry, wait_until

from kube_iam.core.credentials import Credentials
from kube_iam.core.server_policy import server_policy

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("membership-door")]

ACCOUNT = "arn:aws:iam::111122223333"
LEVELS = ("door-admin", "door-viewer")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorSite]:
    from kube_iam.sandbox.certificates import Authority
    from kube_iam.sandbox.state import Home
    from kube_iam.sandbox.up import down, start_account

    home = Home(tmp_path_factory.mktemp("door") / "sandbox")
    home.create()
    try:
        made = DoorSite(Account(home, start_account(home, Authority(home.tls), lambda _: None)), home.root)
        for level in LEVELS:
            made.account.make_level(level)
        made.allow(
            server_policy([f"{ACCOUNT}:group/{name}" for name in LEVELS], [f"{ACCOUNT}:role/{name}" for name in LEVELS])
        )
        made.configure("  mapRoles:\n" + entry("door-admin"))
        made.start()
        yield made
        made.iam.stop()
    finally:
        down(home)


def join(site: DoorSite, user: str, level: str = "door-admin") -> Credentials:
    """The user in the group of the level; a live session in its role."""
    site.account.user(user)
    site.account.administrator.add_user_to_group(GroupName=level, UserName=user)
    return site.account.assume(user, f"{ACCOUNT}:role/{level}", user)


def leave(site: DoorSite, user: str, level: str = "door-admin") -> None:
    site.account.administrator.remove_user_from_group(GroupName=level, UserName=user)


def test_a_member_enters_and_the_audit_log_will_name_person_and_level(site: DoorSite) -> None:
    session = join(site, "alice")
    wait_until(lambda: site.enters(session), "the new member enters")
    user = site.sign_in(session)["user"]
    assert user["username"] == "iam:alice"
    assert user["groups"] == ["kube-iam:door-admin"]
    assert user["extra"]["kube-iam.dev/level"] == ["door-admin"]
    assert user["extra"]["arn"] == ["arn:aws:sts::111122223333:assumed-role/door-admin/alice"]


def test_who_is_taken_out_of_the_group_is_refused_though_the_session_lives(site: DoorSite) -> None:
    session = join(site, "rita")
    wait_until(lambda: site.enters(session), "the new member enters")
    leave(site, "rita")
    wait_until(lambda: not site.enters(session), "the former member is refused", 10)
    said = site.sign_in(session)["error"]
    assert said == "the mapping is for members of an IAM group, and this is not one now: rita is not in door-admin"
    assert site.account.client("sts", session).get_caller_identity()["Arn"].endswith("/rita")
    assert "left=[rita]" in site.log or 'left="[rita]"' in site.log


def test_the_trust_policy_that_lets_names_be_chosen_closes_the_door_to_everybody(site: DoorSite) -> None:
    session = join(site, "tess")
    wait_until(lambda: site.enters(session), "the new member enters")
    iam = site.account.administrator
    before = iam.get_role(RoleName="door-admin")["Role"]["AssumeRolePolicyDocument"]
    loose = {"Effect": "Allow", "Principal": {"AWS": f"{ACCOUNT}:root"}, "Action": "sts:AssumeRole", "Sid": "Loose"}
    changed = {**before, "Statement": [*before["Statement"], loose]}
    iam.update_assume_role_policy(RoleName="door-admin", PolicyDocument=json.dumps(changed))
    wait_until(lambda: not site.enters(session), "nobody enters any more", 10)
    said = site.sign_in(session)["error"]
    assert 'statement "Loose" of the trust policy does not hold the session name to the caller' in said
    forged = site.account.assume("tess", f"{ACCOUNT}:role/door-admin", "alice")
    assert not site.enters(forged)
    iam.update_assume_role_policy(RoleName="door-admin", PolicyDocument=json.dumps(before))
    wait_until(lambda: site.enters(session), "the member enters again", 10)


def test_the_server_may_read_what_its_policy_names_and_nothing_else(site: DoorSite) -> None:
    assert site.iam.real({"Action": "GetGroup", "Version": "2010-05-08", "GroupName": "door-admin"})[0] == 200
    site.account.make_level("door-other")
    for parameters in (
        {"Action": "GetGroup", "GroupName": "door-other"},
        {"Action": "GetRole", "RoleName": "door-other"},
        {"Action": "ListUsers"},
        {"Action": "AddUserToGroup", "GroupName": "door-admin", "UserName": "authenticator"},
    ):
        assert site.iam.real({"Version": "2010-05-08", **parameters})[0] == 403, parameters
