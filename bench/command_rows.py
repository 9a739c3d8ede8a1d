"""Rows about the commands for which a person waits: help, completion, and the daily commands of an administrator in the sandbox."""

from __future__ import annotations

from bench.commands import Command, Runs, interleaved
from bench.context import Bench
from bench.figures import Part, Row, part
from bench.figures import ours as own
from bench.revocation_rows import KNOWN_TTL, applied_site
from kube_iam.sandbox.shell import environment
from kube_iam.sandbox.state import ADMINISTRATOR
from kube_iam.sandbox.users import ensure_user

HELP_MS = 100
COMMAND_MS = 400
ROUNDS = 15
LEVEL, USER = "viewer", "alice"
# Each round grants, and then takes away what was granted. A grant also removes the denial of the round before.
COMMANDS = (
    ("plan",),
    ("who",),
    ("grant", USER, LEVEL),
    ("revoke", USER, LEVEL, "--no-wait"),
    ("deny", USER, "--for", "1h", "--yes", "--no-wait"),
)
COMPLETIONS = (("of commands", "kube-iam gr"), ("of options", "kube-iam plan --o"), ("of levels", "kube-iam who v"))


def commands(bench: Bench) -> list[Row]:
    """Measure whole processes, one after another, against the sandbox's account and a real kube-apiserver."""
    with applied_site(bench, "commands", KNOWN_TTL, authorizer=True) as site:
        site.state = ensure_user(site.home, site.state, USER)
        credentials = site.state.user(ADMINISTRATOR)
        assert credentials is not None
        variables = environment(site.home, site.state, ADMINISTRATOR, credentials)
        variables = {"PATH": "/usr/bin:/bin", "HOME": str(site.home.root), "NO_PROXY": "127.0.0.1", **variables}
        program = bench.programs.kube_iam
        daily = [Command(f"`{words[0]}`", [program, *words], variables) for words in COMMANDS]
        help_of = [
            Command(f"`{' '.join(words)}`", [program, *words], variables) for words in (("--help",), ("plan", "--help"))
        ]
        shells = [Command(f"completion {of}", [program], variables | _completing(line)) for of, line in COMPLETIONS]
        for command in (*daily, *help_of, *shells):
            command.output()
        bench.say("commands: help and completion take turns")
        quick = interleaved(bench.start, [*help_of, *shells], bench.times(ROUNDS))
        bench.say("commands: plan, who, grant, revoke and deny take turns")
        slow = interleaved(bench.start, daily, bench.times(ROUNDS))

    return [
        Row("help", "help and completion", _parts(quick, HELP_MS)),
        Row(
            "commands",
            "daily commands in the sandbox",
            _parts(slow, COMMAND_MS),
            ("static keys of an IAM user, three levels, a client certificate for kube-apiserver, all on this machine",),
        ),
    ]


def _parts(runs: dict[str, Runs], limit: float) -> tuple[Part, ...]:
    """Return the wall time of each command, with the limit as its target."""
    return tuple(part(f"{name}, wall time", "ms", run.wall_ms, None, own("<=", limit)) for name, run in runs.items())


def _completing(line: str) -> dict[str, str]:
    """Return the variables by which bash asks for the completions of the last word."""
    return {"_KUBE_IAM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
