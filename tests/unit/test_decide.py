import asyncio
from dataclasses import dataclass, field, replace

import pytest

from kube_iam.authn.decide import Allowed, Authenticator, Decision, Denied, Unavailable
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingTable, RoleMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import parse_template

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Admin"
ALICE = Identity(
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice",
    canonical_arn=ROLE,
    account_id=ACCOUNT,
    user_id="AROAEXAMPLE",
    session_name="alice",
    access_key_id="ASIAEXAMPLE",
    sts_host="sts.eu-west-1.amazonaws.com",
)


@dataclass
class KnownTokens:
    """A verifier that knows the answer."""

    answer: Identity | Refusal

    async def verify(self, token: str) -> Identity | Refusal:
        return self.answer


@dataclass
class Backend:
    """A backend of mappings with a fixed table."""

    table: MappingTable | None
    name: str = "MountedFile"
    reserved_prefixes: tuple[str, ...] = ()


def table(username: str = "", groups: tuple[str, ...] = (), accounts: tuple[str, ...] = ()) -> MappingTable:
    roles = (
        [RoleMapping(ROLE, parse_template(username), tuple(map(parse_template, groups)), "mapRoles[0]")]
        if username
        else []
    )
    return MappingTable.build(roles, [], accounts)[0]


def decide(*backends: Backend, answer: Identity | Refusal = ALICE, scrubbed: tuple[str, ...] = ()) -> Decision:
    authenticator = Authenticator(KnownTokens(answer), backends, scrubbed_accounts=scrubbed)
    return asyncio.run(authenticator.authenticate("k8s-aws-v1.x"))


def reason(decision: Decision) -> Reason:
    assert isinstance(decision, Denied | Unavailable)
    return decision.refusal.reason


def test_a_mapped_identity_is_let_in_with_everything_about_it() -> None:
    decision = decide(Backend(table("iam:{{SessionName}}", ("viewers",))))
    assert isinstance(decision, Allowed)
    assert decision.identity == ALICE
    assert decision.source == "MountedFile mapRoles[0]"
    assert not decision.scrubbed
    assert decision.user.username == "iam:alice"
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


@pytest.mark.parametrize("of_token", [Reason.HOST, Reason.TOKEN_EXPIRED, Reason.STS_REFUSED, Reason.STS_NONSENSE])
def test_a_token_that_does_not_verify_is_denied_for_its_reason(of_token: Reason) -> None:
    assert decide(Backend(table("x")), answer=Refusal(of_token)) == Denied(Refusal(of_token))


def test_whom_nobody_maps_is_denied_and_named() -> None:
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
    assert decision == Denied(Refusal(Reason.NOT_LOADED, "EKSConfigMap"), ALICE)


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
    assert reason(decide(Backend(table(accounts=(ACCOUNT,))), Backend(None))) is Reason.NOT_LOADED


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
    assert Refusal(Reason.HOST, "evil.example").message.endswith(": evil.example")


@dataclass
class Nodes:
    """What EC2 knows: one answer for everybody."""

    answer: str | Refusal
    asked: list[Identity] = field(default_factory=list)

    async def private_dns_name(self, identity: Identity) -> str | Refusal:
        self.asked.append(identity)
        return self.answer


def decide_with(nodes: Nodes, *backends: Backend, scrubbed: tuple[str, ...] = ()) -> Decision:
    authenticator = Authenticator(KnownTokens(ALICE), backends, scrubbed_accounts=scrubbed, node_names=nodes)
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


def test_what_was_decided_before_does_not_outlive_what_it_was_decided_by() -> None:
    async def story() -> None:
        backend = Backend(table("iam:{{SessionName}}"))
        authenticator = Authenticator(KnownTokens(ALICE), [backend])

        async def username() -> str | Reason:
            decision = await authenticator.decide(ALICE)
            return decision.user.username if isinstance(decision, Allowed) else decision.refusal.reason

        assert [await username(), await username()] == ["iam:alice", "iam:alice"]
        backend.table = table("other:{{SessionName}}")
        assert await username() == "other:alice"
        backend.reserved_prefixes = ("other:",)
        assert await username() is Reason.RESERVED_NAME
        backend.reserved_prefixes = ()
        assert await username() == "other:alice"
        backend.table = table()
        assert await username() is Reason.NOT_MAPPED
        backend.table = None
        assert await username() is Reason.NOT_LOADED

    asyncio.run(story())


def test_sessions_of_one_role_get_their_own_names() -> None:
    async def story() -> None:
        authenticator = Authenticator(KnownTokens(ALICE), [Backend(table("iam:{{SessionName}}"))])
        for name in ("alice", "bob", "alice"):
            decision = await authenticator.decide(replace(ALICE, session_name=name))
            assert isinstance(decision, Allowed)
            assert decision.user.username == f"iam:{name}"

    asyncio.run(story())
