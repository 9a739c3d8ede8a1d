"""Questions to the authorizers of the cluster: the rules of the caller in one namespace, and whether a user may make a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kube_iam.core.rbac import Request, Rule
from kube_iam.errors import KubeError
from kube_iam.kube.client import KubeApi

# Every signed-in user may ask these about itself (ClusterRole system:basic-user).
_ABOUT_ITSELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
_LISTED = 4


@dataclass(frozen=True, slots=True)
class OwnRules:
    """Rules beyond those that every signed-in user has. `is_complete` is false where an authorizer does not list its own."""

    rules: tuple[Rule, ...]
    is_complete: bool

    @property
    def summary(self) -> str:
        """Return verbs and resources of the rules in one line, to follow `in namespace …: `."""
        if any("*" in rule.verbs and "*" in rule.resources for rule in self.rules):
            return "everything"
        resources = sorted({resource for rule in self.rules for resource in rule.resources})
        verbs = sorted({verb for rule in self.rules for verb in rule.verbs})
        more = f" and {len(resources) - _LISTED} more" if len(resources) > _LISTED else ""
        partly = "" if self.is_complete else ", and more that an authorizer does not list"
        return f"{', '.join(verbs)} on some of {', '.join(resources[:_LISTED])}{more}{partly}"


def own_rules(api: KubeApi, namespace: str) -> OwnRules:
    """Return the rules of the caller in the namespace, those of ClusterRoleBindings included. Raises KubeIamError."""
    from lightkube.models.authorization_v1 import SelfSubjectRulesReviewSpec
    from lightkube.resources.authorization_v1 import SelfSubjectRulesReview

    with api.call("ask the cluster what you may do") as client:
        review = client.create(SelfSubjectRulesReview(spec=SelfSubjectRulesReviewSpec(namespace=namespace)))
        status = review.status
    if status is None:
        raise KubeError("the API server does not say what you may do")
    rules = (Rule(tuple(each.verbs), resources=tuple(each.resources or ())) for each in status.resourceRules)
    beyond = tuple(rule for rule in rules if not set(rule.resources) <= _ABOUT_ITSELF)
    return OwnRules(beyond, not status.incomplete)


def may_get_pods(api: KubeApi, namespace: str) -> bool:
    """Return whether the caller may get pods in the namespace (SelfSubjectAccessReview). Raises KubeIamError."""
    from lightkube.models.authorization_v1 import ResourceAttributes, SelfSubjectAccessReviewSpec
    from lightkube.resources.authorization_v1 import SelfSubjectAccessReview

    asked = ResourceAttributes(namespace=namespace, resource="pods", verb="get")
    with api.call("ask the cluster what you may do") as client:
        review = client.create(SelfSubjectAccessReview(spec=SelfSubjectAccessReviewSpec(resourceAttributes=asked)))
        status = review.status
    return status is not None and status.allowed


def is_allowed(api: KubeApi, username: str, groups: Iterable[str], request: Request) -> bool:
    """Return whether a user of that name in these groups may make the request (SubjectAccessReview). Raises KubeIamError."""
    from lightkube.models.authorization_v1 import NonResourceAttributes, ResourceAttributes, SubjectAccessReviewSpec
    from lightkube.resources.authorization_v1 import SubjectAccessReview

    asked = ResourceAttributes(
        group=request.group,
        name=request.name,
        namespace=request.namespace,
        resource=request.resource,
        subresource=request.subresource,
        verb=request.verb,
    )
    path = NonResourceAttributes(path=request.path, verb=request.verb)
    spec = SubjectAccessReviewSpec(
        groups=[*groups],
        user=username,
        resourceAttributes=None if request.path else asked,
        nonResourceAttributes=path if request.path else None,
    )
    with api.call("ask the cluster what a user may do") as client:
        review = client.create(SubjectAccessReview(spec=spec))
        status = review.status
    return status is not None and status.allowed
