"""The part of a sign-in that needs botocore: the whole credential chain, the configured endpoint, the caller's ARN, AssumeRole.

Imports botocore when called. `kube_iam.aws.mfa` asks for a profile's MFA code, on the terminal only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kube_iam.aws.client import make_client, make_session
from kube_iam.aws.config_checks import profile_chain
from kube_iam.aws.errors import aws_errors
from kube_iam.aws.faults import time_of_answer
from kube_iam.aws.mfa import MfaPrompt, ask_with
from kube_iam.aws.profile_sources import CACHED_WITHOUT_EXPIRATION
from kube_iam.aws.source_errors import source_errors
from kube_iam.aws.sts_calls import role_id_of
from kube_iam.core.credentials import Credentials, check_credentials
from kube_iam.core.partitions import DEFAULT_REGION, Endpoint, authority_of
from kube_iam.errors import Unreachable

_NOT_STS = "is there a proxy in between? Try again"
# Sources that depend on variables and files alone, all of which `caller_key` covers.
_FORESEEN = frozenset(
    {"env", "shared-credentials-file", "config-file", "ec2-credentials-file", "boto-config", "sso", "login"}
)
_ASSUMED = frozenset({"assume-role", "assume-role-with-web-identity"})
# Sources whose answer is used as it is, with the Expiration that it has.
_ANSWERING = frozenset({"custom-process", "iam-role", "container-role"})


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

    def assume(
        self, parameters: Mapping[str, str], credentials: Credentials, region: str, doing: str
    ) -> tuple[Credentials, str]:
        """Return a session by sts:AssumeRole, and the role's unique id (`AROA…`; empty where AWS did not say).

        Raises botocore's ClientError for an answer of AWS that is an error, and the errors of our tree.
        """
        from botocore.exceptions import ClientError

        refused: ClientError | None = None
        answer: Mapping[str, Any] = {}
        with aws_errors(doing):
            try:
                answer = self._sts(credentials, region).assume_role(**parameters)
            except ClientError as error:
                refused = error
        if refused is not None:
            raise refused
        return _session_in(answer, doing)

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


def _session_in(answer: Mapping[str, Any], doing: str) -> tuple[Credentials, str]:
    """Return the session in an answer of STS, and the role's unique id.

    Raises Unreachable for an answer that has none: no text of it is repeated.
    """
    try:
        keys = answer["Credentials"]
        session = Credentials(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], keys["Expiration"].timestamp()
        )
    except (KeyError, TypeError, AttributeError):
        raise Unreachable(f"cannot {doing}: the answer of STS has no session", _NOT_STS) from None
    return session, role_id_of(str(answer.get("AssumedRoleUser", {}).get("AssumedRoleId", "")))
