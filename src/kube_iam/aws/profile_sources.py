"""Profiles whose credentials take a call or a command, and not botocore. On the `token` path.

They are profiles with `role_arn` whose chain of `source_profile` ends in static keys, and profiles with `credential_process`. A
profile is read exactly as botocore reads it, or not at all: what is not covered is left to botocore, with its errors.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
"""

import os

from kube_iam.aws.static_credentials import Profile, keys_of, parse, profiles_of
from kube_iam.core.credentials import KEY_SETTINGS, VARIABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kube_iam.aws.assume_role import Sts
    from kube_iam.aws.mfa import MfaPrompt
    from kube_iam.core.credentials import Credentials

CACHED_WITHOUT_EXPIRATION = 15 * 60
"""Time (seconds) for which a session is cached whose source cannot be foreseen and gives no Expiration of its own."""

_DOING = "find AWS credentials"
_METHOD = "assume-role"
# Settings of a profile with a role, with the parameters of sts:AssumeRole and the shortest texts that botocore sends.
_PARAMETERS = (
    ("role_arn", "RoleArn", 20),
    ("role_session_name", "RoleSessionName", 2),
    ("external_id", "ExternalId", 2),
    ("mfa_serial", "SerialNumber", 9),
    ("duration_seconds", "DurationSeconds", 1),
)
_SHORTEST_SECONDS = 900
# Settings that name another source of credentials than a role with keys.
_OTHER_SOURCES = frozenset(("credential_process", "credential_source", "login_session", "web_identity_token_file"))
_BEFORE_TOOLS = KEY_SETTINGS | {"login_session", "role_arn"}
# Variables of the SDK that change nothing about these calls, or that are read here or for the endpoint.
_HANDLED = frozenset(
    """
    AWS_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_ACCOUNT_ID AWS_CA_BUNDLE AWS_CONFIG_FILE AWS_CONTAINER_AUTHORIZATION_TOKEN
    AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CREDENTIAL_EXPIRATION
    AWS_CREDENTIAL_FILE AWS_DATA_PATH AWS_DEFAULT_PROFILE AWS_DEFAULT_REGION AWS_EC2_METADATA_DISABLED
    AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE AWS_EC2_METADATA_V1_DISABLED
    AWS_EXECUTION_ENV AWS_IGNORE_CONFIGURED_ENDPOINT_URLS AWS_IMDS_USE_IPV6 AWS_LOGIN_CACHE_DIRECTORY AWS_MFA_SERIAL
    AWS_PROFILE AWS_REGION AWS_ROLE_SESSION_NAME AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY AWS_SECURITY_TOKEN AWS_SESSION_TOKEN
    AWS_SHARED_CREDENTIALS_FILE AWS_STS_REGIONAL_ENDPOINTS AWS_USE_DUALSTACK_ENDPOINT AWS_USE_FIPS_ENDPOINT BOTO_CONFIG
    DEFAULT_ROLE KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID KUBE_IAM_CACHE_DIR REQUESTS_CA_BUNDLE SSL_CERT_DIR SSL_CERT_FILE
    """.split()  # noqa: SIM905
)
# Settings of a profile for which the same holds.
_SETTINGS = frozenset(
    """
    aws_access_key_id aws_account_id aws_secret_access_key aws_security_token aws_session_token ca_bundle cli_auto_prompt
    cli_binary_format cli_history cli_pager cli_timestamp_format credential_process duration_seconds endpoint_url
    external_id ignore_configured_endpoint_urls login_session mfa_serial output region role_arn role_session_name s3
    services source_profile sso_account_id sso_region sso_registration_scopes sso_role_name sso_session sso_start_url
    sts_regional_endpoints use_dualstack_endpoint use_fips_endpoint
    """.split()  # noqa: SIM905
)


def is_plain(environ: "Mapping[str, str]", profile: Profile) -> bool:
    """Return whether no variable and no setting of the profile asks for more than the calls without botocore have."""
    if any(name in VARIABLES and name not in _HANDLED for name in environ) or "SSLKEYLOGFILE" in environ:
        return False
    files = (environ.get("AWS_CA_BUNDLE"), environ.get("REQUESTS_CA_BUNDLE"))
    if not all(os.path.exists(file) for file in files if file is not None):  # noqa: PTH110
        return False
    return all(
        (name in _SETTINGS or name[:2] == "x_") and ("\t" not in profile.get(name) or name == "credential_process")
        for name in profile.keys()  # noqa: SIM118
    )


def tool_of_profile(profile: Profile) -> str:
    """Return the command of the profile's `credential_process`; empty where another source comes before it, or there is none."""
    sources = profile.has_any(_BEFORE_TOOLS) or any(name[:4] == "sso_" for name in profile.keys())  # noqa: SIM118
    return "" if sources else profile.get("credential_process")


class ProfileRole:
    """A role to assume: the parameters of the call without name and code, and the credentials or the role that assume it."""

    __slots__ = ("parameters", "source")

    def __init__(self, parameters: dict[str, str], source: "Credentials | ProfileRole") -> None:
        self.parameters = parameters
        self.source = source


def role_of_profile(profile: Profile) -> ProfileRole | None:
    """Return the role of the profile in use; None where it has none, and where botocore has to read it."""
    if not profile.get("role_arn"):
        return None
    config_text, credentials_text = profile.text.split(b"\0")
    sections, credentials = parse(config_text), parse(credentials_text)
    config = profiles_of(sections) if sections is not None else None
    if config is None or credentials is None:
        return None
    found = {
        name: Profile(name, config.get(name, {}), credentials.get(name, {}), b"") for name in {*config, *credentials}
    }
    return _role(found, profile.name, ())


def _role(profiles: dict[str, Profile], name: str, above: tuple[str, ...]) -> ProfileRole | None:
    """Return the role of a profile. `above` are the profiles that get their credentials from it: there is no circle."""
    profile, source_name = profiles[name], profiles[name].get("source_profile")
    source = profiles.get(source_name)
    if source is None or _is_beyond(profile) or _is_beyond(source):
        return None
    parameters: dict[str, str] = {}
    for setting, parameter, shortest in _PARAMETERS:
        if setting in profile.keys():  # noqa: SIM118
            parameters[parameter] = value = profile.get(setting)
            if len(value) < shortest:
                return None
    seconds = parameters.get("DurationSeconds")
    if seconds is not None:
        if not (seconds.isascii() and seconds.isdigit() and int(seconds) >= _SHORTEST_SECONDS):
            return None
        parameters["DurationSeconds"] = str(int(seconds))
    # A profile with static keys gives these, whatever else it holds. It may name itself for that.
    if not source.keys().isdisjoint(("aws_access_key_id", "aws_secret_access_key")):
        keys = keys_of(source)
        return ProfileRole(parameters, keys) if keys is not None and source_name not in above else None
    if source_name == name or source_name in above or not source.get("role_arn"):
        return None
    role = _role(profiles, source_name, (*above, name))
    return ProfileRole(parameters, role) if role is not None else None


def _is_beyond(profile: Profile) -> bool:
    """Return whether the profile names another source, or a value that botocore's checks refuse."""
    return profile.has_any(_OTHER_SOURCES) or any(
        name[:4] == "sso_" or "\t" in profile.get(name)
        for name in profile.keys()  # noqa: SIM118
    )


def assume_profile(
    role: ProfileRole, sts: "Sts", region: str, prompt: "Callable[[], MfaPrompt]", clock: "Callable[[], float]"
) -> "Credentials":
    """Return a session of the role. The user is asked for the code of a device in the profile.

    Raises CredentialsError and the AWS errors, in the words of the same failure in botocore.
    """
    parameters = {**role.parameters}
    parameters.setdefault("RoleSessionName", f"botocore-session-{int(clock())}")
    device = parameters.get("SerialNumber")
    if device is not None:
        parameters["TokenCode"] = prompt().code_of(device)
    source = role.source
    keys = assume_profile(source, sts, region, prompt, clock) if isinstance(source, ProfileRole) else source
    try:
        session, _ = sts.assume(parameters, keys, region, _DOING)
    except Exception as error:
        from kube_iam.aws.errors import RefusedCall, refusal_of

        if not isinstance(error, RefusedCall):
            raise
        raise refusal_of(error, _DOING) from error
    if session.expires is None or session.expires <= clock():
        from kube_iam.aws.source_errors import unusable

        raise unusable(_METHOD, ended=True)
    from kube_iam.core.credentials import check_credentials

    check_credentials(f"the credential source {_METHOD}", session)
    return session
