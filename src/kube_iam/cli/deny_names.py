"""The question before a denial of a name that no level knows: a denial of a misspelt name is in force and denies nobody."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from kube_iam.access.known_names import KnownNames, known_names
from kube_iam.cli.session import STANDARD_INPUT, AdminSession, on_terminal
from kube_iam.config.suggestions import suggestion
from kube_iam.errors import KubeIamError, UsageError

LOOKUP_SECONDS = 10.0
"""A denial is for emergencies: it does not wait any longer for IAM."""


def check_names(session: AdminSession, names: Sequence[str], *, yes: bool) -> KnownNames | None:
    """Ask about the names that neither a level of the access file nor IAM knows; `yes` answers.

    Returns who is known where that is everybody named, else None.

    Raises UsageError where nobody can be asked, and click.Abort where the answer is no. Names that cannot be looked up, since there
    is no access file or IAM or the cluster does not answer, are reported as a note and denied. Of those, names with a comma are asked
    about: they may be several names.
    """
    file = session.file
    there = file == STANDARD_INPUT or Path(file).exists()
    if not there and _was_typed("file"):
        raise UsageError(f"there is no {file}", "name the access file with -f, or leave -f away")
    try:
        known = _within(LOOKUP_SECONDS, session, names)
    except KubeIamError as error:
        click.echo(f"Note: the names were not looked up, and a misspelt one denies nobody: {error.message}", err=True)
        joined = ", ".join(name for name in names if "," in name)
        if joined and not yes:
            _confirm(
                f"a denial of several names in one denies nobody: {joined}",
                "name each by itself",
                "deny that as one name",
            )
        return None
    unknown = [name for name in names if not known.knows(name)]
    if not unknown:
        return known
    said = "; ".join(f"{name}: {known.suggestion(name, suggestion) or 'nothing like it'}" for name in unknown)
    listed = ", ".join(unknown)
    if yes:
        click.echo(
            f"Note: neither a level of {file} nor IAM knows {listed} ({said}): if that is misspelt, it denies nobody.",
            err=True,
        )
        return None
    _confirm(
        f"neither a level of {file} nor IAM knows {listed}: a denial of a misspelt name denies nobody",
        said,
        "deny it all the same",
    )
    return None


def _confirm(doubt: str, remedy: str, otherwise: str) -> None:
    """Ask whether to go on. Raises click.Abort where the answer is no, UsageError where nobody can be asked."""
    if not on_terminal():
        raise UsageError(f"{doubt}, so none was written", f"{remedy}. Add --yes to {otherwise}")
    click.confirm(f"{doubt[0].upper()}{doubt[1:]} ({remedy}). {otherwise.capitalize()}?", abort=True, err=True)


def _was_typed(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE


def _within(seconds: float, session: AdminSession, names: Sequence[str]) -> KnownNames:
    """Read who is in the levels, in a thread that nothing waits for once the time is over. Raises KubeIamError."""
    answers: queue.Queue[KnownNames | BaseException] = queue.Queue(1)

    def read() -> None:
        try:
            answers.put(_read(session, names))
        except BaseException as error:  # whatever it is, the denial goes on
            answers.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        found = answers.get(timeout=seconds)
    except queue.Empty as error:
        raise KubeIamError(f"IAM and the cluster did not answer within {seconds:.0f} s") from error
    if isinstance(found, KubeIamError):
        raise found
    if isinstance(found, BaseException):
        raise KubeIamError(f"reading who is in the levels failed ({type(found).__name__})") from found
    return found


def _read(session: AdminSession, names: Sequence[str]) -> KnownNames:
    access = session.access
    # The mapping first: where there is no way into the cluster, nothing can be denied either.
    entries = session.mapping_store.entries()
    # A denial does not wait for an MFA code. A thread that is given up while it asks leaves the terminal without echo, too.
    return known_names(access, session.iam_without_prompts, entries, names)
