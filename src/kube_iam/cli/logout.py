"""`logout`: remove cached sessions and tokens, so that the next kubectl signs in anew."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from kube_iam.cli.session import STANDARD_INPUT, access_exists, read_access
from kube_iam.cli.shared_options import FILE_VARIABLE, completing, dry_run_option, global_options, output_option
from kube_iam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kube_iam.aws.logins import CachedLogin

STILL_VALID = "Tokens that were issued stay valid for 15 minutes at most."

EPILOG = """\b
Examples:
  kube-iam logout                                               everything that is cached
  kube-iam logout admin                                         one level
  kube-iam logout arn:aws:iam::123456789012:role/prod-admin     one role
  kube-iam logout --dry-run -o json

A level is looked up in the access file, where there is one, and in your kubeconfig (KUBECONFIG, or ~/.kube/config)."""


@click.command("logout", epilog=EPILOG)
@click.argument(
    "level", required=False, metavar="[LEVEL|ROLE-ARN]", shell_complete=completing("complete_cached_levels")
)
@global_options
@click.option("--all", "everything", is_flag=True, help="Everything that is cached, which is the default.")
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    default="access.yaml",
    envvar=FILE_VARIABLE,
    shell_complete=completing("complete_files"),
    help=f"An access file to look levels up in; - reads standard input.  [default: access.yaml, if there] [{FILE_VARIABLE}]",
)
@dry_run_option
@output_option
def command(level: str | None, everything: bool, file: str, dry_run: bool, output: str) -> int:  # fmt: skip
    """Remove cached sessions and tokens: all of them, or those of one level. Nothing is sent to AWS.

    The next kubectl finds credentials and assumes the role anew. That helps after a role was created again, after its trust policy was
    repaired, and where a credential tool returned another user's credentials.
    """
    from kube_iam.aws.logins import cached_logins, of_role, remove
    from kube_iam.cli.access_output import print_data

    if level and everything:
        raise UsageError("LEVEL and --all exclude each other", "leave one of them out")
    roles = _roles_of(level, file, os.environ) if level else None
    found = cached_logins(os.environ)
    if roles is not None:
        found = [login for role in sorted(roles) for login in of_role(found, role)]
    if not dry_run:
        remove(found)
    if output != "table":
        print_data(_data(found, dry_run=dry_run), output)
    else:
        for line in _lines(found, dry_run=dry_run):
            click.echo(line)
    return 0


def _data(found: list[CachedLogin], *, dry_run: bool) -> dict[str, object]:
    items = [
        {"kind": login.kind, "role": login.role, "roleId": login.role_id, "expires": _time(login.expires), "file": str(login.path)}
        for login in found
    ]  # fmt: skip
    return {"dryRun": dry_run, "removed": [] if dry_run else items, "found": items}


def _time(seconds: float) -> str | None:
    from kube_iam.core.utc import rfc3339

    return rfc3339(seconds) if seconds else None


def _lines(found: list[CachedLogin], *, dry_run: bool) -> list[str]:
    if not found:
        return ["Nothing is cached."]
    lines = []
    for name in sorted({login.role for login in found}):
        counts = [
            f"{count} {kind}{'' if count == 1 else 's'}"
            for kind in ("session", "token")
            if (count := sum(login.kind == kind and login.role == name for login in found))
        ]
        whose = f" of {name}" if name else ", your own or damaged"
        lines.append(f"{'Would remove' if dry_run else 'Removed'} {' and '.join(counts)}{whose}.")
    return [*lines, STILL_VALID]


def _roles_of(level: str, file: str, environ: Mapping[str, str]) -> set[str]:
    """Return the ARNs of the roles of that name: several where several clusters have such a level. Raises UsageError."""
    if level.startswith("arn:"):
        from kube_iam.core.arns import parse_arn

        arn = parse_arn(level)
        if arn is None or arn.service != "iam" or not arn.resource.startswith("role/"):
            raise UsageError(
                f"{level!r:.200} is not the ARN of an IAM role", "it looks like arn:aws:iam::123456789012:role/NAME"
            )
        return {level}
    from kube_iam.config.suggestions import suggestion

    known = roles_by_name(file, environ)
    if level not in known:
        read = "standard input" if file == STANDARD_INPUT else file
        looked_at = f"{read} or your kubeconfig" if access_exists(file) else f"your kubeconfig, and there is no {file}"
        raise UsageError(
            f"no level with a role is named {level!r:.100} in {looked_at}",
            suggestion(level, sorted(known)) or "give the role's ARN, or leave LEVEL out to remove everything",
        )
    return known[level]


def roles_by_name(file: str, environ: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the roles by level, and by the users and contexts of the kubeconfig that sign in with them. Raises ConfigError.

    Without `file`, and where there is none, only the kubeconfig is read.
    """
    found: dict[str, set[str]] = {}
    if file and access_exists(file):
        from kube_iam.access.desired import role_arn
        from kube_iam.access.levels import Method

        access = read_access(file)
        for level in access.levels:
            if level.method is Method.ROLE:
                found.setdefault(level.name, set()).add(role_arn(access, level))
    for name, cluster, role in _roles_in_kubeconfig(environ):
        # `kube-iam kubeconfig` names users and contexts <cluster>-<level>.
        for known in {name, name.removeprefix(f"{cluster}-")}:
            found.setdefault(known, set()).add(role)
    return found


def _roles_in_kubeconfig(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of a context, its cluster's name and its role, and the same of the user; only where `token -r` signs in."""
    from kube_iam.kube.kubeconfig_merge import entries_in_use
    from kube_iam.kube.kubeconfig_owner import sign_in

    entries = entries_in_use(environ)
    for (section, name), context in entries.items():
        user = entries.get(("users", context.text("user"))) if section == "contexts" else None
        found = sign_in(user) if user is not None else None
        role = found.own.get("role", "") if found is not None else ""
        if user is not None and role:
            yield name, context.text("cluster"), role
            yield user.name, context.text("cluster"), role
