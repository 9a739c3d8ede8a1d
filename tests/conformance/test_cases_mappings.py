"""Mappings (docs/protocol.md, section 5), rule by rule and backend by backend, and files with faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cases import (
    BOTH,
    CANARY,
    CANARY_ENTRY,
    EMPTY_GROUP,
    IAM,
    MAIL,
    MASTERS,
    OPS,
    OPS_CHINA,
    OPS_OTHER,
    OPS_PLUS,
    OPS_READ,
    OPS_SET,
    OPS_SHORT,
    SYSTEM,
    await_canary,
    entry,
    role,
)
from named_sts import NamedSts, Principal
from principals import ACCOUNT, ADMIN, AUTO, BOB, FEDERATED, NODE, OTHER, PATHED, ROOT, STRANGER
from setups import SSO_FEATURE_GATE, Setup
from side_by_side import Question, running
from tally import Case, Tally
from tokens import Signed

from kube_iam.access.levels import DEFAULT_USERNAME
from kube_iam.core.access_entries import RESERVED_PREFIXES

pytestmark = pytest.mark.reference

PEOPLE = {
    who.key: who
    for who in (
        *(ADMIN, AUTO, BOB, FEDERATED, NODE, PATHED, ROOT, STRANGER, OPS, OPS_READ, OPS_SHORT, OPS_OTHER, OPS_CHINA),
        *(OPS_PLUS, MASTERS, SYSTEM, MAIL, CANARY),
    )
}
EVERYONE = tuple(who for who in PEOPLE.values() if who is not CANARY)


@dataclass(frozen=True)
class Row:
    """A setup, and the row for each identity that the two take differently; all others must agree."""

    text: str = ""
    differ: dict[str, tuple[Principal, ...]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    dynamic: object = None
    broken: bool = False


def sso(more: str, username: str = "ops") -> str:
    return f"  mapRoles:\n  - {{sso: {{{more}}}, username: {username}}}\n"


ANY = f"  mapRoles:\n{role('Any', 'TEMPLATE')}"
DYNAMIC_FIRST = BOTH.replace("[MountedFile, DynamicFile]", "[DynamicFile, MountedFile]")
STRICT = "  backendMode: [DynamicFile]\n  dynamicfilepath: HOME/dynamic.json\n  dynamicfileUserIDStrict: true\n"

SETUPS: dict[str, Row] = {
    "nothing mapped": Row(),
    "null lists": Row("  mapRoles:\n  mapUsers: null\n  mapAccounts: ~\n"),
    "keys in any letter case": Row(f'  MAPROLES:\n  - {{ROLEARN: "{IAM}:role/Admin", UserName: a, GROUPS: [g]}}\n'),
    "ARNs in any letter case": Row(
        f'  mapRoles:\n  - {{rolearn: "{IAM}:role/aDMIN", username: a}}\n'
        f'  mapUsers:\n  - {{userarn: "ARN:AWS:IAM::{ACCOUNT}:USER/BOB", username: b}}\n'
    ),
    "a user among the roles and a role among the users": Row(
        f'  mapRoles:\n  - {{rolearn: "{IAM}:user/bob", username: a}}\n'
        f'  mapUsers:\n  - {{userarn: "{IAM}:role/Admin", username: b}}\n'
    ),
    "the session's ARN": Row(
        f'  mapRoles:\n  - {{rolearn: "arn:aws:sts::{ACCOUNT}:assumed-role/Admin/x", username: a}}\n'
    ),
    "root and a federated user": Row(
        f'  mapUsers:\n  - {{userarn: "{IAM}:root", username: a}}\n'
        f'  - {{userarn: "arn:aws:sts::{ACCOUNT}:federated-user/fred", username: b}}\n'
    ),
    "a role and a user under one name": Row(
        f'  mapRoles:\n{role("Admin", "same")}  mapUsers:\n  - {{userarn: "{IAM}:user/bob", username: same}}\n'
    ),
    "unknown keys": Row(f'  mapRoles:\n  - {{rolearn: "{IAM}:role/Admin", username: a, note: x}}\n  fooBar: 1\n'),
    "a role's path": Row(f"  mapRoles:\n{role('team/Pathed')}", {"M3": (PATHED,)}),
    "a role twice": Row(f"  mapRoles:\n{role('Admin', 'first')}{role('Admin', 'second')}", {"M2": (ADMIN,)}),
    "a user twice": Row(
        f"  mapUsers:\n  - {{userarn: '{IAM}:user/bob', username: a}}\n  - {{userarn: '{IAM}:user/BOB', username: b}}\n",
        {"M2": (BOB,)},
    ),
    "accounts": Row(f'  mapAccounts: ["{ACCOUNT}"]\n'),
    "an account as a number": Row(f"  mapAccounts: [{ACCOUNT}]\n"),
    "accounts in one text": Row(f'  mapAccounts: "{ACCOUNT},{OTHER}"\n'),
    "an account that is none": Row(f'  mapAccounts: [12, "x", 012345670123, "{OTHER}"]\n'),
    "an account and a role of it": Row(f"  mapRoles:\n{role('Admin', 'a', '[g]')}  mapAccounts: ['{ACCOUNT}']\n"),
    "a scrubbed account": Row(f'  scrubbedAccounts: ["{ACCOUNT}"]\n  mapAccounts: ["{ACCOUNT}", "{OTHER}"]\n'),
    "a scrubbed account as a number": Row(f"  scrubbedAccounts: [{ACCOUNT}, 12]\n  mapRoles:\n{role('Admin')}"),
    "a dotted key at the top": Row(f"server.mapRoles:\n{role('Admin', 'dotted')}", {"M22": (ADMIN,)}),
    "a dotted key of accounts at the top": Row(f"server.mapaccounts: ['{OTHER}']\n", {"M22": (AUTO, OPS_OTHER)}),
    "a dotted key beside the section's": Row(
        f"  mapRoles:\n{role('Admin', 'below')}server.mapRoles:\n{role('Admin', 'dotted')}", {"M22": (ADMIN,)}
    ),
    # Permission sets
    "a permission set without the feature gate": Row(sso(OPS_SET), {"M1": (OPS,)}),
    "a permission set": Row(sso(OPS_SET), {"M1": (OPS_READ, OPS_SHORT)}, SSO_FEATURE_GATE),
    "a permission set under all alpha feature gates": Row(
        sso(OPS_SET), {"M1": (OPS_READ, OPS_SHORT)}, ("--feature-gates", "AllAlpha=true")
    ),
    "a permission set in small letters": Row(
        sso(OPS_SET.replace("Ops", "ops")), {"M1": (OPS_READ, OPS_SHORT)}, SSO_FEATURE_GATE
    ),
    "a permission set of a partition": Row(
        sso(f"{OPS_SET}, partition: aws-cn"), {"M1": (OPS_CHINA,)}, SSO_FEATURE_GATE
    ),
    "a permission set of the ordinary partition": Row(
        sso(f"{OPS_SET}, partition: aws"), {"M1": (OPS,)}, SSO_FEATURE_GATE
    ),
    "a permission set with other characters": Row(
        sso(f'permissionSetName: "a+b=c,d.e@f", accountID: "{ACCOUNT}"'), {}, SSO_FEATURE_GATE
    ),
    "an account id as a number in a permission set": Row(
        sso(f"permissionSetName: Ops, accountID: {ACCOUNT}"), {"M1": (OPS_READ, OPS_SHORT)}, SSO_FEATURE_GATE
    ),
    # Templates
    "every template": Row(
        ANY.replace("TEMPLATE", "{{AccountID}}/{{SessionName}}/{{SessionNameRaw}}/{{AccessKeyID}}").replace(
            "[]", '["g:{{SessionName}}", "{{AccountID}}{{AccountID}}"]'
        )
    ),
    "a session name that is none": Row(
        f'  mapUsers:\n  - {{userarn: "{IAM}:user/bob", username: "u:{{{{SessionName}}}}", groups: ["{{{{SessionNameRaw}}}}g"]}}\n'
    ),
    "a user name that is empty for a user": Row(
        f'  mapUsers:\n  - {{userarn: "{IAM}:user/bob", username: "{{{{SessionName}}}}"}}\n', {"M6": (BOB,)}
    ),
    "no user name": Row(f"  mapRoles:\n{role('Any', '')}{role('Admin')}", {"M6": (MASTERS, SYSTEM, MAIL)}),
    "no user name, and the account": Row(
        f"  mapRoles:\n  - rolearn: {IAM}:role/Any\n  mapAccounts: ['{ACCOUNT}']\n", {"M6": (MASTERS, SYSTEM, MAIL)}
    ),
    "an empty group": Row(f"  mapRoles:\n{role('Any', 'a', EMPTY_GROUP)}", {"M6": (MASTERS, SYSTEM, MAIL)}),
    "an unknown template": Row(ANY.replace("TEMPLATE", "{{Nope}}"), {"M8": (MASTERS, SYSTEM, MAIL)}),
    "a template with spaces": Row(ANY.replace("TEMPLATE", "{{ SessionName }}"), {"M8": (MASTERS, SYSTEM, MAIL)}),
    "a template in small letters": Row(ANY.replace("TEMPLATE", "{{sessionname}}"), {"M8": (MASTERS, SYSTEM, MAIL)}),
    "half a template": Row(ANY.replace("TEMPLATE", "a{{SessionName"), {"M8": (MASTERS, SYSTEM, MAIL)}),
    "an unknown template in a group": Row(
        ANY.replace("TEMPLATE", "a").replace("[]", '["{{x}}"]'), {"M8": (MASTERS, SYSTEM, MAIL)}
    ),
    "a name of the system's by template": Row(
        ANY.replace("TEMPLATE", "system:{{SessionName}}"), {"M7": (MASTERS, SYSTEM, MAIL)}
    ),
    "a name that becomes the system's": Row(ANY.replace("TEMPLATE", "{{SessionName}}:masters"), {"M7": (SYSTEM,)}),
    "a group of the system's by template": Row(
        ANY.replace("TEMPLATE", "a").replace("[]", '["system:{{SessionName}}"]'), {"M7": (MASTERS, SYSTEM, MAIL)}
    ),
    "a node's name": Row(ANY.replace("TEMPLATE", "system:node:{{SessionName}}")),
    "the system's names as they are": Row(ANY.replace("TEMPLATE", "system:admin").replace("[]", '["system:masters"]')),
    "a private DNS name without an instance": Row(ANY.replace("TEMPLATE", "system:node:{{EC2PrivateDNSName}}")),
    # Values that YAML does not read as text
    "numbers as names": Row(f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: 12, groups: [0, 7]}}\n"),
    "words that some YAML takes for others": Row(
        f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: yes, groups: [no, on, off, y, n]}}\n"
    ),
    "other numbers as names": Row(
        f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: 012}}\n"
        f"  - {{rolearn: '{IAM}:role/Any', username: true}}\n",
        {"M16": (ADMIN, MASTERS, SYSTEM, MAIL)},
    ),
    "groups in one text": Row(f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: a, groups: 'x,y z'}}\n"),
    "no groups": Row(f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: a}}\n"),
    "null groups": Row(f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: a, groups: null}}\n"),
    # Entries that match nobody beside one that does
    "a placeholder for an account": Row(
        f"  mapRoles:\n  - {{rolearn: 'arn:aws:iam::<account>:role/x', username: a}}\n{role('Admin')}"
    ),
    "a region in an ARN": Row(
        f"  mapRoles:\n  - {{rolearn: 'arn:aws:iam:eu-west-1:{ACCOUNT}:role/x', username: a}}\n{role('Admin')}"
    ),
    "a role without a name": Row(f"  mapRoles:\n{role('')}{role('Admin')}"),
    # Files that the reference ends on
    "no ARN": Row(f"  mapRoles:\n  - {{username: a}}\n{role('Admin')}"),
    "an ARN that is none": Row(f"  mapRoles:\n  - {{rolearn: garbage, username: a}}\n{role('Admin')}"),
    "an ARN of another service": Row(f"  mapRoles:\n  - {{rolearn: 'arn:aws:s3:::x', username: a}}\n{role('Admin')}"),
    "a role and a permission set": Row(
        f"  mapRoles:\n  - {{rolearn: '{IAM}:role/x', sso: {{{OPS_SET}}}, username: a}}\n{role('Admin')}",
        {},
        SSO_FEATURE_GATE,
    ),
    "a permission set without an account": Row(sso("permissionSetName: Ops") + role("Admin"), {}, SSO_FEATURE_GATE),
    "a permission set of no partition": Row(sso(f"{OPS_SET}, partition: moon") + role("Admin"), {}, SSO_FEATURE_GATE),
    "no userarn": Row(f"  mapRoles:\n{role('Admin')}  mapUsers:\n  - {{username: a}}\n"),
    "a key twice": Row(f"  mapRoles:\n  - {{rolearn: '{IAM}:role/Admin', username: a, username: b}}\n{role('Any')}"),
    "capitals in a role's arn:": Row(
        f"  mapRoles:\n  - {{rolearn: 'ARN:AWS:IAM::{ACCOUNT}:ROLE/ADMIN', username: a}}\n", {"M17": (ADMIN,)}
    ),
    "a wildcard in a permission set": Row(
        sso(f'permissionSetName: "O?s", accountID: "{ACCOUNT}"'), {"M17": (OPS,)}, SSO_FEATURE_GATE
    ),
    # Reserved prefixes
    "a reserved prefix": Row(
        '  reservedPrefixConfig:\n  - {backendMode: MountedFile, usernamePrefixReserveList: ["a:", ""]}\n'
        f"  mapRoles:\n{role('Any', 'a:{{SessionName}}')}{role('Admin', 'A:x')}{role('Node', 'ba:')}"
    ),
    "the reserved prefixes of access entries": Row(
        f"  reservedPrefixConfig:\n  - {{backendMode: MountedFile, usernamePrefixReserveList: {json.dumps(RESERVED_PREFIXES)}}}\n"
        f"  mapRoles:\n{role('Any', DEFAULT_USERNAME)}{role('Admin', 'iam:{{SessionNameRaw}}')}{role('Node', 'eks:x')}"
    ),
    "a reserved prefix of another backend": Row(
        f"  reservedPrefixConfig:\n  - {{backendMode: CRD, usernamePrefixReserveList: ['a']}}\n  mapRoles:\n{role('Admin', 'a')}"
    ),
    "a reserved prefix for an account": Row(
        "  reservedPrefixConfig:\n  - {backendMode: MountedFile, usernamePrefixReserveList: ['arn:']}\n"
        f"  mapAccounts: ['{OTHER}']\n",
        {"M9": (AUTO, OPS_OTHER)},
    ),
    "a reserved prefix under an old name": Row(
        f"  reservedPrefixConfig:\n  - {{backendMode: File, usernamePrefixReserveList: ['a']}}\n  mapRoles:\n{role('Admin', 'a')}",
        {"M9": (ADMIN,)},
    ),
    "reserved prefixes in two entries": Row(
        "  reservedPrefixConfig:\n  - {backendMode: MountedFile, usernamePrefixReserveList: ['a']}\n"
        "  - {backendMode: MountedFile, usernamePrefixReserveList: ['b']}\n"
        f"  mapRoles:\n{role('Admin', 'a')}{role('Any', 'b')}",
        {"M9": (ADMIN,)},
    ),
    "reserved prefixes of no backend": Row(
        f"  reservedPrefixConfig:\n  - {{backendMode: Moon, usernamePrefixReserveList: ['x']}}\n  mapRoles:\n{role('Admin', 'a')}",
        {"M18": (ADMIN,)},
    ),
    # Backends
    "an old name of a backend": Row(f"  backendMode: [File]\n  mapRoles:\n{role('Admin')}"),
    "backends in one text": Row(
        f"  backendMode: MountedFile DynamicFile\n  dynamicfilepath: HOME/dynamic.json\n  mapRoles:\n{role('Admin')}",
        dynamic={"mapUsers": [CANARY_ENTRY]},
    ),
    "a dynamic file": Row(
        BOTH,
        dynamic={
            "LastUpdatedDateTime": "1700000000",
            "Version": "1",
            "mapRoles": [entry(f"{IAM}:role/ADMIN", "d:{{SessionName}}", groups=["g"])],
            "mapUsers": [CANARY_ENTRY, entry(BOB.arn, "bob")],
            "mapAccounts": [OTHER],
        },
    ),
    "the first of two backends counts": Row(
        f"{BOTH}  mapRoles:\n{role('Admin', 'mounted')}",
        dynamic={"mapRoles": [entry(f"{IAM}:role/Admin")], "mapUsers": [CANARY_ENTRY]},
    ),
    "the first of two backends counts, turned round": Row(
        f"{DYNAMIC_FIRST}  mapRoles:\n{role('Admin', 'mounted')}",
        dynamic={"mapRoles": [entry(f"{IAM}:role/Admin")], "mapUsers": [CANARY_ENTRY]},
    ),
    "an account in the first backend, a role of it in the second": Row(
        f"{BOTH}  mapAccounts: ['{ACCOUNT}']\n",
        {"M4": (ADMIN,)},
        dynamic={"mapRoles": [entry(f"{IAM}:role/Admin")], "mapUsers": [CANARY_ENTRY]},
    ),
    "a reserved prefix of a dynamic file": Row(
        f"{BOTH}  reservedPrefixConfig:\n  - {{backendMode: DynamicFile, usernamePrefixReserveList: ['d']}}\n"
        f"  mapRoles:\n{role('Any', 'd')}",
        dynamic={"mapRoles": [entry(f"{IAM}:role/Admin", "d:x")], "mapUsers": [CANARY_ENTRY]},
    ),
    "a dynamic file that is no JSON": Row(
        f"{DYNAMIC_FIRST}  mapRoles:\n{role('Admin')}", {"M5": (ADMIN,)}, dynamic="{", broken=True
    ),
    "a dynamic file with an entry without an ARN": Row(
        f"{DYNAMIC_FIRST}  mapRoles:\n{role('Admin')}",
        {"M5": (ADMIN,)},
        dynamic={"mapRoles": [{"username": "x"}], "mapUsers": [CANARY_ENTRY]},
        broken=True,
    ),
    "a dynamic file with groups in one text": Row(
        f"{DYNAMIC_FIRST}  mapRoles:\n{role('Admin')}",
        {"M5": (ADMIN,)},
        dynamic={"mapRoles": [entry(f"{IAM}:role/Admin", groups="a,b")], "mapUsers": [CANARY_ENTRY]},
        broken=True,
    ),
    "a role's path in a dynamic file": Row(
        BOTH, {"M3": (PATHED,)}, dynamic={"mapRoles": [entry(f"{IAM}:role/team/Pathed")], "mapUsers": [CANARY_ENTRY]}
    ),
    "by unique id": Row(
        STRICT,
        dynamic={
            "mapRoles": [
                {"userid": "AROAADMIN", "username": "by-id"},
                {"userid": "AROANODE", "rolearn": f"{IAM}:role/a/path/Node", "username": "node"},
                {"userid": "AROAPATHED", "rolearn": f"{IAM}:role/Other", "username": "other"},
            ],
            "mapUsers": [CANARY_ENTRY, {"userid": "AIDAbob", "userarn": BOB.arn, "username": "bob"}],
        },
    ),
    "by unique id with an ARN that is none": Row(
        STRICT,
        dynamic={
            "mapRoles": [{"userid": "AROAADMIN", "rolearn": "garbage", "username": "x"}],
            "mapUsers": [CANARY_ENTRY],
        },
    ),
}


@pytest.fixture(scope="module")
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedSts]:
    running_sts = NamedSts(tmp_path_factory.mktemp("sts"), PEOPLE)
    yield running_sts
    running_sts.stop()


@pytest.mark.parametrize("name", SETUPS)
def test_every_rule_of_mappings(tmp_path: Path, reference: Path, sts: NamedSts, tally: Tally, name: str) -> None:
    row = SETUPS[name]
    dynamic = row.dynamic if isinstance(row.dynamic, str) else json.dumps(row.dynamic)
    setup = Setup(name, row.text, row.flags, {} if row.dynamic is None else {"dynamic.json": dynamic})
    rows = {who.key: number for number, people in row.differ.items() for who in people}
    with running(tmp_path, reference, sts, setup) as pair:
        if row.dynamic is not None and not row.broken:
            await_canary(pair)
        for who in EVERYONE:
            token = Signed(who).token()
            case = Case(f"{name}: {who.arn}", "mappings", Question.about(token), setup, token, "", who, row.broken)
            tally.ask(pair, case, rows.get(who.key, ""))
