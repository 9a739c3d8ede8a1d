"""Roles that IAM Identity Center makes for permission sets: `AWSReservedSSO_<permission set>_<16 hexadecimal digits>`.

The digits change when the role is created again, so a mapping names the permission set instead of the role.
https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from kube_iam.core.arns import is_account_id
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.partitions import PARTITIONS

# Exactly 16 digits: the reference accepts any suffix, so that its `Admin` also matches the permission set `Admin_ReadOnly`.
_ROLE = re.compile(r"arn:([a-z-]+):iam::([0-9]{12}):role/awsreservedsso_(.+)_[0-9a-f]{16}", re.ASCII)
_NAME = re.compile(r"[\w+=,.@*?-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sso:
    """A permission set in an account. `*` in the name matches any number of characters, `?` exactly one.

    Raises ValueError for an invalid name, account id or partition.
    """

    permission_set_name: str
    account_id: str
    partition: str = "aws"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.permission_set_name):
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
        # `fnmatch` writes atomic groups, so that many stars do not make matching exponential. No name holds `[`, its third wildcard.
        return re.compile(fnmatch.translate(self.key[2]))

    def describe(self) -> str:
        """Return the name and account of the permission set, for messages."""
        return f"permission set {self.permission_set_name} in account {self.account_id}"


def parse_sso_role(arn: str) -> tuple[str, str, str] | None:
    """Return partition, account id and permission set name from the lower-case canonical ARN of such a role; None for other ARNs."""
    found = _ROLE.fullmatch(arn)
    return (found[1], found[2], found[3]) if found else None
