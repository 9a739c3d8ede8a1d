"""A fake AWS account, a fake cluster and a fake mapping, in memory, behind the real ports. They keep IAM's rules that matter here:
names are unique whatever the path, a group or policy in use cannot be deleted, a role's path cannot change.

`World.fail_after` stops the run as a kill would: the write has happened, and the program gets no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from kube_iam.access.mapping import MappingEntry, ServerMapping
from kube_iam.access.ports import (
    BindingState,
    Caller,
    GroupState,
    HeldPolicy,
    Holder,
    Item,
    PolicyState,
    Ports,
    Result,
    RoleState,
    Simulation,
    Subject,
    User,
)
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping, TemporaryGrant, UserMapping
from kube_iam.core.templates import GROUP_VARIABLES, VARIABLES, Template, parse_template, unusable_template
from kube_iam.errors import AccessDenied, AwsError, Conflict, KubeIamError, NotFound

ACCOUNT = "123456789012"


class Killed(BaseException):
    """A kill of the program: not an Exception, so that the program cannot catch it."""


@dataclass
class World:
    """State that the three fakes share: the count of calls, and when to stop or to fail."""

    writes: int = 0
    reads: int = 0
    log: list[str] = field(default_factory=list)
    fail_after: int | None = None  # kill the run when this many writes have happened
    errors: dict[str, KubeIamError] = field(default_factory=dict)  # method name -> the error that it raises

    def read(self, method: str) -> None:
        self.reads += 1
        self.log.append(method)
        if method in self.errors:
            raise self.errors[method]

    def write(self, method: str, effect: Callable[[], None]) -> None:
        if self.fail_after == 0:
            raise Killed
        if method in self.errors:
            raise self.errors[method]
        effect()
        self.writes += 1
        self.log.append(method)
        if self.fail_after is not None and self.writes >= self.fail_after:
            raise Killed


class FakeDirectory:
    """IAM of one account."""

    def __init__(self, world: World, users: tuple[str, ...] = ("alice", "bob", "carol")) -> None:
        self.world = world
        self.account = ACCOUNT
        self.caller_arn = f"arn:aws:iam::{ACCOUNT}:user/root-admin"
        self.policy_states: dict[str, PolicyState] = {}
        self.role_states: dict[str, RoleState] = {}
        self.group_states: dict[str, GroupState] = {}
        self.group_members: dict[str, set[str]] = {}
        self.group_policies: dict[str, tuple[str, ...]] = {}  # inline
        self.other_attachments: set[tuple[Holder, str]] = set()  # to users and roles
        self.user_policies: dict[tuple[str, str], object] = {}
        self.access_keys: dict[str, str] = {}
        self.inline_documents: dict[tuple[Holder, str], object] = {}  # of groups
        self.simulation: Simulation | None = None
        self.simulated: list[tuple[str, str, str, dict[str, str | bool | float]]] = []
        self.all_users = {name: User(name, f"arn:aws:iam::{ACCOUNT}:user/{name}", f"AIDA{name}") for name in users}

    def state(self) -> object:
        """Everything that a plan can change, for comparing two accounts."""
        members = {group: frozenset(names) for group, names in self.group_members.items()}
        states = (self.policy_states, self.role_states, self.group_states, self.user_policies)
        return (*(dict(state) for state in states), members)

    def each(self, read: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        return [read(item) for item in items]

    def caller(self) -> Caller:
        self.world.read("caller")
        return Caller(self.account, self.caller_arn)

    def policies(self, path_prefix: str) -> tuple[PolicyState, ...]:
        self.world.read("policies")
        found = (policy for policy in self.policy_states.values() if policy.path.startswith(path_prefix))
        return tuple(replace(policy, attachments=len(self._holders(policy.arn))) for policy in found)

    def _holders(self, arn: str) -> tuple[Holder, ...]:
        groups = tuple(Holder("group", name) for name, group in self.group_states.items() if arn in group.attached)
        return groups + tuple(holder for holder, attached in self.other_attachments if attached == arn)

    def holders(self, arn: str) -> tuple[Holder, ...]:
        self.world.read("holders")
        return self._holders(arn)

    def detach_from(self, holder: Holder, arn: str) -> None:
        if holder.kind == "group":
            return self.detach(holder.name, arn)
        return self.world.write("detach_from", lambda: self.other_attachments.discard((holder, arn)))

    def policy(self, arn: str) -> PolicyState | None:
        self.world.read("policy")
        found = self.policy_states.get(arn)
        return replace(found, attachments=len(self._holders(arn))) if found is not None else None

    def create_policy(self, name: str, path: str, document: object, tags: Mapping[str, str], description: str) -> str:
        arn = f"arn:aws:iam::{ACCOUNT}:policy{path}{name}"

        def effect() -> None:
            if any(policy.name.casefold() == name.casefold() for policy in self.policy_states.values()):
                raise Conflict(f"policy {name} exists")
            self.policy_states[arn] = PolicyState(arn, name, path, document, dict(tags))

        self.world.write("create_policy", effect)
        return arn

    def update_policy(self, arn: str, document: object) -> None:
        def effect() -> None:
            self.policy_states[arn] = replace(self.policy_states[arn], document=document)

        self.world.write("update_policy", effect)

    def tag_policy(self, arn: str, tags: Mapping[str, str]) -> None:
        def effect() -> None:
            state = self.policy_states[arn]
            self.policy_states[arn] = replace(state, tags={**state.tags, **tags})

        self.world.write("tag_policy", effect)

    def untag_policy(self, arn: str, keys: tuple[str, ...]) -> None:
        def effect() -> None:
            state = self.policy_states[arn]
            left = {key: value for key, value in state.tags.items() if key not in keys}
            self.policy_states[arn] = replace(state, tags=left)

        self.world.write("untag_policy", effect)

    def delete_policy(self, arn: str) -> None:
        def effect() -> None:
            if self._holders(arn):
                raise Conflict(f"policy {arn} is attached")
            self.policy_states.pop(arn, None)

        self.world.write("delete_policy", effect)

    def role(self, name: str) -> RoleState | None:
        self.world.read("role")
        return self.role_states.get(name)

    def role_id(self, name: str) -> str:
        self.world.read("role_id")
        return f"AROA{name.replace('-', '').upper()}" if name in self.role_states else ""

    def create_role(
        self,
        name: str,
        path: str,
        trust: object,
        tags: Mapping[str, str],
        max_session_seconds: int,
        description: str,
        boundary: str = "",
    ) -> str:
        arn = f"arn:aws:iam::{ACCOUNT}:role{path}{name}"

        def effect() -> None:
            if name.casefold() in map(str.casefold, self.role_states):
                raise Conflict(f"role {name} exists")
            self.role_states[name] = RoleState(
                arn,
                name,
                path,
                trust,
                dict(tags),
                max_session_seconds,
                description,
                boundary=boundary,
                created=float(self.world.writes),
            )

        self.world.write("create_role", effect)
        return arn

    def update_role(self, name: str, trust: object, max_session_seconds: int, description: str) -> None:
        def effect() -> None:
            self.role_states[name] = replace(
                self.role_states[name],
                trust=trust,
                max_session_seconds=max_session_seconds,
                description=description,
            )

        self.world.write("update_role", effect)

    def tag_role(self, name: str, tags: Mapping[str, str]) -> None:
        def effect() -> None:
            state = self.role_states[name]
            self.role_states[name] = replace(state, tags={**state.tags, **tags})

        self.world.write("tag_role", effect)

    def set_boundary(self, name: str, boundary: str) -> None:
        def effect() -> None:
            self.role_states[name] = replace(self.role_states[name], boundary=boundary)

        self.world.write("set_boundary", effect)

    def delete_role(self, name: str) -> None:
        def effect() -> None:
            if name in self.role_states and self.role_states[name].policies:
                raise Conflict(f"role {name} has policies")
            self.role_states.pop(name, None)

        self.world.write("delete_role", effect)

    def groups(self, path_prefix: str) -> tuple[GroupState, ...]:
        self.world.read("groups")
        return tuple(group for group in self.group_states.values() if group.path.startswith(path_prefix))

    def group(self, name: str) -> GroupState | None:
        self.world.read("group")
        return self.group_states.get(name)

    def inline_policies(self, group: str) -> tuple[str, ...]:
        self.world.read("inline_policies")
        return self.group_policies.get(group, ())

    def create_group(self, name: str, path: str) -> str:
        arn = f"arn:aws:iam::{ACCOUNT}:group{path}{name}"

        def effect() -> None:
            if name.casefold() in map(str.casefold, self.group_states):
                raise Conflict(f"group {name} exists")
            self.group_states[name] = GroupState(arn, name, path)
            self.group_members[name] = set()

        self.world.write("create_group", effect)
        return arn

    def move_group(self, name: str, path: str) -> None:
        def effect() -> None:
            arn = f"arn:aws:iam::{ACCOUNT}:group{path}{name}"
            self.group_states[name] = replace(self.group_states[name], arn=arn, path=path)

        self.world.write("move_group", effect)

    def delete_group(self, name: str) -> None:
        def effect() -> None:
            attached = name in self.group_states and self.group_states[name].attached
            if self.group_members.get(name) or attached or self.group_policies.get(name):
                raise Conflict(f"group {name} is in use")
            self.group_states.pop(name, None)
            self.group_members.pop(name, None)

        self.world.write("delete_group", effect)

    def attach(self, group: str, policy_arn: str) -> None:
        def effect() -> None:
            if policy_arn not in self.policy_states and f":{ACCOUNT}:" in policy_arn:
                raise NotFound(f"policy {policy_arn}")
            state = self.group_states[group]
            self.group_states[group] = replace(state, attached=tuple(sorted({*state.attached, policy_arn})))

        self.world.write("attach", effect)

    def detach(self, group: str, policy_arn: str) -> None:
        def effect() -> None:
            state = self.group_states[group]
            left = tuple(arn for arn in state.attached if arn != policy_arn)
            self.group_states[group] = replace(state, attached=left)

        self.world.write("detach", effect)

    def members(self, group: str) -> tuple[User, ...]:
        self.world.read("members")
        if group not in self.group_states:
            raise NotFound(f"no IAM group {group}")
        return tuple(self.all_users[name] for name in sorted(self.group_members[group]))

    def users(self) -> Iterator[User]:
        self.world.read("users")
        yield from self.all_users.values()

    def user(self, name: str) -> User | None:
        self.world.read("user")
        return self.all_users.get(name)

    def key_owner(self, access_key_id: str) -> str:
        self.world.read("key_owner")
        return self.access_keys.get(access_key_id, "")

    def groups_of(self, user: str) -> frozenset[str]:
        self.world.read("groups_of")
        return frozenset(name for name, members in self.group_members.items() if user in members)

    def add_member(self, group: str, user: str) -> None:
        self.world.write("add_member", lambda: self.group_members[group].add(user))

    def remove_member(self, group: str, user: str) -> None:
        self.world.write("remove_member", lambda: self.group_members[group].discard(user))

    def user_policy(self, user: str, name: str) -> object | None:
        self.world.read("user_policy")
        if not re.fullmatch(r"[A-Za-z0-9_+=,.@-]{1,64} [A-Za-z0-9_+=,.@-]{1,128}", f"{user} {name}"):
            raise AwsError(f"read policy {name} of user {user}: ValidationError")
        return self.user_policies.get((user, name))

    def put_user_policy(self, user: str, name: str, document: object) -> None:
        self.world.write("put_user_policy", lambda: self.user_policies.update({(user, name): document}))

    def delete_user_policy(self, user: str, name: str) -> None:
        def effect() -> None:
            self.user_policies.pop((user, name), None)

        self.world.write("delete_user_policy", effect)

    def held_policies(self, holder: Holder) -> tuple[HeldPolicy, ...]:
        self.world.read("held_policies")
        if holder.kind == "group":
            state = self.group_states.get(holder.name)
            attached = state.attached if state is not None else ()
            inline = {
                name: self.inline_documents.get((holder, name)) for name in self.group_policies.get(holder.name, ())
            }
        else:
            attached = tuple(arn for other, arn in self.other_attachments if other == holder)
            inline = {name: document for (user, name), document in self.user_policies.items() if user == holder.name}
        return (
            *(
                HeldPolicy(holder, policy.name, policy.document, arn)
                for arn in attached
                if (policy := self.policy_states.get(arn)) is not None
            ),
            *(HeldPolicy(holder, name, document) for name, document in inline.items()),
        )

    def policy_document(self, arn: str) -> object | None:
        self.world.read("policy_document")
        state = self.policy_states.get(arn)
        return state.document if state is not None else None

    def simulate(
        self, user_arn: str, action: str, resource: str, context: Mapping[str, str | bool | float]
    ) -> Simulation:
        self.world.read("simulate")
        self.simulated.append((user_arn, action, resource, dict(context)))
        if self.simulation is None:
            raise AccessDenied("cannot simulate", "the caller needs the permission iam:SimulatePrincipalPolicy")
        return self.simulation


class FakeCluster:
    """RBAC bindings of one cluster."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.subject = Subject("kubernetes-admin", ("system:masters",))
        self.binding_states: dict[tuple[str, str], BindingState] = {}
        self.rbac = {("ClusterRole", "", name) for name in ("cluster-admin", "edit", "view")}

    def state(self) -> object:
        return dict(self.binding_states)

    def whoami(self) -> Subject:
        self.world.read("whoami")
        return self.subject

    def bindings(self) -> tuple[BindingState, ...]:
        self.world.read("bindings")
        return tuple(binding for binding in self.binding_states.values() if binding.level or binding.cluster)

    def binding(self, namespace: str, name: str) -> BindingState | None:
        self.world.read("binding")
        return self.binding_states.get((namespace, name))

    def role_exists(self, kind: str, namespace: str, name: str) -> bool:
        self.world.read("role_exists")
        return (kind, namespace, name) in self.rbac

    def apply_binding(self, binding: BindingState) -> None:
        self.world.write("apply_binding", lambda: self.binding_states.update({binding.ident: binding}))

    def delete_binding(self, namespace: str, name: str) -> None:
        def effect() -> None:
            self.binding_states.pop((namespace, name), None)

        self.world.write("delete_binding", effect)


class FakeStore:
    """mapRoles and mapGroups."""

    def __init__(self, world: World, entries: tuple[MappingEntry, ...] = ()) -> None:
        self.world = world
        self.all_entries = list(entries)
        self.other_entries: tuple[MappingEntry, ...] = ()
        self.user_mappings: tuple[UserMapping, ...] = ()  # of the server's view alone, as accounts
        self.accounts: tuple[str, ...] = ()
        self.all_faults: tuple[str, ...] = ()

    def state(self) -> object:
        return sorted(map(repr, self.all_entries))

    def describe(self) -> str:
        return "a fake mapping"

    def entries(self) -> tuple[MappingEntry, ...]:
        self.world.read("entries")
        return tuple(self.all_entries)

    def faults(self) -> tuple[str, ...]:
        return self.all_faults

    def reserved_prefixes(self) -> tuple[str, ...]:
        return ()

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        return {}

    def others(self) -> tuple[MappingEntry, ...]:
        return self.other_entries

    def server_mapping(self) -> ServerMapping:
        def template(text: str, variables: tuple[str, ...]) -> Template:
            try:
                return parse_template(text, variables)
            except ValueError:
                return unusable_template(text)

        def templates(entry: MappingEntry, variables: tuple[str, ...]) -> tuple[Template, tuple[Template, ...]]:
            return template(entry.username, variables), tuple(template(each, variables) for each in entry.groups)

        roles = tuple(
            RoleMapping(
                each.sso or each.role_arn,
                *templates(each, VARIABLES),
                f"mapRoles[{number}]",
                each.iam_group,
                each.level,
                each.temporary,
            )
            for number, each in enumerate(self.all_entries)
            if each.sso or each.role_arn
        )
        groups = tuple(
            GroupMapping(
                each.iam_group,
                *templates(each, GROUP_VARIABLES),
                each.level,
                each.temporary,
                f"mapGroups[{number}]",
            )
            for number, each in enumerate(self.all_entries)
            if not (each.sso or each.role_arn)
        )
        return ServerMapping(self.describe(), roles, self.user_mappings, groups, self.accounts)

    def put(self, entry: MappingEntry) -> None:
        def effect() -> None:
            for index, found in enumerate(self.all_entries):
                if found.key == entry.key:
                    keeps = entry.iam_group and found.level in ("", entry.level)
                    self.all_entries[index] = replace(entry, temporary=found.temporary if keeps else ())
                    return
            self.all_entries.append(replace(entry, temporary=()))

        self.world.write("put", effect)

    def adopt(self, entry: MappingEntry) -> None:
        self.put(entry)

    def remove(self, entry: MappingEntry) -> None:
        def effect() -> None:
            self.all_entries[:] = [found for found in self.all_entries if found.key != entry.key]

        self.world.write("remove", effect)

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:
        if not any(found.key == entry.key and found.iam_group for found in self.all_entries):
            raise NotFound(f"no entry {entry.name}")
        self.world.write("add_temporary", lambda: self._change(entry, grant.user_name, (grant,)))

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        kept = [who for found in self.all_entries for who in found.temporary if only and who != only]
        mine = tuple(who for who in kept if who.user_name == user_name)
        self.world.write("remove_temporary", lambda: self._change(entry, user_name, mine))

    def _change(self, entry: MappingEntry, user_name: str, added: tuple[TemporaryGrant, ...]) -> None:
        for index, found in enumerate(self.all_entries):
            if found.key == entry.key:
                others = tuple(who for who in found.temporary if who.user_name != user_name)
                self.all_entries[index] = replace(found, temporary=(*others, *added))


class FakeAccount:
    """All three together, and the ports over them."""

    def __init__(self, entries: tuple[MappingEntry, ...] = ()) -> None:
        self.world = World()
        self.directory = FakeDirectory(self.world)
        self.cluster = FakeCluster(self.world)
        self.store = FakeStore(self.world, entries)
        self.ports = Ports(self.directory, self.cluster, self.store)

    def state(self) -> object:
        """Everything that a plan can change."""
        return (self.directory.state(), self.cluster.state(), self.store.state())
