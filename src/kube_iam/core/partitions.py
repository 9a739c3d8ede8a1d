"""AWS partitions, regions, and the STS endpoint that a token is signed for. On the `token` path: imports nothing.

Hosts are built as the endpoint rules of the AWS SDKs build them. Region and endpoint are those of flags, variables and the profile,
read as every AWS SDK reads them. Where the profile itself decides about endpoints, the answer is left to botocore (None).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    class Settings(Protocol):
        """Settings of an AWS profile."""

        def get(self, key: str) -> str:
            """Return the value of a setting; empty where it is not set."""

        def has_any(self, keys: frozenset[str]) -> bool:
            """Return whether one of these settings is set."""


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

DEFAULT_REGION = "us-east-1"
ENDPOINT_SETTINGS = frozenset(
    ("endpoint_url", "ignore_configured_endpoint_urls", "services", "use_dualstack_endpoint", "use_fips_endpoint")
)
"""Settings of a profile that decide about endpoints."""
# botocore's rules have dual-stack hosts there, but its older table raises an error before the rules apply.
_WITHOUT_DUAL_STACK = ("aws-iso-e", "aws-iso-f")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


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


class Endpoint:
    """The STS endpoint that tokens are signed for: its region and its authority (`host` has a port only where one was given)."""

    __slots__ = ("host", "region")

    def __init__(self, region: str, host: str) -> None:
        self.region = region
        self.host = host

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and (self.region, self.host) == (other.region, other.host)

    def __hash__(self) -> int:
        return hash((self.region, self.host))

    def __repr__(self) -> str:
        return f"Endpoint({self.region!r}, {self.host!r})"


def configured_region(flag: str, environ: "Mapping[str, str]", profile: "Settings | None") -> str:
    """Return the region of flag, AWS_REGION, AWS_DEFAULT_REGION or profile, in that order; empty where none is set.

    Raises UsageError for an invalid name of a region, since the name becomes part of a host name.
    """
    region = flag or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if not region and profile is not None:
        region = profile.get("region")
    if region and not (_LABEL.issuperset(region) and len(region) < 64 and region.strip("-") == region):
        raise usage_error(f"{region!r:.80} is not the name of an AWS region", "a region looks like eu-central-1")
    # The pseudo region of the global endpoint, whose requests are signed for us-east-1.
    if region == "aws-global":
        return DEFAULT_REGION
    if region.endswith("-global"):
        raise usage_error(
            f"{region} is a pseudo region without an STS of its own", "name a real region of that partition"
        )
    return region


def find_endpoint(
    flag: str, environ: "Mapping[str, str]", profile: "Settings | None", region_from_metadata: "Callable[[], str]"
) -> Endpoint | None:
    """Return the endpoint, or None where botocore must find it or raise its error.

    Raises UsageError for settings that exclude each other.
    """
    if profile is None or profile.has_any(ENDPOINT_SETTINGS):
        return None
    region = configured_region(flag, environ, profile) or region_from_metadata() or DEFAULT_REGION
    fips = environ.get("AWS_USE_FIPS_ENDPOINT", "").lower() == "true"
    dual_stack = environ.get("AWS_USE_DUALSTACK_ENDPOINT", "").lower() == "true"
    url = _custom_url(environ)
    # `fips-us-east-1` and `us-east-1-fips` are old spellings of a region with FIPS.
    if "fips-" in region or "-fips" in region or (dual_stack and partition_of_region(region) in _WITHOUT_DUAL_STACK):
        return None
    if not url:
        return Endpoint(region, sts_host(region, fips=fips, dual_stack=dual_stack))
    if fips or dual_stack:
        raise usage_error(
            "an own STS endpoint cannot be combined with FIPS or dual-stack endpoints",
            "unset AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL, or AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT",
        )
    return Endpoint(region, authority_of(url))


def source_of_region(flag: str, environ: "Mapping[str, str]") -> str:
    """Return the source of the region, in the order of `configured_region`: flag, variable, else the profile or the instance."""
    if flag:
        return "--region"
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environ.get(name):
            return name
    return "the AWS profile, or the instance"


def authority_of(url: str) -> str:
    """Return the authority of an endpoint URL as in the Host header: lower case, without the default port of https.

    Raises UsageError unless the URL is https://HOST[:PORT]: servers refuse tokens with another scheme, a path or user info.
    """
    scheme, separator, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    authority = authority.lower()
    if not separator or scheme.lower() != "https":
        raise usage_error(
            f"the STS endpoint {_shown(url)} is not an https URL (AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, endpoint_url)",
            "a token is always a request over https",
        )
    if path or not authority or any(character in authority for character in "@?#%\\ "):
        raise usage_error(
            f"the STS endpoint {_shown(url)} must be https://HOST[:PORT] with nothing else",
            "correct AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL or the profile's endpoint_url",
        )
    return authority.removesuffix(":443")


def _shown(url: str) -> str:
    from kube_iam.core.redaction import shown_url

    return shown_url(url)


def usage_error(message: str, hint: str = "") -> Exception:
    """Return the UsageError to raise. Its module is imported only now, since a successful run needs no error."""
    from kube_iam.errors import UsageError

    return UsageError(message, hint)


def _custom_url(environ: "Mapping[str, str]") -> str:
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return ""
    return environ.get("AWS_ENDPOINT_URL_STS") or environ.get("AWS_ENDPOINT_URL") or ""
