"""No command repeats a secret in an error, whatever a variable, a file, a credential tool or a library's exception holds.

The commands are found in click's own tree, so that a new command is covered as soon as it exists.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions as known
import click
import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import ClientError

from kube_iam.aws.ec2_instances import Ec2Instances
from kube_iam.aws.errors import aws_errors
from kube_iam.aws.sts import sts_client
from kube_iam.cli.main import main
from kube_iam.cli.root import make_root
from kube_iam.core.credentials import VARIABLES, check_environment
from kube_iam.core.redaction import without_secrets
from kube_iam.errors import CredentialsError, KubeIamError
from kube_iam.membership.iam_reader import IamReader

CANARY = "cAnArY"
ROLE = "arn:aws:iam::123456789012:role/shop-admin"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s"}
ACCESS = """
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster: {id: shop, name: shop, endpoint: "https://127.0.0.1:1"}
account: "123456789012"
region: eu-central-1
mapping: {file: mapping.yaml}
levels: [{name: viewer, groups: [viewers]}]
"""
KUBECONFIG = f"""
apiVersion: v1
kind: Config
current-context: x
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:1"}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{token: "{CANARY}1\\n{CANARY}2"}}}}]
"""
# These start and end processes. `server` runs with --check-config; its calls to AWS are tested below by themselves.
NOT_RUN = {("sandbox", "up"), ("sandbox", "down"), ("sync",)}  # sync serves until it is stopped
ANSWERS = {"users": ["alice"], "who": ["alice"], "level": ["viewer"], "shell": ["bash"], "name": None, "words": []}
OPTIONS = {"--file": "access.yaml", "--kubeconfig": "kubeconfig", "--cluster-id": "shop", "--role": ROLE}


class Machine:
    """A home directory and an environment with nothing in them but what a test puts there."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.patch = patch
        self.capture = capture

    def variables(self, **values: str) -> None:
        for name, value in values.items():
            self.patch.setenv(name, value)

    def file(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def tool(self, text: str, code: int = 0, stderr: str = "") -> None:
        """Write a profile whose credential_process prints that."""
        answer, complaint = self.file("answer", text), self.file("complaint", stderr)
        program = self.file("tool.sh", f"#!/bin/sh\ncat {answer}\ncat {complaint} >&2\nexit {code}\n")
        program.chmod(0o700)
        self.file(".aws/config", f"[default]\ncredential_process = {program}\n")

    def run(self, *arguments: str) -> str:
        """All that the command prints."""
        self.patch.setattr(sys, "argv", ["/bin/kube-iam", *arguments])
        self.code = main()
        captured = self.capture.readouterr()
        return captured.out + captured.err


@pytest.fixture
def machine(
    tmp_path: Path, own_environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Machine:
    for name in list(os.environ):
        if name.startswith(("AWS_", "KUBE", "XDG_", "DEFAULT_ROLE")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    made = Machine(tmp_path, monkeypatch, capsys)
    made.variables(HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true", AWS_REGION="eu-central-1")
    made.variables(AWS_ENDPOINT_URL="https://127.0.0.1:1", AWS_MAX_ATTEMPTS="1", NO_PROXY="127.0.0.1")
    made.file("access.yaml", ACCESS)
    made.file("kubeconfig", KUBECONFIG)
    return made


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of click's tree that does something, with its words."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        assert found is not None
        yield from commands(found, (*path, name))


COMMANDS = {" ".join(path): (path, found) for path, found in commands(make_root("kube-iam")) if path not in NOT_RUN}


def command_line(path: tuple[str, ...], command: click.Command) -> list[str]:
    """Return the command with its required arguments, so that it gets as far as it can."""
    line = [*path]
    for parameter in command.params:
        forms = set(parameter.opts)
        chosen = [value for form, value in OPTIONS.items() if form in forms]
        if isinstance(parameter, click.Argument):
            answer = ANSWERS.get(parameter.name or "", ["x"])
            choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else ["x"]
            line += [str(choices[0])] if answer is None else answer
        elif chosen:
            line += [max(forms, key=len), chosen[0]]
        elif forms & {"--yes", "--check-config", "--dry-run"}:
            line += [max(forms, key=len)]
        elif "--for" in forms and path == ("deny",):
            line += ["--for", "1h"]
    return line


EVERYWHERE: dict[str, Callable[[Machine], object]] = {
    "session token": lambda m: m.variables(**KEYS, AWS_SESSION_TOKEN=f"{CANARY}1\n{CANARY}2"),
    "continued token": lambda m: m.file(
        ".aws/credentials",
        f"[default]\naws_access_key_id = AKID\naws_secret_access_key = s\naws_session_token = {CANARY}1\n  {CANARY}2\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EVERYWHERE)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_repeats_a_secret(name: str, case: str, machine: Machine) -> None:
    EVERYWHERE[case](machine)
    printed = machine.run(*command_line(*COMMANDS[name]))
    assert CANARY not in printed
    assert "Traceback" not in printed
    assert "is a bug" not in printed


def output(**changes: object) -> str:
    keys = {"Version": 1, "AccessKeyId": f"AK{CANARY}", "SecretAccessKey": f"s{CANARY}", "SessionToken": f"t{CANARY}"}
    return json.dumps({**keys, **changes})


FILES = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n"
INPUTS: dict[str, tuple[Callable[[Machine], object], str]] = {
    "access key id, carriage return": (
        lambda m: m.variables(AWS_ACCESS_KEY_ID=f"AK\r{CANARY}", AWS_SECRET_ACCESS_KEY=CANARY),
        "AWS_ACCESS_KEY_ID contains a line break",
    ),
    "access key id, not ASCII": (
        lambda m: m.variables(AWS_ACCESS_KEY_ID=f"AKÄ{CANARY}", AWS_SECRET_ACCESS_KEY=CANARY),
        "AWS_ACCESS_KEY_ID contains a character that is not ASCII",
    ),
    "secret, line feed": (
        lambda m: m.variables(AWS_ACCESS_KEY_ID="AK", AWS_SECRET_ACCESS_KEY=f"{CANARY}\n"),
        "AWS_SECRET_ACCESS_KEY contains a line break",
    ),
    "session token, bytes": (
        lambda m: m.variables(**KEYS, AWS_SESSION_TOKEN=f"\udcff{CANARY}"),
        "AWS_SESSION_TOKEN contains bytes",
    ),
    "old name of the session token": (
        lambda m: m.variables(**KEYS, AWS_SECURITY_TOKEN=f"{CANARY}\x1b[1m"),
        "AWS_SECURITY_TOKEN contains a control character",
    ),
    "old name of the secret": (
        lambda m: m.variables(AWS_ACCESS_KEY="AK", AWS_SECRET_KEY=f"Ä{CANARY}"),
        "AWS_SECRET_KEY contains a character that is not ASCII",
    ),
    "region": (lambda m: m.variables(**KEYS, AWS_REGION=f"eu\n{CANARY}"), "AWS_REGION contains a line break"),
    "proxy": (
        lambda m: m.variables(**KEYS, HTTPS_PROXY=f"http://me:{CANARY}\n@127.0.0.1:1"),
        "HTTPS_PROXY contains a line break",
    ),
    "proxy that is away": (
        lambda m: m.variables(**KEYS, https_proxy=f"http://me:{CANARY}@127.0.0.1:1", NO_PROXY=""),
        "proxy 127.0.0.1:1 cannot be reached",
    ),
    "container authorization": (
        lambda m: m.variables(
            AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:1/x",
            AWS_CONTAINER_AUTHORIZATION_TOKEN=f"a\r\n{CANARY}",
        ),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN contains a line break",
    ),
    "container authorization in a file": (
        lambda m: m.variables(
            AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:1/x",
            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(m.file("pod", f"{CANARY}\n")),
        ),
        "pod (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) contains a line break",
    ),
    "web identity token": (
        lambda m: m.variables(
            AWS_ROLE_ARN=ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(m.file("jwt", f"{CANARY}.\n{CANARY}.x\n"))
        ),
        "jwt (AWS_WEB_IDENTITY_TOKEN_FILE) contains a line break",
    ),
    "web identity token of a profile": (
        lambda m: m.file(
            ".aws/config",
            f"[default]\nrole_arn = {ROLE}\nweb_identity_token_file = {m.file('jwt', CANARY + chr(0) + CANARY)}\n",
        ),
        "profile default: the token in",
    ),
    "application id": (lambda m: m.variables(**KEYS, AWS_EXECUTION_ENV=f"a\n{CANARY}"), "AWS_EXECUTION_ENV contains"),
    "endpoint with a password": (
        lambda m: m.variables(**KEYS, AWS_ENDPOINT_URL_STS=f"https://me:{CANARY}@127.0.0.1:1"),
        "AWS_ENDPOINT_URL_STS",
    ),
    "endpoint with a path and a query": (
        lambda m: m.variables(**KEYS, AWS_ENDPOINT_URL_STS=f"https://127.0.0.1:1/{CANARY}?token={CANARY}"),
        "the STS endpoint https://127.0.0.1:1 must be https://HOST[:PORT] with nothing else",
    ),
    "endpoint that is no URL": (
        lambda m: m.variables(**KEYS, AWS_ENDPOINT_URL_STS=CANARY),
        "the STS endpoint (no URL) is not an https URL",
    ),
    "continued key id": (
        lambda m: m.file(".aws/credentials", FILES.format(f"AK\n {CANARY}", CANARY, CANARY)),
        "credentials, line 2, profile default: the value of aws_access_key_id contains a line break",
    ),
    "continued secret": (
        lambda m: m.file(".aws/credentials", "# mine\n" + FILES.format("AK", f"{CANARY}\n\t{CANARY}", CANARY)),
        "credentials, line 4, profile default: the value of aws_secret_access_key contains a line break",
    ),
    "control character in a file": (
        lambda m: m.file(".aws/credentials", FILES.format("AK", "s", f"{CANARY}\x7f")),
        "aws_session_token contains a control character",
    ),
    "continued token of a source profile": (
        lambda m: m.file(
            ".aws/config",
            f"[default]\nrole_arn = {ROLE}\nsource_profile = base\n"
            + FILES.format("AK", CANARY, f"a\n {CANARY}").replace("[default]", '[profile "base"]'),
        ),
        "config, line 7, profile base: the value of aws_session_token contains a line break",
    ),
    "external id of a profile": (
        lambda m: m.file(
            ".aws/config",
            f"[default]\nrole_arn = {ROLE}\ncredential_source = Environment\nexternal_id = a\n  {CANARY}\n",
        ),
        "config, line 4, profile default: the value of external_id contains a line break",
    ),
    "file that is not a configuration": (lambda m: m.file(".aws/config", f"[default]\n{CANARY}\n"), ".aws/config"),
    "tool prints a line break": (
        lambda m: m.tool(output(SessionToken=f"a\n{CANARY}")),
        "session token that the credential_process of profile default gives contains a line break",
    ),
    "tool prints a key id that is not ASCII": (lambda m: m.tool(output(AccessKeyId=f"Ä{CANARY}")), "not ASCII"),
    "tool prints another version": (
        lambda m: m.tool(output(Version=CANARY)),
        "credential_process of profile default failed",
    ),
    "tool prints no JSON": (lambda m: m.tool(f"secret: {CANARY}"), "default failed: it printed no JSON"),
    "tool prints a list": (lambda m: m.tool(f'["{CANARY}"]'), "JSON that is not an object"),
    "tool prints what is nested too deep": (
        lambda m: m.tool(f"{'[' * 100_000}{CANARY}"),
        "default failed: it printed no JSON",
    ),
    "tool prints what has expired": (
        lambda m: m.tool(output(Expiration="2001-01-01T00:00:00Z")),
        "default failed: it printed credentials that ended at 2001-01-01T00:00:00Z",
    ),
    "tool prints half": (
        lambda m: m.tool(json.dumps({"Version": 1, "AccessKeyId": CANARY})),
        "credential_process of profile default failed",
    ),
    "tool fails aloud": (
        lambda m: m.tool("", 1, f"the password {CANARY} is wrong"),
        "credential_process of profile default failed",
    ),
    "tool that does not exist": (
        lambda m: m.file(".aws/config", f"[default]\ncredential_process = /bin/{CANARY} x\n"),
        "credential_process of profile default failed: the command was not found",
    ),
}


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("command", ["token", "who"])
def test_an_error_names_the_place_of_a_bad_value_and_not_the_value(command: str, case: str, machine: Machine) -> None:
    prepare, says = INPUTS[case]
    prepare(machine)
    arguments = ["token", "-i", "shop", "-r", ROLE, "-s", "alice"] if command == "token" else ["who"]
    printed = machine.run(*arguments)
    assert machine.code == 1
    assert CANARY not in printed
    assert "is a bug" not in printed
    assert says in printed or (command == "who" and "cannot" in printed)


@pytest.mark.parametrize("flag", ["-i", "-r", "-e", "-s", "--mfa-serial", "--region"])
@pytest.mark.parametrize("broken", ["a\n{}", "{}\r", "{}\x00", "\u2028{}", "\udc80{}"])
def test_a_flag_with_a_line_break_is_named_and_not_repeated(flag: str, broken: str, machine: Machine) -> None:
    machine.variables(**KEYS)
    given = {"-i": "shop", "-r": ROLE, "-s": "alice", flag: broken.format(CANARY)}
    printed = machine.run("token", *(word for pair in given.items() for word in pair))
    assert machine.code == 1
    assert "contains" in printed
    assert CANARY not in printed


@pytest.mark.parametrize(("flag", "says"), [("--profile", "profile's name contains"), ("--region", "region contains")])
def test_a_flag_of_an_administrator_with_a_line_break_is_not_repeated(flag: str, says: str, machine: Machine) -> None:
    machine.variables(**KEYS)
    printed = machine.run("who", flag, f"a\n{CANARY}")
    assert says in printed
    assert CANARY not in printed


def test_an_unexpected_argument_is_not_repeated_where_it_is_a_token(machine: Machine) -> None:
    for arguments in (["verify", f"k8s-aws-v1.{CANARY}"], ["version", f"--token=k8s-aws-v1.{CANARY}"]):
        assert CANARY not in machine.run(*arguments)
        assert machine.code == 1


QUOTING: list[Exception] = [
    ValueError(f"Invalid header value b'AWS4-HMAC-SHA256 Credential={CANARY}'"),
    UnicodeEncodeError("latin-1", f"{CANARY}\u20ac", 6, 7, "ordinal not in range"),
    json.JSONDecodeError(f"Expecting value {CANARY}", CANARY, 0),
    OSError(CANARY),
    known.HTTPClientError(error=ValueError(f"Invalid header value b'{CANARY}'")),
    known.ConnectionClosedError(
        endpoint_url=f"https://sts.amazonaws.com/?X-Amz-Signature={CANARY}", error=OSError(CANARY)
    ),
    known.EndpointConnectionError(endpoint_url=f"https://me:{CANARY}@x.example/", error=OSError(CANARY)),
    known.ProxyConnectionError(proxy_url=f"http://me:{CANARY}@proxy.example:8080", error=OSError(CANARY)),
    known.SSLError(endpoint_url=f"https://x/?a={CANARY}", error=Exception(f"Max retries: /?X-Amz-Signature={CANARY}")),
    known.CredentialRetrievalError(provider="custom-process", error_msg=f"secret {CANARY}"),
    known.CredentialRetrievalError(provider="container-role", error_msg=f"body {CANARY}"),
    known.MetadataRetrievalError(error_msg=f"body {CANARY}"),
    known.SSOTokenLoadError(error_msg=CANARY),
    known.TokenRetrievalError(provider="sso", error_msg=CANARY),
    known.ParamValidationError(report=f"Invalid type for parameter TokenCode, value: {CANARY}"),
    known.ConfigParseError(path="/x", error=CANARY),
    *(
        ClientError({"Error": {"Code": code, "Message": f"{text}{CANARY}{end}"}}, "AssumeRole")
        for code, text, end in (
            ("SignatureDoesNotMatch", "The Canonical String should have been x-amz-security-token:", ""),
            ("IncompleteSignature", "'", "' not a valid key=value pair in Authorization header"),
            ("InvalidClientTokenId", "", ""),
            ("InvalidIdentityToken", "", ""),
            ("SomethingNew", "Authorization: ", ""),
            (
                "ValidationError",
                "1 validation error detected: Value '",
                "' at 'tokenCode' failed to satisfy constraint",
            ),
            ("AccessDenied", "Authorization: Bearer ", ""),
        )
    ),
    ClientError({"Error": {"Code": f"<html> {CANARY}", "Message": ""}}, "AssumeRole"),
]


@pytest.mark.parametrize("error", QUOTING, ids=lambda error: type(error).__name__)
def test_text_of_an_exception_is_not_repeated(error: Exception) -> None:
    with pytest.raises(KubeIamError) as caught, aws_errors("assume the role"):
        raise error
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)
    assert str(caught.value).startswith("cannot assume the role: ")


def test_errors_of_our_own_program_are_not_taken_for_botocores() -> None:
    with pytest.raises(AttributeError), aws_errors("assume the role"):
        raise AttributeError("a bug")


@pytest.mark.parametrize(
    "call",
    [
        lambda: IamReader("eu-central-1").role("x"),
        lambda: Ec2Instances("eu-central-1").describe(["i-0123456789abcdef0"]),
        lambda: Ec2Instances("eu-central-1", ROLE).describe(["i-0123456789abcdef0"]),
        sts_client,
    ],
    ids=["IAM", "EC2", "EC2 as a role", "STS"],
)
@pytest.mark.parametrize("variable", ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "HTTPS_PROXY"])
def test_calls_of_the_server_name_the_variable(call: Callable[[], Any], variable: str, machine: Machine) -> None:
    machine.variables(**{**KEYS, variable: f"a\n{CANARY}"})
    with pytest.raises(CredentialsError) as caught:
        call()
    assert variable in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "call", [lambda: IamReader("eu-central-1").role("x"), lambda: Ec2Instances("eu-west-1").search([])]
)
def test_calls_of_the_server_repeat_nothing_of_a_tool(call: Callable[[], Any], machine: Machine) -> None:
    for text in (output(SessionToken=f"a\n{CANARY}"), f"no JSON {CANARY}", output(Version=CANARY)):
        machine.tool(text)
        with pytest.raises(KubeIamError) as caught:
            call()
        assert CANARY not in str(caught.value)


def test_variables_that_nothing_reads_may_hold_line_breaks() -> None:
    check_environment({"AWS_CONFIG_CONTENT": "[default]\nregion = x\n", "TERM_PROGRAM": "a\nb"})


def test_every_variable_that_botocore_reads_is_checked() -> None:
    for _, names, _, _ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values():
        for name in [names] if isinstance(names, str) else names or []:
            assert name in VARIABLES


@pytest.mark.parametrize(
    "text",
    [
        f"k8s-aws-v1.{CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"basic {CANARY}=",
        f"Authorization: AWS4-HMAC-SHA256 Credential={CANARY}/x, SignedHeaders=a, Signature={CANARY}",
        f"https://x/?X-Amz-Signature={CANARY}&a=b",
        f"https://me:{CANARY}@x/",
        f"eyJhbGciOiJ.{CANARY}",
    ],
)
def test_what_looks_like_a_credential_is_removed_from_texts_of_others(text: str) -> None:
    assert CANARY not in without_secrets(f"before {text}")
    assert without_secrets("role admin: basic rights") != ""


@pytest.mark.parametrize(
    "user",
    [
        f"{{token: *{CANARY}}}",
        f"{{token: !{CANARY} x}}",
        f"{{password: &{CANARY} a, token: &{CANARY} b, x: *{CANARY}y}}",
        f'{{token: "{CANARY}',
        f"{{token: %{CANARY}}}",
        f'{{token: "\\{CANARY}"}}',
        f"{{tokenFile: /nonexistent/x, token: [{CANARY}]}}",
        f"{{username: me, password: 'a\n\n{CANARY}'}}",
        f"{{client-key-data: {CANARY}, client-certificate-data: {CANARY}}}",
        f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo {CANARY}; exit 1']}}}}",
        f"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo {CANARY}']}}}}",
    ],
)
@pytest.mark.parametrize("server", ["https://127.0.0.1:1", f"https://me:{CANARY}@127.0.0.1:1"])
def test_no_secret_of_a_kubeconfig_is_repeated(server: str, user: str, machine: Machine) -> None:
    text = KUBECONFIG.replace("https://127.0.0.1:1", server)
    machine.file("kubeconfig", text[: text.index("users:")] + f"users: [{{name: u, user: {user}}}]\n")
    printed = machine.run(
        *("add", "user", "--userarn", "arn:aws:iam::123456789012:user/a", "--username", "a", "--groups", "g"),
        *("--prompt=false", "--kubeconfig", "kubeconfig"),
    )
    assert machine.code == 1
    assert CANARY not in printed
    assert "is a bug" not in printed


@pytest.mark.parametrize(
    "command", [["plan"], ["revoke", "alice", "viewer", "--now"], ["deny", "alice"], ["who"]], ids=" ".join
)
@pytest.mark.parametrize(
    ("server", "says"),
    [
        (f"https://me:{CANARY}@127.0.0.2:1", "leads to https://127.0.0.2:1"),
        (f"https://127.0.0.2:1/{CANARY}?a={CANARY}", "leads to https://127.0.0.2:1"),
        (f"https://me:{CANARY}@127.0.0.1:99999", "no address of an API server: https://127.0.0.1:99999"),
        (f"https://[{CANARY}", "no address of an API server"),
    ],
)
def test_a_server_of_a_kubeconfig_is_named_without_its_secrets(
    server: str, says: str, command: list[str], machine: Machine
) -> None:
    machine.variables(
        **KEYS, KUBECONFIG=str(machine.file("kubeconfig", KUBECONFIG.replace("https://127.0.0.1:1", server)))
    )
    machine.file("access.yaml", ACCESS.replace("mapping: {file: mapping.yaml}\n", ""))
    printed = machine.run(*command)
    assert machine.code != 0
    assert says in printed or command != ["deny", "alice"]  # the others may end at AWS first
    assert CANARY not in printed.replace(f"https://[{CANARY}", "")
    assert "is a bug" not in printed
