"""Kubeconfigs as tools and people write them (tests/corpus): a merge adds our entries, and every other byte stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_iam.kube.kubeconfig import build_kubeconfig
from kube_iam.kube.kubeconfig_merge import merge_into

CORPUS = Path(__file__).parents[1] / "corpus" / "kubeconfigs"
SECTIONS = ("clusters", "users", "contexts")
CONFIG = build_kubeconfig(
    cluster_name="shop-new",
    endpoint="https://shop-new.example.com",
    ca_pem="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    user_name="shop-new-viewer",
    context_name="shop-new-viewer",
    command="kube-iam",
    args=["token", "-i", "shop-new"],
    env={},
    api_version="client.authentication.k8s.io/v1",
    interactive_mode="IfAvailable",
    install_hint="Ask the platform team",
)
everywhere = pytest.mark.parametrize("source", sorted(CORPUS.glob("*.yaml")), ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    return {key: value for key, value in yaml.safe_load(path.read_bytes()).items() if value}


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


@everywhere
@pytest.mark.parametrize(
    "vary", [lambda text: text, lambda text: text.rstrip(b"\n"), lambda text: b"\xef\xbb\xbf" + text]
)
def test_a_merge_leaves_every_entry_of_others(source: Path, vary: Any, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(vary(source.read_bytes()))
    before = load(path)
    assert merge_into([path], CONFIG) == [path]
    after = load(path)
    assert after["current-context"] == "shop-new-viewer"
    for section in SECTIONS:
        ours = CONFIG[section][0]  # type: ignore[index]
        assert ours in after[section]
        assert [entry for entry in after[section] if entry != ours] == (before.get(section) or [])
    changed = (*SECTIONS, "current-context", "apiVersion", "kind")
    assert without(after, *changed) == without(before, *changed)
    merged = path.read_bytes()
    merge_into([path], CONFIG)
    assert path.read_bytes() == merged


@everywhere
def test_a_merge_leaves_every_line_of_others(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(source.read_bytes())
    merge_into([path], CONFIG)
    merged = iter(path.read_bytes().splitlines(keepends=True))
    if source.stem == "08-as-json":
        return
    for line in source.read_bytes().splitlines(keepends=True):
        if not line.startswith((b"current-context:", b"clusters: ", b"users: ", b"contexts: ")):
            assert line in merged, line
