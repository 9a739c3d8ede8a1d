"""Endpoints other than AWS's own: found whatever names them, told at start, refused over http beyond this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kube_iam.aws.client import make_client
from kube_iam.aws.endpoint_checks import check_endpoint
from kube_iam.aws.endpoints import EndpointOverride, endpoint_overrides
from kube_iam.errors import KubeIamError, UsageError

HTTPS, HTTP = "https://127.0.0.1:4566", "http://iam.example.com"
CONFIG = """\
[default]
region = eu-central-1
{default}
[profile other]
{other}
[services own]
iam =
  endpoint_url = {url}
s3 =
  endpoint_url = http://s3.example.com
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, default: str, other: str, **more: str) -> None:
    directory = tmp_path / ".aws"
    directory.mkdir(exist_ok=True)
    (directory / "config").write_text(CONFIG.format(default=default, other=other, url=url).replace("URL", url))
    for name, value in more.items():
        monkeypatch.setenv(name, value.replace("URL", url))


# A setting in effect for IAM: lines of the default profile, of another profile, the environment, and how it is named.
WAYS: list[tuple[str, str, dict[str, str], str]] = [
    ("", "", {"AWS_ENDPOINT_URL_IAM": "URL"}, "AWS_ENDPOINT_URL_IAM"),
    ("", "", {"AWS_ENDPOINT_URL": "URL"}, "AWS_ENDPOINT_URL"),
    ("endpoint_url = URL", "", {}, "endpoint_url of profile default"),
    ("services = own", "", {}, "iam in services own of profile default"),
    ("", "endpoint_url = URL", {"AWS_PROFILE": "other"}, "endpoint_url of profile other"),
    ("", "services = own", {"AWS_DEFAULT_PROFILE": "other"}, "iam in services own of profile other"),
    ("services = own", "", {"AWS_ENDPOINT_URL": "URL"}, "AWS_ENDPOINT_URL"),
    ("endpoint_url = https://x.example", "", {"AWS_ENDPOINT_URL_IAM": "URL"}, "AWS_ENDPOINT_URL_IAM"),
]


@pytest.mark.parametrize(("default", "other", "variables", "source"), WAYS)
def test_override_of_iam_is_found_whatever_names_it(
    clean: pytest.MonkeyPatch, tmp_path: Path, default: str, other: str, variables: dict[str, str], source: str
) -> None:
    configure(clean, tmp_path, HTTPS, default, other, **variables)
    (found,) = [each for each in endpoint_overrides(os.environ) if "iam" in each.services]
    assert (found.source, found.url) == (source, HTTPS)
    assert make_client("iam").meta.endpoint_url == HTTPS  # the SDK applies the same


@pytest.mark.parametrize(("default", "other", "variables", "source"), WAYS)
def test_http_beyond_this_machine_is_refused_whatever_names_it(
    clean: pytest.MonkeyPatch, tmp_path: Path, default: str, other: str, variables: dict[str, str], source: str
) -> None:
    configure(clean, tmp_path, HTTP, default, other, **variables)
    with pytest.raises(UsageError, match=f"{source} is http://iam.example.com, which is neither https"):
        endpoint_overrides(os.environ)
    with pytest.raises(UsageError, match=r"the endpoint of IAM is http://iam\.example\.com"):
        make_client("iam")


@pytest.mark.parametrize("service", ["IAM", "STS", "EC2", "SSO", "SSO_OIDC", "SIGNIN"])
def test_each_service_that_the_server_asks_is_looked_at(clean: pytest.MonkeyPatch, service: str) -> None:
    clean.setenv(f"AWS_ENDPOINT_URL_{service}", HTTPS)
    assert endpoint_overrides(os.environ) == (
        EndpointOverride(f"AWS_ENDPOINT_URL_{service}", HTTPS, (service.lower(),)),
    )
    clean.setenv(f"AWS_ENDPOINT_URL_{service}", HTTP)
    with pytest.raises(UsageError, match=service):
        endpoint_overrides(os.environ)


@pytest.mark.parametrize(
    ("default", "variables"),
    [
        ("", {}),
        ("", {"AWS_ENDPOINT_URL_S3": HTTP}),
        ("", {"AWS_ENDPOINT_URL_IAM": ""}),
        ("", {"AWS_ENDPOINT_URL_IAM": HTTP, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}),
        (f"endpoint_url = {HTTP}\nignore_configured_endpoint_urls = true", {}),
    ],
)
def test_settings_without_effect_are_left_alone(
    clean: pytest.MonkeyPatch, tmp_path: Path, default: str, variables: dict[str, str]
) -> None:
    configure(clean, tmp_path, HTTP, default, f"endpoint_url = {HTTP}", **variables)
    assert endpoint_overrides(os.environ) == ()
    assert make_client("iam").meta.endpoint_url == "https://iam.amazonaws.com"


GOOD = [
    "https://x.example",
    "HTTPS://X",
    "http://localhost:1",
    "http://127.9.9.9",
    "http://[::1]:80",
    "HTTP://127.0.0.1",
]
BAD = [
    "http://10.0.0.1",
    "http://0.0.0.0",
    "http://169.254.169.254",
    "http://127.0.0.1.example.com",
    "http://localhost.example.com",
    "http://127.0.0.1@evil.example",
    "http://evil.example#127.0.0.1",
    "http://[::ffff:10.0.0.1]",
    "http://[",
    "http://",
    "https://",
    "ftp://127.0.0.1",
    "//127.0.0.1",
    "127.0.0.1",
    "iam.example.com",
]


@pytest.mark.parametrize("url", GOOD)
def test_https_and_http_on_this_machine_are_taken(url: str) -> None:
    check_endpoint(url, "X")


@pytest.mark.parametrize("url", BAD)
def test_every_other_endpoint_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"^X is "):
        check_endpoint(url, "X")


def test_http_on_this_machine_is_refused_where_a_proxy_would_get_it(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("http_proxy", "http://proxy.example.com:3128")
    with pytest.raises(UsageError) as caught:
        check_endpoint("http://127.0.0.1:4566", "X")
    assert "NO_PROXY" in (caught.value.hint or "")
    clean.setenv("no_proxy", "127.0.0.1")
    check_endpoint("http://127.0.0.1:4566", "X")


def test_no_secret_of_an_endpoint_is_shown(clean: pytest.MonkeyPatch) -> None:
    secret = "canary"
    for scheme in ("http", "https"):
        clean.setenv("AWS_ENDPOINT_URL_IAM", f"{scheme}://u:{secret}@iam.example.com/{secret}?{secret}#{secret}")
        try:
            said = repr(endpoint_overrides(os.environ))
        except KubeIamError as error:
            said = f"{error} {error.hint}"
        assert "iam.example.com" in said
        assert secret not in said


METADATA = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1338", "https://metadata.example.com", "https://169.254.169.254"])
def test_other_metadata_that_gives_credentials_is_an_override(clean: pytest.MonkeyPatch, url: str) -> None:
    clean.setenv(METADATA, url)
    (found,) = endpoint_overrides(os.environ)
    assert (found.source, found.services) == (METADATA, ("metadata",))


@pytest.mark.parametrize(
    "url",
    [
        *("http://metadata.example.com", "http://169.254.169.254.example.com", "http://169.254.169.254:8080"),
        *("http://169.254.169.253", "http://169.254.169.254@x.example", "http://[fd00:ec2::255]", "169.254.169.254"),
    ],
)
def test_other_metadata_over_http_beyond_this_machine_is_refused(clean: pytest.MonkeyPatch, url: str) -> None:
    clean.setenv(METADATA, url)
    with pytest.raises(UsageError, match=METADATA):
        endpoint_overrides(os.environ)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://169.254.169.254",
            "http://169.254.169.254/",
            "http://169.254.169.254:80/latest/",
            "HTTP://169.254.169.254",
        ),
        *("http://[fd00:ec2::254]", "http://[FD00:EC2::254]:80", "http://[fd00:ec2:0:0:0:0:0:254]/"),
    ],
)
def test_metadata_of_aws_itself_is_no_override_in_any_spelling(clean: pytest.MonkeyPatch, url: str) -> None:
    clean.setenv(METADATA, url)
    assert endpoint_overrides(os.environ) == ()


@pytest.mark.parametrize("variable", ["AWS_DATA_PATH", "HOME"])
def test_models_of_others_name_no_endpoint(clean: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    """Files in AWS_DATA_PATH and ~/.aws/models would go before the SDK's own."""
    models = tmp_path / ("data" if variable == "AWS_DATA_PATH" else ".aws/models")
    rules: Any = {
        "version": "1.0",
        "parameters": {"Region": {"builtIn": "AWS::Region", "required": False, "type": "String", "documentation": ""}},
        "rules": [{"conditions": [], "endpoint": {"url": HTTPS, "properties": {}, "headers": {}}, "type": "endpoint"}],
    }
    (models / "iam" / "2010-05-08").mkdir(parents=True)
    (models / "iam" / "2010-05-08" / "endpoint-rule-set-1.json").write_text(json.dumps(rules))
    (models / "endpoints.json").write_text(json.dumps({"version": 3, "partitions": []}))
    clean.setenv(variable, str(models if variable == "AWS_DATA_PATH" else tmp_path))
    client = make_client("iam", aws_access_key_id="AKID", aws_secret_access_key="x")
    assert client.meta.endpoint_url == "https://iam.amazonaws.com"
    assert client.generate_presigned_url("list_users").startswith("https://iam.amazonaws.com/")
