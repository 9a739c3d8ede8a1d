"""Checks of the settings in ~/.aws/config and ~/.aws/credentials that decide how AWS is called: see `kube_iam.core.credentials`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kube_iam.aws.environment import CONFIG_FILE, CREDENTIALS_FILE, read_file
from kube_iam.core.credentials import KEY_SETTINGS, check_value, defect
from kube_iam.core.utc import rfc3339
from kube_iam.errors import CredentialsError

# A command may be continued on further lines: it is split at white space.
_COMMANDS = frozenset({"credential_process"})


def check_configuration(config: Mapping[str, Any], profile: str, environ: Mapping[str, str]) -> None:
    """Raise CredentialsError where a setting of the profile in use, or of one that it refers to, contains what cannot be sent.

    `config` is botocore's `full_config`. The error names file, line, profile and setting, and never the value.
    """
    sections = config.get("profiles", {})
    for name in profile_chain(sections, profile):
        _check_section(sections[name], f"profile {name}", name, environ)
        token_file = sections[name].get("web_identity_token_file")
        if isinstance(token_file, str) and token_file:
            _check_token(token_file, f"profile {name}: the token in {token_file}", whole=False)
        session = sections[name].get("sso_session")
        settings = config.get("sso_sessions", {}).get(session) if isinstance(session, str) else None
        if isinstance(settings, Mapping):
            _check_section(settings, f"sso-session {session}", str(session), environ)


def check_process_variables(environ: Mapping[str, str]) -> None:
    """Raise CredentialsError, naming the variable, for a number or a CA file that cannot be used."""
    for name in ("AWS_MAX_ATTEMPTS", "AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS"):
        value = environ.get(name) or "1"
        if not (value.isascii() and value.isdigit() and int(value)):
            raise CredentialsError(f"the variable {name} is not a whole number above 0", "correct it, or unset it")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        path = environ.get(name)
        if path and not os.path.exists(path):  # noqa: PTH110
            raise CredentialsError(
                f"the file {path} in the variable {name} does not exist", "name a file of CA certificates, or unset it"
            )


def check_end_of_keys(environ: Mapping[str, str]) -> None:
    """Raise CredentialsError where the keys in the environment have ended, or their end (AWS_CREDENTIAL_EXPIRATION) is no time."""
    text = environ.get("AWS_CREDENTIAL_EXPIRATION")
    if not text or not environ.get("AWS_ACCESS_KEY_ID"):
        return
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        end = None
    if end is None or end.tzinfo is None:
        raise CredentialsError(
            "the variable AWS_CREDENTIAL_EXPIRATION is not a time with its zone",
            "it looks like 2026-01-31T12:00:00Z; correct it, or unset it",
        )
    if end <= datetime.now(UTC):
        raise CredentialsError(
            f"the keys in the environment ended at {rfc3339(end.timestamp())} (AWS_CREDENTIAL_EXPIRATION)",
            "get new ones from the tool that sets these variables, or unset the AWS_* variables to use a profile",
        )


def check_token_files(environ: Mapping[str, str]) -> None:
    """Raise CredentialsError, naming the file, where a token in a file that a variable names contains what cannot be sent."""
    for variable in ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        if environ.get(variable):
            # A container's token is a header as it stands. A web identity token is a parameter: an end of line there is harmless.
            whole = variable.startswith("AWS_CONTAINER")
            _check_token(environ[variable], f"the token in {environ[variable]} ({variable})", whole=whole)


def _check_token(path: str, what: str, *, whole: bool) -> None:
    text = (read_file(path, literal=True) or b"").decode("utf-8", "surrogateescape")
    check_value(what, text if whole else text.strip(), ascii_only=True)


def profile_chain(profiles: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield the name of the profile, and of those that it gets credentials from by `source_profile`."""
    seen: set[str] = set()
    while name in profiles and name not in seen:
        seen.add(name)
        yield name
        name = str(profiles[name].get("source_profile", ""))


def _check_section(settings: Mapping[str, Any], shown: str, name: str, environ: Mapping[str, str]) -> None:
    for setting, value in settings.items():
        if setting in _COMMANDS or not isinstance(value, str):
            continue
        found = defect(value, ascii_only=setting in KEY_SETTINGS)
        if found:
            raise CredentialsError(
                f"{_place(setting, name, environ)}{shown}: the value of {setting} contains {found}",
                "write it on one line; an indented line continues the one above it",
            )


def _place(setting: str, section: str, environ: Mapping[str, str]) -> str:
    """Return `FILE, line N, ` of a setting; empty where it is not found. The credentials file has precedence, as in botocore."""
    for path in (
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE,
        environ.get("AWS_CONFIG_FILE") or CONFIG_FILE,
    ):
        text = (read_file(path) or b"").decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        inside = False
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("["):
                words = line.strip().strip("[]").replace('"', "").replace("'", "").split(None, 1)
                inside = bool(words) and words[-1].strip() == section
            elif inside and not line.startswith((" ", "\t")) and _name(line) == setting:
                return f"{os.path.expanduser(path)}, line {number}, "  # noqa: PTH111
    return ""


def _name(line: str) -> str:
    cut = min((index for index in (line.find("="), line.find(":")) if index >= 0), default=len(line))
    return line[:cut].strip().lower()
