"""The caller's own credentials and the role's session: cached ones first, else by botocore. On the `token` path.

botocore is imported only when the short chain or the session cache has no answer.
"""

from kube_iam.aws.caller_key import caller_key
from kube_iam.aws.files import cache_directory
from kube_iam.aws.region import Endpoint, configured_region, instance_region
from kube_iam.aws.session_cache import CachedSession, SessionCache
from kube_iam.aws.static_credentials import static_credentials
from kube_iam.core.credentials import Credentials
from kube_iam.core.sha256 import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kube_iam.aws.botocore_chain import BotocoreChain
    from kube_iam.aws.profiles import Profile
    from kube_iam.aws.token_cache import TokenRequest

_FOREVER = float("inf")


class CredentialProvider:
    """The caller: the profile, the endpoint, and the credentials, each found once."""

    __slots__ = (
        "_cacheable",
        "_chain",
        "_clock",
        "_environ",
        "_identity",
        "_profile",
        "_request",
        "endpoint",
        "sessions",
    )

    def __init__(
        self,
        request: "TokenRequest",
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
        self._identity: str | None = None
        self._cacheable = _FOREVER  # until when a session may be cached that was made with the caller's own credentials
        self.endpoint = endpoint or self._endpoint_by_botocore()
        self.sessions = SessionCache(cache_directory(environ, "sessions"))

    def own_credentials(self) -> Credentials:
        """The caller's own: the short chain's, those kept from an earlier run, else botocore's.

        Kept are sessions for which somebody typed an MFA code, so that it is asked for once, and with `--cache` all others.
        """
        found = static_credentials(self._environ, self._profile, self._clock())
        if found is not None:
            return found
        kept = self._kept_own_session()
        if kept is not None and kept.is_fresh(self._clock()):
            return self._own_cached(kept)
        chain = self._botocore()
        if not chain.profile_setting("mfa_serial"):
            return self._own_by_botocore(chain)
        from kube_iam.aws.session_lock import one_at_a_time
        from kube_iam.errors import NobodyToAsk

        with one_at_a_time(self.sessions.lock_of(self._key("own mfa"))):
            kept = self._kept_own_session() or kept
            if kept is not None and kept.is_fresh(self._clock()):
                return self._own_cached(kept)
            try:
                return self._own_by_botocore(chain)
            except NobodyToAsk:
                if kept is not None and kept.is_alive(self._clock()):
                    return self._own_cached(kept)
                raise

    def _own_cached(self, kept: CachedSession) -> Credentials:
        self._cacheable = kept.expires
        return kept.credentials

    def _own_by_botocore(self, chain: "BotocoreChain") -> Credentials:
        started = self._clock()
        self._identify()  # before the credentials are found: these may be somebody else's already
        found = chain.credentials(self.endpoint.region)
        self._cacheable = chain.cacheable_until(found, started)
        asked = chain.prompt.asked
        if (self._request.cache or asked) and found.session_token and found.expires is not None:
            session = CachedSession(found, started, min(found.expires, self._cacheable))
            self._store(self._key("own mfa" if asked else "own"), session)
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
            self._store(key, session)
            if session.role_id:
                from kube_iam.aws.logins import discard_former_role

                discard_former_role(self._environ, request.role, session.role_id)
            return session.credentials

    def _assume(self) -> CachedSession:
        from kube_iam.aws.assume_role import assume

        own = self.own_credentials()
        started = self._clock()
        assumed = assume(self._botocore(), own, self._request, self.endpoint.region, self._environ)
        keys = assumed.credentials
        assert keys.expires is not None
        keys.expires = min(keys.expires, self._cacheable)
        return CachedSession(keys, started, keys.expires, self._request.role, assumed.role_id)

    def _store(self, key: str, session: CachedSession) -> None:
        """Keep the session, unless what decides who signs has changed while it was made: it may be somebody else's."""
        if self._who() == self._identity:
            self.sessions.store(key, session)

    def _key(self, *parts: str) -> str:
        """The key of a cached session: who asks (found without a call) and all that shapes the session. Empty: none may be cached."""
        identity = self._identify()
        return digest_of(identity, self.endpoint.region, self.endpoint.host, *parts) if identity else ""

    def _identify(self) -> str:
        if self._identity is None:
            self._identity = self._who()
        return self._identity

    def _who(self) -> str:
        """Return what tells callers apart: an access key id, else all that decides it; empty where that cannot be read."""
        found = static_credentials(self._environ, self._profile, self._clock())
        return f"key {found.access_key_id}" if found is not None else caller_key(self._environ)

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
