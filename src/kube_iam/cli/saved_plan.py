"""Files of saved plans: `plan --out FILE` writes one, and `apply FILE` carries it out if nothing has changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

import click

from kube_iam.access.changes import Plan
from kube_iam.access.saved_plan import SavedPlan, differences, parse_saved_plan, saved_plan
from kube_iam.cli.session import AdminSession, needs_cluster
from kube_iam.cli.version import installed_version
from kube_iam.config.regular_file import read_regular_file
from kube_iam.config.yaml_file import MAX_BYTES
from kube_iam.core.redaction import shown_url
from kube_iam.core.strict_json import InvalidJson, read_json
from kube_iam.errors import Conflict, KubeIamError, UsageError
from kube_iam.files import write_file

_WRITTEN = "name a plan that `kube-iam plan --out FILE` wrote; the access file goes with -f"
_ANEW = "make it anew with `kube-iam plan --out FILE`"


def current_plan(session: AdminSession, plan: Plan, options: Iterable[str] = ()) -> SavedPlan:
    """Return the plan that was computed now, with all that it was made of. Raises what `check_server` raises."""
    server = shown_url(session.checked_kube.server) if needs_cluster(session.access) else ""
    return saved_plan(plan, session.access, installed_version(), server, options)


def save_plan(session: AdminSession, path: Path, plan: Plan, *, adopt: bool, force: bool) -> None:
    """Write the plan and the flags that it was made with to a file that only its owner may read.

    Raises UsageError for a file of other content.
    """
    options = [flag for flag, is_given in (("--adopt", adopt), ("--force", force)) if is_given]
    _write(path, current_plan(session, plan, options))
    words = ("kube-iam apply", *options, *map(quote, session.options()), quote(str(path)))
    click.echo(f"saved; carry it out: {' '.join(words)}", err=True)


def read_plan(path: Path, *, adopt: bool, force: bool) -> SavedPlan:
    """Return the saved plan of a file. `adopt` and `force` are the flags of the command.

    Raises UsageError where the file is none, and where a flag that it was made with is missing: a changed file must not set it.
    """
    found = _parsed(path)
    given = {"--adopt": adopt, "--force": force}
    if not all(given[option] for option in found.options):
        flags = " ".join(found.options)
        raise UsageError(f"{path} was made with {flags}", f"repeat it: kube-iam apply {flags} {quote(str(path))}")
    return found


def refuse_changed(path: Path, saved: SavedPlan, now: SavedPlan) -> None:
    """Raise Conflict, which says what has changed, unless the plan computed now is the saved one."""
    changed = list(differences(saved, now))
    if changed:
        hint = f"nothing was changed; {_ANEW}, and look at it"
        raise Conflict.listing(f"{path} is not what would be done now:", changed, hint)


def _write(path: Path, plan: SavedPlan) -> None:
    if path.exists():
        try:
            _parsed(path)
        except KubeIamError as error:
            raise UsageError(
                f"{path} exists and is no saved plan, so that it was not replaced", "name another file"
            ) from error
    try:
        write_file(path, (json.dumps(plan.as_data(), indent=1) + "\n").encode())
    except OSError as error:
        raise KubeIamError(f"cannot write {path}: {error.strerror or error}") from error


def _parsed(path: Path) -> SavedPlan:
    try:
        raw = read_regular_file(path, MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}", _WRITTEN) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError("it is no saved plan")
        return parse_saved_plan(read_json(raw))
    except InvalidJson as error:
        raise UsageError(f"{path} is no saved plan", _WRITTEN) from error
    except ValueError as error:
        raise UsageError(f"{path} cannot be carried out: {error}", _ANEW) from error
