import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.partitions import PARTITIONS, sts_host
from kube_iam.core.sts_hosts import StsHosts

HOSTS = StsHosts("aws", ["eu-west-1", "us-east-1", "aws-global"], server_region="xx-future-9")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sts.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sts-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("sts.eu-west-1.api.aws", "eu-west-1"),
        ("sts-fips.eu-west-1.api.aws", "eu-west-1"),
        ("sts.amazonaws.com", "us-east-1"),
        ("sts.xx-future-9.amazonaws.com", "xx-future-9"),
    ],
)
def test_every_form_of_an_sts_host_is_known_with_its_signing_region(host: str, region: str) -> None:
    assert HOSTS.region_of(host) == region


@pytest.mark.parametrize(
    "authority",
    [
        "",
        "STS.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.",
        "sts.eu-west-1.amazonaws.com:443",
        "sts.eu-west-1.amazonaws.com:",
        "user@sts.eu-west-1.amazonaws.com",
        "@sts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com@evil.example",
        "sts.eu-west-1.amazonaws.com\\@evil.example",
        "sts.eu-west-1.amazonaws.com.evil.example",
        "evil.sts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws。com",
        "xn--sts-eu-west-1-.amazonaws.com",
        "ｓts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com%2eevil.example",
        "sts.eu-west-9.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.cn",
        "sts.cn-north-1.amazonaws.com.cn",
        "sts.aws-global.amazonaws.com",
        "sts..amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "169.254.169.254",
        "localhost",
        "[::1]",
    ],
)
def test_every_other_spelling_and_host_is_unknown(authority: str) -> None:
    assert HOSTS.region_of(authority) is None


@pytest.mark.parametrize("partition", [name for name in PARTITIONS if name != "aws"])
def test_the_global_host_is_only_that_of_partition_aws(partition: str) -> None:
    assert StsHosts(partition, ["eu-west-1"]).region_of("sts.amazonaws.com") is None


@pytest.mark.parametrize(
    ("partition", "region"),
    [
        ("aws", "ap-southeast-7"),
        ("aws-cn", "cn-northwest-1"),
        ("aws-us-gov", "us-gov-east-1"),
        ("aws-iso", "us-iso-east-1"),
        ("aws-iso-b", "us-isob-east-1"),
        ("aws-iso-e", "eu-isoe-west-1"),
        ("aws-iso-f", "us-isof-south-1"),
        ("aws-eusc", "eusc-de-east-1"),
    ],
)
@pytest.mark.parametrize("fips", [False, True])
@pytest.mark.parametrize("dual_stack", [False, True])
def test_a_server_takes_what_clients_of_its_partition_sign_for(
    partition: str, region: str, fips: bool, dual_stack: bool
) -> None:
    host = sts_host(region, fips=fips, dual_stack=dual_stack)
    assert StsHosts(partition, [region]).region_of(host) == region
    for other in PARTITIONS:
        if other != partition:
            assert StsHosts(other, [], server_region=region).region_of(host) is None


def test_a_region_that_is_not_shaped_like_one_adds_no_host() -> None:
    hosts = StsHosts("aws", [], server_region="evil.example/x")
    assert hosts.region_of("sts.evil.example/x.amazonaws.com") is None


def test_an_explicit_endpoint_may_carry_a_port_and_only_that_one() -> None:
    hosts = StsHosts("aws", [], extra={"127.0.0.1:4567": "eu-west-1"})
    assert hosts.region_of("127.0.0.1:4567") == "eu-west-1"
    assert hosts.region_of("127.0.0.1") is None
    assert hosts.region_of("127.0.0.1:4568") is None


def test_an_unknown_partition_is_an_error() -> None:
    with pytest.raises(ValueError, match="aws-us-gov"):
        StsHosts("aws-us-govt", [])


@given(st.text())
def test_no_text_but_a_listed_host_is_one(text: str) -> None:
    assert StsHosts("aws", ["eu-west-1"]).region_of(text) is None or text.startswith("sts")
