"""Values for a new access file: each found, with its source, or not found, with the reason and what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kube_iam.access.levels import MappingTarget
from kube_iam.config.schema import ACCESS_SCHEMA


@dataclass(frozen=True, slots=True)
class Finding:
    """One value with its `source`. Without a value, `reason` says why, and `remedy` what to write."""

    value: str = ""
    source: str = ""
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class MappingFinding:
    """The mapping that the authenticator of a cluster reads, None where it was not found, and the clusterID in it, if any.

    `finding` describes it, or says why it was not found.
    """

    finding: Finding
    target: MappingTarget | None = None
    cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """All values of a new access file. `authority` is PEM text. `is_eks`: EKS runs the authenticator."""

    cluster_id: Finding
    endpoint: Finding
    authority: Finding
    account: Finding
    region: Finding
    mapping: MappingFinding
    is_eks: bool = False

    def by_key(self) -> dict[str, Finding]:
        """Return the findings by their keys in the file, in its order."""
        return {
            "cluster.id": self.cluster_id,
            "cluster.endpoint": self.endpoint,
            "cluster.certificateAuthorityData": self.authority,
            "account": self.account,
            "region": self.region,
            "mapping": self.mapping.finding,
        }

    def missing(self) -> dict[str, Finding]:
        """Return those that were not found."""
        return {key: finding for key, finding in self.by_key().items() if not finding.value}


def fits_schema(text: str, *path: str) -> bool:
    """Return whether the schema of access.yaml accepts the text under these keys."""
    schema: dict[str, Any] = ACCESS_SCHEMA
    for key in path:
        schema = schema["properties"][key]
    return re.search(schema["pattern"], text) is not None and len(text) <= schema.get("maxLength", len(text))
