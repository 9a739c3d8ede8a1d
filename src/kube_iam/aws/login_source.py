"""The source `login_session` of a profile: the session that `aws login` keeps in ~/.aws/login/cache.

botocore renews it with a signature (DPoP, RFC 9449) for which it needs the AWS CRT, the extra `login`. As with the reference, a
session is used until its end: a renewal that fails before is no error.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any

import botocore.compat
from botocore.credentials import LoginCredentialFetcher, LoginProvider, RefreshableCredentials
from botocore.exceptions import ClientError, LoginError, LoginInsufficientPermissions, LoginTokenLoadError
from botocore.utils import JSONFileCache, LoginTokenLoader, get_login_token_cache_directory

from kube_iam.aws.errors import aws_errors
from kube_iam.core.extras import install_command
from kube_iam.core.utc import rfc3339
from kube_iam.errors import CredentialsError, KubeIamError

RENEWED_BEFORE_END = 5 * 60
"""Seconds before its end at which a session is renewed, as in botocore."""


class LoginSource(LoginProvider):
    """botocore's provider, with sessions served until their end, and errors that name the profile and the remedy."""

    def __init__(
        self, config: Callable[[], Mapping[str, Any]], create_client: Callable[..., Any], profile: str
    ) -> None:
        super().__init__(config, create_client, profile)
        self._config = config
        self._create_client = create_client
        self._profile = profile

    def load(self) -> Any:
        """Return the credentials, None for a profile without `login_session`. They are renewed when they are asked for.

        Raises CredentialsError where there is no session. Asking for credentials raises it for a session that has ended and cannot
        be renewed, with the command to install the AWS CRT where that is what is missing.
        """
        settings = self._config().get("profiles", {}).get(self._profile, {})
        if "login_session" not in settings:
            return None
        cache: Any = JSONFileCache(get_login_token_cache_directory())
        loader: Any = LoginTokenLoader(cache)
        fetcher = LoginCredentialFetcher(settings["login_session"], loader, self._create_client)
        with self._errors():
            session: Any = fetcher.load_cached_credentials()
        return RefreshableCredentials.create_from_metadata(session, lambda: self._current(fetcher), self.METHOD)

    def _current(self, fetcher: LoginCredentialFetcher) -> Any:
        """Return the session in the cache, renewed where it is about to end."""
        with self._errors():
            session: Any = fetcher.load_cached_credentials()
            if _seconds_left(session) > RENEWED_BEFORE_END:
                return session
            if getattr(botocore.compat, "EC", None) is None:
                if _seconds_left(session) > 0:
                    return session
                raise self._cannot_renew(str(session["expiry_time"]))
            try:
                with aws_errors(f"renew the session of `aws login` of profile {self._profile}"), self._errors():
                    return fetcher.refresh_credentials()
            except KubeIamError:
                # Another process may have renewed it meanwhile, which ends our refresh token.
                session = fetcher.load_cached_credentials()
                if _seconds_left(session) > 0:
                    return session
                raise

    def _cannot_renew(self, ended: str) -> CredentialsError:
        end = rfc3339(datetime.fromisoformat(ended).timestamp())
        if find_spec("awscrt") is None:
            command = install_command("botocore[crt]")
            reason, remedy = "which is not installed", f"install the extra `login` beside kube-iam: {command}"
        else:
            reason, remedy = "which is switched off or too old", "unset BOTO_DISABLE_CRT and update awscrt"
        return CredentialsError(
            f"cannot find AWS credentials: the session of `aws login` of profile {self._profile} ended at {end},"
            f" and botocore renews it with the AWS CRT only, {reason}",
            f"run {self._command()}, or {remedy}",
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise CredentialsError, naming the profile, for what botocore raises of sessions."""
        what = f"cannot find AWS credentials: the session of `aws login` of profile {self._profile}"
        try:
            yield
        except LoginInsufficientPermissions as error:
            raise CredentialsError(
                f"{what} cannot be renewed: AWS denies it",
                "your policies have to allow signin:CreateOAuth2Token",
            ) from error
        except (LoginTokenLoadError, RuntimeError) as error:  # RuntimeError: the AWS CRT, for a key that is none
            raise CredentialsError(f"{what} is missing or cannot be read", f"run {self._command()}") from error
        except ClientError as error:
            if not _is_refused(error):
                raise
            raise CredentialsError(
                f"{what} cannot be renewed: AWS refuses the request",
                f"run {self._command()}; is this machine's clock right?",
            ) from error
        except LoginError as error:
            raise CredentialsError(f"{what} has ended", f"run {self._command()}") from error

    def _command(self) -> str:
        return "`aws login`" if self._profile == "default" else f"`aws login --profile {shlex.quote(self._profile)}`"


def _is_refused(error: ClientError) -> bool:
    """Return whether the same request would be refused again: not throttling, and no fault of AWS."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS


def _seconds_left(session: Mapping[str, Any]) -> float:
    """Return the time to the session's end. Raises ValueError for a time that is none, or has no zone."""
    end = datetime.fromisoformat(str(session["expiry_time"]))
    if end.tzinfo is None:
        raise ValueError("the time has no zone")
    return (end - datetime.now(UTC)).total_seconds()
