"""Membership at the cache, by the account's real evaluation: who was taken out of the group is refused though the session lives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from membership_site import ACCOUNT, MembershipSite, entry, running, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("membership-cache")]

LEVELS = ("cache-admin", "cache-viewer")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MembershipSite]:
    with running(tmp_path_factory.mktemp("cache"), LEVELS, "  mapRoles:\n" + entry("cache-admin")) as made:
        yield made


def test_member_is_admitted_and_user_and_level_are_in_the_audit_log(site: MembershipSite) -> None:
    session = site.join("alice", "cache-admin")
    wait_until(lambda: site.is_admitted(session), "the new member is admitted")
    user = site.sign_in(session)["user"]
    assert user["username"] == "awsiam:alice"
    assert user["groups"] == ["kube-iam:cache-admin"]
    assert user["extra"]["kube-iam.dev/level"] == ["cache-admin"]
    assert user["extra"]["arn"] == ["arn:aws:sts::111122223333:assumed-role/cache-admin/alice"]


def test_removed_member_is_refused_although_the_session_is_valid(site: MembershipSite) -> None:
    session = site.join("rita", "cache-admin")
    wait_until(lambda: site.is_admitted(session), "the new member is admitted")
    site.leave("rita", "cache-admin")
    wait_until(lambda: not site.is_admitted(session), "the former member is refused", 10)
    said = site.sign_in(session)["error"]
    assert said.startswith(
        "the mapping is for members of an IAM group, and this is not one now: rita is not in cache-admin (request "
    )
    assert site.account.client("sts", session).get_caller_identity()["Arn"].endswith("/rita")
    assert "left=[rita]" in site.log or 'left="[rita]"' in site.log


def test_trust_policy_with_free_session_names_refuses_until_the_role_is_recreated(
    site: MembershipSite,
) -> None:
    session = site.join("tess", "cache-admin")
    wait_until(lambda: site.is_admitted(session), "the new member is admitted")
    iam = site.account.administrator
    before = iam.get_role(RoleName="cache-admin")["Role"]["AssumeRolePolicyDocument"]
    loose = {"Effect": "Allow", "Principal": {"AWS": f"{ACCOUNT}:root"}, "Action": "sts:AssumeRole", "Sid": "Loose"}
    changed = {**before, "Statement": [*before["Statement"], loose]}
    iam.update_assume_role_policy(RoleName="cache-admin", PolicyDocument=json.dumps(changed))
    wait_until(lambda: not site.is_admitted(session), "no session is admitted any more", 10)
    said = site.sign_in(session)["error"]
    assert 'statement "Loose" of the trust policy does not hold the session name to the caller' in said
    forged = site.account.assume("tess", f"{ACCOUNT}:role/cache-admin", "alice")
    assert not site.is_admitted(forged)
    iam.update_assume_role_policy(RoleName="cache-admin", PolicyDocument=json.dumps(before))
    # The session that was begun under a chosen name lives on, so the entry stays closed, for the member too.
    wait_until(lambda: "until lately" in site.sign_in(session)["error"], "the repaired trust policy is seen", 10)
    assert "; to end that at once delete the role and run kube-iam apply" in site.sign_in(session)["error"]
    assert site.account.client("sts", forged).get_caller_identity()["Arn"].endswith("/alice")
    assert not site.is_admitted(forged)
    iam.delete_role(RoleName="cache-admin")
    iam.create_role(RoleName="cache-admin", AssumeRolePolicyDocument=json.dumps(before), MaxSessionDuration=3600)
    anew = site.account.assume("tess", f"{ACCOUNT}:role/cache-admin", "tess")
    assert site.is_admitted(anew)  # the first time: the role is read again before its session is refused
    for former in (forged, session):
        assert "kube-iam logout LEVEL" in site.sign_in(former)["error"]
    assert site.is_admitted(anew)


def test_the_server_may_read_what_its_policy_names_and_nothing_else(site: MembershipSite) -> None:
    assert site.iam.real({"Action": "GetGroup", "Version": "2010-05-08", "GroupName": "cache-admin"})[0] == 200
    site.account.make_level("cache-other")
    for parameters in (
        {"Action": "GetGroup", "GroupName": "cache-other"},
        {"Action": "GetRole", "RoleName": "cache-other"},
        {"Action": "ListUsers"},
        {"Action": "AddUserToGroup", "GroupName": "cache-admin", "UserName": "authenticator"},
    ):
        assert site.iam.real({"Version": "2010-05-08", **parameters})[0] == 403, parameters
