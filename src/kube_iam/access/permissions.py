"""Permissions, by RBAC, of the people that a mapping admits, and which of them amount to control of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from kube_iam.access.who_can import Candidate, CandidateNames
from kube_iam.core.rbac import ANY, GROUP, USER, Rbac, RbacBinding, RbacSubject, Request, RoleKey, Rule

CLUSTER_ADMIN = RoleKey("ClusterRole", "cluster-admin")
RBAC_GROUP = "rbac.authorization.k8s.io"
_READ = frozenset({"get", "list", "watch"})
_ESCALATING = (
    *(Request(verb, resource, RBAC_GROUP) for verb in ("escalate", "bind") for resource in ("clusterroles", "roles")),
    *(Request("impersonate", resource) for resource in ("users", "groups", "serviceaccounts")),
)
_SECRETS = tuple(Request(verb, "secrets") for verb in sorted(_READ))


class Privilege(Enum):
    """A permission that amounts to much more than it says. MASTERS is that of a group, and needs no binding."""

    MASTERS = "system:masters"
    CLUSTER_ADMIN = "cluster-admin"
    WILDCARD = "wildcards"
    ESCALATION = "escalation"  # the verbs bind, escalate and impersonate
    SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Permission:
    """A role that a binding gives. Its text is `edit in shop`, `cluster-admin in the whole cluster`."""

    binding: RbacBinding
    privileges: frozenset[Privilege] = frozenset()

    def __str__(self) -> str:
        return f"{self.binding.role.name} {self.place}"

    @property
    def place(self) -> str:
        """Return where the permission holds."""
        return f"in namespace {self.binding.namespace}" if self.binding.namespace else "in the whole cluster"


class PermissionIndex:
    """The permissions that RBAC gives to groups and users, computed once from all bindings."""

    def __init__(self, rbac: Rbac) -> None:
        privileges = {role: privileges_of(role, rules) for role, rules in rbac.roles.items()}
        self._by_subject: dict[RbacSubject, list[Permission]] = {}
        for binding in rbac.bindings:
            permission = Permission(binding, privileges.get(binding.role, frozenset()))
            for subject in dict.fromkeys(binding.subjects):
                if subject.kind in (GROUP, USER):
                    self._by_subject.setdefault(subject, []).append(permission)

    @property
    def subjects(self) -> tuple[RbacSubject, ...]:
        """Return the groups and users that are bound to anything."""
        return tuple(self._by_subject)

    def of_subject(self, subject: RbacSubject) -> tuple[Permission, ...]:
        """Return the permissions of one group or user."""
        return tuple(self._by_subject.get(subject, ()))

    def subjects_of(self, names: CandidateNames) -> tuple[RbacSubject, ...]:
        """Return the bound subjects that a candidate is, or may be. A group of everybody who signs in is none of them."""
        if len(names.known_groups) == len(names.groups):  # the usual case, without a search
            mine = [RbacSubject(GROUP, name) for name in names.known_groups]
            mine += [RbacSubject(USER, names.exact)] if names.exact else []
            return tuple(each for each in dict.fromkeys(mine) if each in self._by_subject)
        everybody = ("system:authenticated",)
        return tuple(each for each in self._by_subject if each.name not in everybody and names.gives(each))

    def of_candidate(self, candidate: Candidate) -> tuple[Permission, ...]:
        """Return the permissions of a candidate by groups and user name; none where the server would refuse the names."""
        names = CandidateNames.of(candidate)
        found = (each for subject in self.subjects_of(names) for each in self.of_subject(subject)) if names else ()
        return tuple(dict.fromkeys(found))


def privileges_of(role: RoleKey, rules: Iterable[Rule]) -> frozenset[Privilege]:
    """Return the privileges of a role. One that may do everything has that one alone."""
    rules = tuple(rules)
    if role == CLUSTER_ADMIN and rules:
        return frozenset({Privilege.CLUSTER_ADMIN})
    if any(_changes_everything(rule) for rule in rules):
        return frozenset({Privilege.WILDCARD})
    # A rule for named roles or users escalates too: the names may be those of administrators.
    unnamed = [replace(rule, names=()) for rule in rules]
    found = set()
    if any(rule.allows(request) for rule in unnamed for request in _ESCALATING):
        found.add(Privilege.ESCALATION)
    if any(rule.allows(request) for rule in rules for request in _SECRETS):
        found.add(Privilege.SECRETS)
    return frozenset(found)


def _changes_everything(rule: Rule) -> bool:
    is_every = ANY in rule.groups and ANY in rule.resources and not rule.names
    return is_every and any(verb not in _READ for verb in rule.verbs)
