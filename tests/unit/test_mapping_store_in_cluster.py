"""Mappings in ConfigMaps while others write too: entries and temporary access are read, written and removed, and no write is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from api_in_memory import ApiInMemory
from levels_for_tests import access

from kube_iam.access.levels import ClusterAccess, MappingTarget, TargetKind
from kube_iam.access.mapping import MappingEntry, MappingStore
from kube_iam.core.backoff import ExponentialBackoff
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import ConfigError, Conflict, KubeError, NotFound
from kube_iam.kube import config_map
from kube_iam.kube.mapping_store import make_store

ROLE = MappingEntry(
    "arn:aws:iam::123456789012:role/prod-viewer",
    "awsiam:{{SessionNameRaw}}",
    ("kube-iam:viewer",),
    "prod-viewer",
    "viewer",
)
GROUP = MappingEntry("", "awsiam:{{UserName}}", ("kube-iam:looker",), "prod-looker", "looker")
USER = MappingEntry("", "", (), principal="arn:aws:iam::123456789012:role/prod-viewer")
CAROL = TemporaryGrant("carol", "AIDACAROLCAROL", "2099-01-01T00:00:00Z", "on call")
THEIRS = "# theirs\n- rolearn: arn:aws:iam::123456789012:role/nodes\n  username: node\n"

MEMORY = ApiInMemory()
API = MEMORY.api()  # one for all tests: to make a client takes 0.1 s


@pytest.mark.parametrize(
    "data", [{}, {"mapUsers": ""}, {"mapRoles": ""}, {"mapRoles": " \n"}, {"mapRoles": "[]", "mapGroups": "null\n"}]
)
def test_keys_of_aws_auth_return_to_what_they_were_or_go(data: dict[str, str]) -> None:
    MEMORY.put_config_map("kube-system/aws-auth", data)
    where = make_store(access(mapping=MappingTarget(TargetKind.AWS_AUTH, name="aws-auth", key="mapRoles")), API)
    for entry in (ROLE, GROUP):
        where.put(entry)
        where.put(replace(entry, username="changed"))
    assert len(where.entries()) == 2
    for entry in (ROLE, GROUP):
        where.remove(entry)
    assert MEMORY.data("kube-system/aws-auth") == data


class Where:
    """One of the two ConfigMaps that hold mappings."""

    def __init__(self, kind: TargetKind) -> None:
        self.kind = kind
        self.aws_auth = kind is TargetKind.AWS_AUTH
        self.name = "aws-auth" if self.aws_auth else "aws-iam-authenticator"
        self.path = f"kube-system/{self.name}"
        self.memory = MEMORY

    def file(self) -> ClusterAccess:
        return access(
            mapping=MappingTarget(self.kind, name=self.name, key="mapRoles" if self.aws_auth else "config.yaml")
        )

    def store(self) -> MappingStore:
        return make_store(self.file(), API)

    def write(self, roles: str = THEIRS) -> None:
        """Write as somebody else would."""
        if self.aws_auth:
            self.memory.put_config_map(self.path, {"mapRoles": roles, "other": "x"})
        else:
            inside = "".join(f"    {line}\n" for line in roles.splitlines())
            text = f"clusterID: prod.example.com\nserver:\n  mapRoles:\n{inside}"
            self.memory.put_config_map(self.path, {"config.yaml": text, "other": "x"})

    def text(self) -> str:
        return "".join(text for key, text in sorted(self.memory.data(self.path).items()) if key != "other")

    def append(self, text: str) -> None:
        """Add an entry of somebody else behind the roles."""
        data = self.memory.data(self.path)
        key = "mapRoles" if self.aws_auth else "config.yaml"
        indented = text if self.aws_auth else "".join(f"    {line}\n" for line in text.splitlines())
        old = data[key]
        at = old.index("  mapGroups") if "  mapGroups" in old else len(old)
        self.memory.put_config_map(self.path, {**data, key: old[:at] + indented + old[at:]})

    def add_user(self, arn: str) -> None:
        """Add an entry of mapUsers as somebody else would."""
        data = self.memory.data(self.path)
        user = f"- {{userarn: {arn}, username: somebody}}\n"
        key, list_of_users = ("mapUsers", user) if self.aws_auth else ("config.yaml", f"  mapUsers:\n    {user}")
        self.memory.put_config_map(self.path, {**data, key: data.get(key, "") + list_of_users})


@pytest.fixture(params=[TargetKind.CONFIG_FILE, TargetKind.AWS_AUTH], ids=lambda kind: kind.value)
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Where:
    monkeypatch.setattr(config_map, "RETRY_BACKOFF", ExponentialBackoff(first=0.0, longest=0.0))
    monkeypatch.setattr(config_map, "ATTEMPTS", 3)
    MEMORY.objects.clear()
    MEMORY.writes.clear()
    MEMORY.status.clear()
    MEMORY.before_write = lambda: None
    return Where(request.param)


def test_entries_are_added_changed_and_removed_beside_what_others_wrote(where: Where) -> None:
    where.write()
    before = where.text()
    store = where.store()
    store.put(ROLE)
    store.put(GROUP)
    assert [entry.name for entry in store.entries()] == [
        "arn:aws:iam::123456789012:role/nodes",
        ROLE.role_arn,
        "group prod-looker",
    ]
    store.put(replace(ROLE, groups=("more",)))
    assert store.entries()[1] == replace(ROLE, groups=("more",))
    store.remove(ROLE)
    store.remove(GROUP)
    assert where.text() == before
    assert where.memory.data(where.path)["other"] == "x"


def test_a_missing_config_map_has_no_entries_and_stays_missing_until_put(where: Where) -> None:
    store = where.store()
    assert store.entries() == ()
    assert store.rivals([ROLE.role_arn]) == {}
    store.remove(ROLE)
    store.remove_temporary(ROLE, "carol")
    assert where.memory.objects == {}
    store.put(ROLE)
    assert store.entries() == (ROLE,)
    assert ("clusterID" in where.text()) is (not where.aws_auth)


def test_everything_about_a_mapping_is_of_the_version_that_entries_read(where: Where) -> None:
    where.write()
    store = where.store()
    store.entries()
    requests = len(where.memory.asked)
    before = _beside_entries(store)
    where.add_user("arn:aws:iam::123456789012:user/bob")
    assert _beside_entries(store) == before
    assert len(where.memory.asked) == requests
    store.entries()
    assert _beside_entries(store) != before


def _beside_entries(store: MappingStore) -> tuple[object, ...]:
    return store.rivals([ROLE.role_arn]), store.others(), store.faults(), store.reserved_prefixes()


def test_what_changes_between_two_reads_is_seen(where: Where) -> None:
    where.write()
    store = where.store()
    assert len(store.entries()) == 1
    where.write(THEIRS + "- rolearn: arn:aws:iam::123456789012:role/more\n  username: more\n")
    assert len(store.entries()) == 2


EDITS: dict[str, Callable[[MappingStore], None]] = {
    "put": lambda store: store.put(replace(ROLE, groups=("more",))),
    "remove": lambda store: store.remove(ROLE),
    "add_temporary": lambda store: store.add_temporary(ROLE, CAROL),
    "remove_temporary": lambda store: store.remove_temporary(ROLE, "bob"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_write_of_somebody_else_in_between_is_kept(where: Where, edit: str) -> None:
    where.write()
    store = where.store()
    store.put(ROLE)
    store.add_temporary(ROLE, replace(CAROL, user_name="bob"))

    def faster() -> None:
        where.memory.before_write = lambda: None
        where.append("- rolearn: arn:aws:iam::123456789012:role/faster\n  username: faster\n")

    where.memory.before_write = faster
    EDITS[edit](store)
    entries = {entry.name.rpartition("/")[2]: entry for entry in store.entries()}
    assert {"nodes", "faster"} <= entries.keys()
    ours = entries.get("prod-viewer")
    bob = replace(CAROL, user_name="bob")
    assert {
        "put": lambda: ours == replace(ROLE, groups=("more",), temporary=(bob,)),
        "remove": lambda: ours is None,
        "add_temporary": lambda: ours == replace(ROLE, temporary=(bob, CAROL)),
        "remove_temporary": lambda: ours == ROLE,
    }[edit]()


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_loses_every_race_is_an_error(where: Where, edit: str) -> None:
    where.write()
    store = where.store()
    store.put(ROLE)
    store.add_temporary(ROLE, replace(CAROL, user_name="bob"))
    before = where.text()
    where.memory.before_write = lambda: where.memory.put_config_map(where.path, where.memory.data(where.path))
    with pytest.raises(Conflict, match=where.path):
        EDITS[edit](store)
    assert where.text() == before


@pytest.mark.parametrize("edit", EDITS)
def test_a_refused_write_is_an_error_and_changes_nothing(where: Where, edit: str) -> None:
    where.write()
    store = where.store()
    store.put(ROLE)
    store.add_temporary(ROLE, replace(CAROL, user_name="bob"))
    before = where.text()
    where.memory.status["PATCH", f"/api/v1/namespaces/kube-system/configmaps/{where.name}"] = 403
    with pytest.raises(KubeError, match=where.path):
        EDITS[edit](store)
    assert where.text() == before


@pytest.mark.parametrize("entry", [ROLE, GROUP], ids=["role", "group"])
def test_temporary_access_is_written_replaced_and_taken_away(where: Where, entry: MappingEntry) -> None:
    where.write()
    store = where.store()
    store.put(entry)
    store.add_temporary(entry, CAROL)
    longer = replace(CAROL, user_name="CAROL", until="2099-02-01T00:00:00Z")
    store.add_temporary(entry, longer)
    assert store.entries()[-1].temporary == (longer,)
    store.remove_temporary(entry, "carol", only=CAROL)
    assert store.entries()[-1].temporary == (longer,)
    store.remove_temporary(entry, "Carol")
    assert store.entries()[-1] == entry
    store.remove_temporary(entry, "Carol")


def test_temporary_access_needs_an_entry_that_asks_for_a_group(where: Where) -> None:
    where.write()
    store = where.store()
    for present in ((), (replace(ROLE, iam_group=""),)):
        for entry in present:
            store.put(entry)
        before = where.text()
        with pytest.raises(NotFound, match=f"{where.path} has no entry for {ROLE.role_arn} that asks for a group"):
            store.add_temporary(ROLE, CAROL)
        assert where.text() == before


def test_an_entry_of_map_users_is_removed_by_its_arn_alone(where: Where) -> None:
    users = (
        "- userarn: arn:aws:iam::123456789012:user/prod-viewer\n  username: keep\n"
        "- userarn: ARN:aws:sts::123456789012:assumed-role/prod-VIEWER/x\n  username: gone\n"
    )
    where.write()
    data = where.memory.data(where.path)
    if where.aws_auth:
        where.memory.put_config_map(where.path, {**data, "mapUsers": users})
    else:
        indented = "".join(f"    {line}\n" for line in users.splitlines())
        where.memory.put_config_map(
            where.path, {**data, "config.yaml": f"{data['config.yaml']}  mapUsers:\n{indented}"}
        )
    where.store().remove(USER)
    assert "keep" in where.text()
    assert "gone" not in where.text()


@pytest.mark.parametrize("text", ["- rolearn: [\n", "a: b\n", "just text\n"])
def test_a_text_that_cannot_be_read_is_named_and_stays(where: Where, text: str) -> None:
    where.memory.put_config_map(
        where.path, {"mapRoles" if where.aws_auth else "config.yaml": f"server:\n  mapRoles: {text}"}
    )
    if where.aws_auth:
        where.memory.put_config_map(where.path, {"mapRoles": text})
    before = where.text()
    for attempt in (where.store().entries, lambda: where.store().put(ROLE), lambda: where.store().remove(ROLE)):
        with pytest.raises(ConfigError, match=rf"{where.path}.*(mapRoles|config\.yaml)"):
            attempt()
    assert where.text() == before


def test_binary_data_is_named_and_stays(where: Where) -> None:
    key = "mapRoles" if where.aws_auth else "config.yaml"
    where.memory.put_config_map(where.path, {}, binaryData={key: "AAAA"})
    for attempt in (where.store().entries, lambda: where.store().put(ROLE)):
        with pytest.raises(ConfigError, match=f"{where.path}.*{key}: is binary data"):
            attempt()
    assert where.memory.writes == []
