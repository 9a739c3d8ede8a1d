"""The source `credential_process` of a profile: a command of the user's that prints credentials as JSON.

As in the Go SDK, and so in the reference, a shell runs the command: `~`, `$HOME`, pipes and `NAME=value tool` work. Its standard
error and standard input are ours, so that it can show an address and ask for a code.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.credentials import ProcessProvider

from kube_iam.core.credentials import Credentials, check_credentials
from kube_iam.core.utc import rfc3339
from kube_iam.errors import CredentialsError

_VERSION = 1
# Exit codes of a shell that cannot run the command (POSIX, XCU 2.8.2), with the remedy.
_OF_THE_SHELL = {
    126: ("the command cannot be executed", "make it executable for you"),
    127: ("the command was not found", "give the full path of the program in ~/.aws/config"),
}


class CredentialTool(ProcessProvider):
    """botocore's provider, with the reference's way to run the command, and every answer checked."""

    def __init__(self, profile: str, load_config: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(profile, load_config)
        self._profile = profile

    def _retrieve_credentials_using(self, credential_process: str) -> dict[str, Any]:
        """Run the command and return its credentials. Raises CredentialsError, which names the profile and repeats no output."""
        # A shell is the purpose: the command is the user's own, in a file that decides who signs.
        done = subprocess.run(credential_process, shell=True, stdout=subprocess.PIPE, check=False)  # noqa: S602
        if done.returncode:
            ended = f"exit code {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
            raise self._error(*_OF_THE_SHELL.get(done.returncode, (f"it ended with {ended}",)))
        try:
            answer = json.loads(done.stdout.decode())
        except (ValueError, RecursionError) as error:  # nested so deep that the decoder gives up
            raise self._error("it printed no JSON" if done.stdout.strip() else "it printed nothing") from error
        if not isinstance(answer, dict):
            raise self._error("it printed JSON that is not an object")
        if answer.get("Version") != _VERSION:
            raise self._error(f"it printed no Version, or one that is not {_VERSION}")
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"):
            value = answer.get(name)
            optional = name in ("SessionToken", "Expiration")
            if not (isinstance(value, str) and value) and not (optional and value in (None, "")):
                raise self._error(f"it printed no {name}, or one that is not a text")
        source = f"the credential_process of profile {self._profile}"
        check_credentials(
            source, Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("SessionToken") or "")
        )
        return {
            "access_key": answer["AccessKeyId"],
            "secret_key": answer["SecretAccessKey"],
            "token": answer.get("SessionToken") or None,
            "expiry_time": self._end(answer.get("Expiration") or ""),
            "account_id": answer.get("AccountId"),
        }

    def _end(self, text: str) -> str | None:
        if not text:
            return None
        try:
            end = datetime.fromisoformat(text)
        except ValueError:
            end = datetime.min
        if end.tzinfo is None:
            raise self._error("it printed an Expiration that is not a time with its zone, such as 2026-01-31T12:00:00Z")
        if end <= datetime.now(UTC):
            raise self._error(
                f"it printed credentials that ended at {rfc3339(end.timestamp())}", "sign in again with that tool"
            )
        return end.isoformat()

    def _error(self, problem: str, hint: str = "") -> CredentialsError:
        return CredentialsError(
            f"cannot find AWS credentials: the credential_process of profile {self._profile} failed: {problem}",
            hint or "run the command that stands there by itself: what it prints is not repeated here",
        )
