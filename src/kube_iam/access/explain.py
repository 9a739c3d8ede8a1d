"""Explains whether a principal is admitted: the chain from an IAM user, its groups and policies to a user in the cluster.

A user reaches a level by its role or with its own keys. Every other principal (role, role session, federated user, account root) is
explained from the mapping on. Who can become that principal is named, and not evaluated.

The decision is the server's own (`ServerView`), about state that was read. Each step says what was checked, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from kube_iam.access.assume_steps import assume_access, simulation_step
from kube_iam.access.desired import desired_entry, role_arn
from kube_iam.access.entry_match import EntryMatch, match_entries, principal_identity
from kube_iam.access.explanation import Explanation, Status, Step, Verdict
from kube_iam.access.iam_facts import IamFacts
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.access.mapping import ServerMapping, pathless
from kube_iam.access.ports import RoleState, User
from kube_iam.core.arns import parse_arn, user_name
from kube_iam.core.identity import Identity
from kube_iam.core.mapping_entries import RoleMapping, TemporaryGrant
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.trust_principals import trusted_principals
from kube_iam.errors import KubeIamError

_EXAMPLE_KEY, _EXAMPLE_SESSION = "ASIAEXAMPLEEXAMPLE00", "session-name"
_BY_ROLE = (Method.ROLE, Method.MAPPED_ROLE)
_NOT_BY_GROUP = ("no_entry", "other_entry")
_OF_ENTRY = (Reason.TEMPLATE_VALUE, Reason.RESERVED_NAME)


@dataclass(frozen=True, slots=True)
class DenialFound:
    """A denial in force: its name, which `undeny` takes, and a text with its end and reason."""

    name: str
    text: str


class ServerView(Protocol):
    """Port: the server's decision about state that was read, and RBAC. Each method raises KubeIamError for what was not read."""

    def mapping(self) -> ServerMapping:
        """Return the mapping as the server reads it. Raises KubeIamError also where a server cannot load it."""

    def grants(self, key: str) -> tuple[TemporaryGrant, ...]:
        """Return the temporary access by the entry with that key (`MappingEntry.key`), also what is over."""

    def decide(self, identity: Identity) -> tuple[str, tuple[str, ...]] | Refusal:
        """Return the user name and groups that the server gives the identity, or its refusal, apart from the deny list."""

    def denial(self, identity: Identity, iam_groups: tuple[str, ...]) -> DenialFound | None:
        """Return the denial that refuses the identity, or None."""

    def bindings(self, username: str, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Return the bindings of RBAC that name the user or one of the groups, as texts."""


@dataclass(frozen=True, slots=True)
class _ServerPart:
    """The steps from the mapping on, and the user that the server gives, empty where it refuses."""

    steps: tuple[Step, ...]
    username: str = ""
    groups: tuple[str, ...] = ()
    open_variables: tuple[str, ...] = ()
    levels: tuple[str, ...] = field(default=())

    def explanation(self, principal: str, steps: Iterable[Step], level: str = "", entry: str = "") -> Explanation:
        """Return the explanation with the steps before and these."""
        chain = Explanation(principal, (*steps, *self.steps), level, entry)
        if chain.verdict is not Verdict.ADMITTED:
            return chain
        return replace(chain, username=self.username, groups=self.groups, open_variables=self.open_variables)


class Explainer:
    """Explains principals of one cluster. `now` is Unix seconds; `options` are words that commands in remedies repeat."""

    def __init__(
        self,
        access: ClusterAccess,
        facts: IamFacts,
        server: ServerView,
        now: float,
        *,
        simulates: bool = True,
        options: str = "",
    ) -> None:
        """With `simulates` IAM is asked for a second opinion of a user's policies."""
        self.access = access
        self._facts = facts
        self._server = server
        self._now = now
        self._simulates = simulates
        self._simulates_refusals = True
        self._options = options

    def user_level(self, name: str, level: Level) -> Explanation:
        """Explain an IAM user of the account, by name or ARN, and a level."""
        user, step = self._user(name)
        if user is None:
            return Explanation(name, (step,), level.name)
        if level.method is Method.PERMISSION_SET:
            text = f"level {level.name} is for users of permission set {level.permission_set} of IAM Identity Center"
            remedy = "assign the permission set in IAM Identity Center, or use a level with a role or group"
            missing = Step(
                "method", Status.MISSING, f"{text}, and {user.name} is an IAM user", "permission_set", remedy
            )
            return Explanation(user.name, (step, missing), level.name)
        if level.method is Method.GROUP:
            part = self._server_part(self._own_keys(user), user.name, level)
            return part.explanation(user.name, (step, *self._group_step(user, level, part.steps)), level.name)
        arn = level.mapped_role or role_arn(self.access, level)
        role, problem = self._role(arn, level)
        if role is None:
            return Explanation(user.name, (step, *self._group_step(user, level, ()), *problem), level.name)
        assumed = self._assume_steps(user, role, level)
        part = self._server_part(self._session(role, user.name), user.name, level)
        group = self._group_step(user, level, (*assumed, *part.steps))
        return part.explanation(user.name, (step, *group, *assumed), level.name)

    def user_levels(self, name: str) -> tuple[Explanation, ...]:
        """Explain an IAM user and every level. What the levels need is read in parallel.

        IAM gives no second opinion of roles that the user surely does not get: of many levels a user has few.
        """
        levels = self.access.levels
        user, _ = self._user(name)
        if user is not None:
            by_role = [
                level.mapped_role or role_arn(self.access, level) for level in levels if level.method in _BY_ROLE
            ]
            self._facts.read_roles(arn.rpartition("/")[2] for arn in by_role if self._is_own(arn, "role"))
            self._facts.read_groups(level.group_name for level in levels if self.access.asks_membership(level))
        self._simulates_refusals = False
        return tuple(self.user_level(name, level) for level in levels)

    def user_entries(self, name: str) -> tuple[Explanation, ...]:
        """Explain an IAM user and the entries outside of levels. Those that surely do not admit the user are left out."""
        user, step = self._user(name)
        try:
            mapping = self._server.mapping()
        except KubeIamError:
            return ()  # the explanation of each level says so
        if user is None:
            return ()
        found = (*self._own_entry(user, step, mapping), *self._role_entries(user, step, mapping))
        return tuple(each for each in found if each.cause is None or each.cause.status is Status.UNKNOWN)

    def principal(self, arn: str, level: Level | None) -> Explanation:
        """Explain a role, role session, federated user, account root or user of another account. Raises ValueError for other text."""
        identity = principal_identity(arn)
        steps: tuple[Step, ...] = ()
        is_own = self._is_own(identity.canonical_arn, "role")
        if is_own:
            role, steps = self._role(identity.canonical_arn, None)
            if role is not None:
                steps = (self._trust_note(role),)
                identity = replace(identity, user_id=self._role_id(role))
        if level is not None:
            steps = (*steps, *self._level_step(identity, level))
        # A user of another account may have the name of one of this account.
        part = self._server_part(identity, identity.session_name if is_own else "", level)
        return part.explanation(arn, steps, level.name if level is not None else next(iter(part.levels), ""))

    # Steps in IAM

    def _user(self, given: str) -> tuple[User | None, Step]:
        """Return the user of that name or ARN, and the step about it."""
        name = user_name(given) or given
        try:
            user = self._facts.user(name)
        except KubeIamError as error:
            return None, Step("user", Status.UNKNOWN, f"IAM user {name}: {error}", "not_read")
        if user is None:
            text = f"there is no IAM user {name} in account {self.access.account}"
            return None, Step("user", Status.MISSING, text, "no_user", f"`aws iam create-user --user-name {name}`")
        if given not in (user.name, user.arn):
            text = f"there is no IAM user {given}; the ARN of {user.name} is {user.arn}"
            return None, Step("user", Status.MISSING, text, "no_user", f"ask for {user.arn}")
        return user, Step("user", Status.OK, f"{user.arn} ({user.unique_id})")

    def _role(self, arn: str, level: Level | None) -> tuple[RoleState | None, tuple[Step, ...]]:
        """Return the role, or the step that says why there is none."""
        name = arn.rpartition("/")[2]
        if not self._is_own(arn, "role"):
            text = f"role {arn} is of another account: who may assume it is not known"
            return None, (Step("role", Status.UNKNOWN, text, "not_read"),)
        try:
            role = self._facts.role(name)
        except KubeIamError as error:
            return None, (Step("role", Status.UNKNOWN, f"role {name}: {error}", "not_read"),)
        if role is not None:
            return role, ()
        is_ours = level is not None and level.method is Method.ROLE and not level.existing_role
        remedy = self._command("apply") if is_ours else f"create role {name}, or correct its name"
        return None, (Step("role", Status.MISSING, f"there is no role {name}", "no_role", remedy),)

    def _assume_steps(self, user: User, role: RoleState, level: Level | None) -> tuple[Step, ...]:
        """Return the steps by which the user gets a session of the role, and IAM's second opinion."""
        found = assume_access(self._facts, user, role, self._now)
        apply = self._command("apply") if level is not None and level.method is Method.ROLE else ""
        is_ours = bool(apply) and level is not None and not level.existing_role
        remedies = {"no_policy": apply, "trust": apply if is_ours else f"correct the trust policy of role {role.name}"}
        steps = [replace(step, remedy=step.remedy or remedies.get(step.reason, "")) for step in found.steps]
        if self._simulates and (self._simulates_refusals or found.allowed is not False):
            steps.append(simulation_step(self._facts, user, role, found, self._now))
        return tuple(steps)

    def _group_step(self, user: User, level: Level, later: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the step of the level's IAM group. It is missing where a later step is missing for want of membership."""
        if not level.group_name:
            return ()
        try:
            groups = self._facts.groups_of(user.name)
        except KubeIamError as error:
            return (Step("group", Status.UNKNOWN, f"groups of {user.name}: {error}", "not_read"),)
        if level.group_name in groups:
            return (Step("group", Status.OK, f"{user.name} is in IAM group {level.group_name}"),)
        grants = self._grants(user, level)
        current = [each for each in grants if each.ends > self._now and each.user_id == user.unique_id]
        text = f"{user.name} is not in IAM group {level.group_name}"
        if current:
            reason = f" ({current[0].reason})" if current[0].reason else ""
            access = f"temporary access until {current[0].until}{reason}"
            return (Step("temporary", Status.OK, f"{text}, and has {access}"),)
        depends = ("no_policy", Reason.NOT_MEMBER.value, *(_NOT_BY_GROUP if level.method is Method.GROUP else ()))
        if not any(each.status is Status.MISSING and each.reason in depends for each in later):
            return (Step("group", Status.NOTE, text),)
        ended = f"; temporary access ended at {grants[0].until}" if grants else ""
        return (Step("group", Status.MISSING, text + ended, "not_member", self._grant_remedy(user, level)),)

    def _grant_remedy(self, user: User, level: Level) -> str:
        if level.members is None:
            return self._command(f"grant {user.name} {level.name}")
        place = self.access.place_of(level.members)
        return f"add {user.name} to the members of level {level.name} ({place}), then run {self._command('apply')}"

    def _grants(self, user: User, level: Level) -> list[TemporaryGrant]:
        """Return the user's temporary access to the level, none where the mapping was not read."""
        try:
            found = self._server.grants(desired_entry(self.access, level).key)
        except KubeIamError:
            return []
        return [each for each in found if each.user_name == user.name]

    def _trust_note(self, role: RoleState) -> Step:
        try:
            named = [f"{each}{' (conditions)' if each.conditional else ''}" for each in trusted_principals(role.trust)]
        except ValueError as problem:
            return Step("trust", Status.NOTE, f"role {role.name}: {problem}")
        return Step("trust", Status.NOTE, f"the trust policy of role {role.name} is for {', '.join(named) or 'nobody'}")

    def _level_step(self, identity: Identity, level: Level) -> tuple[Step, ...]:
        """Return why the principal is not one of the level, nothing where it is."""
        entry = desired_entry(self.access, level)
        if ":role/" in identity.comparable_arn:
            is_of_level = entry.matches_role(identity.comparable_arn)
        else:
            is_of_level = level.method is Method.GROUP and bool(identity.user_name)
        if is_of_level:
            return ()
        if identity.user_name and level.method is Method.ROLE:
            text = f"{identity.arn} is of another account: whether it may assume the level's role is not known"
            return (Step("level", Status.UNKNOWN, text, "not_read"),)
        text = f"{identity.arn} is no principal of level {level.name}, which is for {entry.name}"
        return (Step("level", Status.MISSING, text, "other_level"),)

    # Steps in the server

    def _server_part(self, identity: Identity, person: str, level: Level | None) -> _ServerPart:
        """Return the steps from the mapping on. `person` is the IAM user's name, empty where it is not known."""
        try:
            mapping = self._server.mapping()
        except KubeIamError as error:
            return _ServerPart((Step("entry", Status.UNKNOWN, f"mapping: {error}", "not_read"),))
        found = match_entries(identity, mapping, self._groups_or_none(person), self._now)
        entry, match = found.entry, found.entry.match if found.entry is not None else None
        iam_groups = match.iam_groups if match is not None else ()
        if match is not None and match.requirement is not None and not identity.session_name:
            text = f"its sessions are admitted if they are named after a member of IAM group {iam_groups[0]}"
            remedy = f"ask for a user or a session: arn:…:assumed-role/{match.requirement.role_name}/NAME"
            membership = Step("membership", Status.UNKNOWN, text, "no_session", remedy)
            return _ServerPart((self._entry_step(found, level), membership, self._denial_step(identity, iam_groups)))
        try:
            decision = self._server.decide(_example(identity))
        except KubeIamError as error:
            decided = Step("membership", Status.UNKNOWN, str(error), "not_read")
            return _ServerPart((self._entry_step(found, level), decided, self._denial_step(identity, iam_groups)))
        if isinstance(decision, Refusal):
            refused = self._refused_steps(found, decision, level)
            return _ServerPart((*refused, self._denial_step(identity, iam_groups)))
        admitted = [self._entry_step(found, level)]
        if iam_groups:
            admitted.append(self._membership_step(person, iam_groups))
        admitted.append(self._denial_step(identity, iam_groups))
        open_variables = entry.open_variables if entry is not None else ()
        names = entry.user if entry is not None and open_variables and not isinstance(entry.user, Refusal) else decision
        if not any(step.status in (Status.MISSING, Status.UNKNOWN) for step in admitted):
            admitted += self._result_steps(names, level, open_variables)
        return _ServerPart(tuple(admitted), *names, open_variables, match.levels if match is not None else ())

    def _membership_step(self, person: str, iam_groups: tuple[str, ...]) -> Step:
        """Return the membership step of a principal that the server admits."""
        groups = self._groups_or_none(person) or ()
        member_of = [name for name in iam_groups if name in groups]
        if member_of:
            return Step("membership", Status.OK, f"the entry is for members of IAM group {', '.join(member_of)}")
        return Step("membership", Status.OK, f"the entry has temporary access of {person}")

    def _entry_step(self, found: EntryMatch, level: Level | None) -> Step:
        if found.entry is not None:
            text = f"{found.entry.place}: {found.entry.principal}"
            if (
                level is not None
                and level.method is Method.GROUP
                and level.group_name not in found.entry.match.iam_groups
            ):
                text = f"the server uses {text}, and no entry of IAM group {level.group_name}"
                return Step("entry", Status.MISSING, text, "other_entry")
            return Step("entry", Status.OK, text)
        near = [f"{each.place} ({each.principal}): {each.reason} [{each.code}]" for each in found.nearest]
        text = "no entry of the mapping matches" + (f"; nearest: {'; '.join(near)}" if near else "")
        return Step("entry", Status.MISSING, text, "no_entry", self._command("apply") if level is not None else "")

    def _refused_steps(self, found: EntryMatch, refusal: Refusal, level: Level | None) -> tuple[Step, ...]:
        entry = self._entry_step(found, level)
        if refusal.reason is Reason.NOT_MAPPED or entry.status is Status.MISSING:
            return (entry,)
        if refusal.reason in _OF_ENTRY:
            text = found.missing[1] if found.missing is not None else refusal.message
            return (
                replace(entry, status=Status.MISSING, detail=f"{entry.detail}: {text}", reason=refusal.reason.value),
            )
        is_ours = level is not None and refusal.reason in (Reason.SESSION_NAME_UNRESTRICTED, Reason.MEMBERSHIP_STALE)
        remedy = self._command("apply") if is_ours else ""
        return (entry, Step("membership", Status.MISSING, refusal.message, refusal.reason.value, remedy))

    def _denial_step(self, identity: Identity, iam_groups: tuple[str, ...]) -> Step:
        try:
            found = self._server.denial(identity, iam_groups)
        except KubeIamError as error:
            return Step("deny_list", Status.UNKNOWN, f"deny list: {error}", "not_read")
        if found is None:
            return Step("deny_list", Status.OK, "no denial in force is for this principal")
        return Step("deny_list", Status.MISSING, found.text, "denied", self._command(f"undeny {found.name}"))

    def _result_steps(
        self, names: tuple[str, tuple[str, ...]], level: Level | None, open_variables: tuple[str, ...]
    ) -> Iterator[Step]:
        username, groups = names
        if level is not None and not set(level.groups) <= set(groups):
            lacking = ", ".join(sorted(set(level.groups) - set(groups)))
            text = f"the entry does not give the groups {lacking} of level {level.name}; see {self._command('plan')}"
            yield Step("level", Status.NOTE, text, "other_groups")
        try:
            bindings = self._server.bindings("" if open_variables else username, groups)
        except KubeIamError as error:
            yield Step("rbac", Status.NOTE, f"bindings were not read: {error}", "not_read")
            return
        if not bindings and level is not None and self.access.is_synced(level):
            text = f"no binding of level {level.name} names {username}: its bindings name the members one by one"
            remedy = "look at the log of kube-iam sync, which adds members to them"
            yield Step("rbac", Status.NOTE, text, "no_binding", remedy)
            return
        yield Step("rbac", Status.NOTE, "; ".join(bindings) or "no binding names this user or these groups")

    # Entries outside of levels

    def _own_entry(self, user: User, step: Step, mapping: ServerMapping) -> Iterator[Explanation]:
        """Explain what the user gets with its own keys, unless levels alone give it."""
        found = match_entries(self._own_keys(user), mapping, self._groups_or_none(user.name), self._now).entry
        levels = {level.group_name.casefold() for level in self.access.levels if level.method is Method.GROUP}
        if found is None or (found.match.iam_groups and {name.casefold() for name in found.match.iam_groups} <= levels):
            return
        part = self._server_part(self._own_keys(user), user.name, None)
        yield part.explanation(user.name, (step,), entry=found.place)

    def _role_entries(self, user: User, step: Step, mapping: ServerMapping) -> Iterator[Explanation]:
        """Explain the roles outside of levels for which the mapping has an entry."""
        of_levels = {desired_entry(self.access, level).key for level in self.access.levels}
        entries: dict[str, tuple[str, RoleMapping]] = {}
        for entry in mapping.roles:
            arn = entry.who if isinstance(entry.who, str) else ""
            if self._is_own(arn, "role") and pathless(arn) not in of_levels:
                entries.setdefault(pathless(arn), (arn, entry))
        self._facts.read_roles(arn.rpartition("/")[2] for arn, _ in entries.values())
        for arn, entry in entries.values():
            role, problem = self._role(arn, None)
            if role is None:
                yield Explanation(user.name, (step, *problem), entry=mapping.place(entry.where))
                continue
            part = self._server_part(self._session(role, user.name), user.name, None)
            steps = (step, *self._assume_steps(user, role, None))
            yield part.explanation(user.name, steps, entry=mapping.place(entry.where))

    # Identities

    def _own_keys(self, user: User) -> Identity:
        return Identity(user.arn, user.arn, self.access.account, user.unique_id, "", "", "")

    def _session(self, role: RoleState, session_name: str) -> Identity:
        """Return the identity of a new session of the role, as STS shows it."""
        account = self.access.account
        arn = f"arn:{self.access.partition}:sts::{account}:assumed-role/{role.name}/{session_name}"
        return principal_identity(arn, self._role_id(role))

    def _role_id(self, role: RoleState) -> str:
        try:
            return self._facts.role_id(role.name)
        except KubeIamError:
            return ""  # the server's view reads it too, and says so

    def _groups_or_none(self, person: str) -> frozenset[str] | None:
        try:
            return self._facts.groups_of(person) if person else None
        except KubeIamError:
            return None

    def _is_own(self, arn: str, kind: str) -> bool:
        """Return whether the ARN is that of a principal of this kind in the file's account."""
        parsed = parse_arn(pathless(arn))
        own = (self.access.partition, self.access.account)
        return (
            parsed is not None and (parsed.partition, parsed.account) == own and parsed.resource.startswith(f"{kind}/")
        )

    def _command(self, words: str) -> str:
        return f"`kube-iam {words}{self._options}`"


def _example(identity: Identity) -> Identity:
    """Return the identity with an example in place of the access key, and of the session name where it is not known."""
    if ":role/" in identity.comparable_arn and not identity.session_name:
        return replace(identity, session_name=_EXAMPLE_SESSION, access_key_id=_EXAMPLE_KEY)
    return replace(identity, access_key_id=identity.access_key_id or _EXAMPLE_KEY)


def own_user(arn: str, access: ClusterAccess) -> str:
    """Return the name of the IAM user of the file's account that the ARN names, empty for every other principal."""
    parsed = parse_arn(arn)
    is_own = parsed is not None and (parsed.partition, parsed.account) == (access.partition, access.account)
    return user_name(arn) if is_own else ""
