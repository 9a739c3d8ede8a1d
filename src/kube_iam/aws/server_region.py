"""The server's own region: its hosts are accepted even where they are newer than the table, and its EC2 knows the nodes."""

from __future__ import annotations

from collections.abc import Mapping

from kube_iam.aws.metadata import region_from_metadata
from kube_iam.aws.profiles import read_profile
from kube_iam.aws.region import configured_region


def server_region(environ: Mapping[str, str]) -> str:
    """By AWS_REGION, AWS_DEFAULT_REGION, the profile, or the instance that we run on (a second at most); empty where none says.

    Blocking. Raises UsageError for a text that cannot be a region's name.
    """
    return configured_region("", environ, read_profile(environ)) or region_from_metadata(environ)
