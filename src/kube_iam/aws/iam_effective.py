"""Policies that a user has, by itself and by its groups, and IAM's own simulation of them. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.access.ports import HeldPolicy, Holder, Simulation
from kube_iam.aws.iam_calls import document_of
from kube_iam.aws.iam_part import IamPart
from kube_iam.aws.parallel import in_parallel
from kube_iam.core.utc import rfc3339
from kube_iam.errors import AccessDenied, NotFound


class IamEffectivePolicies(IamPart):
    """The effective policies of the `Directory` port."""

    def held_policies(self, holder: Holder) -> tuple[HeldPolicy, ...]:
        """Return the policies of a user or group. A document that may not be read is None, with the reason."""
        doing = f"list the policies of {holder}"
        argument = {f"{holder.kind.capitalize()}Name": holder.name}
        try:
            attached = list(
                self._aws.pages(f"list_attached_{holder.kind}_policies", "AttachedPolicies", doing, **argument)
            )
            inline = list(self._aws.pages(f"list_{holder.kind}_policies", "PolicyNames", doing, **argument))
        except NotFound:
            return ()
        named = [(str(each["PolicyName"]), str(each["PolicyArn"])) for each in attached]
        named += [(str(name), "") for name in inline]
        return tuple(in_parallel(lambda pair: self._held(holder, *pair), named))

    def policy_document(self, arn: str) -> object | None:
        """Return the document of the default version; None where there is no such policy."""
        try:
            return self._default(arn)
        except NotFound:
            return None

    def simulate(
        self, user_arn: str, action: str, resource: str, context: Mapping[str, str | bool | float]
    ) -> Simulation:
        """Return IAM's answer for one action on one resource."""
        answer = self._aws.call(
            "simulate_principal_policy",
            f"simulate the policies of {user_arn}",
            PolicySourceArn=user_arn,
            ActionNames=[action],
            ResourceArns=[resource],
            ContextEntries=[_context_entry(key, value) for key, value in context.items()],
        )
        result = answer["EvaluationResults"][0]
        return Simulation(
            str(result["EvalDecision"]),
            tuple(dict.fromkeys(str(each.get("SourcePolicyId", "")) for each in result.get("MatchedStatements", ()))),
            tuple(map(str, result.get("MissingContextValues", ()))),
            result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations"),
            result.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary"),
        )

    def _held(self, holder: Holder, name: str, arn: str) -> HeldPolicy:
        try:
            document = self._default(arn) if arn else self._inline(holder, name)
        except (AccessDenied, NotFound) as error:
            return HeldPolicy(holder, name, None, arn, str(error))
        return HeldPolicy(holder, name, document, arn)

    def _default(self, arn: str) -> object:
        doing = f"read policy {arn}"
        found = self._aws.call("get_policy", doing, PolicyArn=arn)["Policy"]
        version = self._aws.call("get_policy_version", doing, PolicyArn=arn, VersionId=found["DefaultVersionId"])
        return document_of(version["PolicyVersion"]["Document"])

    def _inline(self, holder: Holder, name: str) -> object:
        argument = {f"{holder.kind.capitalize()}Name": holder.name}
        doing = f"read policy {name} of {holder}"
        return document_of(
            self._aws.call(f"get_{holder.kind}_policy", doing, PolicyName=name, **argument)["PolicyDocument"]
        )


def _context_entry(key: str, value: str | bool | float) -> dict[str, object]:
    """Return a condition key as IAM takes it, with its type."""
    if isinstance(value, bool):
        kind, text = "boolean", str(value).lower()
    elif isinstance(value, float):
        kind, text = "date", rfc3339(value)
    else:
        kind, text = "string", value
    return {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [text]}
