"""Allow-list of STS hosts for a server of one partition, built once at start.

The server sends a request that an unknown client wrote to this host. So the host is compared with the list, and nothing is derived
from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from kube_iam.core.partitions import DNS_SUFFIX, DUAL_STACK_SUFFIX, partition_of_region

GLOBAL_HOST = "sts.amazonaws.com"
GLOBAL_SIGNING_REGION = "us-east-1"

# Two to five letters, one or more words, a number: us-east-1, us-gov-west-1, eusc-de-east-1. Pseudo regions (aws-global) are left out.
_REGION = re.compile(r"[a-z]{2,5}(-[a-z]{2,12})+-[0-9]{1,2}")


class StsHosts:
    """The STS hosts of a partition, each with the signing region of its requests."""

    __slots__ = ("_regions",)

    def __init__(
        self, partition: str, regions: Iterable[str], server_region: str = "", extra: Mapping[str, str] | None = None
    ) -> None:
        """Accept the hosts of these regions.

        `server_region` is the region of the server, which may be newer than the table that `regions` comes from. `extra` maps
        further authorities (host or host:port, lower case) to their signing region. No other authority may have a port.
        Raises ValueError for an unknown partition.
        """
        if partition not in DNS_SUFFIX:
            raise ValueError(f"unknown partition {partition!r}; known are {', '.join(DNS_SUFFIX)}")
        self._regions: dict[str, str] = {}
        for region in (*regions, server_region):
            if _REGION.fullmatch(region) and partition_of_region(region) == partition:
                self._regions.update(dict.fromkeys(_hosts(partition, region), region))
        if partition == "aws":
            self._regions[GLOBAL_HOST] = GLOBAL_SIGNING_REGION
        self._regions.update(extra or {})

    def region_of(self, host: str) -> str | None:
        """Return the signing region of an accepted authority, else None.

        The authority is compared as it stands in the URL. A resolver may find the same machine by upper case, a trailing dot, user
        info, a port or an IDN spelling. No SDK writes these, so they are not in the list.
        """
        return self._regions.get(host)


def _hosts(partition: str, region: str) -> tuple[str, ...]:
    suffixes = (DNS_SUFFIX[partition], DUAL_STACK_SUFFIX[partition])
    return tuple(f"{service}.{region}.{suffix}" for service in ("sts", "sts-fips") for suffix in suffixes)
