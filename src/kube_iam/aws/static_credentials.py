"""The profile in use, and the access keys that need no call: of the environment or of the profile. On the `token` path.

botocore reads ~/.aws/config and ~/.aws/credentials with Python's `configparser` and rules of its own. This reader knows the plain
subset that nearly all files keep to. Where a file goes beyond it, the answer is None ("don't know"), and botocore reads the file.
Keys are found exactly as by botocore's chain, or not at all: `kube_iam.aws.botocore_chain` does the rest. The order is botocore's:
complete keys in the environment have precedence over any profile.
"""

from kube_iam.aws.environment import configuration_files
from kube_iam.core.credentials import KEY_SETTINGS, Credentials, key_defect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Sections = dict[str, dict[str, str]]

# Settings that do not decide about the credentials of a profile. With any other one, botocore finds them.
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
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.@+/:,=")


class Profile:
    """The settings of one profile in both files. `text` is the files' whole content: it changes whenever they do."""

    __slots__ = ("config", "credentials", "name", "text")

    def __init__(self, name: str, config: dict[str, str], credentials: dict[str, str], text: bytes) -> None:
        self.name = name
        self.config = config
        self.credentials = credentials
        self.text = text

    def get(self, key: str) -> str:
        """Return a setting of the profile, or an empty string. The credentials file has precedence, as in botocore."""
        value = self.credentials.get(key)
        return self.config.get(key, "") if value is None else value

    def has_any(self, keys: frozenset[str]) -> bool:
        """Return whether one of these settings stands in the profile."""
        return not (keys.isdisjoint(self.config) and keys.isdisjoint(self.credentials))

    def keys(self) -> set[str]:
        """Return the names of all settings of the profile, in both files."""
        return {*self.config, *self.credentials}

    def __repr__(self) -> str:
        return f"Profile({self.name!r})"


def profile_name(environ: "Mapping[str, str]") -> str | None:
    """Return the profile that the environment names, None where it names none. An empty variable counts as unset.

    AWS_PROFILE has precedence, as in current SDKs and in the reference; botocore alone has it the other way round.
    """
    return environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or None


def read_profile(environ: "Mapping[str, str]") -> Profile | None:
    """Return the profile in use; an empty `default` profile where there are no files. None where botocore has to read the files.

    A missing profile is None too.
    """
    chosen = profile_name(environ)
    name = "default" if chosen is None else chosen
    if name != "default" and not _plain(name):
        return None
    config_text, credentials_text = configuration_files(environ)
    if config_text is None or credentials_text is None:
        return None
    sections, credentials = parse(config_text), parse(credentials_text)
    if sections is None or credentials is None:
        return None
    config = profiles_of(sections)
    if config is None or (chosen is not None and chosen not in config and chosen not in credentials):
        return None
    return Profile(name, config.get(name, {}), credentials.get(name, {}), config_text + b"\0" + credentials_text)


def profiles_of(sections: "Sections") -> "Sections | None":
    """Return the profiles of a config file: `[default]` and `[profile NAME]`. None where it is unclear."""
    profiles: Sections = {}
    for header, settings in sections.items():
        name = header
        if header.startswith("profile"):
            word, _, name = header.partition(" ")
            if word != "profile" or not _plain(name):
                return None
        elif header != "default":
            continue
        if name in profiles:  # `[default]` and `[profile default]`
            return None
        profiles[name] = settings
    return profiles


def parse(data: bytes) -> "Sections | None":
    """Return sections and their settings (names in lower case). Nested blocks below an empty setting are skipped over.

    None for anything beyond that: sections or settings that repeat, continued values, inline oddities, other than ASCII.
    """
    try:
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        return None
    sections: Sections = {}
    settings: dict[str, str] | None = None
    nested = False  # whether the last setting was empty, so that an indented block may follow it
    for line in text.split("\n"):
        stripped = line.strip(" \t")
        if not stripped or stripped[0] in "#;":
            continue
        if not (line.isascii() and stripped.replace("\t", " ").isprintable()):
            return None
        if line[0] in " \t":
            if not nested or "=" not in stripped:
                return None
        elif stripped[0] == "[":
            header = stripped[1:-1]
            if stripped[-1] != "]" or not _plain_header(header) or header in sections:
                return None
            settings = sections[header] = {}
            nested = False
        else:
            setting = _setting(stripped)
            if setting is None or settings is None or setting[0] in settings:
                return None
            settings[setting[0]] = setting[1]
            nested = not setting[1]
    return sections


def _setting(line: str) -> tuple[str, str] | None:
    """Return name and value of `name = value`. A colon before the equals sign would be the separator for configparser: not plain."""
    name, equals, value = line.partition("=")
    name = name.rstrip(" \t").lower()
    if not equals or not name or ":" in name:
        return None
    value = value.strip(" \t")
    if name in KEY_SETTINGS:
        return None if value and key_defect(name, value) else (name, value)  # the other reader words the error
    return name, plain_value(value)


def plain_value(text: str) -> str:
    """Return a value without the comment behind it and without the quotes around it, as the Go SDK reads it."""
    for mark in (" #", " ;", "\t#", "\t;"):
        text = text.partition(mark)[0]
    text = text.strip(" \t")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _plain_header(header: str) -> bool:
    """Return whether a header is plain.

    `[DEFAULT]` adds its settings to all other sections. Brackets, quotes and outer blanks have meanings of their own.
    """
    return bool(header) and header == header.strip() and header != "DEFAULT" and not any(c in "[]\"'\\" for c in header)


def _plain(name: str) -> bool:
    return bool(name) and _NAME_CHARACTERS.issuperset(name)


def static_credentials(environ: "Mapping[str, str]", profile: "Profile | None", now: float) -> Credentials | None:
    """Return the credentials that botocore would use. None where botocore has to find them, or there are none."""
    if profile is None:
        return None
    if environ.get("AWS_ACCESS_KEY_ID"):
        return _from_environment(environ, now)
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") or environ.get("AWS_ROLE_ARN"):
        return None
    known = _HARMLESS.issuperset(key for key in profile.keys() if not key.startswith("x_"))  # noqa: SIM118
    return keys_of(profile) if known else None


def names_no_source(profile: "Profile") -> bool:
    """Return whether nothing in the profile is about credentials: the SDK then asks the container's agent or the instance."""
    return _HARMLESS.issuperset(profile.keys()) and not profile.has_any(KEY_SETTINGS)


def _from_environment(environ: "Mapping[str, str]", now: float) -> Credentials | None:
    secret = environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not secret:
        return None
    token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN") or ""
    end, expires = environ.get("AWS_CREDENTIAL_EXPIRATION", ""), None
    if end:
        from kube_iam.core.utc import parse_rfc3339

        expires = parse_rfc3339(end)
        if expires is None or expires < now + _RENEWAL_WINDOW:
            return None
    return Credentials(environ["AWS_ACCESS_KEY_ID"], secret, token, expires)


def keys_of(profile: "Profile") -> Credentials | None:
    """Return the access key that stands in the profile; None where it is not whole.

    The credentials file is asked before the config file, and the one that has the key id must have the rest.
    """
    settings = profile.credentials if "aws_access_key_id" in profile.credentials else profile.config
    key_id, secret = settings.get("aws_access_key_id"), settings.get("aws_secret_access_key")
    token = settings.get("aws_session_token", settings.get("aws_security_token"))
    if not key_id or not secret or token == "":
        return None
    return Credentials(key_id, secret, token or "")
