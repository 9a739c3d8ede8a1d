"""IAM behind the `Directory` port. `iam_calls.PERMISSIONS` lists the permissions of each method.

Writes may be repeated. Creating an object that exists with the same content succeeds, and so does deleting one that is gone. An
object with other content is a Conflict and is never taken over. After each write the directory waits until a read shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kube_iam.access.ports import Caller, Directory, Item, Result
from kube_iam.aws.iam_effective import IamEffectivePolicies
from kube_iam.aws.iam_groups import IamGroups
from kube_iam.aws.iam_policies import IamPolicies
from kube_iam.aws.iam_roles import IamRoles
from kube_iam.aws.iam_user_policies import IamUserPolicies
from kube_iam.aws.parallel import in_parallel
from kube_iam.core.arns import canonical_arn
from kube_iam.errors import AwsError


class IamDirectory(IamPolicies, IamRoles, IamGroups, IamUserPolicies, IamEffectivePolicies, Directory):
    """The whole directory: `IamDirectory(make_client, progress)`; the calls are made when the first method needs them."""

    def each(self, read: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Return `read` of each item, eight at once. The client keeps to IAM's limit on calls (`client.iam_client`)."""
        return in_parallel(read, items)

    def caller(self) -> Caller:
        """Return the account and the canonical ARN of the caller."""
        answer = self._aws.call("get_caller_identity", "ask AWS who you are", service="sts")
        try:
            return Caller(answer["Account"], canonical_arn(answer["Arn"]))
        except ValueError as error:
            raise AwsError(f"cannot tell who you are to AWS: {error}") from error
