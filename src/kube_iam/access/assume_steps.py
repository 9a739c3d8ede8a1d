"""The steps by which an IAM user gets a session of a role: policies of the user and its groups, boundary, and trust policy.

`kube_iam.core.assume_role` reads the documents. A step is ok only where a statement surely allows and none may deny.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kube_iam.access.explanation import Status, Step
from kube_iam.access.iam_facts import IamFacts
from kube_iam.access.levels import SHORTEST_SESSION_NAME
from kube_iam.access.ports import RoleState, Simulation, User
from kube_iam.core.assume_role import (
    MFA,
    NOT_UNDERSTOOD,
    Answer,
    AssumeCall,
    PolicyResult,
    StatementResult,
    identity_result,
    trust_result,
)
from kube_iam.errors import KubeIamError

Named = tuple[str, PolicyResult]
"""A document as messages name it, and its result."""
_ORDER = (True, None, False)


@dataclass(frozen=True, slots=True)
class AssumeAccess:
    """Whether the user gets a session. `allowed` is None where that is not known.

    `identity` is the same for the policies and the boundary alone, which IAM's simulation is about. `needs_mfa`: with an MFA code.
    """

    steps: tuple[Step, ...]
    allowed: Answer
    identity: Answer
    needs_mfa: bool = False


def assume_access(facts: IamFacts, user: User, role: RoleState, now: float) -> AssumeAccess:
    """Return the steps for the user and the role, with the user's own name as session name. `now` is Unix seconds."""
    call = AssumeCall(user.arn, user.unique_id, role.arn, user.name, now)
    without = _access(facts, user, role, call)
    if without.allowed is True:
        return without
    code = _access(facts, user, role, replace(call, mfa=True))
    if _ORDER.index(code.allowed) >= _ORDER.index(without.allowed):
        return without
    text = f"{user.name} needs the code of an MFA device, for which a policy asks; whether there is one was not read"
    return replace(code, steps=(*code.steps, Step("mfa", Status.NOTE, text)), needs_mfa=True)


def _access(facts: IamFacts, user: User, role: RoleState, call: AssumeCall) -> AssumeAccess:
    trust = ((f"trust policy of role {role.name}", trust_result(role.trust, call)),)
    direct = any(each.direct and each.applies for _, result in trust for each in result.deciding(allows=True))
    policies, unread = _policies(facts, user, call)
    identity = _identity_step(user, role, policies, unread, direct=direct)
    boundary = _boundary_step(facts, user, role, call, direct=direct)
    steps = (identity, *([boundary] if boundary else ()), _trust_step(user, role, trust))
    decided = tuple(_answer(step) for step in steps)
    allowed = False if False in decided else None if None in decided else True
    own = decided[:-1]
    return AssumeAccess(steps, allowed, False if False in own else None if None in own or direct else True)


def _answer(step: Step) -> Answer:
    return {Status.OK: True, Status.MISSING: False}.get(step.status)


def _policies(facts: IamFacts, user: User, call: AssumeCall) -> tuple[tuple[Named, ...], tuple[str, ...]]:
    """Return the user's policies with their results, and why some could not be read."""
    try:
        held = facts.policies(user.name)
    except KubeIamError as error:
        return (), (str(error),)
    unread = tuple(each.problem for each in held if each.problem)
    return tuple((str(each), identity_result(each.document, call)) for each in held if not each.problem), unread


def _identity_step(
    user: User, role: RoleState, policies: tuple[Named, ...], unread: tuple[str, ...], *, direct: bool
) -> Step:
    denied = _denial("policy", policies)
    if denied is not None and denied.status is Status.MISSING:
        return denied
    if unread:
        return Step("policy", Status.UNKNOWN, f"not read: {'; '.join(unread)}", "not_read")
    if denied is not None:
        return denied
    allowing = list(_statements(policies, allows=True, applies=True))
    if allowing:
        return Step("policy", Status.OK, f"{_named(allowing[0])} allows sts:AssumeRole on role {role.name}")
    if direct:
        return Step("policy", Status.OK, f"none is needed: the trust policy of role {role.name} names the user itself")
    maybe = list(_statements(policies, allows=True, applies=None))
    if maybe:
        return Step(
            "policy", Status.UNKNOWN, f"{_named(maybe[0])} may allow it: {_undecided(maybe[0][1])}", "undecided"
        )
    text = f"no policy of {user.name} or its IAM groups allows sts:AssumeRole on role {role.name}"
    return Step("policy", Status.MISSING, text + _unmet(policies), "no_policy")


def _boundary_step(facts: IamFacts, user: User, role: RoleState, call: AssumeCall, *, direct: bool) -> Step | None:
    """Return the step of the user's permissions boundary, None without one."""
    if not user.boundary:
        return None
    name = f"permissions boundary {user.boundary.rpartition('/')[2]}"
    try:
        document = facts.document(user.boundary)
    except KubeIamError as error:
        return Step("boundary", Status.UNKNOWN, f"not read: {error}", "not_read")
    result = identity_result(document, call) if document is not None else PolicyResult(False, False)
    denied = _denial("boundary", ((name, result),))
    if denied is not None:
        return denied
    if result.allows:
        return Step("boundary", Status.OK, f"{name} allows sts:AssumeRole on role {role.name}")
    if result.allows is None or direct:
        # A trust policy that names the user itself may allow what the boundary only does not allow.
        return Step("boundary", Status.UNKNOWN, f"whether {name} allows it is not decided", "undecided")
    text = f"{name} of {user.name} does not allow sts:AssumeRole on role {role.name}"
    return Step("boundary", Status.MISSING, text + _unmet(((name, result),)), "boundary")


def _trust_step(user: User, role: RoleState, trust: tuple[Named, ...]) -> Step:
    result = trust[0][1]
    denied = _denial("trust", trust)
    if denied is not None:
        return denied
    allowing = list(_statements(trust, allows=True, applies=True))
    if allowing and len(user.name) < SHORTEST_SESSION_NAME:
        text = f"STS takes no session name as short as {user.name}"
        return Step("trust", Status.MISSING, text, "session_name", "make an IAM user with a longer name")
    if allowing:
        statement = allowing[0][1]
        condition = f" under the condition {' and '.join(statement.conditions)}" if statement.conditions else ""
        return Step("trust", Status.OK, f"{_named(allowing[0])} lets {user.name} assume it{condition}")
    maybe = list(_statements(trust, allows=True, applies=None))
    if maybe or result is NOT_UNDERSTOOD:
        why = f"{_named(maybe[0])} may allow it: {_undecided(maybe[0][1])}" if maybe else "its form is not understood"
        return Step("trust", Status.UNKNOWN, why, "undecided")
    text = f"no statement of the trust policy of role {role.name} lets {user.name} assume it"
    return Step("trust", Status.MISSING, text + _unmet(trust), "trust")


def _denial(code: str, documents: tuple[Named, ...]) -> Step | None:
    for named in _statements(documents, allows=False, applies=True):
        return Step(code, Status.MISSING, f"{_named(named)} denies sts:AssumeRole", "explicit_deny")
    for named in _statements(documents, allows=False, applies=None):
        text = f"{_named(named)} may deny sts:AssumeRole: {_undecided(named[1])}"
        return Step(code, Status.UNKNOWN, text, "undecided")
    odd = next((name for name, result in documents if result is NOT_UNDERSTOOD), "")
    return Step(code, Status.UNKNOWN, f"{odd} is not understood", "undecided") if odd else None


def _statements(documents: Iterable[Named], *, allows: bool, applies: Answer) -> Iterator[tuple[str, StatementResult]]:
    for name, result in documents:
        for each in result.statements:
            if each.allows is allows and each.applies is applies:
                yield name, each


def _named(found: tuple[str, StatementResult]) -> str:
    return f"{found[0]}, statement {found[1].name},"


def _undecided(statement: StatementResult) -> str:
    if not statement.undecided:
        return "its form is not evaluated here"
    return f"whether {' and '.join(statement.undecided)} holds is not known here"


def _unmet(documents: tuple[Named, ...]) -> str:
    """Return the first statement that only its conditions keep from allowing, as an addition to a sentence."""
    for name, result in documents:
        for each in result.statements:
            if each.allows and each.applies is False and each.unmet:
                return f"; {name}, statement {each.name}, would under the condition {' and '.join(map(_condition, each.unmet))}"
    return ""


def _condition(text: str) -> str:
    return f"{text} (an MFA code)" if MFA in text.lower() else text


def simulation_step(facts: IamFacts, user: User, role: RoleState, access: AssumeAccess, now: float) -> Step:
    """Return IAM's own opinion of the user's policies. It is unknown where the two opinions differ."""
    context: dict[str, str | bool | float] = {
        "sts:RoleSessionName": user.name,
        "aws:username": user.name,
        "aws:userid": user.unique_id,
        "aws:CurrentTime": now,
    }
    if access.needs_mfa:
        context["aws:MultiFactorAuthPresent"] = True
    try:
        said = facts.directory.simulate(user.arn, "sts:AssumeRole", role.arn, context)
    except KubeIamError as error:
        return Step("simulation", Status.NOTE, f"no second opinion: {error}", "not_read")
    text = f"iam:SimulatePrincipalPolicy says {said.decision}{_by(said)} for the policies of {user.name}"
    if said.organization_allows is False:
        return Step(
            "simulation", Status.MISSING, f"{text}: the organization's policies do not allow it", "organization"
        )
    allowed = said.decision == "allowed"
    if said.missing_keys:
        return Step("simulation", Status.NOTE, f"{text}, without values for {', '.join(said.missing_keys)}")
    if access.identity is None or allowed is access.identity:
        return Step("simulation", Status.NOTE, f"{text}{', as above' if access.identity is not None else ''}")
    ours = "allowed" if access.identity else "not allowed"
    return Step("simulation", Status.UNKNOWN, f"{text}, and kube-iam reads them as {ours}", "opinions_differ")


def _by(said: Simulation) -> str:
    return f" by {', '.join(said.policies)}" if said.policies else ""
