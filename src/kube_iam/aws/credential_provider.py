"""Credentials for a token, and the token itself. On the `token` path.

`issue_token` finds the caller's own credentials, assumes the role if one is requested, and signs. `CredentialProvider` serves what
static keys do not: roles, tools, cached sessions, and everything that only botocore can find. botocore is imported only where
neither static keys, the session cache nor `profile_sources` have an answer.
"""

from time import gmtime, strftime

from kube_iam.aws.environment import cache_directory, caller_key
from kube_iam.aws.static_credentials import read_profile, static_credentials
from kube_iam.aws.token_cache import CachedSession, EndpointCache, IssuedToken, SessionCache, TokenRequest
from kube_iam.core.credentials import Credentials, check_environment, check_value
from kube_iam.core.partitions import (
    COMMON_REGIONS,
    PARTITIONS,
    Endpoint,
    configured_region,
    find_endpoint,
    partition_of_region,
    source_of_region,
    usage_error,
)
from kube_iam.core.tokens import check_cluster_id, digest_of, mint, token_expiration
from kube_iam.files import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kube_iam.aws.botocore_chain import BotocoreChain, CallerIdentity
    from kube_iam.aws.mfa import MfaPrompt
    from kube_iam.aws.static_credentials import Profile
    from kube_iam.aws.sts_calls import StsCalls


def issue_token(request: TokenRequest, environ: "Mapping[str, str]", clock: "Callable[[], float]") -> IssuedToken:
    """Return the token. Raises the errors of our tree: UsageError before any call is made, CredentialsError and AwsError after."""
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
    endpoint = _endpoint(request, environ, profile, clock())
    own = None if request.role or endpoint is None else static_credentials(environ, profile, clock())
    if own is not None and endpoint is not None:
        return _signed(request, own, endpoint, clock(), doubt_about_host(endpoint, request.region, environ))
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
    timestamp = strftime("%Y%m%dT%H%M%SZ", gmtime(now))
    token = mint(keys, cluster_id=request.cluster_id, region=endpoint.region, host=endpoint.host, timestamp=timestamp)
    return IssuedToken(token, now, token_expiration(keys, now), f"warning: {doubt}" if doubt else "")


def _explain(error: Exception, doubt: str) -> None:
    """Give an error about an STS that cannot be reached the hint that its region may not exist, and what names the region."""
    from kube_iam.errors import Unreachable

    if isinstance(error, Unreachable):
        error.hint = f"{doubt} If it is one, check the network and HTTPS_PROXY"


def is_session_name(name: str) -> bool:
    """Return whether STS takes it as RoleSessionName: `[\\w+=,.@-]{2,64}`."""
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


def _endpoint(
    request: TokenRequest, environ: "Mapping[str, str]", profile: "Profile | None", now: float
) -> Endpoint | None:
    """Return the endpoint, None where botocore has to find it. The region of an instance is cached, as is what botocore found."""
    if profile is not None and configured_region(request.region, environ, profile):
        return find_endpoint(request.region, environ, profile, str)
    cache = EndpointCache(request, environ)
    cached = cache.load()
    if cached is not None:
        return Endpoint(*cached)
    of_instance = []

    def ask_instance() -> str:
        of_instance.append(instance_region(environ))
        return of_instance[0]

    endpoint = find_endpoint(request.region, environ, profile, ask_instance)
    if endpoint is not None and any(of_instance):
        cache.store(endpoint.region, endpoint.host, now)
    return endpoint


def provider_of(
    request: "TokenRequest", environ: "Mapping[str, str]", clock: "Callable[[], float]"
) -> "CredentialProvider":
    """Return the provider that `issue_token` would use, except that it finds the caller's own credentials anew.

    A session for which a code was typed is used again. Raises the errors of our tree.
    """
    check_environment(environ)
    profile = read_profile(environ)
    return CredentialProvider(
        request, environ, clock, profile, _endpoint(request, environ, profile, clock()), reuse_own=False
    )


_FOREVER = float("inf")
# One run makes a session. The others wait, find it made, and do not ask the same user for the same code; after this time they go on.
_LOCK_SECONDS = 120.0


class CredentialProvider:
    """The caller's profile, endpoint, credentials and role session, each found once."""

    __slots__ = (
        "_cacheable",
        "_calls",
        "_chain",
        "_clock",
        "_environ",
        "_identity",
        "_profile",
        "_prompt",
        "_request",
        "_reuse_own",
        "endpoint",
        "sessions",
        "source",
    )

    def __init__(
        self,
        request: "TokenRequest",
        environ: "Mapping[str, str]",
        clock: "Callable[[], float]",
        profile: "Profile | None",
        endpoint: Endpoint | None,
        *,
        reuse_own: bool = True,
    ) -> None:
        """Without `reuse_own`, of cached sessions of the caller only those made with an MFA code are used."""
        self._request = request
        self._reuse_own = reuse_own
        self._environ = environ
        self._clock = clock
        self._calls: StsCalls | None = None
        self._chain: BotocoreChain | None = None
        self._prompt: MfaPrompt | None = None
        self._profile = profile
        self._identity: str | None = None
        self._cacheable = _FOREVER  # the end of caching for a session made with the caller's own credentials
        self.source = ""
        """botocore's name of the source that `own_credentials` used; empty for static keys and a cached session."""
        self.endpoint = endpoint or self._endpoint_by_botocore()
        self.sessions = SessionCache(cache_directory(environ, "sessions") if request.cache else "")

    def own_credentials(self) -> Credentials:
        """Return the caller's own credentials: static keys, a session cached by an earlier run, else botocore's.

        A new temporary session is cached. A cached one also serves to its end where AWS cannot be reached or no user can be asked
        for a code.
        """
        found = static_credentials(self._environ, self._profile, self._clock())
        if found is not None:
            return found
        kept = self._kept_own_session()
        if kept is not None and kept.is_fresh(self._clock()):
            return self._own_cached(kept)
        with FileLock(self.sessions.lock_of(self._key("own")), _LOCK_SECONDS):
            kept = self._kept_own_session() or kept
            if kept is not None and kept.is_fresh(self._clock()):
                return self._own_cached(kept)
            try:
                return self._new_own_session()
            except Exception as error:
                if kept is not None and kept.is_alive(self._clock()) and _is_passing(error):
                    return self._own_cached(kept)
                raise

    def identify(self, own: Credentials) -> "CallerIdentity":
        """Return the caller's ARN and AWS's clock, by sts:GetCallerIdentity. Raises the errors of our tree."""
        return self._botocore().identify(own, self.endpoint.region)

    def _own_cached(self, kept: CachedSession) -> Credentials:
        self._cacheable = kept.expires
        return kept.credentials

    def _new_own_session(self) -> Credentials:
        started = self._clock()
        self._identify()  # before the credentials are found: these may be another caller's already
        found = self._without_botocore(started)
        if found is None:
            chain = self._botocore()
            started = self._clock()
            found = chain.credentials(self.endpoint.region)
            self.source = chain.source
            self._cacheable = chain.cacheable_until(found, started)
        end = min(found.expires or _FOREVER, self._cacheable)
        if found.session_token and end != _FOREVER:
            self._store(self._key("own mfa" if self._asked() else "own"), CachedSession(found, started, end))
        return found

    def _without_botocore(self, now: float) -> Credentials | None:
        """Return what the profile's role or tool gives; None where botocore has to find the credentials."""
        environ = self._environ
        # Read anew: a session is cached for the caller of the files as they were when its key was computed.
        profile = read_profile(environ)
        if profile is None or self._chain is not None or environ.get("AWS_ACCESS_KEY_ID"):
            return None
        if not (profile.get("role_arn") or profile.get("credential_process")):
            return None
        from kube_iam.aws.profile_sources import (
            CACHED_WITHOUT_EXPIRATION,
            assume_profile,
            is_plain,
            role_of_profile,
            tool_of_profile,
        )

        role = role_of_profile(profile)
        if role is not None and (calls := self._own_calls()) is not None:
            self.source = "assume-role"
            return assume_profile(role, calls, self.endpoint.region, self._ask, self._clock)
        command = tool_of_profile(profile)
        if not command or not is_plain(environ, profile):
            return None
        from kube_iam.aws.credential_tool import run_tool

        self.source = "custom-process"
        found = run_tool(profile.name, command)
        self._cacheable = found.expires or now + CACHED_WITHOUT_EXPIRATION
        return found

    def _own_calls(self) -> "StsCalls | None":
        """Return our client of STS; None where botocore is loaded already, or has to make the calls."""
        # botocore takes the other part of an old spelling such as `us-east-1-fips` for the region of these calls.
        if self._chain is not None or "fips" in configured_region(self._request.region, self._environ, self._profile):
            return None
        if self._calls is None:
            from kube_iam.aws.sts_calls import sts_calls

            self._calls = sts_calls(self._environ, self._profile, self.endpoint)
        return self._calls

    def _kept_own_session(self) -> CachedSession | None:
        for name in ("own mfa", "own") if self._reuse_own else ("own mfa",):
            kept = self.sessions.load(self._key(name), self._clock())
            if kept is not None:
                return kept
        return None

    def role_session(self) -> Credentials:
        """Return a session of the role: the cached one, or a new one once less than a quarter of its time is left.

        A cached one also serves to its end where AWS cannot be reached or no user can be asked for a code. A refusal is final.
        """
        request, key = self._request, self._role_key()
        kept = self.sessions.load(key, self._clock())
        if kept is not None and kept.is_fresh(self._clock()):
            return kept.credentials
        with FileLock(self.sessions.lock_of(key), _LOCK_SECONDS):
            kept = self.sessions.load(key, self._clock()) or kept
            if kept is not None and kept.is_fresh(self._clock()):
                return kept.credentials
            try:
                session = self._assume()
            except Exception as error:
                if kept is not None and kept.is_alive(self._clock()) and _is_passing(error):
                    return kept.credentials
                raise
            self._store(key, session)
            if session.role_id:
                from kube_iam.aws.logins import discard_former_role

                discard_former_role(self._environ, request.role, session.role_id)
            return session.credentials

    def new_role_session(self) -> CachedSession:
        """Return a new session of the role, whatever is cached. It is cached only where the user typed an MFA code for it."""
        session = self._assume()
        if self._asked():
            self._store(self._role_key(), session)
        return session

    def cached_role_session(self) -> CachedSession | None:
        """Return the cached session of the role, if there is one that has not ended."""
        return self.sessions.load(self._role_key(), self._clock())

    def _role_key(self) -> str:
        request = self._request
        return self._key("role", request.role, request.external_id, request.session_name)

    def _assume(self) -> CachedSession:
        from kube_iam.aws.assume_role import assume

        own = self.own_credentials()
        started = self._clock()
        sts = self._own_calls() or self._botocore()
        keys, role_id = assume(sts, own, self._request, self.endpoint.region, self._ask, self._own_device)
        assert keys.expires is not None
        keys.expires = min(keys.expires, self._cacheable)
        return CachedSession(keys, started, keys.expires, self._request.role, role_id)

    def _own_device(self) -> str:
        """Return the MFA device that the environment or the profile names; keys from the environment are not the profile's."""
        device = self._environ.get("AWS_MFA_SERIAL", "")
        if device or self._environ.get("AWS_ACCESS_KEY_ID"):
            return device
        profile = self._profile
        return profile.get("mfa_serial") if profile is not None else self._botocore().profile_setting("mfa_serial")

    def _ask(self) -> "MfaPrompt":
        if self._prompt is None:
            from kube_iam.aws.mfa import MfaPrompt

            self._prompt = MfaPrompt(interactive=self._request.interactive)
        return self._prompt

    def _asked(self) -> bool:
        """Return whether the user has typed an MFA code."""
        return self._prompt is not None and self._prompt.asked

    def _store(self, key: str, session: CachedSession) -> None:
        """Cache the session, unless the caller's configuration changed while it was made: it may be another caller's."""
        if self._caller() == self._identity:
            self.sessions.store(key, session)

    def _key(self, *parts: str) -> str:
        """Return the key of a cached session: the caller, found without a call, and all that shapes the session. Empty: cache none."""
        identity = self._identify()
        return digest_of(identity, self.endpoint.region, self.endpoint.host, *parts) if identity else ""

    def _identify(self) -> str:
        if self._identity is None:
            self._identity = self._caller()
        return self._identity

    def _caller(self) -> str:
        """Return what tells callers apart: an access key id, else all that decides it; empty where that cannot be read."""
        found = static_credentials(self._environ, self._profile, self._clock())
        return f"key {found.access_key_id}" if found is not None else caller_key(self._environ)

    def _endpoint_by_botocore(self) -> Endpoint:
        chain = self._botocore()
        cache = EndpointCache(self._request, self._environ)
        region = configured_region(self._request.region, self._environ, self._profile) or chain.region()
        region = region or instance_region(self._environ)
        endpoint = chain.endpoint(region)
        if region:  # else the default, since the metadata did not answer this time
            cache.store(endpoint.region, endpoint.host, self._clock())
        return endpoint

    def _botocore(self) -> "BotocoreChain":
        if self._chain is None:
            from kube_iam.aws.botocore_chain import BotocoreChain

            self._chain = BotocoreChain(self._ask())
        return self._chain


def _is_passing(error: Exception) -> bool:
    """Return whether AWS or a user could not be asked, so that a cached session serves to its end. A refusal is final."""
    from kube_iam.errors import NobodyToAsk, Throttled, Unreachable

    return isinstance(error, (NobodyToAsk, Throttled, Unreachable))


def doubt_about_host(endpoint: Endpoint, flag: str, environ: "Mapping[str, str]") -> str:
    """Return a warning where the host is built from a region that this version does not know; else an empty string."""
    if endpoint.region in COMMON_REGIONS or f".{endpoint.region}." not in endpoint.host:
        return ""
    from kube_iam.aws.regions import doubt_about

    return doubt_about(endpoint.region, source_of_region(flag, environ))


def instance_region(environ: "Mapping[str, str]") -> str:
    """Return the region of this instance, or an empty string. It takes a second at most."""
    from kube_iam.aws.metadata import region_from_metadata

    return region_from_metadata(environ)
