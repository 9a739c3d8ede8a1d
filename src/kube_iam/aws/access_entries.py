"""The store of mapping entries in the access entries of one EKS cluster, which EKS's own authenticator reads.

Tags of an access entry name our cluster and level, as on roles. Only entries with them are changed and deleted. Entries of node types
are never changed, whatever their tags say. Principal and type of an entry cannot change: a plan deletes such an entry and creates it
anew. https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from kube_iam.access.desired import CLUSTER_TAG, LEVEL_TAG, desired_entry
from kube_iam.access.levels import MOST_TAGS, ClusterAccess
from kube_iam.access.mapping import MappingEntry, MappingStore, ServerMapping, entries_of_roles, given, pathless
from kube_iam.aws.eks import EksCluster, read_cluster
from kube_iam.aws.iam_calls import IamCalls, code_of
from kube_iam.aws.iam_wait import IamWaiter, ignore_progress
from kube_iam.aws.parallel import in_parallel
from kube_iam.config.identity_mapping import mapping_spec, read_identity_mappings
from kube_iam.core.access_entries import STANDARD
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import AwsError, Conflict, NotFound, NotOwned, UsageError

ATTEMPTS = 5
PAGE_SIZE = 100  # the most that EKS gives at once


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """An access entry as EKS describes it. `created` is in Unix seconds. `policies` are access policies, which others associated."""

    principal: str
    arn: str
    type: str
    username: str
    groups: tuple[str, ...]
    tags: Mapping[str, str]
    created: float
    policies: tuple[str, ...] = ()

    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", pathless(self.principal))

    @property
    def is_for_people(self) -> bool:
        """Return whether the entry is of type STANDARD and of a role. All other types are for nodes."""
        return self.type == STANDARD and ":role/" in self.principal

    @property
    def where(self) -> str:
        """Return the entry as messages name it."""
        kind = "" if self.type == STANDARD else f" of type {self.type}"
        return f"access entry{kind} {self.principal}"


class AccessEntryStore(MappingStore):
    """The access entries of the EKS cluster that the access file names. With `dry_run` edits are checked and not written.

    `progress` is called with what is awaited.
    """

    def __init__(
        self,
        calls: IamCalls,
        access: ClusterAccess,
        *,
        dry_run: bool = False,
        progress: Callable[[str], None] = ignore_progress,
        waiter: IamWaiter | None = None,
    ) -> None:
        self._calls = calls
        self._access = access
        self._name = access.mapping.name
        self._dry_run = dry_run
        self._progress = progress
        self._waiter = waiter or IamWaiter()
        self._last: tuple[AccessEntry, ...] | None = None
        self._adopted: set[str] = set()

    @cached_property
    def cluster(self) -> EksCluster:
        """Return the EKS cluster, described once. Raises NotFound where there is none of that name."""
        return read_cluster(self._calls, self._name, self._access.region)

    def describe(self) -> str:
        """Return the entries as messages name them."""
        return self._access.mapping.describe()

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return the entries of roles of people, one a role. Reads them anew.

        Raises UsageError where the cluster's authentication mode knows no access entries.
        """
        self._last = self._read()
        return tuple(self._shown(each) for each in self._split()[0])

    def faults(self) -> tuple[str, ...]:
        """Return none: EKS checks each entry when it is written."""
        return ()

    def reserved_prefixes(self) -> tuple[str, ...]:
        """Return none: the check of the access file knows those of EKS."""
        return ()

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        """Return entries of node types for these roles, of what `entries` read last."""
        others = self._split()[1]
        return entries_of_roles(role_arns, ((each.key, _other(each)) for each in others if not each.is_for_people))

    def others(self) -> tuple[MappingEntry, ...]:
        """Return the entries of nodes and of IAM users, of what `entries` read last."""
        return tuple(_other(each) for each in self._split()[1])

    def server_mapping(self) -> ServerMapping:
        """Return all entries as kube-iam's server would read them, of what `entries` read last. EKS's templates are the same."""
        if self._last is None:
            self._last = self._read()
        specs = [
            mapping_spec(each.where, "", {"arn": each.principal, "username": each.username, "groups": [*each.groups]})
            for each in self._last
        ]
        found = read_identity_mappings(specs)
        problems = {name: (why.message,) for name, why in found.refused.items()}
        return ServerMapping(self.describe(), found.roles, found.users, problems=problems)

    def put(self, entry: MappingEntry) -> None:
        """Create the access entry, or change ours in place. Raises NotOwned for one of others, of nodes or of another cluster."""
        # A dry run tags no entry that it adopts.
        self._edit(lambda: self._put(entry, adopt=self._dry_run and entry.key in self._adopted))

    def adopt(self, entry: MappingEntry) -> None:
        """Tag an access entry of others as ours, and change it in place. Raises NotOwned for one of nodes or of another cluster."""
        self._edit(lambda: self._put(entry, adopt=True))
        self._adopted.add(entry.key)

    def remove(self, entry: MappingEntry) -> None:
        """Delete our access entries for that role. Those of others and of nodes stay."""
        for each in self._of_key(entry.key):
            if self._is_ours(each):
                self._delete(each)

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:  # noqa: ARG002
        """Raise NotFound: access entries hold no temporary access."""
        raise NotFound(f"{self.describe()} knows no temporary access", "grant the level without --for")

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        """Do nothing: access entries hold no temporary access."""

    def _read(self) -> tuple[AccessEntry, ...]:
        self._check_mode()
        found = in_parallel(self._described, self._principals())
        wanted = {desired_entry(self._access, level).key for level in self._access.levels}
        present = [each for each in found if each is not None]
        asked = [each for each in present if each.is_for_people and (each.key in wanted or self._is_ours(each))]
        policies = dict(zip((each.principal for each in asked), in_parallel(self._policies, asked), strict=True))
        return tuple(replace(each, policies=policies.get(each.principal, ())) for each in present)

    def _check_mode(self) -> None:
        if not self.cluster.reads_access_entries:
            change = "--access-config authenticationMode=API_AND_CONFIG_MAP"
            raise UsageError(
                f"EKS cluster {self._name} has authentication mode {self.cluster.authentication_mode}, and has no access entries",
                f"`aws eks update-cluster-config --name {self._name} --region {self._access.region} {change}` adds them beside"
                " aws-auth, and there is no way back; or write mapping: {awsAuth: {}}",
            )

    def _principals(self) -> list[str]:
        """Return the principals of all entries."""
        found: list[str] = []
        more: dict[str, Any] = {}
        while True:
            page = self._call(
                "list_access_entries",
                f"list the access entries of EKS cluster {self._name}",
                {"maxResults": PAGE_SIZE, **more},
            )
            found += map(str, page.get("accessEntries", ()))
            if not page.get("nextToken"):
                return found
            more = {"nextToken": page["nextToken"]}

    def _described(self, principal: str) -> AccessEntry | None:
        """Return the entry of a principal, or None without one."""
        try:
            answer = self._call("describe_access_entry", f"read access entry {principal}", {"principalArn": principal})
        except NotFound:
            return None
        return _parsed(answer["accessEntry"])

    def _policies(self, entry: AccessEntry) -> tuple[str, ...]:
        """Return the names of the associated access policies with the namespaces to which they are limited."""
        doing, found = f"list the access policies of {entry.principal}", []
        more: dict[str, Any] = {}
        while True:
            arguments = {"principalArn": entry.principal, "maxResults": PAGE_SIZE, **more}
            try:
                page = self._call("list_associated_access_policies", doing, arguments)
            except NotFound:
                return ()
            for each in page.get("associatedAccessPolicies", ()):
                namespaces = ", ".join(each.get("accessScope", {}).get("namespaces", ()))
                found.append(each["policyArn"].rpartition("/")[2] + (f" in {namespaces}" if namespaces else ""))
            if not page.get("nextToken"):
                return tuple(sorted(found))
            more = {"nextToken": page["nextToken"]}

    def _split(self) -> tuple[list[AccessEntry], list[AccessEntry]]:
        """Return the entries that `entries` returns, ours first of each role, and all others."""
        if self._last is None:
            self._last = self._read()
        entries: dict[str, AccessEntry] = {}
        others: list[AccessEntry] = []
        for each in sorted(self._last, key=lambda each: (not self._is_ours(each), each.principal)):
            if each.is_for_people and each.key not in entries:
                entries[each.key] = each
            else:
                others.append(each)
        return list(entries.values()), others

    def _is_ours(self, found: AccessEntry) -> bool:
        return found.is_for_people and found.tags.get(CLUSTER_TAG) == self._access.cluster_id

    def _shown(self, found: AccessEntry) -> MappingEntry:
        """Return the entry for plans. Its cluster is our short name, or the id of another cluster."""
        tagged = found.tags.get(CLUSTER_TAG, "")
        other = f"with the id {tagged}" if tagged == self._access.name else tagged
        return MappingEntry(
            found.principal,
            found.username,
            found.groups,
            level=found.tags.get(LEVEL_TAG, ""),
            where="an access entry",
            cluster=self._access.name if self._is_ours(found) else other,
            created=found.created,
            tags=tuple(sorted(found.tags.items())),
            policies=found.policies,
        )

    def _of_key(self, key: str) -> list[AccessEntry]:
        found = in_parallel(self._described, (each for each in self._principals() if pathless(each) == key))
        return [each for each in found if each is not None]

    def _edit(self, change: Callable[[], None]) -> None:
        """Make a change. Read again and repeat it where another program created or deleted the entry in between."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                change()
            except (Conflict, NotFound):
                if attempt == ATTEMPTS:
                    raise
                self._waiter.sleep(0.2 * attempt)
            else:
                return

    def _put(self, entry: MappingEntry, *, adopt: bool) -> None:
        found = self._of_key(entry.key)
        present = next((each for each in found if each.principal == entry.role_arn), None)
        tags = dict(entry.tags)
        if present is None:
            self._create(entry, tags)
        else:
            self._require_ours(present, adopt=adopt)
            self._update(present, entry, tags)
        for each in found:
            if each is not present and self._is_ours(each):
                self._delete(each)

    def _require_ours(self, found: AccessEntry, *, adopt: bool) -> None:
        other = found.tags.get(CLUSTER_TAG, "")
        if not found.is_for_people:
            raise NotOwned(f"{found.where} is for nodes, and is never changed", "choose another iam.role for the level")
        if not self._is_ours(found) and (other or not adopt):
            whose = f"is cluster {other}'s" if other else "is not this cluster's by its tags"
            raise NotOwned(f"{found.where} {whose} ({given(_other(found))})", "run plan again")

    def _create(self, entry: MappingEntry, tags: Mapping[str, str]) -> None:
        arguments = {
            "principalArn": entry.role_arn,
            "type": STANDARD,
            "username": entry.username,
            "kubernetesGroups": [*entry.groups],
            "tags": tags,
        }
        if self._dry_run:
            return
        # A role that was created just now may not be known to EKS yet.
        self._waiter.retry(
            f"role {entry.role_arn} to EKS",
            lambda: self._call("create_access_entry", f"create access entry {entry.role_arn}", arguments),
            _is_unknown_principal,
            self._progress,
        )

    def _update(self, present: AccessEntry, entry: MappingEntry, tags: Mapping[str, str]) -> None:
        """Write the tags first: an entry whose update is interrupted is ours, and the next plan completes it."""
        added = {key: value for key, value in tags.items() if present.tags.get(key) != value}
        if len({**present.tags, **tags}) > MOST_TAGS:
            raise AwsError(
                f"{present.where} would have more than {MOST_TAGS} tags, the most that EKS takes",
                "remove tags of others (`aws eks untag-resource`), or keep fewer in iam.tags",
            )
        if self._dry_run:
            return
        if added:
            self._call("tag_resource", f"tag {present.where}", {"resourceArn": present.arn, "tags": added}, named=False)
        if (present.username, present.groups) != (entry.username, tuple(sorted(entry.groups))):
            arguments = {
                "principalArn": present.principal,
                "username": entry.username,
                "kubernetesGroups": [*entry.groups],
            }
            self._call("update_access_entry", f"change {present.where}", arguments)

    def _delete(self, found: AccessEntry) -> None:
        if self._dry_run:
            return
        try:
            self._call("delete_access_entry", f"delete {found.where}", {"principalArn": found.principal})
        except NotFound:
            return  # deleted by another program

    def _call(self, operation: str, doing: str, arguments: Mapping[str, Any], *, named: bool = True) -> dict[str, Any]:
        cluster = {"clusterName": self._name} if named else {}
        return self._calls.call(operation, doing, service="eks", **cluster, **arguments)


def _parsed(answer: Mapping[str, Any]) -> AccessEntry:
    """Return the entry in an answer of EKS. Its groups are sorted: their order means nothing."""
    try:
        created = answer["createdAt"]
        return AccessEntry(
            principal=answer["principalArn"],
            arn=answer["accessEntryArn"],
            type=answer.get("type") or STANDARD,
            username=answer.get("username", ""),
            groups=tuple(sorted(answer.get("kubernetesGroups") or ())),
            tags=dict(answer.get("tags") or {}),
            created=created.timestamp() if hasattr(created, "timestamp") else float(created or time.time()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AwsError("EKS describes an access entry in a form that is not known") from error


def _other(found: AccessEntry) -> MappingEntry:
    """Return the entry as one beside those of levels, named by its principal."""
    return MappingEntry("", found.username, found.groups, principal=found.principal, where=found.where)


def _is_unknown_principal(error: Exception) -> bool:
    return code_of(error) == "InvalidParameterException" and "principal" in str(error).casefold()
