"""Dry runs at the Kubernetes API: a write is authorized, admitted and checked like any other, but not stored (`dryRun=All`).

So RBAC's check of escalation, missing namespaces, and refusals of admission webhooks and policies are reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from kube_iam.kube.client import KubeApi

if TYPE_CHECKING:
    from lightkube import Client

    from kube_iam.kube.context import Context

_WRITES = frozenset({"apply", "create", "delete", "patch", "replace"})


class DryRunApi(KubeApi):
    """The same API with the same credentials and connections. All its writes are dry runs."""

    dry_run = True

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def at(self, url: str) -> KubeApi:
        """Return the API server at this URL, as `KubeApi.at` does. Its writes are dry runs too."""
        return DryRunApi(self._api.at(url))

    def as_user(self, user: Mapping[str, object]) -> KubeApi:
        """Return the same API server with another user, as `KubeApi.as_user` does. Its writes are dry runs too."""
        return DryRunApi(self._api.as_user(user))

    @property
    def context(self) -> Context:
        """Return the context in use. Raises what `KubeApi.context` raises."""
        return self._api.context

    @property
    def server(self) -> str:
        """Return the API server's URL. Raises what `KubeApi.server` raises."""
        return self._api.server

    def client(self) -> Client:
        """Return the client whose writes are dry runs. Raises what `KubeApi.client` raises."""
        return cast("Client", _DryRunClient(self._api.client()))

    def close(self) -> None:
        """Do nothing: the connections belong to the wrapped API."""


class _DryRunClient:
    """A lightkube client that adds `dry_run=True` to every write."""

    def __init__(self, client: Client) -> None:
        self._wrapped = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return partial(found, dry_run=True) if name in _WRITES else found
