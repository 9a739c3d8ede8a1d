"""The policy by which AWS refused sts:AssumeRole, as far as AWS's text names it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html describes the texts: `because no KIND allows the
sts:AssumeRole action`, and `with an explicit deny in a KIND`. A text can also name no kind: AWS does not say whether a role exists.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from kube_iam.aws.errors import RefusedCall, quotable
from kube_iam.core.redaction import causes
from kube_iam.errors import KubeIamError


class PolicyKind(Enum):
    """The kind of policy that refused."""

    IDENTITY = auto()
    TRUST = auto()
    BOUNDARY = auto()
    ORGANIZATION = auto()
    SESSION = auto()
    UNKNOWN = auto()


_NAMED = re.compile(
    r"(?:because no |with an explicit deny in (?:an? |the )?)([a-z -]+?)(?: allows|[,.:(]|$)", re.IGNORECASE
)
_KINDS = (
    ("identity-based policy", PolicyKind.IDENTITY),
    ("role trust policy", PolicyKind.TRUST),
    ("resource-based policy", PolicyKind.TRUST),
    ("permissions boundary", PolicyKind.BOUNDARY),
    ("service control policy", PolicyKind.ORGANIZATION),
    ("resource control policy", PolicyKind.ORGANIZATION),
    ("session policy", PolicyKind.SESSION),
    ("vpc endpoint policy", PolicyKind.SESSION),
)


def refusing_policy(text: str) -> PolicyKind:
    """Return the kind of policy that AWS's text names. `text` is its message, in one line."""
    found = _NAMED.search(text)
    named = found.group(1).lower().strip() if found else ""
    return next((kind for words, kind in _KINDS if words in named), PolicyKind.UNKNOWN)


def text_of_aws(error: KubeIamError) -> str:
    """Return AWS's own message for the refused call in one line, without secrets; empty where there is none that may be repeated."""
    from botocore.exceptions import ClientError

    return next((quotable(cause) for cause in causes(error) if isinstance(cause, (ClientError, RefusedCall))), "")
