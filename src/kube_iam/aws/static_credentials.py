"""The short way to credentials: the environment's keys, or the static keys of a profile. On the `token` path.

It answers exactly as botocore's chain would, or not at all (None); `kube_iam.aws.botocore_chain` does the rest. The order is
botocore's: complete keys in the environment win over any profile.
"""

from kube_iam.core.credentials import Credentials
from kube_iam.core.utc import parse_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kube_iam.aws.profiles import Profile

# Settings that have no say in which credentials a profile stands for. With any other one, botocore decides.
_HARMLESS = frozenset(
    (
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_security_token",
        "aws_account_id",
        "ca_bundle",
        "cli_auto_prompt",
        "cli_binary_format",
        "cli_history",
        "cli_pager",
        "cli_timestamp_format",
        "defaults_mode",
        "endpoint_url",
        "ignore_configured_endpoint_urls",
        "max_attempts",
        "output",
        "region",
        "retry_mode",
        "s3",
        "services",
        "sts_regional_endpoints",
        "tcp_keepalive",
        "use_dualstack_endpoint",
        "use_fips_endpoint",
    )
)
# botocore renews sessions whose end is this near (seconds): it then has to be asked.
_RENEWAL_WINDOW = 15 * 60


def static_credentials(environ: "Mapping[str, str]", profile: "Profile | None", now: float) -> Credentials | None:
    """The credentials that botocore would use, found without it; None where that takes botocore (or where there are none)."""
    if profile is None:
        return None
    if environ.get("AWS_ACCESS_KEY_ID"):
        return _from_environment(environ, now)
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or environ.get("AWS_ROLE_ARN"):
        return None
    return _from_profile(profile)


def _from_environment(environ: "Mapping[str, str]", now: float) -> Credentials | None:
    secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not secret:
        return None
    token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN") or ""
    end = environ.get("AWS_CREDENTIAL_EXPIRATION", "")
    expires = parse_rfc3339(end) if end else None
    if end and (expires is None or expires < now + _RENEWAL_WINDOW):
        return None
    return Credentials(environ["AWS_ACCESS_KEY_ID"], secret, token, expires)


def _from_profile(profile: "Profile") -> Credentials | None:
    if not _HARMLESS.issuperset(key for key in profile.keys() if not key.startswith("x_")):  # noqa: SIM118
        return None
    # The credentials file is asked before the config file, and the one that has the key id must have the rest.
    settings = profile.credentials if "aws_access_key_id" in profile.credentials else profile.config
    key_id, secret = settings.get("aws_access_key_id"), settings.get("aws_secret_access_key")
    token = settings.get("aws_session_token", settings.get("aws_security_token"))
    if not key_id or not secret or token == "":
        return None
    return Credentials(key_id, secret, token or "")
