"""Whether requests of this process may go through a proxy, by the environment or the settings of the system."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from kube_iam.core.proxies import VARIABLES


def may_use_proxy(environ: Mapping[str, str]) -> bool:
    """Return whether a variable or, on macOS and Windows, a setting of the system names a proxy. NO_PROXY is not looked at."""
    if any(value and name.upper() in VARIABLES for name, value in environ.items()):
        return True
    if sys.platform not in ("darwin", "win32"):
        return False
    from urllib.request import getproxies

    return bool(getproxies().keys() - {"no"})
