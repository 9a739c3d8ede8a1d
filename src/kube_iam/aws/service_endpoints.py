"""Endpoints of IAM, STS and EC2 as the AWS SDK finds them, where no setting of a profile and no variant decides about them."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.aws.endpoint_checks import check_endpoint
from kube_iam.aws.query_api import Endpoint
from kube_iam.aws.static_credentials import read_profile
from kube_iam.core.partitions import DNS_SUFFIX, ENDPOINT_SETTINGS, partition_of_region, sts_host

# IAM has one endpoint a partition: its host, and the region in the signature.
_IAM = {
    "aws": ("iam.amazonaws.com", "us-east-1"),
    "aws-cn": ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    "aws-us-gov": ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
    "aws-iso": ("iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    "aws-iso-b": ("iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    "aws-iso-e": ("iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
    "aws-iso-f": ("iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
    "aws-eusc": ("iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
}
_VARIANTS = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")


def plain_endpoint(service: str, region: str, environ: Mapping[str, str]) -> Endpoint | None:
    """Return the endpoint of `iam`, `sts` or `ec2` for a region; None where the SDK has to find it.

    Raises UsageError for an http endpoint beyond this machine.
    """
    profile = read_profile(environ)
    variants = any(environ.get(name, "").lower() == "true" for name in _VARIANTS)
    if profile is None or profile.has_any(ENDPOINT_SETTINGS) or variants or "fips" in region:
        return None
    partition = partition_of_region(region)
    host, signed = _IAM[partition] if service == "iam" else (f"{service}.{region}.{DNS_SUFFIX[partition]}", region)
    if service == "sts":
        host = sts_host(region)
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        for variable in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
            if url := environ.get(variable):
                check_endpoint(url, variable)
                return Endpoint(url.rstrip("/"), signed)
    return Endpoint(f"https://{host}", signed)
