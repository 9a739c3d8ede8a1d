"""Variables and files of the environment that decide which AWS identity signs. On the `token` path.

`normalize` gives the variables of the AWS SDKs one meaning, once, at the start of a process. botocore, other SDKs, the reference and
the tools that they run read some differently: an empty variable, an older name beside the current one.

`caller_key` is the key of cached sessions and tokens: a digest of everything that decides who signs, as far as it can be read without
a call. A few small files are read, and nothing is parsed that could be parsed wrongly. More is covered than is in use, such as every
profile's files: the price is a new session now and then, and never a session of another caller. The answers of a credential_process,
of instance metadata and of a container's agent cannot be foreseen: see `kube_iam.aws.botocore_chain.BotocoreChain.cacheable_until`.
"""

import os
from stat import S_ISREG

from kube_iam.core.tokens import digest_of, sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

CREDENTIALS_FILE = "~/.aws/credentials"
CONFIG_FILE = "~/.aws/config"
_MAX_CONFIGURATION_BYTES = 1024 * 1024
# Current name, older name. The current one has precedence, as in the Go SDK (config/env_config.go).
_OLDER_NAMES = (
    ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"),
    ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"),
    ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
)
_FILE_VARIABLES = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CREDENTIAL_FILE")
# Where botocore looks for keys of the boto that went before it.
_BOTO_FILES = ("/etc/boto.cfg", "~/.boto")
# Settings whose values name files: a token, or the program that gives credentials and its arguments.
_FILE_SETTINGS = (b"web_identity_token_file", b"credential_process")
_SSO_DIRECTORY = "~/.aws/sso/cache"
_LOGIN_DIRECTORY = "~/.aws/login/cache"
# Another one after each start, so that a home directory on several instances holds no session of another instance's role.
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Between words of a command, for the shell that runs it.
_SHELL = dict.fromkeys(map(ord, "=|&;()<>`"), " ")
# Of the environment of a credential_process, what is another in every shell, directory or run and names no person.
_VOLATILE = frozenset(("_", "COLUMNS", "KUBERNETES_EXEC_INFO", "LINES", "OLDPWD", "PWD", "SHLVL"))
_MAX_FILES = 1000
_MAX_CONTENT = 64 * 1024  # bytes; of a bigger file, such as a program, the time at which it was written counts


def normalize(environ: "MutableMapping[str, str]") -> None:
    """Remove empty AWS_ variables, and move values of older names to the current names unless these have a value.

    Schemes of proxies are put in lower-case letters: HTTP clients do not know `SOCKS5://`, and connect without a proxy.

    Afterwards `environ` holds no empty AWS_ variable, and of the older names only those whose value is not plain ASCII: an error
    about such a value (`kube_iam.core.credentials`) names the variable that was set.
    """
    for name in [name for name in environ if name[:4] == "AWS_"]:
        if not environ[name]:
            del environ[name]
    for name in [name for name in environ if name[-6:].upper() == "_PROXY"]:
        scheme, separator, rest = environ[name].partition("://")
        if separator and not scheme.islower():
            environ[name] = f"{scheme.lower()}{separator}{rest}"
    for current, older in _OLDER_NAMES:
        value = environ.get(older, "")
        if value.isascii() and value.isprintable():
            environ.pop(older, "")
            if value:
                environ.setdefault(current, value)


def cache_directory(environ: "Mapping[str, str]", kind: str) -> str:
    """Return the directory of cached files of a kind (`sessions`); empty where there is no home directory."""
    own = environ.get("KUBE_IAM_CACHE_DIR", "")
    if own:
        return os.path.join(os.path.abspath(own), kind)  # noqa: PTH100, PTH118  (pathlib is too dear here)
    base = environ.get("LOCALAPPDATA", "") if os.name == "nt" else environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # noqa: PTH117  (the XDG specification: a relative path is to be ignored)
        base = os.path.expanduser("~/.cache")  # noqa: PTH111
    return os.path.join(base, "kube-iam", kind) if os.path.isabs(base) else ""  # noqa: PTH117, PTH118


def configuration_files(environ: "Mapping[str, str]") -> tuple[bytes | None, bytes | None]:
    """Return the contents of AWS's config file and credentials file, each as `read_file` returns it."""
    return (
        read_file(environ.get("AWS_CONFIG_FILE") or CONFIG_FILE),
        read_file(environ.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE),
    )


def expand(path: str) -> str:
    """Return the path with variables and `~` expanded, as botocore does it: from this process's environment."""
    if "$" in path or (os.name == "nt" and "%" in path):
        path = os.path.expandvars(path)
    return os.path.expanduser(path)  # noqa: PTH111  (pathlib is too dear here)


def read_file(path: str, *, literal: bool = False) -> bytes | None:
    """Return the file's content; empty where there is no such regular file, None where it cannot be read with certainty.

    `literal`: the path is not expanded.
    """
    if not literal:
        path = expand(path)
    try:
        if not S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return b""
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except (OSError, ValueError):
        return None
    try:
        data = os.read(descriptor, _MAX_CONFIGURATION_BYTES + 1)
        # A regular file is read whole in one call; anything left over is more than this reader takes on.
        return None if len(data) > _MAX_CONFIGURATION_BYTES or os.read(descriptor, 1) else data
    except OSError:
        return None
    finally:
        os.close(descriptor)


def caller_key(environ: "Mapping[str, str]") -> str:
    """Return a digest of what decides who signs; empty where a part of it cannot be read, so that nothing may be cached.

    It covers:
    - the AWS_ variables, and both configuration files with their paths;
    - the sign-ins of IAM Identity Center and of `aws login`;
    - web identity tokens, and a container's authorization token;
    - the programs of credential_process, with the files that they are given, and all variables, since a program reads any;
    - the machine's start.
    """
    texts = []
    parts: list[str | bytes] = []
    for variable, default in (("AWS_CONFIG_FILE", CONFIG_FILE), ("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS_FILE)):
        path = environ.get(variable) or default
        text = read_file(path)
        if text is None:
            return ""
        texts.append(text)
        parts += [expand(path), text]
    text = b"\n".join(texts)
    runs_programs = b"credential_process" in text.lower()
    parts += [
        f"{name}={environ[name]}"
        for name in sorted(environ)
        if name[:4] == "AWS_" or name == "BOTO_CONFIG" or (runs_programs and name not in _VOLATILE)
    ]
    paths = [environ[name] for name in _FILE_VARIABLES if environ.get(name)]
    paths += [environ["BOTO_CONFIG"]] if environ.get("BOTO_CONFIG") else _BOTO_FILES
    paths += _named_files(text)
    if b"sso_" in text:
        paths += _files_in(_SSO_DIRECTORY)
    if b"login_session" in text:
        paths += _files_in(environ.get("AWS_LOGIN_CACHE_DIRECTORY") or _LOGIN_DIRECTORY)
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        paths.append(_BOOT_ID)
        parts.append(_host_name(environ))
    if len(paths) > _MAX_FILES:
        return ""
    for path in paths:
        parts += [path, _state_of(path)]
    return digest_of(*parts)


def _named_files(text: bytes) -> "Iterator[str]":
    """Yield every word of the settings that name files, on the lines that continue them too."""
    if not any(setting in text.lower() for setting in _FILE_SETTINGS):
        return
    inside = False
    for line in text.replace(b"\r", b"\n").split(b"\n"):
        stripped = line.strip()
        if stripped.lower().startswith(_FILE_SETTINGS):
            inside = True
        elif line[:1] not in (b" ", b"\t"):
            inside = False
        if inside:
            value = os.fsdecode(stripped)
            # As a whole, since a path may hold blanks; by quotes; and by blanks, as a shell takes it apart.
            yield value.partition("=")[2].strip()
            yield value.partition(":")[2].strip()
            for quote in ('"', "'"):
                yield from value.split(quote)[1::2]
                value = value.replace(quote, " ")
            yield from value.translate(_SHELL).split()


def _files_in(directory: str) -> "list[str]":
    path = expand(directory)
    try:
        return [os.path.join(path, name) for name in sorted(os.listdir(path))]  # noqa: PTH118, PTH208
    except OSError:
        return []


def _state_of(path: str) -> str:
    """Return what a file holds, as a digest, or for a big or unreadable one when it was written; empty where there is none."""
    found = []
    for where in dict.fromkeys((path, expand(path))):
        try:
            status = os.stat(where)  # noqa: PTH116
        except (OSError, ValueError):
            continue
        content = read_file(where, literal=True) if status.st_size <= _MAX_CONTENT else None
        if content is None:
            content = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()
        found.append(sha256_hex(content))
    return " ".join(found)


def _host_name(environ: "Mapping[str, str]") -> str:
    """Return the machine's name where there is no boot id to tell instances apart."""
    if os.path.exists(_BOOT_ID):  # noqa: PTH110
        return ""
    return os.uname().nodename if hasattr(os, "uname") else environ.get("COMPUTERNAME", "")
