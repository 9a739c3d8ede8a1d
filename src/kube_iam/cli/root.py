"""The command line: a table of all commands, which help and completion read without importing the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kube_iam.cli.shared_options import keep_global_options, root_options
from kube_iam.cli.terminal import guarded, one_line_messages
from kube_iam.errors import AccessDenied, Interrupted, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from kube_iam.cli.session import AdminSession


class Entry(NamedTuple):
    """A command: its place as `module:attribute`, its line in the help, and the heading above that line."""

    target: str
    help: str
    section: str
    hidden: bool = False


SIGN_IN, ACCESS, SERVER, OTHER = "Sign in", "Manage access", "Run the authenticator", "More"

COMMANDS: Mapping[str, Entry] = {
    "token": Entry("kube_iam.cli.token:command", "Print a token for a cluster; kubectl runs this.", SIGN_IN),
    "kubeconfig": Entry("kube_iam.cli.kubeconfig:command", "Write the kubeconfig file of a level.", SIGN_IN),
    "logout": Entry("kube_iam.cli.logout:command", "Remove cached sessions and tokens.", SIGN_IN),
    "doctor": Entry("kube_iam.cli.doctor:command", "Find out why a sign-in fails.", SIGN_IN),
    "new": Entry("kube_iam.cli.new:command", "Write an access file for your cluster.", ACCESS),
    "import": Entry(
        "kube_iam.cli.import_mapping:command", "Write an access file for the mapping that your cluster has.", ACCESS
    ),
    "validate": Entry("kube_iam.cli.validate:command", "Check an access file and report all its problems.", ACCESS),
    "schema": Entry("kube_iam.cli.schema:command", "Print the JSON Schema of the access file.", ACCESS),
    "plan": Entry("kube_iam.cli.plan:command", "Show what apply would change, and change nothing.", ACCESS),
    "drift": Entry("kube_iam.cli.drift:command", "Check that IAM and the cluster are as the file says.", ACCESS),
    "apply": Entry("kube_iam.cli.apply:command", "Make IAM and the cluster match the access file.", ACCESS),
    "destroy": Entry("kube_iam.cli.destroy:command", "Undo everything that apply made.", ACCESS),
    "export": Entry("kube_iam.cli.export:command", "Print the IAM side of the levels for other tools.", ACCESS),
    "grant": Entry("kube_iam.cli.grant:command", "Grant users an access level.", ACCESS),
    "revoke": Entry("kube_iam.cli.revoke:command", "Revoke an access level from users.", ACCESS),
    "who": Entry("kube_iam.cli.who:command", "List the members of the levels.", ACCESS),
    "who-can": Entry("kube_iam.cli.who_can:command", "List the people who may do something in the cluster.", ACCESS),
    "explain": Entry("kube_iam.cli.explain:command", "Explain whether a principal is admitted, and by what.", ACCESS),
    "report": Entry("kube_iam.cli.report:command", "Report who has access, for an auditor.", ACCESS),
    "deny": Entry("kube_iam.cli.deny:command", "Deny sign-ins at once, whatever IAM says.", ACCESS),
    "undeny": Entry("kube_iam.cli.undeny:command", "Remove deny-list entries.", ACCESS),
    "add": Entry("kube_iam.cli.add:command", "Add a user or a role to the ConfigMap aws-auth.", SERVER),
    "server": Entry("kube_iam.cli.server:command", "Answer token reviews of kube-apiserver.", SERVER),
    "sync": Entry("kube_iam.cli.sync:command", "Keep bindings equal to the IAM groups.", SERVER),
    "init": Entry("kube_iam.cli.init:command", "Make the certificate and the webhook's kubeconfig.", SERVER),
    "cert": Entry("kube_iam.cli.cert:command", "Show or replace the server's certificate.", SERVER),
    "verify": Entry("kube_iam.cli.verify:command", "Check a token as the server would, for debugging.", SERVER),
    "install": Entry("kube_iam.cli.install:command", "Print the steps that put the server into a cluster.", SERVER),
    "manifest": Entry("kube_iam.cli.manifest:command", "Print the CRD, RBAC of a job, or the authorizer.", SERVER),
    "policy": Entry("kube_iam.cli.policy:command", "Print the IAM policy of a job.", SERVER),
    "sandbox": Entry("kube_iam.cli.sandbox:command", "Run an emulated AWS account and a cluster.", OTHER),
    "completion": Entry("kube_iam.cli.completion:command", "Print the completion script of a shell.", OTHER),
    "version": Entry("kube_iam.cli.version:command", "Print the version.", OTHER),
    "help": Entry("kube_iam.cli.help:command", "Show the help of a command.", OTHER),
}

REFERENCE_COMMANDS = frozenset({"token", "server", "init", "verify", "add", "version", "help"})
USAGE_ERROR = 2
_RECORDING = ("add", "verify")
"""Commands beside those of ACCESS that record their changes, which Ctrl-C prints."""

ROOT_EXAMPLES = """\b
Examples:
  {program} token -i my-cluster -r arn:aws:iam::123456789012:role/my-cluster-admin
  {program} plan -f access.yaml
  {program} grant alice admin
"""


class CommandGroup(click.Group):
    """A group of commands that offers a shell nothing behind a word that is no command of it.

    click completes there as if the word were not written, so that `kube-iam gr <TAB>` listed every command.
    """

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return commands and options that begin with `incomplete`."""
        return [] if ctx.args or ctx._protected_args else self.offered(ctx, incomplete)

    def offered(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return what stands directly behind the group's name."""
        return super().shell_complete(ctx, incomplete)


class LazyGroup(CommandGroup):
    """A group whose commands are imported when they run, and not before."""

    def __init__(self, commands: Mapping[str, Entry], **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self._table = commands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table, which is the order of the help."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, None for an unknown name. Raises UsageError where this version has no such module."""
        entry = self._table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise UsageError(f"`{cmd_name}` is not in this version") from error
        assert isinstance(command, click.Command)
        records = entry.section == ACCESS or cmd_name in _RECORDING
        return prepare(command, cmd_name, ctx.find_root().info_name or "kube-iam", records=records)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what click returns. Raises UsageError with the closest name for a name that does not exist."""
        if args and args[0] not in self._table and args[0][:1] != "-" and not ctx.resilient_parsing:
            from kube_iam.config.suggestions import suggestion

            hint = suggestion(args[0], [name for name, entry in self._table.items() if not entry.hidden])
            raise UsageError(f"there is no command `{args[0]}`", hint or f"see `{ctx.command_path} --help`")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. An AccessDenied error names all permissions that the command needs."""
        keep_global_options(ctx, ctx.params)
        try:
            return super().invoke(ctx)
        except AccessDenied as error:
            from kube_iam.cli.permissions import name_permissions

            name_permissions(error, ctx.invoked_subcommand or "")
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by section, out of the table alone."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self._table.items():
            if not entry.hidden:
                sections.setdefault(entry.section, []).append((name, entry.help))
        width = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])

    def offered(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return commands of the table and options that begin with `incomplete`. Imports no command: a shell waits for it."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=entry.help)
            for name, entry in self._table.items()
            if name.startswith(incomplete) and not entry.hidden
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


def prepare(command: click.Command, path: str, program: str, *, records: bool) -> click.Command:
    """Put the examples under the help of the command and of those below it, and make their bodies run as `_prepared` says.

    `path` are the words of the command, `program` is the name under which the program was started. Returns the command.
    """
    from kube_iam.cli.examples import EXAMPLES

    for name, inner in getattr(command, "commands", {}).items():
        prepare(inner, f"{path} {name}", program, records=records)
    if path in EXAMPLES:
        lines = (line for what, words in EXAMPLES[path] for line in (f"  # {what}", f"  {program} {words}"))
        command.epilog = "\n".join(("\b", "Examples:", *lines))
    if command.callback is not None and not hasattr(command.callback, "is_prepared"):
        command.callback = _prepared(command.callback, records=records)
    return command


def _prepared(body: Callable[..., Any], *, records: bool) -> Callable[..., Any]:
    """Return the body of a command without the global options, whose messages are one line each.

    With `records` it ends within a second of Ctrl-C, with a line of the changes that it recorded.
    """

    @wraps(body)
    def call(*arguments: Any, **values: Any) -> Any:
        context = click.get_current_context()
        keep_global_options(context, values)
        with one_line_messages(), _interruptible(context) if records else nullcontext():
            return body(*arguments, **values)

    call.is_prepared = True  # type: ignore[attr-defined]
    return call


def _interruptible(context: click.Context) -> AbstractContextManager[None]:
    from kube_iam.cli.changes import interruptible

    return interruptible(context.find_root().info_name or "kube-iam")


def completion_variable(name: str) -> str:
    """Return the variable by which a completion script asks for completions, such as `_KUBE_IAM_COMPLETE` for kube-iam."""
    return f"_{name.replace('-', '_').replace('.', '_').replace(' ', '_').upper()}_COMPLETE"


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value and not context.resilient_parsing:
        from kube_iam.cli.version import installed_version

        click.echo(f"{context.find_root().info_name} {installed_version()}")
        context.exit()


def make_root(program: str) -> LazyGroup:
    """Return the whole command line for the name under which the program was started."""

    @root_options
    @click.option(
        "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
    )
    def root() -> None:
        """Sign in to Kubernetes with AWS IAM, and manage access."""

    return LazyGroup(
        COMMANDS,
        name=program,
        callback=root,
        params=list(reversed(getattr(root, "__click_params__", []))),
        help=root.__doc__,
        epilog=ROOT_EXAMPLES.format(program=program),
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def run_command(
    program: str,
    arguments: Sequence[str],
    environ: Mapping[str, str] = os.environ,
    session: AdminSession | None = None,
) -> int:
    """Run the command line through click and return the exit code. Raises UsageError, KeyboardInterrupt and the tree's errors.

    `session` is what a command connects to; without it the command makes one from its options.
    """
    with guarded(environ):
        try:
            return _run(program, arguments, session)
        except UsageError as error:
            error.exit_code = usage_exit_code(arguments)
            raise


def usage_exit_code(arguments: Sequence[str]) -> int:
    """Return the exit code of a usage error: 2, as most programs use.

    It is 1 for commands of the reference, which exits with 1, and for `drift` and --detailed-exitcode, where 2 means changes.
    """
    command = next((word for word in arguments if word in COMMANDS), "")
    exits_with_1 = command in REFERENCE_COMMANDS or command == "drift" or "--detailed-exitcode" in arguments
    return 1 if exits_with_1 else USAGE_ERROR


def _run(program: str, arguments: Sequence[str], session: AdminSession | None) -> int:
    try:
        outcome = make_root(program).main(
            list(arguments),
            prog_name=program,
            obj=session,
            complete_var=completion_variable(program),
            standalone_mode=False,
            color=True,  # else click would take out of a value what looks like a colour, and show another value
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else program
        raise UsageError(f"{' '.join(_text_of(error).split()).rstrip('.')} (see `{path} --help`)") from error
    except click.ClickException as error:
        raise UsageError(_text_of(error)) from error
    except SystemExit as ended:  # click ends so after it has printed completions
        return ended.code if isinstance(ended.code, int) else 0
    except Interrupted as error:
        print(error, file=sys.stderr)
        raise KeyboardInterrupt from error
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        print(f"{program}: stopped", file=sys.stderr)
        return 1
    return outcome if isinstance(outcome, int) else 0


def _text_of(error: click.ClickException) -> str:
    """Return click's message, which quotes the argument that it does not expect: that may be a token."""
    from kube_iam.core.redaction import without_secrets

    return without_secrets(error.format_message())
