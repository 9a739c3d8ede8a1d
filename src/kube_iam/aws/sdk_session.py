"""botocore's session, with the caller selected as the reference and current SDKs select it.

botocore alone reads older names first, other INI files, and static keys behind a `credential_process`. This module imports botocore:
import it where a session is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from botocore.credentials import (
    AssumeRoleProvider,
    BotoProvider,
    ConfigProvider,
    CredentialResolver,
    EnvProvider,
    OriginalEC2Provider,
    ProcessProvider,
    ProfileProviderBuilder,
    SharedCredentialProvider,
)
from botocore.exceptions import ConfigNotFound
from botocore.session import Session

from kube_iam.aws.config_checks import check_end_of_keys
from kube_iam.aws.config_files import read_configuration, read_sections
from kube_iam.aws.credential_tool import run_tool
from kube_iam.aws.environment import CONFIG_FILE, CREDENTIALS_FILE
from kube_iam.aws.login_source import LoginSource
from kube_iam.aws.proxies import use_proxy
from kube_iam.aws.source_errors import name_errors
from kube_iam.aws.static_credentials import profile_name
from kube_iam.aws.time_limits import default_config, limit_time

_TOKEN_VARIABLES = ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
# Files of the tools before botocore, which the reference does not read: keys in them would sign in place of a role.
_LEGACY = (OriginalEC2Provider, BotoProvider)
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
        self._environ = environ
        self._read: dict[str, Any] | None = None
        super().__init__(
            session_vars={name: (None, None, value, None) for name, value in defaults.items()},
            profile=profile or None,
        )

    @property
    def full_config(self) -> dict[str, Any]:
        """Both configuration files, as `read_configuration` returns them. Raises CredentialsError."""
        if self._read is None:
            self._read = read_configuration(self._environ)
        return self._read

    def config_alone(self, _: object) -> dict[str, Any]:
        """Return the config file without the credentials file. Raises CredentialsError."""
        return read_configuration(self._environ, only_config=True)

    def create_client(self, *arguments: Any, **settings: Any) -> Any:
        """Return botocore's client, set up for its proxy, with our time limits. Raises UsageError for a proxy that cannot be used.

        botocore makes clients by this too: those that assume the roles of profiles, and of IAM Identity Center.
        """
        config = settings.get("config")
        settings["config"] = default_config().merge(config) if config is not None else default_config()
        client = super().create_client(*arguments, **settings)
        limit_time(client)
        use_proxy(client, self._environ)
        return client

    def _create_credential_resolver(self) -> CredentialResolver:
        """Return the chain of credential sources. botocore calls this once, when it first needs credentials."""
        made: Any = super()._create_credential_resolver()  # type: ignore[misc]
        builder = _ProfileSources(self, cache={}, region_name=getattr(self, "_last_client_region_used", None))
        explicit = self.instance_variables().get("profile") is not None
        of_profile = builder.providers(self.profile or "default", disable_env_vars=explicit)
        replaced = {provider.METHOD for provider in of_profile}
        before: list[Any] = []
        after: list[Any] = []
        for provider in made.providers:
            if isinstance(provider, EnvProvider):
                provider._mapping["token"] = _TOKEN_VARIABLES  # type: ignore[attr-defined]
                before.append(name_errors(provider, lambda: check_end_of_keys(self._environ)))
            elif isinstance(provider, AssumeRoleProvider):
                provider._profile_provider_builder = builder  # type: ignore[attr-defined]
                before.append(name_errors(provider))
            elif provider.METHOD not in replaced and not isinstance(provider, _LEGACY):
                after.append(name_errors(provider))
        return CredentialResolver([*before, *of_profile, *after])


class _ProfileSources(ProfileProviderBuilder):
    """The sources that a profile can name, in the order of the Go SDK: static keys come before IAM Identity Center and tools."""

    def __init__(self, session: SdkSession, *, cache: dict[str, Any], region_name: str | None) -> None:
        super().__init__(session, cache=cache, region_name=region_name)
        self._of = session

    def providers(self, profile_name: str, disable_env_vars: bool = False) -> list[Any]:
        """Return the sources of one profile. botocore calls this for each `source_profile` too."""
        session, made = self._of, cast("Any", self)
        shared: Any = SharedCredentialProvider(
            str(session.get_config_variable("credentials_file")), profile_name, ini_parser=_sections
        )
        own: Any = ConfigProvider(
            str(session.get_config_variable("config_file")), profile_name, config_parser=session.config_alone
        )
        shared.TOKENS = own.TOKENS = _TOKEN_SETTINGS
        sources = (
            made._create_web_identity_provider(profile_name, disable_env_vars),
            shared,
            own,
            made._create_sso_provider(profile_name),
            LoginSource(lambda: session.full_config, session.create_client, profile_name),
            _Tool(profile_name, lambda: session.full_config),
        )
        return [name_errors(source) for source in sources]


class _Tool(ProcessProvider):
    """botocore's provider, with the reference's way to run the command, and every answer checked."""

    def __init__(self, profile: str, load_config: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(profile, load_config)
        self._profile = profile

    def _retrieve_credentials_using(self, credential_process: str) -> dict[str, Any]:
        keys = run_tool(self._profile, credential_process)
        end = datetime.fromtimestamp(keys.expires, UTC).isoformat() if keys.expires is not None else None
        return {
            "access_key": keys.access_key_id,
            "secret_key": keys.secret_access_key,
            "token": keys.session_token or None,
            "expiry_time": end,
        }


def _sections(file: str) -> dict[str, Any]:
    """Return the sections of a credentials file. Raises ConfigNotFound where it has none: botocore then asks the next source."""
    found = read_sections(file)
    if not found:
        raise ConfigNotFound(path=file)
    return found
