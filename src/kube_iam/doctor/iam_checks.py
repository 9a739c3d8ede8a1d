"""Step 12 of an administrator: the IAM user, the level's group, policy and role, and what else differs from the access file."""

from __future__ import annotations

import json

from kube_iam.access.assume_steps import assume_access, simulation_step
from kube_iam.access.changes import Kind
from kube_iam.access.desired import (
    policy_arn,
    policy_document,
    role_arn,
    same_document,
    trust_document,
)
from kube_iam.access.drift import Difference, differences
from kube_iam.access.explanation import Status
from kube_iam.access.iam_facts import IamFacts
from kube_iam.access.levels import Method, user_policy_name
from kube_iam.access.plan import plan_apply
from kube_iam.config.suggestions import suggestion
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.trust_policy import unrestricted_session_name
from kube_iam.core.trust_principals import trusted_principals
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.inspection import Inspection, skipped
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.errors import AccessDenied, KubeIamError, NotOwned

_LISTED = 5
_REFUSALS = {
    "policy": (
        Cause.IDENTITY_POLICY,
        "Remove the statement that denies it, or attach a policy that allows it: `kube-iam apply`",
    ),
    "boundary": (Cause.PERMISSIONS_BOUNDARY, "Allow sts:AssumeRole on the role in the user's permissions boundary"),
    "trust": (Cause.TRUST_POLICY, "Allow the IAM users of the account in the role's trust policy, or `kube-iam apply`"),
    "simulation": (Cause.ORGANIZATION_POLICY, Cause.ORGANIZATION_POLICY.remedy),
}
"""Causes and remedies of an administrator, by the code of the step that refuses."""


def check_user(state: Inspection) -> Outcome:
    """Check that the IAM user exists."""
    if not state.level.method.is_in_iam:
        return Skipped(_managed_elsewhere(state))
    try:
        found = state.user_state
        if found is None:
            near = suggestion(state.user, (user.name for user in state.iam.users()))
            return Failed(Cause.USER_MISSING, f"no IAM user {state.user} in account {state.access.account}", near)
    except KubeIamError as error:
        return skipped(error)
    return Passed(found.arn)


def check_membership(state: Inspection) -> Outcome:
    """Check that the user is in the level's IAM group, or has temporary access that has not ended."""
    level = state.level
    if not level.method.is_in_iam:
        return Skipped(_managed_elsewhere(state))
    try:
        if state.group is None:
            return _missing(state, Cause.GROUP_MISSING, f"there is no IAM group {level.group_name}")
        others = [member.name for member in state.members if member.name.casefold() != state.user.casefold()]
        is_member = len(others) < len(state.members)
        grant = None if is_member else _grant(state)
    except KubeIamError as error:
        return skipped(error)
    if is_member:
        return Passed(f"{state.user} is in IAM group {level.group_name}, with {_some(others)}")
    if grant is None:
        found = f"{state.user} is not in IAM group {level.group_name}, {_are(others)}"
        return Failed(Cause.NOT_MEMBER, found, _way_in(state))
    return _temporary(state, grant)


def check_policy(state: Inspection) -> Outcome:
    """Check that the group has the level's policy, and that the policy is the level's."""
    access, level = state.access, state.level
    if not level.method.is_in_iam:
        return Skipped(_managed_elsewhere(state))
    arn = policy_arn(access, level)
    try:
        if state.group is None:
            return Skipped("there is no group")
        policy = state.iam.policy(arn)
        if policy is None:
            return _missing(state, Cause.POLICY_DETACHED, f"there is no policy {arn}")
    except KubeIamError as error:
        return skipped(error)
    if arn not in state.group.attached:
        return Failed(Cause.POLICY_DETACHED, f"IAM group {level.group_name} does not have policy {level.policy_name}")
    if not same_document(policy.document, policy_document(access, level)):
        found = f"policy {level.policy_name} does not allow what level {level.name} needs: {_compact(policy.document)}"
        return Failed(Cause.POLICY_CHANGED, found)
    return Passed(f"IAM group {level.group_name} has policy {level.policy_name}")


def check_role(state: Inspection) -> Outcome:
    """Check that the level's role exists, and that its trust policy is the level's."""
    access, level = state.access, state.level
    if level.method is not Method.ROLE:
        return Skipped(f"level {level.name} has no role of its own")
    try:
        role = state.role
        if role is None:
            return _missing(state, Cause.ROLE_MISSING, f"there is no role {level.role_name}")
    except KubeIamError as error:
        return skipped(error)
    wanted = role_arn(access, level)
    if role.arn != wanted and not level.existing_role:
        return Failed(Cause.ROLE_PATH, f"the role is {role.arn}, and level {level.name} says {wanted}")
    if level.existing_role:
        problem = unrestricted_session_name(json.dumps(role.trust), role.arn)
        if problem and access.asks_membership(level):
            return Failed(Cause.SESSION_NAME_UNRESTRICTED, problem)
    elif not same_document(role.trust, trust_document(access, level)):
        found = (
            f"the trust policy of role {role.name} is not that of level {level.name}; it allows {_trusted(role.trust)}"
        )
        return Failed(Cause.TRUST_POLICY, found, "`kube-iam apply`, which repairs the trust policy")
    return Passed(f"{role.arn}, whose trust policy allows {_trusted(role.trust)}")


def check_assume(state: Inspection) -> Outcome:
    """Check that the user's policies and boundary and the role's trust policy allow sts:AssumeRole.

    IAM's own simulation is a second opinion.
    """
    if state.level.method is not Method.ROLE:
        return Skipped(f"level {state.level.name} has no role of its own")
    user, role = state.user_state, state.role
    if user is None or role is None:
        return Skipped("there is no user, or no role")
    facts = IamFacts(state.iam)
    access = assume_access(facts, user, role, state.now)
    steps = (*access.steps, simulation_step(facts, user, role, access, state.now))
    if failed := next((step for step in steps if step.status is Status.MISSING), None):
        cause, remedy = _REFUSALS[failed.code]
        if failed.reason == "session_name":
            cause = Cause.SESSION_NAME
        return Failed(cause, failed.detail, failed.remedy or remedy)
    if unknown := next((step for step in steps if step.status is Status.UNKNOWN), None):
        return Skipped(f"not decided: {unknown.detail}")
    return Passed("; ".join(step.detail for step in steps))


def check_drift(state: Inspection) -> Outcome:
    """Check that nothing else of the level differs from the access file. Bindings are checked behind this."""
    try:
        plan = plan_apply(state.access, state.session.ports, now=state.now, dry_run=False)
    except NotOwned as error:
        return Failed(Cause.NOT_OWNED, " ".join(" ".join(error.lines).split()), error.hint)
    except KubeIamError as error:
        return skipped(error)
    found = [each for each in differences(plan.changes) if each.level == state.level.name]
    mine = [each for each in found if each.kind is not Kind.BINDING and _concerns(each, state)]
    if mine:
        shown = "; ".join(
            f"{each.kind.value} {each.name} is {each.state.value}{_fields(each)}" for each in mine[:_LISTED]
        )
        more = f"; and {len(mine) - _LISTED} more" if len(mine) > _LISTED else ""
        return Failed(Cause.LEVEL_DRIFT, f"{shown}{more}")
    if plan.failures:
        return Passed(f"no differences; apply would fail for another reason: {plan.failures[0]}")
    return Passed(f"level {state.level.name} is as {state.access.source} says")


def _way_in(state: Inspection) -> str:
    """Return the remedy for a user who is not in the group: the file lists the members of some levels."""
    listed = state.level.members
    if listed is None:
        return f"`kube-iam grant {state.user} {state.level.name}`"
    place = state.access.place_of(listed)
    return "`kube-iam apply`" if state.user in listed else f"Add {state.user} to {place}, then `kube-iam apply`"


def _temporary(state: Inspection, grant: TemporaryGrant) -> Outcome:
    """Return the outcome for a user who is no member and has an item in `temporary`."""
    level = state.level
    again = f"`kube-iam grant {state.user} {level.name} --for 1h`, or without an end `kube-iam grant {state.user} {level.name}`"
    try:
        user = state.user_state
        if grant.ends <= state.now:
            return Failed(Cause.TEMPORARY_ENDED, f"temporary access of {state.user} ended at {grant.until}", again)
        if user is not None and user.unique_id != grant.user_id:
            found = f"temporary access is for a former IAM user {state.user} ({grant.user_id})"
            return Failed(Cause.TEMPORARY_ENDED, found, again)
        name = user_policy_name(state.access.name, level.name)
        if level.method is Method.ROLE and state.iam.user_policy(state.user, name) is None:
            found = f"temporary access is in the mapping, and {state.user} has no policy {name}"
            return Failed(Cause.TEMPORARY_ENDED, found, again)
    except KubeIamError as error:
        return skipped(error)
    return Passed(f"{state.user} has temporary access until {grant.until}")


def _grant(state: Inspection) -> TemporaryGrant | None:
    """Return the item of the user in `temporary` of the level's entry, None without one or without a mapping that can be read."""
    try:
        grants = (grant for entry in state.present[:1] for grant in entry.temporary)
        return next((grant for grant in grants if grant.user_name.casefold() == state.user.casefold()), None)
    except AccessDenied:
        raise
    except KubeIamError:
        return None


def _missing(state: Inspection, cause: Cause, found: str) -> Failed:
    """Return the failure of a missing thing: it was deleted, or the level was never applied."""
    if not state.is_applied:
        return Failed(Cause.LEVEL_NOT_APPLIED, found)
    return Failed(cause, found)


def _concerns(difference: Difference, state: Inspection) -> bool:
    """Return whether a difference is of the level itself or of this user. Other members do not matter for the sign-in."""
    if difference.kind in (Kind.MEMBER, Kind.TEMPORARY):
        return any(part.name == "userName" and state.user in (part.before, part.after) for part in difference.fields)
    return True


def _fields(difference: Difference) -> str:
    names = ", ".join(part.name for part in difference.fields)
    return f" ({names})" if names and difference.state.value == "different" else ""


def _trusted(trust: object) -> str:
    try:
        found = [str(each) + (" under conditions" if each.conditional else "") for each in trusted_principals(trust)]
    except ValueError as problem:
        return f"nobody that can be told, since {problem}"
    return _some(found) if found else "nobody"


def _some(names: list[str]) -> str:
    if not names:
        return "nobody else"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(sorted(names, key=str.casefold)[:_LISTED])}{more}"


def _are(names: list[str]) -> str:
    return f"which has {_some(names)}" if names else "which is empty"


def _compact(document: object) -> str:
    text = json.dumps(document, separators=(",", ":"))
    return text if len(text) <= 300 else f"{text[:299]}…"


def _managed_elsewhere(state: Inspection) -> str:
    level = state.level
    if level.method is Method.PERMISSION_SET:
        return f"IAM Identity Center manages the users of permission set {level.permission_set}"
    return f"others manage the users of role {level.mapped_role}"
