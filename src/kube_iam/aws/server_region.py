"""The server's own region: its hosts are accepted even where they are newer than the table, and its EC2 knows the nodes."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.aws.metadata import region_from_metadata
from kube_iam.aws.regions import doubt_about
from kube_iam.aws.static_credentials import read_profile
from kube_iam.core.partitions import configured_region, source_of_region


def server_region(environ: Mapping[str, str]) -> str:
    """Return the region of AWS_REGION, AWS_DEFAULT_REGION, the profile, or this instance (a second at most); empty where none has it.

    Blocking. Raises UsageError for a text that cannot be a region's name.
    """
    return configured_region("", environ, read_profile(environ)) or region_from_metadata(environ)


def doubt_about_server_region(environ: Mapping[str, str]) -> str:
    """Return a warning where variables or the profile name a region that this version does not know; else an empty string.

    Raises UsageError for a text that cannot be a region's name.
    """
    region = configured_region("", environ, read_profile(environ))
    return doubt_about(region, source_of_region("", environ)) if region else ""
