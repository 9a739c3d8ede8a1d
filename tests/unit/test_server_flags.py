"""The server's command line, which is read without click where it is written as manifests write it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from kube_iam.cli.global_options import GlobalOptions
from kube_iam.cli.server import command
from kube_iam.cli.server_run import ServerFlags, parse
from kube_iam.cli.shared_options import global_options_of, keep_global_options

FORMS = [option for parameter in command.params for option in parameter.opts]
VALUES = ("", "x", "8443", "info", "DEBUG", "true", "false", "CRD,MountedFile", "a=b", "-", "--port", "loud")


def read_by_click(arguments: list[str]) -> ServerFlags:
    context = command.make_context("server", list(arguments))
    values = dict(context.params)
    keep_global_options(context, values)
    values.pop("check_config")
    backend_mode = values.pop("backend_mode")
    given_flags = {name: value for name, value in values.items() if value is not None}
    return ServerFlags(global_options_of(context), given_flags, backend_mode)


WORDS = st.one_of(
    st.builds("{}={}".format, st.sampled_from(FORMS), st.sampled_from(VALUES)),
    st.sampled_from([*FORMS, *VALUES, "--help", "-cfile", "--"]),
)
PAIRS = st.tuples(st.sampled_from(FORMS), st.sampled_from(VALUES))
LINES = st.one_of(
    st.lists(WORDS, max_size=6),
    st.lists(PAIRS, max_size=4).map(lambda pairs: [word for pair in pairs for word in pair]),
)


@settings(max_examples=examples(1000), deadline=None)
@given(LINES)
def test_command_line_that_is_read_without_click_means_the_same_to_click(arguments: list[str]) -> None:
    read = parse(arguments)
    if read is not None:
        assert read == read_by_click(arguments)


@pytest.mark.parametrize(
    "line",
    [
        "-c /etc/authenticator/config.yaml",
        "--config=/etc/aws-iam-authenticator/config.yaml",
        "--config /config.yaml --state-dir=/var/lib/state --kubeconfig-pregenerated=true",
        "--config=/c.yaml --backend-mode=CRD,MountedFile -l json -v debug --port=21362 --address 127.0.0.1",
    ],
)
def test_command_lines_of_manifests_are_read_without_click(line: str) -> None:
    assert parse(line.split()) == read_by_click(line.split())


@pytest.mark.parametrize("line", ["--help", "-h", "--check-config", "--prot 1", "-v loud", "--port", "extra", "-cfile"])
def test_help_checks_and_mistakes_are_left_to_click(line: str) -> None:
    assert parse(line.split()) is None


def test_options_not_given_are_those_of_the_environment() -> None:
    environ = {"KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID": "shop", "AWS_IAM_AUTHENTICATOR_LOG_VERBOSITY": "Debug"}
    assert parse([], environ) == ServerFlags(GlobalOptions(cluster_id="shop", log_verbosity="debug"), {}, ())


@pytest.mark.process
def test_server_loads_no_library_that_it_does_not_need() -> None:
    """Each of these takes megabytes for as long as the server runs."""
    unwanted = {
        "click",
        "lightkube",
        "botocore",
        "cryptography",
        "email",
        "http",
        "importlib.metadata",
        "rich",
    }
    code = "import sys, kube_iam.cli.main, kube_iam.cli.server_run, kube_iam.server.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert unwanted & set(done.stdout.split()) == set()
