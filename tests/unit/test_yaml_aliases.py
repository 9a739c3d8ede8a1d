"""Lists behind YAML aliases and merge keys: the server, `plan` and `who` read them; an edit is refused with the line."""

from __future__ import annotations

import pytest

from kube_iam.access.mapping import MappingEntry
from kube_iam.errors import ConfigError
from kube_iam.kube.mapping_list import SERVER, MappingList
from kube_iam.kube.mapping_view import principal_of, view_config

ARN = "arn:aws:iam::111122223333:role/a"
OURS = MappingEntry("arn:aws:iam::012345670123:role/ours", "ours", ("g",))
ROLES = MappingList((*SERVER, "mapRoles"), "config.yaml")
ENTRY = f"{{rolearn: {ARN}, username: a}}"
TEXTS = {
    "the list is an alias": f"x: &x\n- {ENTRY}\nserver:\n  mapRoles: *x\n",
    "the section is an alias": f"x: &x\n  mapRoles: [{ENTRY}]\nserver: *x\n",
    "the list is merged in": f"x: &x {{mapRoles: [{ENTRY}]}}\nserver:\n  <<: *x\n  port: 1\n",
    "the list is merged in from several": f"x: &x {{mapRoles: [{ENTRY}]}}\nserver: {{<<: [{{port: 1}}, *x], y: z}}\n",
    "the section is merged in": f"x: &x\n  server: {{mapRoles: [{ENTRY}]}}\n<<: *x\n",
    "both are aliases": f"r: &r [{ENTRY}]\nx: &x\n  maproles: *r\nServer: *x\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_editors_read_what_the_server_reads_and_refuse_to_edit(text: str) -> None:
    assert [principal_of(entry) for entry in view_config(text, "config.yaml").mappings.roles] == [ARN]
    (entry,) = ROLES.entries(text)
    assert (entry.role_arn, entry.username, entry.where) == (ARN, "a", "mapRoles[0]")
    for change in (ROLES.put, ROLES.remove):
        with pytest.raises(ConfigError) as caught:
            change(text, OURS)
        assert caught.value.problems[0].line is not None


def test_an_empty_list_behind_an_alias_is_empty() -> None:
    assert ROLES.entries("x: &x []\nserver:\n  mapRoles: *x\n") == ()
    assert ROLES.entries("x: &x\nserver:\n  mapRoles: *x\n") == ()
