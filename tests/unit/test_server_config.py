from __future__ import annotations

from pathlib import Path

import pytest

from identities import principal
from kube_iam.config.ec2 import Ec2Settings
from kube_iam.config.mounted import load_mounted_mappings
from kube_iam.config.server import ServerConfig, check_server_config, load_server_config
from kube_iam.core.mapping import render
from kube_iam.core.reasons import Refusal
from kube_iam.errors import ConfigError

# The example of the reference's documentation, as people have it in their clusters.
REFERENCE = """
# a unique-per-cluster identifier to prevent replay attacks
clusterID: my-dev-cluster.example.com
# default IAM role to assume for `aws-iam-authenticator token`
defaultRole: arn:aws:iam::000000000000:role/KubernetesAdmin
server:
  port: 21362
  stateDir: /var/aws-iam-authenticator
  generateKubeconfig: /etc/kubernetes/aws-iam-authenticator.kubeconfig
  ec2DescribeInstancesRoleARN: arn:aws:iam::000000000000:role/DescribeInstancesRole
  sourceARN: arn:aws:eks:us-east-1:000000000000:cluster/foo
  scrubbedAccounts:
  - "111122223333"
  - "222233334444"
  mapRoles:
  - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin
    username: kubernetes-admin
    groups:
    - system:masters
  - roleARN: arn:aws:iam::000000000000:role/KubernetesNode
    username: system:node:{{EC2PrivateDNSName}}
    groups:
    - system:nodes
    - system:bootstrappers
  - roleARN: arn:aws:iam::000000000000:role/KubernetesAdmin2
    username: admin:{{SessionName}}
    groups:
    - system:masters
  mapUsers:
  - userARN: arn:aws:iam::000000000000:user/Alice
    username: alice
    groups:
    - system:masters
  mapAccounts:
  - "012345678901"
  - "456789012345"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def errors(file: Path, text: str, **flags: object) -> list[str]:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_server_config(file, flags)
    return [str(problem) for problem in caught.value.problems]


def loaded(file: Path, text: str, flags: dict[str, object] | None = None) -> ServerConfig:
    file.write_text(text)
    return load_server_config(file, flags or {})[0]


@pytest.mark.parametrize("key", ["address", "healthAddress"])
@pytest.mark.parametrize("written", ["localhost", "LOCALHOST", "127.0.0.1"])
def test_localhost_is_an_address(file: Path, key: str, written: str) -> None:
    config = loaded(file, f"clusterID: c\nserver:\n  {key}: {written}\n")
    assert (config.address, config.health_address) == ("127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize("key", ["address", "healthAddress"])
@pytest.mark.parametrize(
    "written", ["node-1.example.com", "127.0.0.256", "'[::1]'", "'127.1'", "eth0", "' 127.0.0.1'", "127.0.0.1:21362"]
)
def test_address_that_cannot_be_listened_on_is_refused_with_a_remedy(file: Path, key: str, written: str) -> None:
    (problem,) = errors(file, f"clusterID: c\nserver:\n  {key}: {written}\n")
    assert f"server.{key}" in problem
    assert "is not an IP address" in problem
    assert "such as 127.0.0.1 for this machine alone, or 0.0.0.0" in problem


@pytest.mark.parametrize("written", ["0.0.0.0", "::", "::1", "192.0.2.7"])
def test_other_ip_addresses_are_taken_as_they_are(file: Path, written: str) -> None:
    assert loaded(file, f"clusterID: c\nserver:\n  address: '{written}'\n").address == written


def test_the_reference_s_own_example_is_read_unchanged(file: Path) -> None:
    file.write_text(REFERENCE)
    config, warnings = load_server_config(file, {})
    assert config.cluster_id == "my-dev-cluster.example.com"
    assert config.generate_kubeconfig == Path("/etc/kubernetes/aws-iam-authenticator.kubeconfig")
    assert config.scrubbed_accounts == {"111122223333", "222233334444"}
    assert warnings == []
    assert config.ec2.role_arn
    assert config.ec2.source_arn
    assert (config.ec2.qps, config.ec2.burst) == (15, 5)
    mappings, odd = load_mounted_mappings(file)
    assert mappings.entries == 6
    assert odd == []


def test_what_is_not_said_has_the_reference_s_default(file: Path) -> None:
    config = loaded(file, "clusterID: x")
    assert (config.partition, config.address, config.port, config.health_port) == ("aws", "127.0.0.1", 21362, 21363)
    assert (config.hostname, config.health_address, config.backend_mode) == ("localhost", "127.0.0.1", ("MountedFile",))
    assert config.state_dir == Path("/var/aws-iam-authenticator")
    assert config.generate_kubeconfig == Path("/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml")


def test_keys_count_in_any_letter_case(file: Path) -> None:
    config = loaded(file, "CLUSTERID: x\nServer: {STATEDIR: /s, Port: '1234', backendmode: [File]}")
    assert (config.state_dir, config.port, config.backend_mode) == (Path("/s"), 1234, ("MountedFile",))


def test_a_flag_overrides_its_key_and_is_checked_like_it(file: Path) -> None:
    config = loaded(
        file, "clusterID: x\nserver: {port: 1}", {"clusterID": "y", "server.port": "2", "server.stateDir": None}
    )
    assert (config.cluster_id, config.port) == ("y", 2)
    assert errors(file, "clusterID: x", **{"server.port": "many"}) == [
        "flag port: must be a port number from 1 to 65535"
    ]


def test_flags_alone_will_do() -> None:
    assert load_server_config(None, {"clusterID": "x"})[0].cluster_id == "x"


@pytest.mark.parametrize("text", ["", "server: {}", "clusterID: ''", "clusterID:"])
def test_without_a_cluster_id_there_is_no_server(file: Path, text: str) -> None:
    (message,) = errors(file, text)
    assert "clusterID: is required" in message
    assert "unique" in message


def test_an_empty_cluster_id_flag_does_not_fall_back_to_the_file(file: Path) -> None:
    assert "clusterID" in errors(file, "clusterID: x", clusterID="")[0]


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("clusterID: 012", "clusterID", "quote it: '012'"),
        ("clusterID: 'a b\\n '", "clusterID", "space around"),
        ("clusterID: x\nserver: 3", "server", "must be a mapping of keys"),
        ("clusterID: x\nserver: {port: 0}", "server.port", "port number"),
        ("clusterID: x\nserver: {port: true}", "server.port", "port number"),
        ("clusterID: x\nserver: {port: 21363}", "server.healthPort", "which the webhook listens on"),
        ("clusterID: x\nserver: {stateDir: 1}", "server.stateDir", "must be text, not a number"),
        ("clusterID: x\nserver: {partition: aws-ch}", "server.partition", "did you mean 'aws-cn'?"),
        ("clusterID: x\nserver: {kubeconfigPregenerated: maybe}", "server.kubeconfigPregenerated", "true or false"),
        ("clusterID: x\nserver: {backendMode: []}", "server.backendMode", "must be a list of backends"),
        (
            "clusterID: x\nserver: {backendMode: [DynamicFile]}",
            "server.backendMode",
            "DynamicFile needs dynamicfilepath",
        ),
        ("clusterID: x\nserver: {backendMode: [MountdFile]}", "server.backendMode", "did you mean 'MountedFile'?"),
        ("clusterID: x\nserver: {backendMode: 'MountedFile,File'}", "server.backendMode", "stands twice"),
        ("clusterID: x\nserver: {stsEndpoint: 'http://x:1'}", "server.stsEndpoint", "https://host:port"),
        ("clusterID: x\nserver: {stsEndpoint: 'https://u@x:1/p'}", "server.stsEndpoint", "https://host:port"),
        ("clusterID: x\nserver: {dynamicfilepath: /x}", "server.dynamicfilepath", "has no effect"),
        (
            "clusterID: x\nserver: {reservedPrefixConfig: [{backendMode: MountedFle}]}",
            "server.reservedPrefixConfig[0].backendMode",
            "did you mean",
        ),
        ("clusterID: x\nclusterID: y", "clusterID", "stands twice"),
    ],
)
def test_a_setting_that_cannot_be_used_is_an_error_with_its_key_path(
    file: Path, text: str, key: str, message: str
) -> None:
    found = errors(file, text)
    assert len(found) == 1
    assert f"{key}: " in found[0]
    assert message in found[0]
    assert found[0].startswith("line ")


def test_a_key_that_nobody_knows_is_a_warning_with_a_near_match(file: Path) -> None:
    file.write_text("clusterID: x\nsever: {}\nserver: {mapRolse: []}\n")
    _, warnings = load_server_config(file, {})
    assert [str(warning) for warning in warnings] == [
        "line 2: sever: is not a known key and has no effect (did you mean 'server'?)",
        "line 3: server.mapRolse: is not a known key and has no effect (did you mean 'mapRoles'?)",
    ]


def test_what_the_reference_starts_with_is_a_warning(file: Path) -> None:
    file.write_text("clusterID: 12\nserver: {scrubbedAccounts: [012345670123, '123456789012']}\n")
    config, warnings = load_server_config(file, {})
    assert (config.cluster_id, config.scrubbed_accounts) == ("12", frozenset({"123456789012"}))
    assert [(warning.key, "quote it" in warning.hint) for warning in warnings] == [
        ("clusterID", True),
        ("server.scrubbedAccounts[0]", True),
    ]


ENTRY = "{rolearn: 'arn:aws:iam::123456789012:role/Good', username: good}"


@pytest.mark.parametrize(
    "entry",
    [
        "{rolearn: 'arn:aws:iam::123456789012:role/Bad'}",
        "{rolearn: 'arn:aws:iam::123456789012:role/Bad', username: '{{Nope}}'}",
        "{rolearn: 'arn:aws:iam::123456789012:role/Bad', username: bad, groups: [[]]}",
        "{rolearn: 'arn:aws:iam::ACCOUNT:role/Bad', username: bad}",
    ],
)
def test_an_entry_that_admits_nobody_leaves_the_others_in_force(file: Path, entry: str) -> None:
    file.write_text(f"clusterID: x\nserver:\n  mapRoles: [{entry}, {ENTRY}]\n  mapAccounts: [12]\n")
    mappings, problems = load_mounted_mappings(file)
    assert {problem.key.partition("]")[0] for problem in problems} == {"server.mapRoles[0", "server.mapAccounts[0"}
    assert len(check_server_config(file, {}).errors) == 2

    def find(role: str) -> object:
        identity = principal(f"arn:aws:iam::123456789012:role/{role}", session_name="s")
        mapped = mappings.table.find(identity)
        return mapped and render(mapped, identity, ())

    assert find("Good") == ("good", ())
    # It is not left to mapAccounts, or to a later backend, what an entry of its own says.
    assert not isinstance(find("Bad"), tuple)
    assert "ACCOUNT" in entry or isinstance(find("Bad"), Refusal)


def test_mappings_that_are_broken_do_not_break_the_settings(file: Path) -> None:
    text = "clusterID: x\nserver: {mapRoles: 3}"
    assert loaded(file, text).cluster_id == "x"
    with pytest.raises(ConfigError, match=r"server\.mapRoles: must be a list"):
        load_mounted_mappings(file)


def test_a_check_reports_settings_and_mappings_together_by_line(file: Path) -> None:
    file.write_text("server:\n  port: x\n  mapRoles:\n  - {rolearn: no-arn, username: a}\n  odd: 1\n")
    found = check_server_config(file, {})
    assert [(problem.key, problem.line) for problem in found.errors] == [
        ("clusterID", 1),
        ("server.port", 2),
        ("server.mapRoles[0].rolearn", 4),
    ]
    assert [(problem.key, problem.line) for problem in found.warnings] == [("server.odd", 5)]


def test_reserved_prefixes_come_with_the_mappings_of_their_backend(file: Path) -> None:
    file.write_text(
        "clusterID: x\nserver:\n  reservedPrefixConfig:\n"
        "  - {backendMode: MountedFile, usernamePrefixReserveList: ['aws:', 'eks:']}\n"
        "  - {backendmode: EKSConfigMap, usernameprefixreservelist: ['x:']}\n"
    )
    assert load_mounted_mappings(file)[0].reserved_prefixes == ("aws:", "eks:")


@pytest.mark.parametrize("text", ["127.0.0.1:4567", "https://127.0.0.1:4567", "https://127.0.0.1:4567/"])
def test_the_extra_sts_endpoint_is_an_authority(file: Path, text: str) -> None:
    assert loaded(file, f"clusterID: x\nserver: {{stsEndpoint: '{text}'}}").sts_endpoint == "127.0.0.1:4567"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_server_config(tmp_path / "gone.yaml", {})


def test_the_rate_of_ec2_calls_comes_from_the_file_or_a_flag(file: Path) -> None:
    file.write_text("clusterID: x\nserver: {ec2DescribeInstancesQps: 30, ec2DescribeInstancesBurst: '7'}")
    assert load_server_config(file, {})[0].ec2 == Ec2Settings(qps=30, burst=7)
    assert load_server_config(file, {"server.ec2DescribeInstancesQps": "0"})[0].ec2 == Ec2Settings(qps=0, burst=7)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("ec2DescribeInstancesQps: -1", "0 or more"),
        ("ec2DescribeInstancesQps: many", "0 or more"),
        ("ec2DescribeInstancesBurst: 0", "at least 1"),
        ("ec2DescribeInstancesRoleARN: describer", "is not an ARN"),
        ("ec2DescribeInstancesRoleARN: 'arn:aws:iam::111122223333:user/a'", "is not the ARN of a role"),
        ("sourceARN: 'arn:aws:eks:eu-central-1::cluster/shop'", "is not an ARN with an account"),
    ],
)
def test_ec2_settings_that_cannot_be_used_are_errors(file: Path, setting: str, message: str) -> None:
    found = errors(file, f"clusterID: x\nserver:\n  {setting}\n")
    assert len(found) == 1
    assert message in found[0]
    assert "line 3" in found[0]


def test_a_source_without_a_role_is_odd(file: Path) -> None:
    file.write_text("clusterID: x\nserver:\n  sourceARN: arn:aws:eks:eu-central-1:111122223333:cluster/shop\n")
    assert [warning.key for warning in load_server_config(file, {})[1]] == ["server.sourceARN"]


def test_the_deny_list_is_named_by_namespace_and_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("clusterID: c\nserver: {denylist: kube-system/kube-iam-denied}\n")
    assert load_server_config(path, {})[0].deny_list == "kube-system/kube-iam-denied"
    path.write_text("clusterID: c\n")
    assert load_server_config(path, {})[0].deny_list == ""


@pytest.mark.parametrize("value", ["", "''", "kube-iam-denied", "a/b/c", "A/b", "[a/b]", "true", "../x"])
def test_a_deny_list_that_is_none_keeps_the_server_from_starting(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"clusterID: c\nserver:\n  denyList: {value}\n")
    with pytest.raises(ConfigError, match=r"server\.denyList"):
        load_server_config(path, {})
