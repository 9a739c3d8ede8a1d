"""One meaning of the variables of the AWS SDKs, whatever a shell has left behind. On the `token` path.

botocore, other SDKs and the reference read some of them differently: an empty variable, an old name beside the current one, and
AWS_PROFILE beside AWS_DEFAULT_PROFILE. They are put in order once, at the start of a process, so that each part of it, each library
and each tool that it runs finds the same caller.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

# Current name, older name. The current one has precedence, as in the Go SDK (config/env_config.go).
_OLDER_NAMES = (
    ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
    ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"),
    ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"),
    ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
)


def normalize(environ: "MutableMapping[str, str]") -> None:
    """Remove empty AWS_ variables, and move values of older names to the current names unless these have a value.

    Schemes of proxies are put in lower-case letters: HTTP clients take `SOCKS5://` for no proxy, and connect without one.

    Afterwards `environ` holds no empty AWS_ variable, and of the older names only those whose value is not plain ASCII: an error
    about such a value (`input_checks`) names the variable that was set.
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
