"""Regions in access files that this version does not know: a warning, with the region that was probably meant."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from access_commands import account as account
from access_commands import kube_iam
from fake_account import FakeAccount

from kube_iam.aws.regions import doubt_about, regions_of
from kube_iam.cli.root import run_command
from kube_iam.core.partitions import COMMON_REGIONS, PARTITIONS
from kube_iam.server.app import _own_region
from kube_iam.server.log import Log

ACCESS = (Path(__file__).parents[2] / "examples" / "access.yaml").read_text()


def written(directory: Path, region: str) -> str:
    text = "\n".join(f"region: {region}" if line.startswith("region:") else line for line in ACCESS.splitlines())
    assert f"region: {region}" in text
    (directory / "access.yaml").write_text(text)
    for name in ("prod-ca.pem",):
        (directory / name).write_bytes((Path(__file__).parents[2] / "examples" / name).read_bytes())
    return str(directory / "access.yaml")


@pytest.mark.parametrize(
    ("region", "meant"),
    [("eu-centrl-1", "eu-central-1"), ("eu-central-11", "eu-central-1"), ("us-eas-1", "us-east-1")],
)
def test_validate_warns_of_a_region_that_it_does_not_know(
    region: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, region)
    assert run_command("kube-iam", ("validate", "-f", file), {}) == 0
    warning = capsys.readouterr().err
    assert f"region {region} is not known to this version" in warning
    assert meant in warning
    assert run_command("kube-iam", ("validate", "-f", file, "-o", "json"), {}) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["valid"] is True
    assert any(region in warning for warning in said["warnings"])


@pytest.mark.parametrize("text", ["eu-west-1\nsecret", "eu west", "-x", "x-", "a/b", "é", "x" * 64])
def test_what_cannot_be_a_region_is_not_repeated_as_an_unknown_one(text: str) -> None:
    assert doubt_about(text, "--region") == ""


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "eusc-de-east-1"])
def test_known_regions_raise_no_doubt(region: str) -> None:
    assert doubt_about(region, "x") == ""


@pytest.mark.parametrize("region", ["eu_central_1", "europe", "eu-central"])
def test_a_region_of_another_shape_is_an_error(region: str, tmp_path: Path) -> None:
    from kube_iam.cli.session import read_access
    from kube_iam.errors import ConfigError

    with pytest.raises(ConfigError, match="region"):
        read_access(written(tmp_path, region))


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("apply", "--yes"), ("destroy", "--yes"), ("who",), ("grant", "alice", "viewer"), ("revoke", "alice", "viewer"),
     ("grant", "alice", "viewer", "--for", "2h")],
)  # fmt: skip
def test_commands_that_call_aws_warn_of_each_unknown_region(
    arguments: tuple[str, ...], account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    kube_iam(account, "apply", "--yes")
    capsys.readouterr()
    file = Path("access.yaml")
    file.write_text(file.read_text().replace("region: eu-central-1", "region: eu-cental-1"))
    kube_iam(account, *arguments, "--region", "us-esat-1")
    warnings = [line for line in capsys.readouterr().err.splitlines() if "not known to this version" in line]
    assert warnings == [
        "warning: region eu-cental-1 is not known to this version of kube-iam (set by access.yaml): did you mean 'eu-central-1'?",
        "warning: region us-esat-1 is not known to this version of kube-iam (set by --region): did you mean 'us-east-1'?",
    ]


def test_kubeconfig_warns_of_the_region_that_it_writes(
    account: FakeAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path("access.yaml")
    file.write_text(file.read_text().replace("region: eu-central-1", "region: us-eest-1"))
    assert kube_iam(account, "kubeconfig", "viewer") == 0
    assert capsys.readouterr().err == (
        "warning: region us-eest-1 is not known to this version of kube-iam (set by access.yaml):"
        " did you mean 'us-east-1' or 'us-west-1'?\n"
    )


def test_common_regions_are_regions_of_the_table() -> None:
    assert {name for partition in PARTITIONS for name in regions_of(partition)} >= COMMON_REGIONS


def test_a_server_logs_that_its_own_region_is_unknown_and_what_names_it() -> None:
    lines = io.StringIO()
    log, environ = Log(lines, "info", "text"), {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/none"}
    assert asyncio.run(_own_region({**environ, "AWS_REGION": "us-esat-1"}, log)) == "us-esat-1"
    assert asyncio.run(_own_region({**environ, "AWS_REGION": "us-east-1"}, log)) == "us-east-1"
    said = lines.getvalue()
    assert said.count("may not exist") == 1
    assert "us-esat-1 is not known to this version of kube-iam (set by AWS_REGION): did you mean 'us-east-1'?" in said
