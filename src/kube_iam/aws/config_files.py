"""Reader of ~/.aws/config and ~/.aws/credentials: sections with their settings, or an error with file, line and reason.

It reads what botocore and the Go SDK read alike. It also reads what the Go SDK, and so the reference, accepts: a byte order mark, a
section or a setting twice (the last one counts), comments behind values, and values in quotes. A line that is neither a section, a
setting nor a comment is an error, as in botocore. The format: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kube_iam.aws.environment import CONFIG_FILE, CREDENTIALS_FILE, expand
from kube_iam.aws.static_credentials import plain_value
from kube_iam.core.credentials import KEY_SETTINGS, key_defect
from kube_iam.errors import CredentialsError

Settings = dict[str, Any]
"""Values by name, in lower case: text, or a mapping for an indented block below an empty value."""

_KINDS = ("profile", "sso-session", "services")


class _Line(NamedTuple):
    """A line that is neither blank nor a comment. `indent` is the number of blanks before its text."""

    number: int
    indent: int
    text: str


def read_configuration(environ: Mapping[str, str], *, only_config: bool = False) -> dict[str, Any]:
    """Return both files in botocore's form: `profiles`, `sso_sessions` and `services`, each by name.

    Settings of the credentials file replace those of the config file; with `only_config` it is not read.
    Raises CredentialsError for a file that cannot be read, naming
    file, line and reason, and never a value.
    """
    found: dict[str, Any] = {"profiles": {}, "sso_sessions": {}, "services": {}}
    sections = read_sections(environ.get("AWS_CONFIG_FILE") or CONFIG_FILE)
    for header, settings in sections.items():
        kind, _, rest = header.partition(" ")
        if header == "default":
            # `[profile default]` has precedence over `[default]`, whichever comes first.
            found["profiles"]["default"] = {**settings, **found["profiles"].get("default", {})}
        elif kind in _KINDS and rest:
            group = found["sso_sessions" if kind == "sso-session" else "services" if kind == "services" else "profiles"]
            group[_name(rest)] = {**group.get(_name(rest), {}), **settings}
        else:
            found.setdefault(header, settings)
    if only_config:
        return found
    for name, settings in read_sections(environ.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE).items():
        found["profiles"][name] = {**found["profiles"].get(name, {}), **settings}
    return found


def read_sections(file: str) -> dict[str, Settings]:
    """Return the settings of each section of a file, nothing for a file that does not exist. Raises as `read_configuration` does."""
    path = expand(file)
    sections: dict[str, Settings] = {}
    settings: Settings | None = None
    name, indent, values = "", 0, list[str]()
    for line in _lines(path):
        if settings is not None and name and line.indent > indent:
            values.append(plain_value(line.text) if values[0] else line.text)
            settings[name] = _joined(values, path, line.number)
            continue
        if line.text.startswith("["):
            settings, name = sections.setdefault(_header(line, path), {}), ""
            continue
        name, raw = _setting(line, path)
        if settings is None:
            raise _error(path, line.number, "a setting stands before the first [section]")
        found = key_defect(name, raw) if raw else ""
        if found:
            raise CredentialsError(
                f"{path}, line {line.number}: the value of {name} contains {found}",
                "write the value alone, without quotes, and a comment on a line of its own",
            )
        indent, values = line.indent, [raw if name in KEY_SETTINGS else plain_value(raw)]
        settings[name] = values[0]
    return sections


def _lines(path: str) -> Iterator[_Line]:
    try:
        if not Path(path).is_file():
            return
        data = Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the path contains a null byte"
        raise CredentialsError(f"{path} cannot be read: {reason}", "correct its mode, or AWS_CONFIG_FILE") from error
    for number, raw in enumerate(data.replace(b"\r\n", b"\n").split(b"\n"), 1):
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise _error(path, number, "it holds bytes that are not UTF-8") from error
        stripped = text.strip(" \t\f\v")
        if stripped and stripped[0] not in "#;":
            yield _Line(number, len(text) - len(text.lstrip(" \t\f\v")), stripped)


def _header(line: _Line, path: str) -> str:
    name, bracket, rest = line.text[1:].partition("]")
    rest = rest.strip()
    if not bracket or not name.strip() or (rest and rest[0] not in "#;"):
        raise _error(path, line.number, "a section has the form [default] or [profile NAME]")
    return " ".join(name.split())


def _name(text: str) -> str:
    """Return the name of a section, which may be in quotes. Unlike in botocore, one without quotes may contain blanks."""
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text


def _setting(line: _Line, path: str) -> tuple[str, str]:
    cut = min((index for index in (line.text.find("="), line.text.find(":")) if index >= 0), default=-1)
    name = line.text[: max(cut, 0)].strip().lower()
    if not name:
        raise _error(path, line.number, "it is neither a [section] nor a setting of the form name = value")
    return name, line.text[cut + 1 :].strip(" \t\f\v")


def _joined(values: list[str], path: str, number: int) -> Any:
    """Return a value with the lines that continue it: text, or the mapping of an indented block below an empty value."""
    if values[0]:
        return "\n".join(values)
    if "=" not in values[-1]:
        raise _error(path, number, "a line of an indented block has the form name = value")
    pairs = (line.partition("=") for line in values[1:])
    return {name.strip(): value.strip() for name, _, value in pairs}


def _error(path: str, number: int, reason: str) -> CredentialsError:
    return CredentialsError(f"{path}, line {number}: {reason}", "correct that line, or remove it")
