"""The rules that RBAC and other authorizers give the caller in one namespace (SelfSubjectRulesReview)."""

from __future__ import annotations

from dataclasses import dataclass

from kube_iam.core.rbac import Rule
from kube_iam.errors import KubeError
from kube_iam.kube.client import KubeApi

# Every signed-in user may ask these about itself (ClusterRole system:basic-user).
_ABOUT_ITSELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})


@dataclass(frozen=True, slots=True)
class OwnRules:
    """Rules beyond those that every signed-in user has. `is_complete` is false where an authorizer does not list its own."""

    rules: tuple[Rule, ...]
    is_complete: bool


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
