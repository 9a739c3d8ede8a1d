"""The story of a sign-in: find credentials, take on the role if one is asked for, mint the token. On the `token` path.

botocore is imported only when the short chain or the session cache has no answer.
"""

from __future__ import annotations

from kube_iam.aws.credentials import short_chain
from kube_iam.aws.profiles import Profile, profile_name, read_profile
from kube_iam.aws.region import Endpoint, configured_region, find_endpoint
from kube_iam.aws.session_cache import CachedSession, SessionCache, cache_directory, cache_key
from kube_iam.core.mint import check_cluster_id, mint, token_expiration
from kube_iam.core.partitions import PARTITIONS, partition_of_region
from kube_iam.core.sigv4 import sha256_hex
from kube_iam.errors import NobodyToAsk, Throttled, Unreachable, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kube_iam.aws.botocore_chain import BotocoreChain
    from kube_iam.core.credentials import Credentials

# What else decides whom botocore's chain finds, beside the profile and its files.
_CHAIN_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
)


class SignIn:
    """What is asked for; empty texts where nothing is. `interactive`: a person may be asked for an MFA code on the terminal."""

    __slots__ = (
        "cache",
        "cluster_id",
        "external_id",
        "interactive",
        "mfa_serial",
        "region",
        "role",
        "session_name",
    )

    def __init__(
        self,
        cluster_id: str,
        *,
        role: str = "",
        external_id: str = "",
        session_name: str = "",
        mfa_serial: str = "",
        region: str = "",
        cache: bool = False,
        interactive: bool = True,
    ) -> None:
        self.cluster_id = cluster_id
        self.role = role
        self.external_id = external_id
        self.session_name = session_name
        self.mfa_serial = mfa_serial
        self.region = region
        self.cache = cache
        self.interactive = interactive


class Signed:
    """A token, the time at which it ends (unix seconds), and a sentence that the person should see, if any."""

    __slots__ = ("complaint", "expires", "token")

    def __init__(self, token: str, expires: float, complaint: str = "") -> None:
        self.token = token
        self.expires = expires
        self.complaint = complaint

    def __repr__(self) -> str:
        return f"Signed(expires={self.expires!r})"


def sign_in(request: SignIn, environ: Mapping[str, str], clock: Callable[[], float]) -> Signed:
    """The token. Raises the errors of our tree: UsageError before any call is made, CredentialsError and AwsError after."""
    try:
        check_cluster_id(request.cluster_id)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if request.session_name and not is_session_name(request.session_name):
        raise UsageError(
            f"{request.session_name!r:.100} cannot be a session's name",
            "2 to 64 letters, digits and the characters _+=,.@-",
        )
    if request.mfa_serial:
        from kube_iam.aws.mfa import check_device

        check_device(request.mfa_serial)
    person = _Person(request, environ, clock)
    if request.role:
        check_role(request.role, person.endpoint.region)
    keys = person.role_session() if request.role else person.own_credentials()
    now = clock()
    endpoint = person.endpoint
    token = mint(keys, cluster_id=request.cluster_id, region=endpoint.region, host=endpoint.host, now=now)
    return Signed(token, token_expiration(keys, now), person.sessions.complaint)


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
        raise UsageError(f"{role!r:.200} is not the ARN of an IAM role", hint)
    partition = partition_of_region(region)
    if parts[2] != "iam" or parts[3] or not (len(parts[4]) == 12 and parts[4].isascii() and parts[4].isdigit()):
        raise UsageError(
            f"{role!r:.200} is not the ARN of an IAM role", "it looks like arn:aws:iam::123456789012:role/NAME"
        )
    if parts[1] != partition:
        raise UsageError(
            f"the role is in the partition {parts[1]}, but the region {region} is in {partition}",
            "give a region of the role's partition with --region",
        )


class _Person:
    """Whoever runs this: the profile, the endpoint, and the credentials, each found once."""

    __slots__ = ("_chain", "_clock", "_environ", "_identity", "_profile", "_request", "endpoint", "sessions")

    def __init__(self, request: SignIn, environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        self._request = request
        self._environ = environ
        self._clock = clock
        self._chain: BotocoreChain | None = None
        self._profile: Profile | None = read_profile(environ)
        self._identity = ""
        self.endpoint = self._find_endpoint()
        self.sessions = SessionCache(cache_directory(environ))

    def own_credentials(self) -> Credentials:
        """The caller's own: the short chain's, those kept from an earlier run, else botocore's.

        Kept are sessions for which somebody typed an MFA code, so that it is asked for once, and with `--cache` all others.
        """
        found = short_chain(self._environ, self._profile, self._clock())
        if found is not None:
            return found
        kept = self._kept_own_session()
        if kept is not None and kept.is_fresh(self._clock()):
            return kept.credentials
        chain = self._botocore()
        if not chain.profile_setting("mfa_serial"):
            return self._own_by_botocore(chain)
        from kube_iam.aws.session_lock import one_at_a_time

        with one_at_a_time(self.sessions.lock_of(self._key("own mfa"))):
            kept = self._kept_own_session() or kept
            if kept is not None and kept.is_fresh(self._clock()):
                return kept.credentials
            try:
                return self._own_by_botocore(chain)
            except NobodyToAsk:
                if kept is not None and kept.is_alive(self._clock()):
                    return kept.credentials
                raise

    def _own_by_botocore(self, chain: BotocoreChain) -> Credentials:
        started = self._clock()
        found = chain.credentials(self.endpoint.region)
        asked = chain.prompt.asked
        if (self._request.cache or asked) and found.session_token and found.expires is not None:
            self.sessions.store(self._key("own mfa" if asked else "own"), CachedSession(found, started, found.expires))
        return found

    def _kept_own_session(self) -> CachedSession | None:
        for name in ("own mfa", "own") if self._request.cache else ("own mfa",):
            kept = self.sessions.load(self._key(name), self._clock())
            if kept is not None:
                return kept
        return None

    def role_session(self) -> Credentials:
        """A session of the role: the one kept, or a new one once less than a quarter of its time is left.

        One that is still alive also serves when AWS cannot be reached, or nobody for a code. A refusal is a refusal.
        """
        request = self._request
        key = self._key("role", request.role, request.external_id, request.session_name)
        kept = self.sessions.load(key, self._clock())
        if kept is not None and kept.is_fresh(self._clock()):
            return kept.credentials
        from kube_iam.aws.session_lock import one_at_a_time

        with one_at_a_time(self.sessions.lock_of(key)):
            kept = self.sessions.load(key, self._clock()) or kept
            if kept is not None and kept.is_fresh(self._clock()):
                return kept.credentials
            try:
                session = self._assume()
            except (Unreachable, Throttled, NobodyToAsk):
                if kept is not None and kept.is_alive(self._clock()):
                    return kept.credentials
                raise
            self.sessions.store(key, session)
            return session.credentials

    def _assume(self) -> CachedSession:
        from kube_iam.aws.role import assume

        own = self.own_credentials()
        started = self._clock()
        keys = assume(self._botocore(), own, self._request, self.endpoint.region, self._environ)
        assert keys.expires is not None
        return CachedSession(keys, started, keys.expires)

    def _key(self, *parts: str) -> str:
        """The key of a kept session: who asks (found without a call) and all that shapes the session."""
        if not self._identity:
            self._identity = self._who()
        return cache_key(self._identity, self.endpoint.region, self.endpoint.host, *parts)

    def _who(self) -> str:
        found = short_chain(self._environ, self._profile, self._clock())
        if found is not None:
            return f"key {found.access_key_id}"
        name = profile_name(self._environ)
        variables = "\n".join(self._environ.get(variable, "") for variable in _CHAIN_VARIABLES)
        return f"profile {name}\n{self._files_digest()}\n{variables}"

    def _files_digest(self) -> str:
        """Changes with the AWS configuration: whoever edits a profile to be somebody else gets no session of the former."""
        from kube_iam.aws.profiles import CONFIG_FILE, CREDENTIALS_FILE, read_file

        if self._profile is not None:
            return sha256_hex(self._profile.text)
        paths = (
            self._environ.get("AWS_CONFIG_FILE", CONFIG_FILE),
            self._environ.get("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS_FILE),
        )
        return "\n".join(f"{path} {sha256_hex(read_file(path) or b'')}" for path in paths)

    def _find_endpoint(self) -> Endpoint:
        flag, environ = self._request.region, self._environ
        found = find_endpoint(flag, environ, self._profile, self._region_from_metadata)
        if found is not None:
            return found
        chain = self._botocore()
        region = configured_region(flag, environ, self._profile) or chain.region() or self._region_from_metadata()
        return chain.endpoint(region)

    def _region_from_metadata(self) -> str:
        from kube_iam.aws.metadata import region_from_metadata

        return region_from_metadata(self._environ)

    def _botocore(self) -> BotocoreChain:
        if self._chain is None:
            from kube_iam.aws.botocore_chain import BotocoreChain
            from kube_iam.aws.mfa import MfaPrompt

            self._chain = BotocoreChain(MfaPrompt(interactive=self._request.interactive))
        return self._chain
