"""Sentences about what a denial covers and what goes on: only a user name denies a person with all keys and sessions."""

from __future__ import annotations

from kube_iam.core.principals import arn_key, kind_of
from kube_iam.denylist.denial import Denial


def subject(denial: Denial) -> str:
    """Return what is denied, with its verb: `bob is`."""
    value = denial.value
    match _shape(denial):
        case "user":
            return f"{value} and sessions of the account under that user's name are"
        case "role":
            return f"every session of {value} is"
        case "AIDA":
            return f"the user's own access keys of {value} are"
        case "key":
            return f"access key {value} is"
    return f"{value} is"


def not_covered(denial: Denial, user: str = "") -> str:
    """Return who goes on nevertheless and the command that denies them too, empty where nobody does.

    `user` is the name of the IAM user with this unique id, where it is known.
    """
    remedy = f"`kube-iam deny {user or 'USER'}` (the user's name) denies those too"
    match _shape(denial):
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


def is_whole(denial: Denial) -> bool:
    """Return whether the denial names a person or a whole role, so that nobody of them can sign in another way."""
    return _shape(denial) in ("userName", "role")


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
