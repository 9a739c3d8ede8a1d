"""The part of a sign-in that needs botocore: the whole credential chain, the configured endpoint, the caller's ARN, AssumeRole.

Imports botocore when called. `kube_iam.aws.mfa` asks for a profile's MFA code, on the terminal only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kube_iam.aws.client import make_client, make_session
from kube_iam.aws.config_checks import profile_chain
from kube_iam.aws.errors import (
    CLOCK_HINT,
    aws_errors,
    error_code,
    is_clock_skew,
    is_wrong_mfa_code,
    translate,
)
from kube_iam.aws.faults import time_of_answer
from kube_iam.aws.mfa import MfaPrompt, ask_with
from kube_iam.aws.source_errors import source_errors
from kube_iam.core.credentials import Credentials, check_credentials
from kube_iam.core.partitions import DEFAULT_REGION, Endpoint, authority_of
from kube_iam.errors import AccessDenied, CredentialsError, KubeIamError, Unreachable

CACHED_WITHOUT_EXPIRATION = 15 * 60
"""Time (seconds) for which a session is cached whose source cannot be foreseen and gives no Expiration of its own."""

_NOT_STS = "is there a proxy in between? Try again"
# Sources that depend on variables and files alone, all of which `caller_key` covers.
_FORESEEN = frozenset(
    {"env", "shared-credentials-file", "config-file", "ec2-credentials-file", "boto-config", "sso", "login"}
)
_ASSUMED = frozenset({"assume-role", "assume-role-with-web-identity"})
# Sources whose answer is used as it is, with the Expiration that it has.
_ANSWERING = frozenset({"custom-process", "iam-role", "container-role"})


class AssumedRole(NamedTuple):
    """A session of a role, and the role's unique id (`AROA…`; empty where AWS did not say)."""

    credentials: Credentials
    role_id: str


class CallerIdentity(NamedTuple):
    """The caller's ARN, and AWS's clock (Unix seconds) by the Date of its answer; None where the answer has none."""

    arn: str
    aws_time: float | None


class BotocoreChain:
    """One botocore session for the profile in use. Every method raises the errors of our tree only.

    `prompt` asks the user for an MFA code, and records whether it did.
    """

    def __init__(self, prompt: MfaPrompt | None = None) -> None:
        self._method = ""
        self.prompt = prompt or MfaPrompt(interactive=False)
        self._session: Any = make_session()
        self._session.set_config_variable("sts_regional_endpoints", "regional")

    @property
    def source(self) -> str:
        """botocore's name of the source that `credentials` used; empty before."""
        return self._method

    def region(self) -> str:
        """Return the region of the profile in use, or an empty string."""
        with aws_errors("read the AWS configuration"):
            return self._session.get_config_variable("region") or ""

    def endpoint(self, region: str) -> Endpoint:
        """Return the STS endpoint of the environment and the profile: always the region's own, never the global one.

        Raises UsageError where it is not an https host, CredentialsError where settings exclude each other.
        """
        region = region or DEFAULT_REGION
        client = make_client(
            "sts",
            region,
            session=self._session,
            aws_access_key_id="unused",
            aws_secret_access_key="unused",  # noqa: S106
        )
        with aws_errors("find the STS endpoint"):
            url: str = client.generate_presigned_url("get_caller_identity")
        # The region in the signature's scope: botocore reads `us-east-1-fips` as us-east-1 with FIPS.
        scope = url.partition("X-Amz-Credential=")[2].partition("&")[0].split("%2F")
        return Endpoint(scope[2], authority_of(url.partition("?")[0]))

    def credentials(self, region: str) -> Credentials:
        """Return the caller's own credentials. Raises CredentialsError where there are none, or their source fails."""
        self._session.set_config_variable("region", region)
        from botocore.exceptions import NoCredentialsError

        with aws_errors("find AWS credentials"):
            ask_with(self.prompt, self._session)
            found = self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            with source_errors(str(found.method)):
                keys = read_credentials(found)
        self._method = str(found.method)
        check_credentials(f"the credential source {found.method}", keys)
        return keys

    def cacheable_until(self, found: Credentials, now: float) -> float:
        """Return until when (unix seconds) a session may be cached that is made with what `credentials` found; `inf`: to its end.

        A credential_process, instance metadata or a container's agent may answer for another principal later. So a session made with
        such an answer is used until the answer's own Expiration. Where it has none, or botocore hides it since it assumes a role
        with it, the session is used for 15 minutes.
        """
        if self._method in _FORESEEN or (self._method in _ASSUMED and not self._uses_a_tool()):
            return float("inf")
        if self._method in _ANSWERING and found.expires is not None:
            return found.expires
        return now + CACHED_WITHOUT_EXPIRATION

    def _uses_a_tool(self) -> bool:
        """Return whether the profile, or one that it refers to, gets credentials from a source that cannot be foreseen."""
        profiles = self._session.full_config.get("profiles", {})
        for name in profile_chain(profiles, self._session.profile or "default"):
            source = str(profiles[name].get("credential_source", "Environment"))
            if "credential_process" in profiles[name] or source.lower() != "environment":
                return True
        return False

    def caller_arn(self, credentials: Credentials, region: str) -> str:
        """Return the ARN of the caller with these credentials, by sts:GetCallerIdentity."""
        return self.identify(credentials, region).arn

    def identify(self, credentials: Credentials, region: str) -> CallerIdentity:
        """Return the caller's ARN and AWS's clock, by sts:GetCallerIdentity."""
        with aws_errors("ask AWS who you are"):
            answer = self._sts(credentials, region).get_caller_identity()
        arn = answer.get("Arn")
        if not isinstance(arn, str) or not arn:
            raise Unreachable("cannot ask AWS who you are: the answer of STS has no Arn", _NOT_STS)
        return CallerIdentity(arn, time_of_answer(answer))

    def assume_role(
        self,
        credentials: Credentials,
        *,
        role: str,
        session_name: str,
        external_id: str,
        region: str,
        caller: str = "",
        mfa: tuple[str, str] | None = None,
    ) -> AssumedRole:
        """Return a session of the role. `caller` is the caller's ARN for the error message, or empty.

        `mfa` is the serial number of an MFA device and the code that it shows.
        """
        from botocore.exceptions import ClientError

        arguments = {"RoleArn": role, "RoleSessionName": session_name}
        if external_id:
            arguments["ExternalId"] = external_id
        if mfa is not None:
            arguments["SerialNumber"], arguments["TokenCode"] = mfa
        with aws_errors(f"assume {role}"):
            try:
                answer = self._sts(credentials, region).assume_role(**arguments)
            except ClientError as error:
                raise _refused(error, role, session_name, caller) from error
        return _session_in(answer, role)

    def profile_setting(self, name: str) -> str:
        """Return this setting of the profile in use, or an empty string."""
        with aws_errors("read the AWS configuration"):
            return str(self._session.get_scoped_config().get(name) or "")

    def _sts(self, credentials: Credentials, region: str) -> Any:
        return make_client(
            "sts",
            region,
            session=self._session,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token or None,
        )


def read_credentials(found: Any) -> Credentials:
    """Return the keys of botocore's credentials, renewed where they are due. Raises botocore's errors."""
    frozen = found.get_frozen_credentials()
    end = getattr(found, "_expiry_time", None)  # botocore has no public name for it
    expires = end.timestamp() if end is not None else None
    return Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token or "", expires)


def own_session_name(caller_arn: str) -> str:
    """Return the name of the caller's role session: the name of the IAM user, or of the caller's own session. Audit logs show it.

    Raises CredentialsError for the root user, which AWS lets assume no role, and for a name that no session may have.
    """
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


def _session_in(answer: Mapping[str, Any], role: str) -> AssumedRole:
    """Return the session in an answer of STS. Raises Unreachable for an answer that has none: no text of it is repeated."""
    try:
        keys = answer["Credentials"]
        session = Credentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], keys["Expiration"].timestamp()
        )
    except (KeyError, TypeError, AttributeError):
        raise Unreachable(f"cannot assume {role}: the answer of STS has no session", _NOT_STS) from None
    check_credentials("STS", session)
    role_id = str(answer.get("AssumedRoleUser", {}).get("AssumedRoleId", "")).partition(":")[0]
    return AssumedRole(session, role_id if role_id.isalnum() and role_id.isascii() else "")


def _refused(error: Any, role: str, session_name: str, caller: str) -> KubeIamError:
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
    return translate(error, f"assume {role}")
