"""The source `credential_process` of a profile: a command of the user's that prints credentials as JSON. On the `token` path.

As in the Go SDK, and so in the reference, a shell runs the command: `~`, `$HOME`, pipes and `NAME=value tool` work. Its standard
error and standard input are ours, so that it can show an address and ask for a code.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

import json
import subprocess
from datetime import UTC, datetime

from kube_iam.core.credentials import Credentials, check_credentials
from kube_iam.core.utc import rfc3339
from kube_iam.errors import CredentialsError

_VERSION = 1
# Exit codes of a shell that cannot run the command (POSIX, XCU 2.8.2), with the remedy.
_OF_THE_SHELL = {
    126: ("the command cannot be executed", "make it executable for you"),
    127: ("the command was not found", "give the full path of the program in ~/.aws/config"),
}


def run_tool(profile: str, command: str) -> Credentials:
    """Run the command and return its credentials. Raises CredentialsError, which names the profile and repeats no output."""
    # A shell is the purpose: the command is the user's own, in a file that decides who signs.
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=False)  # noqa: S602
    if done.returncode:
        ended = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise _error(profile, *_OF_THE_SHELL.get(done.returncode, (f"it ended with {ended}",)))
    try:
        answer = json.loads(done.stdout.decode())
    except (ValueError, RecursionError) as error:  # nested so deep that the decoder gives up
        raise _error(profile, "it printed no JSON" if done.stdout.strip() else "it printed nothing") from error
    if not isinstance(answer, dict):
        raise _error(profile, "it printed JSON that is not an object")
    if answer.get("Version") != _VERSION:
        raise _error(profile, f"it printed no Version, or one that is not {_VERSION}")
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"):
        value = answer.get(name)
        optional = name in ("SessionToken", "Expiration")
        if not (isinstance(value, str) and value) and not (optional and value in (None, "")):
            raise _error(profile, f"it printed no {name}, or one that is not a text")
    keys = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("SessionToken") or "")
    check_credentials(f"the credential_process of profile {profile}", keys)
    keys.expires = _end(profile, answer.get("Expiration") or "")
    return keys


def _end(profile: str, text: str) -> float | None:
    if not text:
        return None
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        end = datetime.min
    if end.tzinfo is None:
        raise _error(profile, "it printed an Expiration that is not a time with its zone, such as 2026-01-31T12:00:00Z")
    if end <= datetime.now(UTC):
        raise _error(
            profile, f"it printed credentials that ended at {rfc3339(end.timestamp())}", "sign in again with that tool"
        )
    return end.timestamp()


def _error(profile: str, problem: str, hint: str = "") -> CredentialsError:
    return CredentialsError(
        f"cannot find AWS credentials: the credential_process of profile {profile} failed: {problem}",
        hint or "run the command that stands there by itself: what it prints is not repeated here",
    )
