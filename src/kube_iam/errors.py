"""One exception tree. Each error carries what happened, what to do about it, and the exit code of a command that ends with it.

Denied sign-ins are values (`kube_iam.core.reasons`), not exceptions. No message may hold a token, a secret or a presigned URL.
This module is on the `token` path: it imports nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self


class KubeIamError(Exception):
    """Something went wrong that a person can act on: `message` says what, `hint` what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", lines: tuple[str, ...] = ()) -> None:
        """`lines` are the lines of a message that has several: a line break anywhere else comes from a value, and is escaped."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = lines or (message,)

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message

    @classmethod
    def listing(cls, head: str, items: "Iterable[object]", hint: str = "") -> "Self":
        """Return the error of several things: `head`, then a line each."""
        lines = (head, *(f"  - {item}" for item in items))
        return cls("\n".join(lines), hint, lines)


class Interrupted(BaseException):
    """Ctrl-C ended a command. Its text is the line to print. click answers KeyboardInterrupt itself, with an empty line."""


class UsageError(KubeIamError):
    """The command line cannot be carried out as it stands."""


class OutputNotWritten(KubeIamError):
    """Standard output or standard error takes no more, as on a full disk."""


class Problem:
    """One thing wrong in a file: where (`key`, a path such as `levels[1].bind[0].clusterRole`), what, and the remedy.

    `local` says that only the entry which it is in cannot be used, and the rest of the file can. `file` is the file's path where the
    error is about several files.
    """

    __slots__ = ("file", "hint", "key", "line", "local", "message")

    def __init__(self, key: str, message: str, hint: str = "", line: int | None = None, *, local: bool = False) -> None:
        self.key = key
        self.message = message
        self.hint = hint
        self.line = line
        self.local = local
        self.file = ""

    def __repr__(self) -> str:
        return f"Problem({self.key!r}, {self.message!r})"

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        key = f"{self.key}: " if self.key else ""
        remedy = f" ({self.hint})" if self.hint else ""
        return f"{where}{key}{self.message}{remedy}"


class ConfigError(KubeIamError):
    """A file that people wrote cannot be used; all its problems together."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        lines = tuple(f"{problem.file or path}: {problem}" for problem in problems)
        super().__init__("\n".join(lines), lines=lines)


class CredentialsError(KubeIamError):
    """No AWS credentials, or credentials that cannot be used."""


class NobodyToAsk(CredentialsError):
    """A person would have to be asked for something, and there is no terminal to ask on."""


class AwsError(KubeIamError):
    """AWS refused or failed a call."""


class AccessDenied(AwsError):
    """AWS says that the caller lacks a permission."""


class Throttled(AwsError):
    """AWS kept throttling after all retries."""


class NotFound(KubeIamError):
    """A named thing does not exist (an IAM user, a level, an object of the cluster)."""


class NoSuchUsers(NotFound):
    """IAM users that do not exist. `done` says what was changed. `is_partial`: other users of the command were."""

    def __init__(self, users: tuple[str, ...], done: str, hint: str, *, is_partial: bool) -> None:
        plural = "users" if len(users) > 1 else "user"
        super().__init__(f"no IAM {plural} {', '.join(users)} in this account; {done}", hint)
        self.users = users
        self.done = done
        self.is_partial = is_partial


class Conflict(KubeIamError):
    """Something else changed, or already exists, where we wanted to write."""


class Unreachable(KubeIamError):
    """A service did not answer: the network, a proxy, a certificate, or the service itself."""


class KubeError(KubeIamError):
    """The Kubernetes API refused or failed a call."""


class NotOwned(KubeIamError):
    """A thing of that name exists and is not ours: left alone."""


class Guarded(KubeIamError):
    """A safety guard stopped the plan; `--force` goes on all the same."""


class WouldFail(KubeIamError):
    """Changes of a plan would be refused, so that the plan would stop half way: nothing was changed."""


class SandboxError(KubeIamError):
    """The sandbox cannot start, stop or be found."""
