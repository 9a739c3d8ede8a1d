"""Files of AWS configuration: what is read, and the errors that name file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from kube_iam.aws.config_files import read_configuration, read_sections
from kube_iam.errors import CredentialsError

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "aws").glob("*.ini"))


def read(tmp_path: Path, text: str | bytes) -> dict[str, dict[str, object]]:
    path = tmp_path / "config"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_sections(str(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("[default]\n", {"default": {}}),
        ("[default]\nregion = x\n", {"default": {"region": "x"}}),
        ("[default]\r\nregion=x\r\n", {"default": {"region": "x"}}),
        ("[default]\nRegion : x\n", {"default": {"region": "x"}}),
        (b"\xef\xbb\xbf[default]\nregion = x\n", {"default": {"region": "x"}}),
        ("  [default]\n  region = x\n  output = y\n", {"default": {"region": "x", "output": "y"}}),
        ("[default] # mine\nregion = x # here\n", {"default": {"region": "x"}}),
        ("[default]\nregion = x\t; here\ncolor = #80aaff\n", {"default": {"region": "x", "color": "#80aaff"}}),
        (
            "[default]\nregion = \"x\"\noutput = 'y'\nodd = \"z'\n",
            {"default": {"region": "x", "output": "y", "odd": "\"z'"}},
        ),
        ("[default]\nregion = x\n[default]\noutput = y\n", {"default": {"region": "x", "output": "y"}}),
        ("[default]\nregion = x\nregion = y\n", {"default": {"region": "y"}}),
        ("[a]\nregion = x\n[b]\n[a]\nregion = y\n", {"a": {"region": "y"}, "b": {}}),
        ("[ profile\t a ]\nregion = x\n", {"profile a": {"region": "x"}}),
        (
            "[default]\ns3 =\n  # mine\n  a = 1\n\n  b = 2 # c\nregion = x\n",
            {"default": {"s3": {"a": "1", "b": "2 # c"}, "region": "x"}},
        ),
        ("[default]\nregion =\noutput = y\n", {"default": {"region": "", "output": "y"}}),
        ("[default]\ncredential_process = tool\n  --name x\n", {"default": {"credential_process": "tool\n--name x"}}),
        ("[default]\naws_secret_access_key = a/b+c==\n", {"default": {"aws_secret_access_key": "a/b+c=="}}),
    ],
)
def test_sections_and_settings_are_read(text: str | bytes, expected: object, tmp_path: Path) -> None:
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("invalid\n", 1, "neither a [section] nor a setting"),
        ("[default]\n\n# c\ninvalid\n", 4, "neither a [section] nor a setting"),
        ("[default]\n= x\n", 2, "neither a [section] nor a setting"),
        ("region = x\n[default]\n", 1, "before the first [section]"),
        ("[default\n", 1, "form [default] or [profile NAME]"),
        ("[]\n", 1, "form [default] or [profile NAME]"),
        ("[default] region = x\n", 1, "form [default] or [profile NAME]"),
        (b"[default]\nregion = \xff\n", 2, "bytes that are not UTF-8"),
        ("[default]\ns3 =\n  a = 1\n  invalid\n", 4, "an indented block has the form name = value"),
        ("[default]\naws_access_key_id = AKIA # mine\n", 2, "aws_access_key_id contains a blank"),
        ('[default]\naws_access_key_id = "AKIA"\n', 2, "aws_access_key_id contains a quote"),
        ("[default]\naws_access_key_id = AKIA;mine\n", 2, "a character that no access key id has"),
        ("[default]\naws_access_key_id = AKIA\r\r\n", 2, "a character that no access key id has"),
        ("[default]\naws_secret_access_key = 'x'\n", 2, "aws_secret_access_key contains a quote"),
        ("[default]\naws_session_token = x y\n", 2, "aws_session_token contains a blank"),
    ],
)
def test_an_error_names_file_line_and_reason(text: str | bytes, line: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as raised:
        read(tmp_path, text)
    assert raised.value.message.startswith(f"{tmp_path / 'config'}, line {line}: ")
    assert reason in raised.value.message
    assert raised.value.hint


def test_profile_default_has_precedence_and_names_may_be_in_quotes(tmp_path: Path) -> None:
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(
        "[profile default]\nregion = p\n[default]\nregion = d\noutput = json\n[profile a b]\nx = 1\n[profile 'c d']\nx = 2\n"
        "[sso-session s]\nsso_region = r\n[services v]\nsts =\n  endpoint_url = https://x\n[other]\nx = 3\n"
    )
    credentials.write_text("[a b]\nx = 4\n[new]\n")
    read = read_configuration({"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)})
    assert read["profiles"] == {
        "default": {"region": "p", "output": "json"},
        "a b": {"x": "4"},
        "c d": {"x": "2"},
        "new": {},
    }
    assert read["sso_sessions"] == {"s": {"sso_region": "r"}}
    assert read["services"] == {"v": {"sts": {"endpoint_url": "https://x"}}}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_files_as_people_write_them_are_read(path: Path, tmp_path: Path) -> None:
    sections = read(tmp_path, path.read_text().replace("@AKID@", "AKIA").replace("@SECRET@", "s"))
    assert len(sections) >= 2
    assert all(
        not str(value).strip().endswith(("# Ireland", "text")) for part in sections.values() for value in part.values()
    )


def test_a_file_that_does_not_exist_has_no_sections(tmp_path: Path) -> None:
    assert read_sections(str(tmp_path / "missing")) == {}
    assert read_sections(str(tmp_path)) == {}
