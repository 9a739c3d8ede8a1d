"""A token is signed for the host that botocore would sign for, in every region of every partition, with FIPS and dual-stack."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore
import pytest
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from kube_iam.aws.botocore_chain import BotocoreChain
from kube_iam.aws.static_credentials import read_profile
from kube_iam.core.partitions import Endpoint, find_endpoint
from kube_iam.errors import KubeIamError, UsageError

PARTITIONS: list[dict[str, Any]] = json.loads(
    (Path(botocore.__file__).parent / "data" / "partitions.json").read_text()
)["partitions"]
REGIONS = [region for known in PARTITIONS for region in known["regions"] if not region.endswith("-global")]
# What the SDKs read as an old spelling, and regions that no table knows yet.
ODD_REGIONS = ["us-east-1-fips", "fips-eu-west-1", "us-gov-west-1-fips", "eu-central-9", "us-gov-north-3", "cn-west-7"]
VARIANTS = [
    {"AWS_USE_FIPS_ENDPOINT": fips, "AWS_USE_DUALSTACK_ENDPOINT": dual}
    for fips, dual in itertools.product(("false", "true"), repeat=2)
]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def by_botocore(session: Session, region: str) -> Endpoint | None:
    """Return the endpoint that botocore signs for, or None if it refuses. Nothing of ours takes part."""
    try:
        client: Any = session.create_client(
            "sts", region_name=region, aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret"
        )
        url = urlsplit(client.generate_presigned_url("get_caller_identity"))
    except BotoCoreError:
        return None
    return Endpoint(parse_qs(url.query)["X-Amz-Credential"][0].split("/")[2], url.netloc)


def by_us(region: str) -> Endpoint | None:
    """As `kube-iam token` finds it: the short way, else the way through botocore."""
    found = find_endpoint(region, os.environ, read_profile(os.environ), str)
    try:
        return found or BotocoreChain().endpoint(region)
    except KubeIamError:
        return None


@pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda v: f"fips={v['AWS_USE_FIPS_ENDPOINT']} dual={v['AWS_USE_DUALSTACK_ENDPOINT']}"
)
def test_every_region_signs_for_the_host_that_botocore_signs_for(
    variant: dict[str, str], clean: pytest.MonkeyPatch
) -> None:
    for name, value in variant.items():
        clean.setenv(name, value)
    session = Session()
    session.set_config_variable("sts_regional_endpoints", "regional")
    differences = [
        (region, ours, theirs)
        for region in (*REGIONS, *ODD_REGIONS)
        if (ours := by_us(region)) != (theirs := by_botocore(session, region))
    ]
    assert differences == []
    assert len(REGIONS) > 40


def test_the_ordinary_regions_need_no_botocore(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert all(find_endpoint(region, os.environ, read_profile(os.environ), str) for region in REGIONS)


def test_dual_stack_where_the_sdk_has_none_is_an_error_that_says_so(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    assert find_endpoint("us-isof-east-1", os.environ, read_profile(os.environ), str) is None
    with pytest.raises(KubeIamError, match="dualstack"):
        BotocoreChain().endpoint("us-isof-east-1")


@pytest.mark.parametrize("region", ["aws-cn-global", "aws-us-gov-global", "aws-iso-global"])
def test_a_pseudo_region_without_an_sts_is_refused(region: str, clean: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="pseudo region"):
        find_endpoint(region, os.environ, read_profile(os.environ), str)


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1", "us-iso-east-1"])
@pytest.mark.parametrize(
    "config",
    [
        "use_fips_endpoint = true",
        "use_fips_endpoint = TRUE\nuse_dualstack_endpoint = true",
        "use_dualstack_endpoint = false\nservices = own",
        "services = own\nuse_fips_endpoint = false",
        "endpoint_url = https://b.example",
        "endpoint_url = https://b.example\nignore_configured_endpoint_urls = true",
        "services = missing",
        "use_fips_endpoint = perhaps",
    ],
)
def test_a_profile_is_followed_as_botocore_follows_it(
    config: str, region: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        f"[default]\n{config}\n[services own]\nsts =\n  endpoint_url = https://own.example:8443\nec2 =\n  endpoint_url = http://x\n"
    )
    session = Session()
    session.set_config_variable("sts_regional_endpoints", "regional")
    assert by_us(region) == by_botocore(session, region)
