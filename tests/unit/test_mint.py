from __future__ import annotations

import base64
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import PREFIX, mint, token_expiration
from kube_iam.core.utc import basic_timestamp

KEYS = Credentials("AKIDEXAMPLE", "x")
SESSION = Credentials("ASIAEXAMPLE", "x", "a+session/token==", 5000.0)
NOON = 1795507200.0  # 2026-11-24T08:00:00Z


def url_of(token: str) -> str:
    assert token.startswith(PREFIX)
    body = token.removeprefix(PREFIX)
    assert "=" not in body
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()


def make(keys: Credentials = KEYS, cluster_id: str = "x", region: str = "us-east-1", now: float = NOON) -> str:
    return mint(
        keys, cluster_id=cluster_id, region=region, host=f"sts.{region}.amazonaws.com", timestamp=basic_timestamp(now)
    )


def test_the_token_is_the_one_that_the_reference_makes() -> None:
    """Made by aws-iam-authenticator v0.7.8 with these keys, at this second."""
    now = 1795507669.0
    assert url_of(make(now=now)) == (
        "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIDEXAMPLE%2F20261124%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20261124T080749Z&X-Amz-Expires=60"
        "&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id"
        "&X-Amz-Signature=855ceb9ea5a0cf1312850deabcc9ded26f608221761b91860d8729dcb1653611"
    )


def test_the_parameters_stand_in_the_order_of_the_protocol() -> None:
    names = [name for name, _ in parse_qsl(urlsplit(url_of(make(SESSION))).query)]
    assert names == [
        "Action",
        "Version",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    ]


def test_another_cluster_id_gives_another_signature() -> None:
    assert url_of(make(cluster_id="a")).rpartition("=")[2] != url_of(make(cluster_id="b")).rpartition("=")[2]


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).filter(lambda text: bool(text.strip())))
def test_a_token_is_always_unpadded_base64url_of_an_https_url(cluster_id: str) -> None:
    parts = urlsplit(url_of(make(SESSION, cluster_id)))
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "sts.us-east-1.amazonaws.com", "/")


@pytest.mark.parametrize("cluster_id", ["", "  ", "a\nb", "a\r\nx-evil: 1", "a\0b", "a\tb", "a\x7fb", "a\x85b"])
def test_a_cluster_id_that_no_header_can_hold_is_refused(cluster_id: str) -> None:
    with pytest.raises(ValueError, match="cluster id"):
        make(cluster_id=cluster_id)


def test_a_token_is_good_for_fourteen_minutes() -> None:
    assert token_expiration(KEYS, NOON) == NOON + 840


def test_a_token_ends_with_the_session_that_signed_it() -> None:
    assert token_expiration(Credentials("A", "b", "c", NOON + 60), NOON) == NOON + 60
    assert token_expiration(Credentials("A", "b", "c", NOON + 3600), NOON) == NOON + 840


def test_credentials_show_nothing_but_the_key_id() -> None:
    assert repr(SESSION) == "Credentials('ASIAEXAMPLE')"
    assert Credentials("A", "b") == Credentials("A", "b")
    assert Credentials("A", "b") != Credentials("A", "c")
