"""Search of a mapping for the entry that the server uses for a principal, and for the nearest entries that do not match.

`match_entries` answers for one mapping, which `MappingStore.server_mapping` reads. The server's own index decides which entry matches
and which user it gives. This module only puts into words how a principal and another entry differ.

Not covered: the server's membership cache, its deny list and its other backends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from kube_iam.access.mapping import ServerMapping, UnusedEntry
from kube_iam.core.arns import Arn, Sso, canonical_arn, comparable_arn, parse_arn, parse_sso_role
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping import MappingMatch, MappingTable, merge, render, reserved_prefix
from kube_iam.core.mapping_entries import GroupMapping, RoleMapping, TemporaryGrant, UserMapping
from kube_iam.core.reasons import Refusal
from kube_iam.core.templates import Template

CODES = (
    *("shadowed", "session_arn", "wrong_list", "invalid_entry", "path", "account", "partition", "sso_suffix"),
    *("permission_set", "letter_case", "not_member", "principal_kind", "name"),
)
"""Codes of differences between a principal and an entry, the nearest first. They are stable."""
MOST = 3
"""Entries that are returned as the nearest."""
_SIGN_IN_VARIABLES = ("AccessKeyID", "EC2PrivateDNSName")
_SESSION_VARIABLES = ("SessionName", "SessionNameRaw")
_SIMILAR = 0.75  # difflib's ratio: one or two letters of a name of eight
_PERMISSION_SET_ROLE = "awsreservedsso_"
_KEYS = {"rolearn": "mapRoles", "userarn": "mapUsers", "iamgroup": "mapGroups"}
Entry = RoleMapping | UserMapping | GroupMapping


@dataclass(frozen=True, slots=True)
class NearEntry:
    """An entry that the server does not use for the principal. `code` is one of `CODES`, and `reason` is a sentence about both.

    `place` is where the entry stands, and `principal` is what it names, as written.
    """

    code: str
    place: str
    principal: str
    reason: str


@dataclass(frozen=True, slots=True)
class MatchedEntry:
    """The entry that the server uses. `place` is where it stands, `principal` what it names, `match` what the index returns.

    `user` has the user name and the groups, or the server's refusal of them. `open_variables` are template variables that have a value
    only when somebody signs in: `user` then has the templates as written.
    """

    place: str
    principal: str
    match: MappingMatch
    user: tuple[str, tuple[str, ...]] | Refusal
    open_variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntryMatch:
    """The entry that the server uses, None where none matches, and the nearest others.

    `missing` is set where the entry does not admit the principal: the code `template` or `not_member`, and a sentence.
    """

    entry: MatchedEntry | None
    missing: tuple[str, str] | None = None
    nearest: tuple[NearEntry, ...] = ()


def principal_identity(arn: str, user_id: str = "") -> Identity:
    """Return the identity that the server sees of a user, role, role session, federated user or account root.

    The ARN of a role stands for its sessions without a session name. `user_id` is the unique id where it is known. Raises ValueError
    for every other text.
    """
    canonical = canonical_arn(arn)
    resource = arn.split(":", 5)[5]
    session = resource.rpartition("/")[2] if resource.startswith("assumed-role/") else ""
    return Identity(arn, canonical, arn.split(":")[4], user_id, session, "", "")


def match_entries(
    identity: Identity, mapping: ServerMapping, iam_groups: Collection[str] | None = None, now: float = 0.0
) -> EntryMatch:
    """Return the entry of the mapping that the server uses for the identity, and the nearest others.

    `iam_groups` are the IAM groups of the user, or of the user that the session is named after. With None they are not known, and
    membership is not checked. `now` is Unix seconds: temporary grants count until their end.
    """
    table = MappingTable.build(mapping.roles, mapping.users, mapping.accounts, mapping.groups)[0]
    match = table.find(identity)
    if match is None and identity.user_name:
        member_of = frozenset(iam_groups or ())
        by_group = table.group_mappings.find(member_of, identity.user_id, now, is_current=lambda _: True)
        match = merge(by_group) if by_group else None
    entries = {entry.where: entry for entry in mapping.entries}
    used = [entries[where] for where in match.source.split() if where in entries] if match is not None else []
    if match is not None:
        matched: MatchedEntry | None = _matched(identity, mapping, match, used)
    else:
        matched = _account(identity, mapping) if table.account_match(identity.account_id) else None
    missing = _missing(matched, identity, mapping, iam_groups, now) if matched is not None else None
    near = sorted(_near(identity, mapping, used, iam_groups), key=lambda each: CODES.index(each.code))
    return EntryMatch(matched, missing, tuple(near[:MOST]))


def _matched(identity: Identity, mapping: ServerMapping, match: MappingMatch, used: list[Entry]) -> MatchedEntry:
    place = " and ".join(mapping.place(entry.where) for entry in used)
    principal = " and ".join(map(principal_as_written, used))
    templates = (match.username, *match.groups)
    is_any_session = ":role/" in identity.comparable_arn and not identity.session_name
    later = (*_SIGN_IN_VARIABLES, *(_SESSION_VARIABLES if is_any_session else ()))
    unknown = tuple(name for name in later if any(name in each.parts[1::2] for each in templates))
    usable = all(each.usable for each in templates)
    if unknown and usable:
        as_written = match.username.text, tuple(each.text for each in match.groups)
        return MatchedEntry(place, principal, match, as_written, unknown)
    return MatchedEntry(place, principal, match, render(match, identity, mapping.reserved_prefixes))


def _account(identity: Identity, mapping: ServerMapping) -> MatchedEntry:
    name = identity.canonical_arn
    match = MappingMatch(Template(name, (name,)), (), "mapAccounts")
    refusal = reserved_prefix(name, mapping.reserved_prefixes)
    return MatchedEntry(mapping.place("mapAccounts"), identity.account_id, match, refusal or (name, ()))


def _missing(
    matched: MatchedEntry, identity: Identity, mapping: ServerMapping, groups: Collection[str] | None, now: float
) -> tuple[str, str] | None:
    if isinstance(matched.user, Refusal):
        reports = mapping.problems.get(matched.match.source, ())
        return "template", "; ".join((matched.user.message, *reports))
    required = matched.match.requirement
    if required is None or groups is None or required.iam_group in groups:
        return None
    if not identity.session_name:
        return "not_member", f"its sessions must be named after members of IAM group {required.iam_group}"
    if any(_is_current(grant, identity, now) for grant in required.temporary):
        return None
    ended = [grant for grant in required.temporary if grant.user_name == identity.session_name]
    over = f"; temporary access ended at {ended[0].until}" if ended else ""
    return "not_member", f"{identity.session_name} is not in IAM group {required.iam_group}{over}"


def _is_current(grant: TemporaryGrant, identity: Identity, now: float) -> bool:
    return grant.user_name == identity.session_name and now < grant.ends


def principal_as_written(entry: Entry) -> str:
    """Return what an entry names: an ARN, a permission set, or an IAM group."""
    if isinstance(entry, UserMapping):
        return entry.arn
    if isinstance(entry, GroupMapping):
        return f"IAM group {entry.iam_group}"
    return entry.who.describe() if isinstance(entry.who, Sso) else entry.who


def _near(
    identity: Identity, mapping: ServerMapping, used: list[Entry], groups: Collection[str] | None
) -> Iterator[NearEntry]:
    """Yield each entry that the server does not use and that names something like the principal."""
    first = mapping.place(used[0].where) if used else ""
    for entry in mapping.entries:
        if entry in used:
            continue
        if isinstance(entry, GroupMapping):
            found = _group_difference(identity, entry, groups)
        elif _matches_alone(identity, entry):
            found = "shadowed", f"the server uses the first entry that matches: {first}"
        elif isinstance(entry, RoleMapping) and isinstance(entry.who, Sso):
            found = _permission_set_difference(identity, entry.who)
        else:
            found = _arn_difference(identity, principal_as_written(entry))
        if found is not None:
            yield NearEntry(found[0], mapping.place(entry.where), principal_as_written(entry), found[1])
    for unused in mapping.unused:
        found = _unused_difference(identity, unused, mapping.problems.get(unused.where, ()))
        if found is not None:
            yield NearEntry(found[0], mapping.place(unused.where), unused.principal, found[1])


def _matches_alone(identity: Identity, entry: RoleMapping | UserMapping) -> bool:
    roles, users = ([entry], []) if isinstance(entry, RoleMapping) else ([], [entry])
    return MappingTable.build(roles, users, ())[0].find(identity) is not None


def _group_difference(
    identity: Identity, entry: GroupMapping, groups: Collection[str] | None
) -> tuple[str, str] | None:
    group = entry.iam_group
    if groups is None:
        return None
    if identity.session_name and group in groups:
        return "principal_kind", f"members of IAM group {group} sign in with their own keys, not with a role session"
    if not identity.user_name:
        return None
    if group in groups:
        return "shadowed", f"{identity.user_name} has an entry for the user alone, which the server uses first"
    if spelled := next((name for name in groups if ascii_lower(name) == ascii_lower(group)), ""):
        return "letter_case", f"the IAM group is written {spelled}, and the entry says {group}"
    return "not_member", f"{identity.user_name} is not in IAM group {group}"


def _arn_difference(identity: Identity, text: str) -> tuple[str, str] | None:
    """Return how the principal and that of an entry with an ARN differ, None where they have nothing in common."""
    own = parse_arn(identity.comparable_arn)
    try:
        other = parse_arn(comparable_arn(text))
    except ValueError:
        return None
    if own is None or other is None:
        return None
    kind, name = _kind_and_name(own)
    other_kind, other_name = _kind_and_name(other)
    if kind == other_kind and name == other_name:
        return _place_difference(own, other)
    if kind == "role" == other_kind and (found := _role_suffix_difference(identity, other, other_name)):
        return found
    if kind != other_kind:
        same = name == other_name or (other_kind == "user" and other_name == ascii_lower(identity.session_name))
        return ("principal_kind", f"the entry is for {other_kind} {other_name}, and this is a {kind}") if same else None
    if _is_similar(name, other_name) and (own.partition, own.account) == (other.partition, other.account):
        return "name", f"the entry names {other_kind} {other_name}, and this is {kind} {name}"
    return None


def _place_difference(own: Arn, other: Arn) -> tuple[str, str]:
    """Return how two principals of the same kind and name differ: partition, account or the path of a user."""
    if own.partition != other.partition:
        return "partition", f"the entry is for partition {other.partition}, and the principal is of {own.partition}"
    if own.account != other.account:
        return "account", f"the entry is for account {other.account}, and the principal is of {own.account}"
    path = own.resource.removeprefix("user").rpartition("/")[0] or ""
    return "path", f"a user's path counts: the ARN of the user has path {path}/, and the entry has another one"


def _role_suffix_difference(identity: Identity, other: Arn, other_name: str) -> tuple[str, str] | None:
    """Return how two roles of one permission set differ: IAM Identity Center gives each role another suffix."""
    mine = identity.permission_set
    if mine is None or (other.partition, other.account) != mine[:2]:
        return None
    theirs = parse_sso_role(str(other))
    if theirs == mine:
        return "sso_suffix", "the role of the permission set was created again under another suffix; map it with sso"
    if other_name == f"{_PERMISSION_SET_ROLE}{mine[2]}":
        return "sso_suffix", "the entry lacks the suffix of the permission set's role; map it with sso"
    return None


def _permission_set_difference(identity: Identity, sso: Sso) -> tuple[str, str] | None:
    mine, name = identity.permission_set, ascii_lower(sso.permission_set_name)
    if mine is None:
        role = identity.comparable_arn.rpartition("/")[2]
        if role not in (name, f"{_PERMISSION_SET_ROLE}{name}"):
            return None
        return "sso_suffix", f"role {role} is not a role that IAM Identity Center made for a permission set"
    if mine[2] == name:
        kind, at = ("partition", 0) if mine[0] != sso.partition else ("account", 1)
        return kind, f"the entry is for {kind} {sso.key[at]}, and the principal is of {mine[at]}"
    if mine[:2] == sso.key[:2] and _is_similar(mine[2], name):
        return "permission_set", f"the entry names permission set {sso.permission_set_name}, and this is {mine[2]}"
    return None


def _unused_difference(identity: Identity, entry: UnusedEntry, reports: tuple[str, ...]) -> tuple[str, str] | None:
    """Return why an entry that the server cannot use does not match, None where it does not name the principal."""
    said = "; ".join(reports) or "the server cannot use it"
    try:
        names_principal = comparable_arn(entry.principal) == identity.comparable_arn
    except ValueError:
        last = ascii_lower(entry.principal).rpartition("/")[2]
        mine = {identity.comparable_arn.rpartition("/")[2], ascii_lower(identity.session_name)}
        return ("invalid_entry", said) if last and last in mine else None
    if not names_principal:
        difference = _arn_difference(identity, entry.principal)
        return (difference[0], f"{difference[1]}; {said}") if difference is not None else None
    belongs = _KEYS.get(entry.key, "")
    if belongs and f"{ascii_lower(belongs)}[" not in ascii_lower(entry.where):
        return "wrong_list", f"an entry with {entry.key} belongs in {belongs}; {said}"
    return ("session_arn" if ":assumed-role/" in ascii_lower(entry.principal) else "invalid_entry"), said


def _kind_and_name(arn: Arn) -> tuple[str, str]:
    kind, _, name = arn.resource.partition("/")
    return kind, name.rpartition("/")[2]


def _is_similar(one: str, other: str) -> bool:
    return SequenceMatcher(None, one, other).ratio() >= _SIMILAR
