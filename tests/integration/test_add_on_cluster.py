"""`add user` and `add role` at a real kube-apiserver, beside the reference's own command."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest
from lightkube import Client
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from ruamel.yaml import YAML

import forks
from kube_iam.kube.client import KubeApi

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("control_plane")]

OURS = forks.PROGRAM
NODES = "# nodes\n- rolearn: arn:aws:iam::111122223333:role/Node   # careful\n  username: node\n  groups: [a]\n"
USER = ("user", "--userarn", "arn:aws:iam::012345678901:user/alice", "--username", "alice", "--groups", "dev,view")
ROLE = ("role", "--rolearn", "arn:aws:iam::012345678901:role/Dev", "--username", "dev", "--groups", "dev")
SSO = ("role", "--sso", "permissionSetName=Admin,accountID=012345678901", "--username", "adm", "--groups", "a")


class AwsAuth:
    """The ConfigMap of a cluster, and commands that are run against it."""

    def __init__(self, kubeconfig: Path, client: Client) -> None:
        self.kubeconfig = kubeconfig
        self._client = client

    def put(self, **data: str) -> None:
        self.remove()
        self._client.create(ConfigMap(metadata=ObjectMeta(name="aws-auth", namespace="kube-system"), data=data))

    def remove(self) -> None:
        try:
            self._client.delete(ConfigMap, "aws-auth", namespace="kube-system")
        except ApiError as error:
            assert error.status.code == 404, error

    def data(self) -> dict[str, str]:
        return self._client.get(ConfigMap, "aws-auth", namespace="kube-system").data or {}

    def entries(self, key: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = YAML(typ="safe").load(self.data()[key])
        return entries

    def add(self, *arguments: str, program: Path = OURS, answer: str = "") -> subprocess.CompletedProcess[str]:
        words = ["add", "--kubeconfig", str(self.kubeconfig), *arguments]
        if program == OURS:
            return forks.run(words, os.environ, text=answer)
        return subprocess.run(
            [program, *words],
            input=answer,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def aws_auth(control_plane: Any) -> AwsAuth:
    api = KubeApi(environ=os.environ, kubeconfig=str(control_plane.kubeconfig))
    found = AwsAuth(control_plane.kubeconfig, api.client())
    found.put(mapRoles=NODES, mapAccounts="- '111122223333'\n")
    return found


def test_entries_are_added_and_everything_else_stays(aws_auth: AwsAuth) -> None:
    for arguments in (USER, ROLE, SSO):
        ran = aws_auth.add(*arguments, "--prompt=false")
        assert (ran.returncode, ran.stderr) == (0, "")
    data = aws_auth.data()
    assert data["mapRoles"].startswith(NODES)
    assert data["mapAccounts"] == "- '111122223333'\n"
    assert aws_auth.entries("mapUsers") == [{"userarn": USER[2], "username": "alice", "groups": ["dev", "view"]}]
    assert [entry["username"] for entry in aws_auth.entries("mapRoles")] == ["node", "dev", "adm"]


def test_duplicate_or_missing_config_map_is_an_error_and_dry_run_writes_nothing(aws_auth: AwsAuth) -> None:
    before = aws_auth.data()
    ran = aws_auth.add(*ROLE, "--dry-run")
    assert (ran.returncode, aws_auth.data()) == (0, before)
    assert "would be added to mapRoles of ConfigMap kube-system/aws-auth" in ran.stdout
    assert aws_auth.add("--prompt=false", *ROLE).returncode == 0
    for flag in ("--prompt=false", "--dry-run"):
        again = aws_auth.add(*ROLE, flag)
        assert again.returncode == 1
        assert "already" in again.stderr
    aws_auth.remove()
    gone = aws_auth.add(*ROLE, "--prompt=false")
    assert gone.returncode == 1
    assert "no ConfigMap kube-system/aws-auth" in gone.stderr


@pytest.mark.parametrize("answer", ["y", "n"])
def test_it_asks_first_on_a_terminal(answer: str, aws_auth: AwsAuth) -> None:
    master, slave = pty.openpty()
    os.write(master, f"{answer}\n".encode())
    ran = subprocess.run(
        [OURS, "add", *USER, "--kubeconfig", aws_auth.kubeconfig],
        stdin=slave,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(slave)
    os.close(master)
    assert ran.returncode == 0
    assert "arn:aws:iam::012345678901:user/alice" in ran.stderr
    assert ("mapUsers" in aws_auth.data()) == (answer == "y")


@pytest.mark.reference
@pytest.mark.parametrize("answer", ["y\n", "YES\n", "n\n", "\n", "yep\n", ""])
def test_an_answer_on_standard_input_counts_as_for_the_reference(
    answer: str, aws_auth: AwsAuth, reference: Path
) -> None:
    outcomes = []
    for program in (OURS, reference):
        aws_auth.put(mapRoles=NODES)
        ran = aws_auth.add(*USER, program=program, answer=answer)
        outcomes.append((ran.returncode, "mapUsers" in aws_auth.data()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.reference
def test_ours_and_the_reference_add_the_same_and_see_each_others_entries(aws_auth: AwsAuth, reference: Path) -> None:
    plain = ["--prompt=false"]
    outcomes = []
    for program in (OURS, reference):
        aws_auth.put(mapRoles=NODES)
        assert aws_auth.add(*USER, *plain, program=program).returncode == 0
        assert aws_auth.add(*plain, *ROLE, program=program).returncode == 0
        outcomes.append((aws_auth.entries("mapUsers"), aws_auth.entries("mapRoles")))
        other = reference if program == OURS else OURS
        for arguments in (USER, ROLE):
            ran = aws_auth.add(*arguments, *plain, program=other)
            assert ran.returncode == 1, "a duplicate"
    assert outcomes[0] == outcomes[1]
    aws_auth.remove()
    assert aws_auth.add(*ROLE, *plain, program=reference).returncode == 1
