"""Amazon Resource Names of IAM and STS principals, and the canonical form that mappings are keyed by.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html and reference_identifiers.html

IAM Identity Center creates a role for each permission set: `AWSReservedSSO_<permission set>_<16 hexadecimal digits>`. The digits
change when the role is created again, so a mapping names the permission set (`Sso`) instead of the role.
https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.partitions import PARTITIONS

_ACCOUNT_ID = re.compile(r"[0-9]{12}", re.ASCII)
# Paths are any printable ASCII; names and session names are [\w+=,.@-]. No space, so that an ARN stays one word in logs.
_RESOURCE = re.compile(r"[\x21-\x7e]+")
_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PRINCIPALS = (("iam", "role"), ("iam", "user"), ("iam", "root"), ("sts", "assumed-role"), ("sts", "federated-user"))
# Exactly 16 digits: the reference accepts any suffix, so that its `Admin` also matches the permission set `Admin_ReadOnly`.
_PERMISSION_SET_ROLE = re.compile(r"arn:([a-z-]+):iam::([0-9]{12}):role/awsreservedsso_(.+)_[0-9a-f]{16}", re.ASCII)
_PERMISSION_SET_NAME = re.compile(r"[\w+=,.@*?-]{1,32}", re.ASCII)


class NoPrincipal(ValueError):
    """A text with the form of an ARN that no principal can have: no ARN in a response of STS matches it."""


@dataclass(frozen=True, slots=True)
class Arn:
    """The six parts of an ARN after `arn:`, in the spelling that they came in."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


def is_account_id(text: str) -> bool:
    """Return whether the text is an AWS account id: 12 digits."""
    return _ACCOUNT_ID.fullmatch(text) is not None


def is_iam_name(text: str, longest: int = 128) -> bool:
    """Return whether IAM takes the text as a name: `[A-Za-z0-9_+=,.@-]`, 64 characters for users and roles, else 128."""
    return len(text) <= longest and _NAME.fullmatch(text) is not None


def parse_arn(text: str) -> Arn | None:
    """Return the parts of an ARN of a known partition, or None for other text. Only lower-case `arn:` is an ARN."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[1] not in PARTITIONS or not _RESOURCE.fullmatch(parts[5]):
        return None
    return Arn(*parts[1:])


def canonical_arn(text: str) -> str:
    """Return the ARN that mappings are compared with: an assumed role becomes its role, every other principal stays as it is.

    Raises ValueError, which names the ARN, unless the text is the ARN of a role, user, account root, assumed role
    or federated user. Raises NoPrincipal for a text with the form of such an ARN that no principal can have.
    """
    arn = parse_arn(text)
    if arn is None:
        raise ValueError(f"{text!r} is not an ARN of a known partition")
    kind, *names = arn.resource.split("/")
    if (arn.service, kind) not in _PRINCIPALS or (kind == "assumed-role" and len(names) < 2):
        raise ValueError(f"{text!r} is not a role, user, account root, assumed role or federated user")
    if arn.region or not is_account_id(arn.account):
        raise NoPrincipal(f"{text!r} has no 12-digit account id, or has a region, which ARNs of IAM do not have")
    match kind:
        case "assumed-role" if names[0] and names[-1]:
            return f"arn:{arn.partition}:iam::{arn.account}:role/{'/'.join(names[:-1])}"
        case "role" | "user" | "federated-user" if names and names[-1]:
            return text
        case "root" if not names:
            return text
    raise NoPrincipal(f"{text!r} names no role, user, account root, assumed role or federated user")


def user_name(canonical: str) -> str:
    """Return the name of the IAM user with that canonical ARN; empty where it is not the ARN of a user."""
    return canonical.rpartition("/")[2] if canonical.split(":", 5)[-1].startswith("user/") else ""


def comparable_arn(text: str) -> str:
    """Return what the server compares principals by: the canonical ARN in lower case, without the path of a role.

    The ARN of a role's session becomes the role's. Raises ValueError and NoPrincipal as `canonical_arn` does.
    """
    return strip_role_path(canonical_arn(ascii_lower(text)))


def strip_role_path(arn: str) -> str:
    """Return a role's ARN without the role's path, as STS shows it, and any other text as it is."""
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "iam" or not parsed.resource.startswith("role/"):
        return arn
    return f"arn:{parsed.partition}:iam:{parsed.region}:{parsed.account}:role/{parsed.resource.rsplit('/', 1)[1]}"


@dataclass(frozen=True, slots=True)
class Sso:
    """A permission set in an account. `*` in the name matches any number of characters, `?` exactly one.

    Raises ValueError for an invalid name, account id or partition.
    """

    permission_set_name: str
    account_id: str
    partition: str = "aws"

    def __post_init__(self) -> None:
        if not _PERMISSION_SET_NAME.fullmatch(self.permission_set_name):
            raise ValueError(
                f"{self.permission_set_name!r} is not a permission set name ([A-Za-z0-9_+=,.@-], at most 32)"
            )
        if not is_account_id(self.account_id):
            raise ValueError(f"{self.account_id!r} is not a 12-digit account id")
        if self.partition not in PARTITIONS:
            raise ValueError(f"{self.partition!r} is not a partition; known are {', '.join(PARTITIONS)}")

    @property
    def key(self) -> tuple[str, str, str]:
        """Partition, account id and lower-case name, to be compared with the result of `parse_sso_role`."""
        return (self.partition, self.account_id, ascii_lower(self.permission_set_name))

    def pattern(self) -> re.Pattern[str] | None:
        """Return the pattern of lower-case names, or None if the name has no wildcards."""
        if not set("*?") & set(self.permission_set_name):
            return None
        import fnmatch  # only a mapping with wildcards needs it

        # `fnmatch` writes atomic groups, so that many stars do not make matching exponential. No name holds `[`, its third wildcard.
        return re.compile(fnmatch.translate(self.key[2]))

    def describe(self) -> str:
        """Return the name and account of the permission set, for messages."""
        return f"permission set {self.permission_set_name} in account {self.account_id}"


def parse_sso_role(arn: str) -> tuple[str, str, str] | None:
    """Return partition, account id and permission set name from the lower-case canonical ARN of such a role; None for other ARNs."""
    found = _PERMISSION_SET_ROLE.fullmatch(arn)
    return (found[1], found[2], found[3]) if found else None
