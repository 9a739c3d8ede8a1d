"""A server answers status queries about memberships, asked directly where its config.yaml is on this machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from running_server import RunningServer, wait_until

from kube_iam.core.membership_status import MOST_ASKED, MembershipState, requirement_name
from kube_iam.errors import ConfigError, KubeError
from kube_iam.kube.membership_query import ask_memberships, local_review

Make = Callable[..., RunningServer]
ROLE = "arn:aws:iam::123456789012:role/admin"
MAPPINGS = f"""\
  mapRoles:
  - {{rolearn: "{ROLE}", username: "iam:{{{{SessionNameRaw}}}}", iamGroup: admins}}
  mapGroups:
  - {{iamGroup: viewers, username: "iam:{{{{UserName}}}}"}}
"""
ADMINS, VIEWERS, OTHER = requirement_name("admins", ROLE), requirement_name("viewers"), requirement_name("other")


def states(server: RunningServer, *requirements: str) -> list[MembershipState]:
    found = ask_memberships(local_review(server.config), requirements).states
    return [found[name].state for name in requirements]


def test_running_server_answers_with_the_states_of_its_levels(make_server: Make) -> None:
    """It has no AWS credentials, and so can read nothing."""
    server = make_server(mappings=MAPPINGS)
    server.start("-v", "debug")
    expected = [MembershipState.UNREADABLE, MembershipState.UNREADABLE, MembershipState.NOT_MAPPED]
    wait_until(lambda: states(server, ADMINS, VIEWERS, OTHER) == expected)
    assert len(states(server, *[ADMINS] * (MOST_ASKED + 1))) == MOST_ASKED + 1
    assert "result=success" not in server.log()


def test_server_that_cannot_be_asked_is_an_error(make_server: Make) -> None:
    server = make_server(mappings=MAPPINGS)
    with pytest.raises(KubeError, match="cannot be asked"):
        states(server, ADMINS)  # it does not run, and has no certificate
    server.start()
    other = make_server(mappings=MAPPINGS)
    other.start()
    server.config.write_text(server.text(MAPPINGS).replace(f"port: {server.port}", f"port: {other.port}", 1))
    with pytest.raises(KubeError, match="cannot be asked"):
        states(server, ADMINS)  # another server's certificate
    server.config.write_text("clusterID: [")
    with pytest.raises(ConfigError):
        states(server, ADMINS)
