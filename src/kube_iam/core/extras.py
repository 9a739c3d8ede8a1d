"""Installation of missing extras."""

import shlex
import sys


def install_command(requirement: str) -> str:
    """Return the command that installs the requirement for the Python that runs this program."""
    return shlex.join([sys.executable, "-m", "pip", "install", requirement])
