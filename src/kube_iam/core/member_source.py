"""IAM users as subjects of RBAC bindings: the IAM group and the role of a level whose bindings name each member. Pure.

The authenticator maps the level's role to a user name for each session, and to no group. So the binding alone decides who has access.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from kube_iam.core.arns import comparable_arn, parse_arn
from kube_iam.core.identity import Identity
from kube_iam.core.mapping_entries import MembershipRequirement, TemporaryGrant
from kube_iam.core.templates import Template, parse_template

VARIABLES = ("AccountID", "SessionName", "SessionNameRaw")
_NAMES = {"SessionName", "SessionNameRaw"}
_SESSION_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class MemberSource:
    """Origin of a binding's users: the members of `iam_group`, with sessions of the role, and the users of `temporary`.

    `role_arn` has no path, as STS shows it. `username` is the template that the level's mapping entry has.
    """

    iam_group: str
    role_arn: str
    username: str
    temporary: tuple[TemporaryGrant, ...] = ()

    @property
    def problem(self) -> str:
        """Return why no user can be computed, empty where one can."""
        try:
            comparable_arn(self.role_arn)
            variables = _template(self.username).parts[1::2]
        except ValueError as error:
            return str(error)
        if len(set(variables) & _NAMES) != 1 or sum(each in _NAMES for each in variables) != 1:
            return f"user name {self.username!r} does not name the session exactly once"
        arn = parse_arn(self.role_arn)
        if arn is None or not arn.resource.startswith("role/"):
            return f"{self.role_arn!r} is not the ARN of a role"
        return "" if self.iam_group else "no IAM group"

    @property
    def requirement(self) -> MembershipRequirement:
        """Return the requirement that a session has to meet. Raises ValueError where there is a `problem`."""
        name = self.role_arn.rpartition("/")[2]
        return MembershipRequirement(self.iam_group, comparable_arn(self.role_arn), name, self.temporary)

    @property
    def joins_names(self) -> bool:
        """Return whether two IAM users can have one user name: `{{SessionName}}` writes `-` for `@`."""
        return "SessionName" in _template(self.username).parts[1::2]

    def session(self, user: str, role_id: str = "") -> Identity:
        """Return the identity of a session of the role that is named after the IAM user. `role_id` is the role's unique id."""
        arn = parse_arn(self.role_arn)
        assert arn is not None
        role = self.role_arn.rpartition("/")[2]
        session = f"arn:{arn.partition}:sts::{arn.account}:assumed-role/{role}/{user}"
        return Identity(session, self.role_arn, arn.account, role_id, user, "", "")

    def iam_user(self, user: str, user_id: str = "") -> Identity:
        """Return the identity of the IAM user of that name in the role's account. `user_id` is the unique id."""
        arn = parse_arn(self.role_arn)
        assert arn is not None
        own = f"arn:{arn.partition}:iam::{arn.account}:user/{user}"
        return Identity(own, own, arn.account, user_id, "", "", "")

    def user_name(self, user: str) -> str:
        """Return the Kubernetes user of a session that is named after the IAM user; empty where the authenticator gives none."""
        name = _template(self.username).render(self.session(user))
        return name if isinstance(name, str) else ""

    def iam_users(self, subject: str, known: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the IAM users that a Kubernetes user can be: by the template, and those of `known` that have this user name.

        With `{{SessionName}}` an IAM user whose name has an `@` is found among `known` only.
        """
        parts = list(_template(self.username).parts)
        place = next(index for index in range(1, len(parts), 2) if parts[index] in _NAMES)
        arn = parse_arn(self.role_arn)
        texts = [arn.account if index % 2 and arn is not None else part for index, part in enumerate(parts)]
        before, after = "".join(texts[:place]), "".join(texts[place + 1 :])
        fits = len(subject) > len(before + after) and subject.startswith(before) and subject.endswith(after)
        literal = subject[len(before) : len(subject) - len(after)] if fits else ""
        found = (literal,) if _SESSION_NAME.fullmatch(literal) and self.user_name(literal) == subject else ()
        others = (name for name in known if _SESSION_NAME.fullmatch(name) and self.user_name(name) == subject)
        return tuple(dict.fromkeys((*found, *others)))


@lru_cache(maxsize=256)
def _template(text: str) -> Template:
    return parse_template(text, VARIABLES)
