"""Endpoints other than AWS's own: the settings that name them, and a check that none uses plain text beyond this machine.

IAM's endpoint decides about the members of groups. Those of STS, EC2, IAM Identity Center and instance metadata decide about the
server's credentials, and about names of nodes. The settings, in the order in which the SDK takes them:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from kube_iam.aws.config_files import read_configuration
from kube_iam.aws.endpoint_checks import check_endpoint
from kube_iam.aws.metadata import IPV4_ENDPOINT, IPV6_ENDPOINT
from kube_iam.aws.static_credentials import profile_name, read_profile
from kube_iam.core.redaction import shown_url
from kube_iam.errors import CredentialsError

GLOBAL_VARIABLE = "AWS_ENDPOINT_URL"
IGNORE_VARIABLE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
METADATA_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
SERVICES = ("iam", "sts", "ec2", "sso", "sso_oidc", "signin")
"""The services that a server may ask: members and roles, its own sessions, names of nodes, and what its credentials come from."""
_PROFILE_SETTINGS = frozenset(("endpoint_url", "services", "ec2_metadata_service_endpoint"))


@dataclass(frozen=True, slots=True)
class EndpointOverride:
    """One setting that names an endpoint, and the services for which it is in effect. `url` holds no user info."""

    source: str
    url: str
    services: tuple[str, ...]


def endpoint_overrides(environ: Mapping[str, str]) -> tuple[EndpointOverride, ...]:
    """Return the overrides in effect for `SERVICES` and for instance metadata, by the environment and the profile in use.

    AWS's own metadata addresses, in any spelling, are no overrides.
    Raises UsageError for an http endpoint beyond this machine, CredentialsError where the profile cannot be read.
    """
    profile = read_profile(environ)
    named = any(name.startswith(GLOBAL_VARIABLE) for name in environ) or METADATA_VARIABLE in environ
    if not named and profile is not None and not profile.has_any(_PROFILE_SETTINGS):
        return ()
    found: dict[tuple[str, str], list[str]] = {}
    for service, source, url in _in_effect(environ):
        if service == "metadata" and _is_aws_metadata(url):
            continue
        check_endpoint(url, source)
        found.setdefault((source, url), []).append(service)
    return tuple(EndpointOverride(source, shown_url(url), tuple(services)) for (source, url), services in found.items())


def _in_effect(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield service, source and URL of each setting that the SDK applies."""
    configuration = read_configuration(environ)
    name = profile_name(environ) or "default"
    if profile_name(environ) and name not in configuration["profiles"]:
        raise CredentialsError(f"there is no profile {name!r}", "see `aws configure list-profiles`, and AWS_PROFILE")
    profile = configuration["profiles"].get(name, {})
    where = f"profile {name}"
    ignored = environ.get(IGNORE_VARIABLE) or profile.get("ignore_configured_endpoint_urls", "")
    if str(ignored).lower() != "true":
        section = profile.get("services", "")
        blocks = configuration["services"].get(section, {})
        for service in SERVICES:
            variable = f"{GLOBAL_VARIABLE}_{service.upper()}"
            block = blocks.get(service)
            choices = (
                (variable, environ.get(variable)),
                (GLOBAL_VARIABLE, environ.get(GLOBAL_VARIABLE)),
                (
                    f"{service} in services {section} of {where}",
                    block.get("endpoint_url") if isinstance(block, dict) else "",
                ),
                (f"endpoint_url of {where}", profile.get("endpoint_url")),
            )
            chosen = next(((source, url) for source, url in choices if url), None)
            if chosen is not None:
                yield service, *chosen
    metadata = (
        (METADATA_VARIABLE, environ.get(METADATA_VARIABLE)),
        (f"ec2_metadata_service_endpoint of {where}", profile.get("ec2_metadata_service_endpoint")),
    )
    chosen = next(((source, url) for source, url in metadata if url), None)
    if chosen is not None:
        yield "metadata", *chosen


def _is_aws_metadata(url: str) -> bool:
    """Return whether the URL names AWS's own metadata service. It has no https, and its packets do not leave the link."""
    try:
        parts = urlsplit(url)
        host, port = ip_address(parts.hostname or ""), parts.port
    except ValueError:
        return False
    own = (ip_address(urlsplit(endpoint).hostname or "") for endpoint in (IPV4_ENDPOINT, IPV6_ENDPOINT))
    return parts.scheme == "http" and port in (None, 80) and host in own
