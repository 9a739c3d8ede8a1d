"""Cached sessions and tokens of earlier sign-ins: their list, and their removal. On the `token` path."""

import os

from kube_iam.aws.environment import cache_directory
from kube_iam.aws.token_cache import decode_session, decode_token, role_of_token
from kube_iam.errors import CredentialsError
from kube_iam.files import PrivateFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class CachedLogin:
    """A file of the cache: a `session` or a `token`.

    `role` is the ARN of the role that it is for, empty for the caller's own session and for a file that is damaged. `role_id` is the
    role's unique id, empty where it is not known. `expires` is unix seconds, 0 where the file does not say.
    """

    __slots__ = ("expires", "kind", "path", "role", "role_id")

    def __init__(self, kind: str, path: str, role: str, role_id: str = "", expires: float = 0) -> None:
        self.kind = kind
        self.path = path
        self.role = role
        self.role_id = role_id
        self.expires = expires

    def __repr__(self) -> str:
        return f"CachedLogin({self.kind!r}, {self.path!r})"


def cached_logins(environ: "Mapping[str, str]") -> list[CachedLogin]:
    """Return all cached sessions and tokens, damaged ones too. Raises CredentialsError for a directory that cannot be listed."""
    found: list[CachedLogin] = []
    for kind in ("session", "token"):
        files = PrivateFiles(cache_directory(environ, f"{kind}s"), kind)
        try:
            names = sorted(files.names())
        except OSError as error:
            raise CredentialsError(f"the cache {files.directory} cannot be read: {error.strerror}") from error
        found += [_read(kind, files, name) for name in names]
    return found


def of_role(logins: "Iterable[CachedLogin]", role: str) -> list[CachedLogin]:
    """Return those of one role. Its path and letter case do not count: IAM knows no two roles that differ in these only."""
    return [login for login in logins if login.role and _same_role(login.role, role)]


def remove(logins: "Iterable[CachedLogin]") -> None:
    """Remove the files; one that is gone already is fine. Raises CredentialsError, naming the file that cannot be removed."""
    for login in logins:
        try:
            os.unlink(login.path)  # noqa: PTH108  (pathlib is too dear here)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CredentialsError(
                f"the cached {login.kind} {login.path} cannot be removed: {error.strerror}", "remove it by hand"
            ) from error


def discard_former_role(environ: "Mapping[str, str]", role: str, role_id: str) -> None:
    """Remove what is cached of a former role of that ARN: AWS has just said that the role's unique id is `role_id`.

    Sessions of a role that was deleted stay valid at AWS until they end, and the server refuses them. Tokens do not say which role
    they are of: all of the role's are removed with such a session. Raises nothing.
    """
    try:
        logins = of_role(cached_logins(environ), role)
        former = [login for login in logins if login.role_id and login.role_id != role_id]
        if former:
            remove([*former, *(login for login in logins if login.kind == "token")])
    except CredentialsError:
        return


def _read(kind: str, files: PrivateFiles, name: str) -> CachedLogin:
    path, data = files.path(name), files.read(name)
    if kind == "token":
        token = decode_token(name, data)
        return CachedLogin(kind, path, role_of_token(data), "", token.expires if token is not None else 0)
    session = decode_session(name, data)
    if session is None:
        return CachedLogin(kind, path, "")
    return CachedLogin(kind, path, session.role, session.role_id, session.expires)


def _same_role(one: str, other: str) -> bool:
    if one == other:
        return True
    if _name(one) != _name(other):
        return False
    from kube_iam.core.arns import parse_arn

    first, second = parse_arn(one), parse_arn(other)
    if first is None or second is None:
        return False
    return (first.partition, first.account) == (second.partition, second.account)


def _name(role: str) -> str:
    """Return the name in the ARN of a role, in lower case."""
    return role.rpartition("/")[2].lower()
