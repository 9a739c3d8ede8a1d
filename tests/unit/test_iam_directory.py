"""The IAM directory against moto, which really pages: what a plan reads, and what repeating a write does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from kube_iam.access.desired import same_document
from kube_iam.access.ports import Holder, RoleState
from kube_iam.aws.iam import IamDirectory
from kube_iam.aws.iam_calls import PERMISSIONS
from kube_iam.aws.iam_wait import IamWaiter
from kube_iam.errors import AwsError, Conflict, NotFound

ACCOUNT = "123456789012"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ],
}
TAGS = {"kube-iam.dev/cluster": "shop", "kube-iam.dev/level": "viewer"}
PATH = "/kube-iam/shop/"


def document(role: str = "shop-viewer") -> dict[str, Any]:
    resource = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": resource}],
    }


def make(service: str) -> Any:
    from botocore.session import Session

    return Session().create_client(
        service, region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret"
    )


def no_time() -> IamWaiter:
    """Return a waiter that fails a test which waits, since moto shows everything at once."""

    def sleep(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s")

    return IamWaiter(sleep=sleep)


@pytest.fixture
def iam() -> Iterator[Any]:
    with mock_aws():
        yield make("iam")


@pytest.fixture
def directory(iam: Any) -> IamDirectory:
    return IamDirectory(make, waiter=no_time(), page_size=7)


@pytest.mark.slow
def test_every_one_of_1000_users_is_listed_over_143_pages(iam: Any, directory: IamDirectory) -> None:
    for number in range(1000):
        iam.create_user(UserName=f"user{number:04}")
    assert {user.name for user in directory.users()} == {f"user{number:04}" for number in range(1000)}


def stubbed(operation: str, pages: list[dict[str, Any]], arguments: dict[str, Any]) -> IamDirectory:
    """Return a directory whose IAM answers with these pages, each only when asked with the marker of the one before."""
    client = make("iam")
    stubber = Stubber(client)
    for number, page in enumerate(pages):
        marker = {"Marker": f"m{number}"} if number else {}
        more = {"IsTruncated": True, "Marker": f"m{number + 1}"} if number + 1 < len(pages) else {"IsTruncated": False}
        stubber.add_response(operation, {**page, **more}, {**arguments, **marker, "MaxItems": 100})
    stubber.activate()
    return IamDirectory(lambda _: client, waiter=no_time(), page_size=100)


def shown_user(name: str) -> dict[str, Any]:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    return {"Path": "/", "UserName": name, "UserId": f"AIDAEXAMPLE{name}", "Arn": arn, "CreateDate": "2026-01-01"}


def shown_group(name: str, path: str = PATH) -> dict[str, Any]:
    arn = f"arn:aws:iam::{ACCOUNT}:group{path}{name}"
    return {"Path": path, "GroupName": name, "GroupId": "AGPAEXAMPLEEXAMPLE", "Arn": arn, "CreateDate": "2026-01-01"}


def test_members_of_a_group_of_1000_are_all_there() -> None:
    names = [f"user{number:04}" for number in range(1000)]
    pages = [
        {"Group": shown_group("viewers"), "Users": [shown_user(name) for name in names[start : start + 100]]}
        for start in range(0, 1000, 100)
    ]
    members = stubbed("get_group", pages, {"GroupName": "viewers"}).members("viewers")
    assert [member.name for member in members] == names
    assert members[7].unique_id == "AIDAEXAMPLEuser0007"


def test_350_groups_on_4_pages_are_searched_to_the_last() -> None:
    groups = [shown_group(f"g{number}", "/other/") for number in range(350)]
    pages = [{"Groups": groups[start : start + 100]} for start in range(0, 350, 100)]
    assert stubbed("list_groups", pages, {"PathPrefix": PATH}).groups(PATH) == ()


@pytest.mark.slow
def test_350_groups_are_all_listed_and_only_those_below_the_path(iam: Any, directory: IamDirectory) -> None:
    for number in range(350):
        iam.create_group(GroupName=f"g{number}", Path=PATH)
    iam.create_group(GroupName="foreign", Path="/other/")
    assert {group.name for group in directory.groups(PATH)} == {f"g{number}" for number in range(350)}


def test_a_group_is_moved_without_touching_its_members() -> None:
    client = make("iam")
    stubber = Stubber(client)
    stubber.add_response("update_group", {}, {"GroupName": "g", "NewPath": PATH})
    found = {"Group": shown_group("g"), "Users": [], "IsTruncated": False}
    stubber.add_response("get_group", found, {"GroupName": "g", "MaxItems": 1})
    stubber.activate()
    IamDirectory(lambda _: client, waiter=no_time()).move_group("g", PATH)
    stubber.assert_no_pending_responses()


def test_policies_below_the_path_come_with_document_and_tags(iam: Any, directory: IamDirectory) -> None:
    for number in range(20):
        directory.create_policy(f"p{number}", PATH, document(f"r{number}"), TAGS, "a level")
    iam.create_policy(PolicyName="foreign", Path="/other/", PolicyDocument=json.dumps(document()))
    found = directory.policies(PATH)
    assert len(found) == 20
    assert {policy.name: policy.document for policy in found} == {f"p{n}": document(f"r{n}") for n in range(20)}
    assert all(policy.tags == TAGS and policy.path == PATH for policy in found)


def test_what_does_not_exist_is_none(directory: IamDirectory) -> None:
    assert directory.policy(f"arn:aws:iam::{ACCOUNT}:policy/none") is None
    assert directory.role("none") is None
    assert directory.group("none") is None
    assert directory.user("none") is None
    with pytest.raises(NotFound):
        directory.members("none")


def test_creating_twice_with_the_same_content_gives_the_same_arn(directory: IamDirectory) -> None:
    for _ in range(2):
        policy = directory.create_policy("shop-viewer", PATH, document(), TAGS, "level viewer")
        role = directory.create_role("shop-viewer", "/", TRUST, TAGS, 7200, "level viewer")
        group = directory.create_group("shop-viewer", PATH)
    assert policy == f"arn:aws:iam::{ACCOUNT}:policy{PATH}shop-viewer"
    assert role == f"arn:aws:iam::{ACCOUNT}:role/shop-viewer"
    assert group == f"arn:aws:iam::{ACCOUNT}:group{PATH}shop-viewer"


def test_an_existing_policy_that_differs_is_a_conflict(directory: IamDirectory) -> None:
    directory.create_policy("taken", PATH, document(), TAGS, "")
    for path, content, tags in (
        (PATH, document("another"), TAGS),
        (PATH, document(), {**TAGS, "kube-iam.dev/cluster": "other"}),
    ):
        with pytest.raises(Conflict, match="taken exists already"):
            directory.create_policy("taken", path, content, tags, "")


def test_an_existing_role_or_group_that_differs_is_a_conflict(iam: Any, directory: IamDirectory) -> None:
    iam.create_role(RoleName="taken", AssumeRolePolicyDocument=json.dumps(TRUST))
    with pytest.raises(Conflict, match="without the tags"):
        directory.create_role("taken", "/", TRUST, TAGS, 3600, "")
    with pytest.raises(Conflict, match="another path"):
        directory.create_role("taken", "/path/", TRUST, {}, 3600, "")
    with pytest.raises(Conflict, match="another trust policy"):
        directory.create_role("taken", "/", {**TRUST, "Statement": []}, {}, 3600, "")
    with pytest.raises(Conflict, match="session length"):
        directory.create_role("taken", "/", TRUST, {}, 7200, "")
    iam.create_group(GroupName="taken", Path="/other/")
    with pytest.raises(Conflict, match="another path"):
        directory.create_group("taken", PATH)


def test_a_sixth_version_pushes_out_the_oldest_that_is_not_default(iam: Any, directory: IamDirectory) -> None:
    arn = directory.create_policy("p", PATH, document("r0"), {}, "")
    for number in range(1, 8):
        directory.update_policy(arn, document(f"r{number}"))
    versions = [version["VersionId"] for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]]
    assert sorted(versions) == ["v4", "v5", "v6", "v7", "v8"]
    state = directory.policy(arn)
    assert state is not None
    assert state.document == document("r7")


def test_updating_to_the_same_document_makes_no_new_version(iam: Any, directory: IamDirectory) -> None:
    arn = directory.create_policy("p", PATH, document(), {}, "")
    directory.update_policy(arn, document())
    assert len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) == 1


def test_deletes_succeed_when_there_is_nothing_left(directory: IamDirectory) -> None:
    arn = directory.create_policy("p", PATH, document("r0"), {}, "")
    directory.update_policy(arn, document("r1"))
    directory.create_role("r", "/", TRUST, {}, 3600, "")
    directory.create_group("g", PATH)
    for _ in range(2):
        directory.delete_policy(arn)
        directory.delete_role("r")
        directory.delete_group("g")
        directory.detach("g", arn)
        directory.remove_member("g", "nobody")
    assert (directory.policies("/"), directory.groups("/"), directory.role("r")) == ((), (), None)


def test_a_role_shows_trust_tags_session_and_foreign_policies(iam: Any, directory: IamDirectory) -> None:
    directory.create_role("r", "/team/", TRUST, TAGS, 7200, "level viewer")
    directory.tag_role("r", {"more": "1"})
    arn = directory.create_policy("p", "/", document(), {}, "")
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    iam.put_role_policy(RoleName="r", PolicyName="inline", PolicyDocument=json.dumps(document()))
    role = directory.role("r")
    assert role is not None
    assert (role.arn, role.path, role.trust) == (f"arn:aws:iam::{ACCOUNT}:role/team/r", "/team/", TRUST)
    assert (role.tags, role.max_session_seconds) == ({**TAGS, "more": "1"}, 7200)
    assert (role.description, role.policies) == ("level viewer", (arn, "inline"))


def test_a_role_is_changed_in_place(directory: IamDirectory) -> None:
    directory.create_role("r", "/", TRUST, {}, 3600, "old")
    trust = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Sid": "People"}]}  # type: ignore[dict-item]
    directory.update_role("r", trust, 43200, "new")
    role = directory.role("r")
    assert role is not None
    assert (role.trust, role.max_session_seconds, role.description) == (trust, 43200, "new")


def test_attach_and_membership_may_be_repeated(iam: Any, directory: IamDirectory) -> None:
    arn = directory.create_policy("p", PATH, document(), {}, "")
    directory.create_group("g", PATH)
    iam.create_user(UserName="alice")
    for _ in range(2):
        directory.attach("g", arn)
        directory.add_member("g", "alice")
    group = directory.group("g")
    assert group is not None
    assert group.attached == (arn,)
    assert [member.name for member in directory.members("g")] == ["alice"]
    for _ in range(2):
        directory.detach("g", arn)
        directory.remove_member("g", "alice")
    assert directory.members("g") == ()


def test_adding_a_user_that_does_not_exist_says_so(directory: IamDirectory) -> None:
    directory.create_group("g", PATH)
    with pytest.raises(NotFound, match="alice"):
        directory.add_member("g", "alice")


def test_a_user_has_a_policy_of_their_own_and_has_it_no_longer(iam: Any, directory: IamDirectory) -> None:
    iam.create_user(UserName="alice")
    assert directory.user_policy("alice", "p") is directory.user_policy("nobody", "p") is None
    for wanted in (document(), document("other"), document("other")):
        directory.put_user_policy("alice", "p", wanted)
        assert directory.user_policy("alice", "p") == wanted
    for _ in range(2):
        directory.delete_user_policy("alice", "p")
    assert directory.user_policy("alice", "p") is None
    directory.delete_user_policy("nobody", "p")
    with pytest.raises(NotFound):
        directory.put_user_policy("nobody", "p", document())


def test_deleting_a_role_that_someone_gave_a_policy_is_a_conflict(iam: Any, directory: IamDirectory) -> None:
    directory.create_role("r", "/", TRUST, {}, 3600, "")
    directory_policy = directory.create_policy("p", PATH, document(), {}, "")
    iam.attach_role_policy(RoleName="r", PolicyArn=directory_policy)
    with pytest.raises(Conflict):
        directory.delete_role("r")
    assert directory.role("r") is not None


def test_an_assumed_role_is_shown_as_its_role() -> None:
    client = make("sts")
    stubber = Stubber(client)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice"
    stubber.add_response("get_caller_identity", {"Account": ACCOUNT, "Arn": arn, "UserId": "AROAEXAMPLE:alice"})
    stubber.activate()
    caller = IamDirectory(lambda _: client).caller()
    assert (caller.account, caller.arn) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:role/Admin")


def test_every_method_has_its_permissions_listed() -> None:
    methods = {name for name in dir(IamDirectory) if not name.startswith("_")}
    assert methods == set(PERMISSIONS)


def test_what_a_policy_is_attached_to_is_counted_listed_and_detached(iam: Any, directory: IamDirectory) -> None:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    arn = directory.create_policy("shop-viewer", PATH, document, TAGS, "x")
    assert directory.holders(arn) == ()
    iam.create_group(GroupName="readers")
    iam.attach_group_policy(GroupName="readers", PolicyArn=arn)
    names = [f"user{number}" for number in range(9)]
    for name in names:
        iam.create_user(UserName=name)
        iam.attach_user_policy(UserName=name, PolicyArn=arn)
    iam.create_role(RoleName="ci", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName="ci", PolicyArn=arn)
    (state,) = directory.policies(PATH)
    assert state.attachments == 11
    holders = directory.holders(arn)
    assert set(holders) == {Holder("group", "readers"), Holder("role", "ci"), *(Holder("user", name) for name in names)}
    for holder in holders:
        directory.detach_from(holder, arn)
        directory.detach_from(holder, arn)
    assert directory.holders(arn) == ()
    directory.delete_policy(arn)
    assert directory.holders(arn) == ()


def test_documents_are_the_same_whatever_the_order_of_their_lists() -> None:
    one = {"Statement": {"Action": ["a", "b"], "Resource": "r"}}
    assert same_document(one, {"Statement": [{"Resource": ["r"], "Action": ["b", "a"]}]})
    assert not same_document(one, {"Statement": [{"Resource": ["r"], "Action": ["b"]}]})


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_waiting_backs_off_with_growing_pauses_and_says_what_it_awaits() -> None:
    clock, said = Clock(), list[str]()
    answers = iter([False] * 6 + [True])
    waiter = IamWaiter(clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)
    waiter.until("role r", lambda: next(answers), said.append)
    assert clock.pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert set(said) == {"waiting for IAM to show role r"}


def test_waiting_ends_after_its_window_with_an_error_that_names_what_is_missing() -> None:
    clock = Clock()
    with pytest.raises(AwsError, match="does not show role r after 60 s"):
        IamWaiter(clock=clock, sleep=clock.sleep).until("role r", lambda: False)
    assert clock.now == 60.0


def test_what_is_there_at_once_is_not_waited_for() -> None:
    no_time().until("role r", lambda: True)


def test_ids_are_matched_to_users_and_roles(iam: Any, directory: IamDirectory) -> None:
    iam.create_user(UserName="alice")
    key = iam.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    assert directory.key_owner(key) == "alice"
    assert directory.key_owner("AKIAIOSFODNN7EXAMPLE") == ""
    assert directory.role_id("shop-viewer") == ""
    directory.create_role("shop-viewer", "/", TRUST, TAGS, 3600, "")
    assert directory.role_id("shop-viewer") == iam.get_role(RoleName="shop-viewer")["Role"]["RoleId"]
    assert directory.role_id("shop-viewer").startswith("AROA")


def test_a_boundary_is_set_shown_and_removed(iam: Any, directory: IamDirectory) -> None:
    first, second = (f"arn:aws:iam::{ACCOUNT}:policy/{name}" for name in ("first", "second"))
    for name in ("first", "second"):
        iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document()))
    directory.create_role("shop-viewer", "/", TRUST, TAGS, 3600, "", first)
    assert shown(directory).boundary == first
    directory.update_role("shop-viewer", TRUST, 7200, "more")
    assert shown(directory).boundary == first
    directory.set_boundary("shop-viewer", second)
    assert shown(directory).boundary == second
    with pytest.raises(Conflict, match="with another permissions boundary"):
        directory.create_role("shop-viewer", "/", TRUST, TAGS, 7200, "", first)
    directory.set_boundary("shop-viewer", "")
    assert shown(directory).boundary == ""


def shown(directory: IamDirectory) -> RoleState:
    role = directory.role("shop-viewer")
    assert role is not None
    return role


def test_tags_of_a_policy_are_removed_by_key(directory: IamDirectory) -> None:
    arn = directory.create_policy("shop-viewer", PATH, document(), {**TAGS, "kube-iam.dev/existing-role": "ops"}, "")
    directory.untag_policy(arn, ("kube-iam.dev/existing-role",))
    found = directory.policy(arn)
    assert found is not None
    assert found.tags == TAGS


def test_inline_policies_of_a_group_are_listed(iam: Any, directory: IamDirectory) -> None:
    assert directory.inline_policies("nobody") == ()
    iam.create_group(GroupName="team")
    for number in range(9):
        iam.put_group_policy(GroupName="team", PolicyName=f"p{number}", PolicyDocument=json.dumps(document()))
    assert directory.inline_policies("team") == tuple(f"p{number}" for number in range(9))
