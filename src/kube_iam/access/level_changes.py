"""Changes that make one level what the file says: policy, role, group, attachment, bindings, and last the mapping entry.

The mapping entry admits the level's members, so it comes after everything that it relies on. A change that replaces something in place
becomes two: one that adds, and one that removes. The plan makes removals after all additions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kube_iam.access.changes import (
    TAG,
    Attachment,
    Change,
    Field,
    Item,
    Kind,
    Membership,
    Verb,
    added,
    binding_fields,
    binding_name,
    changed,
    differing,
    drift_fields,
    entry_fields,
    member_change,
    removed,
    spelled_as,
    tag_changes,
    tag_fields,
)
from kube_iam.access.desired import (
    EXISTING_GROUPS_TAG,
    EXISTING_ROLES_TAG,
    LEVEL_TAG,
    AnyLevel,
    DesiredLevel,
    DesiredRole,
    MappedLevel,
    assumed_roles,
    names_in_tag,
    names_tag,
    of_former_level,
    same_document,
)
from kube_iam.access.mapping import MappingEntry, given, is_removable, role_key
from kube_iam.access.member_lists import joining, leave_early, leaving
from kube_iam.access.observed import Observed
from kube_iam.access.ports import BindingState, GroupState, PolicyState, RoleState
from kube_iam.access.reassignments import moved_members
from kube_iam.access.tombstones import stale_entry, unusable_principal
from kube_iam.access.unmanaged import UnmanagedResource, unmanaged_binding, unmanaged_entry, unmanaged_resource

EXISTING = (EXISTING_ROLES_TAG, EXISTING_GROUPS_TAG)


def document_for_now(level: DesiredLevel, have: object, former: Iterable[str]) -> dict[str, object]:
    """Return the policy's document until the level's `former` roles (ARNs) are deleted: it names them beside the new role.

    Until then the document is the only record of a former role, and users may still have sessions of that role alone.
    """
    want, former = level.policy.document, sorted(former)
    if not former or not isinstance(have, dict):
        return want
    if level.role is None:
        return have
    return {**want, "Statement": [{**_only_statement(want), "Resource": [level.role.arn, *former]}]}


def binding_for_now(have: BindingState, want: BindingState, present: Iterable[str]) -> BindingState:
    """Return the binding until the mapping entry is changed: until then users of the level have the `present` groups of the entry."""
    present = set(present)
    groups = (*want.groups, *(each for each in have.groups if each in present - set(want.groups)))
    # Users of a level that was synced keep their access until the entry gives them its groups.
    users = have if want.source is None and have.source is not None else want
    return replace(want, groups=groups, users=users.users, source=users.source)


def adds(have: BindingState, now: BindingState) -> bool:
    """Return whether the change of a binding does more than remove groups of others."""
    return bool(set(now.groups) - set(have.groups)) or replace(have, groups=()) != replace(now, groups=())


def _kept_settings(have: RoleState, want: DesiredRole) -> DesiredRole:
    """Return the role with the boundary and the tags of others that it has now, for a role that is created again."""
    tags = {key: value for key, value in have.tags.items() if not key.casefold().startswith("aws:")}
    boundary = have.boundary if want.boundary is None else want.boundary
    return replace(want, tags={**tags, **spelled_as(tags, want.tags)}, boundary=boundary)


def _only_statement(document: dict[str, object]) -> dict[str, object]:
    """Return the statement of a policy that `policy_document` made."""
    statements = document["Statement"]
    assert isinstance(statements, list)
    assert isinstance(statements[0], dict)
    return statements[0]


def _existing_for_now(have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of existing roles and groups until the level has left its former ones: they name those too.

    A policy that becomes another level's says whose they were: their mapping entries name that level until they are changed.
    """
    found = {key: {*names_in_tag(have.get(key, "")), *names_in_tag(want.get(key, ""))} for key in EXISTING}
    former = have.get(LEVEL_TAG, "")
    if former not in ("", want.get(LEVEL_TAG)):
        for key, names in found.items():
            names |= {of_former_level(name, former) for name in names_in_tag(have.get(key, "")) if "/" not in name}
    return {key: names_tag(names) for key, names in found.items() if names}


def _created_fields(entry: MappingEntry) -> tuple[Field, ...]:
    """Return the fields of an entry that is created. Those of EKS have tags."""
    return added({**entry_fields(entry), **({"tags": dict(entry.tags)} if entry.tags else {})}.items())


@dataclass(slots=True)
class EntryPlanner:
    """Plans the bindings and the mapping entry of one level, and finds things of others that prevent them. `plan` fills the lists.

    `changes` create and update. `narrowed_bindings`, `narrowed_policy` and `removed_members` remove what `changes` left in place,
    after the additions of all levels. `unmanaged` stops the plan.
    """

    level: AnyLevel
    observed: Observed
    adopt: bool
    changes: list[Change] = field(default_factory=list)
    narrowed_bindings: list[Change] = field(default_factory=list)
    narrowed_policy: list[Change] = field(default_factory=list)
    removed_members: list[Change] = field(default_factory=list)
    unmanaged: list[UnmanagedResource] = field(default_factory=list)

    def plan(self) -> None:
        """Fill the lists, in the order in which the things rely on each other."""
        self._bindings()
        self._entry()

    @property
    def role_is_moved(self) -> bool:
        """Return whether the level's role is deleted and created anew because its path changes."""
        return False

    def _add(self, verb: Verb, kind: Kind, name: str, fields: tuple[Field, ...], item: Item) -> None:
        self.changes.append(self._change(verb, kind, name, fields, item))

    def _change(self, verb: Verb, kind: Kind, name: str, fields: tuple[Field, ...], item: Item) -> Change:
        return Change(verb, kind, name, self.level.name, fields, item)

    def _may_take(self, found: UnmanagedResource) -> bool:
        """Return whether a thing that is not ours may be adopted. If not, add it to `unmanaged`."""
        if self.adopt and found.adoptable:
            return True
        self.unmanaged.append(found)
        return False

    def _bindings(self) -> None:
        for want in self.level.bindings:
            have, name = self.observed.bindings.get(want.ident), binding_name(want)
            if have is None:
                self._add(Verb.CREATE, Kind.BINDING, name, added(binding_fields(want).items()), want)
                continue
            fields = differing(binding_fields(have), binding_fields(want))
            if self.observed.owns_binding(have):
                self._update_binding(have, want)
            elif self._may_take(unmanaged_binding(name, fields, self._other_cluster(have))):
                self._add(Verb.ADOPT, Kind.BINDING, name, fields, want)

    def _other_cluster(self, have: BindingState) -> str:
        """Return the name of the cluster that our labels on a binding state, if it is another one."""
        return have.cluster if have.level and have.cluster != self.observed.cluster_name else ""

    def _update_binding(self, have: BindingState, want: BindingState) -> None:
        """Add groups before the mapping entry changes, and remove groups after it."""
        present = next((entry.groups for entry in self.observed.entries if entry.key == self.level.entry.key), ())
        now = binding_for_now(have, want, present)
        steps = ((have, now, self.changes), (now, want, self.narrowed_bindings))
        for before, after, changes in steps if adds(have, now) else ((have, want, self.narrowed_bindings),):
            fields = differing(binding_fields(before), binding_fields(after))
            fields += changed([("cluster", before.cluster, after.cluster)])
            if fields:
                changes.append(self._change(Verb.UPDATE, Kind.BINDING, binding_name(want), fields, after))

    def _entry(self) -> None:
        want = self.level.entry
        self._rivals()
        present = [entry for entry in self.observed.entries if entry.key == want.key]
        have = present[0] if present else None
        if have is None or self.role_is_moved:
            self._add(Verb.CREATE, Kind.MAPPING, want.name, _created_fields(want), want)
            return
        fields = (*differing(entry_fields(have), entry_fields(want)), *drift_fields(present, want))
        fields += tag_changes(dict(have.tags), {key: value for key, value in want.tags if key != LEVEL_TAG})
        if have.created is not None and (unusable := unusable_principal(have, want, self.observed, self._creates_role)):
            self._recreate_entry(have, unusable, fields)
        elif self._entry_is_ours(have):
            if fields:
                self._add(Verb.UPDATE, Kind.MAPPING, want.name, fields, want)
        elif not self._stays(fields) and self._may_take(
            unmanaged_entry(have, want, fields, self.observed.owners.entry(want.key), self.level.name)
        ):
            self._add(Verb.ADOPT, Kind.MAPPING, want.name, fields, want)

    @property
    def _creates_role(self) -> bool:
        """Return whether the plan creates the role of the level's entry."""
        return False

    def _recreate_entry(self, have: MappingEntry, principal: Field, fields: tuple[Field, ...]) -> None:
        """Delete an access entry whose principal is not the level's role, and create it: its principal cannot change.

        An entry of others is tagged as ours before, so that a run which stops in between is completed by the next one.
        """
        want = self.level.entry
        if not self._entry_is_ours(have):
            owner = self.observed.owners.entry(want.key)
            if have.role_arn != want.role_arn:
                self.unmanaged.append(stale_entry(have, want, self.observed.cluster_id))
                return
            if not self._may_take(unmanaged_entry(have, want, fields, owner, self.level.name)):
                return
            self._add(Verb.ADOPT, Kind.MAPPING, want.name, fields, want)
        gone = (*removed(entry_fields(have)), Field(principal.name, principal.before, None))
        self._add(Verb.DELETE, Kind.MAPPING, want.name, gone, have)
        fields = (*added(entry_fields(want).items()), Field(principal.name, None, principal.after))
        self._add(Verb.CREATE, Kind.MAPPING, want.name, fields, want)

    def _stays(self, fields: tuple[Field, ...]) -> bool:
        """Return whether an entry of others is left as it is: it gives what the level says. `fields` are the differences.

        An import describes such entries. Only `adopt` writes the level into one, which makes it ours.
        """
        described = isinstance(self.level, MappedLevel) and self.level.entry.sso is None
        marks = {"level", "notation"}
        return described and not self.adopt and all(each.name in marks or each.name.startswith(TAG) for each in fields)

    def _rivals(self) -> None:
        """Refuse an earlier entry for sessions of the permission set: the server applies the first."""
        want = self.level.entry
        for entry in self.observed.entries:
            if entry.key == want.key:
                return
            if want.sso is not None and entry.matches_permission_set(want.sso):
                why = f"is mapped at {entry.where} and means {want.name}: {given(entry)}"
                remedy = f"remove that entry, or move it behind the one of level {self.level.name}"
                self.unmanaged.append(UnmanagedResource(Kind.MAPPING, entry.name, why, remedy, adoptable=False))

    def _entry_is_ours(self, have: MappingEntry) -> bool:  # noqa: ARG002
        """Return whether the present entry is this cluster's."""
        return self.level.entry.key in self.observed.entry_levels


@dataclass(slots=True)
class LevelPlanner(EntryPlanner):
    """Plans the changes of a level with resources in IAM."""

    level: DesiredLevel
    staying: frozenset[str] = frozenset()  # the groups of all levels, in lower case
    replaced: frozenset[str] = frozenset()  # roles that the plan deletes, whose level stays, in lower case

    def plan(self) -> None:
        """Fill the lists, in the order in which the things rely on each other."""
        self._policy()
        self._role()
        self._group()
        self._members()
        self._bindings()
        self._entry()

    @property
    def role_is_moved(self) -> bool:
        """Return whether the level's role is deleted and created anew because its path changes."""
        return bool(self.level.role_key) and self.level.role_key in self.replaced

    @property
    def _creates_role(self) -> bool:
        """Return whether the plan creates the role of the level's entry."""
        return (
            self.level.role is not None
            and not self.level.role.existing
            and self.level.role_key not in self.observed.roles
        )

    def _replaces(self, name: str, levels: Mapping[str, str]) -> tuple[Field, ...]:
        """Return the field that names what something new replaces. `levels` are those of the things that are there, by name."""
        former = [each for each, level in levels.items() if level == self.level.name and each != name]
        return added([("replaces", ", ".join(former))]) if former else ()

    def _policy(self) -> None:
        want, observed = self.level.policy, self.observed
        have = next((policy for policy in observed.policies if policy.arn == want.arn), None)
        if have is None:
            if want.arn in self.observed.elsewhere:
                remedy = f"set iam.policy of level {self.level.name} to another name"
                self.unmanaged.append(
                    UnmanagedResource(Kind.POLICY, want.name, "exists at path /", remedy, adoptable=False)
                )
            fields = added((("path", want.path), ("document", want.document), ("tags", want.tags)))
            fields += self._replaces(
                want.name, {each.name: observed.level_of(each) for each in observed.owned_policies}
            )
            self._add(Verb.CREATE, Kind.POLICY, want.name, fields, want)
            return
        if not self.observed.owns_tags(have):
            owner = self.observed.owners.policy(have.arn)
            if not self._may_take(unmanaged_resource(Kind.POLICY, want.name, owner, self.level.name)):
                return
            self._add(Verb.ADOPT, Kind.POLICY, want.name, tag_fields(have, want.tags), want)
            have = PolicyState(have.arn, have.name, have.path, have.document, {**have.tags, **want.tags})
        former = filter(self._is_former, assumed_roles(have.document))
        now = document_for_now(self.level, have.document, former)
        wanted_tags = spelled_as(have.tags, want.tags)
        tags_now = {**wanted_tags, **_existing_for_now(have.tags, want.tags)}
        fields = tag_fields(have, tags_now)
        if not same_document(have.document, now):
            fields += changed([("document", have.document, now)])
        if fields:
            self._add(Verb.UPDATE, Kind.POLICY, want.name, fields, replace(want, document=now, tags=tags_now))
        if not same_document(now, want.document):
            fields, narrowed = changed([("document", now, want.document)]), replace(want, tags=tags_now)
            self.narrowed_policy.append(self._change(Verb.UPDATE, Kind.POLICY, want.name, fields, narrowed))
        # After the document: while it names a former existing role, the tag says that the role is not ours.
        fields = changed((f"{TAG}{key}", tags_now.get(key), want.tags.get(key)) for key in EXISTING)
        if fields:
            last = replace(want, tags=wanted_tags)
            self.narrowed_policy.append(self._change(Verb.UPDATE, Kind.POLICY, want.name, fields, last))

    def _is_former(self, role_arn: str) -> bool:
        """Return whether the level had the role, which the policy names until the role's mapping entry is deleted."""
        key = role_key(role_arn)
        return key != self.level.role_key and (key in self.replaced or self.observed.owners.is_existing_role(key))

    def _role(self) -> None:
        want = self.level.role
        if want is None or want.existing:
            return
        have = self.observed.roles.get(self.level.role_key)
        if have is None or self.role_is_moved:
            self._create_role(want if have is None else _kept_settings(have, want))
            return
        if not self.observed.owns_tags(have):
            owner = self.observed.owners.role(have.name)
            if have.path != want.path and not (owner.is_other or owner.is_existing):
                why, remedy = (
                    f"exists at path {have.path}",
                    f"set iam.rolePath to {have.path}, or another name for the role",
                )
                self.unmanaged.append(UnmanagedResource(Kind.ROLE, want.name, why, remedy, adoptable=False))
                return
            if not self._may_take(unmanaged_resource(Kind.ROLE, want.name, owner, self.level.name)):
                return
            want = replace(want, tags=spelled_as(have.tags, want.tags))
            self._add(Verb.ADOPT, Kind.ROLE, want.name, tag_fields(have, want.tags), want)
        self._update_role(have, replace(want, tags=spelled_as(have.tags, want.tags)))

    def _create_role(self, want: DesiredRole) -> None:
        boundary = [("permissionsBoundary", want.boundary)] if want.boundary else []
        fields = added(
            (
                ("path", want.path),
                ("trust", want.trust),
                ("maxSessionDuration", want.max_session_seconds),
                ("description", want.description),
                *boundary,
                ("tags", want.tags),
            )
        )
        observed = self.observed
        fields += self._replaces(want.name, {each.name: observed.level_of(each) for each in observed.owned_roles})
        self._add(Verb.CREATE, Kind.ROLE, want.name, fields, want)

    def _update_role(self, have: RoleState, want: DesiredRole) -> None:
        fields = changed(
            (
                ("maxSessionDuration", have.max_session_seconds, want.max_session_seconds),
                ("description", have.description, want.description),
            )
        )
        if not same_document(have.trust, want.trust):
            fields = (*changed([("trust", have.trust, want.trust)]), *fields)
        if want.boundary is not None:
            fields += changed([("permissionsBoundary", have.boundary, want.boundary)])
        if self.observed.owns_tags(have):
            fields += tag_fields(have, want.tags)
        if fields:
            self._add(Verb.UPDATE, Kind.ROLE, want.name, fields, want)

    def _group(self) -> None:
        want = self.level.group
        have = self.observed.groups.get(want.name.casefold())
        if have is None and want.existing:
            return  # `existing` reports it
        if have is None:
            groups = {each.name: self.observed.group_level(each) for each in self.observed.owned_groups}
            fields = (*added([("path", want.path)]), *self._replaces(want.name, groups))
            self._add(Verb.CREATE, Kind.GROUP, want.name, fields, want)
        elif not want.existing and not self.observed.owns_group(have):
            self._adopt_group(have)
        if self.level.members is not None:
            left = list(leaving(self.observed, self.level))
            (self.changes if leave_early(self.observed, self.level) else self.removed_members).extend(left)
        if have is None or want.policy_arn not in have.attached:
            fields = added([("policy", want.policy_arn)])
            if want.existing:
                fields += added([("members", [*self.observed.member_names(want.name)])])
            item = Attachment(want.name, want.policy_arn)
            self._add(Verb.CREATE, Kind.ATTACHMENT, f"{self.level.policy.name} on {want.name}", fields, item)

    def _adopt_group(self, have: GroupState) -> None:
        """Adopt a group by moving it to our path. Everybody in it gets the level, so the plan names its members."""
        want = self.level.group
        owner = self.observed.owners.group(have.name)
        if not self._may_take(
            unmanaged_resource(Kind.GROUP, want.name, owner, self.level.name, f"exists at path {have.path}")
        ):
            return
        members = [*self.observed.member_names(want.name)]
        fields = (*changed([("path", have.path, want.path)]), *added([("members", members)]))
        self._add(Verb.ADOPT, Kind.GROUP, have.name, fields, want)

    def _members(self) -> None:
        """Add the listed users or, without a list, the members of the level's former groups, before they leave the former ones."""
        if self.level.members is not None:
            self.changes += joining(self.observed, self.level, self.staying)
            return
        for move in moved_members(self.observed, self.level, self.staying):
            item, moved = Membership(self.level.group.name, move.user), added([("fromGroup", move.group)])
            self.changes.append(member_change(Verb.CREATE, item, self.level.name, moved))

    def _rivals(self) -> None:
        """Refuse entries that the server may apply to the level's role and that no edit of ours removes."""
        for rival in self.observed.rivals.get(self.level.entry.key, ()):
            ours = self.observed.owners.role(self.level.role_key).is_ours
            if not (ours and is_removable(rival)):
                why = f"is mapped at {rival.where} and means the role of level {self.level.name}: {given(rival)}"
                remedy = f"remove that entry, or choose another iam.role for level {self.level.name}"
                self.unmanaged.append(UnmanagedResource(Kind.MAPPING, rival.name, why, remedy, adoptable=False))

    def _entry_is_ours(self, have: MappingEntry) -> bool:
        """Return whether the entry is ours: by its labels, by its role, or without a role by its policy, its group or the index.

        Others may map existing roles and groups too, so that the index alone decides about those.
        """
        uses_existing = self.level.role.existing if self.level.role is not None else self.level.group.existing
        if have.cluster is not None or uses_existing:
            return self.observed.owners.entry(have.key).is_ours
        role = self.observed.roles.get(self.level.role_key)
        if role is not None:
            return self.observed.owns_tags(role)
        if self.level.entry.key in self.observed.entry_levels:
            return True
        group = self.observed.groups.get(self.level.group.name.casefold())
        policies = {policy.arn for policy in self.observed.owned_policies}
        return self.level.policy.arn in policies or (group is not None and self.observed.owns_group(group))
