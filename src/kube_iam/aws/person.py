"""Whoever signs in: their own credentials and the role's session, kept ones first, else by botocore. On the `token` path.

botocore is imported only when the short chain or the session cache has no answer.
"""

from kube_iam.aws.credentials import short_chain
from kube_iam.aws.files import CONFIG_FILE, CREDENTIALS_FILE, cache_directory, read_file
from kube_iam.aws.profiles import profile_name
from kube_iam.aws.region import Endpoint, configured_region, instance_region
from kube_iam.aws.session_cache import CachedSession, SessionCache
from kube_iam.core.credentials import Credentials
from kube_iam.core.sha256 import digest_of, sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kube_iam.aws.botocore_chain import BotocoreChain
    from kube_iam.aws.kept_tokens import SignIn
    from kube_iam.aws.profiles import Profile

# What else decides whom botocore's chain finds, beside the profile and its files.
_CHAIN_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
)


class Person:
    """Whoever runs this: the profile, the endpoint, and the credentials, each found once."""

    __slots__ = ("_chain", "_clock", "_environ", "_identity", "_profile", "_request", "endpoint", "sessions")

    def __init__(
        self,
        request: "SignIn",
        environ: "Mapping[str, str]",
        clock: "Callable[[], float]",
        profile: "Profile | None",
        endpoint: Endpoint | None,
    ) -> None:
        self._request = request
        self._environ = environ
        self._clock = clock
        self._chain: BotocoreChain | None = None
        self._profile = profile
        self._identity = ""
        self.endpoint = endpoint or self._endpoint_by_botocore()
        self.sessions = SessionCache(cache_directory(environ, "sessions"))

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
        from kube_iam.errors import NobodyToAsk

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

    def _own_by_botocore(self, chain: "BotocoreChain") -> Credentials:
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
        from kube_iam.errors import NobodyToAsk, Throttled, Unreachable

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
        return digest_of(self._identity, self.endpoint.region, self.endpoint.host, *parts)

    def _who(self) -> str:
        found = short_chain(self._environ, self._profile, self._clock())
        if found is not None:
            return f"key {found.access_key_id}"
        name = profile_name(self._environ)
        variables = "\n".join(self._environ.get(variable, "") for variable in _CHAIN_VARIABLES)
        return f"profile {name}\n{self._files_digest()}\n{variables}"

    def _files_digest(self) -> str:
        """Changes with the AWS configuration: whoever edits a profile to be somebody else gets no session of the former."""
        if self._profile is not None:
            return sha256_hex(self._profile.text)
        paths = (
            self._environ.get("AWS_CONFIG_FILE", CONFIG_FILE),
            self._environ.get("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS_FILE),
        )
        return "\n".join(f"{path} {sha256_hex(read_file(path) or b'')}" for path in paths)

    def _endpoint_by_botocore(self) -> Endpoint:
        chain = self._botocore()
        region = configured_region(self._request.region, self._environ, self._profile) or chain.region()
        return chain.endpoint(region or instance_region(self._environ))

    def _botocore(self) -> "BotocoreChain":
        if self._chain is None:
            from kube_iam.aws.botocore_chain import BotocoreChain
            from kube_iam.aws.mfa import MfaPrompt

            self._chain = BotocoreChain(MfaPrompt(interactive=self._request.interactive))
        return self._chain
