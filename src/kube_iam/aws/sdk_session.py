"""botocore's session, with the caller selected as the reference and current SDKs select it.

botocore alone reads older names first: AWS_DEFAULT_PROFILE before AWS_PROFILE, and security tokens before session tokens. This module
imports botocore: import it where a session is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.credentials import ConfigProvider, EnvProvider, SharedCredentialProvider
from botocore.session import Session

from kube_iam.aws.files import CONFIG_FILE, CREDENTIALS_FILE
from kube_iam.aws.profiles import profile_name

_TOKEN_VARIABLES = ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
_TOKEN_SETTINGS = ["aws_session_token", "aws_security_token"]


class SdkSession(Session):
    """A botocore session. A `profile` decides who signs; without one, keys in the environment have precedence over AWS_PROFILE."""

    def __init__(self, profile: str, environ: Mapping[str, str]) -> None:
        # The profile of the environment is a default: one that is set on the session switches off the keys in the environment.
        defaults = {
            "profile": profile_name(environ),
            "config_file": environ.get("AWS_CONFIG_FILE") or CONFIG_FILE,
            "credentials_file": environ.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE,
        }
        super().__init__(
            session_vars={name: (None, None, value, None) for name, value in defaults.items()},
            profile=profile or None,
        )

    def _create_credential_resolver(self) -> Any:
        """Return the chain of credential sources. botocore calls this once, when it first needs credentials."""
        resolver = super()._create_credential_resolver()  # type: ignore[misc]
        for provider in resolver.providers:
            if isinstance(provider, EnvProvider):
                provider._mapping["token"] = _TOKEN_VARIABLES  # type: ignore[attr-defined]
            elif isinstance(provider, (SharedCredentialProvider, ConfigProvider)):
                provider.TOKENS = _TOKEN_SETTINGS
        return resolver
