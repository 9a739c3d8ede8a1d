"""One mapping of a YAML document, read key by key without regard to letter case, and its problems.

The document keeps the spelling of an account id that YAML read as a number. Without a leading zero all readers see the same id, so it
is a warning. With a leading zero in config.yaml the reference silently uses another account, so it is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kube_iam.config.yaml_file import KeyPath, YamlFile
from kube_iam.core.arns import is_account_id
from kube_iam.core.letter_case import ascii_lower
from kube_iam.errors import Problem

QUOTE = "YAML reads it as a number; quote it: '{}'"
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)


@dataclass(slots=True)
class Findings:
    """The problems of a file. `errors` make the file unusable, or only one entry if they are `local`. `warnings` do not."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    meant: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    """The meaning of unknown keys of entries (`kube_iam.config.memberships`)."""

    @property
    def fatal(self) -> list[Problem]:
        """Return the errors that make the whole file unusable."""
        return [problem for problem in self.errors if not problem.local]

    @property
    def nonfatal(self) -> list[Problem]:
        """Return all other problems: the errors of single entries, and the warnings."""
        return [*(problem for problem in self.errors if problem.local), *self.warnings]

    def add(self, other: Findings) -> None:
        """Add the findings of another part."""
        self.errors += other.errors
        self.warnings += other.warnings


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Keys of another section: their place in words, and the prefix of their dotted spelling (`server.`)."""

    place: str
    keys: tuple[str, ...]
    prefix: str = ""

    def hint(self, key: str) -> str:
        """Return the correct place of this key, or an empty string where the other section has no such key."""
        dotted = bool(self.prefix) and ascii_lower(key).startswith(self.prefix)
        name = key[len(self.prefix) :] if dotted else key
        if ascii_lower(name) not in map(ascii_lower, self.keys):
            return ""
        return f"write {name} {self.place}" if dotted else f"it belongs {self.place}"


class Section:
    """One mapping of a YAML document, its keys looked up without regard to letter case."""

    def __init__(
        self,
        document: YamlFile,
        value: object,
        path: KeyPath,
        known: tuple[str, ...],
        found: Findings,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Read the keys, and report unknown and repeated ones. `elsewhere` has the keys of another section, for hints."""
        self.document = document
        self.path = path
        self.found = found
        self.keys: tuple[str, ...] = ()
        """All keys as they are spelled in the file, known or not."""
        self._values: dict[str, tuple[str, object]] = {}
        if not isinstance(value, dict):
            # An empty text or list has no keys, as for the reference.
            if value not in (None, "", []):
                self.error(path, f"must be a mapping of keys, not {kind_of(value)}")
            return
        self.keys = tuple(value)
        spelled = {ascii_lower(name): name for name in known}
        for key, content in value.items():
            lowered = ascii_lower(key)
            if lowered not in spelled:
                hint = elsewhere.hint(key) if elsewhere else ""
                hint = hint or document.suggestion(key, known)
                if elsewhere and not hint and (meant := document.suggestion(key, elsewhere.keys)):
                    hint = f"{meant} It belongs {elsewhere.place}"
                self.warn((*path, key), "is not a known key and has no effect", hint)
            elif lowered in self._values:
                first = self._values[lowered][0]
                self.error((*path, key), f"stands twice, as {first} and as {key}", "keep one of the two")
            else:
                self._values[lowered] = (key, content)

    def has(self, name: str) -> bool:
        """Return whether the key has a value that is not null."""
        return self.value(name) is not None

    def named(self, name: str) -> bool:
        """Return whether the key is there, with any value."""
        return ascii_lower(name) in self._values

    def value(self, name: str) -> object:
        """Return the value, or None."""
        return self._values.get(ascii_lower(name), (name, None))[1]

    def at(self, name: str) -> KeyPath:
        """Return the path to the value, with the key as the file spells it."""
        return (*self.path, self._values.get(ascii_lower(name), (name, None))[0])

    def text(self, name: str) -> str:
        """Return the value if it is a string, else an empty string. Any other value is reported as an error."""
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value or ""
        hint = f"quote it: '{self.document.text(*self.at(name))}'" if isinstance(value, int | float) else ""
        self.error(self.at(name), f"must be text, not {kind_of(value)}", hint)
        return ""

    def words(self, name: str) -> list[tuple[KeyPath, str]]:
        """Return a list of strings, each with its path. One string stands for a list, as for the reference."""
        value, path = self.value(name), self.at(name)
        if isinstance(value, str):
            return [(path, word) for word in value.replace(",", " ").split()]
        if is_empty(value):
            return []
        if not isinstance(value, list):
            self.error(path, f"must be a list, not {kind_of(value)}")
            return []
        words = []
        for index, item in enumerate(value):
            if isinstance(item, str):
                words.append(((*path, index), item))
            else:
                written = self.document.text(*path, index)
                hint = QUOTE.format(written) if isinstance(item, int | float) else ""
                self.error((*path, index), f"must be text, not {kind_of(item)}", hint)
        return words

    def name(self, name: str, *, local: bool = True) -> str | None:
        """Return a text that is a name. Report another value as an error and return None.

        A number whose digits YAML cannot have changed is read as it is written, as the reference does.
        """
        return self._name(self.at(name), self.value(name), local=local)

    def names(self, name: str) -> list[tuple[KeyPath, str | None]]:
        """Return a list of names, each with its path and read as by `name`. One text with commas stands for a list."""
        value, path = self.value(name), self.at(name)
        if isinstance(value, str):
            return [(path, word) for word in value.split(",")] if value else []
        if value is None or not isinstance(value, list):
            return [(item_path, word) for item_path, word in self.words(name)]
        return [((*path, index), self._name((*path, index), item)) for index, item in enumerate(value)]

    def _name(self, path: KeyPath, value: object, *, local: bool = True) -> str | None:
        if isinstance(value, str):
            return value
        written = self.document.text(*path)
        if isinstance(value, int) and not isinstance(value, bool) and _PLAIN_NUMBER.fullmatch(written):
            self.warn(path, "is a name without quotes", QUOTE.format(written))
            return written
        hint = f"quote it: '{written}'" if isinstance(value, int | float) else ""
        self.error(path, f"must be text, not {kind_of(value)}", hint, local=local)
        return None

    def error(self, path: KeyPath, message: str, hint: str = "", *, local: bool = False) -> None:
        """Report an error at the path. A `local` error makes only its entry unusable."""
        problem = self.document.problem(path, message, hint)
        problem.local = local
        self.found.errors.append(problem)

    def warn(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Report a warning at the path."""
        self.found.warnings.append(self.document.problem(path, message, hint))


def is_empty(value: object) -> bool:
    """Return whether a value stands for an empty list, as for the reference: null, an empty text or an empty mapping."""
    return value in (None, "", {})


def account_ids(section: Section, name: str, *, leading_zeros: bool = False) -> list[tuple[KeyPath, str]]:
    """Return a list of account ids, each with its path. An invalid one is a `local` error.

    Numbers are read as they are written where that is safe. With `leading_zeros` that holds for numbers with a leading zero too.
    """
    value, path = section.value(name), section.at(name)
    if is_empty(value):
        return []
    if not isinstance(value, list):
        return [(item_path, word) for item_path, word in section.words(name) if _is_account(section, item_path, word)]
    found = []
    for index, item in enumerate(value):
        item_path = (*path, index)
        written = section.document.text(*item_path)
        if not isinstance(item, str) and is_account_id(written) and (leading_zeros or written[0] != "0"):
            section.warn(item_path, "is an account id without quotes", QUOTE.format(written))
            found.append((item_path, written))
        elif not isinstance(item, str):
            hint = QUOTE.format(written) if isinstance(item, int | float) else ""
            section.error(
                item_path, f"must be an account id of 12 digits as text, not {kind_of(item)}", hint, local=True
            )
        elif _is_account(section, item_path, item):
            found.append((item_path, item))
    return found


def kind_of(value: object) -> str:
    """Return the kind of a value as messages name it, such as `a list`."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping of keys"
    return "empty"


def _is_account(section: Section, path: KeyPath, text: str) -> bool:
    if is_account_id(text):
        return True
    section.error(path, f"{text!r} is not an account id of 12 digits", local=True)
    return False
