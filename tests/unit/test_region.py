"""Regions and endpoints, compared with botocore where it knows the endpoint."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kube_iam.aws.botocore_chain import BotocoreChain
from kube_iam.aws.metadata import region_from_metadata
from kube_iam.aws.static_credentials import Profile, read_profile
from kube_iam.core.partitions import Endpoint, configured_region, find_endpoint
from kube_iam.errors import KubeIamError, UsageError

EMPTY = Profile("default", {}, {}, b"")


def no_metadata() -> str:
    return ""


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_the_region_is_the_flags_then_the_variables_then_the_profiles() -> None:
    profile = Profile("default", {"region": "eu-west-4"}, {}, b"")
    environ = {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}
    assert configured_region("eu-west-1", environ, profile) == "eu-west-1"
    assert configured_region("", environ, profile) == "eu-west-2"
    assert configured_region("", {**environ, "AWS_REGION": ""}, profile) == "eu-west-3"
    assert configured_region("", {}, profile) == "eu-west-4"
    assert configured_region("", {}, EMPTY) == ""
    assert find_endpoint("", {}, EMPTY, lambda: "eu-west-5") == Endpoint("eu-west-5", "sts.eu-west-5.amazonaws.com")
    assert find_endpoint("", {}, EMPTY, no_metadata) == Endpoint("us-east-1", "sts.us-east-1.amazonaws.com")


@pytest.mark.parametrize("region", ["evil.com/", "EU-WEST-1", "a b", "x" * 64, "-x", "é", "a.b"])
def test_what_cannot_be_a_region_is_refused(region: str) -> None:
    with pytest.raises(UsageError, match="region"):
        configured_region(region, {}, EMPTY)


def test_the_global_pseudo_region_is_signed_for_us_east_1() -> None:
    assert find_endpoint("aws-global", {}, EMPTY, no_metadata) == Endpoint("us-east-1", "sts.us-east-1.amazonaws.com")


SETTINGS: list[tuple[dict[str, str], str]] = [
    ({}, ""),
    ({"AWS_USE_FIPS_ENDPOINT": "true"}, ""),
    ({"AWS_USE_FIPS_ENDPOINT": "TRUE", "AWS_USE_DUALSTACK_ENDPOINT": "true"}, ""),
    ({"AWS_USE_FIPS_ENDPOINT": "1"}, ""),
    ({"AWS_ENDPOINT_URL_STS": "https://127.0.0.1:4567"}, ""),
    ({"AWS_ENDPOINT_URL": "https://STS.example.com:443/"}, ""),
    ({"AWS_ENDPOINT_URL_STS": "https://a.example", "AWS_ENDPOINT_URL": "https://b.example"}, ""),
    ({"AWS_ENDPOINT_URL_STS": "https://a.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, ""),
    ({"AWS_ENDPOINT_URL_STS": "http://a.example"}, ""),
    ({"AWS_ENDPOINT_URL_STS": "https://a.example/path"}, ""),
    ({"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, ""),
    ({}, "[default]\nuse_fips_endpoint = true\n"),
    ({}, "[default]\nendpoint_url = https://b.example\n"),
    ({"AWS_ENDPOINT_URL_STS": "https://a.example"}, "[default]\nendpoint_url = https://b.example\n"),
    ({}, "[default]\nservices = own\n[services own]\nsts =\n  endpoint_url = https://c.example\n"),
    ({"AWS_USE_DUALSTACK_ENDPOINT": "false"}, "[default]\nuse_dualstack_endpoint = true\n"),
]


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize(("environ", "config"), SETTINGS)
def test_the_host_is_the_one_that_botocore_would_sign_for(
    region: str, environ: dict[str, str], config: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(config)
    for name, value in environ.items():
        clean.setenv(name, value)
    try:
        ours = find_endpoint(region, os.environ, read_profile(os.environ), no_metadata)
    except UsageError:
        with pytest.raises(KubeIamError):
            BotocoreChain().endpoint(region)
        return
    if config:
        assert ours is None
    else:
        assert ours == BotocoreChain().endpoint(region)


@pytest.mark.parametrize(
    ("config", "host"),
    [
        ("[default]\nuse_fips_endpoint = true\n", "sts-fips.us-east-1.amazonaws.com"),
        ("[default]\nendpoint_url = https://b.example\n", "b.example"),
        (
            "[default]\nservices = own\n[services own]\nsts =\n  endpoint_url = https://c.example:8443\n",
            "c.example:8443",
        ),
        ("[default]\nsts_regional_endpoints = legacy\nuse_fips_endpoint = false\n", "sts.us-east-1.amazonaws.com"),
    ],
)
def test_what_a_profile_says_about_endpoints_holds(
    config: str, host: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(config)
    assert BotocoreChain().endpoint("us-east-1") == Endpoint("us-east-1", host)


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_an_own_endpoint_excludes_the_variants_as_the_sdks_endpoint_rules_say(variable: str) -> None:
    with pytest.raises(UsageError, match="combined"):
        find_endpoint("us-east-1", {"AWS_ENDPOINT_URL_STS": "https://a.example", variable: "true"}, EMPTY, no_metadata)


@pytest.mark.parametrize(
    "url", ["http://a", "a.example", "https://", "https://u@a", "https://a/p", "https://a?q", "https://a b", "ftp://a"]
)
def test_an_endpoint_that_no_token_can_be_for_is_a_clear_error(url: str) -> None:
    with pytest.raises(UsageError, match="endpoint"):
        find_endpoint("us-east-1", {"AWS_ENDPOINT_URL_STS": url}, EMPTY, no_metadata)


class Imds(BaseHTTPRequestHandler):
    """An instance in eu-north-1, with the second version of the protocol only."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self._answer(200 if self.path == "/latest/api/token" else 404, b"secret-token")

    def do_GET(self) -> None:
        known = self.path == "/latest/meta-data/placement/region"
        allowed = self.headers["X-aws-ec2-metadata-token"] == "secret-token"
        self._answer(200 if known and allowed else 401, b"eu-north-1" if known and allowed else b"no")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def imds() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Imds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_instance_knows_its_region(imds: str) -> None:
    assert region_from_metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds}, budget=10) == "eu-north-1"


def test_metadata_that_is_switched_off_is_not_asked(imds: str) -> None:
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds, "AWS_EC2_METADATA_DISABLED": "True"}
    assert region_from_metadata(environ, budget=10) == ""


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://127.0.0.1", "no-url", "http://[::1", "http://127.0.0.1:x"]
)
def test_metadata_that_does_not_answer_is_no_region(url: str) -> None:
    assert region_from_metadata({"AWS_EC2_METADATA_SERVICE_ENDPOINT": url}) == ""
