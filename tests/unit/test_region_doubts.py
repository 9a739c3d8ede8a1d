"""Regions in access files that this version does not know: a warning, with the region that was probably meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kube_iam.aws.regions import doubt_about
from kube_iam.cli.validate import command

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
def test_validate_warns_of_a_region_that_it_does_not_know(region: str, meant: str, tmp_path: Path) -> None:
    file = written(tmp_path, region)
    ran = CliRunner().invoke(command, ["-f", file])
    assert f"region {region} is not known to this version" in ran.stderr
    assert meant in ran.stderr
    said = json.loads(CliRunner().invoke(command, ["-f", file, "-o", "json"]).stdout)
    assert said["valid"] is True
    assert any(region in warning for warning in said["warnings"])


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-5", "eusc-de-east-1"])
def test_known_regions_raise_no_doubt(region: str) -> None:
    assert doubt_about(region) == ""


@pytest.mark.parametrize("region", ["eu_central_1", "europe", "eu-central"])
def test_a_region_of_another_shape_is_an_error(region: str, tmp_path: Path) -> None:
    from kube_iam.cli.access_session import open_access
    from kube_iam.errors import ConfigError

    with pytest.raises(ConfigError, match="region"):
        open_access(written(tmp_path, region))
