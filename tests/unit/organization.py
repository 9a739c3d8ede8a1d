"""A generated organization: an access file with many levels, an account with many users, RBAC, and faults for an audit to find.

Everything is made from a seed, so that equal arguments give an equal organization.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from fake_account import ACCOUNT, FakeAccount
from levels_for_tests import access, level, run

from kube_iam.access.levels import Bind, ClusterAccess, Level
from kube_iam.access.mapping import MappingEntry
from kube_iam.access.plan import plan_apply
from kube_iam.access.ports import Holder, RoleState, User
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.rbac import GROUP, Rbac, RbacBinding, RbacSubject, RoleKey, Rule
from kube_iam.core.utc import rfc3339
from kube_iam.denylist.denial import Denial
from kube_iam.report.access_report import AccessReport, ReportReader, Sources

HOSTILE = "</script><script>alert(1)</script>\"' onload=x {{7*7}} {% raw %} <!-- \u202egpj\x1b[31m\n=cmd|'/c calc'!A1"
"""A name that nothing may take for markup, a template, a formula or a command of the terminal."""
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
OTHER_ACCOUNT = "999988887777"
_FIRST = (
    "ada",
    "ben",
    "chloe",
    "dinesh",
    "emeka",
    "fatima",
    "goran",
    "hana",
    "ines",
    "jonas",
    "kofi",
    "lena",
    "marek",
    "noor",
)
_LAST = (
    "adams",
    "baker",
    "castro",
    "diallo",
    "evans",
    "fischer",
    "gupta",
    "haddad",
    "ito",
    "jansen",
    "kowalski",
    "lopez",
    "meyer",
)
_TEAMS = (
    "payments",
    "search",
    "checkout",
    "catalog",
    "identity",
    "mobile",
    "data",
    "ml",
    "risk",
    "logistics",
    "support",
    "growth",
)
_KINDS = ("viewer", "developer", "operator", "oncall", "admin")

ROLES: dict[RoleKey, tuple[Rule, ...]] = {
    RoleKey("ClusterRole", "cluster-admin"): (Rule(("*",), ("*",), ("*",)), Rule(("*",), paths=("*",))),
    RoleKey("ClusterRole", "admin"): (
        Rule(("get", "list", "create", "delete"), ("", "apps"), ("pods", "secrets", "deployments")),
        Rule(("impersonate",), ("",), ("serviceaccounts",)),
    ),
    RoleKey("ClusterRole", "edit"): (
        Rule(("get", "list", "create", "delete"), ("", "apps"), ("pods", "secrets", "deployments")),
    ),
    RoleKey("ClusterRole", "view"): (Rule(("get", "list"), ("", "apps"), ("pods", "deployments")),),
    RoleKey("ClusterRole", "platform"): (Rule(("*",), ("*",), ("*",)),),
    RoleKey("ClusterRole", "delegate"): (
        Rule(("bind", "escalate"), ("rbac.authorization.k8s.io",), ("clusterroles",)),
    ),
}


@dataclass
class Organization:
    """An account with its levels applied, and what the cluster says."""

    access: ClusterAccess
    account: FakeAccount
    rbac: Rbac
    denials: tuple[Denial, ...] = ()
    now: float = 0.0


def organization(users: int = 60, levels: int = 12, seed: int = 1, *, now: float = 1_800_000_000.0) -> Organization:
    """Return an organization without faults: each user is in one to three levels."""
    rng = random.Random(seed)
    made = access(*_levels(levels))
    account = FakeAccount()
    directory = account.directory
    run(account, plan_apply(made, account.ports))
    names = list(dict.fromkeys(_names(users)))
    directory.all_users = {
        name: User(name, f"arn:aws:iam::{ACCOUNT}:user/{name}", f"AIDA{at:016d}") for at, name in enumerate(names)
    }
    for name in names:
        for chosen in rng.sample(made.levels, min(len(made.levels), rng.choice((1, 1, 2, 2, 3)))):
            directory.group_members[chosen.group_name].add(name)
    bindings = tuple(
        RbacBinding(
            f"kube-iam-{each.name}",
            RoleKey("ClusterRole", bind.cluster_role),
            (RbacSubject(GROUP, each.groups[0]),),
            place,
        )
        for each in made.levels
        for bind in each.bind
        for place in bind.namespaces or ("",)
    )
    entries = account.store.all_entries
    account.store.all_entries = [replace(entry, where=f"mapRoles[{at}]") for at, entry in enumerate(entries)]
    return Organization(made, account, Rbac(dict(ROLES), bindings), now=now)


def with_faults(made: Organization) -> Organization:
    """Add a fault for each check of the audit, but for a mapping that no server can load."""
    account, now = made.account, made.now
    directory, store, first = account.directory, account.store, made.access.levels[0]
    entries = store.all_entries
    gone, here = rfc3339(now - 86400), rfc3339(now + 7200)
    entries[0] = replace(
        entries[0],
        temporary=(
            TemporaryGrant("ada.adams", "AIDA0000000000000000", gone, "incident 4711"),
            TemporaryGrant("nobody.left", "AIDADELETED", here, "migration"),
        ),
    )
    open_role = directory.role_states[made.access.levels[1].role_name]
    directory.role_states[open_role.name] = replace(
        open_role, trust=_trust({"AWS": [ROOT, f"arn:aws:iam::{OTHER_ACCOUNT}:root"]})
    )
    directory.other_attachments.add((Holder("user", "ben.adams"), _policy(made, first)))
    for name, trust in {
        "legacy-deploy": _trust({"AWS": [ROOT, "AIDACKCEVSQ6C2EXAMPLE"]}),
        "public": _trust({"AWS": "*"}),
        "break-glass": _trust({"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:role/ci"}),
    }.items():
        directory.role_states[name] = RoleState(f"arn:aws:iam::{ACCOUNT}:role/{name}", name, "/", trust)
    at = len(entries)
    for name, username, groups in (
        ("legacy-deploy", "deploy:{{SessionName}}", ("deployers",)),
        ("public", "public", ("readers",)),
        ("break-glass", "break-glass", ("system:masters",)),
        ("deleted-long-ago", "old", ("old",)),
        ("public", "public", ("readers",)),
        ("legacy-deploy", "deploy", ("platform",)),
        ("break-glass-2", "x:{{Unknown}}", ("x",)),
    ):
        entries.append(MappingEntry(f"arn:aws:iam::{ACCOUNT}:role/{name}", username, groups, where=f"mapRoles[{at}]"))
        at += 1
    store.other_entries = (
        MappingEntry(
            "", "chloe", ("platform",), principal=f"arn:aws:iam::{ACCOUNT}:user/chloe.castro", where="mapUsers[0]"
        ),
        MappingEntry("", "zoe", ("readers",), principal=f"arn:aws:iam::{ACCOUNT}:user/zoe.left", where="mapUsers[1]"),
        MappingEntry("", "", (), principal=OTHER_ACCOUNT),
    )
    more = (
        RbacBinding("platform", RoleKey("ClusterRole", "platform"), (RbacSubject(GROUP, "platform"),)),
        RbacBinding("delegates", RoleKey("ClusterRole", "delegate"), (RbacSubject(GROUP, "deployers"),)),
        RbacBinding("everybody", RoleKey("ClusterRole", "edit"), (RbacSubject(GROUP, "system:authenticated"),)),
    )
    made.rbac = replace(made.rbac, bindings=(*made.rbac.bindings, *more))
    made.denials = (
        Denial("d1", "userName", "dinesh.diallo", until=now + 40_000, reason="left the company", actor="kube:root"),
    )
    return made


def hostile_organization() -> Organization:
    """Return an organization whose names try to be HTML, scripts, templates, formulas and control characters."""
    made = organization(users=5, levels=2)
    account = made.account
    name = HOSTILE
    account.directory.all_users[name] = User(name, f"arn:aws:iam::{ACCOUNT}:user/{name}", "AIDA1")
    account.directory.group_members[made.access.levels[0].group_name].add(name)
    account.store.other_entries = (
        MappingEntry(
            "", HOSTILE, (HOSTILE, "=1+1"), principal=f"arn:aws:iam::{ACCOUNT}:user/@evil", where="mapUsers[0]"
        ),
        MappingEntry("", "=HYPERLINK(1)", ("+1",), principal=f"-{HOSTILE}", where="mapUsers[1]"),
    )
    account.directory.all_users["@evil"] = User("@evil", f"arn:aws:iam::{ACCOUNT}:user/@evil", "AIDA2")
    made.rbac = replace(
        made.rbac,
        bindings=(
            *made.rbac.bindings,
            RbacBinding(HOSTILE, RoleKey("ClusterRole", HOSTILE), (RbacSubject(GROUP, HOSTILE),)),
        ),
    )
    made.denials = (Denial(HOSTILE, "userName", HOSTILE, reason=HOSTILE, actor=HOSTILE),)
    return made


def read_report(made: Organization, **broken: Callable[[], Any]) -> AccessReport:
    """Return the report of an organization. `broken` replaces functions of `Sources`."""
    account = made.account
    functions: dict[str, Any] = {
        "store": lambda: account.store,
        "rbac": lambda: made.rbac,
        "plan": lambda: plan_apply(made.access, account.ports, now=made.now, dry_run=False),
        "denials": lambda: made.denials,
    }
    return ReportReader(made.access, Sources(account.directory, **{**functions, **broken}), made.now).read()


def _levels(count: int) -> Iterator[Level]:
    for at in range(count):
        team, kind = _TEAMS[at // len(_KINDS) % len(_TEAMS)], _KINDS[at % len(_KINDS)]
        bind = {
            "viewer": (Bind("view"),),
            "developer": (Bind("edit", "", (team, f"{team}-staging")), Bind("view")),
            "operator": (Bind("admin", "", (team,)),),
            "oncall": (Bind("edit", "", (team,)), Bind("view")),
            "admin": (Bind("cluster-admin"),) if team == "payments" else (Bind("admin", "", (team,)),),
        }[kind]
        yield level(f"{team}-{kind}", *bind)


def _names(count: int) -> Iterator[str]:
    for at in range(count):
        number = at // (len(_FIRST) * len(_LAST))
        name = f"{_FIRST[at % len(_FIRST)]}.{_LAST[at // len(_FIRST) % len(_LAST)]}"
        yield f"{name}{number or ''}"


def _trust(principal: object) -> object:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _policy(made: Organization, level: Level) -> str:
    return f"arn:aws:iam::{ACCOUNT}:policy{level.path}{level.policy_name}"
