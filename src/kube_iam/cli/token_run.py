"""`kube-iam token` from its command line to its answer for kubectl. On the `token` path.

The flags stand in one table, from which the parser here and the click command are built. The parser returns None for help, mistakes
and `-c`: click reads those command lines again. Both ways end in `run`.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kube_iam.aws.token_cache import IssuedToken, TokenRequest

    Flags = dict[str, str | bool]

CLUSTER_ID = (
    "cluster_id",
    "--cluster-id",
    "-i",
    "ID",
    "The cluster's id, unique per cluster. [KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID]",
)

TOKEN_FLAGS = (
    ("role", "--role", "-r", "ARN", "Assume this IAM role first; its session is cached. [DEFAULT_ROLE]"),
    ("external_id", "--external-id", "-e", "ID", "External id to give when assuming the role."),
    (
        "session_name",
        "--session-name",
        "-s",
        "NAME",
        "Name of the role's session.  [default: your IAM user name, or your own session's name]",
    ),
    ("forward_session_name", "--forward-session-name", "", "", "Name the role's session like your own; not with -s."),
    (
        "mfa_serial",
        "--mfa-serial",
        "",
        "ARN",
        "Ask for a code of this MFA device for the role; AWS_MFA_SERIAL and the profile's mfa_serial ask only if denied.",
    ),
    (
        "region",
        "--region",
        "",
        "REGION",
        "Region whose STS the token is for. [AWS_REGION, AWS_DEFAULT_REGION, the profile]",
    ),
    ("token_only", "--token-only", "", "", "Print the token alone, for tools that take a bearer token."),
    (
        "cache",
        "--cache",
        "",
        "",
        "Keep temporary credentials and tokens on disk, as is the default. [KUBE_IAM_SESSION_CACHE]",
    ),
    ("no_cache", "--no-cache", "", "", "Neither read nor write sessions and tokens on disk."),
)
"""(name, long form, short form, metavar, help). A flag without a metavar is a switch."""

_ALL = (CLUSTER_ID, *TOKEN_FLAGS)
_VALUED = {form: row[0] for row in _ALL if row[3] for form in row[1:3] if form}
_SWITCHES = {row[1]: row[0] for row in _ALL if not row[3]}
_LONG = {row[2]: row[1] for row in _ALL if row[2]}
# What Go's flag packages read as a boolean: `--cache=true` works with the reference.
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def parse(arguments: "Sequence[str]") -> "Flags | None":
    """Return the flags given, by name, or None where click has to read them. The last of a repeated flag counts."""
    flags: Flags = {}
    waiting = ""
    for argument in normalized(arguments):
        if waiting:
            if argument[:1] == "-":
                return None
            flags[waiting] = argument
            waiting = ""
        elif argument in _VALUED:
            waiting = _VALUED[argument]
        elif argument in _SWITCHES:
            flags[_SWITCHES[argument]] = True
        elif argument[:2] == "--":
            form, equals, value = argument.partition("=")
            if not equals or form not in _VALUED:
                return None
            flags[_VALUED[form]] = value
        elif argument[:2] in _VALUED:
            flags[_VALUED[argument[:2]]] = argument[2:]
        else:
            return None
    return None if waiting else flags


def go_boolean(word: str) -> bool | None:
    """Return what Go's flag packages read the word as; None where they refuse it."""
    return True if word in _TRUE else False if word in _FALSE else None


def normalized(arguments: "Sequence[str]") -> list[str]:
    """Return the arguments with Go's spellings `--cache=true` and `-i=ID`, which click does not know, put into its own."""
    plain: list[str] = []
    for argument in arguments:
        form, equals, value = argument.partition("=")
        if equals and form in _SWITCHES and value in _TRUE:
            plain.append(form)
        elif equals and form in _SWITCHES and value in _FALSE:
            plain += ["--no-cache"] if form == "--cache" else []
        elif equals and len(form) == 2 and form in _VALUED:
            plain.append(f"{_LONG[form]}={value}")
        else:
            plain.append(argument)
    return plain


def run(
    flags: "Flags",
    program: str,
    file_settings: "Mapping[str, str | bool] | None" = None,
    environ: "Mapping[str, str]" = os.environ,
) -> int:
    """Print the token, or one line on stderr with the cause and the remedy. Return the exit code.

    Settings are taken from the flags, else the environment, else `file_settings` (what the file of `-c` says, by flag).
    """
    try:
        line, complaint = answer(flags, file_settings or {}, environ)
    except Exception as error:
        from kube_iam.errors import KubeIamError

        if not isinstance(error, KubeIamError):
            raise
        from kube_iam.core.printable import escaped

        print(f"{program}: error: {escaped(' '.join(str(error).split()))}", file=sys.stderr)
        return error.exit_code
    if complaint:
        from kube_iam.core.printable import escaped

        print(f"{program}: {escaped(complaint)}", file=sys.stderr)
    sys.stdout.write(f"{line}\n")
    return 0


def answer(flags: "Flags", file_settings: "Mapping[str, str | bool]", environ: "Mapping[str, str]") -> tuple[str, str]:
    """Return the line for stdout, and a complaint for stderr, which is mostly empty. Raises the errors of our tree."""
    try:
        exec_info = api_version_of(environ.get("KUBERNETES_EXEC_INFO", ""))
    except ValueError as error:
        raise _usage_error(
            str(error), "set apiVersion: client.authentication.k8s.io/v1beta1 in the exec section of the kubeconfig"
        ) from error
    request = request_of(flags, file_settings, environ)
    request.interactive = exec_info.interactive is not False
    if flags.get("token_only", file_settings.get("token_only")):
        # A caller that takes a bare token cannot ask for another when it ends: it gets all of its time.
        from kube_iam.aws.credential_provider import issue_token

        token = issue_token(request, environ, time.time)
        return token.token, token.complaint
    token = _cached_or_new(request, environ)
    return exec_credential(token.token, token.expires, exec_info.api_version), token.complaint


def _cached_or_new(request: "TokenRequest", environ: "Mapping[str, str]") -> "IssuedToken":
    from kube_iam.aws.token_cache import TokenCache

    cache = TokenCache(request, environ)
    cached = cache.load(time.time())
    if cached is not None:
        return cached
    from kube_iam.aws.credential_provider import issue_token

    token = issue_token(request, environ, time.time)
    cache.store(token)
    return token


def request_of(
    flags: "Flags", file_settings: "Mapping[str, str | bool]", environ: "Mapping[str, str]"
) -> "TokenRequest":
    """Return the request of all settings together. A flag that is given counts even when empty; an empty variable does not.

    Raises UsageError for a missing cluster id and for flags that exclude each other.
    """
    from kube_iam.aws.token_cache import SESSION_SWITCH, TokenRequest

    settings = {**file_settings}
    for name, variable in (("cluster_id", "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"), ("role", "DEFAULT_ROLE")):
        if environ.get(variable):
            settings[name] = environ[variable]
    settings |= flags
    cluster_id, session_name = settings.get("cluster_id"), str(settings.get("session_name") or "")
    if not cluster_id:
        raise _usage_error("no cluster id", "give it with -i, or in KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID")
    if flags.get("cache") and flags.get("no_cache"):
        raise _usage_error("--cache and --no-cache exclude each other", "leave one of them out")
    if environ.get(SESSION_SWITCH) == "0" and not flags.get("cache"):
        settings["no_cache"] = True
    if session_name and settings.get("forward_session_name"):
        raise _usage_error("--forward-session-name and --session-name exclude each other", "leave one of them out")
    return TokenRequest(
        str(cluster_id),
        role=str(settings.get("role") or ""),
        external_id=str(settings.get("external_id") or ""),
        session_name=session_name,
        mfa_serial=str(settings.get("mfa_serial") or ""),
        region=str(settings.get("region") or ""),
        cache=not settings.get("no_cache") and settings.get("cache") is not False,
    )


def _usage_error(message: str, hint: str) -> Exception:
    from kube_iam.errors import UsageError

    return UsageError(message, hint)


V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


class ExecInfo:
    """KUBERNETES_EXEC_INFO: the API version of the answer, and whether the terminal may be used to ask the user (None: unknown)."""

    __slots__ = ("api_version", "interactive")

    def __init__(self, api_version: str = V1BETA1, interactive: bool | None = None) -> None:
        self.api_version = api_version
        self.interactive = interactive

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExecInfo):
            return NotImplemented
        return self.api_version == other.api_version and self.interactive == other.interactive

    def __hash__(self) -> int:
        return hash((self.api_version, self.interactive))

    def __repr__(self) -> str:
        return f"ExecInfo({self.api_version!r}, {self.interactive!r})"


_USUAL = {
    f'{{"kind":"ExecCredential","apiVersion":"{version}","spec":{{"interactive":{word}}}}}': ExecInfo(version, answer)
    for version in (V1, V1BETA1)
    for word, answer in (("true", True), ("false", False))
}


def api_version_of(exec_info: str) -> ExecInfo:
    """Return the parsed value of KUBERNETES_EXEC_INFO. Empty or malformed text counts as v1beta1, as in the reference.

    Raises ValueError for any API version but v1 and v1beta1: current versions of kubectl read no other in an answer.
    """
    exec_info = exec_info.strip()
    if not exec_info:
        return ExecInfo()
    return _USUAL.get(exec_info) or _parse(exec_info)


def _parse(exec_info: str) -> ExecInfo:
    from json import loads

    try:
        request = loads(exec_info)
    except (ValueError, RecursionError):
        return ExecInfo()
    if not isinstance(request, dict):
        return ExecInfo()
    version = request.get("apiVersion") or V1BETA1
    if version not in (V1, V1BETA1):
        raise ValueError(f"KUBERNETES_EXEC_INFO asks for apiVersion {version!r:.80}; {V1} and {V1BETA1} are served")
    spec = request.get("spec")
    interactive = spec.get("interactive") if isinstance(spec, dict) else None
    return ExecInfo(version, interactive if isinstance(interactive, bool) else None)


def exec_credential(token: str, expiration: float, api_version: str) -> str:
    """Return the answer for kubectl, one line of JSON without a newline. `expiration` is Unix seconds and is rounded down.

    No value holds a character that JSON escapes, so no encoder is needed.
    """
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expiration))
    return (
        f'{{"kind":"ExecCredential","apiVersion":"{api_version}","spec":{{"interactive":false}},'
        f'"status":{{"expirationTimestamp":"{end}","token":"{token}"}}}}'
    )
