"""Wait until kube-apiserver refuses users who left a level's IAM group: our server is its authorizer and reads the group.

The first question is about a user that no group has. It shows whether there is such an authorizer, and makes the server read the group
once more, as the sign-in of a non-member does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kube_iam.access.desired import iam_arn, mapped_arn
from kube_iam.access.levels import ClusterAccess, Level, Method
from kube_iam.authn.decide import kubernetes_user
from kube_iam.core.identity import rebuild_identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import VARIABLES, parse_template
from kube_iam.core.token_review import User
from kube_iam.denylist.propagation import Clock
from kube_iam.denylist.reviewed_users import session_fields

PATIENCE_SECONDS = 60.0
"""The default of membershipRefresh (15 s), the delay of IAM, and the read."""
_PAUSE_SECONDS = 0.3
LEFT = (Reason.NOT_MEMBER, Reason.NOT_MAPPED, Reason.USER_CHANGED, Reason.DENIED)
"""Reasons for which requests of a former member are denied. Others hold for members too, as while a role is suspended."""
_RENDERED = ("AccountID", "SessionName", "SessionNameRaw", "UserName")
_ALL = (*VARIABLES, "UserName")

AskRefusal = Callable[[str, User], Reason | None]
"""Returns the reason for which our server denies the user's requests, asked at an API server: `prober.Prober.refusal`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Result of a wait, in seconds. `waited` is None without our authorizer, and `admitted` are users that it still admits."""

    waited: float | None
    api_servers: int = 0
    admitted: tuple[str, ...] = ()


def wait_until_refused(
    ask: AskRefusal,
    addresses: Sequence[str],
    users: Mapping[str, User],
    probe: User,
    clock: Clock,
    *,
    began: float,
    patience: float = PATIENCE_SECONDS,
) -> Refused:
    """Return once each API server refuses each of the users (by name), or one has no authorizer of ours, or time is up.

    `began` is the time by the clock at which the command began. Raises KubeIamError where an API server cannot be asked.
    """
    if not all(ask(address, probe) for address in addresses):
        return Refused(None, len(addresses))
    open_questions = [(address, name) for address in addresses for name in users]
    until = clock.now() + patience
    while True:
        open_questions = [(address, name) for address, name in open_questions if ask(address, users[name]) not in LEFT]
        if not open_questions or clock.now() >= until:
            admitted = tuple(dict.fromkeys(name for _, name in open_questions))
            return Refused(clock.now() - began, len(addresses), admitted)
        clock.sleep(_PAUSE_SECONDS)


def probe_user(access: ClusterAccess, level: Level, role_id: str) -> User:
    """Return a user of the level that no group has."""
    return _user(access, level, f"kube-iam-probe-{secrets.token_hex(6)}", "AIDAREVIEW", role_id or "AROAREVIEW")


def level_user(access: ClusterAccess, level: Level, name: str, user_id: str, role_id: str) -> User | None:
    """Return the user of Kubernetes that an IAM user is in the level by a session of its role (`role_id`), or by their own keys.

    None where the user's name in Kubernetes depends on more than the name.
    """
    texts = (level.username, *level.groups)
    if any(part not in _RENDERED for text in texts for part in parse_template(text, _ALL).parts[1::2]):
        return None
    return _user(access, level, name, user_id, role_id)


def _user(access: ClusterAccess, level: Level, name: str, user_id: str, role_id: str) -> User:
    if level.method is Method.GROUP:
        fields = (iam_arn(access, f"user/{name}"), user_id, "", "AKIAREVIEW")
    else:
        fields = session_fields(mapped_arn(access, level), role_id, name, "ASIAREVIEW")
    identity = rebuild_identity(*fields)

    def rendered(text: str) -> str:
        found = parse_template(text, _ALL).render(identity)
        return "" if isinstance(found, Refusal) else found

    return kubernetes_user(identity, rendered(level.username), tuple(map(rendered, level.groups)), (level.name,))
