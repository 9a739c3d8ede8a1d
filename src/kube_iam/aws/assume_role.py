"""Assume the role of `-r`, under the caller's session name, and with an MFA code where one is needed. On the `token` path."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from botocore.exceptions import ClientError

    from kube_iam.aws.errors import RefusedCall
    from kube_iam.aws.mfa import MfaPrompt
    from kube_iam.aws.token_cache import TokenRequest
    from kube_iam.core.credentials import Credentials
    from kube_iam.errors import KubeIamError

    class Sts(Protocol):
        """The two calls of STS: `StsCalls`, or `BotocoreChain`."""

        def caller_arn(self, credentials: Credentials, region: str) -> str:
            """Return the ARN of the caller."""

        def assume(
            self, parameters: Mapping[str, str], credentials: Credentials, region: str, doing: str
        ) -> tuple[Credentials, str]:
            """Return a session and the role's unique id."""


def assume(
    sts: "Sts",
    own: "Credentials",
    request: "TokenRequest",
    region: str,
    prompt: "Callable[[], MfaPrompt]",
    own_device: "Callable[[], str]",
) -> "tuple[Credentials, str]":
    """Return a session of the role that `request` names, assumed with the credentials `own`, and the role's unique id.

    The user is asked at once for a code of a device that the request names. The device of `own_device` (AWS_MFA_SERIAL, or the
    profile's `mfa_serial`) serves other roles as well: the user is asked for its code only if AWS denies the role without one.
    Raises AccessDenied, CredentialsError and the AWS errors.
    """
    caller, name = "", request.session_name
    if not name:
        caller = sts.caller_arn(own, region)
        name = own_session_name(caller)
    parameters = {"RoleArn": request.role, "RoleSessionName": name}
    if request.external_id:
        parameters["ExternalId"] = request.external_id

    def attempt(device: str) -> "tuple[Credentials, str]":
        given = {**parameters}
        if device:
            given |= {"SerialNumber": device, "TokenCode": prompt().code_of(device)}
        doing = f"assume {request.role}"
        try:
            session, role_id = sts.assume(given, own, region, doing)
        except Exception as error:
            from kube_iam.errors import KubeIamError

            if isinstance(error, KubeIamError) or not hasattr(error, "response"):
                raise
            raise _refused(error, request.role, name, caller) from error  # type: ignore[arg-type]
        from kube_iam.core.credentials import check_credentials

        check_credentials("STS", session)
        return session, role_id

    if request.mfa_serial:
        return attempt(request.mfa_serial)
    try:
        return attempt("")
    except Exception as error:
        from kube_iam.errors import AccessDenied

        device = own_device() if isinstance(error, AccessDenied) and not own.session_token else ""
        if not device:
            raise
    from kube_iam.aws.mfa import check_device

    check_device(device)
    return attempt(device)


def own_session_name(caller_arn: str) -> str:
    """Return the name of the caller's role session: the name of the IAM user, or of the caller's own session. Audit logs show it.

    Raises CredentialsError for the root user, which AWS lets assume no role, and for a name that no session may have.
    """
    from kube_iam.errors import CredentialsError

    kind, _, rest = caller_arn.rpartition(":")[2].partition("/")
    name = rest.rpartition("/")[2]
    if kind == "root":
        raise CredentialsError(
            "the account's root user cannot assume roles", "sign in to AWS as an IAM user or with a role, and try again"
        )
    if kind not in ("user", "assumed-role") or not 2 <= len(name) <= 64:
        raise CredentialsError(
            f"no session name can be made of your own identity, {caller_arn}", "give one with --session-name"
        )
    return name


def _refused(error: "RefusedCall | ClientError", role: str, session_name: str, caller: str) -> "KubeIamError":
    from kube_iam.aws.errors import CLOCK_HINT, error_code, is_clock_skew, is_wrong_mfa_code, refusal_of
    from kube_iam.errors import AccessDenied, CredentialsError

    who = caller or "these credentials"
    if error_code(error) == "AccessDenied" and not is_wrong_mfa_code(error):
        return AccessDenied(
            f"{who} may not assume {role} (session name {session_name!r})",
            "AWS says the same of a role that does not exist: check the ARN (`kube-iam kubeconfig LEVEL` writes it); perhaps you are"
            " not in the IAM group of this level; a role made by kube-iam also wants the session name to be"
            " your IAM user name, so leave --session-name out; a level with MFA wants a code, so name your device with"
            " --mfa-serial",
        )
    if is_clock_skew(error):
        return CredentialsError(
            f"cannot assume {role}: this machine's clock and that of AWS differ too much", CLOCK_HINT
        )
    return refusal_of(error, f"assume {role}")
