"""The question for an MFA code: on the terminal, without echo, never on stdout, and only where a user may be asked.

kubectl reads the credential from stdout, and also runs plugins where no user can answer. The code itself is never kept.
"""

from __future__ import annotations

import os
from typing import Any

from kube_iam.core.printable import escaped
from kube_iam.errors import CredentialsError, NobodyToAsk, UsageError

_TERMINAL = "CONIN$" if os.name == "nt" else "/dev/tty"
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, SerialNumber
_SERIAL_PUNCTUATION = frozenset("_+=/:,.@-")
_DIGITS = 6


class MfaPrompt:
    """Prompt for codes. `asked` is true once a code was typed in: the session made with it is then cached."""

    def __init__(self, *, interactive: bool) -> None:
        self.interactive = interactive
        self.asked = False

    def __call__(self, question: str) -> str:
        """Return the code that the user types in, six digits. `question` names the device, as botocore's own does.

        Raises NobodyToAsk where kubectl says that nobody may be asked, or where there is no terminal; CredentialsError for an
        answer that is no code.
        """
        from getpass import getpass

        if not (self.interactive and has_terminal()):
            raise NobodyToAsk(
                f"an MFA code is needed ({question.strip().rstrip(':')}), and nobody can be asked for it here",
                "run the same `kube-iam token` command once in a terminal: its session is kept, and serves here until it ends",
            )
        try:
            code = "".join(getpass(escaped(question)).split())
        except EOFError as error:
            raise CredentialsError("no MFA code was given", "repeat the command") from error
        if not (len(code) == _DIGITS and code.isascii() and code.isdigit()):
            raise CredentialsError("that is not an MFA code", f"it has {_DIGITS} digits; repeat the command")
        self.asked = True
        return code

    def code_of(self, device: str) -> str:
        """Return the code that this device shows now."""
        return self(f"Enter MFA code for {device}: ")


def ask_with(prompt: MfaPrompt, session: Any) -> None:
    """Replace botocore's own prompt for the codes of profiles with `role_arn` and `mfa_serial`.

    botocore has no public setting for it; a test notices if this one is gone.
    """
    session.get_component("credential_provider").get_provider("assume-role")._prompter = prompt


def has_terminal() -> bool:
    """Return whether this process has a terminal, wherever its stdin and stdout lead."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True


def check_device(serial: str) -> None:
    """Raise UsageError for what cannot be the serial number, or ARN, of a device that shows codes."""
    if ":u2f/" in serial:
        raise UsageError(
            f"{serial!r:.200} is a security key, and those have no codes", "name an authenticator app of this person"
        )
    if not (
        9 <= len(serial) <= 256
        and serial.isascii()
        and all(character.isalnum() or character in _SERIAL_PUNCTUATION for character in serial)
    ):
        raise UsageError(
            f"{serial!r:.200} is not the serial number of an MFA device",
            "it looks like arn:aws:iam::123456789012:mfa/NAME",
        )
