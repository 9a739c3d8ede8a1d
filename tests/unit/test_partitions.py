"""The table is ours, so it is held against botocore's own data, region by region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore

from kube_iam.core.partitions import DNS_SUFFIX, DUAL_STACK_SUFFIX, PARTITIONS, partition_of_region

DATA = Path(botocore.__file__).parent / "data" / "partitions.json"
KNOWN: list[dict[str, Any]] = json.loads(DATA.read_text())["partitions"]


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
