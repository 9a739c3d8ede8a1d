"""The backend EKSConfigMap: each server with a real API server of its own, and the same aws-auth in both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cases import CANARY, EMPTY_GROUP, IAM, OPS, OPS_READ, OPS_SET, OPS_SHORT
from clusters import Clusters
from in_cluster import ANY, GENERATIONS, KUBECONFIG, PEOPLE, ask_everyone, bob, role, shows
from named_sts import NamedSts, Principal
from principals import ACCOUNT, ADMIN, AUTO, BOB, EVE, FEDERATED, OTHER, PATHED, ROOT, SCRUBBED
from setups import SSO_FEATURE_GATE, Setup
from side_by_side import Pair, running
from tally import Tally

pytestmark = [pytest.mark.reference, pytest.mark.control_plane, pytest.mark.xdist_group("conformance-clusters")]


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


@dataclass(frozen=True)
class Data:
    """Keys of aws-auth, and the row for each identity that the two take differently; all others must agree.

    A canary goes into the key `canary`, so that both are known to have read it. Before that the keys held BEFORE.
    """

    data: dict[str, str]
    differ: dict[str, tuple[Principal, ...]] = field(default_factory=dict)
    canary: str = "mapUsers"


def roles(text: str, **differ: tuple[Principal, ...]) -> Data:
    return Data({"mapRoles": text}, differ)


BEFORE = {"mapRoles": role("Admin", "before", "[old]"), "mapUsers": bob("before"), "mapAccounts": f"- '{OTHER}'\n"}
DATA: dict[str, Data] = {
    "good": Data(
        {
            "mapRoles": role("aDMIN", "a:{{SessionName}}", "[g, '{{AccountID}}']") + role("Any", "{{SessionNameRaw}}"),
            "mapUsers": bob() + f"- userarn: {EVE.arn}\n  username: eve\n  groups:\n  - x\n",
            "mapAccounts": f"- '{OTHER}'\n",
        }
    ),
    "nothing": Data({"mapRoles": "", "mapAccounts": "``"}),
    "nothing in quotes, null and empty lists": Data({"mapRoles": "''", "mapAccounts": "[]"}),
    "a null": Data({"mapRoles": "null\n"}),
    "JSON": Data({"mapRoles": json.dumps([{"roleARN": f"{IAM}:role/Admin", "UserName": "json", "groups": ["g"]}])}),
    "keys of the data in small letters": Data({"maproles": role("Admin"), "mapaccounts": f"['{OTHER}']"}),
    "keys that nobody knows": Data({"mapRoles": role("Admin").replace("}", ", note: x}"), "mapGroups": "x: ["}),
    "root, a federated user and a scrubbed one": Data(
        {
            "mapRoles": f"- {{rolearn: 'arn:aws:iam::{SCRUBBED}:role/Scrub', username: s, groups: [g]}}\n",
            "mapUsers": f"- {{userarn: '{ROOT.arn}', username: root}}\n- {{userarn: '{FEDERATED.arn}', username: f}}\n",
        }
    ),
    "a user among the roles and a role among the users": Data(
        {
            "mapRoles": f"- {{rolearn: {BOB.arn}, username: a}}\n",
            "mapUsers": f"- {{userarn: '{IAM}:role/Admin', username: b}}\n",
        }
    ),
    "the session's ARN": roles(f"- {{rolearn: '{ADMIN.arn}', username: a}}\n"),
    "a role's path": roles(role("team/Pathed"), M3=(PATHED,)),
    "a role twice": roles(role("Admin", "first") + role("Admin", "second"), M2=(ADMIN,)),
    "a user twice": Data({"mapUsers": bob("first") + bob("second")}, {"M2": (BOB,)}),
    # Keys with faults
    "a broken key": Data({"mapRoles": "- rolearn: [\n", "mapUsers": bob("after")}, {"M11": (ADMIN,)}),
    "a broken key of users": Data(
        {"mapRoles": role("Admin", "after"), "mapUsers": "- {userarn"}, {"M11": (BOB,)}, "mapRoles"
    ),
    "a broken key of accounts": Data({"mapRoles": role("Admin"), "mapAccounts": "- ["}, {"M11": (AUTO,)}),
    "a key with tabs": Data({"mapRoles": f"-\trolearn: {IAM}:role/Admin\n\tusername: a\n"}, {"M11": (ADMIN,)}),
    "a mapping for a list": Data({"mapRoles": f"{{rolearn: '{IAM}:role/Admin', username: a}}\n"}, {"M11": (ADMIN,)}),
    "a text for a list": Data({"mapRoles": f"{IAM}:role/Admin"}, {"M11": (ADMIN,)}),
    "a text for a list of accounts": Data({"mapAccounts": f"'{OTHER}'\n"}, {"M11": (AUTO,)}),
    # Entries with faults, beside good ones
    "entries that are none": roles("- x\n- 1\n- [a]\n- null\n- {}\n" + role("Admin")),
    "an entry without an ARN": roles("- {username: a}\n" + role("Admin")),
    "an ARN that is none": roles("- {rolearn: garbage, username: a}\n" + role("Admin")),
    "an ARN that is no text": roles("- {rolearn: 12, username: a}\n- {rolearn: [a], username: a}\n" + role("Admin")),
    "an ARN of another service": roles("- {rolearn: 'arn:aws:s3:::x', username: a}\n" + role("Admin")),
    "an ARN with spaces": roles(f"- {{rolearn: ' {IAM}:role/Any ', username: a}}\n" + role("Admin")),
    "a role and a permission set": Data(
        {"mapRoles": f"- {{rolearn: '{IAM}:role/Any', sso: {{{OPS_SET}}}, username: a}}\n{role('Admin')}"}
    ),
    "a key twice": roles(f"- {{rolearn: '{IAM}:role/Any', username: a, username: b}}\n" + role("Admin"), M19=ANY),
    "a key twice in two spellings": roles(
        f"- {{rolearn: '{IAM}:role/Any', username: a, USERNAME: b}}\n{role('Admin')}", M19=ANY
    ),
    "no user name": roles(f"- rolearn: {IAM}:role/Any\n{role('Admin')}", M6=ANY),
    "an empty user name, and the account": Data(
        {"mapRoles": role("Any", ""), "mapAccounts": f"- '{ACCOUNT}'\n"}, {"M6": ANY}
    ),
    "an empty group": roles(role("Any", "a", EMPTY_GROUP), M6=ANY),
    "an unknown template": roles(role("Any", "{{Nope}}"), M8=ANY),
    "a name of the system's by template": roles(role("Any", "system:{{SessionName}}"), M7=ANY),
    "a node's name": roles(role("Any", "system:node:{{SessionName}}", "['system:nodes']")),
    # Values that YAML does not read as text
    "a number as a name": roles(f"- {{rolearn: '{IAM}:role/Admin', username: 12}}\n", M16=(ADMIN,)),
    "another number as a name": roles(f"- {{rolearn: '{IAM}:role/Admin', username: 012}}\n", M16=(ADMIN,)),
    "a word that some YAML takes for another": roles(
        f"- {{rolearn: '{IAM}:role/Admin', username: yes}}\n", M16=(ADMIN,)
    ),
    "numbers as groups": roles(role("Admin", "a", "[a, 7]"), M16=(ADMIN,)),
    "a list as a name": roles(f"- {{rolearn: '{IAM}:role/Any', username: [a]}}\n{role('Admin')}", M6=ANY),
    "groups in one text": roles(role("Any", "a", "system:masters") + role("Admin"), M19=ANY),
    "groups in a mapping": roles(role("Any", "a", "{a: b}") + role("Admin"), M19=ANY),
    "null groups": roles(role("Admin", "a", "null")),
    "accounts as numbers": Data({"mapAccounts": f"- {OTHER}\n"}),
    "accounts that are none": Data({"mapAccounts": f"- 12\n- x\n- '{OTHER}'\n"}),
    "accounts in lists": Data({"mapAccounts": f"- [x]\n- '{OTHER}'\n"}),
    # Permission sets, with the feature gate
    "a permission set": roles(f"- {{sso: {{{OPS_SET}}}, username: ops}}\n", M1=(OPS_READ, OPS_SHORT)),
    "a permission set and a role of it": roles(
        f"- {{sso: {{permissionSetName: Ops_ReadOnly, accountID: '{ACCOUNT}'}}, username: ops}}\n{role('Admin')}"
    ),
    "an account id as a number in a permission set": roles(
        f"- {{sso: {{permissionSetName: Ops, accountID: {ACCOUNT}}}, username: ops}}\n{role('Admin')}", M17=(OPS,)
    ),
}


@pytest.fixture(scope="module")
def config_map(
    tmp_path_factory: pytest.TempPathFactory, reference: Path, sts: NamedSts, clusters: Clusters
) -> Iterator[Pair]:
    setup = Setup(
        "EKSConfigMap",
        f"  backendMode: [EKSConfigMap]\n  scrubbedAccounts: ['{SCRUBBED}']\n",
        (*KUBECONFIG, *SSO_FEATURE_GATE),
    )
    with running(tmp_path_factory.mktemp("config-map"), reference, sts, setup, clusters) as pair:
        yield pair


def write(clusters: Clusters, pair: Pair, data: Mapping[str, str], canary: str = "mapUsers") -> None:
    """Make both read this aws-auth."""
    name = f"canary-{next(GENERATIONS)}"
    key = "rolearn" if canary == "mapRoles" else "userarn"
    clusters.config_map({**data, canary: f"{data.get(canary, '')}- {{{key}: {CANARY.arn}, username: {name}}}\n"})
    shows(pair, CANARY, name)


@pytest.mark.parametrize("name", DATA)
def test_every_rule_of_aws_auth(config_map: Pair, clusters: Clusters, tally: Tally, name: str) -> None:
    row = DATA[name]
    setup = Setup(name, config_map.setup.text, config_map.setup.flags, config_map=row.data)
    write(clusters, config_map, BEFORE)
    write(clusters, config_map, row.data, row.canary)
    ask_everyone(config_map, setup, tally, row.differ, "aws-auth")


def test_aws_auth_that_is_deleted_and_made_again(config_map: Pair, clusters: Clusters, tally: Tally) -> None:
    write(clusters, config_map, BEFORE)
    clusters.config_map(None)
    shows(config_map, CANARY, None)
    ask_everyone(config_map, Setup("deleted", config_map.setup.text), tally, {}, "aws-auth")
    write(clusters, config_map, BEFORE)
    again = Setup("made again", config_map.setup.text, config_map=BEFORE)
    ask_everyone(config_map, again, tally, {}, "aws-auth")
