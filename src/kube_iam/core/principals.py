"""Forms of the IAM names, ARNs, access key ids and unique ids that a principal can have.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (names) and reference_identifiers.html (unique ids).
"""

from __future__ import annotations

import re
import unicodedata

from kube_iam.core.arns import is_account_id, parse_arn
from kube_iam.core.letter_case import ascii_lower

KINDS = ("userName", "arn", "accessKeyId", "userId")

_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ACCESS_KEY = re.compile(r"A[KS]IA[A-Z0-9]{12,124}", re.ASCII)
_UNIQUE_ID = re.compile(r"AIDA[A-Z0-9]{6,124}|AROA[A-Z0-9]{6,124}(:[\w+=,.@-]{2,64})?", re.ASCII)
_NOBODYS_IDS = {
    "ABIA": "an STS service bearer token",
    "ACCA": "a context-specific credential",
    "AGPA": "an IAM group",
    "AIPA": "an instance profile",
    "ANPA": "a managed policy",
    "ANVA": "a version of a managed policy",
    "APKA": "a public key",
    "ASCA": "a certificate",
}
_NOBODYS_ID = re.compile(rf"({'|'.join(_NOBODYS_IDS)})[A-Z0-9]{{12,124}}", re.ASCII)
_ID = re.compile(rf"(AIDA|AROA|AKIA|ASIA|{'|'.join(_NOBODYS_IDS)})[A-Z0-9]{{12,124}}", re.ASCII)
# 20 characters of a key and 21 of another id, with a digit: what people are called has none, or another length.
_EXACT_ID = re.compile(
    rf"(?=.*[0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{{16}}|(?:AIDA|AROA|{'|'.join(_NOBODYS_IDS)})[A-Z0-9]{{17}})", re.ASCII
)
# AWS allows more in paths. Nobody uses it, and such a text is two ARNs, or a pattern.
_PATH = re.compile(r"""[^*?:;,"']*""")
_FORMS = "name a user, an ARN, an access key id or a unique id; several as arguments of their own"
_LENIENT = re.compile(
    r"(?:arn:[^:]*:[^:]*:[^:]*:)?(?:(?P<account>[^:/]*):)?(?P<kind>user|role|assumed-role|federated-user)/(?P<names>.+)",
    re.ASCII,
)
_PATTERN = re.compile(r"[\w+=,.@*?-]{1,64}", re.ASCII)
_WORD = re.compile(r"[\w+=,.@:/*?-]+", re.ASCII)
_NAMING = re.compile(r"[\w*?]", re.ASCII)
# Characters without a width: zero-width space and joiners, direction marks, the byte order mark.
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_NO_PRINCIPAL = re.compile(r"(?:.*:)?(?:group|policy|instance-profile)/.*|arn:.*", re.ASCII)


def fits(kind: str, text: str) -> bool:
    """Return whether the text has a form that a principal of this kind can have. Letter case counts in ids only."""
    match kind:
        case "userName":
            # Nobody is named like an id; who writes one means the id.
            return _NAME.fullmatch(text) is not None and _ID.fullmatch(text) is None
        case "arn":
            return _is_principal_arn(ascii_lower(text))
        case "accessKeyId":
            return _ACCESS_KEY.fullmatch(text) is not None
        case _:
            return _UNIQUE_ID.fullmatch(text) is not None


def kind_of(text: str) -> str:
    """The kind of principal that the text names, the most particular one; empty where it can name nobody."""
    return next((kind for kind in ("arn", "userId", "accessKeyId", "userName") if fits(kind, text)), "")


def is_folded_id(text: str) -> bool:
    """Return whether the text is an id in the length and characters of AWS's, but not in capitals: as a user name it denies nobody.

    Some log systems fold everything to lower case.
    """
    return text != text.upper() and _EXACT_ID.fullmatch(text.upper()) is not None


def arn_key(arn: str) -> str:
    """A principal's ARN as it is compared: `account:role/name`, in lower case, without the path of a user or role.

    Without the partition too: a server has one, and no identity of another. Text that is no ARN comes back in lower case.
    """
    parts = ascii_lower(arn).split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        return ascii_lower(arn)
    kind, *names = parts[5].split("/")
    kept = names[-2:] if kind == "assumed-role" else names[-1:]
    return f"{parts[4]}:{'/'.join((kind, *kept))}"


def role_of(arn: str) -> str:
    """The comparable ARN of the role that a role's or role session's ARN names; empty for any other principal's."""
    account, _, resource = arn_key(arn).partition(":")
    kind, *names = resource.split("/")
    return f"{account}:role/{names[0]}" if kind in ("role", "assumed-role") and names else ""


def meant(text: str) -> tuple[str, ...]:
    """Return the principals that a text which fits no kind obviously means, none where nobody can be meant.

    Several names in one text, quotes, wildcards (`*`, `?`), a Kubernetes user name (`iam:alice`), an ARN of an unknown partition or
    without a session, full-width letters. Each is a name, an ARN or a pattern of one of them, for `arn_key` and comparison.
    """
    plain = _HIDDEN.sub("", unicodedata.normalize("NFKC", text))
    parts: dict[str, None] = {}
    for word in dict.fromkeys(_WORD.findall(plain)):
        # A comma may be part of a name, and may be what stands between two.
        parts |= dict.fromkeys(
            (word, word.rstrip(",.:"), *(word.split(",") if "," in word else ()), *_between_slashes(word))
        )
    principals = (_principal(part) for part in parts if _NAMING.search(part))
    return tuple(dict.fromkeys(principal for principal in principals if principal))


def _between_slashes(word: str) -> list[str]:
    """The names in `alice/bob`, or in a path and a name: which of the two cannot be told. None in an ARN or a part of one."""
    if ":" in word or _LENIENT.fullmatch(ascii_lower(word)) or _NO_PRINCIPAL.fullmatch(ascii_lower(word)):
        return []
    return word.split("/")


def objection(text: str) -> tuple[str, str]:
    """Return why no principal can have this name, and the remedy, for a text that fits no kind."""
    found = _NOBODYS_ID.fullmatch(text.upper())
    if found is not None:
        return (
            f"{text!r} is the id of {_NOBODYS_IDS[found[1]]}, and nobody signs in with one",
            "name users, roles or sessions; `kube-iam revoke USER LEVEL --now` takes a user out of a level and its group",
        )
    if re.search(r":(group|policy|instance-profile)/", ascii_lower(text)):
        return (
            f"{text!r} is no user, role or session, and nobody signs in as one",
            "name users, roles or sessions; `kube-iam revoke USER LEVEL --now` takes a user out of a level and its group",
        )
    if is_folded_id(text):
        return (
            f"{text!r} looks like an id of AWS, and those are in capitals",
            f"did you mean {text.upper()}? A user who is named so is denied by ARN (arn:aws:iam::ACCOUNT:user/{text})",
        )
    others = [name for name in meant(text) if kind_of(name) and not name.endswith(",")]
    instead = f"did you mean {' '.join(others)}?" if others else ""
    if not text.strip():
        return "an empty name can be nobody's", _FORMS
    if fits("userId", text.split(":")[0]):
        return f"{text!r} can be nobody's: only the id of a role (AROA…) is followed by a session name", instead
    if "*" in text or "?" in text:
        return (
            f"{text!r} can be nobody's: no name in IAM holds * or ?, and wildcards are not expanded",
            instead or "name each user or session, or a role (arn:aws:iam::ACCOUNT:role/NAME): all its sessions",
        )
    if ascii_lower(text).startswith("arn:"):
        return (
            f"{text!r} is not the ARN of a user, role, role session, federated user or account root",
            instead or "such as arn:aws:iam::ACCOUNT:user/NAME or arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION",
        )
    if len(text) > 64:
        return f"a name of {len(text)} characters can be nobody's: IAM has at most 64", instead or _FORMS
    return (
        f"{text!r} can be nobody's: names in IAM hold letters, digits and _+=,.@- only",
        instead or _FORMS,
    )


def _is_principal_arn(arn: str) -> bool:
    parsed = parse_arn(arn)
    if parsed is None or parsed.region or not is_account_id(parsed.account):
        return False
    kind, *names = parsed.resource.split("/")
    if not all(_PATH.fullmatch(name) for name in names):
        return False
    match parsed.service, kind:
        case "iam", "user" | "role":
            return bool(names) and _NAME.fullmatch(names[-1]) is not None
        case "iam", "root":
            return not names
        case "sts", "assumed-role":
            # STS shows no path; with one the ARN is read without it.
            return (
                len(names) > 1 and _NAME.fullmatch(names[-2]) is not None and _SESSION.fullmatch(names[-1]) is not None
            )
        case "sts", "federated-user":
            return len(names) == 1 and _SESSION.fullmatch(names[0]) is not None
    return False


def _principal(word: str) -> str:
    """The principal that one word means, empty where nobody can be meant."""
    if kind_of(word):
        return word
    found = _LENIENT.fullmatch(ascii_lower(word))
    if found is not None:
        return _lenient_arn(found)
    if _NOBODYS_ID.fullmatch(word) or _NO_PRINCIPAL.fullmatch(ascii_lower(word)):
        return ""
    ident = word.split(":")[0]
    if fits("userId", ident):  # with a session that nobody can have
        return ident
    # The user name in Kubernetes (`iam:alice`), or a user with a path.
    last = re.split("[:/]", word)[-1]
    if kind_of(last):
        return last
    return last if _PATTERN.fullmatch(last) and ("*" in last or "?" in last) else ""


def _lenient_arn(found: re.Match[str]) -> str:
    """The ARN, or pattern of ARNs, that a text with these parts means; empty where a name in it can be nobody's."""
    account, kind = found["account"] or "", found["kind"]
    names = [name for name in found["names"].split("/") if name]
    if not (is_account_id(account) or "*" in account or "?" in account):
        account = "*"
    if kind == "assumed-role" and (len(names) == 1 or set(names[-1]) == {"*"}):
        kind, names = "role", names[:1] if len(names) == 1 else names[-2:-1]
    kept = names[-2:] if kind == "assumed-role" else names[-1:]
    if not kept or not all(_PATTERN.fullmatch(name) for name in kept):
        return ""
    service = "iam" if kind in ("user", "role") else "sts"
    return f"arn:aws:{service}::{account}:{'/'.join((kind, *kept))}"
