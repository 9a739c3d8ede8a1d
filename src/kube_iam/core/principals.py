"""Forms of the IAM names, ARNs, access key ids and unique ids that a principal can have.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html (names) and reference_identifiers.html (unique ids).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from kube_iam.core.arns import is_account_id, parse_arn
from kube_iam.core.letter_case import ascii_lower

KINDS = ("userName", "arn", "accessKeyId", "userId")

_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_ACCESS_KEY = re.compile(r"A[KS]IA[A-Z0-9]{12,124}", re.ASCII)
_UNIQUE_ID = re.compile(r"AIDA[A-Z0-9]{6,124}|AROA[A-Z0-9]{6,124}(:[\w+=,.@-]{2,64})?", re.ASCII)
# Ids of AWS that belong to no user, role, session or key.
_OTHER_IDS = {
    "ABIA": "an STS service bearer token",
    "ACCA": "a context-specific credential",
    "AGPA": "an IAM group",
    "AIPA": "an instance profile",
    "ANPA": "a managed policy",
    "ANVA": "a version of a managed policy",
    "APKA": "a public key",
    "ASCA": "a certificate",
}
_OTHER_ID = re.compile(rf"({'|'.join(_OTHER_IDS)})[A-Z0-9]{{12,124}}", re.ASCII)
_ID = re.compile(rf"(AIDA|AROA|AKIA|ASIA|{'|'.join(_OTHER_IDS)})[A-Z0-9]{{12,124}}", re.ASCII)
# An access key id has 20 characters, another id 21. Both hold a digit; names of people hold none or have another length.
_EXACT_ID = re.compile(
    rf"(?=.*[0-9])(?:(?:AKIA|ASIA)[A-Z0-9]{{16}}|(?:AIDA|AROA|{'|'.join(_OTHER_IDS)})[A-Z0-9]{{17}})", re.ASCII
)
# AWS allows more characters in paths. Nobody uses them, and a text that holds one is two ARNs or a pattern.
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
    """Return whether the text has a form that a principal of this kind (one of `KINDS`) can have. Letter case counts in ids only."""
    match kind:
        case "userName":
            # No user is named like an id: the id is meant.
            return _NAME.fullmatch(text) is not None and _ID.fullmatch(text) is None
        case "arn":
            return _is_principal_arn(ascii_lower(text))
        case "accessKeyId":
            return _ACCESS_KEY.fullmatch(text) is not None
        case _:
            return _UNIQUE_ID.fullmatch(text) is not None


def kind_of(text: str) -> str:
    """Return the most specific kind of principal that the text can name, or an empty text if it can name none."""
    return next((kind for kind in ("arn", "userId", "accessKeyId", "userName") if fits(kind, text)), "")


def is_folded_id(text: str) -> bool:
    """Return whether the text is an id of AWS in lower case, as log systems write them. It is hardly ever the name of a user.

    The length and characters of the id must be the ones that AWS gives.
    """
    return text != text.upper() and _EXACT_ID.fullmatch(text.upper()) is not None


@lru_cache(maxsize=4096)
def arn_key(arn: str) -> str:
    """Return the form in which ARNs of principals are compared: `account:role/name` in lower case, without a path.

    The partition is left out, since all identities of a server have the same one. Other text is returned in lower case.
    """
    parts = ascii_lower(arn).split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        return ascii_lower(arn)
    kind, *names = parts[5].split("/")
    kept = names[-2:] if kind == "assumed-role" else names[-1:]
    return f"{parts[4]}:{'/'.join((kind, *kept))}"


def role_of(arn: str) -> str:
    """Return the comparable ARN (`arn_key`) of the role that the ARN of a role or session names; empty for other principals."""
    account, _, resource = arn_key(arn).partition(":")
    kind, *names = resource.split("/")
    return f"{account}:role/{names[0]}" if kind in ("role", "assumed-role") and names else ""


def guess_principals(text: str) -> tuple[str, ...]:
    """Return the principals that a text of no valid form most likely names: names, ARNs and patterns of them, to be compared.

    Recognized are several names in one text, quotes, wildcards (`*`, `?`), Kubernetes user names (`awsiam:alice`) and full-width
    letters. So are ARNs of an unknown partition or without a session. Returns an empty tuple where no principal is recognized.
    """
    plain = _HIDDEN.sub("", unicodedata.normalize("NFKC", text))
    parts: dict[str, None] = {}
    for word in dict.fromkeys(_WORD.findall(plain)):
        # A comma may be part of a name, or may separate two names.
        parts |= dict.fromkeys(
            (word, word.rstrip(",.:"), *(word.split(",") if "," in word else ()), *_between_slashes(word))
        )
    principals = (_principal(part) for part in parts if _NAMING.search(part))
    return tuple(dict.fromkeys(principal for principal in principals if principal))


def _between_slashes(word: str) -> list[str]:
    """Return the names in `alice/bob`, which may also be a path and a name. Empty for an ARN or a part of one."""
    if ":" in word or _LENIENT.fullmatch(ascii_lower(word)) or _NO_PRINCIPAL.fullmatch(ascii_lower(word)):
        return []
    return word.split("/")


def explain_invalid(text: str) -> tuple[str, str]:
    """Return why no principal can have this name, and the remedy. The text must fit no kind, or be an id in lower case."""
    found = _OTHER_ID.fullmatch(text.upper())
    if found is not None:
        return (
            f"{text!r} is the id of {_OTHER_IDS[found[1]]}, which does not sign in",
            "name users, roles or sessions; `kube-iam revoke USER LEVEL --now` takes a user out of a level and its group",
        )
    if re.search(r":(group|policy|instance-profile)/", ascii_lower(text)):
        return (
            f"{text!r} is no user, role or session, and does not sign in",
            "name users, roles or sessions; `kube-iam revoke USER LEVEL --now` takes a user out of a level and its group",
        )
    if is_folded_id(text):
        return (
            f"{text!r} looks like an id of AWS, but ids of AWS are in capitals",
            f"did you mean {text.upper()}? A user of that name is denied by ARN (arn:aws:iam::ACCOUNT:user/{text})",
        )
    others = [name for name in guess_principals(text) if kind_of(name) and not name.endswith(",")]
    instead = f"did you mean {' '.join(others)}?" if others else ""
    if not text.strip():
        return "the name is empty", _FORMS
    if fits("userId", text.split(":")[0]):
        return f"{text!r} is no principal: only the id of a role (AROA…) is followed by a session name", instead
    if "*" in text or "?" in text:
        return (
            f"{text!r} is no principal: no name in IAM holds * or ?, and wildcards are not expanded",
            instead or "name each user or session, or a role (arn:aws:iam::ACCOUNT:role/NAME) for all its sessions",
        )
    if ascii_lower(text).startswith("arn:"):
        return (
            f"{text!r} is not the ARN of a user, role, role session, federated user or account root",
            instead or "such as arn:aws:iam::ACCOUNT:user/NAME or arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION",
        )
    if len(text) > 64:
        return f"the name has {len(text)} characters, but names in IAM have at most 64", instead or _FORMS
    return (
        f"{text!r} is no principal: names in IAM hold only letters, digits and _+=,.@-",
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
            # STS shows no path. An ARN that holds one is read without it.
            return (
                len(names) > 1 and _NAME.fullmatch(names[-2]) is not None and _SESSION.fullmatch(names[-1]) is not None
            )
        case "sts", "federated-user":
            return len(names) == 1 and _SESSION.fullmatch(names[0]) is not None
    return False


def _principal(word: str) -> str:
    """Return the principal that one word most likely names, or an empty text."""
    if kind_of(word):
        return word
    found = _LENIENT.fullmatch(ascii_lower(word))
    if found is not None:
        return _lenient_arn(found)
    if _OTHER_ID.fullmatch(word) or _NO_PRINCIPAL.fullmatch(ascii_lower(word)):
        return ""
    ident = word.split(":")[0]
    if fits("userId", ident):  # its session name is invalid
        return ident
    # A user name in Kubernetes (`awsiam:alice`), or a user with a path.
    last = re.split("[:/]", word)[-1]
    if kind_of(last):
        return last
    return last if _PATTERN.fullmatch(last) and ("*" in last or "?" in last) else ""


def _lenient_arn(found: re.Match[str]) -> str:
    """Return the ARN, or the pattern of ARNs, that these parts make; empty where a name among them is invalid."""
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
