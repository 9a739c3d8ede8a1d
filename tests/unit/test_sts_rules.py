"""The server takes every host that AWS's own endpoint rules for STS give a client, with the region that it is signed for."""

from __future__ import annotations

from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.loaders import Loader

from kube_iam.aws.regions import regions_of
from kube_iam.core.partitions import PARTITIONS, sts_host
from kube_iam.core.sts_hosts import GLOBAL_HOST, StsHosts

LOADER = Loader()
RULES = EndpointProvider(LOADER.load_service_model("sts", "endpoint-rule-set-1"), LOADER.load_data("partitions"))
FLAGS = list(product((False, True), repeat=3))


def client_side(region: str, *, fips: bool, dual_stack: bool, legacy: bool) -> tuple[str, str] | None:
    """Return the host and the signing region that an SDK uses, or None if the rules have none."""
    try:
        found: Any = RULES.resolve_endpoint(
            Region=region, UseFIPS=fips, UseDualStack=dual_stack, UseGlobalEndpoint=legacy
        )
    except EndpointProviderError:
        return None
    schemes = found.properties.get("authSchemes", [{}])
    return urlsplit(found.url).netloc, schemes[0].get("signingRegion", region)


@pytest.mark.parametrize("partition", PARTITIONS)
def test_every_host_of_the_rules_is_taken_for_its_signing_region(partition: str) -> None:
    hosts = StsHosts(partition, regions_of(partition))
    seen = 0
    for region, (fips, dual_stack, legacy) in product(regions_of(partition), FLAGS):
        found = client_side(region, fips=fips, dual_stack=dual_stack, legacy=legacy)
        if found is None:
            continue
        host, signed_for = found
        seen += 1
        if host == GLOBAL_HOST and partition != "aws":
            # The rules resolve the legacy endpoint if it is asked for, but a key of another partition is unknown there.
            assert legacy
            assert hosts.region_of(host) is None
        else:
            assert hosts.region_of(host) == signed_for, (region, fips, dual_stack, legacy)
        if not legacy:
            assert sts_host(region, fips=fips, dual_stack=dual_stack) == host
    assert seen >= len(regions_of(partition)) * 2


def test_pseudo_regions_lead_to_hosts_that_are_known_or_to_none() -> None:
    hosts = {partition: StsHosts(partition, regions_of(partition)) for partition in PARTITIONS}
    assert client_side("aws-global", fips=False, dual_stack=False, legacy=False) == (GLOBAL_HOST, "us-east-1")
    assert hosts["aws"].region_of(GLOBAL_HOST) == "us-east-1"


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_region_that_is_newer_than_the_table_is_taken_where_the_server_runs(partition: str) -> None:
    region = f"{regions_of(partition)[0].rsplit('-', 1)[0]}-9"
    assert region not in regions_of(partition)
    without, within = StsHosts(partition, regions_of(partition)), StsHosts(partition, regions_of(partition), region)
    for fips, dual_stack in product((False, True), repeat=2):
        found = client_side(region, fips=fips, dual_stack=dual_stack, legacy=False)
        if found is not None:
            assert within.region_of(found[0]) == found[1] == region
            assert without.region_of(found[0]) is None
