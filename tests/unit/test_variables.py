"""The variables of the AWS SDKs after `normalize`, and the profile that the environment names."""

from __future__ import annotations

from pathlib import Path

import pytest

from kube_iam.aws.client import make_session
from kube_iam.aws.environment import normalize
from kube_iam.aws.static_credentials import profile_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"AWS_PROFILE": "", "AWS_DEFAULT_PROFILE": "bob"}, {"AWS_PROFILE": "bob"}),
        ({"AWS_PROFILE": "alice", "AWS_DEFAULT_PROFILE": "bob"}, {"AWS_PROFILE": "alice"}),
        ({"AWS_PROFILE": "alice", "AWS_DEFAULT_PROFILE": ""}, {"AWS_PROFILE": "alice"}),
        ({"AWS_SESSION_TOKEN": "new", "AWS_SECURITY_TOKEN": "old"}, {"AWS_SESSION_TOKEN": "new"}),
        ({"AWS_SESSION_TOKEN": "", "AWS_SECURITY_TOKEN": "old"}, {"AWS_SESSION_TOKEN": "old"}),
        ({"AWS_ACCESS_KEY": "A", "AWS_SECRET_KEY": "s"}, {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s"}),
        ({"AWS_ACCESS_KEY": "A", "AWS_ACCESS_KEY_ID": "B"}, {"AWS_ACCESS_KEY_ID": "B"}),
        ({"AWS_MAX_ATTEMPTS": "", "AWS_CONFIG_FILE": "", "AWS_REGION": " "}, {"AWS_REGION": " "}),
        ({"HTTPS_PROXY": "", "PATH": "", "MY_AWS_PROFILE": ""}, {"HTTPS_PROXY": "", "PATH": "", "MY_AWS_PROFILE": ""}),
    ],
)
def test_empty_variables_are_unset_and_current_names_have_precedence(
    given: dict[str, str], expected: dict[str, str]
) -> None:
    environ = dict(given)
    normalize(environ)
    assert environ == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"AWS_PROFILE": "alice", "AWS_DEFAULT_PROFILE": "bob"}, "alice"),
        ({"AWS_PROFILE": "", "AWS_DEFAULT_PROFILE": "bob"}, "bob"),
        ({"AWS_PROFILE": "", "AWS_DEFAULT_PROFILE": ""}, None),
        ({"AWS_DEFAULT_PROFILE": "bob"}, "bob"),
    ],
)
def test_a_session_has_the_profile_that_the_environment_names(
    environ: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sessions of administrator commands and of the server are made by the same function as those of `token`."""
    assert profile_name(environ) == expected
    config = tmp_path / "config"
    config.write_text(
        "[profile alice]\nregion = eu-west-1\n[profile bob]\nregion = eu-west-2\n[profile eve]\nregion = x\n"
    )
    machine = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", **environ}
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in machine.items():
        monkeypatch.setenv(name, value)
    assert make_session(environ=machine).profile == expected
    assert make_session("eve", machine).profile == "eve"
