"""Every source of credentials that the AWS SDKs know, each with a stand-in of its service on loopback, and `token` as a process."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aws_stand_ins import ACCOUNT, AGENT_AUTHORIZATION, BEARER, PERMISSION_SET, StandIns
from credential_home import Home, signer_of
from tls_sts import TlsSts

import forks
from kube_iam.core.utc import parse_rfc3339

pytestmark = pytest.mark.process

ROLE = "arn:aws:iam::123456789012:role/"
KEYS = "aws_access_key_id = AKIDBASE\naws_secret_access_key = s\n"


@pytest.fixture
def sts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsSts]:
    with TlsSts(tmp_path_factory.mktemp("sts")).serving() as serving:
        serving.length = 600
        yield serving


@pytest.fixture
def services() -> Iterator[StandIns]:
    with StandIns().serving() as serving:
        yield serving


@pytest.fixture
def home(tmp_path: Path, sts: TlsSts) -> Home:
    return Home.on(tmp_path, sts)


def test_a_chain_of_profiles_assumes_one_role_after_the_other(home: Home, sts: TlsSts) -> None:
    home.config(
        f"[profile base]\n{KEYS}"
        f"[profile middle]\nrole_arn = {ROLE}middle\nsource_profile = base\nexternal_id = contract-7\n"
        f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = middle\nrole_session_name = alice\nduration_seconds = 900\n"
    )
    assert home.signed_by(AWS_PROFILE="top") == (f"ASIA{2:012}", sts.ends[-1])
    assert [call["RoleArn"] for call in sts.asked] == [f"{ROLE}middle", f"{ROLE}top"]
    assert sts.asked[0]["ExternalId"] == "contract-7"
    assert (sts.asked[1]["RoleSessionName"], sts.asked[1]["DurationSeconds"]) == ("alice", "900")


def test_a_role_on_top_of_a_chain_is_named_after_the_chains_own_session(home: Home, sts: TlsSts) -> None:
    sts.caller = "arn:aws:sts::123456789012:assumed-role/top/alice"
    home.config(f"[profile base]\n{KEYS}[profile top]\nrole_arn = {ROLE}top\nsource_profile = base\n")
    signed_by, _ = home.signed_by("-r", f"{ROLE}admin", AWS_PROFILE="top")
    assert signed_by == f"ASIA{3:012}"
    assert sts.actions() == ["AssumeRole", "GetCallerIdentity", "AssumeRole"]
    assert sts.asked[-1]["RoleSessionName"] == "alice"
    assert home.signed_by("-r", f"{ROLE}admin", AWS_PROFILE="top")[0] == signed_by
    assert len(sts.asked) == 3, "the session is kept"


def test_a_credential_process(home: Home) -> None:
    answer = {"Version": 1, "AccessKeyId": "ASIAPROCESS", "SecretAccessKey": "s", "SessionToken": "t"}
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 700))
    (home.path / "answer.json").write_text(json.dumps({**answer, "Expiration": end}))
    home.config(f"[profile p]\ncredential_process = cat {home.path}/answer.json\n")
    assert home.signed_by(AWS_PROFILE="p") == ("ASIAPROCESS", end)


SSO = f"sso_account_id = {ACCOUNT}\nsso_role_name = {PERMISSION_SET}\n"
SSO_PROFILES = {
    "an sso-session": f"[profile s]\nsso_session = corp\n{SSO}[sso-session corp]\nsso_region = eu-west-1\n"
    "sso_start_url = https://x.awsapps.com\nsso_registration_scopes = sso:account:access\n",
    "the old form": f"[profile s]\nsso_start_url = https://x.awsapps.com\nsso_region = eu-west-1\n{SSO}",
}


@pytest.mark.parametrize("form", SSO_PROFILES)
def test_iam_identity_center(form: str, home: Home, services: StandIns) -> None:
    home.config(SSO_PROFILES[form])
    home.sso_token("corp" if form == "an sso-session" else "https://x.awsapps.com")
    assert home.signed_by(AWS_PROFILE="s", AWS_ENDPOINT_URL_SSO=services.url) == ("ASIASSO", services.end)


@pytest.mark.parametrize("form", SSO_PROFILES)
def test_cached_sessions_end_with_the_sign_in_that_they_were_made_with(
    form: str, home: Home, services: StandIns, sts: TlsSts
) -> None:
    """`aws sso logout` ends them, although the session itself lives on at AWS."""
    home.config(SSO_PROFILES[form])
    name = "corp" if form == "an sso-session" else "https://x.awsapps.com"
    home.sso_token(name)
    sts.length = 3600
    asked = ("-r", f"{ROLE}admin", "-s", "alice")
    environ = {"AWS_PROFILE": "s", "AWS_ENDPOINT_URL_SSO": services.url}
    first = home.signed_by(*asked, **environ)
    assert home.signed_by(*asked, **environ) == first
    for path in (home.path / ".aws" / "sso" / "cache").iterdir():
        path.unlink()
    ran = home.token(*asked, **environ)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "aws sso login" in ran.stderr


@pytest.mark.parametrize("form", SSO_PROFILES)
@pytest.mark.parametrize("lasts", [None, -60], ids=["never", "ended"])
def test_without_a_sign_in_the_line_says_which_command_signs_in(
    form: str, lasts: float | None, home: Home, services: StandIns
) -> None:
    home.config(SSO_PROFILES[form])
    if lasts is not None:
        home.sso_token("corp" if form == "an sso-session" else "https://x.awsapps.com", lasts)
    ran = home.token(AWS_PROFILE="s", AWS_ENDPOINT_URL_SSO=services.url)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "aws sso login" in ran.stderr
    assert services.asked == []


@pytest.mark.parametrize(
    ("bearer", "permission_set", "says"),
    [("revoked", PERMISSION_SET, "aws sso login"), (BEARER, "Gone", "sso_role_name")],
)
def test_what_the_portal_refuses_is_told_with_its_remedy(
    bearer: str, permission_set: str, says: str, home: Home, services: StandIns
) -> None:
    home.config(SSO_PROFILES["an sso-session"].replace(PERMISSION_SET, permission_set))
    home.sso_token("corp", bearer=bearer)
    ran = home.token(AWS_PROFILE="s", AWS_ENDPOINT_URL_SSO=services.url)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert says in ran.stderr
    assert bearer not in ran.stderr


@pytest.mark.parametrize("form", ["variables", "profile"])
def test_a_web_identity(form: str, home: Home, sts: TlsSts) -> None:
    (home.path / "jwt").write_text("the.web.identity")
    if form == "variables":
        environ = {
            "AWS_ROLE_ARN": f"{ROLE}ci",
            "AWS_WEB_IDENTITY_TOKEN_FILE": f"{home.path}/jwt",
            "AWS_ROLE_SESSION_NAME": "build-7",
        }
    else:
        home.config(
            f"[profile w]\nrole_arn = {ROLE}ci\nweb_identity_token_file = {home.path}/jwt\nrole_session_name = build-7\n"
        )
        environ = {"AWS_PROFILE": "w"}
    assert home.signed_by(**environ) == (f"ASIA{1:012}", sts.ends[-1])
    (call,) = sts.asked
    assert call["Action"] == "AssumeRoleWithWebIdentity"
    assert (call["RoleArn"], call["RoleSessionName"]) == (f"{ROLE}ci", "build-7")
    assert call["WebIdentityToken"] == "the.web.identity"


@pytest.mark.parametrize("secret", ["AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
def test_a_containers_agent(secret: str, home: Home, services: StandIns) -> None:
    """ECS and, with the file, EKS Pod Identity."""
    (home.path / "authorization").write_text(AGENT_AUTHORIZATION)
    value = str(home.path / "authorization") if secret.endswith("FILE") else AGENT_AUTHORIZATION
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{services.url}/agent", secret: value}
    assert home.signed_by(**environ) == ("ASIACONTAINER", services.end)


def test_an_instances_metadata_gives_region_and_credentials(home: Home, services: StandIns) -> None:
    services.length = 6 * 3600
    environ = {
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": services.url,
        "AWS_REGION": "",
    }
    signed_by, end = home.signed_by(**environ)
    assert signed_by == "ASIAINSTANCE"
    told, now = parse_rfc3339(end), time.time()
    assert told is not None
    assert now < told <= now + 14 * 60, "the session lasts longer than a token"
    assert "PUT /latest/api/token" in services.asked
    assert "GET /latest/meta-data/placement/region" in services.asked


@pytest.mark.parametrize(
    ("source", "key_id"), [("EcsContainer", "ASIACONTAINER"), ("Ec2InstanceMetadata", "ASIAINSTANCE")]
)
def test_a_role_on_top_of_a_named_credential_source(
    source: str, key_id: str, home: Home, sts: TlsSts, services: StandIns
) -> None:
    services.length = 6 * 3600
    home.config(f"[profile c]\nrole_arn = {ROLE}c\ncredential_source = {source}\n")
    environ = {
        "AWS_PROFILE": "c",
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": services.url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{services.url}/agent",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": AGENT_AUTHORIZATION,
    }
    assert home.signed_by(**environ) == (f"ASIA{1:012}", sts.ends[-1])
    assert sts.signers == [key_id]


def test_keys_of_the_environment_go_before_everything_else(home: Home, sts: TlsSts, services: StandIns) -> None:
    home.config(f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = base\n[profile base]\n{KEYS}")
    environ = {
        "AWS_PROFILE": "top",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{services.url}/agent",
        "AWS_ACCESS_KEY_ID": "AKIDENVIRONMENT",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    assert home.signed_by(**environ)[0] == "AKIDENVIRONMENT"
    assert (sts.asked, services.asked) == ([], [])


def keys_of(tool: Path, **changes: object) -> str:
    """Return a command that prints credentials."""
    answer = {"Version": 1, "AccessKeyId": "ASIATOOL", "SecretAccessKey": "s", "SessionToken": "t", **changes}
    tool.write_text(json.dumps(answer))
    return f"cat {tool}"


def test_messages_of_a_tool_reach_the_terminal_while_it_waits(home: Home) -> None:
    """The tool prints an address, and goes on only when somebody has been there."""
    done = home.path / "done"
    os.mkfifo(done)
    command = keys_of(home.path / "keys.json")
    home.config(f"[profile p]\ncredential_process = echo open https://example.com >&2; read x < {done}; {command}\n")
    running = subprocess.Popen(
        [forks.PROGRAM, "token", "-i", "shop"],
        env={**home.environ, "AWS_PROFILE": "p"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    assert running.stderr.readline() == "open https://example.com\n"
    done.write_text("yes\n")
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert json.loads(out)["status"]["token"]


@pytest.mark.parametrize(
    "command",
    [
        "~/tool x",
        "$HOME/tool x",
        '"$HOME/tool" x',
        "X=y ~/tool x",
        "~/tool x | cat",
        "cd ~ && ./tool x",
        "~/tool \\\n  x",
    ],
)
def test_a_shell_runs_the_command_as_with_the_reference(command: str, home: Home) -> None:
    tool = home.path / "tool"
    tool.write_text(f'#!/bin/sh\n[ "$1" = x ] && {keys_of(home.path / "keys.json")}\n')
    tool.chmod(0o755)
    home.config(f"[profile p]\ncredential_process = {command}\n")
    assert home.signed_by(AWS_PROFILE="p")[0] == "ASIATOOL"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"Expiration": "2001-01-01T00:00:00Z"}, "credentials that ended at 2001-01-01T00:00:00Z"),
        ({"Expiration": "2099-01-01T00:00:00"}, "not a time with its zone"),
        ({"Expiration": "next week"}, "not a time with its zone"),
        ({"Expiration": 4070908800}, "no Expiration"),
        ({"AccessKeyId": ""}, "no AccessKeyId"),
        ({"SecretAccessKey": None}, "no SecretAccessKey"),
        ({"SessionToken": ["t"]}, "no SessionToken"),
        ({"Version": "1"}, "no Version"),
        (
            {"AccessKeyId": "AKIA # mine"},
            "access key id that the credential_process of profile p gives contains a blank",
        ),
    ],
)
@pytest.mark.parametrize("through", ["p", "role"])
def test_what_a_tool_prints_wrongly_is_named_with_its_profile(
    through: str, changes: dict[str, object], says: str, home: Home
) -> None:
    command = keys_of(home.path / "keys.json", **changes)
    home.config(
        f"[profile p]\ncredential_process = {command}\n[profile role]\nrole_arn = {ROLE}r\nsource_profile = p\n"
    )
    ran = home.token(AWS_PROFILE=through)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "profile p" in ran.stderr
    assert says in ran.stderr
    assert "a bug" not in ran.stderr


@pytest.mark.parametrize("expiration", ["2099-01-01T00:00:00+02:00", "2099-01-01T00:00:00.123Z", "", None])
def test_every_spelling_of_an_end_is_taken(expiration: str | None, home: Home) -> None:
    home.config(f"[profile p]\ncredential_process = {keys_of(home.path / 'keys.json', Expiration=expiration)}\n")
    assert home.signed_by(AWS_PROFILE="p")[0] == "ASIATOOL"


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "not JSON", '{"accessToken": 1}'])
@pytest.mark.parametrize("form", SSO_PROFILES)
def test_a_damaged_sign_in_of_identity_center_is_named(form: str, text: str, home: Home, services: StandIns) -> None:
    home.config(SSO_PROFILES[form])
    name = "corp" if form == "an sso-session" else "https://x.awsapps.com"
    home.sso_token(name)
    for path in (home.path / ".aws" / "sso" / "cache").iterdir():
        path.write_text(text)
    ran = home.token(AWS_PROFILE="s", AWS_ENDPOINT_URL_SSO=services.url)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "aws sso login" in ran.stderr
    assert "a bug" not in ran.stderr


@pytest.mark.parametrize(
    "body", ["{}", "[]", "null", "", "no", '{"AccessKeyId": "A"}', '{"AccessKeyId": "A", "SecretAccessKey": 1}']
)
def test_a_containers_agent_that_gives_no_credentials_is_named(body: str, home: Home, services: StandIns) -> None:
    services.agent_body = body
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{services.url}/agent",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": AGENT_AUTHORIZATION,
    }
    ran = home.token(**environ)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "container" in ran.stderr
    assert "AWS_CONTAINER_" in ran.stderr
    assert "a bug" not in ran.stderr


SLOW = "[profile p]\ncredential_process = false\n"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"AWS_MAX_ATTEMPTS": "abc"}, "AWS_MAX_ATTEMPTS"),
        ({"AWS_MAX_ATTEMPTS": "0"}, "AWS_MAX_ATTEMPTS"),
        ({"AWS_METADATA_SERVICE_TIMEOUT": "1s"}, "AWS_METADATA_SERVICE_TIMEOUT"),
        ({"AWS_CA_BUNDLE": "/nonexistent/ca.pem"}, "/nonexistent/ca.pem in the variable AWS_CA_BUNDLE"),
        ({"AWS_ACCESS_KEY_ID": "AKIA # mine", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID contains a blank"),
        ({"AWS_ACCESS_KEY_ID": "AKIA ", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID contains a blank"),
        ({"AWS_ACCESS_KEY_ID": "'AKIA'", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID contains a quote"),
        ({"AWS_ACCESS_KEY_ID": "AKIA\r", "AWS_SECRET_ACCESS_KEY": "s"}, "AWS_ACCESS_KEY_ID contains a line break"),
        ({"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": '"s"'}, "AWS_SECRET_ACCESS_KEY contains a quote"),
        (
            {
                "AWS_ACCESS_KEY_ID": "A",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
            },
            "ended at 2001-01-01T00:00:00Z (AWS_CREDENTIAL_EXPIRATION)",
        ),
        (
            {
                "AWS_ACCESS_KEY_ID": "A",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_CREDENTIAL_EXPIRATION": "2099-01-01T00:00:00",
            },
            "AWS_CREDENTIAL_EXPIRATION is not a time with its zone",
        ),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(environ: dict[str, str], says: str, home: Home) -> None:
    home.config(SLOW)
    ran = home.token(**{"AWS_PROFILE": "p", **environ})
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert says in ran.stderr
    assert "a bug" not in ran.stderr


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("", "source_profile = NAME"),
        ("credential_source = Environment\n", "AWS_ACCESS_KEY_ID"),
        ("credential_source = EcsContainer\n", "AWS_CONTAINER_CREDENTIALS_"),
        ("credential_source = Ec2InstanceMetadata\n", "AWS_EC2_METADATA_DISABLED"),
    ],
)
def test_a_role_without_keys_to_assume_it_says_where_they_come_from(settings: str, says: str, home: Home) -> None:
    home.config(f"[profile r]\nrole_arn = {ROLE}r\n{settings}")
    ran = home.token(AWS_PROFILE="r")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert says in ran.stderr
    assert "both halves" not in ran.stderr


@pytest.mark.parametrize("scheme", ["socks4", "socks", "ftp"])
def test_another_kind_of_proxy_is_refused_by_its_name(scheme: str, home: Home) -> None:
    home.config(f"[profile base]\n{KEYS}[profile r]\nrole_arn = {ROLE}r\nsource_profile = base\n")
    ran = home.token(AWS_PROFILE="r", HTTPS_PROXY=f"{scheme}://me:secret@127.0.0.1:1", NO_PROXY="")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert f"the proxy {scheme}://127.0.0.1:1" in ran.stderr
    assert "NO_PROXY" in ran.stderr
    assert "secret" not in ran.stderr


@dataclass(frozen=True)
class Source:
    """A configuration file, and the variables of a shell. `{url}` stands for the services, `{home}` for the home directory."""

    config: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


AGENT = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/agent",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": AGENT_AUTHORIZATION,
}
INSTANCE = {
    "AWS_EC2_METADATA_DISABLED": "false",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}",
    "AWS_REGION": "",
}
PORTAL = {"AWS_PROFILE": "s", "AWS_ENDPOINT_URL_SSO": "{url}"}
TEMPORARY_SOURCES = {
    "role on static keys": Source(
        f"[profile base]\n{KEYS}[profile top]\nrole_arn = {ROLE}top\nsource_profile = base\n", {"AWS_PROFILE": "top"}
    ),
    "role on a role": Source(
        f"[profile base]\n{KEYS}[profile m]\nrole_arn = {ROLE}m\nsource_profile = base\n"
        f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = m\n",
        {"AWS_PROFILE": "top"},
    ),
    "role on a credential source": Source(
        f"[profile c]\nrole_arn = {ROLE}c\ncredential_source = EcsContainer\n", {"AWS_PROFILE": "c", **AGENT}
    ),
    "file beyond the plain subset": Source(
        f"[profile top]\nrole_arn = {ROLE}top\nsource_profile = base\nregion = eu-west-1\nx_note = Zürich\n"
        f"[profile base]\n{KEYS}",
        {"AWS_PROFILE": "top", "AWS_REGION": ""},
    ),
    "credential_process": Source("[profile p]\ncredential_process = sh {home}/tool.sh\n", {"AWS_PROFILE": "p"}),
    "sso-session": Source(SSO_PROFILES["an sso-session"], PORTAL),
    "sso, the old form": Source(SSO_PROFILES["the old form"], PORTAL),
    "web identity": Source("", {"AWS_ROLE_ARN": f"{ROLE}ci", "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/jwt"}),
    "container's agent": Source("", AGENT),
    "instance": Source("", INSTANCE),
}


def write_tool(home: Home, key_id: str) -> None:
    """Write the credential tool. Each run of it adds a line to the file `runs`."""
    answer = {"Version": 1, "AccessKeyId": key_id, "SecretAccessKey": "s", "SessionToken": "t"}
    text = json.dumps({**answer, "Expiration": "2099-01-01T00:00:00Z"})
    (home.path / "tool.sh").write_text(f"echo run >> {home.path}/runs\necho '{text}'\n")


@pytest.fixture(params=TEMPORARY_SOURCES)
def source(request: pytest.FixtureRequest, home: Home, services: StandIns) -> dict[str, str]:
    """Prepare a source of temporary credentials. Return the variables of the shell."""
    chosen = TEMPORARY_SOURCES[request.param]
    write_tool(home, "ASIATOOL")
    (home.path / "runs").touch()
    (home.path / "jwt").write_text("the.web.identity")
    for name in ("corp", "https://x.awsapps.com"):
        home.sso_token(name)
    services.length = 6 * 3600

    def filled(text: str) -> str:
        return text.replace("{url}", services.url).replace("{home}", str(home.path))

    home.config(filled(chosen.config))
    return {name: filled(value) for name, value in chosen.variables.items()}


@pytest.mark.parametrize("arguments", [(), ("-r", f"{ROLE}admin", "-s", "alice")], ids=["own", "role"])
def test_second_token_of_every_source_makes_no_call_and_imports_no_sdk(
    arguments: tuple[str, ...], source: dict[str, str], home: Home, sts: TlsSts, services: StandIns
) -> None:
    variables = {**source, "KUBE_IAM_TOKEN_CACHE": "0", "PYTHONPROFILEIMPORTTIME": "1"}
    first = home.token(*arguments, **variables)
    calls = (list(sts.asked), list(services.asked), (home.path / "runs").read_text())
    again = home.token(*arguments, **variables)
    assert (first.returncode, again.returncode) == (0, 0)
    assert signer_of(again.stdout) == signer_of(first.stdout)
    assert (sts.asked, services.asked, (home.path / "runs").read_text()) == calls
    imported = {
        line.rpartition("|")[2].strip() for line in again.stderr.splitlines() if line.startswith("import time:")
    }
    assert "kube_iam.aws.credential_provider" in imported
    assert imported & {"botocore", "json", "socket", "ssl", "click"} == set()


def test_concurrent_first_runs_assume_the_role_of_the_profile_once(home: Home, sts: TlsSts) -> None:
    home.config(TEMPORARY_SOURCES["role on static keys"].config)
    with ThreadPoolExecutor(5) as runs:
        signed_by = set(runs.map(lambda _: home.signed_by(AWS_PROFILE="top")[0], range(5)))
    assert (len(signed_by), sts.actions()) == (1, ["AssumeRole"])


@pytest.mark.parametrize("name", ["role on static keys", "credential_process"])
def test_other_callers_never_get_a_cached_session(name: str, home: Home, sts: TlsSts) -> None:
    chosen = TEMPORARY_SOURCES[name]
    config = chosen.config.replace("{home}", str(home.path))
    write_tool(home, "ASIAONE")
    home.config(config)
    first, _ = home.signed_by(**chosen.variables)
    write_tool(home, "ASIATWO")
    home.config(config.replace("AKIDBASE", "AKIDOTHER"))
    second, _ = home.signed_by(**chosen.variables)
    assert first != second
    assert second == "ASIATWO" or sts.signers[-1] == "AKIDOTHER"
