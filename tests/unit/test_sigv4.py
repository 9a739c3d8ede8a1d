"""The signature is held against botocore's `SigV4QueryAuth`, for whatever credentials, regions and cluster ids there may be."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote as urllib_quote

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st
from sigv4_samples import HEADER_VALUES, KEY_IDS, MOMENTS, REGIONS, SECRETS, TOKENS

from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import canonical_query, hmac_sha256, presign, quote, sha256_hex


class BotocoreAt(SigV4QueryAuth):
    """botocore's signer at a time of our choice."""

    def __init__(self, keys: Credentials, region: str, moment: int) -> None:
        botocore_keys = BotocoreCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
        super().__init__(botocore_keys, "sts", region, expires=60)
        self.timestamp = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")

    def url(self, host: str, headers: dict[str, str]) -> str:
        request = AWSRequest("GET", f"https://{host}/?Action=GetCallerIdentity&Version=2011-06-15", headers=headers)
        request.context["timestamp"] = self.timestamp
        self._modify_request_before_signing(request)  # type: ignore[attr-defined]
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))  # type: ignore[attr-defined]
        return str(request.url)


@given(KEY_IDS, SECRETS, TOKENS, REGIONS, HEADER_VALUES, MOMENTS)
def test_the_signature_is_that_of_botocore(
    key_id: str, secret: str, token: str, region: str, cluster_id: str, moment: int
) -> None:
    keys = Credentials(key_id, secret, token)
    host = f"sts.{region}.amazonaws.com"
    headers = {"x-k8s-aws-id": cluster_id}
    botocore = BotocoreAt(keys, region, moment)
    ours = presign(
        keys,
        region=region,
        service="sts",
        host=host,
        path="/",
        parameters={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        headers=headers,
        timestamp=botocore.timestamp,
        expires=60,
    )
    theirs = botocore.url(host, headers)
    assert ours.rpartition("=")[2] == theirs.rpartition("=")[2]
    assert sorted(ours.split("?")[1].split("&")) == sorted(theirs.split("?")[1].split("&"))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoting_leaves_only_unreserved_characters(text: str) -> None:
    assert quote(text) == urllib_quote(text, safe="-._~")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_hmac_is_the_standard_one(key: bytes, message: bytes) -> None:
    assert hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


@given(st.binary())
def test_sha256_is_the_standard_one(data: bytes) -> None:
    assert sha256_hex(data) == hashlib.sha256(data).hexdigest()


def test_parameters_are_sorted_by_their_encoded_names() -> None:
    assert canonical_query({"b": "2", "a": "x y", "A": "/"}) == "A=%2F&a=x%20y&b=2"
