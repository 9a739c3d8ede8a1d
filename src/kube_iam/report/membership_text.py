"""A server's answer about the levels' memberships, as warnings and as data: what is wrong, until when, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kube_iam.access.levels import Level, Method
from kube_iam.access.server_policy import remedy
from kube_iam.core.membership_status import MembershipState, MembershipStatus
from kube_iam.core.utc import rfc3339

_ATTACH = "attach the policy that `kube-iam policy server` prints to what the server runs as"


def membership_warning(level: Level, status: MembershipStatus) -> str:
    """Return what deserves a warning about the level; empty where its members are admitted."""
    text = _text(level, status)
    return f"level {level.name}: {text}" if text else ""


def states_data(levels: Iterable[Level], states: Mapping[str, MembershipStatus]) -> dict[str, dict[str, object]]:
    """Return the states of the levels by their names, for programs: `state`, and `until` and `warning` where there is one."""
    return {
        level.name: {
            "state": status.state.value,
            **({"until": rfc3339(status.until)} if status.until else {}),
            **({"warning": text} if (text := _text(level, status)) else {}),
        }
        for level in levels
        if (status := states.get(level.name)) is not None
    }


def _text(level: Level, status: MembershipStatus) -> str:
    group, role = f"IAM group {level.group_name}", f"role {level.role_name}"
    until = rfc3339(status.until)
    last = f"what it read before counts until {until}" if status.until else "nobody is admitted"
    match status.state:
        case MembershipState.NOT_MAPPED:
            return "the server has no such mapping; it has not loaded it yet, or reads its mappings elsewhere"
        case MembershipState.NOT_READ:
            both = f"{group} and {role}" if level.method is Method.ROLE else group
            return f"the server has not read {both} yet; nobody is admitted before"
        case MembershipState.GROUP_FORBIDDEN:
            return f"IAM does not let the server read {group}, or the group does not exist; {last}; {_ATTACH}"
        case MembershipState.ROLE_FORBIDDEN:
            return f"IAM does not let the server read {role}, or the role does not exist; {last}; {_ATTACH}"
        case MembershipState.UNREADABLE:
            return "the server cannot read IAM; nobody is admitted until it can; its log says why"
        case MembershipState.GROUP_MISSING:
            return f"{group} does not exist in the account of the server's AWS credentials; nobody is admitted"
        case MembershipState.ROLE_MISSING:
            return f"{role} does not exist in the account of the server's AWS credentials; nobody is admitted"
        case MembershipState.SESSION_NAME_UNRESTRICTED:
            return f"the trust policy of {role} may let callers choose their session name; nobody is admitted; run `kube-iam apply`"
        case MembershipState.SUSPENDED:
            return (
                f"suspended until {until}: the trust policy of {role} may have let callers choose their session name;"
                f" {remedy(level.role_name, level.name)}"
            )
        case MembershipState.RECREATED:
            return (
                f"{role} was created again; sessions of the former role, which live until {until} at most, are refused;"
                f" a person with one runs `kube-iam logout {level.name}`"
            )
    return ""
