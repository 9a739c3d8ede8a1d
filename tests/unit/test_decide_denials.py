"""The deny list in the decision: asked before any mapping, once more after waiting, and closed while unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from decisions import ACCOUNT, ALICE, Backend, Backends, KnownTokens, Memberships, Nodes, reason, table

from identities import iam_user
from kube_iam.authn.decide import Allowed, Authenticator, Decision, Denied
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingSnapshot, MappingTable
from kube_iam.core.mapping_entries import GroupMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import parse_template
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupSnapshot

DENIED = Refusal(Reason.DENIED, "alice-1, until then")


@dataclass
class List:
    """A deny list that gives one answer after the other, the last one for ever."""

    answers: list[Refusal | None]
    ready: bool = True
    remembered: list[Identity] = field(default_factory=list)
    iam_groups: list[tuple[str, ...]] = field(default_factory=list)

    def denial(self, identity: Identity, iam_groups: tuple[str, ...] = ()) -> Refusal | None:
        self.iam_groups.append(iam_groups)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def denial_of_name(self, name: str, roles: Collection[str], iam_groups: Collection[str]) -> Refusal | None:
        return self.answers[0]

    def record_sign_in(self, identity: Identity) -> None:
        self.remembered.append(identity)

    def answer_status_query(self, token: str) -> Refusal | None:
        return Refusal(Reason.STATUS_QUERY, token) if token.startswith("probe") else None


class Untouched:
    """A backend that must not be asked."""

    @property
    def snapshot(self) -> MappingSnapshot:
        raise AssertionError("a mapping was looked up")


def decide(denials: List, *backends: object, **more: object) -> Decision:
    authenticator = Authenticator(KnownTokens(ALICE), Backends(*backends), deny_list=denials, **more)  # type: ignore[arg-type]
    return asyncio.run(authenticator.authenticate("k8s-aws-v1.x"))


def test_denied_identity_is_refused_before_any_mapping_is_matched() -> None:
    denials = List([DENIED])
    assert decide(denials, Untouched()) == Denied(DENIED, ALICE)
    assert denials.remembered == []


def test_deny_list_that_is_not_loaded_refuses_everybody() -> None:
    assert reason(decide(List([Refusal(Reason.DENY_LIST_NOT_LOADED)]), Untouched())) is Reason.DENY_LIST_NOT_LOADED


def test_identity_that_is_not_denied_is_allowed_and_recorded() -> None:
    denials = List([None])
    assert isinstance(decide(denials, Backend(table("x"))), Allowed)
    assert denials.remembered == [ALICE]


def test_refused_identity_is_not_recorded_as_signed_in() -> None:
    denials = List([None])
    assert reason(decide(denials, Backend(table()))) is Reason.NOT_MAPPED
    assert denials.remembered == []


def test_a_denial_that_comes_while_ec2_is_asked_counts() -> None:
    denials = List([None, DENIED])
    node = Backend(table("system:node:{{EC2PrivateDNSName}}"))
    assert reason(decide(denials, node, node_names=Nodes("ip-10-0-0-1.ec2.internal"))) is Reason.DENIED
    assert denials.remembered == []


def test_a_denial_that_comes_while_mappings_are_searched_counts_before_map_accounts() -> None:
    by_account = Backend(MappingTable.build((), (), [ACCOUNT])[0])
    allowed = List([None])
    assert isinstance(decide(allowed, by_account), Allowed)
    denials = List([None, DENIED])
    assert decide(denials, by_account) == Denied(DENIED, ALICE)
    assert denials.remembered == []


def test_deny_list_is_asked_with_the_iam_groups_that_admit() -> None:
    user = iam_user("bob", user_id="AIDABOB")
    entries = [GroupMapping(name, parse_template("awsiam:bob"), level="x") for name in ("dev", "ops", "qa")]
    mapped = Backend(MappingTable.build((), (), (), entries)[0])
    cache = MembershipCache(300, lambda: 0.0, lambda: 0.0)
    cache.set_tracked(("dev", "ops", "qa"), ())
    for name in ("dev", "qa"):
        cache.update_group(name, GroupSnapshot(0.0, ACCOUNT, {"bob": "AIDABOB"}))
    denials = List([None])
    authenticator = Authenticator(
        KnownTokens(user), Backends(mapped), deny_list=denials, memberships=Memberships(cache)
    )
    assert isinstance(asyncio.run(authenticator.authenticate("k8s-aws-v1.x")), Allowed)
    assert denials.iam_groups == [(), ("dev", "qa")]
    denials = List([None, DENIED])
    authenticator = Authenticator(
        KnownTokens(user), Backends(mapped), deny_list=denials, memberships=Memberships(cache)
    )
    assert asyncio.run(authenticator.authenticate("k8s-aws-v1.x")) == Denied(DENIED, user)
    assert denials.remembered == []


def test_refusal_of_a_scrubbed_account_names_no_identity() -> None:
    assert decide(List([DENIED]), Untouched(), scrubbed_accounts=[ACCOUNT]) == Denied(
        Refusal(Reason.DENIED), ALICE, scrubbed=True
    )


def test_status_query_is_answered_and_signs_nobody_in() -> None:
    authenticator = Authenticator(KnownTokens(Refusal(Reason.TOKEN_PREFIX)), Backends(), deny_list=List([None]))
    assert asyncio.run(authenticator.authenticate("probe")) == Denied(Refusal(Reason.STATUS_QUERY, "probe"))
    assert asyncio.run(authenticator.authenticate("eyJ")) == Denied(Refusal(Reason.TOKEN_PREFIX))
    without = Authenticator(KnownTokens(Refusal(Reason.TOKEN_PREFIX)), Backends())
    assert asyncio.run(without.authenticate("probe")) == Denied(Refusal(Reason.TOKEN_PREFIX))
