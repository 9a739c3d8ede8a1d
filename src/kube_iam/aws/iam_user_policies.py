"""Inline policies of users, which allow a role for a time. Those of one user have 2,048 characters in all, about eight of ours."""

from __future__ import annotations

from kube_iam.access.desired import same_document
from kube_iam.aws.iam_calls import document_of, document_text
from kube_iam.aws.iam_part import IamPart


class IamUserPolicies(IamPart):
    """The inline user policies of the `Directory` port."""

    def user_policy(self, user: str, name: str) -> object | None:
        """Return the policy's document; None where there is none, or no such user."""
        doing = f"read policy {name} of user {user}"
        found = self._aws.found("get_user_policy", doing, UserName=user, PolicyName=name)
        return None if found is None else document_of(found["PolicyDocument"])

    def put_user_policy(self, user: str, name: str, document: object) -> None:
        """Make the document the user's policy of that name. Raises NotFound where there is no such user."""
        doing = f"give user {user} policy {name}"
        self._aws.call("put_user_policy", doing, UserName=user, PolicyName=name, PolicyDocument=document_text(document))
        self._until(f"policy {name} of user {user}", lambda: same_document(self.user_policy(user, name), document))

    def delete_user_policy(self, user: str, name: str) -> None:
        """Delete the policy. A policy or user that is gone already is no error."""
        self._aws.deleted("delete_user_policy", f"delete policy {name} of user {user}", UserName=user, PolicyName=name)
        self._until(f"user {user} without policy {name}", lambda: self.user_policy(user, name) is None)
