"""The webhook's port, listened on while the rest of the program is still being loaded.

kube-apiserver does not retry a refused connection, and the program takes some 0.2 s to read its configuration, several times that on a
busy machine. So the port is first looked up in the arguments and in the text of the configuration. Where the result is not certain, no
port is opened early. Where the configuration has another address, the port is closed again. A port in use is tried again in the
background, so that no connection is refused after a predecessor ends.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kube_iam.errors import KubeIamError
from kube_iam.server.listening import PortInUse, open_port

if TYPE_CHECKING:
    import threading

DEFAULT_ADDRESS, DEFAULT_PORT = "127.0.0.1", 21362
_MOST_BYTES = 4 * 1024 * 1024
_PAUSE_SECONDS = 0.003
_NO_SERVER = ("--check-config", "-h", "--help")
_KEY = r'(?i)\b{}\b["\']?\s*:'
# One key a line, as configurations are written. Other spellings are left to the YAML reader.
_LINE = r'(?im)^[ \t]*["\']?{}["\']?[ \t]*:[ \t]+["\']?({})["\']?[ \t]*,?[ \t]*(?:#.*)?\r?$'
_VALUES = {"port": r"\d{1,5}", "address": r"[0-9a-f:.]+|localhost"}


class EarlyPort:
    """A listening socket, opened now or, where the port is in use, as soon as it is free."""

    def __init__(self, address: str, port: int) -> None:
        """Open the port, or begin to try. `address` is an IP address."""
        self.where = address, port
        self._socket: socket.socket | None = None
        self._claimed = False
        self._thread: threading.Thread | None = None
        if not self._try():
            import threading  # only where a predecessor still listens

            self._thread = threading.Thread(target=self._keep_trying, daemon=True)
            self._thread.start()

    def claim(self, address: str, port: int) -> socket.socket | None:
        """Return the socket if it listens there, else close it and return None. No more attempts are made."""
        self._claimed = True
        if self._thread is not None:
            self._thread.join()
        if self._socket is not None and (address, port) != self.where:
            self._socket.close()
            self._socket = None
        return self._socket

    def _try(self) -> bool:
        """Return whether to make no further attempt."""
        try:
            self._socket = open_port(*self.where)
        except PortInUse:
            return False
        except (KubeIamError, OverflowError):  # reported when the configuration is read
            pass
        return True

    def _keep_trying(self) -> None:
        import time

        while not self._claimed and not self._try():
            time.sleep(_PAUSE_SECONDS)


def open_early(arguments: Sequence[str]) -> EarlyPort | None:
    """Return the port of the server that these arguments of the command line start.

    Return None where they start no server, or the port is not certain. Raises nothing.
    """
    if arguments[:1] != ["server"] or any(word in arguments for word in _NO_SERVER):
        return None
    where = _address_and_port(arguments[1:])
    return EarlyPort(*where) if where is not None else None


def _address_and_port(arguments: Sequence[str]) -> tuple[str, int] | None:
    text = _configuration(_option(arguments, "--config", "-c"))
    if text is None:
        return None
    address = _option(arguments, "--address") or _value(text, "address", DEFAULT_ADDRESS)
    port = _option(arguments, "--port") or _value(text, "port", str(DEFAULT_PORT))
    if not re.fullmatch(_VALUES["address"], address, re.IGNORECASE) or not re.fullmatch(_VALUES["port"], port):
        return None
    return DEFAULT_ADDRESS if address.lower() == "localhost" else address, int(port)


def _option(arguments: Sequence[str], *names: str) -> str:
    """Return the last value of an option, or an empty string."""
    value = ""
    for number, argument in enumerate(arguments):
        if argument in names:
            value = "".join(arguments[number + 1 : number + 2])
        for name in names:
            if argument.startswith(f"{name}=") and name.startswith("--"):
                value = argument[len(name) + 1 :]
    return value


def _configuration(path: str) -> str | None:
    """Return the text of the configuration, empty without a file, or None where it cannot be read."""
    if not path:
        return ""
    from pathlib import Path

    from kube_iam.config.regular_file import read_regular_file

    if not Path(path).is_file():  # a shell's pipe can be read only once
        return None
    try:
        content = read_regular_file(Path(path), _MOST_BYTES + 1)
    except OSError:
        return None
    return content.decode("latin-1") if len(content) <= _MOST_BYTES else None


def _value(text: str, key: str, default: str) -> str:
    """Return the only value of a key; the default without the key, an empty string where the value is not certain."""
    if not re.search(_KEY.format(key), text):
        return default
    found = re.findall(_LINE.format(key, _VALUES[key]), text)
    return found[0] if len(found) == len(re.findall(_KEY.format(key), text)) == 1 else ""
