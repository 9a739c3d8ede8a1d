"""The table is ours, so it is held against botocore's own data, region by region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
import pytest
from botocore.config import Config

from kube_iam.core.partitions import DNS_SUFFIX, DUAL_STACK_SUFFIX, PARTITIONS, partition_of_region, sts_host

DATA = Path(botocore.__file__).parent / "data" / "partitions.json"
KNOWN: list[dict[str, Any]] = json.loads(DATA.read_text())["partitions"]
REGIONS = sorted(
    region
    for partition in KNOWN
    for region in partition["regions"]
    if not region.endswith("-global")
    and (partition["id"] != "aws" or region in ("us-east-1", "eu-central-1", "mx-central-1"))
)
SESSION = botocore.session.Session()


def test_the_partitions_and_suffixes_are_those_of_the_sdk() -> None:
    assert set(PARTITIONS) == {partition["id"] for partition in KNOWN}
    for partition in KNOWN:
        assert DNS_SUFFIX[partition["id"]] == partition["outputs"]["dnsSuffix"]
        assert DUAL_STACK_SUFFIX[partition["id"]] == partition["outputs"]["dualStackDnsSuffix"]


def test_every_region_that_the_sdk_knows_falls_into_its_partition() -> None:
    for partition in KNOWN:
        for region in partition["regions"]:
            if not region.endswith("-global"):
                assert partition_of_region(region) == partition["id"]


def test_a_region_that_nobody_knows_yet_counts_as_commercial() -> None:
    assert partition_of_region("xx-new-9") == "aws"


# botocore's endpoint rules know these suffixes, but its older table stops a client before it asks them.
WITHOUT_DUAL_STACK = ("aws-iso-e", "aws-iso-f")


@pytest.mark.parametrize(
    ("region", "fips", "dual_stack"),
    [
        (region, fips, dual_stack)
        for region in REGIONS
        for fips in (False, True)
        for dual_stack in (False, True)
        if not (dual_stack and partition_of_region(region) in WITHOUT_DUAL_STACK)
    ],
)
def test_the_sts_host_is_the_one_that_botocore_signs_for(region: str, fips: bool, dual_stack: bool) -> None:
    client: Any = SESSION.create_client(
        "sts",
        region_name=region,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(use_fips_endpoint=fips, use_dualstack_endpoint=dual_stack),
    )
    url = client.generate_presigned_url("get_caller_identity")
    assert sts_host(region, fips=fips, dual_stack=dual_stack) == urlsplit(url).hostname
