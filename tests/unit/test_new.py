"""`new`: the access file, with what was found and placeholders for the rest. The cluster is in memory; EKS is a fake endpoint."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from access_commands import account as account
from api_in_memory import ApiInMemory
from fake_account import FakeAccount
from prepared_session import PreparedSession

from https_server import HttpsServer, Request
from kube_iam.access.levels import TargetKind
from kube_iam.aws import client
from kube_iam.cli.root import run_command
from kube_iam.cli.session import AdminSession
from kube_iam.config.access import load_access
from kube_iam.errors import KubeIamError, NotFound, UsageError
from kube_iam.kube.client import KubeApi

PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n"
AUTHORITY = {"certificate-authority-data": base64.b64encode(PEM.encode()).decode()}
CONFIG_MAP = "kube-system/aws-iam-authenticator"
EKS_URL = "https://ABCD.gr7.eu-west-1.eks.amazonaws.com"


@pytest.fixture(autouse=True)
def _no_file(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("access.yaml").unlink()
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")


@pytest.fixture
def memory() -> ApiInMemory:
    found = ApiInMemory()
    found.put_config_map(CONFIG_MAP, {"config.yaml": "clusterID: prod.example.com\nserver: {}\n"})
    return found


def new(
    account: FakeAccount,
    memory: ApiInMemory | None,
    *words: str,
    server: str = "https://api.prod.example.com",
    cluster: dict[str, Any] | None = None,
) -> int:
    kube = memory.api(server, AUTHORITY if cluster is None else cluster) if memory is not None else None
    return run_command("kube-iam", ["new", *words], {}, PreparedSession(account, kube))


def test_file_is_valid_where_everything_was_found(
    account: FakeAccount, memory: ApiInMemory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(account, memory) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "access.yaml: written, three levels for cluster prod.example.com\nNext:\n  1. edit access.yaml: "
    )
    access = load_access("access.yaml")
    assert (access.cluster_id, access.endpoint) == ("prod.example.com", "https://api.prod.example.com")
    assert (access.certificate_authority, access.region) == (PEM, "eu-central-1")
    assert (access.account, access.partition) == ("123456789012", "aws")
    assert (access.mapping.kind, access.mapping.namespace) == (TargetKind.CONFIG_FILE, "kube-system")
    assert [level.name for level in access.levels] == ["admin", "developer", "viewer"]
    assert run_command("kube-iam", ["validate"], {}) == 0
    text = Path("access.yaml").read_text()
    assert "# From kubeconfig context prod.\n  endpoint:" in text
    assert "TODO" not in text


def test_existing_file_is_kept_without_force(account: FakeAccount, memory: ApiInMemory) -> None:
    Path("access.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"access\.yaml exists"):
        new(account, memory)
    assert Path("access.yaml").read_text() == "mine"
    assert memory.asked == []  # nothing was asked before
    new(account, memory, "--force")
    assert load_access("access.yaml").cluster_id == "prod.example.com"
    Path("link.yaml").symlink_to("nowhere.yaml")
    with pytest.raises(UsageError, match=r"link\.yaml exists"):
        new(account, memory, "link.yaml")
    assert not Path("nowhere.yaml").exists()


def test_what_is_no_regular_file_is_not_replaced(account: FakeAccount, memory: ApiInMemory) -> None:
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match="pipe is no regular file, and was not changed"):
        new(account, memory, "pipe", "--force")
    assert Path("pipe").is_fifo()
    Path("access.d").mkdir()
    with pytest.raises(UsageError, match=r"name a file in it: access\.d/access\.yaml"):
        new(account, memory, "access.d", "--force")
    assert memory.asked == []


@pytest.mark.parametrize("option", ["--context", "--kubeconfig"])
def test_a_named_context_that_does_not_exist_is_an_error(account: FakeAccount, option: str) -> None:
    with pytest.raises(KubeIamError, match="no API server"):
        new(account, None, option, "nowhere")
    assert not Path("access.yaml").exists()


def test_dash_prints_the_file_and_nothing_else_on_stdout(
    account: FakeAccount, memory: ApiInMemory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(account, memory, "-") == 0
    captured = capsys.readouterr()
    assert not Path("access.yaml").exists()
    Path("printed.yaml").write_text(captured.out)
    assert load_access("printed.yaml").cluster_id == "prod.example.com"
    assert "kube-iam plan" in captured.err
    with pytest.raises(UsageError):
        new(account, memory, "-", "-o", "json")


def test_next_steps_name_another_file(
    account: FakeAccount, memory: ApiInMemory, capsys: pytest.CaptureFixture[str]
) -> None:
    new(account, memory, "my prod.yaml")
    assert "kube-iam validate -f 'my prod.yaml'\n" in capsys.readouterr().out


def test_eks_endpoint_with_aws_auth(
    account: FakeAccount, memory: ApiInMemory, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.put_config_map("kube-system/aws-auth", {"mapRoles": ""})
    new(account, memory, "-o", "json", server=EKS_URL)
    data = json.loads(capsys.readouterr().out)
    assert set(data["missing"]) == {"cluster.id"}  # EKS's authenticator has the name of the cluster as id
    assert data["found"]["region"] == {"value": "eu-west-1", "source": "the API server's host name"}
    text = Path("access.yaml").read_text()
    assert "mapping:\n  awsAuth: {}\n" in text
    assert "membershipCheck: assumeRole" in text


def test_what_is_missing_is_a_comment_with_reason_and_remedy(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AWS_REGION")
    account.world.errors["caller"] = KubeIamError("no credentials\nlevels: [evil]")
    assert new(account, None) == 0
    out = capsys.readouterr().out
    for key in ("cluster.id", "cluster.endpoint", "cluster.certificateAuthorityData", "account", "region", "mapping"):
        assert f"not found: {key}: " in out
    text = Path("access.yaml").read_text()
    assert "# TODO region was not found: neither AWS_REGION nor the AWS profile names one." in text
    assert "# region: eu-central-1\n" in text
    assert "\nlevels: [evil]" not in text
    with pytest.raises(KubeIamError):
        run_command("kube-iam", ["validate"], {})


@pytest.mark.parametrize(
    ("server", "cluster", "missing", "reason"),
    [
        (
            "https://user:hunter2@api.example.com",
            AUTHORITY,
            "endpoint",
            "https://api.example.com of kubeconfig context prod has a user, a query or a fragment",
        ),
        ("http://api.example.com", AUTHORITY, "endpoint", "is no https URL"),
        ("https://api.example.com", {}, "certificateAuthorityData", "has no certificate"),
        (
            "https://api.example.com",
            {"insecure-skip-tls-verify": True},
            "certificateAuthorityData",
            "skips the check of the certificate (insecure-skip-tls-verify)",
        ),
        ("https://api.example.com", {"certificate-authority-data": "!"}, "certificateAuthorityData", "not the base64"),
        (
            "https://api.example.com",
            {"certificate-authority-data": base64.b64encode(b"-----BEGIN PRIVATE KEY-----").decode()},
            "certificateAuthorityData",
            "has no certificate",
        ),
        (
            "https://api.example.com",
            {"certificate-authority": "missing.pem"},
            "certificateAuthorityData",
            "there is no missing.pem, which kubeconfig context prod names",
        ),
    ],
)
def test_what_the_file_cannot_hold_is_not_taken_over(
    server: str,
    cluster: dict[str, Any],
    missing: str,
    reason: str,
    account: FakeAccount,
    memory: ApiInMemory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new(account, memory, server=server, cluster=cluster)
    assert reason in capsys.readouterr().out
    text = Path("access.yaml").read_text()
    assert f"# TODO {missing} was not found: " in text
    assert "hunter2" not in text
    assert "PRIVATE" not in text


def test_certificates_alone_are_taken_out_of_a_file(account: FakeAccount, memory: ApiInMemory) -> None:
    Path("ca.pem").write_text(
        f"subject=CN = kubernetes\n{PEM}-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n{PEM}"
    )
    new(account, memory, cluster={"certificate-authority": "ca.pem"})
    assert load_access("access.yaml").certificate_authority == PEM + PEM


def test_partition_is_that_of_the_credentials(account: FakeAccount, memory: ApiInMemory) -> None:
    account.directory.caller_arn = "arn:aws-cn:iam::123456789012:user/root-admin"
    new(account, memory)
    assert "# TODO region was not found: eu-central-1 of AWS_REGION is not in aws-cn" in Path("access.yaml").read_text()


def test_cluster_that_cannot_be_read_leaves_the_rest(account: FakeAccount, memory: ApiInMemory) -> None:
    memory.status["GET", "/api/v1/namespaces/kube-system/configmaps/aws-iam-authenticator"] = 403
    new(account, memory)
    text = Path("access.yaml").read_text()
    assert "# TODO mapping was not found: " in text
    assert "endpoint: https://api.prod.example.com\n" in text


class FakeEks:
    """A fake of EKS's DescribeCluster."""

    def __init__(self) -> None:
        self.cluster: dict[str, Any] = {
            "name": "prod",
            "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod",
            "endpoint": EKS_URL,
            "certificateAuthority": {"data": AUTHORITY["certificate-authority-data"]},
            "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"},
        }
        self.status = 200

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        headers = {"content-type": "application/json"}
        if self.status != 200 or request.target != "/clusters/prod":
            kind = "AccessDeniedException" if self.status == 403 else "ResourceNotFoundException"
            body = {"message": "No cluster found for name: x."}
            return (
                (self.status if self.status != 200 else 404),
                {**headers, "x-amzn-errortype": kind},
                json.dumps(body).encode(),
            )
        return 200, headers, json.dumps({"cluster": self.cluster}).encode()


@pytest.fixture
def eks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEks]:
    fake = FakeEks()
    server = HttpsServer(tmp_path, fake.answer)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", f"https://{server.authority}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(server.ca))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    yield fake
    server.stop()


def test_eks_describes_the_cluster(eks: FakeEks, account: FakeAccount) -> None:
    assert new(account, None, "--eks", "prod") == 0
    access = load_access("access.yaml")
    assert (access.cluster_id, access.endpoint, access.certificate_authority) == ("prod", EKS_URL, PEM)
    assert (access.region, access.checks_sign_in) == ("eu-west-1", False)
    assert run_command("kube-iam", ["validate"], {}) == 0


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"authenticationMode": "API"}, TargetKind.ACCESS_ENTRIES),
        ({"authenticationMode": "API_AND_CONFIG_MAP"}, TargetKind.ACCESS_ENTRIES),
        ({"authenticationMode": "CONFIG_MAP"}, TargetKind.AWS_AUTH),
        ({}, TargetKind.AWS_AUTH),
    ],
)
def test_authentication_mode_of_eks_decides_on_the_mapping(
    eks: FakeEks, account: FakeAccount, config: dict[str, str], kind: TargetKind
) -> None:
    eks.cluster["accessConfig"] = config
    assert new(account, None, "--eks", "prod") == 0
    assert load_access("access.yaml").mapping.kind is kind
    assert run_command("kube-iam", ["validate"], {}) == 0


def test_kubeconfig_takes_endpoint_and_authority_of_eks(
    eks: FakeEks, account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("access.yaml").write_text(
        "{apiVersion: kube-iam.dev/v1alpha1, kind: ClusterAccess, cluster: {id: prod}, account: '123456789012',"
        " region: eu-west-1, mapping: {accessEntries: {}}, membershipCheck: assumeRole, levels: [{name: viewer}]}"
    )
    with pytest.raises(UsageError, match="does not say where the API server is") as missing:
        run_command("kube-iam", ["kubeconfig", "viewer"], {})
    assert "--eks" in missing.value.hint
    assert run_command("kube-iam", ["kubeconfig", "viewer", "--eks", "prod"], {}) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    (cluster,) = printed["clusters"]
    assert cluster["cluster"]["server"] == EKS_URL
    assert cluster["cluster"]["certificate-authority-data"] == AUTHORITY["certificate-authority-data"]
    with pytest.raises(UsageError, match="EKS refuses tokens with another id"):
        run_command("kube-iam", ["kubeconfig", "viewer", "--eks", "other"], {})
    eks.cluster["certificateAuthority"] = {}
    with pytest.raises(KubeIamError, match="names no endpoint of cluster prod yet"):
        run_command("kube-iam", ["kubeconfig", "viewer", "--eks", "prod"], {})


def test_eks_cluster_that_is_not_described_is_an_error(eks: FakeEks, account: FakeAccount) -> None:
    with pytest.raises(NotFound) as caught:
        new(account, None, "--eks", "other")
    assert "aws eks list-clusters --region eu-central-1" in caught.value.hint
    eks.status = 403
    with pytest.raises(KubeIamError) as denied:
        new(account, None, "--eks", "prod")
    assert "eks:DescribeCluster" in denied.value.hint
    assert not Path("access.yaml").exists()


class EksSession(AdminSession):
    """A session whose context leads to an EKS cluster in memory; EKS itself is the fake endpoint."""

    def __init__(self, memory: ApiInMemory, server: str = EKS_URL) -> None:
        super().__init__()
        self._memory, self._server = memory, server

    def _open_kube(self) -> KubeApi:
        return self._memory.api(self._server)


def doubt(memory: ApiInMemory, mapping: str, endpoint: str = EKS_URL, server: str = EKS_URL) -> str:
    """Return why a plan of a file with this mapping doubts that the cluster reads it."""
    Path("access.yaml").write_text(
        "{apiVersion: kube-iam.dev/v1alpha1, kind: ClusterAccess, cluster: {id: prod, endpoint: '"
        + endpoint
        + "'}, account:"
        " '123456789012', region: eu-west-1, mapping: {" + mapping + ": {}}, membershipCheck: assumeRole,"
        " levels: [{name: viewer, bind: [{clusterRole: view}]}]}"
    )
    preflight = EksSession(memory, server).ports.preflight
    assert preflight is not None
    return preflight.source().doubt


def test_plan_for_aws_auth_doubts_a_cluster_of_mode_api(eks: FakeEks, memory: ApiInMemory) -> None:
    memory.put_config_map("kube-system/aws-auth", {"mapRoles": ""})
    assert doubt(memory, "awsAuth") == ""
    eks.cluster["accessConfig"] = {"authenticationMode": "API"}
    said = doubt(memory, "awsAuth")
    assert "authentication mode API and does not read aws-auth" in said
    assert "write mapping: {accessEntries: {}}" in said
    other = "https://api.prod.example.com"
    assert doubt(memory, "awsAuth", other, other) == ""  # not a cluster of EKS: nobody is asked
    eks.status = 403
    assert doubt(memory, "awsAuth") == ""  # what cannot be read is not doubted


def test_plan_for_access_entries_doubts_another_endpoint(eks: FakeEks, memory: ApiInMemory) -> None:
    assert doubt(memory, "accessEntries") == ""
    other = "https://OTHER.gr7.eu-west-1.eks.amazonaws.com"
    said = doubt(memory, "accessEntries", other, other)
    assert f"EKS cluster prod is at {EKS_URL}, and cluster.endpoint is {other}" in said


def test_former_mapping_is_aws_auth_where_the_cluster_reads_both(eks: FakeEks, memory: ApiInMemory) -> None:
    doubt(memory, "accessEntries")
    former = EksSession(memory).ports.former
    assert former is not None
    assert former.describe() == "ConfigMap kube-system/aws-auth"
    eks.cluster["accessConfig"] = {"authenticationMode": "API"}
    assert EksSession(memory).ports.former is None


def test_calls_to_iam_and_eks_share_one_set_of_credentials(
    eks: FakeEks, memory: ApiInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two sets a profile with MFA would ask for two codes, and AWS takes each code once."""
    doubt(memory, "accessEntries")
    made: list[str] = []

    def make_session(profile: str = "") -> object:
        made.append(profile)
        return original(profile)

    original = client.make_session
    monkeypatch.setattr(client, "make_session", make_session)
    session = EksSession(memory)
    preflight = session.ports.preflight
    assert preflight is not None
    preflight.source()
    session.require_eks_cluster()
    assert session.iam
    assert len(made) == 1
