"""Users of Kubernetes that a denial covers, for questions to kube-apiserver's authorizers (SubjectAccessReview).

The server asks the deny list before anything else, so the account and the ids of such a user need not exist.
"""

from __future__ import annotations

from collections.abc import Sequence

from kube_iam.authn.decide import UID_PREFIX, kubernetes_user
from kube_iam.core.arns import parse_arn
from kube_iam.core.identity import rebuild_identity
from kube_iam.core.token_review import User
from kube_iam.denylist.denial import Denial

_ACCOUNT, _SESSION = "000000000000", "kube-iam-review"
_USER_ID, _ROLE_ID, _KEY = "AIDAREVIEW", "AROAREVIEW", "AKIAREVIEW"


def reviewed_user(denial: Denial, groups: Sequence[str] = ()) -> User | None:
    """Return a user, in these Kubernetes groups, that the denial of a command covers; None for a denial that is written by hand."""
    if denial.iam_group:  # the server looks the group up by the Kubernetes groups that it gives
        return User(f"awsiam:{denial.value}", f"{UID_PREFIX}{_ACCOUNT}:{_USER_ID}", tuple(groups))
    try:
        arn, user_id, session, key = _fields(denial)
        identity = rebuild_identity(arn, user_id, session, key)
    except ValueError:
        return None
    return kubernetes_user(identity, f"awsiam:{session or arn.rpartition('/')[2]}", tuple(groups))


def _fields(denial: Denial) -> tuple[str, str, str, str]:
    """Return ARN, unique id, session name and access key id. Raises ValueError for a denial that names no single principal."""
    match denial.kind:
        case "userName" if denial.role:
            return session_fields(denial.role, _ROLE_ID, denial.value, _KEY)
        case "userName":
            return f"arn:aws:iam::{_ACCOUNT}:user/{denial.value}", _USER_ID, "", _KEY
        case "accessKeyId":
            return f"arn:aws:iam::{_ACCOUNT}:user/{_SESSION}", _USER_ID, "", denial.value
        case "userId":
            unique_id, _, session = denial.value.partition(":")
            if unique_id.startswith("AROA"):
                return session_fields(f"arn:aws:iam::{_ACCOUNT}:role/{_SESSION}", unique_id, session or _SESSION, _KEY)
            return f"arn:aws:iam::{_ACCOUNT}:user/{_SESSION}", unique_id, "", _KEY
        case "arn":
            parsed = parse_arn(denial.value)
            kind, _, name = (parsed.resource if parsed is not None else "").partition("/")
            if kind == "role":
                return session_fields(denial.value, _ROLE_ID, _SESSION, _KEY)
            if kind == "assumed-role":
                return denial.value, _ROLE_ID, name.rpartition("/")[2], _KEY
            if kind == "root" and parsed is not None:
                return denial.value, parsed.account, "", _KEY
            if kind == "federated-user" and parsed is not None:
                return denial.value, f"{parsed.account}:{name}", "", _KEY
            return denial.value, _USER_ID, "", _KEY
    raise ValueError(denial.kind)


def session_fields(role: str, role_id: str, session: str, key: str) -> tuple[str, str, str, str]:
    """Return the fields of a session of the role. STS leaves the role's path out."""
    parsed = parse_arn(role)
    if parsed is None:
        raise ValueError(role)
    name = parsed.resource.rpartition("/")[2]
    return f"arn:{parsed.partition}:sts::{parsed.account}:assumed-role/{name}/{session}", role_id, session, key
