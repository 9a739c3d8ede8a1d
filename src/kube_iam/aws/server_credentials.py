"""The server's own AWS credentials, without the AWS SDK in its process.

Static keys, web identities (IRSA), a container's agent (EKS Pod Identity, ECS) and instance metadata are read here, in the SDK's
order. For everything else (profiles with roles, tools, IAM Identity Center) the SDK is asked in a short-lived child process.
https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import json
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import Element

from pyreqwest.client import SyncClient, SyncClientBuilder
from pyreqwest.exceptions import PyreqwestError

from kube_iam.aws.https import build_client
from kube_iam.aws.metadata import metadata_endpoint
from kube_iam.aws.query_api import QueryApi, text_at
from kube_iam.aws.sdk_process import ask_sdk
from kube_iam.aws.service_endpoints import plain_endpoint
from kube_iam.aws.static_credentials import names_no_source, read_profile, static_credentials
from kube_iam.core.credentials import Credentials, check_credentials, check_environment
from kube_iam.core.utc import parse_rfc3339
from kube_iam.errors import CredentialsError, KubeIamError

RENEWAL_SECONDS = 10 * 60
"""A session is renewed this long before its end, and used to its end while that fails. Agents renew theirs some minutes earlier."""
_TIMEOUT = timedelta(seconds=2)
_MAX_BODY = 64 * 1024
_AGENT_OF_ECS = "http://169.254.170.2"
# Hosts that a container's agent may have without TLS, beside loopback: ECS, and EKS Pod Identity on IPv4 and IPv6.
_AGENTS = frozenset(ip_address(each) for each in ("169.254.170.2", "169.254.170.23", "fd00:ec2::23"))
_SDK_SECONDS = 15 * 60  # for what the SDK finds without an end: files and tools may change
_HINT = "give the server a role, or keys, and check the AWS_ variables of its pod"


class RenewedCredentials(ABC):
    """Keeps a session until it is due. Blocking; thread-safe: one thread asks, the others wait for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: Credentials | None = None

    def get(self) -> Credentials:
        """Return credentials that have not ended. Raises KubeIamError where none are found."""
        with self._lock:
            now, kept = self._clock(), self._found
            left = kept.expires - now if kept is not None and kept.expires is not None else 0.0
            if kept is not None and left > RENEWAL_SECONDS:
                return kept
            try:
                self._found = self._find(now)
            except KubeIamError:
                if kept is not None and left > 0:
                    return kept
                raise
            return self._found

    def discard(self) -> None:
        """Look for credentials again at the next call: AWS refused these."""
        with self._lock:
            self._found = None

    @abstractmethod
    def _find(self, now: float) -> Credentials:
        """Return new credentials. Raises KubeIamError."""


class ServerCredentials(RenewedCredentials):
    """The server's own credentials, by the sources above."""

    def __init__(
        self, region: str, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.time
    ) -> None:
        """`region` is that of the STS which a web identity is exchanged at."""
        super().__init__(clock)
        self._region = region
        self._environ = environ

    def _find(self, now: float) -> Credentials:
        environ = self._environ
        check_environment(environ)
        profile = read_profile(environ)
        static = static_credentials(environ, profile, now)
        found = static or (self._of_workload() if profile is not None and names_no_source(profile) else None)
        if found is None:
            found = ask_sdk("sts", self._region, environ).credentials
            found.expires = found.expires or now + _SDK_SECONDS
        check_credentials("the credential source of the server", found)
        return found

    def _of_workload(self) -> Credentials | None:
        """Return what the pod or the instance is given; None where the SDK has to look."""
        environ = self._environ
        if environ.get("AWS_ACCESS_KEY_ID"):  # incomplete, or about to end: the SDK words the error
            return None
        if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or environ.get("AWS_ROLE_ARN"):
            return self._of_web_identity()
        if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return self._of_container()
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
            return self._of_instance()
        return None

    def _of_web_identity(self) -> Credentials | None:
        endpoint = plain_endpoint("sts", self._region, self._environ)
        if endpoint is None or not (
            self._environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and self._environ.get("AWS_ROLE_ARN")
        ):
            return None
        path = self._environ["AWS_WEB_IDENTITY_TOKEN_FILE"]
        doing = "exchange the server's web identity for credentials"
        parameters = {
            "RoleArn": self._environ["AWS_ROLE_ARN"],
            "RoleSessionName": self._environ.get("AWS_ROLE_SESSION_NAME") or "kube-iam",
            "WebIdentityToken": _read(path, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        }
        api = QueryApi("sts", endpoint, connect_seconds=2, read_seconds=5, environ=self._environ)
        return session_in(api.call("AssumeRoleWithWebIdentity", parameters, None, doing))

    def _of_container(self) -> Credentials:
        environ = self._environ
        relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
        url = f"{_AGENT_OF_ECS}{relative}" if relative else environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        if not _is_agent(url):
            raise CredentialsError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI names a host that no container's agent has",
                "set it to an https URL, or to the agent of ECS or of EKS Pod Identity",
            )
        authorization = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            path = environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
            authorization = _read(path, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        text = _get(
            _client(environ, url), url, {"authorization": authorization} if authorization else {}, "container's agent"
        )
        return _session(_json(text, "container's agent"), "the container's agent")

    def _of_instance(self) -> Credentials | None:
        url = metadata_endpoint(self._environ)
        if urlsplit(url).scheme != "http":
            return None
        client = _client(self._environ, url)
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        try:
            token = _send(client.put(f"{url}/latest/api/token"), headers, "instance's metadata")
            asking = {"X-aws-ec2-metadata-token": token}
            base = f"{url}/latest/meta-data/iam/security-credentials/"
            role = _get(client, base, asking, "instance's metadata").strip().partition("\n")[0]
            fields = _json(
                _get(client, base + quote(role, safe=""), asking, "instance's metadata"), "instance's metadata"
            )
        except CredentialsError:
            return None  # the SDK has more ways to ask, and words the error
        return _session(fields, "instance metadata")


def session_in(answer: Element) -> Credentials:
    """Return the session in an answer of STS. Raises CredentialsError where there is none."""
    fields = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    return _session({name: text_at(answer, "Credentials", name) for name in fields}, "STS")


def _session(fields: Mapping[str, Any], source: str) -> Credentials:
    """Return the session in an answer. Raises CredentialsError, which repeats nothing of it."""
    key_id, secret = fields.get("AccessKeyId"), fields.get("SecretAccessKey")
    token = fields.get("SessionToken") or fields.get("Token")
    ends = fields.get("Expiration")
    expires = parse_rfc3339(ends) if isinstance(ends, str) else None
    if not (isinstance(key_id, str) and isinstance(secret, str) and isinstance(token, str)) or expires is None:
        raise CredentialsError(f"{source} gave no credentials", _HINT)
    if not (key_id and secret and token):
        raise CredentialsError(f"{source} gave no credentials", _HINT)
    return Credentials(key_id, secret, token, expires)


def _json(text: str, what: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise CredentialsError(f"the {what} gave no credentials", _HINT)
    return fields


def _client(environ: Mapping[str, str], url: str) -> SyncClient:
    builder = SyncClientBuilder().timeout(_TIMEOUT)
    if url.startswith("http:"):
        builder = builder.no_proxy()  # addresses of this machine or of its link
    client: SyncClient = build_client(builder, environ, https_only=url.startswith("https:"))
    return client


def _get(client: SyncClient, url: str, headers: Mapping[str, str], what: str) -> str:
    return _send(client.get(url), headers, what)


def _send(request: Any, headers: Mapping[str, str], what: str) -> str:
    """Return the text of a 200. Raises CredentialsError for everything else, without any of it."""
    for name, value in headers.items():
        request = request.header(name, value)
    try:
        with request.build_streamed() as response:
            body = bytes(response.body_reader.read(_MAX_BODY) or b"")
            status = response.status
    except PyreqwestError as error:
        raise CredentialsError(f"the {what} cannot be reached ({type(error).__name__})", _HINT) from None
    if status != 200:
        raise CredentialsError(f"the {what} answers {status}", _HINT)
    return body.decode("utf-8", "replace")


def _read(path: str, variable: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CredentialsError(f"{path} ({variable}) cannot be read: {reason}", _HINT) from None


def _is_agent(url: str) -> bool:
    """Return whether credentials may be asked for at the URL: over TLS, on this machine, or at an agent of AWS's."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return bool(host)
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    return parts.scheme == "http" and (address.is_loopback or address in _AGENTS)
