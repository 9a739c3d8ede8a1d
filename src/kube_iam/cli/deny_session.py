"""Calls of the commands that deny to the real cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kube_iam.cli.deny_options import LONGEST_SESSION
from kube_iam.cli.progress import changes_made
from kube_iam.cli.session import AdminSession
from kube_iam.core.principals import explain_invalid, fits, kind_of
from kube_iam.denylist.denial import Denial, NotAPrincipal, denial_name, denial_of
from kube_iam.denylist.propagation import Clock, ExpectedDenial, Propagation, wait_for_propagation
from kube_iam.errors import KubeIamError, UsageError

if TYPE_CHECKING:
    from kube_iam.kube.client import KubeApi

_COMMANDS_NAME = re.compile(r"[A-Za-z0-9_-]+-[0-9a-f]{10}", re.ASCII)
_ANY_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # that a server can be asked about
CLOCK = Clock(time.monotonic, time.sleep)


@dataclass(frozen=True, slots=True)
class Closing:
    """Options of a denial: the deny list, why, the TTL of kube-apiserver's cache in seconds, and whether to wait for its end."""

    deny_list: str
    reason: str
    cache_ttl: int
    wait: bool


def caller(session: AdminSession) -> str:
    """Return who the administrator is to the cluster; empty where it does not say, which stops no denial."""
    from kube_iam.kube.cluster import KubeCluster

    try:
        return KubeCluster(session.kube).whoami().username
    except KubeIamError:
        return ""


def shut(session: AdminSession, closing: Closing, denials: Sequence[Denial], began: float) -> Propagation:
    """Write the denials and find out when they are obeyed. Raises KubeIamError where they cannot be written."""
    from kube_iam.denylist.editor import DenyListEditor
    from kube_iam.denylist.prober import Prober

    names = "write the denial of " + ", ".join(denial.value for denial in denials)
    with changes_made().making(names):
        DenyListEditor(session.kube, closing.deny_list).add(denials, time.time())
    prober = Prober(session.kube)
    wanted = [ExpectedDenial(denial.name, denial.until) for denial in denials]
    addresses: tuple[str, ...] = ()
    unlisted = ""
    try:
        addresses = prober.addresses()
    except KubeIamError as error:
        unlisted = error.message
    return wait_for_propagation(
        prober.ask, addresses, wanted, CLOCK, began=began, cache_ttl=closing.cache_ttl, listing_error=unlisted
    )


def check_principal(text: str) -> None:
    """Raise UsageError, with a remedy, where no principal can have this name, so that a denial of it would deny nobody."""
    denial(text, until=0.0, reason="", by="", now=0.0)


def denial(text: str, *, role: str = "", until: float, reason: str, by: str, now: float) -> Denial:
    """The denial of what a person typed. Raises UsageError as `check_principal` does."""
    try:
        return denial_of(text, role=role, until=float(int(until)), reason=reason, actor=by, at=now)
    except NotAPrincipal as error:
        raise UsageError(error.message, error.hint) from error


def lift(
    session: AdminSession,
    deny_list: str,
    chosen: Callable[[Denial], bool],
    now: float,
    otherwise: Sequence[Denial] = (),
    lifting: str = "lift denials",
) -> tuple[Denial, ...]:
    """Lift the denials that are chosen and return them; write `otherwise` where there are none. Raises KubeIamError.

    `lifting` names the change for `changes_made`.
    """
    from kube_iam.denylist.editor import DenyListEditor

    store, by = DenyListEditor(session.kube, deny_list), caller(session)
    with changes_made().making(lifting):
        return store.remove(chosen, by, now, otherwise)


def denied_values(session: AdminSession, deny_list: str, now: float) -> list[str]:
    """Return the values of all denials in force in the list. Raises KubeIamError."""
    return [denial.value for denial in read_denials(session.kube, deny_list) if denial.until > now]


def read_denials(api: KubeApi, deny_list: str) -> list[Denial]:
    """Return all denials of the list, ended ones too. Raises KubeIamError."""
    from kube_iam.denylist.editor import DenyListEditor
    from kube_iam.denylist.entry import parse_entry

    entries = DenyListEditor(api, deny_list).read().data
    return [denial for ident, text in entries.items() for denial in parse_entry(ident, text).denials]


def lifted_entries(text: str, now: float) -> tuple[Denial, ...]:
    """The entries that lift a denial which is in no list: servers keep what a ConfigMap that was deleted denied.

    `text` is what a person typed, a principal or the name of a denial. Raises UsageError for neither.
    """
    from kube_iam.denylist.editor import REMOVED

    by_name = Denial(text, "userName", text, until=REMOVED, reason="removed", at=now)
    if _COMMANDS_NAME.fullmatch(text):
        return (by_name,)
    entry = denial(text, until=REMOVED, reason="removed", by="", now=now)
    return (entry, by_name) if _ANY_NAME.fullmatch(text) else (entry,)


def is_remembered(session: AdminSession, ident: str) -> bool | None:
    """Return whether a server has a denial of that name in force; None where not every API server could be asked, and none said so."""
    from kube_iam.denylist.prober import HERE, Prober
    from kube_iam.denylist.status_query import IN_FORCE

    prober = Prober(session.kube)
    unasked = False
    try:
        addresses: tuple[str, ...] = prober.addresses() or (HERE,)
    except KubeIamError:
        addresses, unasked = (HERE,), True
    for address in addresses:
        try:
            if prober.ask(address, ident).state == IN_FORCE:
                return True
        except KubeIamError:
            unasked = True
    return None if unasked else False


def level_denials(
    session: AdminSession, closing: Closing, users: Sequence[str], role: str = "", iam_group: str = ""
) -> list[Denial]:
    """The denials of the users in sessions of the role, or as members of the IAM group, for as long as a session can last.

    Raises UsageError for what is no user's name.
    """
    now = time.time()
    by = caller(session)
    end = float(int(now + LONGEST_SESSION))
    for user in users:
        if not fits("userName", user):
            raise UsageError(
                *(explain_invalid(user) if not kind_of(user) else (f"{user!r} is not the name of an IAM user", ""))
            )
    return [
        Denial(
            denial_name("userName", user, role, iam_group),
            "userName",
            user,
            role,
            end,
            closing.reason,
            by,
            now,
            iam_group,
        )
        for user in dict.fromkeys(users)
    ]
