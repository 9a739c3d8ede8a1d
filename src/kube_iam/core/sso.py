"""Roles that IAM Identity Center makes for permission sets: `AWSReservedSSO_<permission set>_<16 hexadecimal digits>`.

The digits change when the role is made anew, so a mapping names the permission set instead of the role.
https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from kube_iam.core.arns import is_account_id
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.partitions import PARTITIONS

# The digits are anchored: the reference takes any suffix, so that `Admin` also matches the permission set `Admin_ReadOnly`.
_ROLE = re.compile(r"arn:([a-z-]+):iam::([0-9]{12}):role/awsreservedsso_(.+)_[0-9a-f]{16}", re.ASCII)
_NAME = re.compile(r"[\w+=,.@*?-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sso:
    """A permission set in an account. `*` in the name is any run of characters and `?` exactly one.

    Raises ValueError for a name, account id or partition that cannot be one.
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
        """Partition, account id and lower-case name: what `parse_sso_role` finds in a role's ARN."""
        return (self.partition, self.account_id, ascii_lower(self.permission_set_name))

    def pattern(self) -> re.Pattern[str] | None:
        """Return the pattern of lower-case names, or None if the name has no wildcards."""
        if not set("*?") & set(self.permission_set_name):
            return None
        # Its atomic groups keep a name with many stars from backtracking for ever; `[`, its third wildcard, is no name's.
        return re.compile(fnmatch.translate(self.key[2]))

    def describe(self) -> str:
        """Return the permission set for a message."""
        return f"permission set {self.permission_set_name} in account {self.account_id}"


def parse_sso_role(arn: str) -> tuple[str, str, str] | None:
    """Return partition, account id and permission set name of such a role by its lower-case canonical ARN; None for other ARNs."""
    found = _ROLE.fullmatch(arn)
    return (found[1], found[2], found[3]) if found else None
