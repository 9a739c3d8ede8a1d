"""The store of mapping entries in cluster-scoped objects IAMIdentityMapping, one object an entry.

Our objects carry the labels of the cluster and the level. Only they are changed and deleted, each on condition of the resourceVersion
that was read. The keys of membership are annotations (`kube_iam.config.identity_mapping`). The oldest object of an ARN counts.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from kube_iam.access.mapping import (
    MappingEntry,
    MappingStore,
    ServerMapping,
    UnusedEntry,
    entries_of_roles,
    kept_grants,
    without_grant,
)
from kube_iam.config.identity_mapping import (
    IAM_GROUP,
    TEMPORARY,
    MappingSpec,
    is_membership_key,
    mapping_spec,
    read_identity_mappings,
    read_membership,
)
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import Conflict, KubeError, NotFound, NotOwned
from kube_iam.kube.client import FIELD_MANAGER, KubeApi, delete_version
from kube_iam.kube.config_map import ATTEMPTS, RETRY_BACKOFF
from kube_iam.kube.labels import CLUSTER, LEVEL, MANAGED_BY, OWNER
from kube_iam.kube.mapping_list import shown_role_arn

if TYPE_CHECKING:
    from lightkube.generic_resource import GenericGlobalResource

GROUP, KIND, PLURAL = "iamauthenticator.k8s.aws", "IAMIdentityMapping", "iamidentitymappings"
Grants = tuple[TemporaryGrant, ...]
_Write = Callable[[], None]


@dataclass(frozen=True, slots=True)
class MappingObject:
    """One object as it was read. `problem` is why the server refuses it."""

    name: str
    uid: str
    version: str
    labels: Mapping[str, str]
    content: MappingSpec
    problem: str = ""

    @property
    def key(self) -> str:
        """Return the key of the object's entry, empty if its ARN is none."""
        return self.content.key

    @property
    def cluster(self) -> str:
        """Return the name of the cluster that our labels name, empty for an object that is not kube-iam's."""
        return self.labels.get(CLUSTER, "") if self.labels.get(MANAGED_BY) == OWNER else ""

    @property
    def where(self) -> str:
        """Return the object as messages name it."""
        return f"{KIND} {self.name}"

    def entry(self) -> MappingEntry:
        """Return the object of a role as an entry."""
        keys, _ = read_membership(self.content.annotations)
        return MappingEntry(
            shown_role_arn(self.content.arn),
            self.content.username,
            self.content.groups,
            keys.iam_group,
            self.labels.get(LEVEL, ""),
            keys.temporary,
            where=self.where,
            problems=(self.problem,) if self.problem else (),
            cluster=self.cluster,
        )

    def other(self) -> MappingEntry:
        """Return the object as an entry beside those of levels, named by its ARN."""
        content = self.content
        return MappingEntry("", content.username, content.groups, principal=content.arn, where=self.where)


class IdentityMappingStore(MappingStore):
    """The entries in the objects of one API server. `cluster` and `cluster_id` are those of the access file."""

    def __init__(
        self, api: KubeApi, cluster: str, cluster_id: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._api = api
        self._cluster = cluster
        self._cluster_id = cluster_id
        self._sleep = sleep
        self._last: tuple[MappingObject, ...] | None = None

    def describe(self) -> str:
        """Return the objects as messages name them."""
        return f"{KIND} objects"

    def entries(self) -> tuple[MappingEntry, ...]:
        """Return the entries of roles, the oldest first: of a role our objects, and without one of ours the one that counts.

        Reads the objects anew. Without the CustomResourceDefinition there are none.
        """
        self._last = self._read() or ()
        return tuple(each.entry() for each in self._split()[0])

    def faults(self) -> tuple[str, ...]:
        """Return none: the server reads object by object."""
        return ()

    def reserved_prefixes(self) -> tuple[str, ...]:
        """Return none: they are in the configuration of the server."""
        return ()

    def rivals(self, role_arns: Iterable[str]) -> Mapping[str, tuple[MappingEntry, ...]]:
        """Return other objects for these roles, of the objects that `entries` read last."""
        return entries_of_roles(role_arns, ((each.key, each.other()) for each in self._split()[1]))

    def others(self) -> tuple[MappingEntry, ...]:
        """Return all further objects with an ARN, of the objects that `entries` read last."""
        return tuple(each.other() for each in self._split()[1])

    def server_mapping(self) -> ServerMapping:
        """Return the objects as the server reads them, the oldest first, of the objects that were read last."""
        if self._last is None:
            self._last = self._read() or ()
        found = read_identity_mappings(each.content for each in self._last)
        unused = tuple(UnusedEntry(each.name, each.content.arn, "arn") for each in self._last if not each.key)
        problems = {name: (why.message,) for name, why in found.refused.items()}
        return ServerMapping(self.describe(), found.roles, found.users, unused=unused, problems=problems)

    def put(self, entry: MappingEntry) -> None:
        """Create the object, or change ours for that role. Temporary grants stay as with every store.

        Raises NotOwned where another object maps the role, NotFound without the CustomResourceDefinition.
        """
        self._edit(lambda objects: self._put(objects, entry, adopted=()))

    def adopt(self, entry: MappingEntry) -> None:
        """Label an object of others that gives the same. Raises NotOwned for one that does not, or of another cluster."""

        def change(objects: tuple[MappingObject, ...]) -> list[_Write]:
            others = [each for each in objects if each.key == entry.key and not self._is_ours(each)]
            return self._put(objects, entry, adopted=[each for each in others if _gives_same(each, entry)])

        self._edit(change)

    def remove(self, entry: MappingEntry) -> None:
        """Delete our objects for that role. Objects of others stay."""
        self._edit(lambda objects: [self._deletion(each) for each in self._ours(objects, entry)])

    def add_temporary(self, entry: MappingEntry, grant: TemporaryGrant) -> None:
        """Add a user to the grants of our object. Raises NotFound without one, or where it requires no group."""

        def change(objects: tuple[MappingObject, ...]) -> list[_Write]:
            present = [each for each in self._ours(objects, entry) if each.entry().iam_group]
            if not present:
                raise NotFound(f"{self.describe()}: none for {entry.name} asks for a group", "run apply")
            kept = without_grant(present[0].entry().temporary, grant.user_name)
            return self._temporary_change(present[0], (*kept, grant))

        self._edit(change)

    def remove_temporary(self, entry: MappingEntry, user_name: str, only: TemporaryGrant | None = None) -> None:
        """Remove a user, or only exactly the grant `only`, from the grants of our objects for that role."""

        def change(objects: tuple[MappingObject, ...]) -> list[_Write]:
            return [
                write
                for each in self._ours(objects, entry)
                for write in self._temporary_change(each, without_grant(each.entry().temporary, user_name, only))
            ]

        self._edit(change)

    def _split(self) -> tuple[list[MappingObject], list[MappingObject]]:
        """Return the objects that `entries` returns, and all others with an ARN."""
        if self._last is None:
            self._last = self._read() or ()
        counted = {each.key for each in self._last if each.content.is_for_role and self._is_ours(each)}
        entries: list[MappingObject] = []
        others: list[MappingObject] = []
        for each in self._last:
            if each.content.is_for_role and (self._is_ours(each) or each.key not in counted):
                counted.add(each.key)
                entries.append(each)
            elif each.key:
                others.append(each)
        return entries, others

    def _is_ours(self, found: MappingObject) -> bool:
        return found.cluster == self._cluster

    def _ours(self, objects: Iterable[MappingObject], entry: MappingEntry) -> list[MappingObject]:
        return [each for each in objects if each.key == entry.key and self._is_ours(each)]

    def _put(
        self, objects: tuple[MappingObject, ...], entry: MappingEntry, adopted: Iterable[MappingObject]
    ) -> list[_Write]:
        present = [*self._ours(objects, entry), *adopted]
        foreign = [each for each in objects if each.key == entry.key and each not in present]
        name = self._name(entry)
        if not present:
            # Somebody may have changed the ARN of our object, or have taken its name.
            named = [each for each in objects if each.name == name]
            present = [each for each in named if self._is_ours(each)]
            foreign += [each for each in named if not self._is_ours(each)]
        if foreign:
            raise NotOwned(
                f"{foreign[0].where} is not this cluster's by its labels, and maps {foreign[0].content.arn}",
                "delete it, or choose another iam.role for the level",
            )
        if not present:
            return [lambda: self._create(name, entry)]
        wanted = replace(entry, temporary=kept_grants((each.entry() for each in present), entry))
        changes = self._change(present[0], wanted)
        return [*changes, *(self._deletion(each) for each in present[1:])]

    def _name(self, entry: MappingEntry) -> str:
        """Return the name of a new object: readable, DNS-1123, and another one for each cluster and role."""
        role = re.sub(r"[^a-z0-9]+", "-", entry.key.rpartition("/")[2]).strip("-")
        digest = hashlib.sha256(f"{self._cluster}\n{self._cluster_id}\n{entry.key}".encode()).hexdigest()
        return "-".join(filter(None, (OWNER, role, digest[:20])))

    def _labels(self, entry: MappingEntry) -> dict[str, str]:
        return {MANAGED_BY: OWNER, CLUSTER: self._cluster, **({LEVEL: entry.level} if entry.level else {})}

    def _create(self, name: str, entry: MappingEntry) -> None:
        wanted = replace(entry, temporary=())
        metadata = {"name": name, "labels": self._labels(wanted), "annotations": _annotations(wanted)}
        created = resource().from_dict({"metadata": metadata, "spec": _spec(wanted)})
        with self._api.call(f"create {KIND} {name}") as client:
            client.create(created, field_manager=FIELD_MANAGER)

    def _change(self, found: MappingObject, wanted: MappingEntry) -> list[_Write]:
        """Return the write that makes the object equal, none if it is."""
        labels, annotations, spec = self._labels(wanted), _annotations(wanted), _spec(wanted)
        content = found.content
        if (
            labels.items() <= found.labels.items()
            and dict(content.annotations) == annotations
            and (content.arn, content.username, list(content.groups)) == tuple(spec.values())
            and not found.problem
        ):
            return []
        dropped = {key: None for key in content.other_keys if is_membership_key(key)}
        metadata = {"labels": labels, "annotations": {**dict.fromkeys(content.annotations), **annotations}}
        return [lambda: self._patch(found, {"metadata": metadata, "spec": {**dropped, **spec}})]

    def _temporary_change(self, found: MappingObject, grants: Grants) -> list[_Write]:
        entry = found.entry()
        if grants == entry.temporary:
            return []
        text = _annotations(replace(entry, temporary=grants)).get(TEMPORARY)
        return [lambda: self._patch(found, {"metadata": {"annotations": {TEMPORARY: text}}})]

    def _patch(self, found: MappingObject, patch: dict[str, Any]) -> None:
        from lightkube.types import PatchType

        # With its resourceVersion a stale patch fails with 409.
        patch["metadata"]["resourceVersion"] = found.version
        with self._api.call(f"change {found.where}") as client:
            client.patch(resource(), found.name, patch, patch_type=PatchType.MERGE, field_manager=FIELD_MANAGER)

    def _deletion(self, found: MappingObject) -> _Write:
        def delete() -> None:
            with self._api.call(f"delete {found.where}") as client:
                delete_version(client, resource(), found.name, found.uid, found.version, dry_run=self._api.dry_run)

        return delete

    def _edit(self, change: Callable[[tuple[MappingObject, ...]], list[_Write]]) -> None:
        """Read, compute the writes and make them. Start again where another program wrote in between."""
        for attempt in range(1, ATTEMPTS + 1):
            objects = self._read()
            writes = change(objects or ())
            if writes and objects is None:
                raise NotFound(
                    f"there is no CustomResourceDefinition {PLURAL}.{GROUP} in this cluster",
                    "create it: `kube-iam manifest crd | kubectl apply -f -`; or choose another `mapping`",
                )
            try:
                for write in writes:
                    write()
            except (Conflict, NotFound):
                self._sleep(RETRY_BACKOFF.pause(attempt, random.random()))  # noqa: S311
            else:
                return
        raise Conflict(
            f"{self.describe()} were not changed: something else wrote to them first, {ATTEMPTS} times in a row",
            "find out what else writes to them, then repeat the command",
        )

    def _read(self) -> tuple[MappingObject, ...] | None:
        """Return all objects, the oldest first; None without the CustomResourceDefinition."""
        try:
            with self._api.call(f"list {self.describe()}") as client:
                listed: list[Any] = [*client.list(resource())]
            found = [_read_object(each.to_dict()) for each in listed]
        except NotFound:
            return None
        # Only of these it counts why the server refuses one: an edit mends ours, and others are adopted only if nothing is odd.
        checked = (each.content for each in found if self._is_ours(each) or each.content.annotations)
        refused = read_identity_mappings(checked).refused
        problems = {name: why.message for name, why in refused.items() if why.reason != "Conflict"}
        found = [replace(each, problem=problems.get(each.name, "")) for each in found]
        return tuple(sorted(found, key=lambda each: (each.content.created_at, each.name)))


@cache
def resource() -> type[GenericGlobalResource]:
    """Return lightkube's class of the objects."""
    from lightkube.generic_resource import create_global_resource

    return create_global_resource(GROUP, "v1alpha1", KIND, PLURAL)


def _read_object(data: dict[str, Any]) -> MappingObject:
    """Return the object in the API server's JSON data. Raises KubeError for data that is no object."""
    try:
        metadata = data["metadata"]
        name, labels, annotations = metadata["name"], metadata.get("labels") or {}, metadata.get("annotations")
        content = mapping_spec(
            name, metadata.get("creationTimestamp") or "", data.get("spec"), labels.get(LEVEL, ""), annotations
        )
        return MappingObject(name, metadata["uid"], metadata["resourceVersion"], labels, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise KubeError(f"cannot read {KIND} objects: the API server does not answer like one") from error


def _gives_same(found: MappingObject, wanted: MappingEntry) -> bool:
    """Return whether an object that is nobody's gives what the entry gives. It may require no group yet."""
    entry = found.entry()
    same = (entry.username, entry.groups) == (wanted.username, wanted.groups)
    return same and entry.iam_group in ("", wanted.iam_group) and not found.cluster and not found.problem


def _spec(entry: MappingEntry) -> dict[str, object]:
    return {"arn": entry.role_arn, "username": entry.username, "groups": list(entry.groups)}


def _annotations(entry: MappingEntry) -> dict[str, str]:
    found = {IAM_GROUP: entry.iam_group} if entry.iam_group else {}
    items = [grant.item for grant in entry.temporary]
    return {**found, TEMPORARY: json.dumps(items, ensure_ascii=False)} if items else found
