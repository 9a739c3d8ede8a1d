"""Signed calls without the AWS SDK: what is signed, where it is sent, and what is read, held against botocore."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st
from sigv4_samples import HEADER_VALUES, KEY_IDS, MOMENTS, REGIONS, SECRETS, TOKENS

from kube_iam.aws.query_api import Endpoint, QueryApi, parse_answer, text_at
from kube_iam.aws.regions import regions_of
from kube_iam.aws.service_endpoints import plain_endpoint
from kube_iam.core.credentials import Credentials
from kube_iam.core.partitions import PARTITIONS
from kube_iam.core.tokens import signed_headers
from kube_iam.errors import UsageError


@given(KEY_IDS, SECRETS, TOKENS, REGIONS, HEADER_VALUES, MOMENTS, st.sampled_from(["iam", "sts", "ec2"]))
def test_signature_of_a_call_is_that_of_botocore(
    key_id: str, secret: str, token: str, region: str, value: str, moment: int, service: str
) -> None:
    keys = Credentials(key_id, secret, token)
    host = f"{service}.{region}.amazonaws.com"
    timestamp = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "x-amz-source-arn": value}
    body = "Action=GetGroup&Version=2010-05-08"
    botocore: Any = SigV4Auth(BotocoreCredentials(key_id, secret, token or None), service, region)
    request: Any = AWSRequest("POST", f"https://{host}/", headers=dict(headers), data=body)
    request.context["timestamp"] = timestamp
    botocore._modify_request_before_signing(request)
    text = botocore.string_to_sign(request, botocore.canonical_request(request))
    botocore._inject_signature_to_request(request, botocore.signature(text, request))
    signed = signed_headers(
        keys, region=region, service=service, host=host, body=body, headers=headers, timestamp=timestamp
    )
    assert signed["authorization"] == request.headers["Authorization"]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.mark.parametrize("service", ["iam", "sts", "ec2"])
@pytest.mark.parametrize("partition", PARTITIONS)
def test_endpoints_are_those_of_the_sdk(partition: str, service: str, bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_STS_REGIONAL_ENDPOINTS", "regional")
    bare.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "s")
    session = Session()
    for region in sorted(regions_of(partition))[:6]:
        if region.endswith("-global"):
            continue
        client: Any = session.create_client(service, region_name=region)
        found = plain_endpoint(service, region, os.environ)
        assert found is not None
        assert found.url == client.meta.endpoint_url
        ruleset = client._ruleset_resolver.construct_endpoint(
            client.meta.service_model.operation_model(
                {"iam": "GetUser", "sts": "AssumeRole", "ec2": "DescribeInstances"}[service]
            ),
            {},
            {},
        )
        scopes = ruleset.properties.get("authSchemes", [{}])
        assert found.region == scopes[0].get("signingRegion", region)


def test_variables_name_an_endpoint_and_http_beyond_this_machine_is_refused(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ENDPOINT_URL", "https://all.example.com")
    bare.setenv("AWS_ENDPOINT_URL_IAM", "https://vpce-1.example.com/")
    assert plain_endpoint("iam", "eu-west-1", os.environ) == Endpoint("https://vpce-1.example.com", "us-east-1")
    assert plain_endpoint("sts", "eu-west-1", os.environ) == Endpoint("https://all.example.com", "eu-west-1")
    bare.setenv("AWS_ENDPOINT_URL_IAM", "http://iam.example.com")
    with pytest.raises(UsageError, match="neither https"):
        plain_endpoint("iam", "eu-west-1", os.environ)
    bare.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert plain_endpoint("iam", "eu-west-1", os.environ) == Endpoint("https://iam.amazonaws.com", "us-east-1")


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_variants_of_endpoints_are_left_to_the_sdk(variable: str, bare: pytest.MonkeyPatch) -> None:
    bare.setenv(variable, "true")
    assert plain_endpoint("iam", "eu-west-1", os.environ) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"<GetGroupResponse><GetGroupResult>",
        b'<!DOCTYPE x [<!ENTITY e "alice">]><GetGroupResponse><GetGroupResult>&e;</GetGroupResult></GetGroupResponse>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><GetGroupResponse/>'.encode("utf-16"),
        b"\xff\xfe\x00",
    ],
)
def test_answers_that_are_none_of_aws_are_no_documents(body: bytes) -> None:
    root = parse_answer(body)
    assert root is None or root.tag == "html"


def test_names_of_elements_have_no_namespace() -> None:
    root = parse_answer(b'<R xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><A><B>x</B></A></R>')
    assert root is not None
    assert (root.tag, text_at(root, "A", "B"), text_at(root, "A", "C")) == ("R", "x", "")


def test_reads_of_the_server_load_no_sdk(tmp_path: Path) -> None:
    """It would take 34 MB of the server's memory."""
    program = (
        "import sys\n"
        "import kube_iam.server.app\n"
        "from kube_iam.aws.ec2_instances import Ec2Instances\n"
        "from kube_iam.errors import KubeIamError\n"
        "from kube_iam.membership.iam_reader import IamReader\n"
        "for call in (lambda: IamReader('eu-west-1').group('x'), lambda: Ec2Instances('eu-west-1').describe(['i-1'])):\n"
        "    try:\n"
        "        call()\n"
        "    except KubeIamError as error:\n"
        "        print(error.message)\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('botocore', 'urllib3', 'dateutil')])\n"
    )
    environ = {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": "https://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }
    ran = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    group, instances, modules = ran.stdout.splitlines()
    assert "127.0.0.1 cannot be reached" in group
    assert "127.0.0.1 cannot be reached" in instances
    assert modules == "[]"


def test_errors_name_the_host_and_hold_no_key(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("NO_PROXY", "127.0.0.1")
    api = QueryApi("iam", Endpoint("https://127.0.0.1:9", "us-east-1"), connect_seconds=1, read_seconds=1)
    with pytest.raises(Exception, match=r"cannot read it: 127\.0\.0\.1 cannot be reached") as caught:
        api.call("GetGroup", {"GroupName": "g"}, Credentials("AKIDEXAMPLE", "secret-key", "session-token"), "read it")
    assert caught.value.__cause__ is None
    assert not any(word in repr(caught.value) for word in ("secret-key", "session-token", "Signature"))
