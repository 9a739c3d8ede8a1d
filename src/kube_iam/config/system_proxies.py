"""Proxies in the settings of the system, on macOS and Windows."""

from __future__ import annotations

SYSTEMS = ("darwin", "win32")
"""The values of `sys.platform` whose settings name proxies."""


def has_system_proxy() -> bool:
    """Return whether the settings of the system, or the environment, name a proxy. NO_PROXY is not looked at."""
    from urllib.request import getproxies

    return bool(getproxies().keys() - {"no"})
