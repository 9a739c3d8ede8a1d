"""AWS partitions and the STS host of a region, as the AWS SDKs' endpoint rules build it. On the `token` path: imports nothing."""

DNS_SUFFIX: dict[str, str] = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-us-gov": "amazonaws.com",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
    "aws-eusc": "amazonaws.eu",
}
"""The DNS suffix of each partition's endpoints."""

DUAL_STACK_SUFFIX: dict[str, str] = {
    "aws": "api.aws",
    "aws-cn": "api.amazonwebservices.com.cn",
    "aws-us-gov": "api.aws",
    "aws-iso": "api.aws.ic.gov",
    "aws-iso-b": "api.aws.scloud",
    "aws-iso-e": "api.cloud-aws.adc-e.uk",
    "aws-iso-f": "api.aws.hci.ic.gov",
    "aws-eusc": "api.amazonwebservices.eu",
}
"""The DNS suffix of each partition's endpoints that answer on IPv4 and IPv6."""

PARTITIONS: tuple[str, ...] = tuple(DNS_SUFFIX)

COMMON_REGIONS: frozenset[str] = frozenset(
    f"{prefix}{end}"
    for prefix, ends in (
        ("af-", "south-1"),
        ("ap-", "east-1 east-2 northeast-1 northeast-2 northeast-3 south-1 south-2"),
        ("ap-southeast-", "1 2 3 4 5 6 7"),
        ("ca-", "central-1 west-1"),
        ("cn-", "north-1 northwest-1"),
        ("eu-", "central-1 central-2 north-1 south-1 south-2 west-1 west-2 west-3"),
        ("il-", "central-1"),
        ("me-", "central-1 south-1"),
        ("mx-", "central-1"),
        ("sa-", "east-1"),
        ("us-", "east-1 east-2 west-1 west-2 gov-east-1 gov-west-1"),
    )
    for end in ends.split()
)
"""Regions that need no look into botocore's table, which takes 25 ms to load on the `token` path. Any other is looked up there."""

_REGION_PREFIXES = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
)


def partition_of_region(region: str) -> str:
    """Return the partition that a region belongs to, by the region's prefix; `aws` where no other partition claims it."""
    for prefix, partition in _REGION_PREFIXES:
        if region.startswith(prefix):
            return partition
    return "aws"


def sts_host(region: str, *, fips: bool = False, dual_stack: bool = False) -> str:
    """Return the host that an STS client of this region signs for.

    In aws-us-gov the ordinary endpoints are the FIPS ones, so that `fips` changes nothing there (except with `dual_stack`).
    """
    partition = partition_of_region(region)
    if dual_stack:
        return f"{'sts-fips' if fips else 'sts'}.{region}.{DUAL_STACK_SUFFIX[partition]}"
    if fips and partition != "aws-us-gov":
        return f"sts-fips.{region}.{DNS_SUFFIX[partition]}"
    return f"sts.{region}.{DNS_SUFFIX[partition]}"
