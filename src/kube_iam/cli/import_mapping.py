"""`import`: write an access file that describes the mapping that a cluster has, so that its plan changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from kube_iam.cli.new import STANDARD_OUTPUT, check_target, find_values, write_target
from kube_iam.cli.session import ACCESS_FILE, AdminSession, Destination, pass_session
from kube_iam.cli.shared_options import (
    FILE_VARIABLE,
    aws_options,
    cluster_options,
    completing,
    global_options,
    output_option,
)
from kube_iam.cli.terminal import page
from kube_iam.errors import ConfigError, KubeIamError, NotFound, UsageError

if TYPE_CHECKING:
    from kube_iam.access.changes import Plan
    from kube_iam.access.mapping import MappingEntry, MappingStore
    from kube_iam.config.findings import Findings, MappingFinding
    from kube_iam.report.imported_levels import ImportedLevel, LeftEntry

SOURCES = ("aws-auth", "configFile", "crd")


@click.command("import")
@click.argument(
    "target", metavar="[FILE|-]", required=False, envvar=FILE_VARIABLE, shell_complete=completing("complete_files")
)
@global_options
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    default="",
    shell_complete=completing("complete_mapping_sources"),
    help="Where the mapping is: aws-auth, configFile, crd, or the path of the server's config.yaml. Default: what the cluster has.",
)
@click.option("--eks", metavar="NAME", default="", help="Ask EKS for the endpoint, the authority and the region.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@output_option
@aws_options
@cluster_options
@pass_session
def command(session: AdminSession, target: str | None, source: str, eks: str, force: bool, output: str) -> int:
    """Write an access file for the mapping that the cluster has, with a level for each role in it.

    FILE is access.yaml by default; - prints it. Each level has the role, the user name and the groups of its entry, and nothing in
    IAM: who may assume the role stays where it is managed. Entries that cannot be levels (nodes, mapUsers, mapAccounts) are listed
    in comments with the reason, and stay as they are. The plan of the file is computed and shown: it has no changes. Nothing in
    AWS or in the cluster is changed.
    """
    from kube_iam.report.access_file import access_file_text

    file = target or ACCESS_FILE
    if file == STANDARD_OUTPUT and output != "table":
        raise UsageError("-o describes the file that is written, and - prints that file", "leave one of the two out")
    check_target(file, force=force)
    found = find_values(session, eks)
    if source:
        found = _from(session, found, source, Path(file).parent)
    imported = _read(session, found)
    text = access_file_text(found, imported.text)
    if file == STANDARD_OUTPUT:
        page(text)
    else:
        write_target(Path(file), text, force=force)
    checked = _plan(session, found, text, file)
    destination = session.destination if checked.plan is not None else Destination()
    _report(file, found, imported, checked, destination, output)
    return 0


@dataclass(frozen=True, slots=True)
class _Imported:
    """The levels of a mapping, what is left alone, and why servers cannot load it."""

    levels: tuple[ImportedLevel, ...]
    left: tuple[LeftEntry, ...]
    faults: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the key `levels` of the file."""
        from kube_iam.report.imported_levels import left_lines, level_lines

        return "\n".join(_lines(level_lines(each) for each in self.levels)) + "\n" + "\n".join(left_lines(self.left))


def _lines(levels: Iterator[Iterator[str]]) -> Iterator[str]:
    yield "levels:"
    for lines in levels:
        yield from lines
        yield ""


@dataclass(frozen=True, slots=True)
class _Checked:
    """The plan of the new file, None with the reason where it could not be computed."""

    plan: Plan | None
    reason: str = ""


def _from(session: AdminSession, found: Findings, source: str, folder: Path) -> Findings:
    """Return the findings with the mapping that `--from` names, and the clusterID in it. Paths in the file start at `folder`."""
    from kube_iam.kube.cluster_findings import cluster_id

    mapping = _named_mapping(session, source, folder)
    own = mapping.finding.source
    found = replace(found, mapping=mapping)
    return replace(found, cluster_id=cluster_id(mapping.cluster_id, own)) if mapping.cluster_id else found


def _named_mapping(session: AdminSession, source: str, folder: Path) -> MappingFinding:
    from kube_iam.access.levels import AWS_AUTH, OBJECTS, MappingTarget, TargetKind
    from kube_iam.config.findings import Finding, MappingFinding
    from kube_iam.kube.cluster_findings import find_config_file
    from kube_iam.kube.mapping_source import read_source

    if source == "configFile":
        config = find_config_file(session.kube)
        if config is None:
            raise NotFound("the cluster has no ConfigMap aws-iam-authenticator with a config.yaml", _OTHER)
        return config
    targets = {"aws-auth": AWS_AUTH, "crd": OBJECTS}
    path = source if folder == Path() else str(Path(source).resolve())
    target = targets.get(source) or MappingTarget(TargetKind.FILE, "", "", "", path=path)
    state = read_source(target, None if target.kind is TargetKind.FILE else session.kube)
    if state.missing:
        raise NotFound(state.missing, f"--from takes {', '.join(SOURCES)} or the path of a file")
    return MappingFinding(Finding(target.describe(), f"--from {source}"), target, state.cluster_id)


_OTHER = "name another place with --from"


def _read(session: AdminSession, found: Findings) -> _Imported:
    """Return the levels of the mapping. Raises NotFound with all entries where none can be a level."""
    from kube_iam.report.imported_levels import ImportedLevel, divide, left_other, names

    store = _store(session, found)
    entries, left = divide(store.entries())
    left = (*left, *map(left_other, store.others()))
    if not entries:
        listed = (f"{each}" for each in left)
        raise NotFound.listing(
            f"no entry of {store.describe()} can be a level; no file was written:", listed, "start with `kube-iam new`"
        )
    roles = _roles(session, entries, found.account.value)
    levels = (
        ImportedLevel(name, entry, *roles[entry.key]) for name, entry in zip(names(entries), entries, strict=True)
    )
    return _Imported(tuple(levels), left, store.faults())


def _store(session: AdminSession, found: Findings) -> MappingStore:
    from kube_iam.access.levels import ClusterAccess, TargetKind
    from kube_iam.kube.mapping_store import make_store

    target = found.mapping.target
    if target is None:
        raise NotFound(f"no mapping was found: {found.mapping.finding.reason}", _OTHER)
    id_ = found.cluster_id.value
    access = ClusterAccess("", id_, id_, found.account.value, "", found.region.value, "", "", target, ())
    return make_store(access, None if target.kind is TargetKind.FILE else session.kube)


def _roles(session: AdminSession, entries: Sequence[MappingEntry], account: str) -> dict[str, tuple[str, str]]:
    """Return the ARN of each entry's role, with its path if IAM tells it, and what is known of the role."""
    own = {entry.key: entry for entry in entries if entry.role_arn.split(":")[4] == account}
    result = {entry.key: (entry.role_arn, "the role is in another account, and was not read") for entry in entries}
    result |= {key: (entry.role_arn, "the role was not read") for key, entry in own.items()}
    iam = session.iam
    try:
        states = iam.each(iam.role, [entry.role_arn.rsplit("/", 1)[-1] for entry in own.values()])
    except KubeIamError as error:
        return result | {key: (entry.role_arn, f"the role was not read: {error.message}") for key, entry in own.items()}
    for (key, entry), role in zip(own.items(), states, strict=True):
        missing = "IAM has no such role, so that nobody can sign in with it"
        result[key] = (entry.role_arn, missing) if role is None else (role.arn, "")
    return result


def _plan(session: AdminSession, found: Findings, text: str, file: str) -> _Checked:
    """Return the plan of the file, as `plan` computes it."""
    from kube_iam.access.plan import plan_apply
    from kube_iam.config.access import parse_access

    missing = found.missing()
    if missing:
        return _Checked(None, f"the file lacks {', '.join(missing)}")
    folder = Path() if file == STANDARD_OUTPUT else Path(file).parent
    try:
        session.access = parse_access(text.encode(), file, folder)
        return _Checked(plan_apply(session.access, session.ports))
    except ConfigError as error:
        return _Checked(None, f"the file has problems: {'; '.join(map(str, error.problems))}")
    except KubeIamError as error:
        return _Checked(None, error.message)


def _report(
    file: str, found: Findings, imported: _Imported, checked: _Checked, destination: Destination, output: str
) -> None:
    """Print what was written, what the first plan does, what is left alone, and the next steps: on stderr with `-`."""
    steps = _next_steps(file, complete=not found.missing())
    if output != "table":
        from kube_iam.cli.access_output import print_data

        missing = found.missing().items()
        data = {
            "file": file,
            "levels": [{"level": each.name, "role": each.role_arn, "note": each.note} for each in imported.levels],
            "leftAlone": [
                {"where": each.entry.where, "principal": each.entry.name, "reason": each.reason}
                for each in imported.left
            ],
            "faults": list(imported.faults),
            "missing": {key: {"reason": each.reason, "remedy": each.remedy} for key, each in missing},
            "plan": checked.plan.as_data() if checked.plan is not None else None,
            "notPlanned": checked.reason,
            "next": steps,
        }
        print_data(data, output)
        return
    err = file == STANDARD_OUTPUT
    if not err:
        click.echo(f"{file}: written, levels: {', '.join(each.name for each in imported.levels)}")
    for fault in imported.faults:
        click.echo(f"warning: servers cannot load {found.mapping.finding.value} as it is now: {fault}", err=err)
    for level in imported.levels:
        if level.note:
            click.echo(f"note: level {level.name}: {level.note}", err=err)
    for each in imported.left:
        click.echo(f"left alone: {each}", err=err)
    for key, finding in found.missing().items():
        click.echo(f"not found: {key}: {finding.reason}: {finding.remedy}", err=err)
    if checked.plan is not None:
        from kube_iam.cli.apply import print_plan

        print_plan(checked.plan, destination, err=err)
    else:
        click.echo(f"plan: not computed: {checked.reason}", err=err)
    click.echo("Next:", err=err)
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {step}", err=err)


def _next_steps(file: str, *, complete: bool) -> Sequence[str]:
    name = "the file" if file == STANDARD_OUTPUT else file
    option = "" if file in (ACCESS_FILE, STANDARD_OUTPUT) else f" -f {quote(file)}"
    edit = f"edit {name}: " + ("names of levels, descriptions" if complete else "the lines with TODO")
    return [
        edit,
        f"kube-iam validate{option}",
        f"kube-iam plan{option}",
        "to change the user name or groups of an imported level, edit it and add --adopt to plan and apply",
    ]
