"""Commands, flags, defaults, variables, outputs and exits of both programs, as scripts and installers hold on to them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from named_sts import HOSTS, SECRET, NamedSts
from principals import ADMIN, PEOPLE
from side_by_side import CLUSTER, environment
from tally import Tally
from tokens import PREFIX, Signed, url_in

import forks
from kube_iam.sandbox.connect_proxy import connect_proxy

pytestmark = [pytest.mark.reference, pytest.mark.xdist_group("conformance-command-line")]

COMMANDS = ("", "token", "server", "init", "verify", "version", "add", "add user", "add role")


@dataclass(frozen=True)
class Done:
    """The result of a run."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Programs:
    """Both programs, in a directory and an environment of their own."""

    commands: dict[str, list[str]]
    home: Path
    variables: dict[str, str]

    def run(self, *arguments: str, **variables: str) -> tuple[Done, Done]:
        """Run the command with both programs. Return the reference's result, and ours."""
        theirs, ours = (self.one(name, *arguments, **variables) for name in self.commands)
        return theirs, ours

    def one(self, name: str, *arguments: str, **variables: str) -> Done:
        directory = self.home / name
        directory.mkdir(exist_ok=True)
        environ = {**self.variables, **variables}
        if not self.commands[name]:
            done = forks.run(arguments, environ, directory=directory)
            return Done(done.returncode, done.stdout, done.stderr)
        done = subprocess.run(
            [*self.commands[name], *arguments],
            env=environ,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Programs]:
    home = tmp_path_factory.mktemp("programs")
    sts = NamedSts(home / "sts", PEOPLE)
    with connect_proxy(HOSTS, sts.port) as proxy:
        keys = {"AWS_ACCESS_KEY_ID": ADMIN.key, "AWS_SECRET_ACCESS_KEY": SECRET, "XDG_CACHE_HOME": str(home)}
        commands = {"reference": [str(reference)], "ours": []}
        yield Programs(commands, home, {**environment(home, proxy.url, sts.ca), **keys})
    sts.stop()


@dataclass(frozen=True)
class Flag:
    """A flag as `--help` tells it."""

    name: str
    short: str
    takes_value: bool
    default: str


def flags_of_cobra(text: str) -> dict[str, Flag]:
    found = {}
    line = re.compile(r"^ +(?:(-\w), )?--([\w-]+)(?: (\S+))?   *(.*?)$", re.MULTILINE)
    for short, name, kind, said in line.findall(text):
        default = re.search(r'\(default (?:"([^"]*)"|\[([^\]]*)\]|(\S+))\)$', said)
        found[name] = Flag(
            name, short, bool(kind) and kind != "true", "".join(filter(None, default.groups())) if default else ""
        )
    return found


def flags_of_click(text: str) -> dict[str, Flag]:
    options = text.partition("Options:\n")[2]
    found = {}
    for item in re.split(r"\n  (?=-)", "\n" + options):
        item = re.sub(r"(?<=\w-)\n\s+", "", item)  # help is wrapped at hyphens too
        item = re.sub(r"\s+", " ", item.split("\n\n")[0]).strip()
        head = re.match(r"(?:(-\w), )?--([\w-]+)((?: / --[\w-]+)?)(?: ([A-Z\[\w|][^ ]*))?", item)
        if head is not None:
            default = re.search(r"\[default: ([^\];]*)", item)
            found[head[2]] = Flag(head[2], head[1] or "", bool(head[4]), default[1] if default else "")
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_has_its_shorthand_and_default(programs: Programs, tally: Tally, command: str) -> None:
    theirs, ours = programs.run(*command.split(), "--help")
    assert (theirs.code, ours.code) == (0, 0)
    known = {**flags_of_click(programs.one("ours", "--help").out), **flags_of_click(ours.out)}
    if command == "add":
        known.update(flags_of_click(programs.one("ours", "add", "user", "--help").out))
    for flag in flags_of_cobra(theirs.out).values():
        assert flag.name in known, f"{command} has no --{flag.name}"
        mine = known[flag.name]
        assert mine.short == flag.short, flag
        assert mine.default == flag.default or (flag.default == "" and mine.default in TELLS_MORE), (flag, mine)
        tally.same()
    if set(known) - set(flags_of_cobra(theirs.out)):
        tally.shown("C2")


TELLS_MORE = (
    *("your IAM user name, or your own session's name", "the pod's", "as kubectl", "the current one", "the context's"),
    "text",
)
"""What happens without the flag, where the reference does not say."""


def test_every_command_is_there(programs: Programs, tally: Tally) -> None:
    theirs, ours = programs.run("--help")
    for name in re.findall(r"^  (\w+) +\w", theirs.out.partition("Available Commands:")[2], re.MULTILINE):
        assert re.search(rf"^  {name} +\w", ours.out, re.MULTILINE), name
        tally.same()


def equal_codes(theirs: Done, ours: Done) -> None:
    assert theirs.code == ours.code, (theirs, ours)
    assert bool(theirs.out) == bool(ours.out) or theirs.code != 0, (theirs, ours)


GOOD = ("token", "-i", CLUSTER)
EXITS: dict[str, tuple[str, ...]] = {
    "token": GOOD,
    "token alone": (*GOOD, "--token-only"),
    "token alone, said long": (*GOOD, "--token-only=true"),
    "token not alone": (*GOOD, "--token-only=false"),
    "the id in one word": ("token", f"--cluster-id={CLUSTER}"),
    "global flags first": ("-i", CLUSTER, "token"),
    "a region": (*GOOD, "--region", "eu-central-1"),
    "a feature gate": (*GOOD, "--feature-gates", "SSORoleMatch=true"),
    "no id": ("token",),
    "two ways to name a session": (*GOOD, "--forward-session-name", "-s", "x"),
    "an unknown flag": (*GOOD, "--garbage"),
    "an unknown log level": ("version", "-v", "garbage"),
    "an unknown log format": (*GOOD, "-l", "garbage"),
    "help": ("help", "token"),
    "version": ("version",),
    "the number": ("version", "-s"),
    "the number, said long": ("version", "--short=true"),
    "version as YAML": ("version", "-o", "yaml"),
    "no token": ("verify", "-i", CLUSTER),
    "no id to verify for": ("verify", "-t", "x"),
    "a token that is none": ("verify", "-i", CLUSTER, "-t", "x"),
    "a server without id": ("server",),
    "a server with an empty id": ("server", "-i", ""),
    "a partition that is none": ("server", "-i", CLUSTER, "--partition", "moon"),
    "a backend that is none": ("server", "-i", CLUSTER, "--backend-mode", "Moon"),
    "a backend twice": ("server", "-i", CLUSTER, "--backend-mode", "MountedFile,MountedFile"),
    "DynamicFile without its file": ("server", "-i", CLUSTER, "--backend-mode", "DynamicFile"),
    "a port that is none": ("server", "-i", CLUSTER, "--port", "x"),
    "a feature gate that is none": ("server", "-i", CLUSTER, "--feature-gates", "Moon=true"),
    "a configuration that is not there": ("server", "-i", CLUSTER, "-c", "nowhere.yaml"),
    "init without id": ("init",),
    "add without its values": ("add", "user", "--prompt=false"),
    "add a role by two names": (
        *("add", "role", "--prompt=false", "--rolearn", "a", "--sso", "permissionSetName=a,accountID=123456789012"),
        *("--username", "u", "--groups", "g"),
    ),
    "add with the group's flags first": ("add", "--prompt=false", "--kubeconfig", "nowhere", "user", "--userarn", ""),
}


@pytest.mark.parametrize("name", EXITS)
def test_every_exit_is_the_same(programs: Programs, tally: Tally, name: str) -> None:
    equal_codes(*programs.run(*EXITS[name]))
    tally.same()


@pytest.mark.parametrize(
    ("row", "arguments", "codes"),
    [
        ("C5", (), (0, 2)),
        ("C5", ("garbage",), (1, 2)),
        ("C5", (*GOOD, "something", "more"), (0, 1)),
        ("C5", ("version", "-o", "garbage"), (0, 1)),
    ],
)
def test_exits_that_differ_on_purpose(
    programs: Programs, tally: Tally, row: str, arguments: tuple[str, ...], codes: tuple[int, int]
) -> None:
    assert tuple(done.code for done in programs.run(*arguments)) == codes
    tally.shown(row)


def shape(value: object) -> object:
    """Keys and kinds of a JSON value."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return type(value).__name__


def test_the_exec_credential_has_the_same_shape(programs: Programs, tally: Tally) -> None:
    for version in ("", "v1", "v1beta1"):
        info = {
            "kind": "ExecCredential",
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "spec": {"interactive": False},
        }
        variables = {"KUBERNETES_EXEC_INFO": json.dumps(info)} if version else {}
        theirs, ours = (json.loads(done.out) for done in programs.run(*GOOD, **variables))
        assert shape(theirs) == shape(ours)
        assert {**theirs, "status": 0} == {**ours, "status": 0}
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", ours["status"]["expirationTimestamp"])
        assert len(theirs["status"]["expirationTimestamp"]) == len(ours["status"]["expirationTimestamp"])
        tally.same()


def test_a_version_that_kubectl_dropped_is_an_error_of_ours(programs: Programs, tally: Tally) -> None:
    info = json.dumps({"apiVersion": "client.authentication.k8s.io/v1alpha1"})
    theirs, ours = programs.run(*GOOD, KUBERNETES_EXEC_INFO=info)
    assert (json.loads(theirs.out)["apiVersion"][-8:], ours.code, ours.out) == ("v1alpha1", 1, "")
    tally.shown("T9")


def test_both_sign_the_same_url(programs: Programs, tally: Tally) -> None:
    """But for the time: same host, same parameters in any order."""
    for variables in (
        {},
        {"AWS_REGION": "eu-central-1"},
        {"AWS_REGION": "cn-north-1"},
        {"AWS_REGION": "us-gov-west-1"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
        {"AWS_SESSION_TOKEN": "a+b/c=="},
        {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-3"},
    ):
        urls = [url_in(done.out.strip()) for done in programs.run(*GOOD, "--token-only", **variables)]
        theirs, ours = (re.sub(r"(Date=|Signature=)[^&]*", r"\1", url).partition("?") for url in urls)
        assert theirs[0] == ours[0]
        assert sorted(theirs[2].split("&")) == sorted(ours[2].split("&"))
        tally.same()


def test_variables_and_the_file_say_what_flags_do_not(programs: Programs, tally: Tally) -> None:
    for name in programs.commands:
        (programs.home / name).mkdir(exist_ok=True)
        (programs.home / name / "token.yaml").write_text(f"clusterID: {CLUSTER}\nregion: eu-west-1\ntokenOnly: true\n")
    for arguments, variables in (
        (("token", "--token-only"), {"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": CLUSTER}),
        (("token", "-c", "token.yaml"), {}),
        (("token", "-c", "token.yaml", "--region", "us-west-2"), {}),
        (("token", "-c", "token.yaml"), {"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": "other"}),
        (("token", "-c", "token.yaml", "-i", "another"), {"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": "other"}),
    ):
        theirs, ours = programs.run(*arguments, **variables)
        assert theirs.out.startswith(PREFIX)
        hosts = [url_in(done.out.strip()).split("/")[2] for done in (theirs, ours)]
        assert hosts[0] == hosts[1]
        signed = [
            programs.one(name, "verify", "-i", CLUSTER, "-t", done.out.strip()).code
            for name, done in (("ours", theirs), ("reference", ours))
        ]
        assert signed[0] == signed[1]
        tally.same()


def test_the_default_role_and_the_log_level_come_from_the_environment(programs: Programs, tally: Tally) -> None:
    """A role that cannot be assumed is a failure, so that it shows that it was taken."""
    equal_codes(*programs.run(*GOOD, DEFAULT_ROLE="arn:aws:iam::123456789012:role/x"))
    equal_codes(*programs.run("version", AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY="debug"))
    tally.same()


def test_verify_prints_the_same_identity(programs: Programs, tally: Tally) -> None:
    token = Signed(ADMIN).token()
    theirs, ours = programs.run("verify", "-i", CLUSTER, "-t", token, "-o", "json")
    assert json.loads(theirs.out) == json.loads(ours.out)
    theirs, ours = programs.run("verify", "-i", CLUSTER, "-t", token)
    assert (theirs.code, theirs.out) == (ours.code, ours.out)
    equal_codes(*programs.run("verify", "-i", "other", "-t", token))
    equal_codes(*programs.run("verify", "-i", CLUSTER, "-t", token, "--partition", "aws-cn"))
    tally.same()


def test_version_says_it_under_the_same_keys(programs: Programs, tally: Tally) -> None:
    theirs, ours = programs.run("version")
    assert json.loads(theirs.out).keys() == json.loads(ours.out).keys()
    theirs, ours = programs.run("version", "-o", "yaml")
    assert re.findall("^(.*?):", theirs.out, re.MULTILINE) == re.findall("^(.*?):", ours.out, re.MULTILINE)
    tally.same()


INIT = ("init", "-i", CLUSTER, "--hostname", "auth.example.com", "-c", "config.yaml")


@pytest.mark.parametrize(
    "feature_gate", [(), ("--feature-gates", "ConfiguredInitDirectories=true"), ("--feature-gates=AllAlpha=true",)]
)
def test_init_makes_the_same_files(
    programs: Programs, tally: Tally, tmp_path: Path, feature_gate: tuple[str, ...]
) -> None:
    made = []
    for name in programs.commands:
        home = tmp_path / name
        home.mkdir()
        here = Programs(programs.commands, tmp_path, programs.variables)
        (home / "config.yaml").write_text(
            f"server:\n  stateDir: {home}/state\n  generateKubeconfig: {home}/etc/kubeconfig\n"
        )
        (home / "state").mkdir()
        (home / "etc").mkdir()
        done = here.one(name, *INIT, *feature_gate)
        assert done.code == 0, done
        made.append({str(file.relative_to(home)): file for file in home.rglob("*") if file.is_file()})
    theirs, ours = made
    assert theirs.keys() == ours.keys()
    for file in theirs:
        assert oct(theirs[file].stat().st_mode & 0o077) >= oct(ours[file].stat().st_mode & 0o077), file
        if "kubeconfig" in file:
            more = {"apiVersion": "v1", "kind": "Config"}
            assert {**facts(theirs[file]), **more} == facts(ours[file])
            tally.shown("C6")
        if file.endswith("cert.pem"):
            assert names_in(theirs[file]) == names_in(ours[file])
    tally.same()


def facts(kubeconfig: Path) -> dict[str, object]:
    import yaml

    read = yaml.safe_load(kubeconfig.read_text())
    for cluster in read["clusters"]:
        assert cluster["cluster"].pop("certificate-authority-data")
    return {key: value for key, value in read.items() if value not in ({}, [])}


def names_in(certificate: Path) -> tuple[str, list[str]]:
    from cryptography import x509

    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return read.subject.rfc4514_string(), sorted(str(name.value) for name in names)


def test_the_address_of_init_counts_for_us_alone(programs: Programs, tally: Tally) -> None:
    for done in programs.run("init", "-i", CLUSTER, "--address", "127.0.0.2"):
        assert done.code == 0, done
    theirs, ours = (names_in(programs.home / name / "cert.pem")[1] for name in programs.commands)
    assert (theirs, ours) == (["127.0.0.1", "localhost"], ["127.0.0.2", "localhost"])
    tally.shown("C7")


def proxied(programs: Programs, name: str, variable: str) -> bool:
    """Return whether the program sends AssumeRole through the proxy that only this variable names."""
    with connect_proxy((), 0) as proxy:
        done = programs.one(
            name,
            *("token", "-i", CLUSTER, "-r", "arn:aws:iam::123456789012:role/shop"),
            # A name that resolves nowhere: a call that goes past the proxy leaves the machine for no AWS.
            **{"AWS_ENDPOINT_URL_STS": "https://sts.invalid", "AWS_MAX_ATTEMPTS": "1", "HTTPS_PROXY": "", variable: proxy.url},
        )  # fmt: skip
    assert done.code == 1
    return proxy.asked != []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_proxy_of_every_variable_is_used_for_calls_to_aws(programs: Programs, tally: Tally, variable: str) -> None:
    assert proxied(programs, "ours", variable)
    if variable.upper() == "HTTPS_PROXY":
        assert proxied(programs, "reference", variable)
        tally.same()
    else:
        assert not proxied(programs, "reference", variable)
        tally.shown("T26")
