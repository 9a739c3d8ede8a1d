"""Versions of the configuration file that may replace the mappings in force, and versions that leave the last good ones."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from identities import principal
from kube_iam.access.mapping import MappingEntry
from kube_iam.config.mounted import MountedMappings
from kube_iam.config.mounted_versions import MountedVersions, is_shortened
from kube_iam.core.mapping import MappingMatch
from kube_iam.core.mapping_entries import TemporaryGrant
from kube_iam.errors import ConfigError, Problem
from kube_iam.kube.mapping_list import MappingList
from kube_iam.server.log import Log
from kube_iam.server.metrics import Metrics
from kube_iam.server.observers import MappingObserver

ACCOUNT = "123456789012"
WHOLE = f"""\
# A comment about the cluster.
clusterID: prod
server:
  port: 21362
  mapUsers:
  - userarn: arn:aws:iam::{ACCOUNT}:user/bob
    username: bob
    groups: [viewers]
  mapAccounts: ["210987654321", "310987654321"]
  mapRoles:
  - rolearn: arn:aws:iam::{ACCOUNT}:role/Nodes
    username: nodes-readonly
    groups:
    - system:masters-view
  - rolearn: arn:aws:iam::{ACCOUNT}:role/Admin
    username: awsiam:{{{{SessionNameRaw}}}}
    groups:
    - admins
    - admins-too
    iamGroup: admins
    level: admin  # with a comment, über alles
  scrubbedAccounts: ["999999999999"]
"""
PRINCIPALS = ("user/bob", "role/Nodes", "role/Admin")


class File:
    """The configuration file of a server that runs as the cluster `prod`, in which the whole version is in force."""

    def __init__(self, path: Path, *, cluster_id: str = "prod", **flags: str) -> None:
        self.path = path
        self.path.write_text(WHOLE)
        self.versions = MountedVersions(path, {"clusterID": flags["flag"]} if flags else {}, cluster_id)
        self.now = self.versions.read()[0]

    def read(self, text: str | bytes) -> MountedMappings:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        return self.versions.read()[0]

    def refused(self, text: str | bytes) -> str:
        with pytest.raises(ConfigError) as caught:
            self.read(text)
        assert self.read(WHOLE).entries == self.now.entries
        return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "config.yaml")


def found(mappings: MountedMappings, resource: str) -> MappingMatch | None:
    arn = f"arn:aws:iam::{ACCOUNT}:{resource}"
    return mappings.table.find(principal(arn, session_name="alice"))


@pytest.mark.slow
def test_cut_at_any_byte_nobody_gets_more_or_else_and_not_all_are_gone(file: File) -> None:
    raw = WHOLE.encode()
    whole = {resource: found(file.now, resource) for resource in PRINCIPALS}
    taken = refused = 0
    for end in range(len(raw)):
        try:
            mappings = file.read(raw[:end])
        except ConfigError:
            refused += 1
            continue
        taken += 1
        assert mappings.entries > 0, end
        for resource in PRINCIPALS:
            assert found(mappings, resource) in (None, whole[resource]), (end, resource)
        file.read(raw)
    assert refused > 300
    assert taken > 20


@pytest.mark.slow
def test_cut_at_any_byte_below_a_changed_line_nobody_gets_more_or_else(file: File) -> None:
    """A program that renders the file writes the time of day above all, and the disk is full."""
    whole = {resource: found(file.now, resource) for resource in PRINCIPALS}
    changed = WHOLE.replace("# A comment", "# Another comment")
    for end in range(len(changed)):
        try:
            mappings = file.read(changed[:end])
        except ConfigError:
            continue
        for resource in PRINCIPALS:
            assert found(mappings, resource) in (None, whole[resource]), (end, resource)
        file.read(WHOLE)


def test_edits_above_and_at_the_end_of_a_file_are_taken_over(file: File) -> None:
    changed = WHOLE.replace("# A comment", "# Another comment").partition("  scrubbedAccounts")[0]
    start = changed.index(f"  - rolearn: arn:aws:iam::{ACCOUNT}:role/Admin")
    admin = changed[start:]
    for version in (
        changed,
        changed[:start],  # without the last entry
        changed[:start] + admin.replace("admins-too", "admins-2"),
        changed[:start] + admin.replace("    - admins-too\n", ""),
        changed + admin.replace("role/Admin", "role/Adm"),
    ):
        assert file.read(version).entries > 0
        file.read(WHOLE)
    cut = changed[: changed.index("    iamGroup")]
    assert "ends in a part of an entry of the last good version" in file.refused(cut)
    assert file.read(f"{cut}# meant\n").entries == file.now.entries


NOT_STARTABLE: list[str | bytes] = [
    *("", " ", "\n\n", "# only\n# comments\n", "---\n", "---\n...\n", "null", "~", "{}", "[]", "server", "server:"),
    *("server: {}", "clusterID:", "clusterID: ''", "\ufeff", "clusterID: [", "clusterID: prod\nclusterID: prod\n"),
    *("server:\n  mapRoles: []\n", "clusterID: prod\nserver: 3\n", "clusterID: prod\nserver: {mapRoles: 3}\n"),
    *("clusterID: prod\nserver: {port: many, mapRoles: []}\n", "clusterID: prod\n---\nclusterID: prod\n"),
    *(b"\0" * 100, b"\xff\xfe", WHOLE.encode("utf-16"), WHOLE.encode()[:40] + b"\0" * 400),
]
NO_MAPPINGS = [
    *("clusterID: prod", "clusterID: prod\nserver:\n", "clusterID: prod\nserver: {}\n"),
    *("clusterID: prod\nserver:\n  port: 21362\n", "clusterID: prod\nserver:\n  port: 21362\n  mapRoles:\n"),
    *("clusterID: prod\nserver: {mapRoles: null, mapUsers: ~}\n", "clusterID: prod\nserver: {mapRole: []}\n"),
]


@pytest.mark.parametrize("text", NOT_STARTABLE)
def test_a_file_that_a_server_would_not_start_with_replaces_nothing(file: File, text: str | bytes) -> None:
    assert str(file.path) in file.refused(text)


@pytest.mark.parametrize("text", NO_MAPPINGS)
def test_a_file_without_any_mappings_replaces_nothing(file: File, text: str) -> None:
    message = file.refused(text)
    assert "no mappings at all" in message
    assert "write `mapRoles: []`" in message


@pytest.mark.parametrize(
    "text", ["", "# comment\n", "server:\n", "server: {port: 21362}", WHOLE.partition("server:")[0]]
)
def test_nor_where_the_cluster_id_comes_from_a_flag(tmp_path: Path, text: str) -> None:
    file = File(tmp_path / "config.yaml", flag="prod")
    assert "no mappings at all" in file.refused(text)


@pytest.mark.parametrize("end", ["mapRoles: []", "mapUsers: []", "mapGroups: []\n  mapAccounts:"])
def test_an_empty_list_removes_all_mappings(file: File, end: str) -> None:
    assert file.read(f"clusterID: prod\nserver:\n  {end}\n").entries == 0
    # There is nothing left to protect.
    assert file.read("clusterID: prod\n").entries == 0


def test_the_remedies_in_the_errors_work(file: File) -> None:
    cut = WHOLE[: WHOLE.index("    iamGroup")]
    assert "cut off inside an entry" in file.refused(cut)
    assert file.read(f"{cut}# meant\n").entries == file.now.entries
    assert file.read("clusterID: prod\nserver:\n  mapRoles: []\n").entries == 0


def test_entries_taken_from_the_end_of_the_file_are_gone(file: File) -> None:
    mappings = file.read(WHOLE[: WHOLE.index(f"  - rolearn: arn:aws:iam::{ACCOUNT}:role/Admin")])
    assert found(mappings, "role/Admin") is None
    assert found(mappings, "role/Nodes") is not None


RESERVED = f"""\
clusterID: prod
server:
  mapUsers:
  - userarn: arn:aws:iam::{ACCOUNT}:user/bob
    username: bob
  reservedPrefixConfig:
  - backendMode: MountedFile
    usernamePrefixReserveList: ["aws:"]
  - backendMode: MountedFile
    usernamePrefixReserveList:
    - "system:"
"""


@pytest.mark.parametrize("head", ["", "# rendered again\n"])
def test_cut_at_any_byte_no_reserved_prefix_is_lost(file: File, head: str) -> None:
    assert file.read(RESERVED).reserved_prefixes == ("aws:", "system:")
    for end in range(len(RESERVED)):
        try:
            reserved = file.read(head + RESERVED[:end]).reserved_prefixes
        except ConfigError:
            continue
        assert reserved == ("aws:", "system:"), end
        file.read(RESERVED)
    cut = head + RESERVED[: RESERVED.index("  reserved")]
    with pytest.raises(ConfigError, match="cut off before the end of reservedPrefixConfig"):
        file.read(cut)
    assert file.read(f"{cut}# meant\n").reserved_prefixes == ()


def test_reserved_prefixes_can_be_changed_above_the_end_of_the_file(file: File) -> None:
    head, reserved = RESERVED[: RESERVED.index("  mapUsers")], RESERVED[RESERVED.index("  reserved") :]
    users = RESERVED[len(head) : -len(reserved)]
    file.read(RESERVED)
    for now, expected in ((reserved, ("aws:", "system:")), ("", ()), (reserved, ("aws:", "system:"))):
        assert file.read(head + now + users).reserved_prefixes == expected
    assert file.read(f"{head}{users}  reservedPrefixConfig: []\n").reserved_prefixes == ()


def test_edits_of_temporary_access_by_commands_are_taken_over(file: File) -> None:
    """`grant --for` and `revoke` edit the last entry of the file, at its end."""
    entry = MappingEntry(f"arn:aws:iam::{ACCOUNT}:role/prod-ops", "ops", ("ops",), "prod-ops", "ops")
    mappings = MappingList(("server", "mapRoles"), str(file.path))
    text = mappings.put("clusterID: prod\n", entry)
    bob, carol = (
        TemporaryGrant(name, f"AIDA{name.upper():A<17}", "2027-01-01T00:00:00Z", "on call") for name in ("bob", "carol")
    )
    for items in ((bob,), (bob, carol), (bob,), (), (carol, bob), ()):
        text = mappings.change_temporary(text, entry, lambda _, items=items: items)  # type: ignore[misc]
        (requirement,) = file.read(text).table.requirements
        assert [item.user_name for item in requirement.temporary] == [item.user_name for item in items]


def test_a_refused_version_is_not_the_last_good_one(file: File) -> None:
    """Cut off twice: the second cut is compared with the last good version, not with the first cut."""
    first, second = (WHOLE[: WHOLE.index(word)] for word in ("    iamGroup", "    - admins-too"))
    for _ in range(2):
        for text in (first, second):
            with pytest.raises(ConfigError):
                file.read(text)


def test_a_file_of_another_cluster_is_refused(file: File) -> None:
    message = file.refused(WHOLE.replace("clusterID: prod", "clusterID: staging"))
    assert "clusterID: is 'staging': a file of another cluster than 'prod'" in message


def test_a_cluster_id_by_flag_goes_before_the_files(tmp_path: Path) -> None:
    file = File(tmp_path / "config.yaml", flag="prod")
    assert file.read(WHOLE.replace("clusterID: prod", "clusterID: staging")).entries == file.now.entries


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [Path.unlink, become_a_directory])
def test_a_file_that_cannot_be_read_replaces_nothing(file: File, change: Callable[[Path], None]) -> None:
    change(file.path)
    with pytest.raises(ConfigError, match="cannot be read"):
        file.versions.read()


@pytest.mark.parametrize(
    ("whole", "start", "shortened"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {}, True),
        ({"a": 1, "b": 2}, {"a": 2}, False),
        ({"a": [1, 2]}, {"a": [1]}, True),
        ({"a": [1, 2]}, {"a": None}, True),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, False),
        ({"a": [{"b": 1, "temporary": [1, 2]}]}, {"a": [{"b": 1, "temporary": [1]}]}, True),
        ({"a": [{"b": 1, "temporary": [1, 2]}]}, {"a": [{"b": 1, "temporary": None}]}, True),
        ({"a": [{"b": 1, "temporary": [1, 2]}]}, {"a": [{"b": 1}]}, True),
        ({"a": [{"b": 1, "temporary": [{"c": 1, "d": 2}]}]}, {"a": [{"b": 1, "temporary": [{"c": 1}]}]}, False),
        ({"a": [{"temporary": [1], "b": 1}]}, {"a": [{"temporary": [1]}]}, False),
        ({"a": [{"b": 1, "temporary": [1]}, 2]}, {"a": [{"b": 1}]}, True),
        ({"a": [{"b": 1, "temporary": [1]}, 2]}, {"a": [{"b": 1}, 3]}, False),
        ({"a": "system:masters-view"}, {"a": "system:masters"}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, "a", False),
    ],
)
def test_a_shortened_document_lacks_whole_keys_or_items(whole: object, start: object, shortened: bool) -> None:
    assert is_shortened(whole, start) is shortened


@pytest.mark.parametrize("backend", ["MountedFile", "DynamicFile", "EKSConfigMap", "CRD"])
def test_a_drop_to_no_mappings_is_an_error_and_a_metric_in_every_backend(backend: str) -> None:
    written, metrics = io.StringIO(), Metrics()
    report = MappingObserver(Log(written), metrics)
    sample = f'kube_iam_mappings_emptied_total{{backend="{backend}"}} '
    report.loaded(backend, 0, [])
    assert "level=error" not in written.getvalue()
    assert sample not in metrics.render()
    for number in (1, 2):
        report.loaded(backend, 3, [])
        report.loaded(backend, 0, [])
        report.loaded(backend, 0, [])
        assert f"{sample}{number}\n" in metrics.render()
    assert f'kube_iam_mapping_entries{{backend="{backend}"}} 0\n' in metrics.render()
    errors = [line for line in written.getvalue().splitlines() if "level=error" in line]
    assert len(errors) == 2
    assert all(f"backend={backend}" in line and "before=3" in line for line in errors)


def test_a_hundred_problems_are_logged_and_the_rest_counted() -> None:
    written, metrics = io.StringIO(), Metrics()
    report = MappingObserver(Log(written), metrics)
    problems = [Problem("mapRoles", f"problem number {number}") for number in range(250)]
    report.loaded("EKSConfigMap", 3, problems)
    report.failed("MountedFile", ConfigError("config.yaml", problems), kept=True)
    lines = written.getvalue().splitlines()
    assert sum("problem number" in line for line in lines) == 200
    assert sum("more=150" in line for line in lines) == 2
    assert 'kube_iam_mapping_problems{backend="EKSConfigMap"} 250\n' in metrics.render()
