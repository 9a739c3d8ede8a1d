"""`kube-iam doctor` of users without special rights, in a working sandbox in which one thing is broken: it names that first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import Session
from seeded_faults import USER, seeded
from whole_sandbox import ROLE, Person, Sandbox

from examples import cells
from kube_iam.doctor.causes import Cause
from kube_iam.sandbox.access_file import NAMESPACE
from kube_iam.sandbox.certificates import Authority
from kube_iam.sandbox.processes import free_port, wait_until
from kube_iam.sandbox.state import ACCOUNT, REGION
from kube_iam.sandbox.webhook import launch_webhook

pytestmark = [pytest.mark.control_plane, pytest.mark.xdist_group("whole-sandbox")]
PERSON = USER
TABLE_TEST = "test_the_fault_is_named_first"
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
DEVICE = f"arn:aws:iam::{ACCOUNT}:mfa/dora"


@dataclass
class Fault:
    """One thing to break: the kubeconfig, the arguments of its exec plugin, the command line, or the environment."""

    cause: Cause
    edit: Callable[[dict[str, Any]], object] = lambda config: None
    words: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    said: str = ""


def user(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["users"][0]["user"]
    return found


def plugin(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda config: user(config)["exec"].update({key: value})


def argument(name: str, value: str) -> Callable[[dict[str, Any]], object]:
    """Give that option of the exec plugin another value, or add it."""

    def edit(config: dict[str, Any]) -> None:
        words = user(config)["exec"]["args"]
        if name in words:
            words[words.index(name) + 1] = value
        else:
            words += [name, value]

    return edit


def without_role(config: dict[str, Any]) -> None:
    words = user(config)["exec"]["args"]
    del words[words.index("-r") : words.index("-r") + 2]


def cluster(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["clusters"][0]["cluster"].update({key: value})


def second_context(config: dict[str, Any]) -> None:
    """Copy the user under another name, and give the first one another cluster id."""
    copy = json.loads(json.dumps(config["users"][0])) | {"name": "second"}
    config["users"].append(copy)
    config["contexts"].append({"name": "second", "context": {**config["contexts"][0]["context"], "user": "second"}})
    argument("-i", "shop.example.com")(config)


FAULTS = {
    "no kubeconfig": Fault(Cause.KUBECONFIG_MISSING, words=("--kubeconfig", "/nowhere")),
    "unknown context": Fault(Cause.CONTEXT_MISSING, words=("--context", "prod"), said="'prod'"),
    "unknown level": Fault(Cause.CONTEXT_MISSING, words=("operator",), said="kube-iam kubeconfig operator --merge"),
    "impersonation": Fault(Cause.CONTEXT_UNSUPPORTED, lambda config: user(config).update({"as": "admin"})),
    "no exec entry": Fault(Cause.NO_EXEC_PLUGIN, lambda config: config["users"][0].update(user={"token": "secret-1"})),
    "old API version": Fault(
        Cause.PLUGIN_INVALID, plugin("apiVersion", "client.authentication.k8s.io/v1alpha1"), said="v1alpha1"
    ),
    "argument that nobody knows": Fault(Cause.PLUGIN_INVALID, argument("--roel", ROLE + "viewer"), said="--roel"),
    "plugin that is not installed": Fault(Cause.PLUGIN_MISSING, plugin("command", "kube-iam-2"), said="kube-iam-2"),
    "program that is no plugin": Fault(Cause.PLUGIN_FAILED, plugin("command", "/bin/false")),
    "no credentials": Fault(Cause.CREDENTIALS_MISSING, environ=NO_KEYS),
    "profile that does not exist": Fault(
        Cause.PROFILE_MISSING, plugin("env", [{"name": "AWS_PROFILE", "value": "work"}]), environ=NO_KEYS, said="work"
    ),
    "wrong secret key": Fault(Cause.SECRET_KEY_WRONG, environ={"AWS_SECRET_ACCESS_KEY": "wrong-secret"}),
    "unknown access key": Fault(Cause.ACCESS_KEY_UNKNOWN, environ={"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000"}),
    "half an access key": Fault(Cause.CREDENTIALS_UNUSABLE, environ={"AWS_SECRET_ACCESS_KEY": ""}),
    "STS that is not there": Fault(
        Cause.AWS_UNREACHABLE, environ={"AWS_ENDPOINT_URL_STS": "https://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    ),
    "role that is no ARN": Fault(Cause.ROLE_INVALID, argument("-r", "viewer")),
    "role of another partition": Fault(Cause.ROLE_INVALID, argument("-r", f"arn:aws-cn:iam::{ACCOUNT}:role/viewer")),
    "role of another level": Fault(Cause.IDENTITY_POLICY, argument("-r", ROLE + "admin"), said="kube-iam grant"),
    "session name of another user": Fault(Cause.SESSION_NAME, argument("-s", "someone-else"), said="'someone-else'"),
    "cluster id of another cluster": Fault(Cause.UNAUTHORIZED, argument("-i", "shop.example.com"), said="shop.example"),
    "cluster id that differs from another context": Fault(
        Cause.CLUSTER_ID_DIFFERS, second_context, said="context second signs in"
    ),
    "identity that is not mapped": Fault(Cause.UNAUTHORIZED, without_role, said="user/dora"),
    "API server that is down": Fault(
        Cause.SERVER_REFUSES_CONNECTIONS, cluster("server", f"https://127.0.0.1:{free_port()}")
    ),
    "API server without a name": Fault(Cause.SERVER_UNRESOLVED, cluster("server", "https://api.sandbox.invalid")),
    "authority that is no certificate": Fault(Cause.CA_UNREADABLE, cluster("certificate-authority-data", "bm9uZQ==")),
    "namespace without rights": Fault(
        Cause.NO_PERMISSIONS, lambda config: config["contexts"][0]["context"].update(namespace="kube-system")
    ),
}


@pytest.fixture(scope="module")
def dora(levels: Sandbox) -> Person:
    """Return a member of the level developer, which is bound in one namespace."""
    return levels.member("dora", "developer")


def diagnosed(person: Person, config: dict[str, Any], path: Path, *words: str, **environ: str) -> dict[str, Any]:
    """Run doctor with that kubeconfig. Return its data, after a look at secrets in what it printed."""
    path.write_text(yaml.safe_dump(config))
    done = person.run("kube-iam", "doctor", "-o", "json", *words, **{"KUBECONFIG": str(path), **environ})
    printed = done.stdout + done.stderr
    for secret in (person.credentials.secret_access_key, "secret-1", "wrong-secret", "k8s-aws-v1.", "X-Amz-"):
        assert secret not in printed
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["passed"] else 1)
    return found


def config_of(levels: Sandbox, level: str = "developer") -> dict[str, Any]:
    """Return the kubeconfig of the level, with the namespace in which it is bound."""
    found: dict[str, Any] = yaml.safe_load(levels.kubeconfig(level).read_text())
    found["contexts"][0]["context"]["namespace"] = NAMESPACE
    return found


def test_a_working_sign_in_passes_every_check(levels: Sandbox, dora: Person, tmp_path: Path) -> None:
    found = diagnosed(dora, config_of(levels), tmp_path / "config")
    assert {check["code"]: check["status"] for check in found["checks"]} == dict.fromkeys(
        [
            "kubeconfig",
            "plugin",
            "credentials",
            "clock",
            "role",
            "session",
            "token",
            "api-server",
            "sign-in",
            "permissions",
        ],
        "passed",
    )


@pytest.mark.parametrize("name", cells([*FAULTS]))
def test_the_fault_is_named_first(name: str, levels: Sandbox, dora: Person, tmp_path: Path) -> None:
    fault, config = FAULTS[name], config_of(levels)
    fault.edit(config)
    found = diagnosed(dora, config, tmp_path / "config", *fault.words, **fault.environ)
    assert found["cause"] == fault.cause.code, found
    failed = next(check for check in found["checks"] if check["status"] == "failed")
    assert fault.said in failed["detail"] + failed["remedy"]


@seeded("certificate authority of another cluster", Cause.CA_UNKNOWN)
def test_an_authority_of_another_cluster_is_named(levels: Sandbox, dora: Person, tmp_path: Path) -> None:
    config = config_of(levels)
    (tmp_path / "tls").mkdir()
    config["clusters"][0]["cluster"].pop("certificate-authority-data")
    config["clusters"][0]["cluster"]["certificate-authority"] = str(Authority(tmp_path / "tls").path)
    assert diagnosed(dora, config, tmp_path / "config")["cause"] == Cause.CA_UNKNOWN.code


@seeded("role that differs from the access file", Cause.ROLE_INVALID)
@seeded("cluster id that differs from the access file", Cause.CLUSTER_ID_DIFFERS)
def test_the_access_file_shows_a_wrong_cluster_id_and_role(levels: Sandbox, dora: Person, tmp_path: Path) -> None:
    file = {"KUBE_IAM_ACCESS": str(levels.home.access)}
    config = config_of(levels)
    assert diagnosed(dora, config, tmp_path / "config", "developer", **file)["passed"]
    argument("-r", ROLE + "viewer")(config)
    assert diagnosed(dora, config, tmp_path / "config", "developer", **file)["cause"] == Cause.ROLE_INVALID.code
    argument("-i", "shop.example.com")(config)
    assert diagnosed(dora, config, tmp_path / "config", **file)["cause"] == Cause.CLUSTER_ID_DIFFERS.code


@seeded("user who is not in the group", Cause.IDENTITY_POLICY)
def test_a_user_outside_the_group_is_told_so(levels: Sandbox, tmp_path: Path) -> None:
    found = diagnosed(levels.person("otto"), config_of(levels), tmp_path / "config")
    assert found["cause"] == Cause.IDENTITY_POLICY.code
    skipped = [check["code"] for check in found["checks"] if check["status"] == "skipped"]
    assert skipped == ["session", "token", "sign-in", "permissions"]


@seeded("server that is stopped", Cause.UNAUTHORIZED)
def test_a_server_that_is_stopped_is_unauthorized(levels: Sandbox, dora: Person, tmp_path: Path) -> None:
    process = levels.home.process("webhook")
    process.stop()
    try:
        found = diagnosed(dora, config_of(levels), tmp_path / "config", KUBE_IAM_TOKEN_CACHE="0")
    finally:
        launch_webhook(levels.home, levels.state)
    assert found["cause"] == Cause.UNAUTHORIZED.code
    assert wait_until(lambda: dora.signs_in(levels.kubeconfig("developer")), 60)


@dataclass
class Roles:
    """Roles that kube-iam did not make, which dora may assume as far as her policy goes."""

    iam: Any

    def put(self, name: str, **condition: object) -> str:
        statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole", **condition}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return str(self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"])


@pytest.fixture(scope="module")
def roles(levels: Sandbox, dora: Person) -> Iterator[Roles]:
    who = levels.administrator.credentials
    iam: Any = Session().create_client(
        "iam",
        region_name=REGION,
        endpoint_url=levels.state.account_url,
        verify=str(levels.home.ca),
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
    )
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": f"arn:aws:iam::{ACCOUNT}:role/*doctor-*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="dora", PolicyName="doctor", PolicyDocument=document)
    yield Roles(iam)
    iam.delete_user_policy(UserName="dora", PolicyName="doctor")


@seeded("role that does not exist", Cause.ROLE_REFUSED)
def test_a_role_that_does_not_exist_is_refused(levels: Sandbox, dora: Person, roles: Roles, tmp_path: Path) -> None:
    config = config_of(levels)
    argument("-r", f"arn:aws:iam::{ACCOUNT}:role/doctor-gone")(config)
    assert diagnosed(dora, config, tmp_path / "config")["cause"] == Cause.ROLE_REFUSED.code


@seeded("trust policy that allows somebody else", Cause.ROLE_REFUSED)
def test_a_trust_policy_that_refuses_is_a_refused_role(
    levels: Sandbox, dora: Person, roles: Roles, tmp_path: Path
) -> None:
    config = config_of(levels)
    argument("-r", roles.put("doctor-closed", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/otto"}))(config)
    found = diagnosed(dora, config, tmp_path / "config")
    assert found["cause"] == Cause.ROLE_REFUSED.code


@seeded("MFA code that nobody can be asked for", Cause.MFA_MISSING)
def test_a_missing_mfa_code_is_named(levels: Sandbox, dora: Person, roles: Roles, tmp_path: Path) -> None:
    config = config_of(levels)
    config["contexts"][0]["name"] = config["current-context"] = "sandbox-doctor-mfa"
    role = roles.put("sandbox-doctor-mfa", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})
    argument("-r", role)(config)
    found = diagnosed(dora, config, tmp_path / "config", AWS_MFA_SERIAL=DEVICE)
    assert found["cause"] == Cause.MFA_MISSING.code, "a device is set, and there is no terminal"
    level = "  - name: doctor-mfa\n    mfa: true\n    bind: [{clusterRole: view}]\n"
    access = levels.home.access.with_name("mfa.yaml")
    access.write_text(levels.home.access.read_text() + "\n" + level)
    found = diagnosed(dora, config, tmp_path / "config", "doctor-mfa", KUBE_IAM_ACCESS=str(access))
    assert found["cause"] == Cause.MFA_MISSING.code, "the access file says that the level wants a code"


@seeded("cached session of a role that was created again", Cause.SESSION_PREDATES_ROLE)
def test_a_cached_session_of_a_former_role_is_named(
    levels: Sandbox, dora: Person, roles: Roles, tmp_path: Path
) -> None:
    config = config_of(levels)
    role = roles.put("doctor-again")
    argument("-r", role)(config)
    person = levels.person("dora")
    person.works("kube-iam", "token", "-i", "x", "-r", role, "--region", REGION)
    roles.iam.delete_role(RoleName="doctor-again")
    roles.put("doctor-again")
    found = diagnosed(person, config, tmp_path / "config")
    assert found["cause"] == Cause.SESSION_PREDATES_ROLE.code, found
    assert f"kube-iam logout {role}" in json.dumps(found)


def test_the_table_has_the_first_failure_on_top(levels: Sandbox, dora: Person, tmp_path: Path) -> None:
    config = config_of(levels)
    argument("-r", ROLE + "admin")(config)
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    lines = dora.run("kube-iam", "doctor", KUBECONFIG=str(tmp_path / "config")).stdout.splitlines()
    assert lines[0].startswith("identity_policy: User: arn:aws:iam::")
    assert lines[1].startswith("remedy: ")
    assert lines[2] == ""
    assert len(lines) == 3 + 10
