"""The API of EKS in memory, as the methods of a botocore client: one cluster, its access entries and its authentication mode.

An entry keeps the unique id of its role, which `admits` compares. `World.fail_after` kills a run after a write, as for IAM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from fake_account import FakeAccount, FakeCluster, FakeStore, World

from kube_iam.access.levels import ClusterAccess
from kube_iam.access.mapping import MappingSource
from kube_iam.access.ports import Cluster, Ports, Preflight
from kube_iam.aws.access_entries import AccessEntryStore
from kube_iam.aws.iam_calls import IamCalls
from kube_iam.aws.iam_wait import IamWaiter

NAME = "eks-prod"
ARN = f"arn:aws:eks:eu-central-1:123456789012:cluster/{NAME}"


class FakeEks:
    """`meanwhile` is called with the name of each call before it is answered, to change something as another program would.

    `failures` holds codes by operation, each of which is answered once.
    """

    def __init__(self, account: FakeAccount, mode: str = "API_AND_CONFIG_MAP", page: int = 2) -> None:
        self.account = account
        self.mode = mode
        self.page = page
        self.endpoint = "https://api.prod.example.com"
        self.records: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.role_ids: dict[str, float] = {}
        self.calls: list[str] = []
        self.failures: dict[str, list[str]] = {}
        self.meanwhile: Callable[[str], None] = lambda _: None

    def state(self) -> object:
        hidden = {"createdAt", "accessEntryArn"}
        return {arn: {key: each[key] for key in each.keys() - hidden} for arn, each in self.records.items()}

    def add(self, principal: str, **more: Any) -> None:
        """Add an entry as another program does."""
        arn = f"arn:aws:eks:eu-central-1:123456789012:access-entry/{NAME}/role/123456789012/x/{len(self.calls)}-{principal[-9:]}"
        self.records[principal] = {
            "principalArn": principal,
            "accessEntryArn": arn,
            "createdAt": float(self.account.world.writes),
            "type": "STANDARD",
            "username": "",
            "kubernetesGroups": [],
            "tags": {},
            **more,
        }
        role = self._role(principal)
        self.role_ids[principal] = role.created if role is not None else -1.0

    def admits(self, principal: str) -> bool:
        """Return whether sessions of the role are admitted: its unique id is the one of the entry."""
        role = self._role(principal)
        return principal in self.records and role is not None and self.role_ids[principal] == role.created

    def _role(self, principal: str) -> Any:
        role = self.account.directory.role_states.get(principal.rpartition("/")[2])
        return role if role is not None and role.arn == principal else None

    def describe_cluster(self, *, name: str) -> dict[str, Any]:
        self._called("describe_cluster")
        config = {"authenticationMode": self.mode}
        return {"cluster": {"name": name, "arn": ARN, "endpoint": self.endpoint, "accessConfig": config}}

    def list_access_entries(self, *, clusterName: str, maxResults: int, nextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        self._called("list_access_entries")
        assert (clusterName, maxResults) == (NAME, 100)
        found, start = sorted(self.records), int(nextToken)
        more = {"nextToken": str(start + self.page)} if start + self.page < len(found) else {}
        return {"accessEntries": found[start : start + self.page], **more}

    def describe_access_entry(self, *, clusterName: str, principalArn: str) -> dict[str, Any]:  # noqa: N803
        self._called("describe_access_entry")
        assert clusterName == NAME
        return {"accessEntry": dict(self._record("DescribeAccessEntry", principalArn))}

    def list_associated_access_policies(
        self,
        *,
        clusterName: str,  # noqa: N803
        principalArn: str,  # noqa: N803
        maxResults: int,  # noqa: N803
    ) -> dict[str, Any]:
        self._called("list_associated_access_policies")
        assert (clusterName, maxResults) == (NAME, 100)
        self._record("ListAssociatedAccessPolicies", principalArn)
        return {"associatedAccessPolicies": self.policies.get(principalArn, [])}

    def create_access_entry(self, *, clusterName: str, principalArn: str, **given: Any) -> dict[str, Any]:  # noqa: N803
        assert clusterName == NAME

        def effect() -> None:
            if principalArn in self.records:
                raise _error(
                    "CreateAccessEntry",
                    "ResourceInUseException",
                    "The specified access entry resource is already in use",
                )
            if self._role(principalArn) is None:
                text = "The specified principalArn is invalid: invalid principal."
                raise _error("CreateAccessEntry", "InvalidParameterException", text)
            self.add(principalArn, **given)

        self._write("create_access_entry", effect)
        return {}

    def update_access_entry(self, *, clusterName: str, principalArn: str, **given: Any) -> dict[str, Any]:  # noqa: N803
        assert clusterName == NAME
        self._write("update_access_entry", lambda: self._record("UpdateAccessEntry", principalArn).update(given))
        return {}

    def delete_access_entry(self, *, clusterName: str, principalArn: str) -> dict[str, Any]:  # noqa: N803
        def effect() -> None:
            self._record("DeleteAccessEntry", principalArn)
            del self.records[principalArn]
            self.policies.pop(principalArn, None)

        assert clusterName == NAME
        self._write("delete_access_entry", effect)
        return {}

    def tag_resource(self, *, resourceArn: str, tags: dict[str, str]) -> dict[str, Any]:  # noqa: N803
        def effect() -> None:
            found = next((each for each in self.records.values() if each["accessEntryArn"] == resourceArn), None)
            if found is None:
                raise _error("TagResource", "NotFoundException", "There is no such resource")
            found["tags"] = {**found["tags"], **tags}

        self._write("tag_resource", effect)
        return {}

    def _record(self, operation: str, principal: str) -> dict[str, Any]:
        if principal not in self.records:
            raise _error(operation, "ResourceNotFoundException", "The specified principalArn could not be found.")
        return self.records[principal]

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.meanwhile(name)
        codes = self.failures.get(name)
        if codes:
            raise _error("".join(map(str.capitalize, name.split("_"))), codes.pop(0), "refused by the test")

    def _write(self, name: str, effect: Callable[[], None]) -> None:
        self._called(name)
        self.account.world.write(name, effect)


def _error(operation: str, code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def entries_of(eks: FakeEks, access: ClusterAccess, *, dry_run: bool = False) -> AccessEntryStore:
    """Return the store of the file's mapping in this EKS."""
    waiter = IamWaiter(window=1.0, sleep=lambda _: None)
    return AccessEntryStore(IamCalls(lambda _: eks), access, dry_run=dry_run, waiter=waiter)


def ports_of(eks: FakeEks, access: ClusterAccess, former: FakeStore | None = None) -> Ports:
    """Return the ports of an account whose mapping is access entries. `former` is aws-auth."""
    account = eks.account
    cluster: Cluster = account.cluster
    dry = None if former is None else FakeStore(World(), former.entries())
    preflight = Preflight(_DryCluster(), entries_of(eks, access, dry_run=True), MappingSource, dry)
    return Ports(account.directory, cluster, entries_of(eks, access), preflight, former)


class _DryCluster(FakeCluster):
    """A cluster in which each write is a dry run that succeeds."""

    def __init__(self) -> None:
        super().__init__(World())
