"""Steps 10 and 11 of an administrator: the deny list, and the entry of the mapping that the server uses for the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kube_iam.access.changes import changed
from kube_iam.access.entry_match import EntryMatch, match_entries
from kube_iam.access.levels import AWS_AUTH, OBJECTS, MappingTarget, Method, TargetKind
from kube_iam.access.mapping import MappingEntry, ServerMapping
from kube_iam.access.members import LevelMembers
from kube_iam.config.backends import CRD, EKS_CONFIG_MAP, MOUNTED_FILE, backend_names
from kube_iam.core.reasons import Refusal
from kube_iam.denylist.denial import Denial, DenialTable
from kube_iam.denylist.denied_members import denied_members
from kube_iam.denylist.prober import HERE, Prober
from kube_iam.denylist.status_query import IN_FORCE
from kube_iam.doctor.causes import Cause
from kube_iam.doctor.inspection import Inspection, skipped
from kube_iam.doctor.outcomes import Failed, Outcome, Passed, Skipped
from kube_iam.doctor.server_checks import NO_CLUSTER
from kube_iam.errors import ConfigError, KubeIamError, NotFound
from kube_iam.kube.config_map import ConfigMapEditor
from kube_iam.kube.mapping_store import make_store
from kube_iam.kube.yaml.tree import parse_tree

_CONFIG_FILE = MappingTarget(TargetKind.CONFIG_FILE)
_BACKENDS = {
    TargetKind.CONFIG_FILE: MOUNTED_FILE,
    TargetKind.FILE: MOUNTED_FILE,
    TargetKind.AWS_AUTH: EKS_CONFIG_MAP,
    TargetKind.CRD: CRD,
}


def check_deny_list(state: Inspection) -> Outcome:
    """Check that no denial refuses the user in this level, in the list or on a server that has not read its removal."""
    if not state.has_cluster:
        return Skipped(NO_CLUSTER)
    try:
        editor = state.session.deny_list(state.deny_list)
        denials = [denial for denial in editor.denials() if denial.until > state.now]
        denial, unchecked = _denial(state, denials) if denials else (None, ())
    except KubeIamError as error:
        return skipped(error)
    notes = f" ({'; '.join(unchecked)})" if unchecked else ""
    if denial is None:
        return Passed(f"no entry of {editor.describe()} is about {state.user}{notes}")
    by = f" by {denial.actor}" if denial.actor else ""
    reason = f": {denial.reason}" if denial.reason else ""
    found = f"entry {denial.name} of {editor.describe()} denies {denial.value} until {denial.end}{by}{reason}"
    return Failed(Cause.DENIED, f"{found}; {_enforced(state, denial)}", f"`kube-iam undeny {denial.name}`")


def check_mapping(state: Inspection) -> Outcome:
    """Check that the mapping has the level's entry, that the server reads it there, and that it uses this entry for the user."""
    try:
        store = state.session.mapping_store
        present, faults = state.present, store.faults()
        if faults:
            return Failed(Cause.MAPPING_INVALID, f"servers cannot load {store.describe()}: {faults[0]}")
        if (elsewhere := _other_backend(state)) is not None:
            return elsewhere
        mapping = store.server_mapping()
        user_id = _user_id(state)
        groups = (state.level.group_name,) if state.level.method is not Method.PERMISSION_SET else ()
        state.found = found = match_entries(state.identity(user_id), mapping, groups, state.now)
    except ConfigError as error:
        return Failed(Cause.MAPPING_INVALID, "; ".join(error.lines))
    except KubeIamError as error:
        return skipped(error)
    if not present:
        return _missing_entry(state, found)
    return _compared(state, found, mapping)


def _compared(state: Inspection, found: EntryMatch, mapping: ServerMapping) -> Outcome:
    """Return the outcome for a mapping that has an entry of the level."""
    present, level, used = state.present, state.level, found.entry
    own = next((entry for entry in present if not _differences(state, entry)), present[0])
    where = _server_place(mapping, own.where)
    place = mapping.place(where)
    if used is not None and where not in used.match.source.split():
        said = f"the server uses {used.place} for {used.principal}, and not the entry of level {level.name}, {place}"
        return Failed(Cause.MAPPING_SHADOWED, said)
    if differences := _differences(state, own):
        return Failed(Cause.MAPPING_DIFFERS, f"{place}: {'; '.join(differences)}")
    if used is None:
        problems = mapping.problems.get(where, ())
        said = "; ".join(problems) or "; ".join(near.reason for near in found.nearest) or "it matches nobody"
        return Failed(Cause.MAPPING_INVALID, f"{place}: {said}")
    if isinstance(used.user, Refusal):
        return Failed(Cause.MAPPING_NAME, f"{used.place}: {used.user.message}")
    state.names = used.user
    name, groups = used.user
    return Passed(f"{used.place}, as {name}, groups: {', '.join(groups) or 'none'}")


def _differences(state: Inspection, entry: MappingEntry) -> tuple[str, ...]:
    """Return what keeps an entry of the level's key from giving what the level gives.

    STS shows no path of a role. Its letter case counts: the server's rights in IAM name the role as the entry writes it.
    """
    wanted = state.wanted
    pairs = (
        ("rolearn", entry.role_arn, wanted.role_arn),
        ("username", entry.username, wanted.username),
        ("groups", sorted(entry.groups), sorted(wanted.groups)),
        ("iamGroup", entry.iam_group, wanted.iam_group),
    )
    found = (part for part in changed(pairs) if part.name != "iamGroup" or wanted.role_arn)
    return tuple(f"{each.name} is {_shown(each.before)}, and the level has {_shown(each.after)}" for each in found)


def _missing_entry(state: Inspection, found: EntryMatch) -> Failed:
    """Return the failure for a level without an entry: never applied, in a mapping that is not read, or with a near entry."""
    access, wanted, level = state.access, state.wanted, state.level
    where = state.session.mapping_store.describe()
    try:
        is_applied = state.is_applied
    except KubeIamError:
        is_applied = True
    if not is_applied:
        return Failed(Cause.LEVEL_NOT_APPLIED, f"level {level.name} has no IAM group, and no entry in {where}")
    missing = f"there is no entry for {wanted.name} in {where}"
    if found.entry is not None:
        return Failed(Cause.MAPPING_SHADOWED, f"{missing}; the server uses {found.entry.place}")
    if found.nearest:
        near = found.nearest[0]
        said = f"the nearest is {near.place}, {near.principal}: {near.reason}"
        return Failed(Cause.MAPPING_NOT_MATCHING, f"{missing}; {said}")
    other = next(_other_places(state), "")
    said = f"; {other} has one, which is not where `mapping` of {access.source} points" if other else ""
    return Failed(Cause.MAPPING_MISSING, f"{missing}{said}")


def _other_places(state: Inspection) -> Iterator[str]:
    """Yield the other mappings of the cluster that have an entry of the level."""
    if not state.has_cluster:
        return
    for target in (_CONFIG_FILE, AWS_AUTH, OBJECTS):
        if target.kind is state.access.mapping.kind:
            continue
        try:
            store = make_store(replace(state.access, mapping=target), state.session.kube)
            if any(entry.key == state.wanted.key for entry in store.entries()):
                yield store.describe()
        except KubeIamError:
            continue


def _other_backend(state: Inspection) -> Failed | None:
    """Return the failure where the server's config.yaml names its backends, and none reads the mapping of the access file."""
    target = state.access.mapping
    wanted = _BACKENDS.get(target.kind)
    place = target if target.kind is TargetKind.CONFIG_FILE else _CONFIG_FILE
    if wanted is None or target.kind is TargetKind.AWS_AUTH:
        preflight = state.session.ports.preflight
        doubt = preflight.source().doubt if preflight is not None else ""
        if doubt:
            return Failed(Cause.BACKEND_MODE, doubt)
    if wanted is None or not state.has_cluster or target.kind is TargetKind.FILE:
        return None
    try:
        text = ConfigMapEditor(state.session.kube, place.namespace, place.name).read().data.get(place.key, "")
        root = parse_tree(text, place.describe(), place.key) if text else None
    except KubeIamError:
        return None
    if root is None:
        return None
    server = root.get("server")
    setting = server.get("backendMode") if server is not None else None
    if setting is None:
        words: list[str] = [MOUNTED_FILE]
    elif setting.kind == "sequence":
        words = [item.resolved().value for item in setting.items]
    else:
        words = setting.value.replace(",", " ").split()
    names = backend_names(words)[0]
    if not names or wanted in names:
        return None
    found = f"{place.describe()} says backendMode: {', '.join(names)}, and {target.describe()} needs {wanted}"
    return Failed(Cause.BACKEND_MODE, found)


def _denial(state: Inspection, denials: list[Denial]) -> tuple[Denial | None, tuple[str, ...]]:
    """Return the denial in force that refuses the user in the level, and what could not be compared."""
    level, user_id = state.level, _user_id(state)
    if not level.method.is_in_iam:
        return DenialTable(denials).find(state.identity(), state.now), ()
    members = LevelMembers(level.name, level.group_name, (state.user,), ids={state.user: user_id})
    found = denied_members(state.access, state.iam, (members,), denials, state.now)
    return next(iter(found.members.values()), None), found.unchecked


def _user_id(state: Inspection) -> str:
    """Return the unique id of the IAM user, empty where it is not known."""
    try:
        user = state.user_state if state.level.method.is_in_iam else None
    except KubeIamError:
        return ""
    return user.unique_id if user is not None else ""


def _enforced(state: Inspection, denial: Denial) -> str:
    """Return whether the server that answers has the denial in force."""
    try:
        in_force = Prober(state.session.kube).ask(HERE, denial.name).state == IN_FORCE
    except NotFound:
        in_force = False
    except KubeIamError as error:
        return f"whether the server enforces it is not known: {error.message}"
    return "the server enforces it" if in_force else "the server that was asked does not enforce it yet"


def _server_place(mapping: ServerMapping, where: str) -> str:
    """Return the place of an entry as the server's reader names it, given the store's.

    Those are `server.mapRoles[1]` for `mapRoles[1]`, and an object's name for `IAMIdentityMapping NAME`.
    """
    places = [
        *(entry.where for entry in mapping.roles),
        *(entry.where for entry in mapping.groups),
        *(entry.where for entry in mapping.unused),
    ]
    same = (each for each in places if each == where or each.endswith(f".{where}") or where.endswith(f" {each}"))
    return next(same, where)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "empty"
    return str(value) if value not in (None, "") else "missing"
