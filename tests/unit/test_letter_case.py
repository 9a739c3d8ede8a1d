"""Letter case counts for nothing in ASCII, and nowhere else: a character that Unicode folds to an ASCII letter is another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import principal
from kube_iam.access.mapping import role_key
from kube_iam.config.config_map import read_config_map
from kube_iam.config.identity_mapping import MappingSpec, read_identity_mappings
from kube_iam.config.server_file import sections
from kube_iam.config.yaml_file import parse_yaml
from kube_iam.core.arns import comparable_arn
from kube_iam.core.identity import Identity
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.mapping_entries import UserIdMapping
from kube_iam.core.templates import parse_template
from kube_iam.core.user_ids import UserIdTable
from kube_iam.kube.yaml.tree import parse_tree

KELVIN, LONG_S, DOTTED_I = "\u212a", "\u017f", "\u0130"
ACCOUNT = "111122223333"


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def identity(arn: str, user_id: str = "AROAEXAMPLE") -> Identity:
    return principal(arn, user_id=user_id, session_name="alice")


@given(st.text())
def test_only_ascii_letters_change(text: str) -> None:
    lowered = ascii_lower(text)
    assert len(lowered) == len(text)
    for before, after in zip(text, lowered, strict=True):
        assert after == (before.lower() if before.isascii() else before)


@pytest.mark.parametrize("odd", [KELVIN, LONG_S, DOTTED_I, "\u00df", "\ufb01", "\uff4b"])
@pytest.mark.parametrize("key", ["mapRoles", "mapUsers"])
def test_an_entrys_arn_with_an_odd_character_matches_nobody(odd: str, key: str) -> None:
    name = "rolearn" if key == "mapRoles" else "userarn"
    loaded = read_config_map({key: f"- {{{name}: '{role(odd + '8s')}', username: x}}"}, {})
    assert loaded.problems != []
    for other in ("k8s", "K8s", "s8s", "i8s", "ss8s", "fi8s"):
        assert loaded.table.find(identity(role(other))) is None


def test_an_arn_in_any_ascii_letter_case_still_matches() -> None:
    loaded = read_config_map({"mapRoles": f"- {{ROLEARN: '{role('K8S').upper()}', UserName: x}}"}, {})
    assert loaded.table.find(identity(role("k8s"))) is not None


def test_an_object_with_an_odd_character_is_no_mapping_of_the_plain_role() -> None:
    read = read_identity_mappings(
        [MappingSpec("odd", "", role(f"{KELVIN}8s"), "x"), MappingSpec("k", "", role("k8s"), "y")]
    )
    assert read.refused["odd"].reason == "Invalid"
    found = read.table.find(identity(role("k8s")))
    assert found is not None
    assert found.source == "k"


def test_an_entry_by_user_id_with_an_odd_arn_admits_nobody() -> None:
    entry = UserIdMapping("AROAEXAMPLE", role(f"{KELVIN}8s"), parse_template("x"))
    table, problems = UserIdTable.of([entry], ())
    assert len(problems) == 1
    assert table.find(identity(role("k8s"))) is None


def test_permission_sets_with_odd_characters_are_refused() -> None:
    text = f"- {{sso: {{permissionSetName: '{KELVIN}8s', accountID: '{ACCOUNT}'}}, username: x}}"
    loaded = read_config_map({"mapRoles": text}, {})
    assert loaded.table.find(identity(role("AWSReservedSSO_k8s_0123456789abcdef"))) is None


@pytest.mark.parametrize("key", [f"{KELVIN}ubeconfig", f"{LONG_S}tateDir", f"part{DOTTED_I}tion", f"addre{LONG_S}s"])
def test_settings_are_not_known_by_odd_characters(key: str) -> None:
    server = sections(parse_yaml(f"server: {{'{key}': x, KUBECONFIG: y}}", "f"))[1]
    assert server.value("kubeconfig") == "y"
    assert [problem.message for problem in server.found.warnings] == ["is not a known key and has no effect"]


def test_administrators_commands_find_the_keys_that_the_server_finds() -> None:
    tree = parse_tree(f"{LONG_S}erver: 1\nSERVER: 2\nto{KELVIN}enOnly: 3\n", "f")
    assert tree is not None
    assert [value.value for _, value in tree.own_pairs("server")] == ["2"]
    assert tree.get("tokenOnly") is None


def test_roles_with_odd_characters_are_other_roles() -> None:
    assert role_key(role(f"{KELVIN}8s")) != role_key(role("k8s"))
    assert role_key(role("K8s")) == role_key(role("k8S"))
    with pytest.raises(ValueError, match="not an ARN"):
        comparable_arn(role(f"{KELVIN}8s"))
