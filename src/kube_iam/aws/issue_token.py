"""The story of a sign-in: find credentials, take on the role if one is asked for, mint the token. On the `token` path.

Keys that the short chain finds are used as they are; roles, and what only botocore can find, are `credential_provider`.
"""

from kube_iam.aws.profiles import read_profile
from kube_iam.aws.region import Endpoint, doubt_about_host, find_endpoint, instance_region, usage_error
from kube_iam.aws.static_credentials import static_credentials
from kube_iam.aws.token_cache import IssuedToken, TokenRequest
from kube_iam.core.input_checks import check_environment, check_value
from kube_iam.core.mint import check_cluster_id, mint, token_expiration
from kube_iam.core.partitions import PARTITIONS, partition_of_region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kube_iam.core.credentials import Credentials


def issue_token(request: TokenRequest, environ: "Mapping[str, str]", clock: "Callable[[], float]") -> IssuedToken:
    """The token. Raises the errors of our tree: UsageError before any call is made, CredentialsError and AwsError after."""
    check_environment(environ)
    for what, text in (
        ("the cluster id", request.cluster_id),
        ("the role", request.role),
        ("the external id", request.external_id),
        ("the session name", request.session_name),
        ("the MFA device", request.mfa_serial),
        ("the region", request.region),
    ):
        check_value(what, text)
    try:
        check_cluster_id(request.cluster_id)
    except ValueError as error:
        raise usage_error(str(error)) from error
    if request.session_name and not is_session_name(request.session_name):
        raise usage_error(
            f"{request.session_name!r:.100} cannot be a session's name",
            "2 to 64 letters, digits and the characters _+=,.@-",
        )
    if request.mfa_serial:
        from kube_iam.aws.mfa import check_device

        check_device(request.mfa_serial)
    profile = read_profile(environ)
    endpoint = find_endpoint(request.region, environ, profile, lambda: instance_region(environ))
    own = None if request.role or endpoint is None else static_credentials(environ, profile, clock())
    if own is not None and endpoint is not None:
        return _signed(request, own, endpoint, clock(), doubt_about_host(endpoint, request.region, environ))
    from kube_iam.aws.credential_provider import CredentialProvider

    provider = CredentialProvider(request, environ, clock, profile, endpoint)
    if request.role:
        check_role(request.role, provider.endpoint.region)
    doubt = doubt_about_host(provider.endpoint, request.region, environ)
    try:
        keys = provider.role_session() if request.role else provider.own_credentials()
    except Exception as error:
        if doubt:
            _explain(error, doubt)
        raise
    signed = _signed(request, keys, provider.endpoint, clock(), doubt)
    signed.complaint = provider.sessions.complaint or signed.complaint
    return signed


def _signed(request: TokenRequest, keys: "Credentials", endpoint: Endpoint, now: float, doubt: str) -> IssuedToken:
    token = mint(keys, cluster_id=request.cluster_id, region=endpoint.region, host=endpoint.host, now=now)
    return IssuedToken(token, now, token_expiration(keys, now), f"warning: {doubt}" if doubt else "")


def _explain(error: Exception, doubt: str) -> None:
    """Give an error about an STS that cannot be reached the hint that its region may not exist, and what names the region."""
    from kube_iam.errors import Unreachable

    if isinstance(error, Unreachable):
        error.hint = f"{doubt} If it is one, check the network and HTTPS_PROXY"


def is_session_name(name: str) -> bool:
    """Whether STS takes it as RoleSessionName: `[\\w+=,.@-]{2,64}`."""
    return 2 <= len(name) <= 64 and name.isascii() and all(c.isalnum() or c in "_+=,.@-" for c in name)


def check_role(role: str, region: str) -> None:
    """Raise UsageError for what is not the ARN of a role, or of one whose partition the region is not in."""
    parts = role.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[1] not in PARTITIONS or not parts[5].startswith("role/"):
        hint = "it looks like arn:aws:iam::123456789012:role/NAME"
        if len(parts) == 6 and parts[5].startswith("assumed-role/"):
            hint = "that is a session of a role: give the role itself, " + hint.removeprefix("it looks like ")
        raise usage_error(f"{role!r:.200} is not the ARN of an IAM role", hint)
    partition = partition_of_region(region)
    if parts[2] != "iam" or parts[3] or not (len(parts[4]) == 12 and parts[4].isascii() and parts[4].isdigit()):
        raise usage_error(
            f"{role!r:.200} is not the ARN of an IAM role", "it looks like arn:aws:iam::123456789012:role/NAME"
        )
    if parts[1] != partition:
        raise usage_error(
            f"the role is in the partition {parts[1]}, but the region {region} is in {partition}",
            "give a region of the role's partition with --region",
        )
