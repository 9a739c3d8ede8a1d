"""Modules that libraries import and the server does not use are left out: OpenSSL where no Kubernetes API is used, and others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kube_iam.config.server import ServerConfig
from kube_iam.server.lean_imports import uses_kubernetes


def modules_after(code: str) -> set[str]:
    """Return the modules that a new interpreter has after this code."""
    program = f"import sys\n{code}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.process
def test_server_without_kubernetes_loads_no_openssl() -> None:
    code = "from kube_iam.server.lean_imports import load_libraries\nload_libraries(openssl=False)\n"
    modules = modules_after(f"{code}import kube_iam.cli.server_run, kube_iam.server.app")
    assert {"_ssl", "ssl", "_hashlib", "anyio", "typing_extensions"} & modules == set()
    assert {"asyncio", "granian"} <= modules


@pytest.mark.process
def test_region_of_an_instance_is_asked_for_without_openssl() -> None:
    asked = "region_from_metadata({'AWS_EC2_METADATA_SERVICE_ENDPOINT': 'http://127.0.0.1:9'})"
    modules = modules_after(f"from kube_iam.aws.metadata import region_from_metadata\n{asked}")
    assert {"_ssl", "email"} & modules == set()


@pytest.mark.process
def test_endpoint_on_this_machine_is_checked_without_openssl() -> None:
    code = "import os\nos.environ.pop('http_proxy', os.environ.pop('HTTP_PROXY', None))\n"
    check = "from kube_iam.aws.endpoint_checks import check_endpoint\ncheck_endpoint('http://127.0.0.1:9', 'it')"
    assert "_ssl" not in modules_after(code + check)


@pytest.mark.process
def test_later_import_of_ssl_gets_openssl() -> None:
    code = "from kube_iam.server.lean_imports import load_libraries\nload_libraries(openssl=False)\n"
    assert "_ssl" in modules_after(f"{code}import ssl; ssl.create_default_context().check_hostname or exit(1)")


@pytest.mark.process
def test_openssl_is_used_where_ssl_is_loaded_already() -> None:
    code = "import ssl\nfrom kube_iam.server.lean_imports import load_libraries\nload_libraries(openssl=False)\n"
    assert "_ssl" in modules_after(f"{code}import asyncio.sslproto\nasyncio.sslproto.ssl is ssl or exit(1)")


@pytest.mark.parametrize(
    ("config", "uses"),
    [
        (ServerConfig("x"), False),
        (ServerConfig("x", backend_mode=("MountedFile", "DynamicFile")), False),
        (ServerConfig("x", backend_mode=("MountedFile", "CRD")), True),
        (ServerConfig("x", backend_mode=("EKSConfigMap",)), True),
        (ServerConfig("x", backend_mode_path=Path("/modes")), True),
        (ServerConfig("x", deny_list="kube-system/kube-iam-denied"), True),
    ],
)
def test_kubernetes_is_used_by_backends_in_the_cluster_and_the_deny_list(config: ServerConfig, uses: bool) -> None:
    assert uses_kubernetes(config) is uses
