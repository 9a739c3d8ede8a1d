"""The entry point of every command name: `token` and `server` without click, everything else through `kube_iam.cli.root`.

Every kubectl call waits for `kube-iam token`, so nothing may be imported here that the shortest way does not use.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kube_iam.cli.session import AdminSession
    from kube_iam.server.early_port import EarlyPort

PROGRAM_NAMES = {
    "kube-iam": "kube-iam",
    "kubectl-iam": "kubectl iam",
    "aws-iam-authenticator": "aws-iam-authenticator",
}
INTERRUPTED = 130
early_port: "EarlyPort | None" = None
"""The port of `server`, which listens before that command is loaded."""


_LASTING = frozenset(("sandbox", "server", "sync"))
"""Commands that may run for days, or start processes that do. They collect garbage as Python does, and end as it does."""
_OBJECTS = (
    100_000  # between two collections of garbage: to load a command makes many objects, and none of them is garbage
)


def entry_point() -> int:
    """Run `main` for an installed command. After all but lasting commands, and after Ctrl-C, the process ends at once.

    Everything is written by then. To take an interpreter apart takes a tenth of all the time that a user waits for a command.
    After Ctrl-C it would wait for the threads that still read from IAM. Otherwise threads that may still write are waited for.
    """
    code = main()
    if code == INTERRUPTED or not (_LASTING.intersection(sys.argv[1:2]) or _has_threads()):
        import os

        os._exit(code)
    return code


def _has_threads() -> bool:
    """Return whether a thread runs that the interpreter waits for at its end."""
    threading = sys.modules.get("threading")
    return threading is not None and any(
        not each.daemon and each is not threading.main_thread() for each in threading.enumerate()
    )


def main(session: "AdminSession | None" = None) -> int:
    """Run the command line of this process and return its exit code. Never raises, never prints a traceback by itself.

    `session` is what a command connects to; without it the command makes one from its options.
    """
    program = program_name(sys.argv[0])
    try:
        code = _dispatch(program, sys.argv[1:], session)
        return _flush(program) or code
    except BrokenPipeError:
        _give_up_stdout()
        return 1
    except KeyboardInterrupt:
        return _interrupted(program)
    except Exception as error:
        return _explain(program, error)


def program_name(path: str) -> str:
    """Return the program's name for messages, by the path that started it: `kubectl iam` for a kubectl plugin."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return PROGRAM_NAMES.get(name.removesuffix(".exe"), "kube-iam")


def _dispatch(program: str, arguments: "Sequence[str]", session: "AdminSession | None") -> int:
    import os

    from kube_iam.aws.environment import normalize

    normalize(os.environ)
    if arguments and arguments[0] == "token":
        from kube_iam.cli.token_run import parse

        flags = parse(arguments[1:])
        if flags is not None:
            from kube_iam.cli.token_run import run

            return run(flags, program)
    if arguments and arguments[0] == "server":
        from kube_iam.server.early_port import open_early

        global early_port
        early_port = open_early(arguments)
        from kube_iam.cli.server_run import parse as parse_server

        server_flags = parse_server(arguments[1:])
        if server_flags is not None:
            from kube_iam.cli.server_run import run_parsed

            run_parsed(server_flags, early_port)
    if not _LASTING.intersection(arguments[:1]):
        import gc

        gc.set_threshold(_OBJECTS)
    from kube_iam.cli.root import run_command

    return run_command(program, arguments, session=session)


def _flush(program: str) -> int:
    """Write what is left to write. Raises BrokenPipeError; any other failure is told, and is the command's failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_stdout()
        return _fail(program, [f"the output cannot be written: {error.strerror}"], "", 1)
    return 0


def _interrupted(program: str) -> int:
    try:
        _flush(program)
    except BrokenPipeError:
        _give_up_stdout()
    return INTERRUPTED


def _fail(program: str, lines: "Sequence[str]", hint: str, code: int) -> int:
    from kube_iam.core.printable import escaped

    print(f"{program}: error: " + "\n".join(map(escaped, lines)), file=sys.stderr)
    if hint:
        print(f"hint: {escaped(hint)}", file=sys.stderr)
    return code


def _give_up_stdout() -> None:
    """Replace stdout, whose reader is gone, by /dev/null: Python would fail once more when it flushes at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(program: str, error: Exception) -> int:
    from kube_iam.errors import KubeIamError, OutputNotWritten

    if isinstance(error, OutputNotWritten):
        _give_up_stdout()
    if isinstance(error, KubeIamError):
        return _fail(program, error.lines, error.hint, error.exit_code)
    from kube_iam.cli.crash import describe  # the last resort: people get a sentence, not a traceback

    message, hint = describe(error)
    return _fail(program, [message], hint, 1)
