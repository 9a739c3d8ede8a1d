"""The authorizer (docs/protocol.md, section 9): it denies what a sign-in would refuse now, and has no opinion otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest
from decisions import ACCOUNT, ALICE, BOB, ROLE, Backend, Backends, KnownTokens, Memberships, table
from hypothesis import given, settings
from hypothesis import strategies as st
from reviews import EVERYBODY, Denials, review, reviewed

from identities import iam_user, role_session
from kube_iam.authn.authorize import UNDECIDED, Authorizer, StartingAuthorizer, may_be_ours
from kube_iam.authn.decide import PRINCIPAL_ID_KEY, Allowed, Authenticator, Denied, Stages
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping, TemporaryGrant, UserMapping
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.subject_access_review import ReviewedUser
from kube_iam.core.templates import GROUP_VARIABLES, parse_template
from kube_iam.denylist.denial import Denial, denial_of
from kube_iam.membership.cache import MembershipCache
from kube_iam.membership.snapshots import GroupSnapshot, RoleSnapshot

FOREVER = 4e9
VIEWER = f"arn:aws:iam::{ACCOUNT}:role/Viewer"
NAMES = ("alice", "bob")
IAM_GROUPS = ("admins", "viewers")
IDS = {"alice": "AIDAALICE", "bob": "AIDABOB"}
IDENTITIES = [
    *(
        role_session(name, role, user_id=user_id)
        for name in NAMES
        for role in ("Admin", "Viewer")
        for user_id in ("AROAA", "AROAB")
    ),
    *(iam_user(name, user_id=IDS[name]) for name in NAMES),
]


@dataclass(frozen=True)
class World:
    """All that a decision depends on at one moment. `members` is by IAM group; None is a group that was never read."""

    roles: tuple[RoleMapping, ...] = ()
    users: tuple[UserMapping, ...] = ()
    groups: tuple[GroupMapping, ...] = ()
    accounts: tuple[str, ...] = ()
    loaded: bool = True
    members: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    role_ids: dict[str, str] = field(default_factory=dict)
    denials: tuple[Denial, ...] | None = ()
    age: float = 0.0


class Site:
    """One server, whose mappings, memberships and denials change."""

    def __init__(self) -> None:
        self.now = 0.0
        self.backend = Backend(None)
        self.cache = MembershipCache(300, lambda: self.now, lambda: self.now)
        self.denials = Denials()
        memberships = Memberships(self.cache)
        self.authenticator = Authenticator(
            KnownTokens(ALICE), Backends(self.backend), memberships=memberships, deny_list=self.denials
        )
        self.authorizer = Authorizer(self.authenticator.stages, lambda: self.now)

    def become(self, world: World) -> None:
        built = MappingTable.build(world.roles, world.users, world.accounts, world.groups)[0]
        self.now += 1000
        self.cache.set_tracked(IAM_GROUPS, built.requirements)
        for name, members in world.members.items():
            if members is not None:
                snapshot = GroupSnapshot(self.now, ACCOUNT, {each: IDS[each] for each in members})
                self.cache.update_group(name, snapshot)
        for requirement in built.requirements:
            role_id = world.role_ids.get(requirement.role, "AROAA")
            self.cache.update_role(requirement.role, RoleSnapshot(self.now, role_id))
        self.now += world.age
        self.backend.table = built if world.loaded else None
        self.denials.denials, self.denials.now = world.denials, self.now


@st.composite
def worlds(draw: st.DrawFn) -> World:
    def grants() -> tuple[TemporaryGrant, ...]:
        until = draw(st.sampled_from(["1970-01-01T00:20:00Z", "2100-01-01T00:00:00Z"]))
        return tuple(TemporaryGrant(name, IDS[name], until) for name in draw(st.sets(st.sampled_from(NAMES))))

    def role(arn: str) -> RoleMapping:
        username = draw(st.sampled_from(["awsiam:{{SessionNameRaw}}", "{{SessionName}}", "fixed"]))
        group = draw(st.sampled_from(["", *IAM_GROUPS]))
        given_groups = tuple(
            map(parse_template, draw(st.sets(st.sampled_from(["admins", "viewers", "{{AccountID}}"]))))
        )
        return RoleMapping(arn, parse_template(username), given_groups, "r", group, "level", grants() if group else ())

    def of_group(name: str) -> GroupMapping:
        return GroupMapping(
            name,
            parse_template("awsiam:{{UserName}}", GROUP_VARIABLES),
            (parse_template(name),),
            "level",
            grants(),
            "g",
        )

    def denials() -> tuple[Denial, ...]:
        targets = st.sampled_from(["alice", "bob", ROLE, f"arn:aws:iam::{ACCOUNT}:user/bob", "ASIAEXAMPLE000000000"])
        return tuple(
            replace(
                denial_of(text, role=draw(st.sampled_from(["", ROLE])), until=draw(st.sampled_from([1.0, FOREVER])))
            )
            for text in draw(st.sets(targets, max_size=2))
        )

    chance = st.integers(0, 9)
    return World(
        roles=tuple(role(arn) for arn in draw(st.sets(st.sampled_from([ROLE, VIEWER])))),
        users=(UserMapping(BOB.arn, parse_template("bob"), (), "u"),) if draw(chance) == 7 else (),
        groups=tuple(of_group(name) for name in draw(st.sets(st.sampled_from(IAM_GROUPS)))),
        accounts=(ACCOUNT,) if draw(chance) == 7 else (),
        loaded=draw(chance) != 7,
        members={name: tuple(draw(st.sets(st.sampled_from(NAMES)))) for name in IAM_GROUPS},
        role_ids={arn.lower(): draw(st.sampled_from(["AROAA", "AROAB"])) for arn in (ROLE, VIEWER)},
        denials=denials() if draw(chance) != 7 else None,
        age=draw(st.sampled_from([0.0, 0.0, 0.0, 301.0])),
    )


@settings(max_examples=150)
@given(st.sampled_from(IDENTITIES), worlds(), worlds(), st.booleans())
def test_review_denies_exactly_what_a_sign_in_would_refuse_now(
    identity: Identity, before: World, after: World, same_mappings: bool
) -> None:
    if same_mappings:
        after = replace(after, roles=before.roles, users=before.users, groups=before.groups, accounts=before.accounts)
    site = Site()
    site.become(replace(before, denials=(), loaded=True, age=0.0))
    first = asyncio.run(site.authenticator.decide(identity))
    if not isinstance(first, Allowed):
        return
    assert asyncio.run(site.authorizer.review(reviewed(first.user))) is None
    site.become(after)
    verdict = asyncio.run(site.authorizer.review(reviewed(first.user)))
    second = asyncio.run(site.authenticator.decide(identity))
    if isinstance(second, Denied):
        assert verdict is not None
        assert verdict.reason is second.refusal.reason
        if after.denials is None or (not after.loaded and not after.denials):
            assert verdict.reason in UNDECIDED
        return
    assert isinstance(second, Allowed)
    keeps = first.user.username == second.user.username and set(first.user.groups) <= set(second.user.groups)
    assert (verdict.reason if verdict is not None else None) is (None if keeps else Reason.USER_CHANGED)


def stages(backend: Backend, *denials: Denial, **more: object) -> Stages:
    return Stages(Backends(backend), more.get("memberships"), Denials(denials), more.get("scrubbed", ()))  # type: ignore[arg-type]


def signed_in(of: Stages, identity: Identity = ALICE) -> ReviewedUser:
    user = of.user(of.find_mapping(identity), identity)
    assert isinstance(user, Allowed)
    return reviewed(user.user)


def reason(refusal: Refusal | None) -> Reason | None:
    return refusal.reason if refusal is not None else None


ADMIN = Backend(table("awsiam:{{SessionNameRaw}}", ("kube-iam:admin",)))
ALICE_DENIED = denial_of("alice", until=FOREVER)


@pytest.mark.parametrize(
    "denied", ["alice", ROLE, "ASIAEXAMPLE000000000", "AROAEXAMPLE0000000000", f"arn:aws:iam::{ACCOUNT}:user/alice"]
)
def test_review_finds_a_denial_by_name_arn_key_and_id(denied: str) -> None:
    identity = role_session(key="ASIAEXAMPLE000000000", user_id="AROAEXAMPLE0000000000")
    user = signed_in(stages(ADMIN), identity)
    assert review(stages(ADMIN), user) is None
    assert reason(review(stages(ADMIN, denial_of(denied, until=FOREVER)), user)) is Reason.DENIED


def test_review_counts_no_sign_in() -> None:
    denials = Denials()
    of = Stages(Backends(ADMIN), None, denials, ())
    assert review(of, signed_in(of)) is None
    assert denials.recorded == []


def test_keys_in_lower_case_as_an_aggregated_api_server_sends_them_count() -> None:
    user = signed_in(stages(ADMIN))
    lowered = {key.lower(): values for key, values in user.extra.items()}
    for asked in (replace(user, extra=lowered), replace(user, extra=lowered, uid="")):
        assert review(stages(ADMIN), asked) is None
        assert reason(review(stages(ADMIN, denial_of(ROLE, until=FOREVER)), asked)) is Reason.DENIED


def test_iam_user_without_the_empty_session_name_is_the_same_identity() -> None:
    backend = Backend(MappingTable.build([], [UserMapping(BOB.arn, parse_template("bob"), (), "u")], ())[0])
    user = signed_in(stages(backend), BOB)
    extra = {key: values for key, values in user.extra.items() if key != "sessionName"}
    assert review(stages(backend), replace(user, extra=extra)) is None
    assert (
        reason(review(stages(backend, denial_of(BOB.arn, until=FOREVER)), replace(user, extra=extra))) is Reason.DENIED
    )


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("arn", ("not an ARN",)),
        ("arn", (role_session("bob").arn,)),
        ("arn", (f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/" + "a" * 2000,)),
        ("canonicalArn", (VIEWER,)),
        ("sessionName", ("bob",)),
        ("sessionName", ("alice", "bob")),
        ("accessKeyId", ("ASIAEXAMPLE", "ASIAOTHER")),
        (PRINCIPAL_ID_KEY, ("AROAOTHER",)),
        ("Arn", (ALICE.arn,)),
    ],
)
def test_extra_that_contradicts_itself_is_denied(key: str, values: tuple[str, ...]) -> None:
    user = signed_in(stages(ADMIN))
    contradicting = replace(user, extra={**user.extra, key: values})
    assert reason(review(stages(ADMIN), contradicting)) is Reason.EXTRA_MALFORMED


def test_uid_of_another_identity_is_denied() -> None:
    user = replace(signed_in(stages(ADMIN)), uid=f"aws-iam-authenticator:{ACCOUNT}:AROAOTHER")
    assert reason(review(stages(ADMIN), user)) is Reason.EXTRA_MALFORMED


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (ReviewedUser("awsiam:alice", "", ("kube-iam:admin", EVERYBODY)), Reason.DENIED),
        (ReviewedUser("alice", "", ("kube-iam:admin",)), Reason.DENIED),
        (ReviewedUser("awsiam:ALICE", "", ("kube-iam:admin",)), Reason.DENIED),
        (ReviewedUser("awsiam:alice", "aws-iam-authenticator:administrative:awsiam:alice"), Reason.DENIED),
        (ReviewedUser("awsiam:alice", "aws-iam-authenticator:1:AROA", ("x",), {"arn": (ALICE.arn,)}), Reason.DENIED),
        (ReviewedUser("awsiam:bob", "", ("kube-iam:admin",)), None),
        (ReviewedUser("oidc:alice", "", ("developers", EVERYBODY)), None),
        (ReviewedUser("alice", "", ()), None),
        (ReviewedUser("system:kube-scheduler", "", ("kube-iam:admin",)), None),
        (
            ReviewedUser(
                "system:serviceaccount:default:alice", "1", ("system:serviceaccounts",), {"a/pod-name": ("x",)}
            ),
            None,
        ),
        (ReviewedUser("", ""), None),
    ],
)
def test_user_without_extra_is_denied_by_name_in_our_groups_alone(user: ReviewedUser, expected: Reason | None) -> None:
    assert reason(review(stages(ADMIN, ALICE_DENIED), user)) is expected


@pytest.mark.parametrize(
    ("denial", "denied"),
    [
        (denial_of("alice", role=ROLE, until=FOREVER), True),
        (denial_of("alice", role=VIEWER, until=FOREVER), False),
        (Denial("x", "userName", "alice", iam_group="admins"), True),
        (Denial("x", "userName", "alice", iam_group="viewers"), False),
        (denial_of(f"arn:aws:iam::{ACCOUNT}:user/alice", until=FOREVER), True),
        (denial_of("arn:aws:iam::999999999999:user/alice", until=FOREVER), False),
        (denial_of(ROLE, until=FOREVER), False),
        (denial_of("alice", until=-1.0), False),
    ],
)
def test_denial_of_one_level_counts_for_a_name_in_that_levels_group(denial: Denial, denied: bool) -> None:
    entry = RoleMapping(
        ROLE, parse_template("awsiam:{{SessionNameRaw}}"), (parse_template("g"),), "r", "admins", "admin"
    )
    backend = Backend(MappingTable.build([entry], [], ())[0])
    assert (review(stages(backend, denial), ReviewedUser("awsiam:alice", "", ("g",))) is not None) is denied


def test_user_of_others_gets_no_opinion_while_nothing_is_loaded() -> None:
    unloaded = Stages(Backends(Backend(None)), None, Denials(None), ())
    starting = StartingAuthorizer()
    ours = [signed_in(stages(ADMIN)), ReviewedUser("awsiam:alice", "", ("kube-iam:admin",))]
    others = [
        ReviewedUser("system:kube-scheduler", "", (EVERYBODY,)),
        ReviewedUser("system:node:a", "", ("system:nodes",)),
        ReviewedUser("system:serviceaccount:kube-iam:x", "7", ("kube-iam:x",)),
        ReviewedUser("oidc:alice", "", ("developers",)),
        ReviewedUser("system:anonymous", "", ("system:unauthenticated",)),
    ]
    for user in ours:
        assert reason(asyncio.run(starting.review(user))) in UNDECIDED
        assert reason(review(unloaded, user)) in UNDECIDED
    for user in others:
        assert asyncio.run(starting.review(user)) is None
        assert review(unloaded, user) is None


def test_node_by_our_mapping_is_checked_and_its_name_is_not_looked_up() -> None:
    backend = Backend(table("system:node:{{EC2PrivateDNSName}}", ("system:nodes",)))
    node = role_session("i-0123456789abcdef0")
    of = stages(backend)
    user = of.user(of.find_mapping(node), node, "ip-10-0-0-1.ec2.internal")
    assert isinstance(user, Allowed)
    assert review(of, reviewed(user.user)) is None
    assert reason(review(stages(backend, denial_of(ROLE, until=FOREVER)), reviewed(user.user))) is Reason.DENIED


def test_group_that_no_sign_in_gives_any_more_is_denied_and_one_more_is_not() -> None:
    user = signed_in(stages(ADMIN))
    assert review(stages(Backend(table("awsiam:{{SessionNameRaw}}", ("kube-iam:admin", "more")))), user) is None
    assert reason(review(stages(Backend(table("awsiam:{{SessionNameRaw}}", ("viewer",)))), user)) is Reason.USER_CHANGED
    assert reason(review(stages(Backend(table("other", ("kube-iam:admin",)))), user)) is Reason.USER_CHANGED


def test_refusal_of_a_scrubbed_account_names_nobody() -> None:
    user = signed_in(stages(ADMIN))
    assert review(stages(ADMIN, ALICE_DENIED, scrubbed=(ACCOUNT,)), user) == Refusal(Reason.DENIED)


@dataclass
class Reads:
    """Memberships whose groups are read by `refresh`; alice joins with the read if `joins`."""

    joins: bool
    asked: int = 0
    waiting: asyncio.Event | None = None
    cache: MembershipCache = field(default_factory=lambda: MembershipCache(300, lambda: 0.0, lambda: 0.0))

    async def refresh(self, groups: Collection[str], roles: Collection[str] = (), seconds: float = 0.0) -> bool:
        self.asked += 1
        if self.waiting is not None:
            await self.waiting.wait()
        if self.joins:
            self.cache.update_group("admins", GroupSnapshot(0.0, ACCOUNT, {"alice": "AIDAALICE"}))
        return True


def members_only(reads: Reads) -> tuple[Stages, ReviewedUser]:
    entry = RoleMapping(ROLE, parse_template("alice"), (), "mapRoles[0]", "admins", "admin")
    built = MappingTable.build([entry], [], ())[0]
    reads.cache.set_tracked((), built.requirements)
    reads.cache.update_role(built.requirements[0].role, RoleSnapshot(0.0, ALICE.user_id))
    reads.cache.update_group("admins", GroupSnapshot(0.0, ACCOUNT, {}))
    user = signed_in(stages(Backend(table("alice"))))
    return stages(Backend(built), memberships=Memberships(reads.cache, reads.refresh)), user


def test_group_is_read_once_more_before_a_member_is_denied() -> None:
    reads = Reads(joins=True)
    assert review(*members_only(reads)) is None
    assert reads.asked == 1


def test_denied_member_who_asks_again_and_again_costs_one_read_in_15_seconds() -> None:
    reads = Reads(joins=False)
    of, user = members_only(reads)
    clock = [0.0]
    authorizer = Authorizer(of, lambda: clock[0])
    for second in range(30):
        clock[0] = second
        for _ in range(10):
            assert reason(asyncio.run(authorizer.review(user))) is Reason.NOT_MEMBER
    assert reads.asked == 2


def test_reviews_that_wait_for_iam_are_limited() -> None:
    async def many() -> tuple[int, int]:
        reads = Reads(joins=True, waiting=asyncio.Event())
        of, user = members_only(reads)
        authorizer = Authorizer(of, lambda: 0.0)
        asked = [asyncio.create_task(authorizer.review(user)) for _ in range(100)]
        while not any(task.done() for task in asked):
            await asyncio.sleep(0)
        denied = sum(task.done() for task in asked)
        assert reads.waiting is not None
        reads.waiting.set()
        return denied, sum(answer is None for answer in await asyncio.gather(*asked))

    assert asyncio.run(many()) == (36, 64)


TEXTS = st.sampled_from(
    ["", "alice", "system:alice", ALICE.arn, ALICE.canonical_arn, "AROAEXAMPLE", "ASIAEXAMPLE", "\x00", "É"]
)
KEYS = st.sampled_from(
    ["arn", "ARN", "canonicalArn", "sessionName", "accessKeyId", "principalId", PRINCIPAL_ID_KEY, "kube-iam.dev/level"]
)
UIDS = st.sampled_from(["", f"aws-iam-authenticator:{ACCOUNT}:AROAEXAMPLE", "aws-iam-authenticator:", "7"])


@given(
    st.builds(
        ReviewedUser,
        TEXTS | st.text(),
        UIDS | st.text(),
        st.lists(st.sampled_from(["kube-iam:admin", EVERYBODY, "x"]), max_size=3).map(tuple),
        st.dictionaries(KEYS | st.text(), st.lists(TEXTS, max_size=2).map(tuple), max_size=7),
    )
)
def test_any_user_gets_a_denial_or_no_opinion(user: ReviewedUser) -> None:
    for of in (stages(ADMIN, ALICE_DENIED), Stages(Backends(Backend(None)), None, Denials(None), ())):
        answer = review(of, user)
        assert answer is None or isinstance(answer, Refusal)
        if user.name.startswith("system:") and not may_be_ours(user):
            assert answer is None


def test_users_with_more_groups_than_any_cluster_has_are_answered() -> None:
    groups = tuple(f"group-{number}" for number in range(20_000))
    assert review(stages(ADMIN, ALICE_DENIED), ReviewedUser("alice", "", groups)) is None
    assert (
        reason(review(stages(ADMIN, ALICE_DENIED), ReviewedUser("alice", "", (*groups, "kube-iam:admin"))))
        is Reason.DENIED
    )
