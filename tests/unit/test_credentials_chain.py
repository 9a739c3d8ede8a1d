"""static_credentials is compared with our botocore session over a matrix of environments and files: it says the same, or it abstains.

botocore gets a session of its own per case, with a clean environment, and no way to reach any network.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import FEW, examples
from kube_iam.aws.client import make_session
from kube_iam.aws.static_credentials import parse, profiles_of, read_profile, static_credentials
from kube_iam.core.credentials import Credentials
from kube_iam.errors import KubeIamError
from required import not_applicable

NOW = 1795507200.0
KEYS = "aws_access_key_id = AKID{0}\naws_secret_access_key = secret/{0}+=\n"
SESSION = KEYS + "aws_session_token = token{0}==\n"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    return monkeypatch


def by_botocore() -> Credentials | None:
    """Return what botocore finds, or None if it finds nothing, refuses, or would have to call a service."""
    try:
        found = make_session().get_credentials()
    except Exception:
        return None
    if found is None or (type(found) is not BotocoreCredentials and not hasattr(found, "_expiry_time")):
        return None
    try:
        frozen = found.get_frozen_credentials()
    except Exception:
        return None
    end = getattr(found, "_expiry_time", None)
    return Credentials(
        str(frozen.access_key), str(frozen.secret_key), frozen.token or "", end.timestamp() if end is not None else None
    )


def region_by_botocore() -> str:
    """Return the region of the profile in use. AWS_DEFAULT_REGION is not set in any case."""
    try:
        return str(make_session().get_scoped_config().get("region", ""))
    except KubeIamError:
        return ""


def compare(
    monkeypatch: pytest.MonkeyPatch, home: Path, environ: Mapping[str, str], config: str | None, shared: str | None
) -> str:
    """Both chains over one case, and the region where the files were read; returns who answered."""
    directory = home / ".aws"
    directory.mkdir(exist_ok=True)
    for name, text in (("config", config), ("credentials", shared)):
        path = directory / name
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with monkeypatch.context() as patch:
        for key, value in environ.items():
            patch.setenv(key, value)
        profile = read_profile(os.environ)
        if profile is not None:
            assert profile.get("region") == region_by_botocore()
        ours = static_credentials(os.environ, profile, NOW)
        if ours is None:
            return "abstains"
        theirs = by_botocore()
    assert ours == theirs, (ours, theirs)
    return "answers"


ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "envsecret"},
    {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "envsecret", "AWS_SESSION_TOKEN": "envtoken"},
    {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "a", "AWS_SECURITY_TOKEN": "b"},
    {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "", "AWS_SECURITY_TOKEN": ""},
    {"AWS_ACCESS_KEY_ID": "AKIDENV"},
    {"AWS_SECRET_ACCESS_KEY": "envsecret"},
    {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    {
        "AWS_ACCESS_KEY_ID": "AKIDENV",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00Z",
    },
    {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z"},
    {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_CREDENTIAL_EXPIRATION": "next week"},
    {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent"},
    {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x"},
    {
        "AWS_ACCESS_KEY_ID": "AKIDENV",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ROLE_ARN": "r",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "f",
    },
]
PROFILES: list[dict[str, str]] = [
    {},
    {"AWS_PROFILE": "default"},
    {"AWS_PROFILE": "dev"},
    {"AWS_PROFILE": "missing"},
    {"AWS_PROFILE": ""},
    {"AWS_PROFILE": "dev", "AWS_DEFAULT_PROFILE": "default"},
    {"AWS_DEFAULT_PROFILE": "dev"},
    {"AWS_DEFAULT_PROFILE": "", "AWS_PROFILE": "dev"},
    {"AWS_DEFAULT_PROFILE": "missing", "AWS_PROFILE": "dev"},
    {"AWS_PROFILE": "Dev"},
    {"AWS_PROFILE": "a b"},
    {"AWS_PROFILE": "profile dev"},
    {"AWS_PROFILE": "dev", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/config"},
    {"AWS_PROFILE": "dev", "AWS_CONFIG_FILE": "$HOME/.aws/credentials"},
    {"AWS_CONFIG_FILE": "/nonexistent/file", "AWS_SHARED_CREDENTIALS_FILE": ""},
]
CONFIGS: list[str | None] = [
    None,
    "",
    "[default]\nregion = eu-central-1\n",
    "[default]\n" + KEYS.format("cd") + "[profile dev]\n" + SESSION.format("cv"),
    "[profile dev]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = default\n[default]\n"
    + KEYS.format("cd"),
    "[profile dev]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n[sso-session s]\nsso_region = us-east-1\n",
    "[profile dev]\ncredential_process = /bin/false\n",
    "[profile dev]\ncredential_process = /bin/false\n" + KEYS.format("cp"),
    "[profile dev]\ns3 =\n  max_concurrent_requests = 20\n  addressing_style = path\n" + KEYS.format("cs"),
    "[profile default]\n" + KEYS.format("pd") + "[default]\n" + KEYS.format("d"),
    "[default]\n" + KEYS.format("d") + "[profile default]\nregion = x\n",
    "[dev]\n" + KEYS.format("notaprofile"),
    "[profile 'dev']\n" + KEYS.format("quoted"),
    '[profile "a b"]\n' + KEYS.format("two words"),
    "[profile a b]\n" + KEYS.format("two words"),
    "[profile\tdev]\n" + KEYS.format("tab"),
    "[profile dev]\nservices = s\n" + KEYS.format("sv") + "[services s]\nsts =\n  endpoint_url = https://x\n",
    "[sso-session dev]\nsso_region = us-east-1\n[services dev]\n" + KEYS.format("no"),
    "[profile dev]\nlogin_session = arn:aws:iam::123456789012:user/a\n" + KEYS.format("login"),
    "[profile dev]\nrole_arn = r\nweb_identity_token_file = /nonexistent\n" + KEYS.format("web"),
    "[profile dev]\nsource_profile = dev\n" + KEYS.format("self"),
    "[profile dev]\nmfa_serial = arn:aws:iam::123456789012:mfa/a\n" + KEYS.format("mfa"),
    "[profile dev]\nendpoint_url = https://x\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n"
    + KEYS.format("e"),
    "[profile  dev]\n" + KEYS.format("blanks"),
    "not a section\n",
]
SHARED: list[str | None] = [
    None,
    "[default]\n" + KEYS.format("sd") + "[dev]\n" + SESSION.format("sv"),
    "[default]\naws_access_key_id=AKIDhalf\n",
    "[dev]\naws_session_token = only\nregion = eu-west-1\n",
    "[default]\n" + KEYS.format("sd") + "aws_session_token =\n",
    "[dev]\nrole_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Environment\n" + KEYS.format("r"),
    "[dev]\n" + KEYS.format("sv") + "aws_security_token = old\naws_session_token = new\nx_principal_arn = whatever\n",
]
STEP = 61 if FEW else 13


@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=lambda e: "+".join(e) or "empty")
def test_it_says_what_botocore_says_or_abstains(
    environ: dict[str, str], clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Every environment meets other cells of the matrix: all of them together would take a minute.
    start = ENVIRONMENTS.index(environ)
    outcomes = {
        compare(clean, tmp_path, {**environ, **profile}, config, shared)
        for profile, config, shared in itertools.islice(itertools.product(PROFILES, CONFIGS, SHARED), start, None, STEP)
    }
    if (
        environ.get("AWS_SECRET_ACCESS_KEY")
        and environ.get("AWS_ACCESS_KEY_ID")
        and "AWS_CREDENTIAL_EXPIRATION" not in environ
    ):
        assert "answers" in outcomes


@pytest.mark.parametrize(
    ("environ", "config", "shared"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s"}, None, None),
        ({"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "dev"}, "[profile dev]\n", None),
        ({}, None, "[default]\n" + KEYS.format("a")),
        ({}, "[default]\nregion = eu-central-1\noutput = json\n", "[default]\n" + SESSION.format("a")),
        ({"AWS_PROFILE": "dev"}, "[profile dev]\n" + KEYS.format("a"), None),
        (
            {"AWS_PROFILE": "dev"},
            "[profile dev]\nregion = x\n[profile other]\nsso_session = s\n",
            "[dev]\n" + KEYS.format("a"),
        ),
        ({"AWS_PROFILE": "dev"}, "# caf\u00e9\n[profile dev]\r\n" + KEYS.format("a").replace("\n", "\r\n"), None),
        (
            {},
            None,
            "; x\n\n[default]\n\n  # indented comment\nAWS_Access_Key_ID=AKIDA\n\naws_secret_access_key\t=  a=b#c/d  \n",
        ),
    ],
)
def test_the_usual_setups_take_the_short_way(
    environ: dict[str, str], config: str | None, shared: str | None, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert compare(clean, tmp_path, environ, config, shared) == "answers"


@pytest.mark.parametrize(
    "text",
    [
        "[default]\naws_access_key_id = AKIDA\n  continued\naws_secret_access_key = b\n",
        "[default]\naws_access_key_id = AKIDA\n\n  continued\naws_secret_access_key = b\n",
        "[default]\n" + KEYS.format("a") + "[default]\n" + KEYS.format("b"),
        "[default]\n" + KEYS.format("a") + "aws_access_key_id = AKIDB\n",
        "[default]\n" + KEYS.format("a") + "AWS_ACCESS_KEY_ID = AKIDB\n",
        "[default]\naws_access_key_id: AKIDA\naws_secret_access_key: b=c\n",
        "[default] # mine\n" + KEYS.format("a"),
        "[ default ]\n" + KEYS.format("a"),
        "[DEFAULT]\n" + KEYS.format("a") + "[default]\nregion = x\n",
        "  [default]\n" + KEYS.format("a"),
        "[default]\n  aws_access_key_id = AKIDA\n  aws_secret_access_key = b\n",
        KEYS.format("a"),
        "[default]\n" + KEYS.format("a") + "novalue\n",
        "[default]\n" + KEYS.format("a") + "= novalue\n",
        "\ufeff[default]\n" + KEYS.format("a"),
        "[default]\raws_access_key_id = AKIDA\raws_secret_access_key = b\r",
        "[default]\n" + KEYS.format("a\u00a0"),
        "[default]\n" + KEYS.format("a\x0b"),
        "[default]\n" + KEYS.format("a\x1c"),
        "[default]]\n" + KEYS.format("a"),
        "[default]\ns3 =\n  invalid\n" + KEYS.format("a"),
        "[default]\naws_access_key_id =\n  a = b\naws_secret_access_key = b\n",
        "[default]\n" + KEYS.format("a") + "unknown_setting = 1\n",
    ],
)
def test_odd_files_are_read_as_botocore_reads_them_or_left_to_it(
    text: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compare(clean, tmp_path, {}, None, text)
    compare(clean, tmp_path, {}, text, None)


LINES = st.sampled_from(
    [
        "[default]",
        "[dev]",
        "[profile dev]",
        "[DEFAULT]",
        " [default]",
        "[default] ;x",
        "aws_access_key_id = AKID1",
        "aws_access_key_id=AKID2",
        "aws_secret_access_key = s1",
        "AWS_SECRET_ACCESS_KEY : s2",
        "aws_session_token = t",
        "aws_session_token =",
        "aws_security_token = u",
        "region = r",
        "s3 =",
        "  nested = 1",
        "\tother : 2",
        "  ",
        "",
        "# c",
        "  ; c",
        "x=#y",
        "role_arn = r",
        "source_profile = default",
        "credential_process = /bin/false",
        "sso_account_id = 1",
    ]
)
FILES = st.none() | st.lists(LINES, max_size=12).map(lambda lines: "\n".join(lines) + "\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(150), deadline=None)
@given(FILES, FILES, st.sampled_from(PROFILES), st.sampled_from(ENVIRONMENTS[:6]))
def test_for_any_file_it_says_what_botocore_says_or_abstains(
    clean: pytest.MonkeyPatch,
    tmp_path: Path,
    config: str | None,
    shared: str | None,
    profile: dict[str, str],
    environ: dict[str, str],
) -> None:
    compare(clean, tmp_path, {**environ, **profile}, config, shared)


# Whole files out of pieces that mean something to configparser or to botocore, joined by every kind of line end.
WORDS = st.sampled_from(
    [
        "default",
        "dev",
        "profile dev",
        "profile default",
        "profile  dev",
        "DEFAULT",
        "Dev",
        "sso-session s",
        "services s",
        "a b",
    ]
)
SECTIONS = st.builds(
    "{}[{}]{}".format,
    st.sampled_from(["", "", "", " ", "\t", "\ufeff"]),
    WORDS,
    st.sampled_from(["", "", "", " ", "  # c", ";c", "]"]),
)
NAMES = st.sampled_from(
    [
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_security_token",
        "AWS_Access_Key_Id",
        "region",
        "services",
        "s3",
        "mfa_serial",
        "source_profile",
        "x_mine",
        "%(region)s",
    ]
)
VALUES = st.sampled_from(
    ["A1", "B2", "", "a=b", "a:b", "a # c", "a ;c", "#c", "'q'", "%(x)s", "\u00e9", "\x0c", "a\\", "[x]"]
)
SETTINGS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "", "  ", "\t"]),
    NAMES,
    st.sampled_from(["=", " = ", "\t=\t", ":", " : ", " ", ""]),
    VALUES,
    st.sampled_from(["", "", " ", "\t", "\x0b", "\x1f"]),
)
OTHER = st.sampled_from(
    ["", " ", "\t", "# c", ";c", "  # c", "  nested = 1", "\tdeep=2", "  continued", "rem x", "\ufeff", "=", "\udcff"]
)
PLAIN = st.sampled_from(
    [
        "aws_access_key_id = AKID9",
        "aws_secret_access_key = s9",
        "aws_session_token = t9",
        "region = r9",
        "[default]",
        "[dev]",
    ]
)
INI = st.builds(
    lambda parts, end: "".join(parts) + end,
    st.lists(
        st.builds(
            "{}{}".format,
            SECTIONS | SETTINGS | OTHER | PLAIN | PLAIN,
            st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]),
        )
    ),
    st.sampled_from(["", "\n", "  ", "x"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(300), deadline=None)
@given(st.none() | INI, st.none() | INI, st.sampled_from(PROFILES), st.sampled_from(ENVIRONMENTS[:6]))
def test_for_any_generated_ini_file_it_says_what_botocore_says_or_abstains(
    clean: pytest.MonkeyPatch,
    tmp_path: Path,
    config: str | None,
    shared: str | None,
    profile: dict[str, str],
    environ: dict[str, str],
) -> None:
    compare(clean, tmp_path, {**environ, **profile}, config, shared)


COMPLETE = st.permutations(
    [
        "aws_access_key_id = AKIDX",
        "aws_secret_access_key\t=\ts=:#;",
        "region=r",
        "",
        "# c",
        "\toutput = json",
        "s3 =\n  a = b",
    ]
).map(lambda lines: "\n".join(lines))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60), deadline=None)
@given(COMPLETE, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_complete_profiles_in_any_order_with_comments_blocks_and_tabs(
    clean: pytest.MonkeyPatch, tmp_path: Path, body: str, newline: str, in_config: bool
) -> None:
    text = f"[default]\n{body}\n[other]\nrole_arn = r\n".replace("\n", newline)
    compare(clean, tmp_path, {}, text if in_config else None, None if in_config else text)


def test_a_file_that_cannot_be_read_is_left_to_botocore(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    path = tmp_path / ".aws" / "credentials"
    path.write_text("[default]\n" + KEYS.format("a"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        not_applicable("root reads every file")
    assert read_profile(os.environ) is None


def test_a_named_pipe_or_a_directory_is_no_file(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    environ = {"AWS_CONFIG_FILE": str(tmp_path / "pipe"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path)}
    profile = read_profile(environ)
    assert profile is not None
    assert (profile.config, profile.credentials) == ({}, {})


def test_a_huge_file_is_left_to_botocore(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"#" * (1024 * 1024 + 1))
    assert read_profile({"AWS_CONFIG_FILE": str(tmp_path / "big")}) is None


def test_the_credentials_file_wins_over_the_config_file(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-central-1\noutput = json\n")
    (tmp_path / ".aws" / "credentials").write_text("[default]\nregion = eu-west-1\n")
    profile = read_profile({})
    assert profile is not None
    assert (profile.get("region"), profile.get("output"), profile.get("other")) == ("eu-west-1", "json", "")


def test_other_sections_of_a_config_file_are_no_profiles() -> None:
    sections = parse(b"[default]\na=1\n[profile x]\nb=2\n[sso-session s]\nc=3\n[services t]\n[plugins]\n")
    assert sections is not None
    assert profiles_of(sections) == {"default": {"a": "1"}, "x": {"b": "2"}}
