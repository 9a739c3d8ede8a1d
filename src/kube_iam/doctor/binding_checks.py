"""Step 13 of an administrator: the bindings of the level, and what the user may do, asked as the user."""

from __future__ import annotations

from collections.abc import Iterator

from kube_iam.access.desired import desired_bindings
from kube_iam.access.ports import BindingState
from kube_iam.core.rbac import ANY, Request, binding_text
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.cluster_checks import nothing_allowed
from kube_iam.doctor.inspection import Inspection, skipped
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.doctor.server_checks import NO_CLUSTER
from kube_iam.errors import KubeIamError
from kube_iam.kube.cluster import KubeCluster
from kube_iam.kube.errors import status_of
from kube_iam.kube.own_rules import is_allowed, may_get_pods, own_rules
from kube_iam.kube.rbac import KubeRbac

_ASKED = 12
_CREATE_ACCESS_REVIEWS = "create subjectaccessreviews.authorization.k8s.io"


def check_bindings(state: Inspection) -> Outcome:
    """Check that the namespaces, roles and bindings of the level exist, and that they bind the level's groups."""
    level, wanted = state.level, desired_bindings(state.access, state.level)
    if not state.has_cluster:
        return Skipped(NO_CLUSTER)
    if not wanted:
        return Skipped(f"level {level.name} binds nothing: others bind its groups ({', '.join(level.groups)})")
    cluster = KubeCluster(state.session.kube)
    try:
        failure = next(filter(None, (_binding_failure(cluster, binding) for binding in wanted)), None)
    except KubeIamError as error:
        return skipped(error)
    if failure is not None:
        return failure
    bound = (f"{each.role_kind} {each.role_name} {_where(each.namespace)}" for each in wanted)
    return Passed(f"{', '.join(level.groups)}: {', '.join(bound)}")


def check_permissions(state: Inspection) -> Outcome:
    """Check that the user's name and groups are allowed anything, by impersonation or else by SubjectAccessReviews."""
    if not state.has_cluster:
        return Skipped(NO_CLUSTER)
    if state.names is None:
        return Skipped("the user name and groups of the user are not known: see the mapping above")
    username, groups = state.names
    places = list(dict.fromkeys(each.namespace for each in desired_bindings(state.access, state.level)))
    namespace = next(filter(None, places), state.session.kube.context.namespace)
    try:
        api = state.session.kube.impersonating(username, groups)
        found = own_rules(api, namespace)
        is_known = found.is_complete or not (found.rules or may_get_pods(api, namespace))
    except KubeIamError as error:
        return _by_access_reviews(state, namespace) if status_of(error) == 403 else skipped(error)
    if found.rules:
        return Passed(f"{username} may do in namespace {namespace}: {found.summary}")
    if not is_known:
        return Skipped(f"an authorizer of the cluster does not list its rules for namespace {namespace}")
    return _nothing(username, groups, nothing_allowed(found, namespace))


def _by_access_reviews(state: Inspection, namespace: str) -> Outcome:
    """Return what the user may do of the rules of the bound roles, asked one by one: the caller may not impersonate."""
    assert state.names is not None
    username, groups = state.names
    try:
        asked = list(dict.fromkeys(_requests(state, namespace)))[:_ASKED]
        allowed = [each for each in asked if is_allowed(state.session.kube, username, groups, each)]
    except KubeIamError as error:
        if status_of(error) == 403:
            return Skipped(f"a right is missing: impersonate users and groups, or {_CREATE_ACCESS_REVIEWS}")
        return skipped(error)
    if not asked:
        return Skipped("a right is missing: impersonate users and groups; the bound roles cannot be read either")
    if not allowed:
        return _nothing(username, groups, f"nothing that the level's roles allow is allowed in namespace {namespace}")
    shown = ", ".join(f"{each.verb} {each.full_resource}" for each in allowed[:4])
    return Passed(
        f"{username} may do in namespace {namespace}: {shown} ({len(allowed)} of {len(asked)} that were asked)"
    )


def _requests(state: Inspection, namespace: str) -> Iterator[Request]:
    """Yield a request for each rule of the roles that the level binds."""
    rules = KubeRbac(state.session.kube).read(namespace).roles
    for binding in desired_bindings(state.access, state.level):
        for key, found in rules.items():
            if (key.kind, key.name) != (binding.role_kind, binding.role_name):
                continue
            for rule in found:
                if rule.resources and rule.verbs:
                    resource, _, sub = rule.resources[0].partition("/")
                    group = rule.groups[0] if rule.groups else ""
                    name = rule.names[0] if rule.names else ""
                    place = binding.namespace or namespace
                    yield Request(rule.verbs[0], resource, "" if group == ANY else group, sub, name, place)


def _binding_failure(cluster: KubeCluster, wanted: BindingState) -> Failed | None:
    """Return why a binding of the level does not give its groups the role, None where it does."""
    name, role = binding_text(wanted.namespace, wanted.name), f"{wanted.role_kind} {wanted.role_name}"
    found = cluster.binding(wanted.namespace, wanted.name)
    if found is None and wanted.namespace and not cluster.namespace_exists(wanted.namespace):
        return Failed(
            Cause.NAMESPACE_MISSING,
            f"there is no namespace {wanted.namespace}, in which level {wanted.level} binds {role}",
        )
    if not cluster.role_exists(wanted.role_kind, wanted.namespace, wanted.role_name):
        return Failed(
            Cause.BOUND_ROLE_MISSING, f"there is no {role}, which level {wanted.level} binds {_where(wanted.namespace)}"
        )
    if found is None:
        return Failed(Cause.BINDING_MISSING, f"there is no {name}, which binds {role} to {', '.join(wanted.groups)}")
    if found.grant != wanted.grant:
        return Failed(
            Cause.BINDING_DIFFERS, f"{name} binds {found.role_kind} {found.role_name}, and the level says {role}"
        )
    if lost := [group for group in wanted.groups if group not in found.groups]:
        return Failed(Cause.BINDING_DIFFERS, f"{name} does not bind group {', '.join(lost)}")
    return None


def _nothing(username: str, groups: tuple[str, ...], what: str) -> Failed:
    found = f"{what} to {username} in the groups {', '.join(groups) or '(none)'}"
    return Failed(Cause.NO_PERMISSIONS, found, "Bind a role to one of these groups: `bind` of the level")


def _where(namespace: str) -> str:
    return f"in namespace {namespace}" if namespace else "in the whole cluster"
