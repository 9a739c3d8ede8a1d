"""Calls of one AWS service with the server's own credentials. Blocking; thread-safe."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Protocol
from xml.etree.ElementTree import Element

from kube_iam.aws.query_api import QueryApi
from kube_iam.aws.sdk_process import ask_sdk
from kube_iam.aws.server_credentials import ServerCredentials
from kube_iam.aws.service_endpoints import plain_endpoint
from kube_iam.core.credentials import Credentials
from kube_iam.core.partitions import DEFAULT_REGION
from kube_iam.errors import CredentialsError


class Source(Protocol):
    """A source of credentials."""

    def get(self) -> Credentials:
        """Return credentials that have not ended. Raises KubeIamError."""

    def discard(self) -> None:
        """Look for credentials again at the next call."""


class ServerApi:
    """One service in one region. Endpoint and credentials are found with the first call."""

    def __init__(
        self,
        service: str,
        region: str,
        *,
        connect_seconds: float,
        read_seconds: float,
        credentials: Source | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Without `credentials` the server's own are used."""
        self._service = service
        self._region = region or DEFAULT_REGION
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._environ = environ
        self._credentials = credentials or ServerCredentials(self._region, environ)
        self._lock = threading.Lock()
        self._api: QueryApi | None = None

    def call(
        self, action: str, parameters: Mapping[str, str], doing: str, headers: Mapping[str, str] | None = None
    ) -> Element:
        """Return the result of the action, as `QueryApi.call` does. Raises KubeIamError."""
        api = self._ready()
        keys = self._credentials.get()
        try:
            return api.call(action, parameters, keys, doing, headers=headers)
        except CredentialsError:
            self._credentials.discard()
            raise

    def _ready(self) -> QueryApi:
        with self._lock:
            if self._api is None:
                endpoint = plain_endpoint(self._service, self._region, self._environ)
                self._api = QueryApi(
                    self._service,
                    endpoint or ask_sdk(self._service, self._region, self._environ).endpoint,
                    connect_seconds=self._connect_seconds,
                    read_seconds=self._read_seconds,
                    environ=self._environ,
                )
            return self._api
