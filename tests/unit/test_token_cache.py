"""Cached tokens are returned only for the same request in the same circumstances, and never late."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.aws.token_cache import (
    IssuedToken,
    TokenCache,
    TokenRequest,
    decode_token,
    encode_token,
    token_key,
)
from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import LIFETIME_SECONDS, token_expiration

NOW = 1795507200.0
ROLE = "arn:aws:iam::123456789012:role/shop-admin"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "own-secret", "AWS_REGION": "eu-central-1"}
Asks = Callable[..., TokenCache]


def signed(life: float = LIFETIME_SECONDS) -> IssuedToken:
    return IssuedToken("k8s-aws-v1.kept", NOW, NOW + life)


@pytest.fixture
def asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asks:
    """Return a function that asks for a token: `asks(role=…, AWS_REGION=…)`."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def ask(cluster_id: str = "shop", role: str = ROLE, **how: str) -> TokenCache:
        variables = {name: value for name, value in how.items() if name.isupper()}
        request = {name: value for name, value in how.items() if not name.isupper()}
        return TokenCache(TokenRequest(cluster_id, role=role, **request), {**KEYS, **variables})  # type: ignore[arg-type]

    return ask


def only_file(home: Path) -> Path:
    (found,) = (home / ".cache" / "kube-iam" / "tokens").iterdir()
    return found


def test_the_same_question_gets_the_same_token_for_half_of_its_time(asks: Asks) -> None:
    asks().store(signed())
    found = asks().load(NOW + LIFETIME_SECONDS / 2)
    assert found is not None
    assert (found.token, found.issued, found.expires) == ("k8s-aws-v1.kept", NOW, NOW + LIFETIME_SECONDS)
    assert asks().load(NOW + LIFETIME_SECONDS / 2 + 1) is None


def test_the_times_are_those_that_tokens_are_minted_with() -> None:
    assert token_expiration(Credentials("A", "s"), NOW) == NOW + LIFETIME_SECONDS


@given(st.floats(-1e6, 1e6))
def test_no_token_is_reused_with_less_than_half_of_its_time_or_from_the_future(age: float) -> None:
    if signed().is_reusable(NOW + age):
        assert -300 <= age <= LIFETIME_SECONDS / 2


@pytest.mark.parametrize(
    "other",
    [
        {"cluster_id": "other"},
        {"role": ROLE + "2"},
        {"external_id": "x"},
        {"session_name": "x"},
        {"mfa_serial": "arn:aws:iam::123456789012:mfa/x"},
        {"region": "eu-west-1"},
        {"AWS_ACCESS_KEY_ID": "AKIDOTHER"},
        {"AWS_SECRET_ACCESS_KEY": "other"},
        {"AWS_SESSION_TOKEN": "t"},
        {"AWS_REGION": "eu-west-1"},
        {"AWS_PROFILE": "default"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_ENDPOINT_URL_STS": "https://sts.example"},
        {"AWS_ROLE_ARN": ROLE},
    ],
)
def test_another_question_or_other_circumstances_find_nothing(asks: Asks, other: dict[str, str]) -> None:
    asks().store(signed())
    assert asks(**other).load(NOW) is None
    assert asks().load(NOW) is not None


def test_an_edited_profile_finds_nothing(asks: Asks, tmp_path: Path) -> None:
    asks().store(signed())
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text("[default]\n")
        assert asks().load(NOW) is None
        asks().store(signed())
        assert asks().load(NOW) is not None


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
ASKED = st.tuples(*[TEXTS] * 6)


@given(
    ASKED, ASKED, st.dictionaries(TEXTS.map("AWS_".__add__), TEXTS), st.dictionaries(TEXTS.map("AWS_".__add__), TEXTS)
)
def test_keys_are_equal_only_where_everything_is(
    one: tuple[str, ...], other: tuple[str, ...], here: dict[str, str], there: dict[str, str]
) -> None:
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    def key(asked: tuple[str, ...], environ: dict[str, str]) -> str:
        cluster, role, external_id, session, device, region = asked
        request = TokenRequest(
            cluster, role=role, external_id=external_id, session_name=session, mfa_serial=device, region=region
        )
        return token_key(request, {**environ, **files, "SHLVL": str(len(environ))})

    assert (key(one, here) == key(other, there)) == (one == other and {**here, **files} == {**there, **files})


def test_nothing_is_kept_where_the_configuration_cannot_be_read(asks: Asks, tmp_path: Path) -> None:
    (tmp_path / "big").write_text("#" * (1024 * 1024 + 1))
    big = str(tmp_path / "big")
    asks(AWS_CONFIG_FILE=big).store(signed())
    assert asks(AWS_CONFIG_FILE=big).load(NOW) is None
    assert not (tmp_path / ".cache").exists()


def test_nothing_is_written_without_a_role_or_when_switched_off(asks: Asks, tmp_path: Path) -> None:
    asks(role="").store(signed())
    asks(KUBE_IAM_TOKEN_CACHE="0").store(signed())
    assert not (tmp_path / ".cache").exists()
    asks().store(signed())
    assert asks(KUBE_IAM_TOKEN_CACHE="0").load(NOW) is None


def test_a_token_that_ends_with_its_session_is_not_kept(asks: Asks) -> None:
    asks().store(signed(LIFETIME_SECONDS - 1))
    assert asks().load(NOW) is None


def test_the_file_is_the_users_alone_and_holds_no_credentials(asks: Asks, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        asks(AWS_SESSION_TOKEN="own-session-token").store(signed())
    finally:
        os.umask(before)
    kept = only_file(tmp_path)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert not any(secret in kept.read_text() + kept.name for secret in ("own-secret", "own-session-token"))
    assert "k8s-aws" not in repr(signed())


def test_a_file_that_others_can_read_is_refused_aloud_and_replaced(asks: Asks, tmp_path: Path) -> None:
    asks().store(signed())
    only_file(tmp_path).chmod(0o644)
    tokens = asks()
    assert tokens.load(NOW) is None
    fresh = signed()
    tokens.store(fresh)
    assert "others could read" in fresh.complaint
    assert asks().load(NOW) is not None


def test_a_file_under_another_name_is_worth_nothing(asks: Asks, tmp_path: Path) -> None:
    asks().store(signed())
    mine = only_file(tmp_path)
    asks(role=ROLE + "2").store(signed())
    (other,) = (path for path in mine.parent.iterdir() if path != mine)
    mine.replace(other)
    assert asks(role=ROLE + "2").load(NOW) is None


@pytest.mark.parametrize(
    ("age", "left"), [(0, True), (2 * LIFETIME_SECONDS - 1, True), (2 * LIFETIME_SECONDS + 1, False)]
)
def test_a_write_removes_tokens_of_others_only_when_they_have_ended(
    age: float, left: bool, asks: Asks, tmp_path: Path
) -> None:
    asks().store(signed())
    other = only_file(tmp_path)
    os.utime(other, (NOW - age, NOW - age))
    asks(role=ROLE + "2").store(signed())
    assert other.exists() is left
    assert (asks().load(NOW) is not None) is left


def test_files_of_old_tokens_are_removed(asks: Asks, tmp_path: Path) -> None:
    asks().store(signed())
    old = only_file(tmp_path)
    os.utime(old, (NOW - 2 * LIFETIME_SECONDS - 1, NOW - 2 * LIFETIME_SECONDS - 1))
    asks(role=ROLE + "2").store(signed())
    assert only_file(tmp_path) != old


@given(st.binary(max_size=200))
def test_garbage_is_no_token(data: bytes) -> None:
    assert decode_token("key", data) is None


@given(st.data())
def test_one_changed_byte_or_a_missing_end_makes_a_file_worthless(data: st.DataObject) -> None:
    good = encode_token("key", ROLE, signed())
    assert decode_token("key", good) is not None
    position = data.draw(st.integers(0, len(good) - 1))
    assert decode_token("key", good[:position]) is None
    changed = bytes([good[position] ^ data.draw(st.integers(1, 255))])
    assert decode_token("key", good[:position] + changed + good[position + 1 :]) is None
