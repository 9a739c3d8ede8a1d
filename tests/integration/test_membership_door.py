"""Membership at the door, by the account's real evaluation: who was taken out of the group is refused though the session lives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from door_site import ACCOUNT, DoorSite, entry, running, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("membership-door")]

LEVELS = ("door-admin", "door-viewer")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorSite]:
    with running(tmp_path_factory.mktemp("door"), LEVELS, "  mapRoles:\n" + entry("door-admin")) as made:
        yield made


def test_a_member_enters_and_the_audit_log_will_name_person_and_level(site: DoorSite) -> None:
    session = site.join("alice", "door-admin")
    wait_until(lambda: site.enters(session), "the new member enters")
    user = site.sign_in(session)["user"]
    assert user["username"] == "iam:alice"
    assert user["groups"] == ["kube-iam:door-admin"]
    assert user["extra"]["kube-iam.dev/level"] == ["door-admin"]
    assert user["extra"]["arn"] == ["arn:aws:sts::111122223333:assumed-role/door-admin/alice"]


def test_who_is_taken_out_of_the_group_is_refused_though_the_session_lives(site: DoorSite) -> None:
    session = site.join("rita", "door-admin")
    wait_until(lambda: site.enters(session), "the new member enters")
    site.leave("rita", "door-admin")
    wait_until(lambda: not site.enters(session), "the former member is refused", 10)
    said = site.sign_in(session)["error"]
    assert said == "the mapping is for members of an IAM group, and this is not one now: rita is not in door-admin"
    assert site.account.client("sts", session).get_caller_identity()["Arn"].endswith("/rita")
    assert "left=[rita]" in site.log or 'left="[rita]"' in site.log


def test_the_trust_policy_that_lets_names_be_chosen_closes_the_door_until_the_role_is_made_anew(site: DoorSite) -> None:
    session = site.join("tess", "door-admin")
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
    # The session that was begun under a chosen name lives on, so the entry stays closed, for the member too.
    wait_until(lambda: "until lately" in site.sign_in(session)["error"], "the repaired trust policy is seen", 10)
    assert "; to end that at once delete the role and run kube-iam apply" in site.sign_in(session)["error"]
    assert site.account.client("sts", forged).get_caller_identity()["Arn"].endswith("/alice")
    assert not site.enters(forged)
    iam.delete_role(RoleName="door-admin")
    iam.create_role(RoleName="door-admin", AssumeRolePolicyDocument=json.dumps(before), MaxSessionDuration=3600)
    anew = site.account.assume("tess", f"{ACCOUNT}:role/door-admin", "tess")
    assert site.enters(anew)  # the first time: the role is read again before its session is refused
    for former in (forged, session):
        assert "kube-iam logout LEVEL" in site.sign_in(former)["error"]
    assert site.enters(anew)


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
