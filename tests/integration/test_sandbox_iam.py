"""IAM of the sandbox: names, quotas, UpdateUser, UpdateGroup and late reads. Real requests to a real process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulated_account import Account
from kube_iam.aws.iam import IamDirectory
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.state import ACCOUNT, ADMINISTRATOR, Home
from kube_iam.sandbox.up import down, start_account

pytestmark = pytest.mark.integration
EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"},
    }
)
CREATE: dict[str, Callable[[Any, str], object]] = {
    "user": lambda iam, name: iam.create_user(UserName=name),
    "group": lambda iam, name: iam.create_group(GroupName=name),
    "role": lambda iam, name: iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST),
    "policy": lambda iam, name: iam.create_policy(PolicyName=name, PolicyDocument=EVERYTHING),
    "policy under another path": lambda iam, name: iam.create_policy(
        PolicyName=name, PolicyDocument=EVERYTHING, Path=f"/{name}/"
    ),
}


@pytest.fixture
def iam(account: Account) -> Any:
    return account.administrator


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize("kind", CREATE)
def test_names_that_differ_only_in_case_collide(iam: Any, kind: str) -> None:
    name = f"Case-{kind.replace(' ', '')}"
    CREATE[kind](iam, name)
    for other in (name, name.lower(), name.upper()):
        assert code_of(lambda other=other: CREATE[kind](iam, other)) == "EntityAlreadyExists"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 129])
@pytest.mark.parametrize("kind", ["user", "group"])
def test_names_that_iam_does_not_take_are_refused(iam: Any, kind: str, name: str) -> None:
    assert code_of(lambda: CREATE[kind](iam, name)) == "ValidationError"


@pytest.mark.parametrize("path", ["x", "/x", "x/", "/a b/"])
def test_paths_that_iam_does_not_take_are_refused(iam: Any, path: str) -> None:
    assert code_of(lambda: iam.create_group(GroupName="path", Path=path)) == "ValidationError"


def test_user_is_in_ten_groups_at_most(iam: Any) -> None:
    iam.create_user(UserName="busy")
    for number in range(11):
        iam.create_group(GroupName=f"busy-{number}")
    for number in range(10):
        iam.add_user_to_group(GroupName=f"busy-{number}", UserName="busy")
    assert code_of(lambda: iam.add_user_to_group(GroupName="busy-10", UserName="busy")) == "LimitExceeded"
    iam.add_user_to_group(GroupName="busy-9", UserName="busy")
    iam.remove_user_from_group(GroupName="busy-0", UserName="busy")
    iam.add_user_to_group(GroupName="busy-10", UserName="busy")


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_ten_managed_policies_at_most_are_attached(iam: Any, kind: str) -> None:
    holder = {f"{kind.capitalize()}Name": f"holder-{kind}"}
    CREATE[kind](iam, f"holder-{kind}")
    names = [f"held-{kind}-{number}" for number in range(11)]
    arns = [iam.create_policy(PolicyName=name, PolicyDocument=EVERYTHING)["Policy"]["Arn"] for name in names]
    attach, detach = getattr(iam, f"attach_{kind}_policy"), getattr(iam, f"detach_{kind}_policy")
    for arn in arns[:10]:
        attach(PolicyArn=arn, **holder)
    assert code_of(lambda: attach(PolicyArn=arns[10], **holder)) == "LimitExceeded"
    attach(PolicyArn=arns[9], **holder)
    detach(PolicyArn=arns[0], **holder)
    attach(PolicyArn=arns[10], **holder)


@pytest.mark.parametrize(("kind", "limit"), [("user", 2048), ("group", 5120), ("role", 10240)])
def test_inline_policies_together_have_a_largest_size(iam: Any, kind: str, limit: int) -> None:
    holder = {f"{kind.capitalize()}Name": f"large-{kind}"}
    CREATE[kind](iam, f"large-{kind}")
    put = getattr(iam, f"put_{kind}_policy")

    def document(size: int) -> str:
        frame = {"Version": "2012-10-17", "Id": "", "Statement": json.loads(EVERYTHING)["Statement"]}
        bare = len(json.dumps(frame, separators=(",", ":")))
        return json.dumps({**frame, "Id": "x" * (size - bare)}, indent=2)

    put(PolicyName="half", PolicyDocument=document(limit // 2), **holder)
    assert code_of(lambda: put(PolicyName="rest", PolicyDocument=document(limit // 2 + 1), **holder)) == "LimitExceeded"
    put(PolicyName="rest", PolicyDocument=document(limit // 2), **holder)
    put(PolicyName="half", PolicyDocument=document(limit // 2), **holder)


def test_a_group_that_holds_something_is_not_deleted(iam: Any) -> None:
    group = {"GroupName": "holding"}
    iam.create_group(**group)
    iam.create_user(UserName="held")
    arn = iam.create_policy(PolicyName="held", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
    iam.add_user_to_group(UserName="held", **group)
    iam.attach_group_policy(PolicyArn=arn, **group)
    iam.put_group_policy(PolicyName="inline", PolicyDocument=EVERYTHING, **group)
    releases: list[Callable[[], object]] = [
        lambda: iam.remove_user_from_group(UserName="held", **group),
        lambda: iam.detach_group_policy(PolicyArn=arn, **group),
        lambda: iam.delete_group_policy(PolicyName="inline", **group),
    ]
    for release in releases:
        assert code_of(lambda: iam.delete_group(**group)) == "DeleteConflict"
        release()
    iam.delete_group(**group)
    assert code_of(lambda: iam.get_group(**group)) == "NoSuchEntity"


def test_user_has_two_access_keys_at_most(iam: Any) -> None:
    iam.create_user(UserName="keys")
    for _ in range(2):
        iam.create_access_key(UserName="keys")
    assert code_of(lambda: iam.create_access_key(UserName="keys")) == "LimitExceeded"


def test_renamed_group_keeps_its_members_policies_and_unique_id(account: Account, iam: Any) -> None:
    role = account.make_level("first")
    keys = account.user("gina")
    iam.add_user_to_group(GroupName="first", UserName="gina")
    iam.put_group_policy(GroupName="first", PolicyName="inline", PolicyDocument=EVERYTHING)
    before = iam.get_group(GroupName="first")["Group"]
    iam.update_group(GroupName="first", NewGroupName="second", NewPath="/moved/")
    assert code_of(lambda: iam.get_group(GroupName="first")) == "NoSuchEntity"
    found = iam.get_group(GroupName="second")
    assert found["Group"]["GroupId"] == before["GroupId"]
    assert found["Group"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:group/moved/second"
    assert [user["UserName"] for user in found["Users"]] == ["gina"]
    attached = iam.list_attached_group_policies(GroupName="second")["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["first"]
    assert iam.list_group_policies(GroupName="second")["PolicyNames"] == ["inline"]
    assert account.client("sts", keys).assume_role(RoleArn=role, RoleSessionName="gina")


def test_renamed_user_keeps_keys_groups_policies_and_unique_id(account: Account, iam: Any) -> None:
    role = account.make_level("renaming")
    keys = account.user("before")
    iam.add_user_to_group(GroupName="renaming", UserName="before")
    iam.put_user_policy(UserName="before", PolicyName="inline", PolicyDocument=EVERYTHING)
    unique = iam.get_user(UserName="before")["User"]["UserId"]
    iam.update_user(UserName="before", NewUserName="after", NewPath="/staff/")
    found = iam.get_user(UserName="after")["User"]
    assert (found["UserId"], found["Arn"]) == (unique, f"arn:aws:iam::{ACCOUNT}:user/staff/after")
    assert code_of(lambda: iam.get_user(UserName="before")) == "NoSuchEntity"
    assert [user["UserName"] for user in iam.get_group(GroupName="renaming")["Users"]] == ["after"]
    assert [group["GroupName"] for group in iam.list_groups_for_user(UserName="after")["Groups"]] == ["renaming"]
    assert iam.list_user_policies(UserName="after")["PolicyNames"] == ["inline"]
    sts = account.client("sts", keys)
    identity = sts.get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (found["Arn"], unique)
    assert sts.assume_role(RoleArn=role, RoleSessionName="after")
    assert code_of(lambda: sts.assume_role(RoleArn=role, RoleSessionName="before")) == "AccessDenied"


@pytest.mark.parametrize("kind", ["user", "group"])
def test_update_refuses_taken_names_bad_paths_and_missing_entities(iam: Any, kind: str) -> None:
    key, update = f"{kind.capitalize()}Name", getattr(iam, f"update_{kind}")
    for name in ("update-one", "update-two"):
        CREATE[kind](iam, name)
    for taken in ("update-two", "Update-Two"):
        assert code_of(lambda taken=taken: update(**{key: "update-one", f"New{key}": taken})) == "EntityAlreadyExists"  # type: ignore[misc]
    assert code_of(lambda: update(**{key: "update-one", "NewPath": "moved"})) == "ValidationError"
    assert code_of(lambda: update(**{key: "update-none", "NewPath": "/moved/"})) == "NoSuchEntity"
    update(**{key: "update-one", f"New{key}": "Update-One"})


def test_group_is_adopted_with_members_and_policies(account: Account) -> None:
    administrator = account.user(ADMINISTRATOR)
    directory = IamDirectory(lambda service: account.client(service, administrator))
    account.make_level("adopted")
    account.user("hugo")
    directory.add_member("adopted", "hugo")
    before = directory.group("adopted")
    directory.move_group("adopted", "/kube-iam/box-adopts/")
    after = directory.group("adopted")
    assert before is not None
    assert after is not None
    assert (after.arn, after.attached) == (f"arn:aws:iam::{ACCOUNT}:group/kube-iam/box-adopts/adopted", before.attached)
    assert [member.name for member in directory.members("adopted")] == ["hugo"]


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Account]:
    """Yield an account whose IAM shows changes ten minutes late, which no test waits for."""
    home = Home(tmp_path / "late")
    home.create()
    try:
        yield Account(home, start_account(home, Authority(home.tls), lambda _: None, iam_delay_seconds=600.0))
    finally:
        down(home)


def test_changes_are_seen_late_by_reads_and_by_authorization(late: Account) -> None:
    root, keys = late.client("iam", late.state.root), late.user("alice")
    root.create_group(GroupName="slow")
    root.add_user_to_group(GroupName="slow", UserName="alice")  # a write finds the new group at once
    root.put_group_policy(GroupName="slow", PolicyName="all", PolicyDocument=EVERYTHING)
    assert code_of(lambda: root.get_group(GroupName="slow")) == "NoSuchEntity"
    assert root.list_groups()["Groups"] == []
    assert code_of(late.client("iam", keys).list_groups) == "AccessDenied"
    assert late.client("sts", keys).get_caller_identity()["Arn"].endswith(":user/alice")


def statement(effect: str = "Allow", resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "sts:AssumeRole", "Resource": resource, **more}


def policy_of(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


SIMULATED_ROLE = f"arn:aws:iam::{ACCOUNT}:role/simulated"
CURRENT = {"DateLessThan": {"aws:CurrentTime": "2099-01-01T00:00:00Z"}}
MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}


@pytest.mark.parametrize(
    ("policies", "boundary", "decision", "matched", "missing"),
    [
        ([], None, "implicitDeny", [], []),
        ([policy_of(statement())], None, "allowed", ["p0"], []),
        ([policy_of(statement(Condition=CURRENT))], None, "allowed", ["p0"], []),
        ([policy_of(statement()), policy_of(statement("Deny"))], None, "explicitDeny", ["p1"], []),
        ([policy_of(statement(resource="arn:aws:iam::*:role/other"))], None, "implicitDeny", [], []),
        ([policy_of(statement(Condition=MFA))], None, "implicitDeny", [], ["aws:MultiFactorAuthPresent"]),
        ([policy_of(statement())], policy_of(statement(resource=SIMULATED_ROLE)), "allowed", ["p0"], []),
        ([policy_of(statement())], policy_of(statement("Deny")), "explicitDeny", [], []),
    ],
)
def test_simulation_answers_as_the_account_authorizes(
    iam: Any,
    request: pytest.FixtureRequest,
    policies: list[str],
    boundary: str | None,
    decision: str,
    matched: list[str],
    missing: list[str],
) -> None:
    user = f"simulated-{abs(hash(request.node.name)) % 10**8}"
    arn = iam.create_user(UserName=user, Path="/team/")["User"]["Arn"]
    iam.create_group(GroupName=user)
    iam.add_user_to_group(GroupName=user, UserName=user)
    for number, document in enumerate(policies):
        iam.put_group_policy(GroupName=user, PolicyName=f"p{number}", PolicyDocument=document)
    if boundary is not None:
        made = iam.create_policy(PolicyName=f"{user}-boundary", PolicyDocument=boundary)["Policy"]["Arn"]
        iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=made)
    directory = IamDirectory(lambda _: iam)
    found = directory.simulate(arn, "sts:AssumeRole", SIMULATED_ROLE, {"sts:RoleSessionName": user})
    assert (found.decision, [*found.policies], [*found.missing_keys]) == (decision, matched, missing)
    assert found.boundary_allows is (None if boundary is None else decision == "allowed")
