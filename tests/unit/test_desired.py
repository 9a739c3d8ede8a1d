"""Resources of a level in IAM and in the cluster, and policy documents that mean the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from levels_for_tests import ADMIN, EDITOR, access, level

from kube_iam.access.desired import assumed_roles, desired_state, same_document
from kube_iam.access.levels import Bind, Method
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.ports import BindingState
from kube_iam.sandbox.iam_policy.evaluate import AssumeRequest, evaluate_trust


def test_a_level_is_a_role_a_policy_a_group_an_entry_and_bindings() -> None:
    (wanted,) = desired_state(access(EDITOR))
    assert wanted.role is not None
    assert wanted.role.arn == "arn:aws:iam::123456789012:role/prod-editor"
    assert wanted.policy.arn == "arn:aws:iam::123456789012:policy/kube-iam/prod/prod-editor"
    assert wanted.policy.tags == {"kube-iam.dev/cluster": "prod.example.com", "kube-iam.dev/level": "editor"}
    assert wanted.role.tags == wanted.policy.tags
    assert assumed_roles(wanted.policy.document) == (wanted.role.arn,)
    assert (wanted.group.path, wanted.group.policy_arn) == ("/kube-iam/prod/", wanted.policy.arn)
    who = ("awsiam:{{SessionNameRaw}}", ("kube-iam:editor",))
    assert wanted.entry == MappingEntry(wanted.role.arn, *who, "prod-editor", "editor")
    groups = ("kube-iam:editor",)
    assert wanted.bindings == (
        BindingState("kube-iam:editor:view", "", "ClusterRole", "view", groups, "editor", "prod"),
        BindingState("kube-iam:editor:edit", "blog", "ClusterRole", "edit", groups, "editor", "prod"),
        BindingState("kube-iam:editor:edit", "shop", "ClusterRole", "edit", groups, "editor", "prod"),
    )


def test_membership_is_checked_at_sign_in_unless_the_file_selects_the_session() -> None:
    (wanted,) = desired_state(access(EDITOR, checks_sign_in=False))
    assert (wanted.entry.iam_group, wanted.entry.level) == ("", "editor")
    (wanted,) = desired_state(access(level("ops", method=Method.GROUP), checks_sign_in=False))
    assert wanted.entry.iam_group == "prod-ops"


def test_level_by_group_has_no_role_and_its_policy_allows_nothing() -> None:
    (wanted,) = desired_state(access(level("ops", method=Method.GROUP)))
    assert wanted.role is None
    assert wanted.entry == MappingEntry("", "awsiam:{{SessionNameRaw}}", ("kube-iam:ops",), "prod-ops", "ops")
    assert wanted.policy.tags == {"kube-iam.dev/cluster": "prod.example.com", "kube-iam.dev/level": "ops"}
    assert "'Action': 'sts:GetCallerIdentity'" in str(wanted.policy.document)
    assert assumed_roles(wanted.policy.document) == ()


def test_a_role_with_a_path_is_assumed_with_it_and_mapped_without() -> None:
    (wanted,) = desired_state(access(level("ops", role_path="/people/")))
    assert wanted.role is not None
    assert wanted.role.arn == "arn:aws:iam::123456789012:role/people/prod-ops"
    assert assumed_roles(wanted.policy.document) == (wanted.role.arn,)
    assert wanted.entry.role_arn == "arn:aws:iam::123456789012:role/prod-ops"


def test_a_role_and_a_cluster_role_of_one_name_get_two_bindings() -> None:
    (wanted,) = desired_state(access(level("ops", Bind("run", "", ("shop",)), Bind("", "run", ("shop",)))))
    assert len({binding.ident for binding in wanted.bindings}) == 2


@pytest.mark.parametrize(
    ("user", "session", "mfa", "allowed"),
    [
        ("alice", "alice", True, True),
        ("alice", "bob", True, False),
        ("alice", "alice", False, False),
        (None, "alice", True, False),
    ],
)
def test_the_trust_policy_allows_users_their_own_name_as_session_name_only(
    user: str | None, session: str, mfa: bool, allowed: bool
) -> None:
    (wanted,) = desired_state(access(level("admin", mfa=True)))
    assert wanted.role is not None
    assert evaluate_trust(wanted.role.trust, _request(user, session, mfa)).allowed is allowed


def _request(user: str | None, session: str, mfa: bool) -> AssumeRequest:
    principal = (
        f"arn:aws:iam::123456789012:user/{user}" if user else "arn:aws:sts::123456789012:assumed-role/other/alice"
    )
    context = {"aws:MultiFactorAuthPresent": str(mfa).lower()}
    return AssumeRequest(principal, "123456789012", "arn:aws:iam::123456789012:role/prod-admin", session, context)


def test_without_mfa_the_name_alone_counts() -> None:
    (wanted,) = desired_state(access(ADMIN))
    assert wanted.role is not None
    assert evaluate_trust(wanted.role.trust, _request("alice", "alice", False)).allowed
    assert not evaluate_trust(wanted.role.trust, _request("alice", "root", False)).allowed


def test_lists_of_one_and_orders_are_no_difference_but_words_are() -> None:
    one = {"Statement": [{"Action": "sts:AssumeRole", "Resource": ["a", "b"]}], "Version": "2012-10-17"}
    other = {"Version": "2012-10-17", "Statement": {"Resource": ["b", "a"], "Action": ["sts:AssumeRole"]}}
    assert same_document(one, other)
    assert not same_document(one, {**other, "Version": "2008-10-17"})
    assert not same_document(one, None)


DOCUMENTS = st.recursive(
    st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(DOCUMENTS)
def test_every_document_is_the_same_as_itself_in_a_list(document: object) -> None:
    assert same_document(document, document)
    assert same_document([document], document)


POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ["a", "b"], "Condition": {"Bool": {"x": "true"}}},
        {"Effect": "Deny", "Action": "s3:*", "Resource": "c"},
    ],
}
CHANGED_POLICIES = {
    "another value": {**POLICY, "Version": "2008-10-17"},
    "a key more": {**POLICY, "Id": "x"},
    "a key less": {"Statement": POLICY["Statement"]},
    "a statement more": {**POLICY, "Statement": [*POLICY["Statement"], {"Effect": "Allow", "Action": "*"}]},
    "a statement less": {**POLICY, "Statement": POLICY["Statement"][:1]},
    "no statement": {**POLICY, "Statement": []},
    "an item more in a list": {
        **POLICY,
        "Statement": [{**POLICY["Statement"][0], "Resource": ["a", "b", "*"]}, POLICY["Statement"][1]],  # type: ignore[dict-item]
    },
    "effects swapped": {
        **POLICY,
        "Statement": [{**POLICY["Statement"][0], "Effect": "Deny"}, {**POLICY["Statement"][1], "Effect": "Allow"}],  # type: ignore[dict-item]
    },
    "no condition": {
        **POLICY,
        "Statement": [{**POLICY["Statement"][0], "Condition": {}}, POLICY["Statement"][1]],  # type: ignore[dict-item]
    },
    "another letter case": {**POLICY, "version": "2012-10-17"},
}


@pytest.mark.parametrize("changed", CHANGED_POLICIES.values(), ids=CHANGED_POLICIES.keys())
def test_every_change_of_a_policy_is_a_difference(changed: object) -> None:
    assert not same_document(POLICY, changed)
    assert not same_document(changed, POLICY)


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), (True, "true"), (0, False), (None, "null"), ({}, []), ("", None)]
)
def test_json_types_are_told_apart(one: object, other: object) -> None:
    assert not same_document({"Condition": one}, {"Condition": other})


@pytest.mark.parametrize(
    "document",
    [
        None,
        "text",
        {},
        {"Statement": "x"},
        {"Statement": [None, {"Resource": 1}]},
        {"Statement": {"Resource": "*"}},
        {"Statement": {"Resource": "arn:aws:iam::123456789012:role/*"}},
    ],
)
def test_a_document_that_names_no_single_role_names_none(document: object) -> None:
    assert assumed_roles(document) == ()
