"""Temporary access to levels whose bindings name the members: the bindings hold the grants, and every end is honoured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from api_in_memory import ApiInMemory
from fake_account import FakeAccount, Killed
from levels_for_tests import access, level, run

from kube_iam.access.apply import remove_temporary_access
from kube_iam.access.changes import Kind
from kube_iam.access.inventory import Inventory
from kube_iam.access.level_reader import LevelReader
from kube_iam.access.levels import Bind, ClusterAccess, Level
from kube_iam.access.members import apply_members, plan_members
from kube_iam.access.plan import plan_apply, plan_destroy
from kube_iam.access.ports import BindingState, Ports
from kube_iam.access.synced_grants import GrantBindings, Grants, SyncedStore
from kube_iam.access.temporary import TemporaryAccess, leftovers, temporary_in_force
from kube_iam.config.suggestions import suggestion
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.core.utc import rfc3339
from kube_iam.errors import NotFound
from kube_iam.kube.synced_bindings import KubeGrantBindings

NOW = 1_800_000_000.0
USERNAME = "awsiam:ops:{{SessionNameRaw}}"
OPS = level(
    "ops",
    Bind("edit", "", ("shop",)),
    Bind("view"),
    username=USERNAME,
    groups=(),
    syncs_members=True,
    checks_sign_in=False,
)
FILE = access(OPS)
POLICY = ("alice", "kube-iam-prod-ops")
VIEW, EDIT = ("", "kube-iam:ops:view"), ("shop", "kube-iam:ops:edit")
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


class FakeGrantBindings(GrantBindings):
    """The bindings of an account in memory."""

    def __init__(self, account: FakeAccount) -> None:
        self._account = account

    def read(self) -> tuple[BindingState, ...]:
        return tuple(each for each in self._account.cluster.bindings() if each.source is not None)

    def change_grants(self, binding: BindingState, change: Callable[[Grants], Grants]) -> None:
        cluster = self._account.cluster
        found = cluster.binding_states[binding.ident]
        assert found.source is not None
        source = replace(found.source, temporary=change(found.source.temporary))
        self._account.world.write(
            "change_grants", lambda: cluster.binding_states.update({binding.ident: replace(found, source=source)})
        )


class Site:
    """The level ops, applied, with its mapping as the commands see it."""

    def __init__(self, file: ClusterAccess = FILE) -> None:
        self.file, self.account = file, FakeAccount(())
        self.store = SyncedStore(file, self.account.store, FakeGrantBindings(self.account))
        self.ports: Ports = replace(self.account.ports, store=self.store)
        run(self.account, plan_apply(file, self.ports, now=NOW))

    def temporary(self) -> TemporaryAccess:
        return TemporaryAccess(self.file, self.file.levels[0], self.account.directory, self.store, self.store.entries())

    def grant(self, until: float) -> None:
        self.temporary().grant(item(until), NOW)

    def grants(self, ident: tuple[str, str]) -> Grants:
        source = self.account.cluster.binding_states[ident].source
        assert source is not None
        return source.temporary

    def apply(self, now: float) -> tuple[str, ...]:
        plan = plan_apply(self.file, self.ports, now=now)
        for change in plan.changes:
            if change.kind is Kind.TEMPORARY:
                remove_temporary_access(change.item, self.account.directory, self.store)  # type: ignore[arg-type]
            elif isinstance(change.item, BindingState):
                self.account.cluster.apply_binding(change.item)
        return tuple(f"{change.verb.value} {change.kind.value} {change.name}" for change in plan.changes)


def item(until: float) -> TemporaryGrant:
    return TemporaryGrant("alice", "AIDAalice", rfc3339(until), "on call")


def test_every_binding_of_the_level_holds_the_grant_and_the_entry_does_not() -> None:
    site = Site()
    site.grant(NOW + 7200)
    assert site.grants(VIEW) == site.grants(EDIT) == (item(NOW + 7200),)
    assert site.account.store.all_entries[0].temporary == ()
    assert temporary_in_force(FILE, FILE.levels, site.store.entries(), NOW) == {"ops": (item(NOW + 7200),)}
    assert POLICY in site.account.directory.user_policies


def test_apply_names_the_user_until_the_end_and_then_removes_everything() -> None:
    site = Site()
    site.grant(NOW + 7200)
    site.apply(NOW)
    assert site.account.cluster.binding_states[VIEW].users == ("awsiam:ops:alice",)
    assert site.apply(NOW + 7199) == ()
    assert site.apply(NOW + 7200) == (
        "update binding kube-iam:ops:view",
        "update binding shop/kube-iam:ops:edit",
        "delete temporary access alice in ops",
    )
    assert site.account.cluster.binding_states[VIEW].users == ()
    assert (site.grants(VIEW), site.grants(EDIT)) == ((), ())
    assert POLICY not in site.account.directory.user_policies
    assert site.apply(NOW + 7200) == ()


def test_binding_that_is_added_to_the_level_gets_the_grants() -> None:
    site = Site(access(replace(OPS, bind=(Bind("view"),))))
    site.grant(NOW + 7200)
    site.file = FILE
    site.apply(NOW)
    assert site.grants(EDIT) == (item(NOW + 7200),)
    assert site.account.cluster.binding_states[EDIT].users == ("awsiam:ops:alice",)


@contextmanager
def killed_after(site: Site, writes: int) -> Iterator[None]:
    """Kill what runs after this many writes."""
    world = site.account.world
    world.fail_after = world.writes + writes if writes else 0
    with pytest.raises(Killed):
        yield
    world.fail_after = None


@pytest.mark.parametrize("writes", range(4))
def test_killed_grant_gives_nobody_more_time_and_is_found_again(writes: int) -> None:
    site = Site()
    site.grant(NOW + 60)
    with killed_after(site, writes):
        site.grant(NOW + 7200)
    ends = {each.ends for ident in (VIEW, EDIT) for each in site.grants(ident)}
    assert ends <= {NOW + 60, NOW + 7200}
    site.temporary().revoke("alice", NOW)
    assert (site.grants(VIEW), site.grants(EDIT)) == ((), ())
    assert POLICY not in site.account.directory.user_policies


def test_revocation_that_was_killed_is_finished_by_the_next_one() -> None:
    site = Site()
    site.grant(NOW + 7200)
    with killed_after(site, 1):
        site.temporary().revoke("alice", NOW)
    # One binding still has the end of before: this user is not out yet.
    assert temporary_in_force(FILE, FILE.levels, site.store.entries(), NOW)["ops"] == (item(NOW + 7200),)
    site.temporary().revoke("alice", NOW)
    assert (site.grants(VIEW), site.grants(EDIT)) == ((), ())


def test_membership_and_revocation_end_temporary_access() -> None:
    site = Site()
    site.grant(NOW + 7200)
    reader = LevelReader(FILE, site.account.directory, Inventory(entries=site.store.entries()))
    temporary = site.temporary()
    planned = plan_members(reader, FILE.levels[0], ["alice"], suggestion, into=False, temporary=temporary)
    assert [change.is_needed for change in planned] == [True]
    list(apply_members(reader, FILE.levels[0], planned, into=False, temporary=temporary, now=NOW))
    assert (site.grants(VIEW), POLICY in site.account.directory.user_policies) == ((), False)


def test_access_that_is_over_is_found_and_removed() -> None:
    site = Site()
    site.grant(NOW + 60)
    reader = LevelReader(FILE, site.account.directory, Inventory(entries=site.store.entries()))
    assert list(leftovers(reader, NOW)) == []
    for removal, who in leftovers(reader, NOW + 60):
        assert who == item(NOW + 60)
        remove_temporary_access(removal, site.account.directory, site.store)
    assert (site.grants(VIEW), POLICY in site.account.directory.user_policies) == ((), False)


def test_destroy_removes_policies_of_users() -> None:
    site = Site()
    site.grant(NOW + 7200)
    kinds = [change.kind for change in plan_destroy(FILE, site.ports).changes]
    assert kinds.count(Kind.TEMPORARY) == 1


SIGN_IN = replace(OPS, syncs_members=False, groups=("kube-iam:ops",), checks_sign_in=True)


@pytest.mark.parametrize("after", [SIGN_IN, replace(SIGN_IN, checks_sign_in=False)])
def test_grants_end_when_the_level_is_no_synced_one_any_more(after: Level) -> None:
    site = Site()
    site.grant(NOW + 7200)
    plan = plan_apply(access(after), site.account.ports, now=NOW)
    assert [change.name for change in plan.changes if change.kind is Kind.TEMPORARY] == ["alice in ops"]
    run(site.account, plan)
    assert POLICY not in site.account.directory.user_policies


def test_grants_of_an_entry_end_when_the_level_becomes_a_synced_one() -> None:
    site = Site(access(SIGN_IN))
    site.grant(NOW + 7200)
    assert site.account.store.all_entries[0].temporary == (item(NOW + 7200),)
    plan = plan_apply(FILE, site.ports, now=NOW)
    assert [change.name for change in plan.changes if change.kind is Kind.TEMPORARY] == ["alice in ops"]


def test_level_that_was_not_applied_has_no_place_for_a_grant() -> None:
    site = Site()
    site.account.cluster.binding_states.clear()
    with pytest.raises(NotFound, match="level ops has no binding yet"):
        site.grant(NOW + 7200)
    assert POLICY not in site.account.directory.user_policies


def test_concurrent_grants_of_two_administrators_both_stay() -> None:
    memory = ApiInMemory()
    path = f"{BINDINGS}/kube-iam:ops:view"
    memory.objects[path] = {
        "metadata": {
            "name": "kube-iam:ops:view",
            "resourceVersion": "0",
            "labels": {
                "app.kubernetes.io/managed-by": "kube-iam",
                "kube-iam.dev/cluster": "prod",
                "kube-iam.dev/level": "ops",
            },
            "annotations": {
                "kube-iam.dev/iam-group": "prod-ops",
                "kube-iam.dev/role-arn": "arn:aws:iam::123456789012:role/prod-ops",
                "kube-iam.dev/username": USERNAME,
            },
        },
        "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"},
    }
    memory.empty |= {BINDINGS.replace("cluster", "")}
    bindings = KubeGrantBindings(memory.api(), lambda _: None)
    (binding,) = bindings.read()

    def other_is_faster() -> None:
        memory.before_write = lambda: None
        bindings.change_grants(binding, lambda present: (*present, TemporaryGrant("bob", "AIDABOB00001", rfc3339(NOW))))

    memory.before_write = other_is_faster
    bindings.change_grants(binding, lambda present: (*present, TemporaryGrant("alice", "AIDAALICE001", rfc3339(NOW))))
    assert {each["userName"] for each in json.loads(_annotation(memory, path))} == {"alice", "bob"}
    bindings.change_grants(binding, lambda present: ())
    assert not _annotation(memory, path)


def _annotation(memory: ApiInMemory, path: str) -> str:
    return str(memory.objects[path]["metadata"]["annotations"].get("kube-iam.dev/temporary") or "")
