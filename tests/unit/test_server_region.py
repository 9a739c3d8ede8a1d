from __future__ import annotations

from pathlib import Path

import pytest

from kube_iam.aws.server_region import server_region
from kube_iam.errors import UsageError

ALONE = {"AWS_EC2_METADATA_DISABLED": "true"}


def test_the_server_takes_its_region_from_the_environment_before_the_profile(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    environ = {
        **ALONE,
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    assert server_region(environ) == "eu-west-3"
    assert server_region({**environ, "AWS_DEFAULT_REGION": "eu-west-2"}) == "eu-west-2"
    assert server_region({**environ, "AWS_DEFAULT_REGION": "eu-west-2", "AWS_REGION": "eu-west-1"}) == "eu-west-1"


def test_a_server_that_nobody_tells_its_region_has_none(tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    assert server_region({**ALONE, "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none}) == ""


def test_a_text_that_is_no_region_is_an_error() -> None:
    with pytest.raises(UsageError):
        server_region({**ALONE, "AWS_REGION": "evil.example/"})
