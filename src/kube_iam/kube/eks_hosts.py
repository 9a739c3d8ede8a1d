"""API servers that EKS runs, by their addresses."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html
_EKS_HOST = re.compile(r"\.([a-z0-9-]+)\.eks\.amazonaws\.(?:com|com\.cn|eu)|\.eks-cluster\.([a-z0-9-]+)\.api\.[a-z.]+")


def eks_region(url: str) -> str:
    """Return the region of an API server that EKS runs, empty for any other."""
    found = _EKS_HOST.search(urlsplit(url).hostname or "")
    return (found[1] or found[2] or "") if found and found.end() == len(urlsplit(url).hostname or "") else ""
