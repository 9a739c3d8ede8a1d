"""Clients of IAM, STS and EKS with the administrator's credentials, for one command.

With static keys, and where no setting asks for more, IAM and STS are called without botocore (`query_client`). Everything else is left
to botocore, and so are calls through proxies.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kube_iam.aws.config_checks import check_process_variables
from kube_iam.aws.regions import regions_of
from kube_iam.aws.service_endpoints import plain_endpoint
from kube_iam.aws.static_credentials import read_profile, static_credentials
from kube_iam.config.system_proxies import SYSTEMS, has_system_proxy
from kube_iam.core.credentials import KEY_SETTINGS, VARIABLES, Credentials, check_environment, check_value
from kube_iam.core.partitions import DEFAULT_REGION, partition_of_region
from kube_iam.core.proxies import VARIABLES as PROXIES
from kube_iam.errors import KubeIamError

if TYPE_CHECKING:
    from pyreqwest.client import SyncClient

# Settings of a profile, and variables, with which the calls are the same as without. With any other one botocore makes the calls.
_SETTINGS = KEY_SETTINGS | {
    *("aws_account_id", "region", "output"),
    *("cli_auto_prompt", "cli_binary_format", "cli_history", "cli_pager", "cli_timestamp_format"),
}
_OTHER_VARIABLES = VARIABLES - {
    *(name.upper() for name in KEY_SETTINGS),
    *("AWS_ACCOUNT_ID", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_CREDENTIAL_EXPIRATION", "AWS_DEFAULT_PROFILE"),
    *("AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_EXECUTION_ENV", "AWS_MFA_SERIAL", "AWS_PROFILE"),
    *("AWS_REGION", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"),
    *("DEFAULT_ROLE", "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID", "KUBE_IAM_CACHE_DIR"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
}
# Sources of credentials in the environment, which a profile named on the command line has precedence over.
_SOURCES = frozenset({*(name.upper() for name in KEY_SETTINGS), "AWS_CREDENTIAL_EXPIRATION", "AWS_DEFAULT_PROFILE"})


class _Direct(NamedTuple):
    """Keys, region and settings of calls without botocore. `environ` names the profile that was chosen on the command line."""

    credentials: Credentials
    region: str
    environ: Mapping[str, str]


class CommandClients:
    """Makes the clients. They share credentials, so that an MFA code is asked for once. Threads may share it."""

    def __init__(
        self,
        profile: str,
        region: str,
        eks_region: Callable[[], str],
        *,
        may_ask: bool = True,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`eks_region` returns the region of EKS, for its client alone: it may need an access file.

        Without `may_ask`, calls raise NobodyToAsk where they need an MFA code.

        Raises CredentialsError for an unknown profile, and for variables and settings with values that cannot be sent.
        """
        self._profile = profile
        self._region = region
        self._eks_region = eks_region
        self._may_ask = may_ask
        self._environ = environ
        self._lock = threading.RLock()  # botocore's session makes one client at a time
        self._session: Any = None
        self._sdk_clients: dict[str, Any] = {}
        self._http: SyncClient | None = None
        self._direct = _direct(profile, region, environ)
        if self._direct is None:
            self._open_session()

    def __call__(self, service: str) -> Any:
        """Return the client of `iam`, `sts` or `eks`. Raises UsageError for an http endpoint beyond this machine."""
        direct = self._direct
        endpoint = plain_endpoint(service, direct.region, direct.environ) if direct and service != "eks" else None
        http = self._open_http() if endpoint is not None else None
        if direct is None or endpoint is None or http is None:
            return self._sdk_client(service)
        from kube_iam.aws.query_client import QueryClient

        return QueryClient(service, endpoint, direct.credentials, http, lambda: self._sdk_client(service))

    def _open_http(self) -> SyncClient | None:
        """Return the HTTPS client for all services; None where it cannot be set up: botocore then words the error."""
        from pyreqwest.client import SyncClientBuilder

        from kube_iam.aws.https import build_client
        from kube_iam.aws.query_client import limits

        with self._lock:
            if self._http is None:
                connect, read = limits()
                # In botocore's order.
                bundle = self._environ.get("AWS_CA_BUNDLE") or self._environ.get("REQUESTS_CA_BUNDLE", "")
                builder = SyncClientBuilder().connect_timeout(connect).read_timeout(read).no_proxy()
                try:
                    self._http = build_client(builder, {"AWS_CA_BUNDLE": bundle}, https_only=False)
                except KubeIamError:
                    return None
            return self._http

    def _sdk_client(self, service: str) -> Any:
        from kube_iam.aws.client import iam_client, make_client

        with self._lock:
            if service not in self._sdk_clients:
                session = self._open_session()
                if service == "eks":  # which is regional: --region chooses the endpoint of IAM and STS
                    made = iam_client(self._eks_region(), session, service=service)
                elif service == "iam":
                    made = iam_client(self._region, session)
                else:
                    made = make_client(service, self._region, session=session)
                self._sdk_clients[service] = made
            return self._sdk_clients[service]

    def _open_session(self) -> Any:
        if self._session is None:
            from kube_iam.aws.client import make_session
            from kube_iam.aws.mfa import MfaPrompt, ask_with

            self._session = make_session(self._profile)
            if not self._may_ask:
                ask_with(MfaPrompt(interactive=False), self._session)
        return self._session


def _direct(profile: str, region: str, environ: Mapping[str, str]) -> _Direct | None:
    """Return what calls without botocore need; None where botocore has to find it, or to make the calls."""
    check_environment(environ)
    check_process_variables(environ)
    check_value("the profile's name", profile)
    check_value("the region", region)
    if profile:
        environ = {name: value for name, value in environ.items() if name not in _SOURCES} | {"AWS_PROFILE": profile}
    if any(environ.get(name) for name in _OTHER_VARIABLES):
        return None
    if any(value and name.upper() in PROXIES for name, value in environ.items()):
        return None
    if sys.platform in SYSTEMS and has_system_proxy():
        return None
    found = read_profile(environ)
    keys = static_credentials(environ, found, time.time())
    if found is None or keys is None or any(not name.startswith("x_") for name in found.keys() - _SETTINGS):
        return None
    region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or found.get("region")
    region = region or DEFAULT_REGION
    if region not in regions_of(partition_of_region(region)) or region.endswith("-global"):
        return None
    return _Direct(keys, region, environ)
