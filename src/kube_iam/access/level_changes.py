"""States between two steps of a change: they add what is new and keep what people still rely on.

The changes that make one level what it should be: policy, role, group, attachment, bindings, and last the mapping entry.

The mapping entry admits the level's people, so it comes after all that it relies on. A change that replaces something in place is
two changes here: one that adds, and one that takes away, which the plan makes after all additions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kube_iam.access.changes import (
    Attachment,
    Change,
    Field,
    Item,
    Kind,
    Membership,
    Verb,
    appearing,
    binding_fields,
    binding_name,
    differing,
    drift_fields,
    entry_fields,
    given,
    is_removable,
    tag_fields,
)
from kube_iam.access.desired import DesiredLevel, DesiredRole, assumed_roles, same_document
from kube_iam.access.mapping import role_key
from kube_iam.access.observed import Observed
from kube_iam.access.ports import BindingState, GroupState, PolicyState, RoleState
from kube_iam.access.reassignments import moved_members
from kube_iam.access.unmanaged import Foreign, foreign_binding, taken


def document_for_now(level: DesiredLevel, have: object, former: Iterable[str]) -> dict[str, object]:
    """Return the policy's document until the level's `former` roles (ARNs) are deleted: it names them beside the new one.

    Until then the document is the only record of a former role, and people may still hold sessions of it alone.
    """
    want, former = level.policy.document, sorted(former)
    if not former or not isinstance(have, dict):
        return want
    if level.role is None:
        return have
    return {**want, "Statement": [{**_only_statement(want), "Resource": [level.role.arn, *former]}]}


def binding_for_now(have: BindingState, want: BindingState, present: Iterable[str]) -> BindingState:
    """Return the binding until the mapping entry has changed: the level's people hold the entry's `present` groups until then."""
    present = set(present)
    return replace(want, groups=(*want.groups, *(each for each in have.groups if each in present - set(want.groups))))


def adds(have: BindingState, now: BindingState) -> bool:
    """Whether the binding gets more than other groups taken away."""
    return bool(set(now.groups) - set(have.groups)) or replace(have, groups=()) != replace(now, groups=())


def _only_statement(document: dict[str, object]) -> dict[str, object]:
    """The statement of a policy that `policy_document` made."""
    statements = document["Statement"]
    assert isinstance(statements, list)
    assert isinstance(statements[0], dict)
    return statements[0]


@dataclass(slots=True)
class LevelBuilder:
    """The changes that one level needs, and the things of others that stop them. `build` fills the lists.

    `changes` create and update. `narrowed_bindings` and `narrowed_policy` take away what `changes` left in place; they come after the
    additions of all levels. `foreign` is what stops the plan.
    """

    level: DesiredLevel
    observed: Observed
    adopt: bool
    staying: frozenset[str]  # the groups of all levels, in lower case
    replaced: frozenset[str]  # roles that the plan deletes, whose level stays, in lower case
    changes: list[Change] = field(default_factory=list)
    narrowed_bindings: list[Change] = field(default_factory=list)
    narrowed_policy: list[Change] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)

    def build(self) -> None:
        """Fill the lists, in the order in which the things rely on each other."""
        self._policy()
        self._role()
        self._group()
        self._members()
        self._bindings()
        self._entry()

    @property
    def role_is_moved(self) -> bool:
        """Whether the level's role is deleted and created anew, since its path changes."""
        return bool(self.level.role_key) and self.level.role_key in self.replaced

    def _add(self, verb: Verb, kind: Kind, name: str, fields: tuple[Field, ...], item: Item) -> None:
        self.changes.append(self._change(verb, kind, name, fields, item))

    def _change(self, verb: Verb, kind: Kind, name: str, fields: tuple[Field, ...], item: Item) -> Change:
        return Change(verb, kind, name, self.level.name, fields, item)

    def _may_take(self, found: Foreign) -> bool:
        """Whether something that is not ours may be taken over; if not it is noted as standing in the way."""
        if self.adopt and found.adoptable:
            return True
        self.foreign.append(found)
        return False

    def _policy(self) -> None:
        want = self.level.policy
        have = next((policy for policy in self.observed.policies if policy.arn == want.arn), None)
        if have is None:
            if want.arn in self.observed.elsewhere:
                remedy = f"set iam.policy of level {self.level.name} to another name"
                self.foreign.append(Foreign(Kind.POLICY, want.name, "exists at path /", remedy, adoptable=False))
            fields = appearing((("path", want.path), ("document", want.document), ("tags", want.tags)))
            self._add(Verb.CREATE, Kind.POLICY, want.name, fields, want)
            return
        if not self.observed.owns_tags(have):
            owner = self.observed.owners.policy(have.arn)
            if not self._may_take(taken(Kind.POLICY, want.name, owner, self.level.name)):
                return
            self._add(Verb.ADOPT, Kind.POLICY, want.name, tag_fields(have, want.tags), want)
            have = PolicyState(have.arn, have.name, have.path, have.document, {**have.tags, **want.tags})
        former = filter(self._is_former, assumed_roles(have.document))
        fields, now = tag_fields(have, want.tags), document_for_now(self.level, have.document, former)
        if not same_document(have.document, now):
            fields += differing([("document", have.document, now)])
        if fields:
            self._add(Verb.UPDATE, Kind.POLICY, want.name, fields, replace(want, document=now))
        if not same_document(now, want.document):
            fields = differing([("document", now, want.document)])
            self.narrowed_policy.append(self._change(Verb.UPDATE, Kind.POLICY, want.name, fields, want))

    def _is_former(self, role_arn: str) -> bool:
        key = role_key(role_arn)
        return key in self.replaced and key != self.level.role_key

    def _role(self) -> None:
        want = self.level.role
        if want is None:
            return
        have = self.observed.roles.get(self.level.role_key)
        if have is None or self.role_is_moved:
            fields = appearing(
                (
                    ("path", want.path),
                    ("trust", want.trust),
                    ("longest session in seconds", want.max_session_seconds),
                    ("description", want.description),
                    ("tags", want.tags),
                )
            )
            self._add(Verb.CREATE, Kind.ROLE, want.name, fields, want)
            return
        if not self.observed.owns_tags(have):
            owner = self.observed.owners.role(have.name)
            if have.path != want.path and not owner.is_other:
                why, remedy = (
                    f"exists at path {have.path}",
                    f"set iam.rolePath to {have.path}, or another name for the role",
                )
                self.foreign.append(Foreign(Kind.ROLE, want.name, why, remedy, adoptable=False))
                return
            if not self._may_take(taken(Kind.ROLE, want.name, owner, self.level.name)):
                return
            self._add(Verb.ADOPT, Kind.ROLE, want.name, tag_fields(have, want.tags), want)
        self._update_role(have, want)

    def _update_role(self, have: RoleState, want: DesiredRole) -> None:
        fields = differing(
            (
                ("longest session in seconds", have.max_session_seconds, want.max_session_seconds),
                ("description", have.description, want.description),
            )
        )
        if not same_document(have.trust, want.trust):
            fields = (*differing([("trust", have.trust, want.trust)]), *fields)
        if self.observed.owns_tags(have):
            fields += tag_fields(have, want.tags)
        if fields:
            self._add(Verb.UPDATE, Kind.ROLE, want.name, fields, want)

    def _group(self) -> None:
        want = self.level.group
        have = self.observed.groups.get(want.name.casefold())
        if have is None:
            self._add(Verb.CREATE, Kind.GROUP, want.name, appearing([("path", want.path)]), want)
        elif not self.observed.owns_group(have):
            self._adopt_group(have)
        if have is None or want.policy_arn not in have.attached:
            fields = appearing([("policy", want.policy_arn)])
            item = Attachment(want.name, want.policy_arn)
            self._add(Verb.CREATE, Kind.ATTACHMENT, f"{self.level.policy.name} on {want.name}", fields, item)

    def _adopt_group(self, have: GroupState) -> None:
        """Take over a group: it moves to our path, and everyone who is in it gets the level, so the plan names them."""
        want = self.level.group
        owner = self.observed.owners.group(have.name)
        if not self._may_take(taken(Kind.GROUP, want.name, owner, self.level.name, f"exists at path {have.path}")):
            return
        members = [user.name for user in self.observed.members.get(want.name.casefold(), ())]
        fields = (*differing([("path", have.path, want.path)]), *appearing([("members who get the level", members)]))
        self._add(Verb.ADOPT, Kind.GROUP, have.name, fields, want)

    def _members(self) -> None:
        """Add the members of the level's former groups to its group, before they leave the former ones."""
        for move in moved_members(self.observed, self.level, self.staying):
            item = Membership(self.level.group.name, move.user)
            fields = appearing([("from group", move.group)])
            self._add(Verb.CREATE, Kind.MEMBER, f"{move.user} in {self.level.group.name}", fields, item)

    def _bindings(self) -> None:
        for want in self.level.bindings:
            have, name = self.observed.bindings.get(want.ident), binding_name(want)
            if have is None:
                self._add(Verb.CREATE, Kind.BINDING, name, appearing(binding_fields(want).items()), want)
                continue
            before = binding_fields(have)
            fields = differing((key, before[key], value) for key, value in binding_fields(want).items())
            if self.observed.owns_binding(have):
                self._update_binding(have, want)
            elif self._may_take(foreign_binding(name, fields, self._other_cluster(have))):
                self._add(Verb.ADOPT, Kind.BINDING, name, fields, want)

    def _other_cluster(self, have: BindingState) -> str:
        """The name of the cluster that our labels on a binding say, where that is another one."""
        return have.cluster if have.level and have.cluster != self.observed.cluster_name else ""

    def _update_binding(self, have: BindingState, want: BindingState) -> None:
        """Add groups before the mapping entry changes, and take groups away after it."""
        present = next((entry.groups for entry in self.observed.entries if entry.key == self.level.entry.key), ())
        now = binding_for_now(have, want, present)
        steps = ((have, now, self.changes), (now, want, self.narrowed_bindings))
        for before, after, changes in steps if adds(have, now) else ((have, want, self.narrowed_bindings),):
            old = binding_fields(before)
            fields = differing((key, old[key], value) for key, value in binding_fields(after).items())
            fields += differing([("cluster", before.cluster, after.cluster)])
            if fields:
                changes.append(self._change(Verb.UPDATE, Kind.BINDING, binding_name(want), fields, after))

    def _entry(self) -> None:
        want = self.level.entry
        self._rivals()
        present = [entry for entry in self.observed.entries if entry.key == want.key]
        have = present[0] if present else None
        if have is None or self.role_is_moved:
            self._add(Verb.CREATE, Kind.MAPPING, want.name, appearing(entry_fields(want).items()), want)
            return
        before = entry_fields(have)
        fields = differing((key, before[key], value) for key, value in entry_fields(want).items())
        fields = (*fields, *drift_fields(present))
        if self._entry_is_ours():
            if fields:
                self._add(Verb.UPDATE, Kind.MAPPING, want.name, fields, want)
            return
        why = "is mapped already, by hand or by another tool"
        if self._may_take(taken(Kind.MAPPING, want.name, self.observed.owners.entry(want.key), self.level.name, why)):
            self._add(Verb.ADOPT, Kind.MAPPING, want.name, fields, want)

    def _rivals(self) -> None:
        """Refuse entries that the server may apply to the level's role and that no edit of ours removes."""
        ours = self.observed.owners.role(self.level.role_key).is_ours
        for rival in self.observed.rivals.get(self.level.entry.key, ()):
            if not (ours and is_removable(rival)):
                why = f"is mapped at {rival.where} and means the role of level {self.level.name}: {given(rival)}"
                remedy = f"remove that entry, or choose another iam.role for level {self.level.name}"
                self.foreign.append(Foreign(Kind.MAPPING, rival.name, why, remedy, adoptable=False))

    def _entry_is_ours(self) -> bool:
        """An entry is ours when its role is; where that is gone, when the registry names it or the level's policy or group is ours."""
        role = self.observed.roles.get(self.level.role_key)
        if role is not None:
            return self.observed.owns_tags(role)
        if self.level.entry.key in self.observed.entry_levels():
            return True
        group = self.observed.groups.get(self.level.group.name.casefold())
        policies = {policy.arn for policy in self.observed.owned_policies()}
        return self.level.policy.arn in policies or (group is not None and self.observed.owns_group(group))
