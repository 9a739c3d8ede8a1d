"""The source `login_session` of a profile: the session that `aws login` keeps in ~/.aws/login/cache.

botocore renews it with a signature (DPoP, RFC 9449) for which it needs the AWS CRT. A session that has not ended needs no renewal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.compat
from botocore.credentials import LoginCredentialFetcher, LoginProvider, RefreshableCredentials
from botocore.utils import JSONFileCache, LoginTokenLoader, get_login_token_cache_directory

from kube_iam.core.utc import rfc3339
from kube_iam.errors import CredentialsError


class LoginSource(LoginProvider):
    """botocore's provider, which without the AWS CRT serves a session until its end."""

    def __init__(
        self, config: Callable[[], Mapping[str, Any]], create_client: Callable[..., Any], profile: str
    ) -> None:
        super().__init__(config, create_client, profile)
        self._config = config
        self._create_client = create_client
        self._profile = profile

    def load(self) -> Any:
        """Return the credentials, None for a profile without `login_session`.

        Raises CredentialsError for a session that has ended, where the AWS CRT is missing that could renew it.
        """
        settings = self._config().get("profiles", {}).get(self._profile, {})
        if getattr(botocore.compat, "EC", None) is not None or "login_session" not in settings:
            return super().load()
        cache: Any = JSONFileCache(get_login_token_cache_directory())
        loader: Any = LoginTokenLoader(cache)
        fetcher = LoginCredentialFetcher(settings["login_session"], loader, self._create_client)

        def kept() -> dict[str, Any]:
            session: dict[str, Any] = fetcher.load_cached_credentials()
            end = datetime.fromisoformat(str(session["expiry_time"]))
            if end <= datetime.now(UTC):
                raise CredentialsError(
                    f"cannot find AWS credentials: the session of `aws login` of profile {self._profile} ended at"
                    f" {rfc3339(end.timestamp())}, and cannot be renewed without the AWS CRT",
                    "run `aws login` for this profile, or install botocore[crt] beside kube-iam",
                )
            return {**session, "expiry_time": end.isoformat()}

        return RefreshableCredentials.create_from_metadata(kept(), kept, self.METHOD)
