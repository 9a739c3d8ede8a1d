"""AWS credentials, and checks of the values that become HTTP headers, URLs or parameters of a call to AWS. On the `token` path.

HTTP clients refuse a header with a line break by an error that quotes the header. So these checks refuse such a value when it
is read. Their error names the variable, the flag or the file, and never the value (RFC 9110, 5.5; CWE-113, CWE-532).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_SETTINGS = frozenset(("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token"))
"""Settings of an access key. In upper case they are the names of variables."""

SECRET_VARIABLES = frozenset(
    (
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    )
)
"""Variables whose values become part of headers or of the signature, so that they must be ASCII."""

VARIABLES = SECRET_VARIABLES | frozenset(
    (
        "AWS_ACCOUNT_ID",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE",
        "AWS_AUTH_SCHEME_PREFERENCE",
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CSM_CLIENT_ID",
        "AWS_CSM_ENABLED",
        "AWS_CSM_HOST",
        "AWS_CSM_PORT",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CREDENTIAL_FILE",
        "AWS_DATA_PATH",
        "AWS_DEFAULTS_MODE",
        "AWS_DEFAULT_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_DISABLE_HOST_PREFIX_INJECTION",
        "AWS_DISABLE_REQUEST_COMPRESSION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "AWS_EC2_METADATA_V1_DISABLED",
        "AWS_ENDPOINT_DISCOVERY_ENABLED",
        "AWS_EXECUTION_ENV",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_IMDS_USE_IPV6",
        "AWS_LOGIN_CACHE_DIRECTORY",
        "AWS_MAX_ATTEMPTS",
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_MFA_SERIAL",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_RETRY_MODE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH",
        "AWS_SDK_UA_APP_ID",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_SIGV4A_SIGNING_REGION_SET",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "BOTOCORE_TCP_KEEPALIVE",
        "BOTO_CONFIG",
        "DEFAULT_ROLE",
        "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID",
        "KUBE_IAM_CACHE_DIR",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    )
)
"""The variables that kube-iam or botocore read. Others, such as AWS_CONFIG_CONTENT of a CI system, are not checked."""

_PREFIXES = ("AWS_ENDPOINT_URL", "AWS_BEARER_TOKEN_")


class Credentials:
    """An access key pair, of a session if `session_token` is set. `expires` is Unix seconds, None for keys that do not expire."""

    __slots__ = ("access_key_id", "expires", "secret_access_key", "session_token")

    def __init__(
        self, access_key_id: str, secret_access_key: str, session_token: str = "", expires: float | None = None
    ) -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token
        self.expires = expires

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (
            self.access_key_id == other.access_key_id
            and self.secret_access_key == other.secret_access_key
            and self.session_token == other.session_token
            and self.expires == other.expires
        )

    def __hash__(self) -> int:
        return hash((self.access_key_id, self.secret_access_key, self.session_token, self.expires))

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r})"


def defect(text: str, *, ascii_only: bool = False) -> str:
    """Return what the text contains that cannot be sent, such as `a line break`; empty for a valid text."""
    if text.isprintable() and (not ascii_only or text.isascii()):
        return ""
    if "\n" in text or "\r" in text:
        return "a line break"
    if any(character < " " or "\x7f" <= character < "\xa0" for character in text):
        return "a control character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "bytes that are not UTF-8"
    return "a character that is not ASCII" if text.isprintable() else "an invisible character"


def key_defect(name: str, text: str) -> str:
    """Return what a part of an access key contains that no key has, such as `a blank`; empty for a valid text.

    `name` is a variable or a setting. Only those of `KEY_SETTINGS` have a rule; any text is valid for others.
    """
    kind = name.lower()
    if kind not in KEY_SETTINGS:
        return ""
    if " " in text or "\t" in text:
        return "a blank"
    if '"' in text or "'" in text:
        return "a quote"
    # An access key id holds word characters only (IAM API, AccessKey). Secret keys and tokens are in base64 at AWS, but emulators
    # of AWS use further characters.
    if kind == "aws_access_key_id" and not (text.isascii() and text.replace("_", "").isalnum()):
        return "a character that no access key id has"
    return ""


def check_environment(environ: "Mapping[str, str]") -> None:
    """Check the variables that decide how AWS is called.

    Raises CredentialsError, which names the variable, for a value that cannot be sent.
    """
    for name, value in environ.items():
        if not value.isprintable() or (name in SECRET_VARIABLES and not value.isascii()):
            upper = name.upper()
            if name in VARIABLES or name.startswith(_PREFIXES) or upper.endswith("_PROXY"):
                check_value(f"the variable {name}", value, ascii_only=name in SECRET_VARIABLES)
    for name in KEY_SETTINGS:
        variable = name.upper()
        value = environ.get(variable, "")
        if value:
            _refuse(f"the variable {variable}", key_defect(variable, value))


def check_value(what: str, text: str, *, ascii_only: bool = False) -> None:
    """Check a text that is sent to AWS. Raises CredentialsError, which names `what` and never holds the text."""
    _refuse(what, defect(text, ascii_only=ascii_only))


def _refuse(what: str, found: str) -> None:
    if found:
        from kube_iam.errors import CredentialsError

        raise CredentialsError(
            f"{what} contains {found}", "set it again without that; is a quote or a line end missing?"
        )


def check_credentials(source: str, keys: Credentials) -> None:
    """Check credentials that `source` gave. Raises CredentialsError, which names the source and never holds a key."""
    for what, text in (
        ("access key id", keys.access_key_id),
        ("secret access key", keys.secret_access_key),
        ("session token", keys.session_token),
    ):
        check_value(f"the {what} that {source} gives", text, ascii_only=True)
        if text:
            _refuse(f"the {what} that {source} gives", key_defect(f"aws_{what.replace(' ', '_')}", text))
