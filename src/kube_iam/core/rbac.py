"""RBAC as kube-apiserver evaluates it: the subjects that a request is allowed for, and the bindings by which it is. Pure.

The rules are those of https://kubernetes.io/docs/reference/access-authn-authz/rbac/ and of the authorizer's source
(`pkg/registry/rbac/validation/rule.go`). Every verb is literal: a subject who may bind, escalate or impersonate
counts for these verbs alone. An aggregated ClusterRole has the rules that its controller wrote into it, which kube-apiserver reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

ANY = "*"
USER, GROUP, SERVICE_ACCOUNT = "User", "Group", "ServiceAccount"
MASTERS = "system:masters"
"""Group whose members kube-apiserver allows everything before it looks at RBAC."""
AUTHENTICATED = "system:authenticated"
"""Group of everybody who signed in by whatever authenticator."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the API server: of a resource, or of a `path` that is no resource.

    `group` is the API group, empty for the core group. `namespace` is empty for a cluster-scoped resource and for all namespaces.
    `name` is empty for a request that names no object, as `list` and `create`.
    """

    verb: str
    resource: str = ""
    group: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """Return `pods/exec` for a subresource, else the resource."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role. A rule is about resources or about paths; lists of the other kind are empty."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def allows(self, request: Request) -> bool:
        """Return whether the rule allows the request."""
        if not _has(self.verbs, request.verb):
            return False
        if request.path:
            return any(_path_matches(pattern, request.path) for pattern in self.paths)
        is_named = not self.names or request.name in self.names
        return _has(self.groups, request.group) and is_named and any(self._resource_matches(request))

    def _resource_matches(self, request: Request) -> Iterator[bool]:
        for resource in self.resources:
            yield resource in (ANY, request.full_resource)
            yield bool(request.subresource) and resource == f"*/{request.subresource}"


@dataclass(frozen=True, slots=True)
class RbacReference:
    """An object by its kind and name. `namespace` is empty for a cluster-scoped one. Its text is `Role shop/reader`."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class RoleKey(RbacReference):
    """A ClusterRole, or a Role of a namespace."""

    __slots__ = ()


class RbacSubject(RbacReference):
    """A User, Group or ServiceAccount. `namespace` is a service account's."""

    __slots__ = ()


def binding_text(namespace: str, name: str) -> str:
    """Return a RoleBinding, or without a namespace a ClusterRoleBinding, as messages name it."""
    return str(RbacReference("RoleBinding" if namespace else "ClusterRoleBinding", name, namespace))


@dataclass(frozen=True, slots=True)
class RbacBinding:
    """A RoleBinding (`namespace` set) or ClusterRoleBinding (empty)."""

    name: str
    role: RoleKey
    subjects: tuple[RbacSubject, ...]
    namespace: str = ""

    def __str__(self) -> str:
        return binding_text(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Grant:
    """The reason for which a subject may: a binding and its role. Members of system:masters need neither."""

    subject: RbacSubject
    binding: RbacBinding | None = None

    def __str__(self) -> str:
        return f"{self.binding}, {self.binding.role}" if self.binding is not None else f"group {MASTERS}"


@dataclass(frozen=True, slots=True)
class Rbac:
    """The roles and bindings of a cluster. `unread` says what could not be read, as sentences."""

    roles: dict[RoleKey, tuple[Rule, ...]] = field(default_factory=dict)
    bindings: tuple[RbacBinding, ...] = ()
    unread: tuple[str, ...] = ()

    def grants(self, request: Request) -> tuple[Grant, ...]:
        """Return each subject that is allowed the request, with each binding that allows it, system:masters first.

        A RoleBinding counts for resources in its namespace alone. A binding to a role that does not exist allows nothing.
        """
        found = [Grant(RbacSubject(GROUP, MASTERS))]
        for binding in self.bindings:
            applies = not binding.namespace or (not request.path and binding.namespace == request.namespace)
            if applies and any(rule.allows(request) for rule in self.roles.get(binding.role, ())):
                found += [Grant(subject, binding) for subject in dict.fromkeys(binding.subjects)]
        return tuple(found)

    def bindings_of(self, user: str, groups: Iterable[str]) -> tuple[RbacBinding, ...]:
        """Return the bindings that name the user or one of the groups. Those of everybody who signed in are left out."""
        known = frozenset(groups) - {AUTHENTICATED}
        return tuple(each for each in self.bindings if any(_is_subject(s, user, known) for s in each.subjects))


def is_allowed(grants: Iterable[Grant], user: str, groups: Iterable[str]) -> bool:
    """Return whether these grants are for a user of that name in these groups. kube-apiserver adds system:authenticated by itself."""
    known = frozenset(groups)
    return any(_is_subject(grant.subject, user, known) for grant in grants)


def _is_subject(subject: RbacSubject, user: str, groups: frozenset[str]) -> bool:
    if subject.kind == GROUP:
        return subject.name in groups
    if subject.kind == USER:
        return subject.name == user
    return bool(subject.namespace) and user == f"system:serviceaccount:{subject.namespace}:{subject.name}"


def _has(values: tuple[str, ...], wanted: str) -> bool:
    return ANY in values or wanted in values


def _path_matches(pattern: str, path: str) -> bool:
    if pattern in (ANY, path):
        return True
    return pattern.endswith(ANY) and path.startswith(pattern.rstrip(ANY))
