"""Denials as a table, as data and as sentences about what each covers. Only a user name covers a user with all keys and sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kube_iam.core.principals import arn_key, kind_of
from kube_iam.denylist.denial import NO_END, Denial
from kube_iam.report.members_text import table


@dataclass(frozen=True, slots=True)
class Coverage:
    """The sign-ins that a denial covers. `subject` is what is denied, with its verb: `bob is`.

    `is_whole`: a user or a whole role is denied, so that these cannot sign in in another way. `not_covered` says which sign-ins go on
    and which command denies these too, empty if there are none.
    """

    subject: str
    is_whole: bool
    not_covered: str


def denials_table(denials: Iterable[Denial]) -> str:
    """Return a table with one line a denial."""
    rows = ((each.value, _where(each), each.end, each.actor or "-", each.reason or "-", each.name) for each in denials)
    return table(("DENIED", "WHERE", "UNTIL", "ACTOR", "REASON", "DENIAL"), rows)


def denial_data(denial: Denial) -> dict[str, object]:
    """Return a denial for programs. One without an end has no `until`."""
    data: dict[str, object] = {"denial": denial.name, "kind": denial.kind, "value": denial.value}
    data |= {"role": denial.role, "iamGroup": denial.iam_group}
    if denial.until != NO_END:
        data["until"] = denial.end
    return {**data, "actor": denial.actor, "reason": denial.reason}


def _where(denial: Denial) -> str:
    places = (denial.role.rsplit("/", 1)[-1], f"group {denial.iam_group}" if denial.iam_group else "")
    return ", ".join(place for place in places if place) or "everywhere"


def coverage(denial: Denial, user: str = "") -> Coverage:
    """Return which sign-ins the denial covers. `user` is the name of the IAM user with the denied unique id, empty if unknown."""
    shape = _shape(denial)
    return Coverage(_subject(denial, shape), shape in ("userName", "role"), _not_covered(denial, shape, user))


def _subject(denial: Denial, shape: str) -> str:
    value = denial.value
    match shape:
        case "user":
            return f"{value} and sessions of the account under that user's name are"
        case "role":
            return f"every session of {value} is"
        case "AIDA":
            return f"the user's own access keys of {value} are"
        case "key":
            return f"access key {value} is"
    return f"{value} is"


def _not_covered(denial: Denial, shape: str, user: str) -> str:
    remedy = f"`kube-iam deny {user or 'USER'}` (the user's name) denies those too"
    match shape:
        case "user":
            name = arn_key(denial.value).rpartition("/")[2]
            return f"sessions named {name} in roles of other accounts go on; `kube-iam deny {name}` denies those too"
        case "session":
            return f"the same person in another role, or under another session name, goes on; {remedy}"
        case "root":
            return "the other users and roles of the account go on"
        case "AIDA":
            return f"role sessions of this user go on, since they carry the id of the role (AROA…); {remedy}"
        case "key" if denial.value.startswith("AKIA"):
            return f"role sessions of its owner go on, since each has an access key of its own (ASIA…); {remedy}"
        case "key":
            return f"other sessions of its owner go on, and new ones can be begun; {remedy}"
    return ""


def _shape(denial: Denial) -> str:
    kind = denial.kind or kind_of(denial.value)
    if kind == "userName":
        return kind
    if kind == "accessKeyId":
        return "key"
    if kind == "userId":
        return "AIDA" if denial.value.startswith("AIDA") else "session" if ":" in denial.value else "role"
    resource = arn_key(denial.value).partition(":")[2]
    shape = resource.partition("/")[0]
    return "session" if shape == "assumed-role" else shape
