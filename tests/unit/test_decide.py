import asyncio
from dataclasses import replace

import pytest
from decisions import (
    ACCOUNT,
    ALICE,
    BOB,
    ROLE,
    Backend,
    Backends,
    KnownTokens,
    Memberships,
    Nodes,
    of_group,
    reason,
    requiring,
    table,
)

from kube_iam.access.levels import DEFAULT_USERNAME, DEFAULT_USERNAME_OF_GROUP
from kube_iam.authn.decide import Allowed, Authenticator, Decision, Denied, Unavailable
from kube_iam.core.access_entries import RESERVED_PREFIXES
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import GroupMapping, UserMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import parse_template
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupSnapshot, RoleSnapshot


def decide(*backends: Backend, answer: Identity | Refusal = ALICE, scrubbed: tuple[str, ...] = ()) -> Decision:
    authenticator = Authenticator(KnownTokens(answer), Backends(*backends), scrubbed_accounts=scrubbed)
    return asyncio.run(authenticator.authenticate("k8s-aws-v1.x"))


def test_mapped_identity_is_allowed_with_all_its_attributes() -> None:
    decision = decide(Backend(table("awsiam:{{SessionName}}", ("viewers",))))
    assert isinstance(decision, Allowed)
    assert decision.identity == ALICE
    assert decision.source == "MountedFile mapRoles[0]"
    assert not decision.scrubbed
    assert decision.user.username == "awsiam:alice"
    assert decision.user.groups == ("viewers",)
    assert decision.user.uid == f"aws-iam-authenticator:{ACCOUNT}:AROAEXAMPLE"
    assert decision.user.extra == {
        "arn": (ALICE.arn,),
        "canonicalArn": (ROLE,),
        "sessionName": ("alice",),
        "accessKeyId": ("ASIAEXAMPLE",),
        "principalId": ("AROAEXAMPLE",),
        "sigs.k8s.io/aws-iam-authenticator/principalId": ("AROAEXAMPLE",),
    }


def test_a_scrubbed_account_leaves_no_trace_of_its_arn() -> None:
    decision = decide(Backend(table("admin")), scrubbed=(ACCOUNT,))
    assert isinstance(decision, Allowed)
    assert decision.scrubbed
    assert decision.user.uid == "aws-iam-authenticator:administrative:admin"
    assert decision.user.extra == {}
    denied = decide(Backend(table()), scrubbed=(ACCOUNT,))
    assert isinstance(denied, Denied)
    assert denied.scrubbed
    assert ACCOUNT not in denied.refusal.message


@pytest.mark.parametrize(("of_sts", "throttled"), [(Reason.STS_THROTTLED, True), (Reason.STS_UNREACHABLE, False)])
def test_what_sts_cannot_tell_now_is_unavailable_and_not_denied(of_sts: Reason, throttled: bool) -> None:
    assert decide(Backend(table("x")), answer=Refusal(of_sts)) == Unavailable(Refusal(of_sts), throttled)


@pytest.mark.parametrize(
    "of_token", [Reason.URL_HOST, Reason.TOKEN_EXPIRED, Reason.STS_REFUSED, Reason.STS_INVALID_RESPONSE]
)
def test_a_token_that_does_not_verify_is_denied_for_its_reason(of_token: Reason) -> None:
    assert decide(Backend(table("x")), answer=Refusal(of_token)) == Denied(Refusal(of_token))


def test_unmapped_identity_is_denied_with_its_arn() -> None:
    decision = decide(Backend(table()), Backend(table(accounts=("444455556666",))))
    assert decision == Denied(Refusal(Reason.NOT_MAPPED, ROLE), ALICE)
    assert decide() == decision


def test_the_first_backend_that_maps_wins() -> None:
    decision = decide(Backend(table()), Backend(table("second"), name="CRD"), Backend(table("third")))
    assert isinstance(decision, Allowed)
    assert decision.user.username == "second"
    assert decision.source == "CRD mapRoles[0]"


def test_a_backend_that_never_loaded_denies_before_a_later_one_can_answer() -> None:
    decision = decide(Backend(None, name="EKSConfigMap"), Backend(table("x", accounts=(ACCOUNT,))))
    assert decision == Denied(Refusal(Reason.MAPPINGS_NOT_LOADED, "EKSConfigMap"), ALICE)


def test_a_later_backend_that_never_loaded_does_not_take_back_an_earlier_answer() -> None:
    assert isinstance(decide(Backend(table("x")), Backend(None)), Allowed)


def test_accounts_are_asked_after_the_mappings_of_every_backend() -> None:
    decision = decide(Backend(table(accounts=(ACCOUNT,))), Backend(table("explicit")))
    assert isinstance(decision, Allowed)
    assert decision.user.username == "explicit"


def test_an_account_match_gives_the_canonical_arn_and_no_groups() -> None:
    decision = decide(Backend(table()), Backend(table(accounts=(ACCOUNT,)), name="CRD"))
    assert isinstance(decision, Allowed)
    assert (decision.user.username, decision.user.groups) == (ROLE, ())
    assert decision.source == "CRD mapAccounts"


def test_an_account_match_waits_for_backends_that_never_loaded() -> None:
    assert reason(decide(Backend(table(accounts=(ACCOUNT,))), Backend(None))) is Reason.MAPPINGS_NOT_LOADED


@pytest.mark.parametrize("mapping", [table("arn:x"), table(accounts=(ACCOUNT,))])
def test_a_reserved_prefix_of_the_deciding_backend_refuses(mapping: MappingTable) -> None:
    assert reason(decide(Backend(mapping, reserved_prefixes=("arn:",)))) is Reason.RESERVED_NAME
    assert isinstance(decide(Backend(table(), reserved_prefixes=("arn:",)), Backend(mapping)), Allowed)


def test_a_mapping_that_cannot_be_rendered_denies_and_nothing_later_answers() -> None:
    decision = decide(Backend(table("system:node:{{EC2PrivateDNSName}}")), Backend(table("x", accounts=(ACCOUNT,))))
    assert reason(decision) is Reason.TEMPLATE_VALUE


def test_every_reason_has_a_sentence_and_a_known_metric_label() -> None:
    labels = {"invalid_token", "sts_error", "sts_throttling", "uknown_user"}
    for member in Reason:
        assert member.sentence
        assert member.metric in labels
        assert member.name.lower() == member.value
    assert Refusal(Reason.URL_HOST, "evil.example").message.endswith(": evil.example")


def decide_with(nodes: Nodes, *backends: Backend, scrubbed: tuple[str, ...] = ()) -> Decision:
    authenticator = Authenticator(KnownTokens(ALICE), Backends(*backends), scrubbed_accounts=scrubbed, node_names=nodes)
    return asyncio.run(authenticator.authenticate("k8s-aws-v1.x"))


NODE = Backend(table("system:node:{{EC2PrivateDNSName}}", ("system:nodes",)))


def test_a_node_gets_the_private_dns_name_of_its_instance() -> None:
    decision = decide_with(Nodes("ip-10-0-0-1.ec2.internal"), NODE)
    assert isinstance(decision, Allowed)
    assert decision.user.username == "system:node:ip-10-0-0-1.ec2.internal"
    assert decision.user.groups == ("system:nodes",)


def test_ec2_is_asked_only_where_the_mapping_that_was_found_needs_it() -> None:
    nodes = Nodes("ip-10-0-0-1.ec2.internal")
    assert isinstance(decide_with(nodes, Backend(table("{{SessionName}}")), NODE), Allowed)
    assert isinstance(decide_with(nodes, Backend(table())), Denied)
    assert nodes.asked == []


@pytest.mark.parametrize(
    "mapping", [table("system:node:{{EC2PrivateDNSName}}"), table("node", ("{{EC2PrivateDNSName}}",))]
)
def test_a_nodes_name_is_looked_up_for_every_decision(mapping: MappingTable) -> None:
    nodes = Nodes("ip-10-0-0-1.ec2.internal")
    authenticator = Authenticator(KnownTokens(ALICE), Backends(Backend(mapping)), node_names=nodes)

    async def story() -> list[Decision]:
        decisions = [await authenticator.authenticate("k8s-aws-v1.x")]
        nodes.answer = "ip-10-9-9-9.ec2.internal"
        decisions.append(await authenticator.authenticate("k8s-aws-v1.x"))
        nodes.answer = Refusal(Reason.INSTANCE_UNKNOWN)
        return [*decisions, await authenticator.authenticate("k8s-aws-v1.x")]

    first, renamed, gone = asyncio.run(story())
    assert isinstance(first, Allowed)
    assert isinstance(renamed, Allowed)
    assert "ip-10-0-0-1.ec2.internal" in str(first.user)
    assert "ip-10-9-9-9.ec2.internal" in str(renamed.user)
    assert gone == Denied(Refusal(Reason.INSTANCE_UNKNOWN), ALICE)


@pytest.mark.parametrize("of_ec2", [Reason.NOT_AN_INSTANCE, Reason.INSTANCE_UNKNOWN, Reason.EC2_REFUSED])
def test_an_instance_without_a_name_denies_and_nothing_later_answers(of_ec2: Reason) -> None:
    later = Backend(table("x", accounts=(ACCOUNT,)))
    decision = decide_with(Nodes(Refusal(of_ec2)), NODE, later, scrubbed=(ACCOUNT,))
    assert decision == Denied(Refusal(of_ec2), ALICE, scrubbed=True)


@pytest.mark.parametrize(("of_ec2", "throttled"), [(Reason.EC2_THROTTLED, True), (Reason.EC2_UNREACHABLE, False)])
def test_what_ec2_cannot_tell_now_is_unavailable_and_not_denied(of_ec2: Reason, throttled: bool) -> None:
    assert decide_with(Nodes(Refusal(of_ec2)), NODE) == Unavailable(Refusal(of_ec2), throttled, ALICE)


def test_a_name_that_ec2_should_not_give_makes_no_user() -> None:
    assert reason(decide_with(Nodes("a:b"), NODE)) is Reason.TEMPLATE_VALUE


# Entries for members of an IAM group.


def decide_members(
    *backends: Backend, who: Identity = ALICE, members: dict[str, str] | None = None, scrubbed: tuple[str, ...] = ()
) -> Decision:
    """Decide with everything that the backends name just read, or with `members` None nothing."""
    cache = MembershipCache(300, lambda: 0.0, lambda: 0.0)
    tables = [backend.table for backend in backends if backend.table is not None]
    requirements = [requirement for table in tables for requirement in table.requirements]
    groups = [name for table in tables for name in table.group_mappings.iam_groups]
    cache.set_tracked(groups, requirements)
    if members is not None:
        for name in (*groups, *(requirement.iam_group for requirement in requirements)):
            cache.update_group(name, GroupSnapshot(0.0, ACCOUNT, members))
        for requirement in requirements:
            cache.update_role(requirement.role, RoleSnapshot(0.0, ALICE.user_id))
    authenticator = Authenticator(
        KnownTokens(who), Backends(*backends), memberships=Memberships(cache), scrubbed_accounts=scrubbed
    )
    return asyncio.run(authenticator.authenticate("k8s-aws-v1.x"))


def test_member_is_allowed_and_the_level_is_in_the_user_extra() -> None:
    decision = decide_members(requiring(), members={"alice": "AIDAALICE"})
    assert isinstance(decision, Allowed)
    assert (decision.user.username, decision.source) == ("required", "MountedFile mapRoles[0]")
    assert decision.user.extra["kube-iam.dev/level"] == ("admin",)


@pytest.mark.parametrize(("members", "why"), [({}, Reason.NOT_MEMBER), (None, Reason.MEMBERSHIP_STALE)])
def test_an_entry_that_does_not_admit_is_the_last_word(members: dict[str, str] | None, why: Reason) -> None:
    decision = decide_members(requiring(), Backend(table("other", accounts=(ACCOUNT,))), members=members)
    assert isinstance(decision, Denied)
    assert decision.refusal.reason is why
    assert why.metric == "uknown_user"


def test_without_memberships_nobody_is_a_member() -> None:
    assert reason(decide(requiring())) is Reason.MEMBERSHIP_STALE
    assert reason(decide(of_group(), answer=BOB)) is Reason.MEMBERSHIP_STALE


def test_member_of_a_mapped_group_is_allowed_with_own_keys() -> None:
    decision = decide_members(of_group(), who=BOB, members={"bob": "AIDABOB"})
    assert isinstance(decision, Allowed)
    assert (decision.user.username, decision.source) == ("awsiam:bob", "EKSConfigMap mapGroups[0]")
    assert decision.user.extra["kube-iam.dev/level"] == ("viewer",)


def test_identity_in_no_mapped_group_is_matched_by_later_backends_and_accounts() -> None:
    accounts = Backend(table(accounts=(ACCOUNT,)))
    decision = decide_members(of_group(), accounts, who=BOB, members={})
    assert isinstance(decision, Allowed)
    assert decision.source == "MountedFile mapAccounts"
    assert reason(decide_members(of_group(), who=BOB, members={})) is Reason.NOT_MAPPED


def test_while_a_group_is_not_known_later_backends_are_not_asked() -> None:
    accounts = Backend(table(accounts=(ACCOUNT,)))
    assert reason(decide_members(of_group(), accounts, who=BOB)) is Reason.MEMBERSHIP_STALE
    # But no role session could be in it.
    assert isinstance(decide_members(of_group(), accounts), Allowed)


def test_an_explicit_entry_for_a_user_goes_before_groups() -> None:
    user = UserMapping(BOB.arn, parse_template("explicit"))
    entry = GroupMapping("viewers", parse_template("x"))
    both = Backend(MappingTable.build([], [user], (), [entry])[0])
    decision = decide_members(both, who=BOB)
    assert isinstance(decision, Allowed)
    assert decision.user.username == "explicit"


def test_reserved_prefixes_hold_for_members_too() -> None:
    backend = of_group(username="awsiam:{{UserName}}")
    backend.reserved_prefixes = ("awsiam:",)
    assert reason(decide_members(backend, who=BOB, members={"bob": "AIDABOB"})) is Reason.RESERVED_NAME


@pytest.mark.parametrize("prefix", ["awsiam:", *RESERVED_PREFIXES])
def test_a_server_that_reserves_what_access_entries_do_admits_default_names(prefix: str) -> None:
    prefix = "system:x:" if prefix == "system:" else prefix  # a value right behind system: is refused in any case
    group = of_group(username=DEFAULT_USERNAME_OF_GROUP.replace("awsiam:", prefix))
    role = Backend(table(DEFAULT_USERNAME.replace("awsiam:", prefix)))
    group.reserved_prefixes = role.reserved_prefixes = RESERVED_PREFIXES
    decisions = decide_members(group, who=BOB, members={"bob": "AIDABOB"}), decide(role)
    if prefix == "awsiam:":
        names = [each.user.username for each in decisions if isinstance(each, Allowed)]
        assert names == ["awsiam:bob", "awsiam:alice"]
    else:
        assert [reason(each) for each in decisions] == [Reason.RESERVED_NAME] * 2


@pytest.mark.parametrize("members", [{}, None])
def test_membership_refusal_names_no_user_of_a_scrubbed_account(members: dict[str, str] | None) -> None:
    decision = decide_members(requiring(), members=members, scrubbed=(ACCOUNT,))
    assert isinstance(decision, Denied)
    assert decision.refusal.detail == ""


def test_what_was_decided_before_does_not_outlive_what_it_was_decided_by() -> None:
    async def story() -> None:
        backend = Backend(table("awsiam:{{SessionName}}"))
        authenticator = Authenticator(KnownTokens(ALICE), Backends(backend))

        async def username() -> str | Reason:
            decision = await authenticator.decide(ALICE)
            return decision.user.username if isinstance(decision, Allowed) else decision.refusal.reason

        assert [await username(), await username()] == ["awsiam:alice", "awsiam:alice"]
        backend.table = table("other:{{SessionName}}")
        assert await username() == "other:alice"
        backend.reserved_prefixes = ("other:",)
        assert await username() is Reason.RESERVED_NAME
        backend.reserved_prefixes = ()
        assert await username() == "other:alice"
        backend.table = table()
        assert await username() is Reason.NOT_MAPPED
        backend.table = None
        assert await username() is Reason.MAPPINGS_NOT_LOADED

    asyncio.run(story())


def test_sessions_of_one_role_get_their_own_names() -> None:
    async def story() -> None:
        authenticator = Authenticator(KnownTokens(ALICE), Backends(Backend(table("awsiam:{{SessionName}}"))))
        for name in ("alice", "bob", "alice"):
            decision = await authenticator.decide(replace(ALICE, session_name=name))
            assert isinstance(decision, Allowed)
            assert decision.user.username == f"awsiam:{name}"

    asyncio.run(story())
