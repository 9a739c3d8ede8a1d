"""Texts of access files, and the problems that are found in them."""

from pathlib import Path

import pytest

from kube_iam.config.access import load_access
from kube_iam.errors import ConfigError

HEAD = """\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: prod.example.com, name: prod, endpoint: "https://api.prod.example.com"}
account: "123456789012"
region: eu-central-1
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "access.yaml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_access(write(tmp_path, text))
    return [str(problem) for problem in caught.value.problems]
