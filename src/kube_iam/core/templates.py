"""Templates in mapped user names and groups, such as `{{SessionName}}`. Each value is put in once and never scanned again.

Values come from outside: the caller who assumes a role may choose the session name. So their characters are limited, and no value can
make a name in `system:`, Kubernetes' own namespace of users and groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kube_iam.core.reasons import Reason, Refusal

if TYPE_CHECKING:
    from kube_iam.core.identity import Identity

SYSTEM = "system:"
VARIABLES = ("AccountID", "SessionName", "SessionNameRaw", "AccessKeyID", "EC2PrivateDNSName")
GROUP_VARIABLES = ("AccountID", "UserName", "AccessKeyID")
"""For entries of whole IAM groups, whose members sign with their own keys: they have a user name and no session."""
_OPTIONAL = ("SessionName", "SessionNameRaw")

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
# STS: RoleSessionName is [\w+=,.@-]{2,64}; key ids and DNS names are narrower. No colon, no space, no slash.
_VALUE = re.compile(r"[\w+=,.@-]+", re.ASCII)
# The administrator must have written a whole second part (`system:node:`) before a value may follow.
_OPEN_SYSTEM = re.compile(r"system:[^:]+:.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: the text, and its parts in order, where odd positions are names of variables."""

    text: str
    parts: tuple[str, ...]
    usable: bool = True

    @property
    def is_fixed(self) -> bool:
        """True if every identity gets the same name."""
        return self.usable and len(self.parts) == 1

    @property
    def needs_ec2(self) -> bool:
        """True if rendering needs the private DNS name of the instance that signed."""
        return len(self.parts) > 1 and "EC2PrivateDNSName" in self.parts[1::2]

    def render(self, identity: Identity, private_dns_name: str = "") -> str | Refusal:
        """Return the name for this identity, or why there is none that may be used."""
        if not self.usable:
            return Refusal(Reason.TEMPLATE_VALUE, "its name or one of its groups cannot be used; see the server's log")
        if len(self.parts) == 1:
            return self.text
        values = _values(identity, private_dns_name)
        rendered = list(self.parts)
        for position in range(1, len(rendered), 2):
            variable = rendered[position]
            value = values[variable] if variable != "UserName" else identity.user_name
            # A user without a session has no session name. An entry with it admits the user all the same, as in the reference.
            absent = value == "" and variable in _OPTIONAL
            if not absent and not _VALUE.fullmatch(value):
                problem = "has no value here" if not value else "has a character that names may not have"
                return Refusal(Reason.TEMPLATE_VALUE, f"{{{{{variable}}}}} {problem}")
            rendered[position] = value
        name = "".join(rendered)
        if not name.strip():
            return Refusal(Reason.TEMPLATE_VALUE, f"{self.text!r} is an empty name here")
        if name.startswith(SYSTEM) and not self.parts[0].startswith(SYSTEM):
            return Refusal(Reason.RESERVED_NAME, f"a value in {self.text!r} would make a name in {SYSTEM}")
        return name


def parse_template(text: str, variables: tuple[str, ...] = VARIABLES) -> Template:
    """Return the template in the text, with these variables.

    Raises ValueError for an empty text, an unknown variable, an unclosed `{{`, and a variable right behind `system:`. Its value would
    choose among the names of Kubernetes: `system:{{SessionName}}` is system:masters for a session called masters.
    """
    parts = tuple(_PLACE.split(text))
    if not text.strip():
        raise ValueError("is empty")
    for variable in parts[1::2]:
        if variable not in variables:
            known = ", ".join(f"{{{{{name}}}}}" for name in variables)
            raise ValueError(f"unknown template {{{{{variable}}}}}; known are {known}")
    if any("{{" in literal or "}}" in literal for literal in parts[::2]):
        raise ValueError("has a {{ or }} without its partner")
    if len(parts) > 1 and parts[0].startswith(SYSTEM) and not _OPEN_SYSTEM.fullmatch(parts[0]):
        raise ValueError(f"{text!r} would take a name from outside into {SYSTEM}; write it out up to a second colon")
    return Template(text, parts)


def unusable_template(text: str) -> Template:
    """Return a template that yields no name for anybody, in place of a text that is not a template."""
    return Template(text, (text,), usable=False)


def _values(identity: Identity, private_dns_name: str) -> dict[str, str]:
    return {
        "AccountID": identity.account_id,
        "SessionName": identity.session_name.replace("@", "-"),
        "SessionNameRaw": identity.session_name,
        "AccessKeyID": identity.access_key_id,
        "EC2PrivateDNSName": private_dns_name,
    }


def prefix_of(name: str, reserved: Iterable[str]) -> str:
    """Return the first reserved prefix that the name begins with, or an empty text."""
    return next((prefix for prefix in reserved if prefix and name.startswith(prefix)), "")
