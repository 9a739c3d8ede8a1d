"""The flags of `token`: one table, from which both the hand parser below and the click command are built. Imports nothing.

The hand parser answers only for what it knows for certain; for everything else (help, mistakes, `-c`) it returns None, and click
reads the command line again.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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
    ("cache", "--cache", "", "", "Keep your own temporary credentials on disk too, until they end."),
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
    """The flags given, by name (the last of a repeated one wins), or None where only click can tell what is meant."""
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
    """What Go's flag packages read the word as, None where they refuse it."""
    return True if word in _TRUE else False if word in _FALSE else None


def normalized(arguments: "Sequence[str]") -> list[str]:
    """The arguments with two spellings of Go's that click does not know put into its own: `--cache=true` and `-i=ID`."""
    plain: list[str] = []
    for argument in arguments:
        form, equals, value = argument.partition("=")
        if equals and form in _SWITCHES and value in _TRUE:
            plain.append(form)
        elif equals and form in _SWITCHES and value in _FALSE:
            continue
        elif equals and len(form) == 2 and form in _VALUED:
            plain.append(f"{_LONG[form]}={value}")
        else:
            plain.append(argument)
    return plain
