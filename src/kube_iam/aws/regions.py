"""The regions of each partition, from the data files that botocore ships, without importing botocore."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

from kube_iam.config.suggestions import suggestion
from kube_iam.core.partitions import PARTITIONS
from kube_iam.errors import AwsError

# What botocore takes for the name of a region: a label of a host name.
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", re.ASCII)


def regions_of(partition: str) -> tuple[str, ...]:
    """Return the partition's regions with opt-in regions, without pseudo regions (`aws-global`); empty for an unknown partition."""
    for known in _partitions():
        if isinstance(known, dict) and known.get("id") == partition:
            return tuple(region for region in known.get("regions", {}) if not region.endswith("-global"))
    return ()


def doubt_about(region: str, source: str) -> str:
    """Return a warning for a region that this version does not know, with the nearest known name; empty for a known region.

    It is empty as well for what cannot be the name of a region: each use of it is an error, which does not repeat a secret.

    `source` is the flag, variable or file that names the region. AWS opens regions that are newer than the table, so that an
    unknown one is no error. Without the table there is no warning, and none for a text that cannot be sent: it becomes an error.
    """
    if not _LABEL.fullmatch(region):
        return ""
    try:
        every = [name for partition in PARTITIONS for name in regions_of(partition)]
    except AwsError:
        return ""
    if region in every:
        return ""
    hint = suggestion(region, every) or "`aws account list-regions` names the regions"
    return f"region {region} is not known to this version of kube-iam (set by {source}): {hint}"


def _partitions() -> list[object]:
    found = find_spec("botocore")
    if found is None or not found.submodule_search_locations:
        raise AwsError("botocore is not installed", "in a clone of the repository: pip install .")
    path = Path(found.submodule_search_locations[0]) / "data" / "partitions.json"
    try:
        partitions = json.loads(path.read_bytes())["partitions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AwsError(f"{path} holds no table of regions", "reinstall botocore") from error
    return list(partitions)
