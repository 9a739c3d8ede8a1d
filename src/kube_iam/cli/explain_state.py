"""State of a cluster for `explain`: mapping, deny list, bindings, and what the membership check of the server reads in IAM."""

from __future__ import annotations

import json

from kube_iam.access.explain import DenialFound
from kube_iam.access.iam_facts import IamFacts, Reads
from kube_iam.access.mapping import MappingEntry, ServerMapping
from kube_iam.cli.session import AdminSession
from kube_iam.core.identity import Identity
from kube_iam.core.mapping import MappingTable
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.reasons import Refusal
from kube_iam.denylist.denial import DenialTable
from kube_iam.errors import KubeError
from kube_iam.membership.iam_reader import GroupFound, RoleFound
from kube_iam.server.expected_decision import MembershipFacts, expected_decision


class LiveServer:
    """The `ServerView` of one command. Each part is read at first use and kept, and so is the error of a read."""

    def __init__(self, session: AdminSession, facts: IamFacts, deny_list: str, now: float) -> None:
        """`deny_list` is NAMESPACE/NAME; `now` is Unix seconds."""
        self._session = session
        self._facts = facts
        self._deny_list = deny_list
        self._now = now
        self._reads = Reads()

    def mapping(self) -> ServerMapping:
        """Return the mapping. Raises KubeError for one that a server cannot load: it keeps the last that it could load."""
        return self._reads.once(("mapping",), self._read_mapping)

    def grants(self, key: str) -> tuple[TemporaryGrant, ...]:
        """Return the temporary access by the entry with that key. Bindings hold that of synced levels. Raises KubeIamError."""
        return tuple(grant for entry in self._entries() if entry.key == key for grant in entry.temporary)

    def decide(self, identity: Identity) -> tuple[str, tuple[str, ...]] | Refusal:
        """Return the decision of the server's own stages. Raises KubeIamError where IAM was not read that they rest on."""
        mapping = self.mapping()
        table = self._reads.once(("table",), lambda: _table(mapping))
        match = table.find(identity)
        groups: dict[str, GroupFound | None] = {}
        roles: dict[str, RoleFound | None] = {}
        if match is not None and match.requirement is not None:
            asked = match.requirement
            groups[asked.iam_group] = self._group(asked.iam_group)
            roles[asked.role] = self._role(asked.role_name)
        elif match is None and identity.user_name:
            groups = {name: self._group(name) for name in table.group_mappings.iam_groups}
        found = expected_decision(identity, table, mapping.reserved_prefixes, MembershipFacts(groups, roles), self._now)
        return found.refusal if found.refusal is not None else (found.username, found.groups)

    def denial(self, identity: Identity, iam_groups: tuple[str, ...]) -> DenialFound | None:
        """Return the denial in force that is for the identity, apart from denials of single access keys."""
        found = self._reads.once(("denials",), self._read_denials).find(identity, self._now, iam_groups)
        if found is None:
            return None
        reason = f" ({found.reason})" if found.reason else ""
        return DenialFound(found.name, f"denied until {found.end}{reason} by denial {found.name}")

    def bindings(self, username: str, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Return the bindings that name the user or the groups. Raises KubeIamError where some could not be listed."""
        rbac = self._reads.once(("rbac",), self._session.rbac.read_bindings)
        if rbac.unread:
            raise KubeError("; ".join(rbac.unread))
        return tuple(f"{each}, {each.role}" for each in rbac.bindings_of(username, groups))

    def _group(self, name: str) -> GroupFound | None:
        members = self._facts.members(name)
        if members is None:
            return None
        return GroupFound(self._session.access.account, {user.name: user.unique_id for user in members})

    def _role(self, name: str) -> RoleFound | None:
        role = self._facts.role(name)
        if role is None:
            return None
        return RoleFound(role.arn, self._facts.role_id(name), json.dumps(role.trust), role.max_session_seconds)

    def _read_mapping(self) -> ServerMapping:
        self._entries()
        store = self._session.mapping_store
        faults = store.faults()
        if faults:
            raise KubeError(f"no server can load {store.describe()}, and each keeps its last one: {'; '.join(faults)}")
        return store.server_mapping()

    def _entries(self) -> tuple[MappingEntry, ...]:
        return self._reads.once(("entries",), self._session.mapping_store.entries)

    def _read_denials(self) -> DenialTable:
        self._session.check_server()
        return DenialTable(self._session.deny_list(self._deny_list).denials())


def _table(mapping: ServerMapping) -> MappingTable:
    return MappingTable.build(mapping.roles, mapping.users, mapping.accounts, mapping.groups)[0]
